"""heloise queue export and import: a queue moves to another host, and nothing is lost on the way."""

import glob
import json
import os
import random
import signal
import subprocess
import time

from harness import IS_ROOT, check, contains, equal, letter, main, test, wait_for
from queued import fill, instance, settled, states
from sink import Sink


def strip(messages):
    """What must be the same on the other host."""
    return sorted(json.dumps(m, sort_keys=True) for m in messages)


def nameless(messages):
    """The same for messages that come back to where they left: these may get new ids."""
    return sorted(json.dumps({k: v for k, v in m.items() if k != "id"}, sort_keys=True) for m in messages)


def details(i):
    """Everything that is known of each message: envelope, history, content, transcript."""
    known = {}
    for m in i.queue():
        show = i.cli("queue", "show", m["id"], "--json", ok=True).text
        content = i.cli("queue", "show", m["id"], "--headers", "--body", ok=True).stdout
        said = i.cli("queue", "show", m["id"], "--transcript").text
        known[m["id"]] = (show, content, said)
    return known


def archive(i, name="queue.heloise"):
    return i.top + "/" + name


def no_leftovers(i):
    equal([f for f in glob.glob(i.top + "/*.part")], [])
    equal(os.listdir(i.dir + "/queue/tmp"), [])


@test("a queue moves to another host with its schedule, attempts, histories and transcripts")
def moves():
    for up_there, up_here in ((True, True), (False, False), (True, False), (False, True)):
        a, b = instance().start(), instance().start()
        ids = fill(a)
        a.cli("queue", "hold", ids[0], ok=True)
        if not up_there:
            a.stop()
        if not up_here:
            b.stop()
        before, known = a.queue(), details(a)
        check("refused" in known[ids[1]][2], "there is no transcript to lose")
        contains(a.cli("queue", "export", archive(a), ok=True).text, "4 messages were exported")
        equal(os.stat(archive(a)).st_mode & 0o777, 0o600)
        equal(strip(a.queue()), strip(before), "the queue after an export")
        contains(b.cli("queue", "import", archive(a), ok=True).text, "4 messages were imported")
        equal(strip(b.queue()), strip(before), "the queue on the other host")
        equal(details(b), known)
        equal(b.cli("queue", "verify").returncode, 0)
        for f in b.queue_files():
            equal((os.stat(f).st_uid, os.stat(f).st_mode & 0o777), (b.user.pw_uid, 0o600), f)
        # a second time changes nothing
        contains(b.cli("queue", "import", archive(a), ok=True).text, "0 messages were imported", "4 were in the queue already")
        equal(strip(b.queue()), strip(before))
        if not up_here:
            b.start()
            equal(strip(b.queue()), strip(before), "after a start")
        no_leftovers(a)
        no_leftovers(b)
        for i in (a, b):
            i.stop(quietly=True)


@test("what was imported is delivered from there; what is to do is done once")
def goes_on():
    sink = Sink()
    a, b = instance().start(), instance(down=sink.route, away=sink.route).start()
    fill(a)
    a.cli("queue", "export", archive(a), "--remove", "--yes", ok=True)
    equal(a.queue(), [])
    wait_for("their files are gone", lambda: not a.queue_files())
    b.cli("queue", "import", archive(a), ok=True)
    b.cli("queue", "retry", "all", ok=True)
    b.wait_queue(0)
    equal(sum(c.startswith("RCPT") for c in sink.commands), 5, "recipients")
    a.restart()
    equal(a.queue(), [], "a restart brought something back")


@test("export takes ids and filters, standard output, and --remove asks and says what it left")
def chosen():
    for is_up in (True, False):
        i = instance().start()
        one, two, three, four = fill(i)
        if not is_up:
            i.stop()
        r = i.cli("queue", "export", "-", "--sender", "alice@heloise.example", ok=True)
        check(r.stdout.startswith(b"heloise-archive 1 ") and r.stdout.count(b"\nm ") == 2, r.stdout[:200])
        contains(r.error, "2 messages were exported")
        r = i.cli("queue", "export", archive(i, "ids"), one, "no-such-id", three)
        equal(r.returncode, 65)
        contains(r.text + r.error, "2 messages", "not in the queue")
        equal(i.cli("queue", "export", "-", "--remove", one).returncode, 64)
        r = i.cli("queue", "export", archive(i, "no"), "--remove")
        equal(r.returncode, 64)
        check(not os.path.exists(archive(i, "no")), "a file was made")
        equal(set(states(i).values()), {"deferred"})
        before = {m["id"]: m for m in i.queue()}
        r = i.cli("queue", "export", archive(i, "rest"), "--remove", "--domain", "away.example", "--yes", "--json", ok=True)
        equal(json.loads(r.text), {"exported": 3, "removed": True})
        equal(i.queue(), [before[one]])
        # nothing is written over
        for name in ("ids", "rest"):
            r = i.cli("queue", "export", archive(i, name), "--remove", one)
            check(r.returncode == 73 and "overwritten" in r.error, r)
        r = i.cli("queue", "export", i.top + "/nowhere/x", "--remove", one)
        equal(r.returncode, 73)
        equal(i.queue(), [before[one]], "after exports that failed")
        with open(archive(i, "rest"), "rb") as f:
            i.cli("queue", "import", "-", stdin=f.read(), ok=True)
        equal(nameless(i.queue()), nameless(before.values()))
        no_leftovers(i)
        i.restart() if is_up else i.start()
        equal(nameless(i.queue()), nameless(before.values()), "after a start")
        i.stop(quietly=True)


@test("export --remove to a disk that is full, or killed at any moment, loses nothing")
def never_loses():
    i = instance().start()
    ids = fill(i)
    r = i.cli("queue", "export", "/dev/full", "--remove", "--yes")
    equal(r.returncode, 73)
    equal(sorted(states(i)), sorted(ids))
    equal(set(states(i).values()), {"deferred"}, "left on hold")
    senders = sorted(m["sender"] for m in i.queue())
    for n in range(12):
        before = {m["id"]: m["sender"] for m in i.queue()}
        p = subprocess.Popen(i.command("heloise", "queue", "export", archive(i, "k%d" % n), "--remove", "--yes"),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             **i.as_user())
        time.sleep(random.uniform(0.001, 0.05))
        p.send_signal(signal.SIGKILL if n % 2 else signal.SIGTERM)
        p.wait()
        here = set(states(i))
        try:
            with open(archive(i, "k%d" % n), "rb") as f:
                there = {line.split()[1].decode() for line in f if line.startswith(b"m ")}
        except FileNotFoundError:
            there = set()
        equal(here | there, set(before), "after kill %d" % n)
        if there - here:
            i.cli("queue", "import", archive(i, "k%d" % n), ok=True)
        i.cli("queue", "release", "--state", "hold", "--yes", ok=True)
        for part in glob.glob(i.top + "/*.part"):
            os.unlink(part)
        equal(sorted(m["sender"] for m in i.queue()), senders)
    i.restart()
    equal(sorted(m["sender"] for m in i.queue()), senders)


@test("a message that is being tried is exported with --remove when its attempt ends")
def active():
    sink = Sink([("RCPT", "hang")])
    i = instance(settings={"timeout-rcpt": "3s"}, down=sink.route).start()
    number = i.send("alice@heloise.example", "bob@down.example")
    wait_for("it is being tried", lambda: any(c.startswith("RCPT") for c in sink.commands))
    i.cli("queue", "export", archive(i), number, "--remove", ok=True)
    equal(i.queue(), [])
    check(i.find_events("deferred", id=number), "it did not wait")
    i.cli("queue", "import", archive(i), ok=True)
    (m,) = i.queue()
    equal((m["state"], m["recipients"][0]["attempts"]), ("deferred", 1))
    before = i.cli("queue", "show", m["id"], "--transcript", ok=True).text
    contains(before, "RCPT TO")
    i.restart()
    equal([n["id"] for n in i.queue()], [m["id"]], "after a start")
    equal(i.cli("queue", "show", m["id"], "--transcript", ok=True).text, before)
    equal(i.cli("queue", "verify").returncode, 0)


@test("what left lately gets another id when it comes back, always the same: a second import finds it")
def comes_back():
    for is_up in (True, False):
        sink = Sink([("RCPT", "hang")])
        i = instance(settings={"timeout-rcpt": "30s"}, down=sink.route).start()
        number = i.send("alice@heloise.example", "bob@down.example")
        wait_for("it is being tried", lambda: any(c.startswith("RCPT") for c in sink.commands))
        i.stop()
        equal(i.queue_files(), [])
        i.cli("queue", "export", archive(i), number, ok=True)
        i.cli("queue", "remove", number, ok=True)
        if is_up:
            i.start()
        contains(i.cli("queue", "import", archive(i), ok=True).text, "1 message was imported", "under a new id")
        (m,) = i.queue()
        check(m["id"] != number, "its id is used again")
        contains(i.cli("queue", "import", archive(i), ok=True).text, "0 messages were imported", "1 was in the queue already")
        equal([n["id"] for n in i.queue()], [m["id"]])
        no_leftovers(i)
        i.stop(quietly=True)


@test("an archive that was cut, changed, put together by hand or is none at all: what is whole is taken, and told")
def damaged():
    a = instance().start()
    ids = fill(a)
    data = a.cli("queue", "export", "-", ok=True).stdout
    a.stop()
    message = data.index(b"Hello.")
    second = data.index(b"\nm ", data.index(b"\nm ") + 1) + 1
    third = data.index(b"\nm ", second + 1) + 1
    cases = {
        "none": (b"", 0, "not an archive"), "rubbish": (os.urandom(5000), 0, "not an archive"),
        "cut in a message": (data[:message], 0, "too early"), "cut at its end": (data[:-1], 4, "too early"),
        "cut between messages": (data[:second], 1, "too early"),
        "a byte of a message": (data[:message] + b"J" + data[message + 1:], 3, "not taken"),
        "a message taken out": (data[:second] + data[third:], 3, "does not fit"),
        "more behind its end": (data + b"x", 4, "follows its end"),
        "a length": (data.replace(b"\nm ", b"\nm %s new 00000000 999999999999999999\nm " % ids[0].encode(), 1), 0, "too large"),
        "a path": (data.replace(b"m " + ids[0].encode(), b"m ../../../tmp/xxx", 1), None, "damaged"),
        "an id that is another's": (data.replace(b"m " + ids[0].encode(), b"m 0000000000000" + ids[0][-2:].encode(), 1), 3,
                                    "not taken"),
        "twice": (data[:second] + data[data.index(b"\nm ") + 1:], 4, "not taken"),
    }
    for is_up in (True, False):
        for name, (bad, count, said) in cases.items():
            b = instance()
            if is_up:
                b.start()
            r = b.cli("queue", "import", "-", stdin=bad)
            equal(r.returncode, 65, name + r.error)
            contains(name + ": " + r.error, said)
            if count is not None:
                equal(len(b.queue()), count, name)
            equal(b.cli("queue", "verify").returncode, 0, name)
            no_leftovers(b)
            b.stop(quietly=True)


@test("an id that is in the queue already with another message is refused, never overwritten")
def collision():
    a, b = instance().start(), instance().start()
    (number,) = settled(a, [a.send("alice@heloise.example", "bob@down.example", letter("the other one"))])
    settled(b, [b.send("alice@heloise.example", "bob@down.example", letter("mine"))])
    data = a.cli("queue", "export", "-", ok=True).stdout
    b.stop()
    (path,) = b.queue_files()
    own = os.path.basename(path).split(",")[0]
    (other,) = a.queue_files()
    target = b.dir + "/queue/cur/" + number[-2:] + "/" + os.path.basename(other)
    os.rename(path, target)
    for is_up in (False, True):
        if is_up:
            b.start()
        r = b.cli("queue", "import", "-", stdin=data)
        equal(r.returncode, 65, r.error)
        contains(r.error, "another message with this id")
        with open(target, "rb") as f:
            check(("i %s\n" % own).encode() in f.read(), "it was overwritten")


@test("import as root into another user's queue makes files that are that user's")
def owner():
    if not IS_ROOT:
        return
    a, b = instance().start(), instance()
    fill(a)
    a.cli("queue", "export", archive(a), ok=True)
    subprocess.run([b.bin + "/heloise", "-C", b.dir, "queue", "import", archive(a)], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL)
    for f in b.queue_files():
        equal(os.stat(f).st_uid, b.user.pw_uid)
    equal(b.cli("queue", "verify").returncode, 0)
    b.start()
    equal(len(b.queue()), 4)


if __name__ == "__main__":
    main()
