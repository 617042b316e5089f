"""Replies that say when to come back."""

import time

from harness import Instance, check, contains, equal, main, test
from sink import Sink

REPLY = "450 4.2.0 greylisted, try again in 120 seconds"


def greylister(settings=None):
    sink = Sink([("RCPT", REPLY)])
    i = Instance(settings=settings, tables={"access": ["client:127.0.0.0/8 relay"],
                                            "routes": ["grey.example " + sink.route],
                                            "retry": ["* every 2h life 1d"]})
    return i.start(), sink


def seconds(event):
    """How far in the future a deferral ends."""
    return int(event[1]["until"]) - time.time()


@test("the next attempt comes when the reply says, and why tells; the next one keeps the schedule")
def moved():
    i, sink = greylister()
    number = i.send("", "x@grey.example")
    event = i.wait_event("deferred", id=number)
    check(110 < seconds(event) <= 121, event)
    contains(event[1]["reply"], "next attempt moved to")
    contains(i.cli("queue", "why", number, ok=True).text, "next attempt moved to", "try again in 120 seconds")
    i.cli("queue", "retry", number, ok=True)
    event = i.wait_event("deferred", id=number, count=2)
    check(seconds(event) > 6000, event)
    check("moved to" not in event[1]["reply"], event)
    i.cli("queue", "retry", number, ok=True)
    event = i.wait_event("deferred", id=number, count=3)
    check(110 < seconds(event) <= 121, event)


@test("stated-delay no keeps the schedule")
def off():
    i, sink = greylister({"stated-delay": "no"})
    event = i.wait_event("deferred", id=i.send("", "x@grey.example"))
    check(seconds(event) > 6000, event)


if __name__ == "__main__":
    main()
