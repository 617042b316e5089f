"""Internationalised mail (RFC 6531): in, into a Maildir, out to peers that take it and that do not."""

import re

from harness import Client, Instance, check, contains, equal, letter, main, new_address, test, wait_for
from sink import Sink

OFFERS = ("PIPELINING", "8BITMIME", "SIZE 50000000")
_shared = {}
STRANGER = new_address()


def instance():
    if not _shared:
        takes = Sink(offers=OFFERS + ("SMTPUTF8", "DSN"))
        plain = Sink(offers=OFFERS)
        i = Instance(is_shared=True, tables={
            "mailboxes": ["jörg joerg/", "alice alice/"], "access": ["client:127.0.0.1/32 relay",
                                                                     "rcpt:no@xn--mller-kva.example reject"],
            "domains": ["xn--bcher-kva.example local"],
            "routes": ["xn--mller-kva.example " + takes.route, "xn--mller-kva.test " + plain.route]})
        i.start()
        _shared.update(i=i, takes=takes, plain=plain)
    return _shared["i"]


def octets(text):
    return text.encode().decode("latin-1")


def octets_read(commands):
    return " ".join(commands).encode("latin-1").decode()


def send(sender, recipient, message=None, mail="SMTPUTF8", rcpt=""):
    with Client(instance(), source="127.0.0.1") as c:
        return c.send(octets(sender), octets(recipient), message, mail=mail, rcpt=octets(rcpt))


@test("SMTPUTF8 is offered, and a local user of a domain in U-labels gets mail with a field that names him")
def local():
    i = instance()
    with Client(i, source=STRANGER) as c:
        check("SMTPUTF8" in c.cmd("EHLO client.example").lines[-2] + c.cmd("EHLO client.example").text)
    number = send("büro@client.example", "jörg@bücher.example", letter("Grüße"))
    i.wait_event("delivered", id=number)
    mail = [m for m in i.mail("joerg") if number.encode() in m][0].decode()
    contains(re.sub(r"\n[ \t]+", " ", mail), "with UTF8SMTP id", "for <jörg@bücher.example>",
             "Return-Path: <büro@client.example>", "Subject: Grüße")


@test("without SMTPUTF8 a non-ASCII address is refused with 553 5.6.7, and the session stays as it was")
def refused():
    with Client(instance(), source=STRANGER) as c:
        c.cmd("EHLO client.example", 250)
        r = c.cmd(octets("MAIL FROM:<jörg@client.example>"))
        check(r.code == 553 and r.text.startswith("5.6.7 "), r)
        c.cmd("MAIL FROM:<s@client.example>", 250)
        r = c.cmd(octets("RCPT TO:<jörg@bücher.example>"))
        check(r.code == 553 and r.text.startswith("5.6.7 "), r)
        c.cmd("RCPT TO:<alice@heloise.example>", 250)


@test("a rule for a domain in A-labels holds for its U-labels")
def rules():
    with Client(instance(), source="127.0.0.1") as c:
        c.cmd("EHLO client.example", 250)
        c.cmd("MAIL FROM:<s@client.example> SMTPUTF8", 250)
        equal(c.cmd(octets("RCPT TO:<no@MÜLLER.example>")).code, 550)
        equal(c.cmd(octets("RCPT TO:<niemand@bücher.example>")).code, 550)


@test("a peer that offers SMTPUTF8 gets addresses, parameter and header as they came, ORCPT in 7 bits")
def passed_on():
    i = instance()
    number = send("büro@client.example", "日本@müller.example", letter("Grüße 1"),
                  rcpt="NOTIFY=FAILURE ORCPT=utf-8;日本@müller.example")
    i.wait_event("delivered", id=number)
    contains(octets_read(_shared["takes"].commands), "MAIL FROM:<büro@client.example>", " SMTPUTF8",
             "RCPT TO:<日本@müller.example> NOTIFY=FAILURE ORCPT=utf-8;\\x{65E5}\\x{672C}@m\\x{FC}ller.example")
    check("Subject: Grüße 1".encode() in _shared["takes"].messages[-1])


@test("a peer without SMTPUTF8 gets the domain in A-labels where that is enough; else the mail bounces with 5.6.7")
def not_passed_on():
    i = instance()
    number = send("s@client.example", "info@müller.test", letter("plain"))
    i.wait_event("delivered", id=number)
    contains(" ".join(_shared["plain"].commands), "RCPT TO:<info@xn--mller-kva.test>")
    check("SMTPUTF8" not in " ".join(_shared["plain"].commands))
    number = send("alice@heloise.example", "jörg@müller.test", letter("local part"))
    i.wait_event("bounced", id=number)
    number = send("alice@heloise.example", "info@müller.test", letter("Grüße"))
    i.wait_event("bounced", id=number)
    equal([e["status"] for _, e in i.find_events("bounced")], ["5.6.7", "5.6.7"])
    equal(len(_shared["plain"].messages), 1)


main()
