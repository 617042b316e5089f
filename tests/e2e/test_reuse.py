#!/usr/bin/env python3
"""Connections that are kept for the next message, and the processes that hand them on."""

import contextlib
import os
import re
import signal
import socket
import threading

from harness import Client, Instance, check, contains, equal, letter, main, new_address, test, wait_for
from sink import Sink


def with_sink(settings=None, rules=(), words=None, **how):
    sink = Sink(rules, **how)
    i = Instance(settings=settings, tables={
        "access": ["client:127.0.0.0/8 relay"],
        "routes": ["peer.example " + sink.route],
        "retry": ["* every 2s life 1h"],
        "peers": ["%s %s" % (sink.address, words)] if words else []}).start()
    return i, sink


def send_many(i, count, domain="peer.example"):
    ids = []
    with Client(i) as c:
        c.cmd("EHLO client.example", 250)
        for n in range(count):
            c.cmd("MAIL FROM:<a@client.example>", 250)
            c.cmd("RCPT TO:<r%d@%s>" % (n, domain), 250)
            ids.append(c.data(letter("number %d" % n)))
    return ids


def delivered(i, number):
    return i.wait_event("delivered", id=number, patience=30)


@test("a thousand messages to one peer: no more connections than attempts at once", limit=200)
def burst():
    i, sink = with_sink(settings={"destination-attempts": "5", "session-reuse-idle": "1m"})
    send_many(i, 1000)
    wait_for("all of them", lambda: len(sink.messages) == 1000, 120)
    i.wait_queue(0)
    check(len(sink.sessions) <= 5, len(sink.sessions), "connections")
    subjects = {re.search(rb"Subject: (number \d+)", m).group(1) for m in sink.messages}
    equal(len(subjects), 1000, "different messages")


@test("a kept connection ends with QUIT when session-reuse-idle is over")
def idle():
    i, sink = with_sink(settings={"session-reuse-idle": "1s"})
    delivered(i, i.send("a@client.example", "r@peer.example"))
    check("QUIT" not in sink.commands, "it was not kept")
    wait_for("QUIT", lambda: "QUIT" in sink.commands, 8)
    wait_for("no attempt is left", lambda: not i.of_deliver("attempt"))
    equal(len(sink.sessions), 1)


@test("session-reuse-count and session-reuse-age are obeyed")
def bounds():
    i, sink = with_sink(settings={"session-reuse-count": "3", "session-reuse-idle": "30s"})
    for _ in range(4):
        delivered(i, i.send("a@client.example", "r@peer.example"))
    equal([len(s.messages) for s in sink.sessions], [3, 1], "messages on each connection")
    i.cli("set", "session-reuse-age", "0")
    i.cli("reload", ok=True)
    for _ in range(2):
        delivered(i, i.send("a@client.example", "r@peer.example"))
    equal([len(s.messages) for s in sink.sessions], [3, 1, 1, 1], "and then")


@test("a reload ends what is kept, and its tables are in force for the next message")
def reload():
    i, sink = with_sink(settings={"session-reuse-idle": "60s"})
    delivered(i, i.send("a@client.example", "r@peer.example"))
    i.table("peers", sink.address + " no-reuse")
    i.cli("reload", ok=True)
    wait_for("QUIT", lambda: "QUIT" in sink.commands)
    for _ in range(2):
        delivered(i, i.send("a@client.example", "r@peer.example"))
    equal([len(s.messages) for s in sink.sessions], [1, 1, 1], "messages on each connection")


@test("run stops at once with a connection kept, and the peer hears QUIT")
def stop():
    i, sink = with_sink(settings={"session-reuse-idle": "60s"})
    delivered(i, i.send("a@client.example", "r@peer.example"))
    check(i.stop() < 4, "it took long")
    wait_for("QUIT", lambda: "QUIT" in sink.commands)


@test("no attempt outlives heloise-deliver, kept or not")
def orphans():
    i, sink = with_sink(settings={"session-reuse-idle": "60s"})
    delivered(i, i.send("a@client.example", "r@peer.example"))
    delivered(i, i.send("a@client.example", "r@peer.example"))
    equal([len(i.of_deliver(name)) for name in ("stem", "attempt")], [1, 1], "processes")
    left = i.of_deliver("stem") + i.of_deliver("attempt")
    os.kill(i.pids()["deliver"], signal.SIGKILL)
    wait_for("their end", lambda: not any(os.path.exists("/proc/%d" % p) for p in left))
    delivered(i, i.send("a@client.example", "r@peer.example"))


@test("every message is an attempt in a process of its own")
def processes():
    i, sink = with_sink(settings={"session-reuse-idle": "60s"})
    seen = []
    for _ in range(4):
        delivered(i, i.send("a@client.example", "r@peer.example"))
        seen += i.of_deliver("attempt")
    equal(len(set(seen)), 4, "processes")
    equal(len(sink.sessions), 1, "connections")


@test("a process that keeps a connection is killed: the next message gets another one")
def kept_killed():
    i, sink = with_sink(settings={"session-reuse-idle": "60s"})
    delivered(i, i.send("a@client.example", "r@peer.example"))
    (kept,) = i.of_deliver("attempt")
    os.kill(kept, signal.SIGKILL)
    delivered(i, i.send("a@client.example", "r@peer.example"))
    equal(len(sink.messages), 2)
    check(not i.find_events("deferred"), "it was held against the message")


@test("a process that keeps a connection is stopped while it is asked: the message waits, and arrives once")
def kept_stopped():
    i, sink = with_sink(settings={"session-reuse-idle": "60s"})
    delivered(i, i.send("a@client.example", "r@peer.example"))
    (kept,) = i.of_deliver("attempt")
    os.kill(kept, signal.SIGSTOP)
    number = i.send("a@client.example", "r@peer.example")
    i.wait_event("attempt", id=number)
    os.kill(kept, signal.SIGKILL)  # it has the job, and no child yet
    delivered(i, number)
    equal(len(sink.messages), 2)
    check(not i.find_events("deferred"), "it was held against the message")


@test("the transcript says on which connection a message went")
def told():
    i, sink = with_sink(settings={"session-reuse-idle": "60s"})
    first = i.send("a@client.example", "r@peer.example")
    delivered(i, first)
    second = i.send("a@client.example", "r@peer.example")
    delivered(i, second)
    wait_for("the transcript", lambda: i.cli("queue", "show", second, "--transcript").returncode == 0)
    contains(i.cli("queue", "show", first, "--transcript", ok=True).text,
             "connecting to", "the connection is kept")
    text = i.cli("queue", "show", second, "--transcript", ok=True).text
    contains(text, "on a connection open since", "message 2 on it", "MAIL FROM")
    check("EHLO" not in text, text)


class Talker:
    """Takes one message on each connection, and answers the whole of a second one when it hears MAIL."""

    def __init__(self):
        self.taken, self.connections, self.listener = [], 0, socket.create_server((new_address(), 0))
        self.route = "[%s]:%d" % self.listener.getsockname()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            connection, _ = self.listener.accept()
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        taken, lines = 0, connection.makefile("rb")
        with connection, contextlib.suppress(ConnectionError):
            connection.sendall(b"220 talker.example ESMTP\r\n")
            for line in lines:
                if taken and line.startswith(b"MAIL"):
                    connection.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n250 taken, so to speak\r\n")
                elif line.startswith(b"EHLO"):
                    connection.sendall(b"250-talker.example\r\n250 PIPELINING\r\n")
                elif line.startswith(b"DATA") and not taken:
                    connection.sendall(b"354 go on\r\n")
                    self.taken.append(b"".join(iter(lines.readline, b".\r\n")))
                    taken += 1
                    connection.sendall(b"250 taken\r\n")
                elif not taken or line.startswith(b"QUIT"):
                    connection.sendall(b"250 ok\r\n")


@test("replies that were there before they were asked for do not count as a message's delivery")
def ahead_of_time():
    talker = Talker()
    i = Instance(tables={"access": ["client:127.0.0.0/8 relay"], "routes": ["peer.example " + talker.route],
                         "retry": ["* every 2s life 1h"]}).start()
    for n in range(3):
        delivered(i, i.send("a@client.example", "r@peer.example", letter("number %d" % n)))
    equal(len(talker.taken), 3, "messages that the peer has")
    equal(talker.connections, 3)
    check(not i.find_events("deferred"), "it was held against a message")


@test("after an attempt died by a signal the next ones come from a new stem, once a minute at most")
def renewed():
    i, sink = with_sink(rules=[("MAIL FROM:<slow@*", "hang")])
    first = wait_for("a stem", lambda: i.of_deliver("stem"))
    for who in ("one", "two"):
        i.send("slow@client.example", who + "@peer.example")
    one, two = wait_for("two attempts", lambda: len(i.of_deliver("attempt")) == 2 and i.of_deliver("attempt"))
    os.kill(one, signal.SIGSEGV)
    i.wait_event("attempt_died")
    second = wait_for("a new stem", lambda: [p for p in i.of_deliver("stem") if p not in first])
    wait_for("the end of the old one", lambda: i.of_deliver("stem") == second)
    check(two in i.of_deliver("attempt"), "an attempt that flew was ended")
    delivered(i, i.send("a@client.example", "r@peer.example"))
    os.kill(two, signal.SIGSEGV)
    i.wait_event("attempt_died", count=2)
    delivered(i, i.send("a@client.example", "r@peer.example"))
    equal(i.of_deliver("stem"), second, "the stem")


@test("the stem is killed: attempts go on, and another one takes its place")
def stem_killed():
    i, sink = with_sink(settings={"session-reuse-idle": "0"})
    (stem,) = wait_for("a stem", lambda: i.of_deliver("stem"))
    os.kill(stem, signal.SIGKILL)
    for _ in range(3):
        delivered(i, i.send("a@client.example", "r@peer.example"))
    check(i.of_deliver("stem") != [stem], "it is there")
    check(not i.find_events("deferred"), "a message was deferred")


@test("an attempt that takes longer than attempt-time-limit is ended, and its message deferred")
def limit():
    i, sink = with_sink(rules=[("MAIL FROM:<slow@*", "hang")], settings={"attempt-time-limit": "1s"})
    number = i.send("slow@client.example", "r@peer.example")
    e = i.wait_event("deferred", id=number)
    contains(e[1]["reply"], "attempt-time-limit")
    wait_for("its end", lambda: not i.of_deliver("attempt"))


if __name__ == "__main__":
    main()
