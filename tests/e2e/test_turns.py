"""What an administrator orders done to messages that wait for their turn at a destination."""

import json
import os
import re
import threading

from harness import contains, equal, letter, main, test, wait_for
from queued import instance, states
from sink import Sink
from smalldisk import Small
from peer import Connection  # noqa: E402  (sink.py knows where)


class Gate(Sink):
    """Takes one message at a time, and answers its dot when the gate is open."""

    def __init__(self):
        self.is_open, self.came = is_open, came = threading.Event(), []

        class Waiting(Connection):
            def message(self):
                super().message()
                came.append(int(re.search(rb"Subject: number (\d+)", self.session.messages[-1]).group(1)))
                is_open.wait(20)
        self.connection = Waiting
        super().__init__()


def with_gates(journal, **gates):
    i = instance(settings={"queue-journal": journal}, **{name: gate.route for name, gate in gates.items()})
    i.table("peers", *["%s conns=1" % gate.address for gate in gates.values()])
    i.cli("build", ok=True)
    return i.start()


def send(i, number, *to):
    return i.send("alice@heloise.example", list(to), letter("number %d" % number))


def told(i, verb, number):
    return json.loads(i.cli("queue", verb, number, "--json", ok=True).text)


@test("hold, remove and bounce of a message that waits for its turn take effect at once: it is never sent, or once "
      "after its release")
def at_once():
    for journal in ("yes", "no"):
        gate = Gate()
        i = with_gates(journal, slow=gate)
        ids = [send(i, 0, "x@slow.example")]
        wait_for("the first is at the gate", lambda: gate.came == [0])
        ids += [send(i, n, "x@slow.example") for n in range(1, 6)]
        equal(set(states(i).values()), {"active"})
        contains(i.cli("queue", "show", ids[1], ok=True).text, "active, waits for its turn\n")
        contains(i.cli("queue", "why", ids[1], ok=True).text, "It waits for its turn at its destination.")
        contains(i.cli("queue", "show", ids[0], ok=True).text, "active, being tried\n")
        contains(i.cli("queue", "why", ids[0], ok=True).text, "It is being tried now.")
        equal(told(i, "show", ids[1])["under_way"], {"attempts": 0, "turns": 1, "report": False, "ordered": None})
        for n in (1, 2):
            contains(i.cli("queue", "hold", ids[n], ok=True).text, "1 message is on hold.")
            equal(states(i)[ids[n]], "hold")
            contains(i.cli("queue", "why", ids[n], ok=True).text, "An administrator holds it")
        contains(i.cli("queue", "hold", ids[1], ok=True).text, "was on hold already")
        contains(i.cli("queue", "remove", ids[3], ok=True).text, "1 message was removed.")
        equal(i.find_events("removed", id=ids[3])[0][1]["recipients"], "at once")
        equal(i.cli("queue", "show", ids[3]).returncode, 65)
        contains(i.cli("queue", "bounce", ids[4], "--reason", "not wanted", ok=True).text, "1 message was given up.")
        contains(i.wait_mail("alice")[0].decode(), "not wanted", "x@slow.example")
        wait_for("it is gone", lambda: ids[4] not in states(i))
        # the one that is being tried is waited for
        contains(i.cli("queue", "remove", ids[0], ok=True).text, "goes when that ends")
        contains(i.cli("queue", "why", ids[0], ok=True).text, "An administrator ordered remove")
        equal(told(i, "why", ids[0])["under_way"]["ordered"], "remove")
        equal(states(i), {ids[0]: "active", ids[1]: "hold", ids[2]: "hold", ids[5]: "active"})
        contains(i.cli("queue", "release", ids[2], ok=True).text, "is released")
        equal(gate.came, [0])
        gate.is_open.set()
        wait_for("the held one is left", lambda: states(i) == {ids[1]: "hold"})
        equal(sorted(gate.came), [0, 2, 5])
        i.restart()
        equal(states(i), {ids[1]: "hold"})
        i.cli("queue", "release", ids[1], ok=True)
        i.wait_queue(0)
        equal(sorted(gate.came), [0, 1, 2, 5])
        equal(len(i.mail("alice")), 1)
        i.stop(quietly=True)


@test("of a message that is tried at one destination and waits at another, the waiting part is cancelled at once")
def in_part():
    for verb, left in (("remove", None), ("hold", "hold"), ("bounce", None)):
        full, other = Gate(), Gate()
        i = with_gates("yes", full=full, other=other)
        first = send(i, 0, "x@full.example")
        wait_for("one is in the way", lambda: full.came == [0])
        both = send(i, 1, "x@full.example", "y@other.example")
        wait_for("it is tried at the other", lambda: other.came == [1])
        equal(told(i, "show", both)["under_way"]["turns"], 1)
        equal(told(i, verb, both)["later"], 1)
        way = told(i, "show", both)["under_way"]
        equal((way["attempts"], way["turns"], way["ordered"]), (1, 0, verb))
        full.is_open.set()
        i.wait_event("finished", id=first)
        other.is_open.set()
        i.wait_event("delivered", id=both, recipient="y@other.example")
        wait_for("its end", lambda: states(i).get(both) == left)
        if verb == "bounce":
            text = i.wait_mail("alice")[0].decode()
            contains(text, "x@full.example")
            equal("y@other.example" in text, False)
        if verb == "hold":
            i.cli("queue", "release", both, ok=True)
            i.wait_queue(0)
        i.wait_queue(0)
        equal(full.came, [0, 1] if verb == "hold" else [0])
        equal(other.came, [1])
        i.stop(quietly=True)


@test("a released message whose attempt still runs is tried again only for what was not reached")
def released_meanwhile():
    full, other = Gate(), Gate()
    i = with_gates("yes", full=full, other=other)
    send(i, 0, "x@full.example")
    wait_for("one is in the way", lambda: full.came == [0])
    both = send(i, 1, "x@full.example", "y@other.example")
    wait_for("it is tried at the other", lambda: other.came == [1])
    contains(i.cli("queue", "hold", both, ok=True).text, "goes on hold when its attempt ends")
    contains(i.cli("queue", "release", both, ok=True).text, "is released")
    full.is_open.set()
    other.is_open.set()
    i.wait_queue(0)
    equal((full.came, other.came), ([0, 1], [1]))


@test("a message that waits for its turn is put on hold while the disk is full: it is not sent, and held when there is room")
def full_disk():
    gate = Gate()
    with Small(access=["client:127.0.0.0/8 relay"], routes=["slow.example " + gate.route],
               peers=[gate.address + " conns=1"]) as small:
        i = small.i
        send(i, 0, "x@slow.example")
        wait_for("one is at the gate", lambda: gate.came == [0])
        number = send(i, 1, "x@slow.example")
        filler = small.fill()
        r = i.cli("queue", "hold", number)
        equal(r.returncode, 74)
        contains(r.error, "cannot be changed")
        contains(i.cli("queue", "show", number, ok=True).text, "then: hold")
        gate.is_open.set()
        wait_for("the first is delivered", lambda: list(states(i)) == [number])
        os.unlink(filler)
        wait_for("it is on hold", lambda: states(i) == {number: "hold"})
        i.restart()
        equal(states(i), {number: "hold"})
        i.cli("queue", "release", number, ok=True)
        i.wait_queue(0)
        equal(gate.came, [0, 1])


@test("room that a withdrawn message leaves at its destination is given to those that wait outside")
def room():
    gate = Gate()
    i = with_gates("yes", slow=gate)
    i.cli("set", "destination-attempts", "1", ok=True)
    i.cli("reload", ok=True)
    ids = [send(i, n, "x@slow.example") for n in range(12)]  # four at the destination, the rest outside
    wait_for("one is at the gate", lambda: len(gate.came) == 1)
    first = gate.came[0]
    rest = [n for n in range(12) if n != first]
    i.cli("queue", "remove", *[ids[n] for n in rest[:8]], "--yes", ok=True)
    equal(sorted(states(i)), sorted(ids[n] for n in [first] + rest[8:]))
    gate.is_open.set()
    i.wait_queue(0)
    equal(sorted(gate.came), sorted([first] + rest[8:]))


if __name__ == "__main__":
    main()
