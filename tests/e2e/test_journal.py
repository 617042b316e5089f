"""The journal: first flights without a file, filed when need be, and nothing lost on the way."""

import glob
import os
import random
import re
import signal
import time

from flow import FEW, Flow, settle
from harness import Client, Instance, check, contains, equal, free_port, letter, main, new_address, test, wait_for
from sink import Sink
from smalldisk import Small


def with_route(route, settings=None, retry="* every 1s life 1d", **more):
    tables = {"access": ["client:127.0.0.0/8 relay"], "mailboxes": ["alice alice/"],
              "routes": ["busy.example " + route], "retry": [retry]}
    return Instance(settings=settings, tables=tables, **more)


def hanging(**how):
    """A sink that keeps quiet at RCPT, and an instance that sends there."""
    sink = Sink([("RCPT*", "hang")])
    return with_route(sink.route, **how).start(), sink


def dead_route():
    address = new_address()
    return "[%s]:%d" % (address, free_port(address))


def segments(i):
    return sorted(glob.glob(i.dir + "/queue/journal/*"))


def states(i):
    return {m["id"]: m["state"] for m in i.queue()}


def get_quiet(sink):
    """From here on it takes everything."""
    sink.rules.clear()
    for s in sink.scenario.scripts["a"].script[:]:
        if s[0] == "on":
            sink.scenario.scripts["a"].script.remove(s)


@test("a message in its first attempt has no file; list, show and why know it")
def no_file():
    i, sink = hanging()
    number = i.send("a@client.example", "x@busy.example", letter("in flight"))
    wait_for("the attempt hangs", lambda: any("RCPT" in c for c in sink.commands))
    equal(i.queue_files(), [])
    equal(os.path.basename(segments(i)[0]), "0")
    equal(states(i), {number: "active"})
    contains(i.cli("queue", "show", number, ok=True).text, "x@busy.example")
    contains(i.cli("queue", "why", number, ok=True).text, number)


@test("delivered in the first attempt: no file, no trace after a restart")
def delivered():
    sink = Sink()
    i = with_route(sink.route).start()
    numbers = [i.send("a@client.example", to) for to in ("x@busy.example", "alice@heloise.example") * 5]
    for n in numbers:
        i.wait_event("finished", id=n)
    equal(i.queue_files(), [])
    i.restart()
    i.wait_event("started", program="queue", count=2)
    equal(i.queue(), [])
    equal(len(sink.messages), 5)
    equal(len(i.mail("alice")), 5)


@test("a deferral files it, with marks and history; a restart goes on from the file")
def deferred():
    i = with_route(dead_route(), retry="* every 1h life 1d").start()
    number = i.send("a@client.example", "x@busy.example")
    i.wait_event("deferred", id=number)
    (path,) = wait_for("its file", i.queue_files)
    contains(path, "/cur/")
    contains(i.cli("queue", "why", number, ok=True).text, "refused at connect")
    equal(i.queue()[0]["recipients"][0]["attempts"], 1)
    i.restart()
    equal(states(i), {number: "deferred"})
    equal(i.queue_files(), [path])
    check(not i.find_events("attempt", id=number)[1:], "tried again before its time")


@test("two destinations, one hangs: what is delivered is not repeated after the manager is killed")
def two_jobs():
    sink, slow = Sink(), Sink([("RCPT*", "hang")])
    i = with_route(sink.route)
    i.table("routes", "slow.example " + slow.route)
    i.cli("build", ok=True)
    i.start()
    number = i.send("a@client.example", ["x@busy.example", "y@slow.example"])
    i.wait_event("delivered", id=number, recipient="x@busy.example")
    wait_for("it is filed", i.queue_files)
    before = i.pids()["queue"]
    os.kill(before, signal.SIGKILL)
    wait_for("the manager is back", lambda: i.pids().get("queue") not in (None, before))
    i.wait_event("attempt", id=number, count=3)
    time.sleep(1)
    equal(len(sink.messages), 1)


@test("one destination has no room, another takes it: what is delivered is not repeated when there is room", limit=90)
def crowded():
    good, slow = Sink(), Sink([("RCPT*", "hang")])
    i = with_route(slow.route, settings={"destination-attempts": "1", "timeout-rcpt": "4s"})
    i.table("routes", "good.example " + good.route)
    i.cli("build", ok=True)
    i.start()
    for _ in range(7):
        i.send("a@client.example", "x@busy.example")
    both = i.send("a@client.example", ["x@busy.example", "y@good.example"])
    i.wait_event("delivered", id=both, recipient="y@good.example")
    get_quiet(slow)
    i.wait_queue(0, 60)
    equal(len(good.messages), 1)
    equal(len(i.find_events("delivered", id=both)), 2)


@test("a failed recipient files the message; its sender gets the report")
def failed():
    i = with_route("error:5.7.1 not there").start()
    number = i.send("alice@heloise.example", "x@busy.example")
    i.wait_event("report", id=number)
    contains(i.wait_mail("alice")[0].decode(), "not there")
    i.wait_queue(0)


@test("stopped with messages in the journal: they are delivered after the start", limit=90)
def restart():
    i, sink = hanging()
    numbers = [i.send("a@client.example", "x@busy.example", letter("n%d" % n)) for n in range(40)]
    equal(len(i.queue()), 40)
    i.stop()
    get_quiet(sink)
    i.start()
    i.wait_queue(0, 60)
    got = [re.search(rb"Subject: (n\d+)", m).group(1) for m in sink.messages]
    equal(sorted(set(got)), sorted(b"n%d" % n for n in range(40)))
    equal(len(got), len(numbers))


@test("list, show, why, retry and remove while nothing runs; what was removed does not come back")
def while_down():
    i, sink = hanging()
    numbers = [i.send("a@client.example", "x@busy.example", letter("n%d" % n)) for n in range(12)]
    i.stop()
    equal(i.queue_files(), [])
    equal(states(i), {n: "new" for n in numbers})
    contains(i.cli("queue", "show", numbers[3], ok=True).text, "x@busy.example")
    contains(i.cli("queue", "why", numbers[3], ok=True).text, numbers[3])
    contains(i.cli("queue", "retry", ok=True).text, "12 messages are tried")
    for n in numbers[:10]:
        contains(i.cli("queue", "remove", n, ok=True).text, "Removed")
        check(i.cli("queue", "show", n).returncode != 0, "it is still shown")
    equal(states(i), {n: "new" for n in numbers[10:]})
    get_quiet(sink)
    i.start()
    i.wait_queue(0)
    equal(len(sink.messages), 2)


@test("a small journal goes round and round while a destination is dead; all is delivered when it comes back", limit=150)
def round_and_round():
    i, sink = hanging(settings={"queue-journal-size": "256k", "destination-attempts": "3"})
    taken = []
    with Client(i) as c:
        c.cmd("EHLO x", 250)
        for n in range(150):
            c.cmd("MAIL FROM:<>", 250)
            c.cmd("RCPT TO:<x@busy.example>", 250)
            taken.append(c.data(letter("n%d." % n, "z" * 70 + "\n" + ("y" * 70 + "\n") * (n % 90))))
    equal(sorted(states(i)), sorted(taken))
    check(len(i.queue_files()) > 50, "the journal is larger than it may be", len(i.queue_files()))
    equal([os.path.getsize(s) for s in segments(i)], [32768] * len(segments(i)))
    i.restart()
    equal(sorted(states(i)), sorted(taken))
    get_quiet(sink)
    i.restart()
    i.wait_queue(0, 90)
    wait_for("no file is left", lambda: not i.queue_files(), 10)
    equal(len({re.search(rb"Subject: (n\d+)", m).group(1) for m in sink.messages}), 150)
    check(not os.listdir(i.dir + "/queue/corrupt"), "files in queue/corrupt")


@test("verify with the daemon down tells of a journal that is damaged, cut off or cannot be read, and of a whole one nothing")
def verified():
    def flip(path):
        with open(path, "r+b") as f:
            f.seek(4096 + 200)
            f.write(b"\0")

    for damage, said, left in ((lambda path: None, "all is well", 3), (flip, "durable are damaged", 2),
                               (lambda path: os.truncate(path, 5000), "shorter than it was made", 1),
                               (lambda path: os.truncate(path, 3 << 30), "all is well", 3)):
        i, sink = hanging()
        for n in range(3):
            i.send("a@client.example", "x@busy.example", letter("n%d" % n))
        i.stop()
        damage(segments(i)[0])
        r = i.cli("queue", "verify")
        equal(r.returncode, 0 if said == "all is well" else 65, r.text)
        contains(r.text, said)
        get_quiet(sink)
        i.start()
        i.wait_queue(0)
        equal(len(sink.messages), left)
        i.stop(quietly=True)


@test("queue-journal no: each is a file at once; switched off it is emptied and goes, switched on it comes back")
def switched():
    i, sink = hanging()
    first = i.send("a@client.example", "x@busy.example")
    equal(i.queue_files(), [])
    i.cli("set", "queue-journal", "no", ok=True)
    i.cli("reload", ok=True)
    wait_for("it is filed", lambda: len(i.queue_files()) == 1)
    wait_for("the journal is gone", lambda: not segments(i))
    second = i.send("a@client.example", "x@busy.example")
    equal(len(i.queue_files()), 2)
    equal(sorted(states(i)), sorted([first, second]))
    i.restart()
    equal(sorted(states(i)), sorted([first, second]))
    i.cli("set", "queue-journal", "yes", ok=True)
    i.cli("reload", ok=True)
    wait_for("the journal is back", lambda: i.send("a@client.example", "x@busy.example") and segments(i))
    equal(len(states(i)), len(i.queue_files()) + 1)


@test("switched off while it is down: the messages in the journal become files at the start")
def switched_while_down():
    i, sink = hanging()
    number = i.send("a@client.example", "x@busy.example")
    i.stop()
    i.cli("set", "queue-journal", "no", ok=True)
    i.cli("build", ok=True)
    i.start()
    wait_for("it is filed", lambda: len(i.queue_files()) == 1)
    wait_for("the journal is gone", lambda: not segments(i))
    equal(list(states(i)), [number])


def records(data):
    """Offsets of what begins like a record."""
    return [m.start() for m in re.finditer(rb"hlj[MDF]", data)]


@test("a torn tail, and records of an earlier use of the file behind it: no mail, no noise")
def torn_tail():
    i, sink = hanging()
    kept = i.send("a@client.example", "x@busy.example", letter("whole"))
    i.send("a@client.example", "x@busy.example", letter("torn"))
    i.stop()
    path = segments(i)[0]
    with open(path, "r+b") as f:
        data = f.read()
        whole, torn = [n for n in records(data) if data[n + 3:n + 4] == b"M"][:2]
        f.seek(torn + 300)
        f.write(b"\0" * 64)
    i.start()  # the next segment, with another salt
    third = i.send("a@client.example", "x@busy.example", letter("later"))
    i.stop()
    with open(segments(i)[1], "r+b") as f:
        there = f.read()
        end = max(records(there)) + 4096
        f.seek(end - end % 8)
        f.write(data[whole:torn])  # a record that was whole elsewhere
    get_quiet(sink)
    i.start()
    i.wait_queue(0)
    equal(sorted(re.search(rb"Subject: (\w+)", m).group(1) for m in sink.messages), [b"later", b"whole"])
    check(kept and third and not os.listdir(i.dir + "/queue/corrupt"), "files in queue/corrupt")
    equal(i.find_events("corrupt"), [])


@test("an acknowledged message that the disk lost goes to queue/corrupt once, is logged, and the rest goes on")
def lost_record():
    i, sink = hanging()
    i.send("a@client.example", "x@busy.example", letter("lost"))
    i.send("a@client.example", "x@busy.example", letter("first"))
    i.send("a@client.example", "x@busy.example", letter("second"))
    i.stop()
    path = segments(i)[0]
    with open(path, "r+b") as f:
        data = f.read()
        f.seek(records(data)[0] + 300)
        f.write(b"\xff" * 8)
    i.start()
    event = i.wait_event("corrupt")
    equal(event[1]["file"], "journal/0")
    (name,) = os.listdir(i.dir + "/queue/corrupt")
    with open(i.dir + "/queue/corrupt/" + name, "rb") as f:
        contains(f.read().decode("latin-1"), "Subject: lost")
    i.stop()
    get_quiet(sink)
    i.start()
    i.wait_queue(0)
    equal(sorted(re.search(rb"Subject: (\w+)", m).group(1) for m in sink.messages), [b"first", b"second"])
    equal(len(i.find_events("corrupt")), 1)


@test("the disk loses a segment's head: the copy counts, nothing is lost and nothing comes again; without it the rest goes on")
def lost_head():
    sink, slow = Sink(), Sink([("RCPT*", "hang")])
    i = with_route(sink.route)
    i.table("routes", "slow.example " + slow.route)
    i.cli("build", ok=True)
    i.start()
    done = [i.send("a@client.example", "x@busy.example") for _ in range(3)]
    waits = i.send("a@client.example", "y@slow.example")
    for number in done:
        i.wait_event("finished", id=number)
    i.stop()
    path = segments(i)[0]
    with open(path, "r+b") as f:
        f.write(b"\0" * 512)
    equal(states(i), {waits: "new"})
    contains(i.cli("queue", "show", waits, ok=True).text, "y@slow.example")
    get_quiet(slow)
    i.start()
    i.wait_queue(0)
    i.wait_event("failed", what="journal/0")
    equal((len(sink.messages), len(slow.messages)), (3, 1))
    check(not os.listdir(i.dir + "/queue/corrupt"), "files in queue/corrupt")
    i.stop()
    with open(path, "r+b") as f:  # both, and no zeros: put aside, and its place is used again
        f.write(b"damage" * 20)
        f.seek(-4096, os.SEEK_END)
        f.write(b"damage" * 20)
    i.start()
    i.wait_event("corrupt")
    i.wait_event("finished", id=i.send("a@client.example", "x@busy.example"))
    equal(os.listdir(i.dir + "/queue/corrupt"), ["0"])


@test("a file that a power cut left torn beside its record: the record counts")
def torn_file():
    i, sink = hanging()
    number = i.send("a@client.example", "x@busy.example", letter("twice there"))
    i.stop()
    path = "%s/queue/cur/%s/%s,00000001,00000000" % (i.dir, number[-2:], number)
    with open(path, "wb") as f:
        f.write(b"heloise 1 00000")
    os.chown(path, i.user.pw_uid, i.user.pw_gid)
    equal(states(i), {number: "new"})
    get_quiet(sink)
    i.start()
    i.wait_queue(0)
    equal(len(sink.messages), 1)
    check(i.find_events("swept", file=number), "no word of the torn file")
    check(not os.listdir(i.dir + "/queue/corrupt"), "files in queue/corrupt")


@test("a file that a power cut brought back after its end: the journal's word counts, whole or torn")
def leftover():
    i, sink = hanging()
    numbers = [i.send("a@client.example", "x@busy.example", letter("n%d" % n)) for n in range(2)]
    i.stop()
    with open(segments(i)[0], "rb") as f:
        data = f.read()
    for number, part in zip(numbers, (1, 2)):
        i.cli("queue", "remove", number, ok=True)
        at = data.index(b"hljM", data.index(number.encode()) - 16)
        size = int.from_bytes(data[at + 4:at + 8], "little")
        path = "%s/queue/new/%s/%s" % (i.dir, number[-2:], number)
        with open(path, "wb") as f:
            f.write(data[at + 48:at + 48 + size // part])
        os.chown(path, i.user.pw_uid, i.user.pw_gid)
    get_quiet(sink)
    i.start()
    for number in numbers:
        i.wait_event("swept", file=number)
    equal(i.queue(), [])
    equal(len(sink.messages), 0)
    check(not os.listdir(i.dir + "/queue/corrupt"), "files in queue/corrupt")


@test("a full disk: what cannot be filed waits in the journal, is tried again, and filed when there is room")
def full_disk():
    sink = Sink([("RCPT*", "hang")])
    with Small(settings={"timeout-rcpt": "1s"}, access=["client:127.0.0.0/8 relay"],
               routes=["busy.example " + sink.route], retry=["* every 1s life 1d"]) as small:
        i = small.i
        number = i.send("", "x@busy.example")
        wait_for("the attempt hangs", lambda: any("RCPT" in c for c in sink.commands))
        filler = small.fill()
        i.wait_event("deferred", id=number, count=3)
        equal(list(states(i)), [number])
        equal(i.queue_files(), [])
        os.unlink(filler)
        wait_for("it is filed", lambda: len(i.queue_files()) == 1)
        get_quiet(sink)
        i.wait_queue(0)


@test("intake, manager and run are killed at random moments under load: nothing is lost", limit=240)
def killed_at_random():
    sink = Sink()
    i = with_route(sink.route, settings={"queue-journal-size": "512k", **FEW})
    i.start()
    flow, killed = Flow(i, clients=6), []
    chance = random.Random(4711)
    for turn in range(12):
        time.sleep(chance.random() * 0.7)
        name = ("intake", "queue", "run")[turn % 3]
        if name == "run":
            pids = list(i.pids().values())
            os.kill(i.process.pid, signal.SIGKILL)
            i.process.wait()
            wait_for("the programs are gone", lambda: not any(os.path.exists("/proc/%d" % p) for p in pids))
            i.start()
        else:
            pid = wait_for(name, lambda: i.pids().get(name))
            os.kill(pid, signal.SIGKILL)
        killed.append(name)
        flow.wait_more(5)
    settle(i, flow, sink, killed)


if __name__ == "__main__":
    main()
