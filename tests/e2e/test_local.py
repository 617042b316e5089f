"""Local delivery: mailboxes, aliases and loops. test_privileged.py has the system's users."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Client, Instance, contains, equal, main, test

TABLES = {
    "mailboxes": ["bob bob/", "keeper lists/keeper/"],
    "aliases": ["team bob, keeper", "keeper keeper, bob", "round around", "around round",
                "outside someone@elsewhere.example"],
    "routes": ["elsewhere.example error:5.7.1 nobody there"],
}
DOMAIN = "@heloise.example"


def headers(mail, name):
    head = mail.partition(b"\n\n")[0].decode()
    return [line.partition(":")[2].strip() for line in head.split("\n")
            if line.lower().startswith(name.lower() + ":")]


@test("an alias goes to each of its addresses, with the sender kept and the way marked")
def aliases():
    i = Instance(tables=TABLES).start()
    i.send("s@x.example", ["Team" + DOMAIN])
    mail = i.wait_mail("bob", 2)
    equal(headers(mail[0], "Return-Path"), ["<s@x.example>"])
    equal(headers(mail[0], "Delivered-To")[-1].lower(), "team" + DOMAIN)
    equal(len(i.wait_mail("lists/keeper")), 1, "an alias that names itself keeps one copy")
    i.wait_queue(0)
    i.stop()


@test("aliases that lead in a circle end in a report, not in a loop")
def circles():
    i = Instance(tables=dict(TABLES, mailboxes=TABLES["mailboxes"] + ["sender sender/"])).start()
    i.send("sender" + DOMAIN, ["round" + DOMAIN])
    report = i.wait_mail("sender")[0].decode()
    contains(report, "5.4.6", "loop")
    i.wait_queue(0)
    i.stop()


@test("postmaster and root exist in every domain spelling; others are refused at RCPT")
def who_exists():
    i = Instance(tables=TABLES).start()
    with Client(i) as c:
        c.cmd("EHLO client.example", 250)
        c.cmd("MAIL FROM:<s@x.example>", 250)
        for r in ("postmaster", "Postmaster" + DOMAIN, "root" + DOMAIN, "BOB" + DOMAIN):
            c.cmd("RCPT TO:<%s>" % r, 250)
        for r in ("nobody-we-know" + DOMAIN, "bo" + DOMAIN, "bob.x" + DOMAIN, "../bob" + DOMAIN):
            contains(str(c.cmd("RCPT TO:<%s>" % r, 550)), "5.1.1")
    i.stop()


@test("a mailbox that cannot be written waits, and is delivered once it can")
def waits():
    i = Instance(tables=dict(TABLES, retry=["* every 1s life 5m"])).start()
    path = i.dir + "/mail/bob"
    with open(path, "w") as f:
        f.write("in the way")
    i.send("s@x.example", ["bob" + DOMAIN])
    i.wait_event("deferred", recipient="bob" + DOMAIN)
    os.unlink(path)
    equal(len(i.wait_mail("bob")), 1)
    i.stop()


if __name__ == "__main__":
    main()
