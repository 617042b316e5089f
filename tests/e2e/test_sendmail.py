"""The traditional commands: sendmail, mailq, newaliases."""

import os
import re

from harness import Instance, check, contains, equal, main, test, wait_for
from sink import Sink


def make(start=True):
    sink = Sink()
    i = Instance(tables={"mailboxes": ["alice alice/", "bob bob/"], "routes": ["far.example " + sink.route],
                         "retry": ["* every 1h life 1d"]})
    i.sink = sink
    return i.start() if start else i


LETTER = "From: Me <me@client.example>\nTo: alice@heloise.example\nSubject: by hand\n\nHello.\n"


@test("sendmail takes recipients as arguments and hands the message to the daemon at once")
def plain():
    i = make()
    i.sendmail("-f", "me@client.example", "alice@heloise.example", "x@far.example", stdin=LETTER, ok=True)
    (mail,) = i.wait_mail("alice", patience=5)
    contains(mail.decode(), "Return-Path: <me@client.example>", "Subject: by hand", "Hello.")
    wait_for("relayed", lambda: i.sink.messages)


@test("with the daemon down the message waits in queue/drop and goes when it starts")
def down():
    i = make(start=False)
    i.sendmail("alice@heloise.example", stdin=LETTER, ok=True)
    check(os.listdir(i.dir + "/queue/drop"), "nothing in queue/drop")
    i.start()
    i.wait_mail("alice")
    wait_for("queue/drop is empty", lambda: not os.listdir(i.dir + "/queue/drop"))


@test("what the queue may not deliver comes back with a report: a loop, a size limit lowered meanwhile")
def refused_later():
    i = make(start=False)
    hops = "".join("Received: from a by b; Mon, 06 Oct 2025 10:00:%02d +0000\n" % (n % 60) for n in range(101))
    i.sendmail("-f", "bob@heloise.example", "alice@heloise.example", stdin=hops + LETTER, ok=True)
    i.sendmail("-f", "bob@heloise.example", "alice@heloise.example", stdin=LETTER + 3000 * "padding\n", ok=True)
    i.cli("set", "message-size-limit", "8k", ok=True)
    i.cli("build", ok=True)
    i.start()
    said = b"".join(i.wait_mail("bob", 2)).decode()
    contains(said, "Status: 5.4.6", "looping", "Status: 5.3.4", "message-size-limit")
    check(not i.mail("alice"), "delivered")
    wait_for("the queue is empty", lambda: not i.queue())
    check(not os.listdir(i.dir + "/queue/corrupt"), "put aside")


@test("sendmail needs no compiled tables")
def no_tables():
    i = make(start=False)
    os.unlink(i.control("heloise.cdb"))
    i.sendmail("alice@heloise.example", stdin=LETTER, ok=True)
    i.cli("build", ok=True)
    i.start()
    i.wait_mail("alice")


@test("-t takes recipients from To, Cc and Bcc, folded and with comments, and deletes Bcc")
def from_header():
    i = make()
    i.sendmail("-t", "-f", "me@client.example", stdin=
               "To: \"A, lice\" <alice@heloise.example>,\n (a comment, with a comma) x@far.example\n"
               "Cc: y@far.example\nBcc: bob@heloise.example,\n z@far.example\nSubject: t\n\nHi\n", ok=True)
    (alice,), (bob,) = i.wait_mail("alice"), i.wait_mail("bob")
    wait_for("relayed", lambda: len([c for c in i.sink.commands if c.startswith("RCPT")]) == 3)
    for m in (alice, bob, i.sink.messages[0]):
        check(not re.search(rb"(?mi)^bcc:|z@far", m), "Bcc is there", m)
    check(alice.count(b"Subject: t") == 1)


@test("no recipients: exit 64, nothing is queued")
def no_recipients():
    i = make(start=False)
    for words in ([], ["-t"], ["-i"]):
        r = i.sendmail(*words, stdin="Subject: nobody\n\nx\n")
        equal(r.returncode, 64, words)
        check(r.error, "no message")
    equal(os.listdir(i.dir + "/queue/drop"), [])


@test("a dot alone ends the input, with -i and -oi it does not")
def dots():
    i = make()
    body = "To: alice@heloise.example\nSubject: dots\n\nbefore\n.\nafter\n"
    i.sendmail("alice@heloise.example", stdin=body, ok=True)
    (first,) = i.wait_mail("alice")
    check(first.endswith(b"\n\nbefore\n"), first[-40:])
    for n, option in enumerate(("-i", "-oi"), 2):
        i.sendmail(option, "alice@heloise.example", stdin=body, ok=True)
        check(i.wait_mail("alice", n)[-1].endswith(b"before\n.\nafter\n"), option)


@test("missing Date, Message-ID and From are added, present ones are kept")
def completion():
    i = make()
    i.sendmail("-F", "Some One", "alice@heloise.example", stdin="Subject: bare\n\nx\n", ok=True)
    (bare,) = i.wait_mail("alice")
    for field in (rb"Date: \S+", rb"Message-ID: <\S+@\S+>", rb"From: .*Some One.*<\S+@\S+>"):
        check(re.search(rb"(?mi)^" + field, bare), field, bare)
    i.sendmail("bob@heloise.example", stdin="Date: D\nMessage-ID: <m@x>\nFrom: f@x.example\n\nx\n", ok=True)
    (full,) = i.wait_mail("bob")
    for field in (b"Date:", b"Message-ID:", b"From:"):
        equal(full.lower().count(b"\n" + field.lower()), 1, field)


@test("a host-only recipient is completed, a message with CRLF line ends is not doubled")
def completed_recipient():
    i = make()
    i.sendmail("alice", stdin=LETTER.replace("\n", "\r\n"), ok=True)
    (mail,) = i.wait_mail("alice")
    check(b"\r" not in mail and mail.endswith(b"\n\nHello.\n"), mail[-60:])


@test("8-bit bytes and a missing final line end pass unharmed")
def eight_bit():
    i = make()
    i.sendmail("alice@heloise.example", stdin=b"Subject: x\n\nGr\xfc\xdfe \xff\x80", ok=True)
    check(i.wait_mail("alice")[0].endswith(b"\n\nGr\xfc\xdfe \xff\x80\n"))


@test("options of other sendmails are taken and ignored; an unknown user is reported to the sender")
def options():
    i = make()
    for words in (["-oem", "-odb"], ["-bm"], ["-v"], ["-O", "DeliveryMode=b"], ["-B", "8BITMIME"],
                  ["-N", "failure", "-R", "hdrs", "-V", "id1"], ["-om", "-n"], ["-fme@client.example"],
                  ["-r", "me@client.example"], ["--"]):
        r = i.sendmail(*words, "alice@heloise.example", stdin=LETTER)
        equal(r.returncode, 0, "exit code of %s %s" % (words, r.error))
    i.wait_mail("alice", 10)
    i.sendmail("-f", "bob@heloise.example", "no-such-user@heloise.example", stdin=LETTER, ok=True)
    contains(i.wait_mail("bob")[0].decode(), "no-such-user@heloise.example", "multipart/report")


@test("a drop file that is none is put aside or cleared, and the rest goes on")
def bad_drop():
    i = make()
    i.sendmail("bob@heloise.example", stdin=LETTER, ok=True)
    i.wait_mail("bob")
    for name, text in (("rubbish", b"rubbish"), ("empty", b""), ("half", b"heloise-drop 1\ns x\n"),
                       ("long", b"heloise-drop 1\n" + b"r " + b"x" * 100000 + b"\n\nx")):
        path = i.dir + "/queue/drop/" + name
        with open(path, "wb") as f:
            f.write(text)
        os.chown(path, i.user.pw_uid, i.user.pw_gid)
    i.sendmail("alice@heloise.example", stdin=LETTER, ok=True)
    i.wait_mail("alice")
    check(i.process.poll() is None and i.pids().get("intake"), "a program died")


@test("mailq lists the queue, newaliases builds the tables")
def links():
    i = make()
    r = i.run_command("mailq", ok=True)
    equal(r.error, "")
    i.table("aliases", "team alice@heloise.example")
    i.run_command("newaliases", ok=True)
    i.sendmail("team@heloise.example", stdin=LETTER, ok=True)
    i.wait_mail("alice")


if __name__ == "__main__":
    main()
