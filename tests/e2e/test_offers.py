"""Greetings that changed: heloise peers report."""

import json

from harness import Instance, check, contains, equal, main, test, wait_for
from sink import Sink


def with_sink(rules=(), **how):
    sink = Sink(rules, **how)
    i = Instance(settings={"session-reuse-idle": "0"}, tables={
        "access": ["client:127.0.0.0/8 relay"], "routes": ["peer.example " + sink.route],
        "retry": ["* every 1h life 1d"]})
    return i.start(), sink


def send(i):
    i.wait_event("delivered", id=i.send("", "x@peer.example"))


def report(i):
    return i.cli("peers", "report", ok=True).text


def instead(sink, rules=(), offers=()):
    """Another server in the place of this one."""
    sink.close()
    return Sink(rules, offers, address=sink.address, port=sink.port)


@test("a host that no longer offers 8BITMIME is in the report, and in the log; as JSON too")
def lost():
    i, sink = with_sink(offers=["8BITMIME", "PIPELINING"])
    contains(report(i), "0 greetings changed", "0 hosts known")
    send(i)
    wait_for("it is known", lambda: "1 host known" in report(i))
    contains(report(i), "0 greetings changed")
    send(i)
    equal(i.find_events("greeting_changed"), [])
    instead(sink, offers=["PIPELINING", "DSN"])
    send(i)
    event = i.wait_event("greeting_changed", peer="%s:%d" % (sink.address, sink.port))[1]
    equal((event["was"], event["is"]), ("EHLO pipelining 8bitmime", "EHLO pipelining dsn"))
    contains(report(i), sink.address, "no longer offers 8BITMIME", "now offers DSN", "1 greeting changed")
    (told,) = [json.loads(line) for line in i.cli("peers", "report", "--json", ok=True).text.splitlines()]
    equal((told["address"], told["lost"], told["gained"]), (sink.address, ["8BITMIME"], ["DSN"]))
    equal((told["before"]["greeting"], told["now"]["greeting"]), ("EHLO", "EHLO"))
    i.stop()
    contains(report(i), "no longer offers 8BITMIME")


@test("STARTTLS that was used is no STARTTLS lost; one that is gone is")
def starttls():
    i, sink = with_sink(offers=["STARTTLS", "SIZE 1000000"])
    send(i)
    send(i)
    wait_for("it is known", lambda: "1 host known" in report(i))
    contains(report(i), "0 greetings changed")
    i.cli("set", "tls-history", "warn", ok=True)
    i.cli("reload", ok=True)
    instead(sink, offers=["SIZE 1000000"])
    send(i)
    wait_for("the report", lambda: "no longer offers STARTTLS" in report(i))


@test("a host that needs HELO all of a sudden, or the first time it is met")
def fallback():
    i, sink = with_sink(offers=["SIZE 1000000"])
    send(i)
    instead(sink, [("EHLO", "close")])
    send(i)
    wait_for("the report", lambda: "EHLO did before" in report(i))
    j, new = with_sink([("EHLO", "close")])
    send(j)
    wait_for("the report", lambda: "EHLO does not work there; HELO does" in report(j))
    check("did before" not in report(j), report(j))


if __name__ == "__main__":
    main()
