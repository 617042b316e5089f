"""The queue commands as an administrator types them, with the daemon up and down."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time

from harness import IS_ROOT, Failed, Skip, check, contains, equal, letter, main, test, wait_for
from queued import fill, instance, settled, states
from sink import Sink


def both(function):
    """The same with the daemon up, and down."""
    def run():
        for is_up in (True, False):
            i = instance().start()
            ids = fill(i)
            if not is_up:
                i.stop()
            try:
                function(i, ids, is_up)
            except Failed as e:
                raise Failed("%s (with the daemon %s)" % (e, "up" if is_up else "down"))
            i.stop(quietly=True)
    return run


def on_terminal(i, *args, answer=None, size=(24, 120), patience=20):
    """Runs heloise on a terminal of its own; (exit code, what it showed)."""
    pid, fd = pty.fork()
    if pid == 0:
        who = i.as_user()
        try:
            if who:
                os.setgroups([])
                os.setgid(who["group"])
                os.setuid(who["user"])
            os.chdir("/")
            os.execv(i.command("heloise")[0], i.command("heloise", *args))
        finally:
            os._exit(127)
    import fcntl
    import struct
    import termios
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[0], size[1], 0, 0))
    said, end = b"", time.monotonic() + patience
    while time.monotonic() < end:
        ready, _, _ = select.select([fd], [], [], 0.2)
        if not ready:
            continue
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        said += data
        if answer is not None and b"[y/N]" in said:
            os.write(fd, answer.encode())
            answer = None
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), said.decode("utf-8", "replace")


def listed(i, *filters):
    return [json.loads(line)["id"] for line in i.cli("queue", "list", "--json", *filters, ok=True).text.splitlines()]


@test("list takes filters by state, sender, recipient, domain and age, alone and together")
@both
def filters(i, ids, is_up):
    one, two, three, four = ids
    for words, wanted in ((["--state", "deferred"], ids), (["--state", "hold,new"], []),
                          (["--sender", "ALICE@heloise.example"], [one, two]), (["--sender", "<>"], [four]),
                          (["--sender=@else.example"], [three]), (["--sender", "*@heloise*"], [one, two]),
                          (["--rcpt", "bob@down.example"], [one, three]), (["--rcpt", "e?e@*"], [three]),
                          (["--domain", "away.example"], [two, three, four]), (["--domain", ".example"], ids),
                          (["--domain", "AWAY.example", "--sender", "alice@heloise.example"], [two]),
                          (["--older", "1d"], []), (["--older", "0s"], ids)):
        equal(sorted(listed(i, *words)), sorted(wanted), words)
    text = i.cli("queue", "list", "--domain", "away.example", "--sender", "dave@else.example", ok=True).text
    contains(text, three, "1 message.")
    contains(i.cli("queue", "list", "--older", "9d", ok=True).text, "No such message")
    for bad in (["--state", "gone"], ["--older", "soon"], ["--sender"], ["--colour=red"], ["--rcpt", ""], ["x"]):
        r = i.cli("queue", "list", *bad)
        equal(r.returncode, 64, bad)
        contains(r.error, "usage: heloise queue list")


@test("hold keeps messages, release lets them go on at their old time, retry and remove do what they say")
@both
def acts(i, ids, is_up):
    one, two, three, four = ids
    before = {m["id"]: m["next"] for m in i.queue()}
    contains(i.cli("queue", "hold", one, ok=True).text, "1 message is on hold")
    contains(i.cli("queue", "hold", one, ok=True).text, "was on hold already")
    equal(states(i)[one], "hold")
    contains(i.cli("queue", "why", one, ok=True).text, "administrator", "queue release " + one)
    contains(i.cli("queue", "hold", two, three, "--yes", ok=True).text, "2 messages are on hold")
    equal(sorted(listed(i, "--state", "hold")), sorted([one, two, three]))
    # all is not what is on hold: that needs its name
    contains(i.cli("queue", "retry", "all", ok=True).text, "1 message is tried again")
    equal(sorted(listed(i, "--state", "hold")), sorted([one, two, three]))
    contains(i.cli("queue", "release", "--state", "hold", "--yes", ok=True).text, "3 messages are released")
    after = {m["id"]: m["next"] for m in i.queue()}
    for n in (one, two, three):
        equal(after[n], before[n], "the next attempt after a release")
    contains(i.cli("queue", "release", one, ok=True).text, "was not on hold")
    contains(i.cli("queue", "remove", one, ok=True).text, "1 message was removed")
    r = i.cli("queue", "remove", "--domain", "away.example", "--yes", "--json", ok=True)
    told = json.loads(r.text)
    equal((told["act"], told["done"] + told["later"], told["unknown"]), ("remove", 3, []))
    wait_for("the queue is empty", lambda: not i.queue())
    wait_for("their files are gone", lambda: not i.queue_files())
    check(not i.mail("alice"), "somebody was told")


@test("what concerns more than one is asked about on a terminal, and refused without one")
@both
def asks(i, ids, is_up):
    for verb in ("hold", "release", "remove", "bounce", "retry"):
        for what in (ids[:2], ["--sender", "alice@heloise.example"]) + ((["all"],) if verb != "retry" else ()):
            r = i.cli("queue", verb, *what)
            equal((r.returncode, r.text), (64, ""), (verb, what))
            contains(r.error, "--yes", "messages")
    equal(sorted(states(i)), sorted(ids))
    equal(set(states(i).values()), {"deferred"})
    code, said = on_terminal(i, "queue", "hold", "--rcpt", "bob@down.example", answer="n\n")
    contains(said, "hold 2 messages? [y/N]", "Nothing was done")
    equal(listed(i, "--state", "hold"), [])
    code, said = on_terminal(i, "queue", "hold", "--rcpt", "bob@down.example", answer="y\n")
    equal(code, 0, said)
    contains(said, "2 messages are on hold")
    equal(len(listed(i, "--state", "hold")), 2)
    for none in (["hold"], ["remove"], ["bounce"], ["release"]):
        equal(i.cli("queue", *none).returncode, 64, none)


@test("ids that are not in the queue are named, the others are done, and the exit code says so")
@both
def unknown(i, ids, is_up):
    strange = ("0000000000000000"[:15], "no-such-id", "../../etc/passwd", "x" * 5000, "a b", "")
    for verb, wanted in (("hold", "hold"), ("release", "deferred")):
        r = i.cli("queue", verb, ids[0], *strange, ids[1], ids[1], "--yes")
        equal(r.returncode, 65, r.error)
        contains(r.text, "2 messages are " + ("on hold" if verb == "hold" else "released"))
        contains(r.error, "0" * 15, "no-such-id", "no such message")
        equal({states(i)[n] for n in ids[:2]}, {wanted})
    told = json.loads(i.cli("queue", "remove", ids[0], "no-such-id", "--yes", "--json").text)
    equal((told["done"], told["unknown"]), (1, ["no-such-id"]))
    equal(sorted(states(i)), sorted(ids[1:]))


@test("bounce gives messages up: every recipient that is left fails with the reason, and the sender hears it")
@both
def bounce(i, ids, is_up):
    one, two, three, four = ids
    contains(i.cli("queue", "bounce", one, "--reason", "We have moved, sorry", ok=True).text, "1 message was given up")
    contains(i.cli("queue", "bounce", two, ok=True).text, "1 message was given up")
    if not is_up:
        i.start()
    wait_for("two reports", lambda: len(i.mail("alice")) == 2)
    text = b"".join(i.mail("alice")).decode()
    contains(text, "We have moved, sorry", "bob@down.example", "Status: 5.3.0", "carol@away.example", "gave the message up")
    wait_for("they are gone", lambda: sorted(states(i)) == sorted([three, four]))
    for bad in (["--reason", ""], ["--reason", "a\nb"], ["--reason"], ["--reason", "x" * 501]):
        equal(i.cli("queue", "bounce", three, *bad).returncode, 64, bad)


@test("hold, bounce and remove of a message that is being tried take effect when its attempt ends")
def active():
    for verb in ("hold", "bounce", "remove", "release"):
        sink = Sink([("RCPT", "hang")])
        i = instance(settings={"timeout-rcpt": "3s"}, down=sink.route).start()
        number = i.send("alice@heloise.example", "bob@down.example", letter("in flight"))
        wait_for("it is being tried", lambda: any(c.startswith("RCPT") for c in sink.commands))
        r = i.cli("queue", "hold" if verb == "release" else verb, number, ok=True)
        contains(r.text, "attempt ends" if verb in ("hold", "release") else "this moment")
        equal(states(i), {number: "active"})
        if verb == "release":
            contains(i.cli("queue", "release", number, ok=True).text, "is released")
        i.wait_event("deferred", id=number)
        if verb == "hold":
            settled(i, [number], "hold")
            equal(i.queue()[0]["next"], None)
            check(os.listdir(i.dir + "/queue/hold/" + number[-2:])[0].split(",")[1] != "ffffffff", "it has lost its time")
        elif verb == "release":
            settled(i, [number])
        else:
            wait_for("it is gone", lambda: number not in states(i))
            equal(len(i.wait_mail("alice")) if verb == "bounce" else len(i.mail("alice")), 1 if verb == "bounce" else 0)
        i.stop(quietly=True)


@test("a message that was removed, however short before a restart, does not come back")
def removed_for_good():
    for verb in ("remove", "hold"):
        i = instance().start()
        ids = fill(i)
        if verb == "hold":
            i.cli("queue", "hold", "all", "--yes", ok=True)
        i.cli("queue", "remove", *ids, "--yes", ok=True)
        i.stop()
        equal(i.queue(), [], "after the stop")
        i.start()
        wait_for("their files are gone", lambda: not i.queue_files())
        equal(i.queue(), [])
        i.stop(quietly=True)


@test("show prints the header, the body and the envelope; control bytes are harmless on a terminal only")
@both
def show(i, ids, is_up):
    if not is_up:
        i.start()
    body = "first\x1b[2Jline \u00e4\n\n.dot\n"
    number = i.send("alice@heloise.example", "bob@down.example", letter("evil\x1b]0;x\x07", body))
    settled(i, [number])
    if not is_up:
        i.stop()
    head = i.cli("queue", "show", number, "--headers", ok=True).stdout
    text = i.cli("queue", "show", number, "--body", ok=True).stdout
    check(head.startswith(b"Received: ") and head.endswith(b"\r\n\r\n") and b"first" not in head, head)
    equal(text, body.replace("\n", "\r\n").encode())
    equal(i.cli("queue", "show", number, "--body", "--headers", ok=True).stdout, head + text)
    for words in (["--headers"], ["--body"]):
        code, said = on_terminal(i, "queue", "show", number, *words)
        check(code == 0 and "\x1b" not in said and "\x07" not in said and "\\x1b" in said, repr(said))
    contains(said, "first\\x1b[2Jline \u00e4", ".dot")
    told = i.cli("queue", "show", number, "--envelope", ok=True).text
    contains(told, "bob@down.example", "alice@heloise.example")
    check("History" not in told, told)
    check("history" not in json.loads(i.cli("queue", "show", number, "--envelope", "--json", ok=True).text), "history")
    equal(i.cli("queue", "show", number, "--envelope", "--body").returncode, 64)
    equal(i.cli("queue", "show", number, "--body", "--json").returncode, 64)


@test("stats counts recipients by domain and age, with bars on a terminal")
@both
def stats(i, ids, is_up):
    told = json.loads(i.cli("queue", "stats", "--json", ok=True).text)
    equal((told["messages"], told["recipients"], told["states"]["deferred"]), (4, 5, 4))
    equal([(d["domain"], d["recipients"], d["messages"]) for d in told["domains"]],
          [("away.example", 3, 3), ("down.example", 2, 2)])
    equal(told["domains"][0]["ages"]["5m"], 3)
    check(told["oldest_id"] in ids and told["oldest"], told)
    text = i.cli("queue", "stats", ok=True).text
    contains(text, "5m", "1280m+", "TOTAL", "away.example", "4 messages", "The oldest is")
    check("#" not in text, "bars without a terminal")
    code, said = on_terminal(i, "queue", "stats", size=(24, 160))
    check(code == 0 and re.search(r"TOTAL .*###", said), said)
    one = json.loads(i.cli("queue", "stats", "--json", "--top", "1", "--domain", "away.example", ok=True).text)
    equal((one["messages"], len(one["domains"]), one["others"]["recipients"]), (3, 1, 1))
    contains(i.cli("queue", "stats", "--older", "9d", ok=True).text, "Nothing waits")


@test("stats tells what was accepted, delivered, deferred and bounced since the start, and that nobody counts while it is down")
def throughput():
    sink = Sink([("RCPT TO:<no@*", "550 5.1.1 no"), ("RCPT TO:<later@*", "450 4.2.0 later")])
    i = instance(down=sink.route).start()
    i.wait_event("started", program="queue")  # what it finds at its start was accepted before
    ids = [i.send("", ["%s@down.example" % name for name in names.split()], rcpt="NOTIFY=NEVER")
           for names in ("one two", "later", "no three", "no")]
    for number in ids:
        i.wait_event("finished deferred", id=number)
    told = json.loads(i.cli("queue", "stats", "--json", ok=True).text)["throughput"]
    check(told.pop("since").startswith("20"), told)
    equal(told, {word: {"minute": n, "hour": n, "total": n}
                 for word, n in (("accepted", 4), ("delivered", 3), ("deferred", 1), ("bounced", 2))})
    text = i.cli("queue", "stats", ok=True).text
    check(re.search(r"(?m)^delivered +3 +3 +3  recipients", text), text)
    i.cli("queue", "bounce", ids[1], ok=True)
    i.wait_queue(0)
    contains(i.cli("queue", "stats", ok=True).text, "Nothing waits")
    equal(json.loads(i.cli("queue", "stats", "--json", ok=True).text)["throughput"]["bounced"]["total"], 3)
    i.stop()
    equal(json.loads(i.cli("queue", "stats", "--json", ok=True).text)["throughput"], None)
    contains(i.cli("queue", "stats", ok=True).text, "Heloise does not run")


@test("every verb has its help; what is no verb, or misused, is an error with a usage line")
def helps():
    i = instance()
    verbs = re.findall(r"(?m)^  (\w+) ", i.cli("queue", "--help", ok=True).text)
    check(len(verbs) >= 13, verbs)
    for verb in verbs:
        contains(i.cli("queue", verb, "--help", ok=True).text, "usage: heloise [-C DIR] queue " + verb)
        equal(i.cli("queue", verb, "--no-such-option").returncode, 64, verb)
    for bad in ([], ["select"], ["fetch", "x"], ["frobnicate"]):
        r = i.cli("queue", *bad)
        equal(r.returncode, 64, bad)
        contains(r.error, "usage: heloise")


@test("a long listing says its first line at once, and one that nobody reads ends")
def streams():
    i = instance().start()
    ids = [i.send("alice@heloise.example", "bob@down.example") for _ in range(30)]
    settled(i, ids)
    p = subprocess.Popen(i.command("heloise", "queue", "list"), stdout=subprocess.PIPE, **i.as_user())
    contains(p.stdout.readline().decode(), "ID")
    p.stdout.close()
    p.wait(20)
    equal(len(i.queue()), 30)


@test("what takes longer than two seconds shows on a terminal how far it is, and nothing elsewhere")
def progress():
    i = instance().start()
    fill(i)
    data = i.cli("queue", "export", "-", ok=True).stdout
    for is_terminal in (True, False):
        ours, theirs = pty.openpty() if is_terminal else os.pipe()
        p = subprocess.Popen(i.command("heloise", "queue", "import", "-"), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=theirs, **i.as_user())
        os.close(theirs)
        p.stdin.write(data[:200])
        p.stdin.flush()
        time.sleep(2.2)
        p.stdin.write(data[200:])
        p.stdin.close()
        contains(p.stdout.read().decode(), "4 were in the queue already")
        equal(p.wait(), 0)
        said = b""
        try:
            while True:
                piece = os.read(ours, 4096)
                if not piece:
                    break
                said += piece
        except OSError:
            pass
        os.close(ours)
        if is_terminal:
            check(said.startswith(b"\r") and said.endswith(b"\r\x1b[K"), said)
        else:
            equal(said, b"")


@test("a user who may not look at the queue gets mailq with his own messages, and nothing else")
def guests():
    if not IS_ROOT:
        raise Skip("another user is needed")
    i = instance().start()
    fill(i)
    import pwd
    guest = dict(user=pwd.getpwnam("daemon").pw_uid, group=pwd.getpwnam("daemon").pw_gid, extra_groups=[])

    def ask(*words):
        r = subprocess.run([i.bin + "/heloise", "-C", i.dir, "queue"] + list(words), capture_output=True, text=True,
                           timeout=20, stdin=subprocess.DEVNULL, **guest)
        return r
    r = ask("mailq")
    equal(r.returncode, 0, r.stderr)
    check("bob@down.example" not in r.stdout and "alice" not in r.stdout, r.stdout)
    contains(r.stdout, "-Queue ID-", "in 4 Requests.")
    for words in (["list"], ["stats"], ["show", "x"], ["retry", "all"], ["remove", "all", "--yes"], ["hold", "x"],
                  ["verify"], ["select"]):
        r = ask(*words)
        check(r.returncode in (64, 77) and not r.stdout, words, r)
    r = ask("import", "/etc/hostname")
    equal(r.returncode, 77, r)
    equal(len(i.queue()), 4)
    # one who keeps connections takes no place from those who may
    there, over = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(*[guest["group"]] * 3)
        os.setresuid(*[guest["user"]] * 3)
        crowd = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(60)]
        for s in crowd:
            s.connect(i.dir + "/run/control")
        os.write(there[1], b"x")
        os.close(over[1])
        os.read(over[0], 1)
        os._exit(0)
    os.read(there[0], 1)
    equal(len(i.queue()), 4)
    os.write(over[1], b"x")
    os.waitpid(pid, 0)


@test("a user who holds on to every connection to the manager he can get keeps nobody else from asking")
def hog():
    if not IS_ROOT:
        raise Skip("another user is needed")
    import pwd
    i = instance().start()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            who = pwd.getpwnam("daemon")
            os.setgroups([])
            os.setresgid(who.pw_gid, who.pw_gid, who.pw_gid)
            os.setresuid(who.pw_uid, who.pw_uid, who.pw_uid)
            held = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(100)]
            for s in held:
                s.connect(i.dir + "/run/control")
            os.write(tell, b"held")
            signal.pause()
        finally:
            os._exit(1)
    try:
        equal(os.read(told, 4), b"held")
        equal(i.queue(), [])
        guest = dict(user=pwd.getpwnam("bin").pw_uid, group=pwd.getpwnam("bin").pw_gid, extra_groups=[])
        r = subprocess.run([i.bin + "/heloise", "-C", i.dir, "queue", "mailq"], capture_output=True, text=True, **guest)
        contains(r.stdout + r.stderr, "mail queue is empty")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
