"""LMTP's dialogue, submissions that are completed, and verbs that differ by service."""

import os
import re
import smtplib

from harness import Client, Instance, Local, check, contains, equal, letter, main, new_address, free_port, test, wait_for

_shared = {}


def instance():
    if not _shared:
        address = new_address()
        port = free_port(address)
        i = Instance(is_shared=True, tables={
            "mailboxes": ["alice alice/", "bob bob/"], "access": ["client:127.0.0.0/8 relay"],
            "verbs": ["submission:* -chunking -limits", "lmtp:* -dsn"],
            "listen": ["%s:%d submission" % (address, port), "unix:lmtp lmtp"]})
        i.start()
        _shared.update(i=i, submission=(address, port))
    return _shared["i"]


def lmtp():
    return Local(instance().dir + "/run/lmtp")


def submission():
    i = instance()
    address, port = _shared["submission"]
    return Client(i, address=address, port=port)


@test("LMTP: LHLO, no other greeting, and a reply for each accepted recipient after the message")
def replies():
    i = instance()
    with lmtp() as c:
        for greeting in ("EHLO x.example", "HELO x.example"):
            equal(c.cmd(greeting).code, 500)
        contains(c.cmd("LHLO x.example", 250).text, "PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "CHUNKING")
        for last in ("DATA", "BDAT"):
            c.cmd("MAIL FROM:<s@client.example>", 250)
            c.cmd("RCPT TO:<alice@heloise.example>", 250)
            equal(c.cmd("RCPT TO:<nobody-here@heloise.example>").code, 550)
            c.cmd("RCPT TO:<bob@heloise.example>", 250)
            if last == "DATA":
                c.cmd("DATA", 354)
                c.raw("Subject: by lmtp\r\n\r\nx\r\n.\r\n")
            else:
                c.raw("BDAT 20\r\nSubject: by lmtp\r\n\r\n")
                equal(c.reply().code, 250)
                c.raw("BDAT 3 LAST\r\nx\r\n")
            answers = [c.reply() for _ in range(2)]
            equal([r.code for r in answers], [250, 250])
            c.cmd("NOOP", 250)
        c.cmd("MAIL FROM:<s@client.example>", 250)
        equal(c.cmd("RCPT TO:<nobody-here@heloise.example>").code, 550)
        equal(c.cmd("DATA").code, 503)
    for who in ("alice", "bob"):
        mail = i.wait_mail(who, 2)[-1]
        contains(mail.decode(), "with LMTP id ", "Subject: by lmtp")


@test("LMTP by Python's smtplib")
def by_smtplib():
    i = instance()
    before = len(i.mail("bob"))
    with smtplib.LMTP(i.dir + "/run/lmtp") as c:
        refused = c.sendmail("s@client.example", ["bob@heloise.example", "nobody-here@heloise.example"], letter("smtplib"))
    equal(list(refused), ["nobody-here@heloise.example"])
    i.wait_mail("bob", before + 1)


@test("a submission gets Date, Message-ID and From where they are missing; mail on mx is as it came")
def completed():
    i = instance()
    with submission() as c:
        number = c.send("s@client.example", "alice@heloise.example", "Subject: completed\nBcc: b@x.example\n\nbody\n")
    i.wait_event("delivered", id=number)
    mail = [m for m in i.mail("alice") if number.encode() in m][0].decode()
    check(re.search(r"\nSubject: completed\nBcc: b@x.example\nDate: \w\w\w, .*\nMessage-ID: <%s@heloise.example>\n"
                    r"From: <s@client.example>\n\nbody\n\Z" % number, mail), mail)
    with submission() as c:
        number = c.send("s@client.example", "alice@heloise.example", letter("whole"))
    i.wait_event("delivered", id=number)
    mail = [m for m in i.mail("alice") if number.encode() in m][0].decode()
    equal([mail.count("\n%s:" % f) for f in ("Date", "Message-ID", "From")], [1, 1, 1])
    number = i.send("s@client.example", "alice@heloise.example", "Subject: mx\n\nbody\n")
    i.wait_event("delivered", id=number)
    mail = [m for m in i.mail("alice") if number.encode() in m][0].decode()
    check(mail.endswith("\nSubject: mx\n\nbody\n"), mail)


@test("table verbs by service: each has its own offers")
def offers():
    with submission() as c:
        words = c.cmd("EHLO x.example", 250).text
        check("CHUNKING" not in words and "LIMITS" not in words and "DSN" in words, words)
        c.raw("BDAT 6\r\nQUIT\r\nNOOP\r\n")
        equal([c.reply().code, c.reply().code], [502, 250])
    with lmtp() as c:
        words = c.cmd("LHLO x.example", 250).text
        check("CHUNKING" in words and "DSN" not in words, words)
    with Client(instance()) as c:
        words = c.cmd("EHLO x.example", 250).text
        check("CHUNKING" in words and "LIMITS MAILMAX=10000 RCPTMAX=1000" in words and "DSN" in words, words)


main()
