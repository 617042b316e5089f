"""Reports to senders: failed, delivered, relayed, expanded, delayed; once, whole, never lost."""

import email
import email.policy
import email.utils
import json
import os
import re
import signal
import time

from harness import Client, Instance, check, contains, crlf, equal, free_port, letter, main, new_address, test, wait_for
from sink import Sink

ALICE = "alice@heloise.example"


def instance(retry="every 1h life 1d", settings=None, relay=True, aliases=(), **routes):
    """Mailboxes alice, bob and pm; a route for each NAME.example, with that schedule."""
    return Instance(settings={"postmaster": "pm", **(settings or {})}, tables={
        "routes": ["%s.example %s" % (name, route) for name, route in routes.items()],
        "domains": ["%s.example relay" % name for name in routes],
        "mailboxes": ["%s %s/" % (m, m) for m in ("alice", "bob", "pm")],
        "aliases": ["%s %s" % a for a in aliases],
        "retry": ["%s.example %s" % (name, retry) for name in routes],
        "access": ["client:127.0.0.0/8 relay"] if relay else []})


def nowhere():
    address = new_address()
    return "[%s]:%d" % (address, free_port(address))


class Report:
    """A message that must be a report by RFC 3464 and 6522."""

    def __init__(self, raw):
        self.raw = raw
        self.header = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("utf-8")
        self.m = m = email.message_from_bytes(raw, policy=email.policy.default)
        equal(m.get_content_type(), "multipart/report")
        equal(m.get_param("report-type"), "delivery-status")
        for part in m.walk():
            equal(part.defects, [], part.get_content_type())
        text, status, self.original = m.get_payload()
        self.text = " ".join(text.get_content().split())
        check(status.get_content_type().endswith("delivery-status"), status.get_content_type())
        self.status = status
        if status.get_content_type() == "message/delivery-status":
            self.about, *self.recipients = status.get_payload()
            self.recipients = [r for r in self.recipients if r.keys()]
            for r in self.recipients:
                check(re.match(r"[245]\.\d+\.\d+$", r["Status"]), r["Status"])
                check(r["Final-Recipient"] and r["Action"] and r["Final-Log-ID"], r.items())
        for field in ("From", "To", "Date", "Message-ID", "Subject"):
            equal(len(m.get_all(field, [])), 1, field)
        check(email.utils.parsedate_to_datetime(m["Date"]), m["Date"])
        equal(m["Auto-Submitted"], "auto-replied")
        check("Precedence" not in m, "Precedence")

    def actions(self):
        return {r["Final-Recipient"].partition(";")[2].strip(): r["Action"] for r in self.recipients}


def reports(i, folder="alice", count=1):
    found = [Report(raw) for raw in i.wait_mail(folder, count)]
    equal(len(found), count, "reports")
    return found


def settled(i, number):
    """The message has left the queue, and what it caused too."""
    i.wait_event("finished", id=number)
    i.wait_queue(0)


# ---- success

@test("NOTIFY=SUCCESS: delivered into a mailbox; the header alone comes back")
def delivered():
    i = instance().start()
    number = i.send(ALICE, "bob@heloise.example", letter("for bob", "secret\n"), mail="ENVID=QQ+2B1 RET=FULL",
                    rcpt="NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob+2Bx@heloise.example")
    i.wait_mail("bob")
    (r,) = reports(i)
    equal(r.actions(), {"bob@heloise.example": "delivered"})
    equal((r.recipients[0]["Status"], r.recipients[0]["Original-Recipient"], r.about["Original-Envelope-Id"]),
          ("2.0.0", "rfc822; bob+x@heloise.example", "QQ+1"))
    contains(r.m["Subject"], "was delivered")
    contains(r.text, "You asked to be told", "<bob@heloise.example>", "bob+x@heloise.example", number)
    check("What you can do" not in r.text and "What was tried" not in r.text, r.text)
    equal(r.original.get_content_type(), "text/rfc822-headers")
    check(b"secret" not in r.raw, "the body came back")
    settled(i, number)
    i.send(ALICE, "bob@heloise.example", letter("not asked for"))
    i.send(ALICE, "bob@heloise.example", letter("nor this"), rcpt="NOTIFY=NEVER")
    i.send("", "bob@heloise.example", letter("nor from nobody"), rcpt="NOTIFY=SUCCESS")
    i.wait_mail("bob", 4)
    i.wait_queue(0)
    equal((len(i.mail("alice")), len(i.mail("pm"))), (1, 0), "reports")


@test("a host without DSN: relayed when asked for; one with DSN gets the parameters, and reports itself")
def relayed():
    deaf, able = Sink(), Sink(offers=("PIPELINING", "8BITMIME", "DSN"))
    i = instance(deaf=deaf.route, able=able.route).start()
    number = i.send(ALICE, ["a@deaf.example", "b@able.example"], letter("two hosts"), mail="ENVID=E1 RET=HDRS",
                    rcpt="NOTIFY=SUCCESS ORCPT=rfc822;x@y.example")
    (r,) = reports(i)
    equal(r.actions(), {"a@deaf.example": "relayed"})
    equal(r.recipients[0]["Remote-MTA"], "dns; [%s]" % deaf.address)
    contains(r.text, "does not tell whether it delivers")
    settled(i, number)
    check("MAIL FROM:<%s> RET=HDRS ENVID=E1" % ALICE in " ".join(able.commands), able.commands)
    check("RCPT TO:<b@able.example> NOTIFY=SUCCESS ORCPT=rfc822;x@y.example" in able.commands, able.commands)
    check(not any("NOTIFY" in c or "RET=" in c for c in deaf.commands), deaf.commands)
    equal(len(i.mail("alice")), 1, "reports")


@test("a host that offers DSN and then refuses its parameters: relayed")
def refused_parameters():
    sink = Sink([("RCPT*NOTIFY*", "555 5.5.4 no such parameter")], offers=("8BITMIME", "DSN"))
    i = instance(liar=sink.route).start()
    i.send(ALICE, "a@liar.example", letter("parameters"), rcpt="NOTIFY=SUCCESS")
    (r,) = reports(i)
    equal(r.actions(), {"a@liar.example": "relayed"})
    equal(len(sink.messages), 1)


@test("NOTIFY=NEVER goes to a host without DSN in a transaction of its own, from the null sender")
def never_silent():
    sink = Sink()
    i = instance(deaf=sink.route).start()
    with Client(i) as c:
        c.cmd("EHLO client.example", 250)
        c.cmd("MAIL FROM:<%s>" % ALICE, 250)
        for rcpt in ("a@deaf.example", "b@deaf.example NOTIFY=NEVER", "c@deaf.example NOTIFY=FAILURE"):
            address, _, more = rcpt.partition(" ")
            c.cmd("RCPT TO:<%s>%s" % (address, " " + more if more else ""), 250)
        c.data(letter("never"))
    wait_for("two transactions", lambda: len(sink.messages) == 2)
    told = [re.match(r"(MAIL|RCPT) \w+:<([^>]*)>", x).group(2) for x in sink.commands if x[:4] in ("MAIL", "RCPT")]
    equal(told, [ALICE, "a@deaf.example", "c@deaf.example", "", "b@deaf.example"])


@test("an alias of several is expanded, and nobody behind it reports success; failures name the alias")
def expanded():
    sink = Sink([("RCPT TO:<gone@*", "550 5.1.1 no such user")], offers=("8BITMIME", "DSN"))
    i = instance(able=sink.route, aliases=[("team", "bob, c@able.example, gone@able.example")]).start()
    i.send(ALICE, "team@heloise.example", letter("to the team"), rcpt="NOTIFY=SUCCESS,FAILURE", mail="ENVID=T")
    i.wait_mail("bob")
    found = reports(i, count=2)
    equal(sorted(list(r.actions().items())[0] for r in found),
          [("gone@able.example", "failed"), ("team@heloise.example", "expanded")])
    (failed,) = [r for r in found if "failed" in r.actions().values()]
    equal((failed.recipients[0]["Original-Recipient"], failed.about["Original-Envelope-Id"]),
          ("rfc822; team@heloise.example", "T"))
    contains(failed.text, "sent to team@heloise.example")
    check("RCPT TO:<c@able.example> NOTIFY=FAILURE ORCPT=rfc822;team@heloise.example" in sink.commands, sink.commands)
    i.wait_queue(0)
    equal(len(i.mail("alice")), 2, "reports")


@test("an alias of one address passes everything on, and the mailbox behind it reports")
def single_alias():
    i = instance(aliases=[("first", "second"), ("second", "bob")]).start()
    i.send(ALICE, "first@heloise.example", letter("through aliases"), rcpt="NOTIFY=SUCCESS", mail="ENVID=S")
    (r,) = reports(i)
    equal(r.actions(), {"bob@heloise.example": "delivered"})
    equal((r.recipients[0]["Original-Recipient"], r.about["Original-Envelope-Id"]),
          ("rfc822; first@heloise.example", "S"))
    i.wait_queue(0)
    equal(len(i.mail("alice")), 1, "reports")


# ---- failure

@test("all that fails at about the same time is one report, with what was asked for besides")
def gathered():
    one = Sink([("RCPT TO:<gone@*", "550 5.1.1 no such user")])
    slow = Sink([("RCPT", "550 5.7.1 go away")])
    i = instance(one=one.route, slow=slow.route, shut="error:5.1.2 nobody is there",
                 settings={"attempt-recipients": "1"}).start()
    number = i.send(ALICE, ["gone@one.example", "fine@one.example", "a@slow.example", "b@slow.example",
                            "x@shut.example", "bob@heloise.example"], letter("many"), rcpt="NOTIFY=SUCCESS,FAILURE")
    (r,) = reports(i)
    equal(r.actions(), {"gone@one.example": "failed", "a@slow.example": "failed", "b@slow.example": "failed",
                        "x@shut.example": "failed", "fine@one.example": "relayed", "bob@heloise.example": "delivered"})
    contains(r.m["Subject"], "could not be delivered")
    contains(r.text, "these 4 addresses", "typing error", "refused the message by its rules", "What was tried:",
             "It was tried once")
    check(re.search(r"It is attached\.", r.text), r.text)
    equal(r.original.get_content_type(), "message/rfc822")
    settled(i, number)
    equal(len(i.mail("alice")), 1, "reports")


@test("who fails a round later has a report of his own")
def later():
    sink = Sink([("RCPT TO:<now@*", "550 5.1.1 no"), ("RCPT TO:<then@*", "450 4.2.1 not yet")])
    i = instance(retry="every 2s life 1h", busy=sink.route).start()
    number = i.send(ALICE, ["now@busy.example", "then@busy.example"], letter("rounds"))
    (r,) = reports(i)
    equal(r.actions(), {"now@busy.example": "failed"})
    i.table("routes", "busy.example error:5.2.1 not any more", replace=True)
    i.cli("reload", ok=True)
    found = reports(i, count=2)
    equal([list(x.actions()) for x in found], [["now@busy.example"], ["then@busy.example"]])
    check(found[0].m["Message-ID"] != found[1].m["Message-ID"], "the same Message-ID")
    settled(i, number)


@test("a report says from whom the message came, answers it, and returns it whole, 8 bits and all")
def whole():
    sink = Sink([("RCPT", "550 5.1.1 no")])
    far = Sink()
    i = instance(busy=sink.route, far=far.route).start()
    message = letter("8 bits", "Grüße\n--\n.\n", Content_Type="text/plain; charset=utf-8",
                     Content_Transfer_Encoding="8bit")
    i.send("s@far.example", "x@busy.example", message, mail="BODY=8BITMIME")
    wait_for("the report", lambda: far.messages)
    r = Report(far.messages[0])
    contains(r.about["Received-From-MTA"], "dns;", "(127.")
    sent = re.search(r"Message-ID: (\S+)", message).group(1)
    equal((r.m["In-Reply-To"], r.m["References"]), (sent, sent))
    equal((r.m["Content-Transfer-Encoding"], r.original["Content-Transfer-Encoding"]), ("8bit", "8bit"))
    check(any(c.startswith("MAIL FROM:<>") and "BODY=8BITMIME" in c for c in far.commands), far.commands)
    (inner,) = r.original.get_payload()
    equal(inner.get_content().replace("\r\n", "\n"), "Grüße\n--\n.\n")
    equal(inner["Subject"], "8 bits")


@test("RET=FULL returns no more than bounce-return-limit, and says so; RET=HDRS the header")
def bounded():
    sink = Sink([("RCPT", "550 5.1.1 no")])
    i = instance(busy=sink.route, settings={"bounce-return-limit": "3k"}).start()
    body = "".join("line %d of the body\n" % n for n in range(300))
    for count, (text, ret, kind, words) in enumerate([
            ("short\n", "FULL", "message/rfc822", "It is attached."),
            (body, "FULL", "text/rfc822-headers", "larger than the 3072 bytes"),
            ("short\n", "HDRS", "text/rfc822-headers", "Its header is attached.")], 1):
        i.send(ALICE, "x@busy.example", letter("bounded", text), mail="RET=" + ret)
        r = reports(i, count=count)[-1]
        equal(r.original.get_content_type(), kind)
        contains(r.text, words)
        contains(r.original.as_string(), "Subject: bounded")
        equal(b"line 5 of" in r.raw, False)


@test("an original with boundaries, reports, long lines and a huge header in it is one part of its report")
def hostile_original():
    sink = Sink([("RCPT", "550-5.1.1 one\\r\\n550-5.1.1 --x\\x00\\x1b\\r\\n550 5.1.1 Content-Type: text/html\\r\\n")])
    i = instance(busy=sink.route, settings={"bounce-return-limit": "1m", "line-length-limit": "1m"}).start()
    i.send(ALICE, "x@busy.example", letter("inner"))
    (inner,) = reports(i)
    boundary = inner.m.get_boundary()
    message = (b"Subject: outer\r\nX-Long: " + b"y" * 5000 + b"\r\n" + b"X-Fold: a\r\n b\r\n" * 3000 + b"\r\n--" +
               boundary.encode() + b"\r\nContent-Type: message/delivery-status\r\n\r\nAction: delivered\r\n\r\n--" +
               boundary.encode() + b"--\r\n" + crlf(inner.raw))
    i.send(ALICE, "x@busy.example", message)
    found = [Report(raw) for raw in i.wait_mail("alice", 2)]
    r = found[1]
    equal(r.actions(), {"x@busy.example": "failed"})
    check(boundary != r.m.get_boundary(), "the boundary is known beforehand")
    (original,) = r.original.get_payload()
    equal((original["Subject"], len(original["X-Long"])), ("outer", 5000))
    check(not re.search(rb"[\x00\x1b]", r.raw), "control bytes")


@test("a report about a report goes to the postmaster once; that failing, to nobody, with a line in the log")
def loops():
    sink = Sink([("RCPT", "550 5.1.1 no")])
    i = instance(busy=sink.route).start()
    i.send("gone@busy.example", "x@busy.example", letter("double"))
    (r,) = reports(i, "pm")
    contains(r.m["Subject"], "without a sender")
    equal(r.actions(), {"gone@busy.example": "failed"})
    equal(len([c for c in sink.commands if c.startswith("MAIL FROM:<>")]), 1, "reports that were tried")
    i.wait_queue(0)
    i.cli("set", "postmaster", "pm@busy.example", ok=True)
    i.cli("reload", ok=True)
    i.send("gone@busy.example", "x@busy.example", letter("triple"))
    i.wait_event("dropped", reason="a report about a report failed")
    i.wait_queue(0)
    equal((len(i.mail("pm")), len(i.mail("alice"))), (1, 0), "reports")
    check(not any("RCPT TO:<>" in c for c in sink.commands), "a report to nobody")


# ---- delay

WARNED = "every 1h life 1d warn 2s"


def warned(i, number):
    return json.loads(i.cli("queue", "why", number, "--json", ok=True).text)["why"][0]


@test("a message that is late is warned of once, at its time, and its next attempt stays where it was")
def delay():
    sink = Sink([("RCPT", "450 4.2.1 not now, my friend")])
    i = instance(retry=WARNED, busy=sink.route, down=nowhere()).start()
    number = i.send(ALICE, ["x@busy.example", "y@down.example"], letter("late", "secret\n"), mail="RET=FULL")
    i.wait_event("deferred", id=number, count=2)
    wait_for("it waits", lambda: i.queue() and i.queue()[0]["state"] == "deferred")
    (before,) = i.queue()
    check(i.find_events("report") or warned(i, number)["warning"] or warned(i, number)["warned"], "nothing is foretold")
    (r,) = reports(i)
    equal(r.actions(), {"x@busy.example": "delayed", "y@down.example": "delayed"})
    contains(r.m["Subject"], "still being tried")
    contains(r.text, "You need not send it again", "not now, my friend", "What was tried", "Attempt 1,", "It is tried until")
    (x, y) = r.recipients
    equal((x["Status"][0], y["Status"][0]), ("4", "4"))
    until = email.utils.parsedate_to_datetime(x["Will-Retry-Until"]) - email.utils.parsedate_to_datetime(r.about["Arrival-Date"])
    equal(until.total_seconds(), 86400.0, "seconds until it comes back")
    contains(x["Diagnostic-Code"], "smtp; 450 4.2.1 not now")
    check(b"secret" not in r.raw, "the body came back")
    wait_for("why says so", lambda: warned(i, number)["warned"])
    contains(i.cli("queue", "why", number, ok=True).text, "Its sender was told of the delay at", "the sender was told: delayed")
    equal(warned(i, number)["warning"], None)
    wait_for("it waits", lambda: i.queue()[0]["state"] == "deferred")
    (after,) = i.queue()
    equal((after["next"], [x["attempts"] for x in after["recipients"]]),
          (before["next"], [x["attempts"] for x in before["recipients"]]))
    equal(len(i.find_events("attempt", id=number)), 2, "attempts")
    i.process.send_signal(signal.SIGKILL)
    i.process.wait()
    i.start()
    i.cli("queue", "retry", number, ok=True)
    i.wait_event("deferred", id=number, count=4)
    time.sleep(2)
    equal(len(i.mail("alice")), 1, "warnings")


@test("a warning whose time came while nothing ran is sent at the next start, not at the next attempt")
def delay_over_restart():
    i = instance(retry="every 1h life 1d warn 4s", down=nowhere()).start()
    number = i.send(ALICE, "y@down.example", letter("late"))
    i.wait_event("deferred", id=number)
    i.stop()
    time.sleep(4)
    check(not i.mail("alice"), "too soon")
    i.start()
    (r,) = reports(i)
    equal(r.actions(), {"y@down.example": "delayed"})
    equal(len(i.find_events("attempt", id=number)), 1, "attempts")


@test("warned are those who send through us and those who ask; never the null sender, nor who asked for less")
def who_is_warned():
    i = instance(retry=WARNED, relay=False, down=nowhere()).start()
    i.send(ALICE, "stranger@down.example", letter("not ours"))
    i.send("", "null@down.example", letter("null"), rcpt="NOTIFY=DELAY")
    i.send(ALICE, "never@down.example", letter("never"), rcpt="NOTIFY=NEVER")
    i.send(ALICE, "failure@down.example", letter("failure"), rcpt="NOTIFY=FAILURE,SUCCESS")
    i.send(ALICE, "asks@down.example", letter("asks"), rcpt="NOTIFY=DELAY")
    i.sendmail("-f", ALICE, "local@down.example", stdin=letter("local"), ok=True)
    found = reports(i, count=2)
    equal(sorted(a for r in found for a in r.actions()), ["asks@down.example", "local@down.example"])
    time.sleep(2)
    equal((len(i.mail("alice")), len(i.mail("pm"))), (2, 0), "warnings")
    equal(len(i.queue()), 6)


@test("warn 0 warns nobody; a warning that would come with the failure is left out")
def no_warning():
    i = instance(retry="every 1s life 4s warn 0", down=nowhere()).start()
    j = instance(retry="every 1s life 3s warn 3s", down=nowhere()).start()
    for each in (i, j):
        each.send(ALICE, "y@down.example", letter("late"))
        (r,) = reports(each)
        equal(r.actions(), {"y@down.example": "failed"})
        each.wait_queue(0)


@test("hundreds of messages that are late at the same time are all warned of within seconds, once each")
def many_warnings():
    i = instance(retry="every 1h life 1d warn 15s", down=nowhere()).start()
    with Client(i) as c:
        ids = [c.send(ALICE, "y@down.example", letter("late"), hello="client.example") for _ in range(300)]
    wait_for("all to be warned of", lambda: len(i.mail("alice")) >= 300, patience=60)
    time.sleep(2)
    equal(len(i.mail("alice")), 300, "warnings")
    equal(len(i.find_events("report")), 300, "reports")
    equal({len(i.find_events("report", id=n)) for n in ids}, {1})


# ---- nothing is lost, nothing is sent twice

def owing(i):
    """Letters of the recipients' lines in the queue."""
    found = []
    try:
        for path in i.queue_files():
            with open(path, "rb") as f:
                found += re.findall(rb"(?m)^r (.) [0-9a-f]{4}.[0-9a-f]{8} ", f.read())
    except FileNotFoundError:  # moved this moment
        return owing(i)
    return sorted(x.decode() for x in found)


@test("while the queue takes no mail a report is owed, and sent once when it does; others are tried meanwhile")
def full():
    wait = ("RCPT TO:<later@*", "450 4.2.1 wait")
    sink = Sink([("RCPT TO:<gone@*", "450 4.2.1 wait"), wait])
    i = instance(retry="every 2s life 1h", busy=sink.route).start()
    number = i.send(ALICE, ["gone@busy.example", "later@busy.example"], letter("full"))
    i.wait_event("deferred", id=number, count=2)
    i.cli("set", "queue-min-free", "1023g", ok=True)
    i.cli("reload", ok=True)
    sink.close()
    sink = Sink([("RCPT TO:<gone@*", "550 5.1.1 no"), wait], address=sink.address, port=sink.port)
    i.wait_event("bounced", id=number, recipient="gone@busy.example")
    i.wait_event("failed", program="bounce", what="intake")
    count = len(i.find_events("attempt", id=number))
    i.wait_event("attempt", id=number, count=count + 2)
    equal((owing(i), i.mail("alice")), (["F", "T"], []))
    i.process.send_signal(signal.SIGKILL)
    i.process.wait()
    i.cli("set", "queue-min-free", "0", ok=True)
    i.cli("build", ok=True)
    i.start()
    (r,) = reports(i)
    equal(r.actions(), {"gone@busy.example": "failed"})
    wait_for("it is told", lambda: owing(i) == ["B", "T"])
    i.wait_event("attempt", id=number, count=count + 4)
    equal(len(i.mail("alice")), 1, "reports")


@test("a kill while a report is being made loses none, and none is sent twice")
def killed():
    sink = Sink([("RCPT", "550 5.1.1 no")])
    i = instance(busy=sink.route).start()
    ids = []
    for name in "queue", "intake":  # one that is stopped in its start keeps the other from its own
        i.wait_event("started", program=name)
    os.kill(i.pids()["queue"], signal.SIGSTOP)
    for n in range(30):
        ids.append(i.send(ALICE, "x%d@busy.example" % n, letter("kill %d" % n)))
    os.kill(i.pids()["queue"], signal.SIGCONT)
    wait_for("some reports", lambda: len(i.find_events("report")) >= 3)
    i.process.send_signal(signal.SIGKILL)
    i.process.wait()
    i.start()
    wait_for("all reports", lambda: len({list(Report(raw).actions())[0] for raw in i.mail("alice")}) == 30)
    i.wait_queue(0)
    found = [Report(raw) for raw in i.mail("alice")]
    # a report that was queued in the very moment of the kill may come again, and can be known by its name
    names = {}
    for r in found:
        names.setdefault(list(r.actions())[0], set()).add(r.m["Message-ID"])
    check(all(len(x) == 1 for x in names.values()), names)
    check(len(found) <= 30 + 10, "%d reports of 30" % len(found))


def children(pid):
    """Of a process without threads that start any."""
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(x) for x in f.read().split()]


@test("a heloise-bounce that is killed in its work is started again: one report")
def killed_bounce():
    i = instance(shut="error:5.1.2 nobody is there").start()
    manager, intake = i.pids()["queue"], i.pids()["intake"]
    os.kill(manager, signal.SIGSTOP)
    number = i.send(ALICE, "x@shut.example", letter("killed bounce"), rcpt="NOTIFY=FAILURE")
    i.send(ALICE, "bob@heloise.example")  # when this is taken the manager has been told of the first
    os.kill(intake, signal.SIGSTOP)
    os.kill(manager, signal.SIGCONT)
    for bounce in wait_for("heloise-bounce", lambda: children(manager)):
        os.kill(bounce, signal.SIGKILL)
    i.wait_event("warning", program="bounce")
    i.wait_mail("bob")
    wait_for("it is owed", lambda: owing(i) == ["F"])
    os.kill(intake, signal.SIGCONT)
    (r,) = reports(i)
    equal(r.actions(), {"x@shut.example": "failed"})
    settled(i, number)
    equal(len(i.mail("alice")), 1, "reports")


@test("a burst of failures starts ten programs at a time at most")
def burst():
    i = instance(shut="error:5.1.2 nobody is there").start()
    manager = i.pids()["queue"]
    os.kill(manager, signal.SIGSTOP)
    for n in range(150):
        i.send(ALICE, "x@shut.example", letter("burst"))
    os.kill(manager, signal.SIGCONT)
    most = 0
    while len(i.mail("alice")) < 150:
        most = max(most, len(children(manager)))
        time.sleep(0.005)
    check(1 <= most <= 10, "%d at once" % most)
    i.wait_queue(0)


if __name__ == "__main__":
    main()
