"""Somebody sets the clock: what waits comes neither sooner nor later by it, and nothing is lost.

The programs are those of build/clocked, whose wall clock a test sets (clock_hook.c)."""

import atexit
import os
import shutil
import socket
import struct
import tempfile
import time
from datetime import datetime

from harness import Instance, build_dir, check, contains, equal, free_port, letter, main, new_address, test, wait_for
from sink import Sink

DAY = 86400


class Clocked(Instance):
    """An instance whose clock is set by set_clock()."""

    def __init__(self, retry, address, port, settings=None):
        top = tempfile.mkdtemp(prefix="heloise-clocked-")
        atexit.register(shutil.rmtree, top, True)
        os.chmod(top, 0o755)
        for part in ("bin", "libexec"):
            shutil.copytree(build_dir() + "/clocked/" + part, top + "/" + part)
        self.clock = top + "/libexec/clock"
        os.symlink("../libexec/clock", top + "/bin/clock")
        self.set_clock(0)
        os.chmod(self.clock, 0o644)
        super().__init__(programs=top + "/bin", settings=settings, tables={
            "routes": ["down.example [%s]:%d" % (address, port)], "retry": ["* " + retry],
            "mailboxes": ["alice alice/"], "access": ["client:127.0.0.0/8 relay"]})

    def set_clock(self, seconds):
        """Seconds ahead of the true time; the file is mapped by the programs, and is written in place."""
        with open(self.clock, "r+b" if os.path.exists(self.clock) else "wb") as f:
            f.write(struct.pack("=q", seconds * 1000))


def deferred(retry):
    """An instance with a message that is deferred, and where its server will be."""
    address = new_address()
    port = free_port(address)
    i = Clocked(retry, address, port).start()
    number = i.send("alice@heloise.example", "bob@down.example", letter("waits"))
    i.wait_event("deferred", id=number)
    wait_for("the queue says so", lambda: i.queue()[0]["state"] == "deferred")
    return i, number, (address, port)


def attempts(i, number):
    return len(i.find_events("attempt", id=number))


def comes_back(i, number, place):
    sink = Sink(address=place[0], port=place[1])
    i.wait_event("delivered", id=number)
    i.wait_queue(0)
    equal(len(sink.messages), 1)
    check(not i.mail("alice"), "a report was made")


@test("a clock set a month forward neither expires a message nor hurries it")
def forward():
    i, number, place = deferred("every 1h life 1d")
    i.set_clock(30 * DAY)
    # somebody comes: the manager has turns
    other = i.send("alice@heloise.example", "alice@heloise.example", letter("meanwhile"))
    i.wait_event("delivered", id=other)
    i.wait_event("clock_stepped")
    time.sleep(1)
    equal(attempts(i, number), 1)
    (m,) = i.queue()
    wait = datetime.fromisoformat(m["next"].replace("Z", "+00:00")).timestamp() - time.time() - 30 * DAY
    check(3000 < wait < 4200, "next is %d s from now" % wait)
    # tried, it is not too old: it has waited for a moment
    i.cli("queue", "retry", number, ok=True)
    i.wait_event("deferred", id=number, count=2)
    check(not i.find_events("bounced"), "it was given up")
    wait_for("it is deferred", lambda: i.queue()[0]["state"] == "deferred")
    sink = Sink(address=place[0], port=place[1])
    i.cli("queue", "retry", number, ok=True)
    i.wait_event("delivered", id=number)
    equal(len(sink.messages), 1)


@test("a clock set a month back does not hold a message up for a month")
def back():
    i, number, place = deferred("every 2s life 1d")
    i.set_clock(-30 * DAY)
    had = attempts(i, number)
    wait_for("it is tried by its schedule", lambda: attempts(i, number) >= had + 3)
    comes_back(i, number, place)


@test("a clock set a month forward, and then a restart: the message is no older, and a restart later either")
def forward_and_restart():
    i, number, place = deferred("every 1h life 1d")
    i.set_clock(30 * DAY)
    other = i.send("alice@heloise.example", "alice@heloise.example", letter("meanwhile"))
    i.wait_event("delivered", id=other)
    i.wait_event("clock_stepped")
    sink = Sink([("RCPT TO:<*", "450 4.2.0 not yet")], address=place[0], port=place[1])
    for n in (2, 3):
        i.restart()
        i.cli("queue", "retry", number, ok=True)
        i.wait_event("deferred bounced", id=number, count=n)
        check(not i.find_events("bounced"), "it was given up")
        wait_for("it is deferred", lambda: i.queue()[0]["state"] == "deferred")
        check(not i.find_events("report"), "its sender was told that it is late")
    equal(i.cli("queue", "verify").returncode, 0)
    sink.drop_rules()
    i.cli("queue", "retry", number, ok=True)
    i.wait_event("delivered", id=number)
    equal(len(sink.messages), 1)


@test("forward and back again, many times, while it is tried every 2 s")
def to_and_fro():
    i, number, place = deferred("every 2s life 1d")
    for n, step in enumerate((3 * DAY, -3 * DAY, 400 * DAY, 7, -400 * DAY, 0), 2):
        i.set_clock(step)
        i.wait_event("attempt", id=number, count=n)
    check(not i.find_events("bounced"), "it was given up")
    comes_back(i, number, place)


@test("times in file names that lie a year ahead, after a restart with the clock put right, are brought back")
def names_ahead():
    address = new_address()
    port = free_port(address)
    i = Clocked("every 2s life 1d", address, port)
    i.set_clock(365 * DAY)
    i.start()
    number = i.send("alice@heloise.example", "bob@down.example", letter("waits"))
    i.wait_event("deferred", id=number)
    wait_for("the queue says so", lambda: i.queue()[0]["state"] == "deferred")
    i.stop()
    i.set_clock(0)
    i.start()
    had = attempts(i, number)
    wait_for("it is tried", lambda: attempts(i, number) >= had + 2)
    comes_back(i, number, (address, port))


@test("a name with a time that no schedule gives is brought back")
def foreign_name():
    i, number, place = deferred("every 2s life 1d")
    i.stop()
    (path,) = i.queue_files()
    head, next_, hop = path.rsplit(",", 2)
    os.rename(path, "%s,%s,%s" % (head, "fffffff0", hop))
    i.start()
    comes_back(i, number, place)


@test("mail taken before the clock was put right from 1990, and after, is delivered; ids stay apart")
def from_1990():
    address = new_address()
    port = free_port(address)
    i = Clocked("every 2s life 1d", address, port)
    i.set_clock(-int(time.time()) + 631152000)
    i.start()
    ids = [i.send("alice@heloise.example", "bob@down.example", letter("early %d" % n)) for n in range(3)]
    for number in ids:
        i.wait_event("deferred", id=number)
    i.set_clock(0)
    ids += [i.send("alice@heloise.example", "bob@down.example", letter("late %d" % n)) for n in range(3)]
    i.set_clock(-int(time.time()) + 631152000)
    ids += [i.send("alice@heloise.example", "bob@down.example", letter("again %d" % n)) for n in range(3)]
    equal(len(set(ids)), 9)
    equal(ids, sorted(ids), "ids in order")
    i.set_clock(0)
    sink = Sink(address=address, port=port)
    for number in ids:
        i.wait_event("delivered", id=number)
    i.wait_queue(0)
    equal(len(sink.messages), 9)
    check(not i.mail("alice"), "a report was made")


@test("a clock that is set a year forward while an attempt is under way makes the message no older")
def under_way():
    hole = socket.socket()
    hole.bind((new_address(), 0))
    hole.listen(10)
    i = Clocked("every 1h life 1d", *hole.getsockname(), settings={"timeout-greeting": "4s"}).start()
    number = i.send("alice@heloise.example", "bob@down.example", letter("waits"))
    i.wait_event("attempt", id=number)
    s, _ = hole.accept()
    i.set_clock(365 * DAY)
    i.wait_event("deferred", id=number)
    wait_for("the queue says so", lambda: i.queue()[0]["state"] == "deferred")
    check(not i.find_events("bounced"), "it was given up")
    check(not i.mail("alice"), "its sender was told something")
    (m,) = i.queue()
    wait = datetime.fromisoformat(m["next"].replace("Z", "+00:00")).timestamp() - time.time() - 365 * DAY
    check(3000 < wait < 4200, "next is %d s from now" % wait)
    s.close()
    hole.close()


@test("transcripts that are kept for a week outlive a clock that is set a year forward")
def transcripts():
    i, number, place = deferred("every 1h life 1d")
    Sink(address=place[0], port=place[1])
    i.cli("queue", "retry", number, ok=True)
    i.wait_event("delivered", id=number)
    i.wait_queue(0)
    i.set_clock(365 * DAY)
    i.cli("set", "transcript-keep", "2m", ok=True)  # the round through all directories takes 15 s
    i.cli("reload", ok=True)
    i.wait_event("delivered", id=i.send("alice@heloise.example", "bob@down.example", letter("later")))
    i.wait_event("clock_stepped")
    time.sleep(17)
    contains(i.cli("queue", "show", number, "--transcript", ok=True).text, "RCPT TO:<bob@down.example>")


if __name__ == "__main__":
    main()
