"""Each program is killed at every system call that changes something, while mail of every kind
flows; everything is brought to rest afterwards and judged (traffic.py).

usage: test_kill.py BUILD [VICTIM]     CRASH=full takes every place, else a few of each call"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

from harness import Failed, check, main, test, wait_for  # noqa: E402
from cases import FORMS, IS_FULL, LIMIT, VICTIMS, make, pid_of  # noqa: E402
from inject import CHANGING, Injection, only_with_strace, places, wait_for_death  # noqa: E402

EACH = 40 if IS_FULL else 1


def watched(victim, journal):
    """How often the program makes each call while one lot of mail passes."""
    follows = VICTIMS[victim][1]
    t = make(journal)
    watch = Injection(pid_of(t, victim), follows=follows)
    try:
        t.send()
        t.settle()
        return watch.counts()
    finally:
        watch.end()
        t.end()


def kill_at(victim, journal, call, n):
    """Returns whether it struck, and what came again."""
    program, follows, may_repeat = VICTIMS[victim]
    t = make(journal)
    pid = pid_of(t, victim)
    strike = Injection(pid, "%s:signal=KILL:when=%d" % (call, n), follows=follows)
    try:
        t.send()
        if strike.has_struck() and wait_for_death(pid, 0 if follows else 5):
            wait_for(program + " is started again", lambda: t.i.pids().get(program) not in (None, pid), 25)
        again = t.settle(may_repeat, reports_too=program != "smtpd")
        return strike.has_struck(), again
    except Failed as e:
        raise Failed("%s killed at %s %d, queue-journal %s: %s" % (victim, call, n, journal, e))
    finally:
        strike.end()
        t.end()


def kill_everywhere(victim, journal):
    only_with_strace()
    counts = watched(victim, journal)
    check(counts, "the program made no call that changes anything")
    struck, again, where = 0, 0, list(places(counts, CHANGING, EACH))
    for call, n in where:
        hit, repeated = kill_at(victim, journal, call, n)
        struck += hit
        again += repeated
    print("# %s, queue-journal %s: killed at %d of %d places, %d deliveries repeated" %
          (victim, journal, struck, len(where), again))
    check(struck * 2 >= len(where), "only %d of %d places were met" % (struck, len(where)))


def add(victim, journal):
    @test("%s killed at each call that changes something, queue-journal %s: nothing is lost, halved or "
          "needlessly repeated" % (victim, journal), limit=LIMIT)
    def killed():
        kill_everywhere(victim, journal)


for _victim in VICTIMS if IS_FULL else ("intake", "queue", "deliver", "attempt"):
    for _journal in FORMS:
        add(_victim, _journal)

if __name__ == "__main__":
    main()
