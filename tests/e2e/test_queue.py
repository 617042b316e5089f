"""What waits, why, until when, and what becomes of it."""

import email
import email.policy
import json
import os
import re
import time
from datetime import datetime

from harness import Instance, check, contains, equal, letter, main, new_address, free_port, test, wait_for
from sink import Sink


def with_routes(retry="every 1h life 1d", mailboxes=("alice",), settings=None, **routes):
    return Instance(settings=settings, tables={
        "routes": ["%s.example %s" % (name, route) for name, route in routes.items()],
        "mailboxes": ["%s %s/" % (m, m) for m in mailboxes],
        "retry": ["down.example " + retry, "busy.example " + retry],
        "access": ["client:127.0.0.0/8 relay"]})


def nowhere():
    address = new_address()
    return "[%s]:%d" % (address, free_port(address))


def deferred(i, number, **fields):
    i.wait_event("deferred", id=number, **fields)
    wait_for("the queue says so", lambda: [m for m in i.queue() if m["id"] == number and
                                           m["state"] == "deferred"])
    return number


@test("a message for a server that is down is deferred, never bounced, and listed as JSON")
def listed():
    i = with_routes(down=nowhere()).start()
    number = deferred(i, i.send("alice@heloise.example", ["bob@down.example", "carol@down.example"],
                                letter("down")))
    (m,) = i.queue()
    for key in ("id", "sender", "size", "created", "next", "state", "recipients"):
        check(key in m, key, "is missing in", m)
    equal((m["id"], m["sender"], m["state"]), (number, "alice@heloise.example", "deferred"))
    equal([r["address"] for r in m["recipients"]], ["bob@down.example", "carol@down.example"])
    for r in m["recipients"]:
        equal((r["state"], r["attempts"]), ("todo", 1))
        check(isinstance(r["last_reply"], str), r)
    check(m["size"] > 100, m)
    wait = (datetime.fromisoformat(m["next"].replace("Z", "+00:00")) -
            datetime.fromisoformat(m["created"].replace("Z", "+00:00"))).total_seconds()
    check(3100 < wait < 4100, "next is %d s after created" % wait)
    check(not i.mail("alice"), "the sender got a report")


@test("queue list, show and why say it in words and as JSON; an id that is none is an error")
def words():
    i = with_routes(down=nowhere()).start()
    number = deferred(i, i.send("alice@heloise.example", "bob@down.example", letter("why")))
    contains(i.cli("queue", "list", ok=True).text, number, "alice@heloise.example", "bob@down.example")
    contains(i.cli("queue", "show", number, ok=True).text, number, "bob@down.example", "alice@heloise.example")
    why = i.cli("queue", "why", number, ok=True).text
    contains(why, "bob@down.example", "refused")
    check(re.search(r"\d\d:\d\d", why), "no time in", why)
    for command in ("show", "why"):
        told = [json.loads(line) for line in i.cli("queue", command, number, "--json", ok=True).text.splitlines()]
        check(told and told[0].get("id") == number, told)
        for bad in ("no-such-id", "../../etc/passwd", "", "x" * 5000):
            r = i.cli("queue", command, bad)
            check(r.returncode not in (0, 70) and r.error, command, repr(bad[:20]), r.returncode)


@test("why tells what happened on which rung: timed out, closed, refused, and the reply")
def why_rungs():
    cases = {"hang": ([("EHLO", "hang")], "timed out"),
             "later": ([("RCPT", "450 4.2.1 come back in a while")], "come back in a while"),
             "shut": ([("EHLO", "close"), ("HELO", "close")], "closed")}
    sinks = {name: Sink(rules) for name, (rules, _) in cases.items()}
    i = with_routes(settings={"timeout-helo": "1s"}, **{n: s.route for n, s in sinks.items()})
    i.table("retry", *["%s.example every 1h" % n for n in cases])
    i.cli("build", ok=True)
    i.start()
    for name, (_, said) in cases.items():
        number = deferred(i, i.send("alice@heloise.example", "bob@%s.example" % name))
        why = i.cli("queue", "why", number, ok=True).text
        contains(why, said, sinks[name].address)
        if name != "later":
            contains(why, "EHLO")


@test("hostile bytes in a reply reach no terminal")
def hostile_reply():
    sink = Sink([("RCPT", "450 4.2.1 \\x1b[2J\\x9b\\x07 evil\\0 \\xff")])
    i = with_routes(busy=sink.route).start()
    number = deferred(i, i.send("alice@heloise.example", "bob@busy.example"))
    for words in (["list"], ["list", "--json"], ["show", number], ["why", number], ["why", number, "--json"]):
        r = i.cli("queue", *words, ok=True)
        check(not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\x9f]", r.stdout), words, r.stdout[-300:])
        if "--json" in words:
            for line in r.text.splitlines():
                json.loads(line)
    log = i.log_text()
    check("\x1b" not in log and "\x07" not in log, "in the log")


@test("a deferred message is tried by its schedule, every 2 s, and delivered when the server is back")
def schedule():
    address = new_address()
    port = free_port(address)
    i = with_routes(retry="every 2s life 1h", down="[%s]:%d" % (address, port)).start()
    number = i.send("alice@heloise.example", "bob@down.example")
    i.wait_event("deferred", id=number)
    began = time.monotonic()
    i.wait_event("deferred", id=number, count=3)
    took = time.monotonic() - began
    check(3 <= took <= 8, "two more attempts took %.1f s" % took)
    sink = Sink(address=address, port=port)
    i.wait_event("delivered", id=number)
    equal(len(sink.messages), 1)
    i.wait_queue(0)


@test("a list schedule is followed: 1 s, then 3 s")
def list_schedule():
    i = with_routes(retry="list 1s,3s life 1h", down=nowhere()).start()
    number = i.send("alice@heloise.example", "bob@down.example")
    i.wait_event("deferred", id=number)
    first = time.monotonic()
    i.wait_event("deferred", id=number, count=2)
    second = time.monotonic()
    i.wait_event("deferred", id=number, count=3)
    third = time.monotonic()
    check(second - first < 2.8 and 2 <= third - second < 6, second - first, third - second)


@test("the schedule goes on after a restart: no attempt before its time")
def schedule_over_restart():
    i = with_routes(down=nowhere()).start()
    number = deferred(i, i.send("alice@heloise.example", "bob@down.example"))
    before = i.queue()
    i.stop()
    equal(i.queue(), before, "the list while the daemon is down")
    i.start()
    equal(i.queue(), before, "the list after a restart")
    time.sleep(1)
    equal(len(i.find_events("attempt", id=number)), 1, "attempts")


def report_parts(raw):
    """A report by RFC 3464: (message, text, fields of the message, fields of the recipients, original)."""
    m = email.message_from_bytes(raw, policy=email.policy.default)
    equal(m.get_content_type(), "multipart/report")
    equal(m.get_param("report-type"), "delivery-status")
    text, status, original = m.get_payload()
    equal(status.get_content_type(), "message/delivery-status")
    blocks = status.get_payload()
    return m, text.get_content(), blocks[0], blocks[1:], original


@test("a failed recipient is reported to the sender by RFC 3464, the others get their mail")
def bounce():
    sink = Sink([("RCPT TO:<gone@*", "550 5.1.1 no such user here"),
                 ("RCPT TO:<full@*", "552 5.2.2 mailbox full, really")])
    i = with_routes(busy=sink.route).start()
    number = i.send("alice@heloise.example", ["gone@busy.example", "fine@busy.example", "full@busy.example"],
                    letter("bounce me"), mail="ENVID=QQ42 RET=FULL",
                    rcpt="NOTIFY=FAILURE ORCPT=rfc822;asked@for.example")
    (raw,) = i.wait_mail("alice")
    m, text, about, recipients, original = report_parts(raw)
    check(raw.startswith(b"Return-Path: <>"), raw[:60])
    contains(text, "gone@busy.example", "no such user here", "full@busy.example")
    check("fine@busy.example" not in text, "a delivered recipient in the text")
    contains(about["Reporting-MTA"], "heloise.example")
    equal(about["Original-Envelope-Id"], "QQ42")
    check(about["Arrival-Date"], "no Arrival-Date")
    equal(len(recipients), 2, "recipients in the report")
    for r, who, status in zip(recipients, ("gone", "full"), ("5.1.1", "5.2.2")):
        contains(r["Final-Recipient"], "rfc822;", who + "@busy.example")
        contains(r["Original-Recipient"], "asked@for.example")
        equal((r["Action"], r["Status"]), ("failed", status))
        contains(r["Diagnostic-Code"], "smtp;")
    contains(recipients[0]["Diagnostic-Code"], "550", "no such user here")
    contains(original.as_string(), "Subject: bounce me", "Hello.")
    contains(m["To"], "alice@heloise.example")
    check(m["From"] and m["Date"] and m["Message-ID"] and m["Subject"], "fields are missing")
    contains(m["Auto-Submitted"] or "", "auto-")
    i.wait_event("delivered", id=number, recipient="fine@busy.example")
    i.wait_queue(0)


@test("RET=HDRS sends the header back alone; NOTIFY=NEVER sends nothing")
def bounce_return():
    sink = Sink([("RCPT", "550 5.1.1 no")])
    i = with_routes(busy=sink.route).start()
    i.send("alice@heloise.example", "x@busy.example", letter("headers", "secret body\n"), mail="RET=HDRS")
    (raw,) = i.wait_mail("alice")
    original = report_parts(raw)[4]
    equal(original.get_content_type(), "text/rfc822-headers")
    check(b"secret body" not in raw, "the body is there")
    number = i.send("alice@heloise.example", "x@busy.example", letter("never"), rcpt="NOTIFY=NEVER")
    i.wait_event("bounced", id=number)
    i.wait_queue(0)
    equal(len(i.mail("alice")), 1, "reports")


@test("hostile text in a reply makes no field of a report")
def bounce_injection():
    sink = Sink([("RCPT", "550-5.1.1 first\\r\\n550 5.1.1 x\\x00\\x1b[2J\\xff\\r\\n")])
    i = with_routes(busy=sink.route).start()
    i.send("alice@heloise.example", "x@busy.example", letter("inject"))
    (raw,) = i.wait_mail("alice")
    check(not re.search(rb"[\x00\x1b\xff]", raw), "hostile bytes are in the report")
    equal(len(report_parts(raw)[3]), 1)


@test("a message that expires is reported with the last reply, as not delivered in time")
def expiry():
    sink = Sink([("RCPT", "450 4.2.1 not now, my friend")])
    i = with_routes(retry="every 1s life 3s", busy=sink.route).start()
    i.send("alice@heloise.example", "x@busy.example", letter("expires"))
    (raw,) = i.wait_mail("alice")
    _, text, _, (recipient,), _ = report_parts(raw)
    equal(recipient["Status"], "4.4.7")
    contains(recipient["Diagnostic-Code"], "not now, my friend")
    contains(text, "expired")
    i.wait_queue(0)


@test("a message with the null sender is never bounced: its failure is told to the postmaster")
def null_sender():
    sink = Sink([("RCPT", "550 5.1.1 no")])
    i = with_routes(busy=sink.route, mailboxes=("alice", "pm"), settings={"postmaster": "pm"}).start()
    i.send("", "x@busy.example", letter("null sender"))
    (raw,) = i.wait_mail("pm")
    contains(raw.decode("utf-8", "replace"), "x@busy.example")
    i.wait_queue(0)
    check(not any("RCPT TO:<>" in c for c in sink.commands), "a report to nobody")


@test("a report that cannot be delivered goes to the postmaster; one about that report to nobody")
def double_bounce():
    sink = Sink([("RCPT", "550 5.1.1 no")])
    i = with_routes(busy=sink.route, mailboxes=("pm",), settings={"postmaster": "pm@busy.example"}).start()
    i.send("gone@busy.example", "x@busy.example", letter("double"))
    wait_for("the end of it", lambda: i.find_events("dropped"))
    i.wait_queue(0)
    check(len(sink.commands) < 40, "it goes round in circles")


@test("a route of error:TEXT fails at once with that text; hold keeps the message")
def error_route():
    i = with_routes(closed="error:5.1.2 we do not send there", held="hold").start()
    number = i.send("alice@heloise.example", "x@closed.example", letter("error route"))
    i.wait_event("bounced", id=number, status="5.1.2")
    contains(i.wait_mail("alice")[0].decode(), "we do not send there")
    number = i.send("alice@heloise.example", "x@held.example", letter("held"))
    wait_for("it is held", lambda: [m for m in i.queue() if m["id"] == number and m["state"] == "hold"])


@test("a local address that bounces nowhere: an alias is expanded, and its list delivered")
def aliases():
    i = with_routes(mailboxes=("alice", "bob"))
    i.table("aliases", "team alice@heloise.example, bob@heloise.example", "loop loop2", "loop2 loop")
    i.cli("build", ok=True)
    i.start()
    i.send("s@client.example", "team@heloise.example", letter("team"))
    for who in ("alice", "bob"):
        contains(i.wait_mail(who)[0].decode(), "Subject: team")
    i.send("alice@heloise.example", "loop@heloise.example", letter("alias loop"))
    wait_for("the loop ends in a report", lambda: len(i.mail("alice")) == 2)
    i.wait_queue(0)


@test("retry by id, by domain and of all starts an attempt at once")
def retry():
    i = with_routes(down=nowhere()).start()
    number = deferred(i, i.send("alice@heloise.example", "bob@down.example"))
    for count, what in enumerate((number, "down.example", "all"), 2):
        i.cli("queue", "retry", what, ok=True)
        deferred(i, number, count=count)
    contains(i.cli("queue", "retry", "other.example").text, "0 messages")


@test("remove takes a message out of the queue, without a report")
def remove():
    i = with_routes(down=nowhere()).start()
    number = deferred(i, i.send("alice@heloise.example", "bob@down.example"))
    i.cli("queue", "remove", number, ok=True)
    i.wait_queue(0)
    wait_for("its file goes when the journal knows", lambda: not i.queue_files(), 5)
    check(not i.mail("alice"), "a report")
    check(i.cli("queue", "remove", number).returncode != 0, "removed twice")


@test("list, show, why, retry and remove work on the locked queue while the daemon is down")
def without_daemon():
    i = with_routes(down=nowhere()).start()
    first = deferred(i, i.send("alice@heloise.example", "bob@down.example", letter("first")))
    second = deferred(i, i.send("alice@heloise.example", "bob@down.example", letter("second")))
    i.stop()
    equal(sorted(m["id"] for m in i.queue()), sorted([first, second]))
    contains(i.cli("queue", "show", first, ok=True).text, first, "bob@down.example")
    contains(i.cli("queue", "why", first, ok=True).text, "bob@down.example")
    i.cli("queue", "retry", first, ok=True)
    i.cli("queue", "remove", second, ok=True)
    equal([m["id"] for m in i.queue()], [first])
    i.start()
    i.wait_event("deferred", id=first, count=2)
    equal(len(i.find_events("attempt", id=second)), 1)


CORRUPT = [("empty", lambda data: b""), ("cut in half", lambda data: data[:len(data) // 2]),
           ("cut at its end mark", lambda data: data[:data.rindex(b"heloise-end") + 4]),
           ("a byte changed in the envelope", lambda data: data[:20] + bytes([data[20] ^ 5]) + data[21:]),
           ("zeros", lambda data: bytes(len(data))), ("rubbish", lambda data: os.urandom(3000))]


def damaged(damages):
    """Deferred messages of which each but the last is damaged while the daemon is down; then a retry."""
    address = new_address()
    port = free_port(address)
    i = with_routes(down="[%s]:%d" % (address, port)).start()
    ids = [deferred(i, i.send("alice@heloise.example", "bob@down.example", letter("n%d" % n)))
           for n in range(len(damages) + 1)]
    i.stop()
    for number, damage in zip(ids, damages):
        (path,) = [f for f in i.queue_files() if number in f]
        with open(path, "rb+") as f:
            data = f.read()
            f.seek(0)
            f.truncate()
            f.write(damage(data))
    sink = Sink(address=address, port=port)
    i.start()
    i.cli("queue", "retry", "all", ok=True)
    return i, ids, sink


@test("a message whose bytes changed on the disk is not delivered: its checksum tells")
def changed():
    i, ids, sink = damaged([lambda data: data.replace(b"Hello.", b"Jello.", 1),
                            lambda data: data.replace(b"Hello.", bytes(6), 1)])
    i.wait_event("delivered", id=ids[-1])
    wait_for("the damaged files are put aside", lambda: len(os.listdir(i.dir + "/queue/corrupt")) == 2, 5)
    equal(len(sink.messages), 1, "messages sent")


@test("a queue file that is no message goes to queue/corrupt, is logged, and the rest goes on")
def corrupt():
    i, ids, sink = damaged([damage for _, damage in CORRUPT])
    i.wait_event("delivered", id=ids[-1])
    wait_for("all damaged files are put aside",
             lambda: len(os.listdir(i.dir + "/queue/corrupt")) == len(CORRUPT))
    equal(len(sink.messages), 1, "messages sent")
    check(i.find_events("corrupt"), "nothing in the log")
    equal(i.queue(), [], "the queue")


@test("many messages for one destination are sent with at most destination-attempts at once")
def concurrency():
    sink = Sink([(".", "250 2.0.0 taken")])
    i = with_routes(busy=sink.route, settings={"destination-attempts": "2"}).start()
    ids = [i.send("alice@heloise.example", "x%d@busy.example" % n) for n in range(20)]
    for number in ids:
        i.wait_event("delivered", id=number)
    equal(len(sink.messages), 20)


@test("one destination that hangs does not hold up the others")
def no_head_of_line():
    slow, fast = Sink([("EHLO", "hang")]), Sink()
    i = with_routes(down=slow.route, busy=fast.route).start()
    for n in range(40):
        i.send("alice@heloise.example", "x@down.example")
    began = time.monotonic()
    i.wait_event("delivered", id=i.send("alice@heloise.example", "x@busy.example"))
    check(time.monotonic() - began < 5, "it waited")


@test("mail to an address and port this instance listens on is a loop: 5.4.6")
def self_loop():
    i = with_routes()
    i.table("routes", "self.example [%s]:%d" % (i.address, i.port))
    i.cli("build", ok=True)
    i.start()
    number = i.send("alice@heloise.example", "x@self.example")
    i.wait_event("bounced", id=number, status="5.4.6")


@test("servers that hang do not hold up mail to others, and their own goes on when they answer")
def slow_destinations():
    import socket
    holes = []
    for _ in range(4):
        s = socket.socket()
        s.bind((new_address(), 0))
        s.listen(200)
        holes.append(s)
    sink = Sink()
    routes = {"h%d" % n: "[%s]:%d" % s.getsockname() for n, s in enumerate(holes)}
    i = with_routes(settings={"queue-attempts": "8", "destination-attempts": "2", "timeout-greeting": "30s"},
                    good=sink.route, **routes).start()
    for n in range(4):
        for _ in range(25):
            i.send("alice@heloise.example", ["x@h%d.example" % n], letter("stuck"))
    i.send("alice@heloise.example", ["bob@good.example"], letter("goes through"))
    wait_for("the mail to the good server", lambda: sink.messages, patience=10)
    equal(len(i.queue()), 100)
    (first, *_) = i.queue()
    equal(i.cli("queue", "remove", first["id"]).returncode, 0)
    for s in holes:
        s.close()
    wait_for("all were tried", lambda: all(m["recipients"][0]["last_reply"] for m in i.queue()), patience=60)
    equal(len(i.queue()), 99)


if __name__ == "__main__":
    main()
