"""System calls that fail: once at each place, and for a while. No client hears 250 for what is not
kept, nothing is lost or halved, and everything works again when the calls do, without a restart
by hand. (Short writes are in the unit tests of the modules that write.)

usage: test_errors.py BUILD [VICTIM]     CRASH=full takes every place, else a few"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

from harness import Failed, Instance, check, equal, letter, main, test, wait_for  # noqa: E402
from cases import FORMS, IS_FULL, LIMIT, VICTIMS, make, pid_of  # noqa: E402
from inject import FAILING, Injection, only_with_strace, places  # noqa: E402

EACH = 20 if IS_FULL else 1
FEW = 6
A_WHILE = 1.5


def watched(victim, journal):
    follows = VICTIMS[victim][1]
    t = make(journal)
    watch = Injection(pid_of(t, victim), watch=FAILING, follows=follows)
    try:
        t.send()
        t.settle()
        return watch.counts()
    finally:
        watch.end()
        t.end()


def end_soon(fault):
    """Ends the fault a while after it was met first."""
    def work():
        while fault.process.poll() is None and not fault.has_struck():
            time.sleep(0.02)
        time.sleep(A_WHILE)
        fault.detach()
    threading.Thread(target=work, daemon=True).start()


def fail_at(victim, journal, rule):
    """Returns whether the call was met."""
    _, follows, may_repeat = VICTIMS[victim]
    t = make(journal)
    fault = Injection(pid_of(t, victim), rule, follows=follows, stays=True)
    end_soon(fault)
    try:
        t.send()
        fault.detach()
        t.settle(may_repeat, reports_too=True)
        return fault.has_struck()
    except Failed as e:
        raise Failed("%s, %s, queue-journal %s: %s" % (victim, rule, journal, e))
    finally:
        fault.end()
        t.end()


def fail_everywhere(victim, journal):
    only_with_strace()
    counts = watched(victim, journal)
    rules = []
    for call, n in places(counts, FAILING, EACH):
        for error in FAILING[call].split():
            rules.append("%s:error=%s:when=%d" % (call, error, n))
        if n == 1:
            rules += ["%s:error=%s:when=1+" % (call, FAILING[call].split()[0])]
    if not IS_FULL:
        rules = rules[::max(1, len(rules) // FEW)]
    met = sum(fail_at(victim, journal, rule) for rule in rules)
    print("# %s, queue-journal %s: %d of %d faults met" % (victim, journal, met, len(rules)))
    check(met * 2 >= len(rules), "only %d of %d faults were met" % (met, len(rules)))


def add(victim, journal):
    @test("%s: calls that fail once and for a while, queue-journal %s: nothing is lost, and it goes on" %
          (victim, journal), limit=LIMIT)
    def failing():
        fail_everywhere(victim, journal)


@test("a process that the stem cannot tell of is replaced at once")
def unborn():
    only_with_strace()
    t = make("yes")
    fault = Injection(pid_of(t, "attempt"), "sendmsg:error=EPERM:when=1")
    try:
        t.send(kinds=("one", "later"), clients=1)
        t.settle(patience=20)
        check(fault.has_struck(), "it could tell of all")
        check(not t.i.find_events("attempt_died"), "it was held against the message")
    finally:
        fault.end()
        t.end()


@test("a submission whose file cannot be removed is taken once, and the file goes when it can")
def removed():
    only_with_strace()
    i = Instance(tables={"mailboxes": ["alice alice/"]}).start()
    i.wait_event("started", program="run")  # with all its threads: one that came later would not be traced
    fault = Injection(i.pids()["intake"], "unlinkat:error=EIO:when=1+")
    try:
        for n in range(3):  # each has the directory looked at
            i.sendmail("alice@heloise.example", stdin=letter("number %d" % n), ok=True)
            wait_for("it", lambda: any(b"Subject: number %d" % n in m for m in i.mail("alice")))
    finally:
        fault.end()
    i.sendmail("alice@heloise.example", stdin=letter("number 3"), ok=True)
    wait_for("queue/drop is empty", lambda: not os.listdir(i.dir + "/queue/drop"))
    i.wait_queue(0)
    equal(len(i.mail("alice")), 4)


for _victim in ("intake", "queue", "attempt", "smtpd") if IS_FULL else ("intake", "queue", "attempt"):
    for _journal in FORMS:
        add(_victim, _journal)

if __name__ == "__main__":
    main()
