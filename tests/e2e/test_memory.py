"""What is remembered about peers: learning, using, showing, forgetting."""

import json
import os
import signal

from harness import Instance, check, contains, equal, main, test, wait_for
from sink import Sink


def old_server():
    """A peer that hangs up at EHLO, as in Q197142."""
    sink = Sink([("EHLO", "close")])
    i = Instance(settings={"session-reuse-idle": "0"}, tables={
        "access": ["client:127.0.0.0/8 relay"], "routes": ["old.example " + sink.route],
        "retry": ["* every 1h life 1d"]})
    return i.start(), sink


def greetings(sink):
    return [c.split()[0] for c in sink.commands if c[:4].upper() in ("EHLO", "HELO")]


def learn(i):
    i.wait_event("delivered", id=i.send("", "x@old.example"))
    i.wait_event("learned", fact="helo-only")


def cards(i):
    return [json.loads(line) for line in i.cli("peers", "list", "--json", ok=True).text.splitlines()]


@test("a peer that hung up at EHLO is greeted with HELO the next time, also after a restart")
def learned():
    i, sink = old_server()
    learn(i)
    equal(greetings(sink), ["EHLO", "HELO"])
    i.wait_event("delivered", id=i.send("", "y@old.example"))
    equal(greetings(sink), ["EHLO", "HELO", "HELO"])
    i.restart()
    i.wait_event("delivered", id=i.send("", "z@old.example"))
    equal(greetings(sink), ["EHLO", "HELO", "HELO", "HELO"])


@test("peers list and show tell what was learned, when, why and until when; as JSON too")
def shown():
    i, sink = old_server()
    learn(i)
    contains(i.cli("peers", "list", ok=True).text, sink.address, "helo-only")
    contains(i.cli("peers", "show", sink.address, ok=True).text, sink.address, "helo-only", "E9")
    contains(i.cli("peers", "show", "%s:%d" % (sink.address, sink.port), ok=True).text, "helo-only")
    (card,) = cards(i)
    contains(json.dumps(card), sink.address, "helo-only", str(sink.port))
    check(i.cli("peers", "show", "192.0.2.77").returncode != 0, "a peer nobody knows")


@test("peers forget makes the next message say EHLO again, with the daemon up and down")
def forgotten():
    i, sink = old_server()
    learn(i)
    i.cli("peers", "forget", sink.address, ok=True)
    wait_for("it is forgotten", lambda: not cards(i))
    i.wait_event("delivered", id=i.send("", "y@old.example"))
    equal(greetings(sink), ["EHLO", "HELO", "EHLO", "HELO"])
    wait_for("it is learned again", lambda: cards(i))
    i.stop()
    equal(len(cards(i)), 1, "cards while the daemon is down")
    i.cli("peers", "forget", "%s:%d" % (sink.address, sink.port), ok=True)
    equal(cards(i), [])
    i.start()
    i.wait_event("delivered", id=i.send("", "z@old.example"))
    equal(greetings(sink)[4:], ["EHLO", "HELO"])


@test("table peers wins over memory")
def table_wins():
    i, sink = old_server()
    i.table("peers", sink.address + " helo")
    i.cli("reload", ok=True)
    number = i.send("", "x@old.example")
    i.wait_event("delivered", id=number)
    check("HELO" in greetings(sink), greetings(sink))
    before = len(greetings(sink))
    i.wait_event("delivered", id=i.send("", "y@old.example"))
    equal(greetings(sink)[before:], ["HELO"])


@test("a lost or spoilt memory file is an empty one, never an error")
def spoilt():
    for spoil in (b"", b"rubbish" * 1000, None):
        i, sink = old_server()
        learn(i)
        i.stop()
        path = i.dir + "/state/peers"
        with open(path, "rb") as f:
            size = len(f.read())
        with open(path, "wb") as f:
            f.write(spoil if spoil is not None else b"\xff" * size)
        equal(cards(i), [], "cards")
        i.start()
        learn(i)
        equal(len(cards(i)), 1)


@test("each fact bears what taught it, how often, since when; and survives kill -9")
def evidence():
    i, sink = old_server()
    learn(i)
    (card,) = cards(i)
    (fact,) = [f for f in card["facts"] if f["fact"] == "helo-only"]
    contains(fact["evidence"], "connection closed after EHLO")
    equal((fact["row"], fact["count"], fact["state"], fact["in_force"]), ("E9", 1, "in force", True))
    check(fact["since"] and fact["since"] <= fact["last"] < fact["until"], fact)
    contains(i.cli("peers", "show", sink.address, ok=True).text, "E9: connection closed after EHLO", "until")
    before = i.pids()["deliver"]
    os.kill(before, signal.SIGKILL)
    wait_for("deliver is started again", lambda: i.pids().get("deliver") not in (None, before))
    equal(cards(i), [card], "the card")
    i.wait_event("delivered", id=i.send("", "y@old.example"))
    equal(greetings(sink), ["EHLO", "HELO", "HELO"])


@test("a name that peers refuse is told to the operator once, and the address is said instead")
def name_refused():
    sink = Sink([("EHLO heloise.example", "501 5.5.4 bad name & close")])
    i = Instance(tables={"access": ["client:127.0.0.0/8 relay"], "routes": ["new.example " + sink.route],
                         "retry": ["* every 1h life 1d"]}).start()
    i.wait_event("delivered", id=i.send("", "x@new.example"))
    event = i.wait_event("name_refused")
    equal(event[1]["name"], "heloise.example")
    contains(event[1]["reply"], "bad name")
    i.cli("peers", "forget", "all", ok=True)
    i.wait_event("delivered", id=i.send("", "y@new.example"))
    equal(len(i.find_events("name_refused")), 1, "warnings")


if __name__ == "__main__":
    main()
