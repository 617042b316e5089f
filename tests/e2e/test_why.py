"""Why a message is still here: attempts, what was learned, what the next attempt does, until when."""

import datetime
import json
import os
import re
import signal
import time

from harness import Instance, check, contains, equal, free_port, letter, main, new_address, test, wait_for
from sink import Sink


def with_sink(rules, retry="every 1h life 1d warn 4h"):
    sink = Sink(rules)
    i = Instance(tables={
        "routes": ["peer.example " + sink.route], "mailboxes": ["alice alice/"],
        "retry": ["peer.example " + retry], "access": ["client:127.0.0.0/8 relay"]})
    return i.start(), sink


def deferred(i, **how):
    number = i.send("alice@heloise.example", "bob@peer.example", letter("why"), **how)
    i.wait_event("deferred", id=number)
    i.stop()  # the history is written when the attempt has ended
    return number


def why(i, number, *more):
    return i.cli("queue", "why", number, *more, ok=True).text


OLD = [("EHLO", "close"), ("RCPT", "450 4.2.1 not now")]


@test("why tells the rule, the attempt, what was learned and what the next attempt does because of it")
def plans():
    i, sink = with_sink(OLD)
    number = deferred(i)
    peer = "%s:%d" % (sink.address, sink.port)
    text = why(i, number)
    contains(text, "table routes says", "Attempt 1, 20", "connection closed after EHLO (rung R2)",
             "remembered about " + peer, "helo-only", "450 4.2.1 not now", "The next attempt says HELO instead of EHLO to " + peer,
             "the connection was closed after EHLO", "It is tried again at", "Its sender is to be told of the delay at",
             "goes back to its sender")
    (told,) = [json.loads(line) for line in why(i, number, "--json").splitlines()]
    check(any("HELO instead of EHLO" in p for p in told["plans"]), told["plans"])
    check(any(h.get("fact") == "helo-only" and h["memory"] == "learned" for h in told["history"]), told["history"])
    (r,) = told["why"]
    for key in ("nexthop", "rule", "next", "warning", "expires", "what_next"):
        check(r[key], key, r)


@test("a message that came later knows what an earlier one learned")
def known():
    i, sink = with_sink(OLD)
    deferred(i)
    i.start()
    text = why(i, deferred(i))
    contains(text, "known of %s" % sink.address, "The next attempt says HELO instead of EHLO", "because earlier")


@test("what is known of a peer only until an earlier time is no plan for the next attempt")
def outdated():
    address = new_address()
    i = Instance(tables={"routes": ["peer.example [%s]:%d" % (address, free_port(address))],
                         "retry": ["peer.example every 1h life 1d"], "access": ["client:127.0.0.0/8 relay"]})
    number = deferred(i.start())
    text = wait_for("the attempt's story", lambda: "remembered about" in why(i, number) and why(i, number))
    contains(text, "(down)")
    check("The next attempt" not in text, text)


@test("the last attempt is told as such; of what is held nothing is foretold")
def last():
    i, _ = with_sink([("RCPT", "450 4.2.1 not now")], retry="every 1h life 1m")
    i.table("routes", "held.example hold")
    i.cli("reload", ok=True)
    number = i.send("alice@heloise.example", ["bob@peer.example", "bob@held.example"], letter("why"))
    i.wait_event("deferred", id=number)
    i.stop()
    contains(why(i, number), "That is the last attempt: if it fails, the message goes back to its sender",
             "Table routes holds it")
    tried, held = json.loads(why(i, number, "--json"))["why"]
    equal(tried["next"], tried["expires"])
    equal([held[k] for k in ("next", "warning", "expires")], [None] * 3)


@test("a manager that hears late of a message counts its life from when it was taken")
def heard_late():
    i, _ = with_sink([("RCPT", "450 4.2.1 not now")], retry="every 1h life 1m")
    manager = i.pids()["queue"]
    os.kill(manager, signal.SIGSTOP)
    number = i.send("alice@heloise.example", "bob@peer.example", letter("why"))
    taken = time.time()
    wait_for("seconds to pass", lambda: time.time() > taken + 2)
    os.kill(manager, signal.SIGCONT)
    i.wait_event("deferred", id=number)
    i.stop()
    (told,) = [json.loads(line) for line in why(i, number, "--json").splitlines()]
    created = datetime.datetime.fromisoformat(told["created"].replace("Z", "+00:00")).timestamp()
    check(created <= taken, created, taken)
    equal(told["why"][0]["next"], told["why"][0]["expires"])


@test("no warning is promised to a sender who wants none, nor for a schedule without one")
def no_warning():
    i, _ = with_sink(OLD)
    number = i.send("", "bob@peer.example", letter("why"))
    never = i.send("alice@heloise.example", "bob@peer.example", letter("why"), rcpt="NOTIFY=NEVER")
    for n in (number, never):
        i.wait_event("deferred", id=n)
        check("told of the delay" not in why(i, n), why(i, n))
    contains(why(i, number), "goes back to the postmaster")


@test("the failure report has the attempts: first and last ones")
def bounced():
    i, _ = with_sink([("RCPT", "450 4.2.1 not now")], retry="every 1s life 4s")
    number = i.send("alice@heloise.example", "bob@peer.example", letter("why"))
    i.wait_event("bounced", id=number)
    (report,) = i.wait_mail("alice")
    text = report.decode()
    contains(text, "What was tried:", "Attempt 1, 20", "Attempt 2, 20", "deferred, 4.2.1", "failed for good, 4.4.7")
    check(re.search(r"(?m)^  Attempt 1, ", text), text)
    equal([line for line in text.splitlines() if len(line) > 998], [])


if __name__ == "__main__":
    main()
