"""Whose turn it is: destinations that are down, that come back, long lists, limits of rate and number."""

import os
import re
import socket
import threading
import time

from harness import Client, Instance, check, contains, equal, free_port, letter, main, new_address, test, wait_for
from sink import Sink
from peer import Connection  # noqa: E402  (sink.py knows where)


def instance(routes, retry="every 1h life 1d", settings=None, peers=()):
    tables = {"routes": ["%s.example %s" % r for r in routes.items()],
              "mailboxes": ["alice alice/"], "retry": ["* " + retry],
              "access": ["client:127.0.0.0/8 relay"]}
    if peers:
        tables["peers"] = list(peers)
    return Instance(settings=settings, tables=tables)


def send_many(i, domain, count, first=0):
    """One session, many messages; their ids, oldest first."""
    ids = []
    with Client(i) as c:
        c.cmd("EHLO client.example", 250)
        for n in range(first, first + count):
            c.cmd("MAIL FROM:<alice@heloise.example>", 250)
            c.cmd("RCPT TO:<r%d@%s.example>" % (n, domain), 250)
            ids.append(c.data(letter("number %d" % n)))
    return ids


class Watched(Sink):
    """A sink that knows in what order messages came, over all sessions."""

    def __init__(self, *args, **kwargs):
        self.arrived = arrived = []

        class Noting(Connection):
            def message(self):
                super().message()
                arrived.append(self.session.messages[-1])
        self.connection = Noting
        super().__init__(*args, **kwargs)

    def numbers(self):
        return [int(re.search(rb"Subject: number (\d+)", m).group(1)) for m in list(self.arrived)]

    def open_now(self):
        return len([s for s in list(self.sessions) if not s.is_over])


class Dead:
    """A server that hangs up on whoever comes, and counts them."""

    def __init__(self):
        self.address = new_address()
        self.port = free_port(self.address)
        self.count, self.is_over = 0, False
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((self.address, self.port))
        self.sock.listen(200)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def route(self):
        return "[%s]:%d" % (self.address, self.port)

    def serve(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            if self.is_over:
                s.close()
                return
            self.count += 1
            s.close()

    def stop(self):
        self.is_over = True
        try:
            socket.create_connection((self.address, self.port), 5).close()
        except OSError:
            pass
        self.thread.join(5)
        self.sock.close()


def tried(i, ids):
    return [n for n in ids if i.find_events("attempt", id=n)]


@test("a destination that is down is probed, not hammered, and its mail is not charged for it")
def probed():
    dead = Dead()
    i = instance({"down": dead.route}, retry="every 2s life 1d").start()
    began = time.monotonic()
    ids = send_many(i, "down", 60)
    i.wait_event("down", nexthop="host:" + dead.route)
    for number in ids:
        i.wait_event("deferred", id=number)
    i.wait_event("attempt", count=9)
    took = time.monotonic() - began
    # the first five find out; then one probe in the 2 s in which each of the 60 would be due
    check(len(i.find_events("attempt")) <= 5 + 5 + took / 2 + 1, "%d attempts in %.1f s" % (len(i.find_events("attempt")), took))
    untried = [m for m in i.queue() if m["recipients"][0]["attempts"] == 0]
    check(len(untried) >= 30, "%d were not charged" % len(untried))
    for m in untried:
        contains(m["recipients"][0]["last_reply"], "not tried now", "down")
    why = i.cli("queue", "why", untried[0]["id"], ok=True).text
    contains(why, "its next hop is down", "probe")
    dead.stop()
    sink = Watched(address=dead.address, port=dead.port)
    i.wait_queue(0)
    equal(sorted(sink.numbers()), list(range(60)))
    i.wait_event("up", nexthop="host:" + dead.route)


@test("when a destination comes back its mail goes out at once, the oldest first, long before it is due")
def released():
    dead = Dead()
    i = instance({"down": dead.route}, retry="every 1h life 1d").start()
    ids = send_many(i, "down", 100)
    for number in ids:
        i.wait_event("deferred", id=number)
    check(len(i.find_events("attempt")) <= 10, "%d attempts" % len(i.find_events("attempt")))
    dead.stop()
    before = len(i.find_events("attempt"))
    sink = Watched(address=dead.address, port=dead.port)
    i.cli("queue", "retry", ids[7], ok=True)
    i.wait_queue(0)
    equal(sorted(sink.numbers()), list(range(100)))
    order = [ids.index(e[1]["id"]) for e in i.find_events("attempt")[before:]]
    equal(order[0], 7, "the probe")
    equal(order[1:], [n for n in range(100) if n != 7], "oldest first")
    i.wait_event("up")


@test("a route away from a destination that is down: what is due there goes the new way at once after a reload")
def rerouted():
    dead = Dead()
    i = instance({"down": dead.route}, retry="every 1h life 1d").start()
    ids = send_many(i, "down", 60)
    for number in ids:
        i.wait_event("deferred", id=number)
    before = dead.count
    i.cli("queue", "retry", "all", ok=True)
    wait_for("the probe has failed, and the others wait behind the next one", lambda: dead.count > before and
             not [m for m in i.queue() if m["state"] == "active"])
    sink = Watched()
    i.forget_keys("routes", ["down.example"])
    i.table("routes", "down.example " + sink.route)
    i.cli("reload", ok=True)
    wait_for("all but the one that was tried", lambda: len(sink.arrived) >= 59)
    dead.stop()


@test("what waits because of a recipient, or because a reply said when, is not released with the rest")
def not_released():
    grey = Watched([("RCPT TO:<r1@*", "450 4.2.1 greylisted"), ("RCPT TO:<r2@*", "450 4.7.1 try again in 1800 seconds")])
    i = instance({"down": grey.route}, retry="every 1h life 1d").start()
    said = send_many(i, "down", 2, first=1)
    for number in said:
        i.wait_event("deferred", id=number)
    grey.close()
    late = send_many(i, "down", 30, first=3)
    for number in late:
        i.wait_event("deferred", id=number)
    grey = Watched(grey.rules, address=grey.address, port=grey.port)
    i.cli("queue", "retry", late[0], ok=True)
    i.wait_queue(2)
    equal(sorted(grey.numbers()), list(range(3, 33)))
    equal(sorted(m["id"] for m in i.queue()), said)
    for m in i.queue():
        equal(m["recipients"][0]["attempts"], 1)


@test("what waits because of its host is released after a restart too: the file's name says so")
def released_after_restart():
    dead = Dead()
    i = instance({"down": dead.route}, retry="every 1h life 1d").start()
    ids = send_many(i, "down", 30)
    for number in ids:
        i.wait_event("deferred", id=number)
    i.stop()
    dead.stop()
    sink = Watched(address=dead.address, port=dead.port)
    i.start()
    send_many(i, "down", 1, first=30)
    i.wait_queue(0)
    equal(sorted(sink.numbers()), list(range(31)))


@test("a message for one is not stuck behind one for a thousand, to one destination or to many")
def fair():
    sink = Watched()
    i = instance({"one": sink.route, **{"many%d" % n: sink.route for n in range(200)}},
                 settings={"attempt-recipients": "1", "destination-attempts": "4"}).start()
    for crowd in (["x%d@one.example" % n for n in range(1000)],
                  ["x%d@many%d.example" % (n, n % 200) for n in range(1000)]):
        had = len(sink.arrived)
        big = i.send("alice@heloise.example", crowd, letter("number 1"))
        wait_for("the list has begun", lambda: len(sink.arrived) > had)
        small = i.send("alice@heloise.example", "one@one.example", letter("number 2"))
        seen = len(sink.arrived)
        i.wait_event("delivered", id=small)
        place = sink.numbers().index(2, had)
        check(place - seen < 100, "%d messages of the list went before it" % (place - seen))
        i.wait_event("finished", id=big, patience=60)
        equal(len(sink.arrived), had + 1001)


@test("however many long lists wait for their turn, other mail goes on", limit=200)
def long_lists():
    hole = socket.socket()
    hole.bind((new_address(), 0))
    hole.listen(200)
    good = Watched()
    i = instance({"slow": "[%s]:%d" % hole.getsockname(), "good": good.route})
    for n in range(7):
        drop(i, "list%d" % n, ["x%d@slow.example" % k for k in range(90000)])
    i.start()
    wait_for("all are in the queue", lambda: len(i.find_events("queued")) == 7, 60)
    wait_for("some are being worked on", lambda: sum(m == "active" for m in states(i)) >= 5, 60)
    i.wait_event("delivered", id=i.send("alice@heloise.example", "x@good.example", letter("number 1")))
    waits = len(i.find_events("finished"))
    equal(waits, 1)
    hole.close()


def states(i):
    return [line.split()[1] for line in i.cli("queue", "list", timeout=60, ok=True).text.splitlines()
            if re.match(r"[0-9a-z]{15} ", line)]


def drop(i, name, recipients):
    """As sendmail would, but sooner."""
    text = letter("list").replace("\n", "\r\n")
    path = i.dir + "/queue/drop/" + name
    with open(path + ".tmp", "w", newline="") as f:
        f.write("heloise-drop 1\ns alice@heloise.example\n" + "".join("r - - %s\n" % r for r in recipients) + "\n" +
                text + "heloise-end\n")
    os.chown(path + ".tmp", i.user.pw_uid, i.user.pw_gid)
    os.rename(path + ".tmp", path)


@test("new mail is not held up by a backlog that is due at once, nor the backlog by new mail")
def backlog():
    dead = [Dead() for _ in range(5)]
    good = Watched()
    routes = {"d%d" % n: d.route for n, d in enumerate(dead)}
    i = instance({"good": good.route, **routes}, settings={"queue-attempts": "4"}, retry="every 1h life 1d").start()
    for n in range(5):
        for number in send_many(i, "d%d" % n, 30):
            i.wait_event("deferred", id=number)
    for d in dead:
        d.stop()
    back = [Watched(address=d.address, port=d.port) for d in dead]
    i.cli("queue", "retry", "all", ok=True)
    fresh = send_many(i, "good", 30)
    for number in fresh:
        i.wait_event("delivered", id=number)
    i.wait_queue(0)
    for b in back:
        equal(sorted(b.numbers()), list(range(30)))


@test("table peers: rate=3/1h lets three messages go, the rest waits uncharged, and why says so; reload lifts it")
def rate():
    sink = Watched()
    other = Watched()
    i = instance({"slow": sink.route, "fast": other.route}, peers=[sink.address + " rate=3/1h"]).start()
    ids = send_many(i, "slow", 8)
    i.wait_event("delivered", id=send_many(i, "fast", 1)[0])
    wait_for("three came", lambda: len(sink.arrived) == 3)
    wait_for("five wait", lambda: len(i.queue()) == 5)
    why = i.cli("queue", "why", ids[-1], ok=True).text
    contains(why, "table peers allows 3 messages in 1h")
    equal([m["recipients"][0]["attempts"] for m in i.queue()], [0] * 5)
    equal(len(tried(i, ids)), 3)
    equal(sorted(sink.numbers()), [0, 1, 2])
    i.forget_keys("peers", [sink.address])
    i.cli("reload", ok=True)
    i.wait_queue(0)
    equal(sorted(sink.numbers()), list(range(8)))


@test("table peers holds mail up, and its route leads elsewhere: after a reload it goes there, what waits outside too")
def rate_rerouted():
    slow, other = Watched(), Watched()
    i = instance({"slow": slow.route}, peers=[slow.address + " rate=3/1h"],
                 settings={"destination-attempts": "4"}).start()
    send_many(i, "slow", 60)
    wait_for("three came", lambda: len(slow.arrived) == 3)
    wait_for("the others wait", lambda: len(i.queue()) == 57)
    i.forget_keys("routes", ["slow.example"])
    i.table("routes", "slow.example " + other.route)
    i.cli("reload", ok=True)
    i.wait_queue(0)
    equal(sorted(slow.numbers() + other.numbers()), list(range(60)))
    equal(len(slow.arrived), 3)


@test("table peers: conns=2 opens two connections at once, by the domain's name, and why says so")
def conns():
    hole = socket.socket()
    hole.bind((new_address(), 0))
    hole.listen(200)
    other = Watched()
    i = instance({"slow": "[%s]:%d" % hole.getsockname(), "fast": other.route},
                 peers=[hole.getsockname()[0] + " conns=2"]).start()
    ids = send_many(i, "slow", 10)
    taken = [hole.accept()[0] for _ in range(2)]
    i.wait_event("delivered", id=send_many(i, "fast", 1)[0])
    contains(i.cli("queue", "why", ids[-1], ok=True).text, "table peers allows 2 connections at once")
    hole.settimeout(1)
    try:
        hole.accept()
        check(False, "a third connection")
    except socket.timeout:
        pass
    equal(len(tried(i, ids)), 2)
    for s in taken + [hole]:
        s.close()


def rcpts(sink):
    return [c for c in sink.commands if c.startswith("RCPT")]


@test("a thousand recipients share transactions, up to what the peer allows: LIMITS, or 452 after so many")
def transactions():
    limited = Watched(offers=("PIPELINING", "LIMITS RCPTMAX=50"))
    plain = Watched()
    i = instance({"limited": limited.route, **{"plain%d" % n: plain.route for n in range(10)}}).start()
    i.wait_event("finished", id=i.send("alice@heloise.example", ["x%d@limited.example" % n for n in range(1000)],
                                       letter("number 1")), patience=60)
    equal(len(limited.arrived), 20, "transactions of 50")
    equal(len(set(rcpts(limited))), 1000)
    # domains with the same route share transactions too
    i.wait_event("finished", id=i.send("alice@heloise.example", ["x%d@plain%d.example" % (n, n % 10) for n in range(1000)],
                                       letter("number 2")), patience=60)
    equal(len(plain.arrived), 10, "transactions of 100")
    equal(len(rcpts(plain)), 1000)


class Counting(Connection):
    """Takes 30 recipients in a transaction and says 452 to more."""

    def rule(self, line):
        verb = line.split(" ")[0].upper()
        if verb in ("MAIL", "RSET"):
            self.taken = 0
        if verb == "RCPT":
            self.taken += 1
            if self.taken > 30:
                return "452 4.5.3 too many recipients"
        return super().rule(line)


@test("a thousand recipients at a peer that says 452 after 30: all get it once, and the card remembers")
def too_many():
    class Few(Watched):
        connection = None
    sink = Few()

    class Both(Counting):
        def message(self):
            super().message()
            sink.arrived.append(self.session.messages[-1])
    sink.connection = Both
    i = instance({"few": sink.route}, settings={"destination-attempts": "2"}).start()
    number = i.send("alice@heloise.example", ["x%d@few.example" % n for n in range(1000)], letter("number 1"))
    i.wait_event("finished", id=number, patience=60)
    equal(len(i.find_events("delivered", id=number)), 1000)
    equal(len(set(e[1]["recipient"] for e in i.find_events("delivered", id=number))), 1000)
    check(34 <= len(sink.arrived) <= 45, "%d transactions" % len(sink.arrived))
    check(i.find_events("learned"), "the card knows nothing")


@test("a list that is longer than what one turn looks at goes on at once, with nothing else to wake it")
def long_list():
    sink = Sink()
    i = instance({"list": sink.route}, settings={"recipient-limit": "10000", "attempt-recipients": "1000"}).start()
    with Client(i) as c:
        c.cmd("EHLO client.example", 250)
        c.cmd("MAIL FROM:<alice@heloise.example>", 250)
        for n in range(5000):
            c.cmd("RCPT TO:<r%d@list.example>" % n, 250)
        number = c.data()
    i.wait_event("finished", id=number)  # sooner than the manager looks again by itself


if __name__ == "__main__":
    main()
