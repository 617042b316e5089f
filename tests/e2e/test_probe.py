"""heloise probe: the ladder against a live peer, up to MAIL, and what it saw there."""

import json
import os

from dns import NameServer
from harness import Instance, check, contains, equal, free_port, letter, main, new_address, test
from sink import Sink


def instance(tables=None, **settings):
    return Instance(settings={"dnssec": "no", "timeout-dns": "3s", "timeout-helo": "1s", **settings},
                    tables=dict({"access": ["client:127.0.0.0/8 relay"], "retry": ["* every 1h life 1d"]}, **(tables or {})))


def place(sink):
    return "%s:%d" % (sink.address, sink.port)


def commands(sink):
    return [c.split()[0] for c in sink.commands]


@test("a peer by address: dialogue, rung, extensions; no MAIL; without the daemon")
def plain():
    i, sink = instance(), Sink()
    text = i.cli("probe", place(sink), ok=True).text
    contains(text, "connecting to", "S 220 sink.example ESMTP", "C EHLO heloise.example", "S 250-PIPELINING", "C QUIT",
             "rung R2", "PIPELINING", "SIZE (50000000 bytes)")
    equal(commands(sink), ["EHLO", "QUIT"])


@test("a peer that needs HELO on a second connection: rung R5; the way there is told; nothing is remembered")
def climbs():
    i, sink = instance(), Sink([("EHLO", "close")])
    text = i.cli("probe", place(sink), ok=True).text
    contains(text, "the peer closed the connection", "C HELO heloise.example", "rung R5")
    equal(commands(sink), ["EHLO", "HELO", "QUIT"])
    equal(i.cli("peers", "list", ok=True).text, "")


@test("a peer that cannot be greeted, or is not there: exit code 69 and the reason")
def fails():
    i, sink = instance(), Sink([("EHLO", "554 5.7.1 no"), ("HELO", "554 5.7.1 go away")])
    for where, why in ((place(sink), "go away"), ("%s:%d" % (sink.address, free_port(sink.address)), "refused")):
        r = i.cli("probe", where)
        equal(r.returncode, 69)
        contains(r.text, why, "No mail would be sent there")
        r = i.cli("probe", where, "--json")
        (a,) = json.loads(r.text)["addresses"]
        check(not a["greeted"] and why in a["why"], a)


@test("a domain: its route, or its mail exchangers and their addresses, by DNS")
def domain():
    dns = NameServer(new_address())
    first, port = new_address(), free_port(new_address())
    sink = Sink(address=first, port=port)
    dns.add("probe.example", "MX", (10, "mx1.probe.example"))
    dns.add("probe.example", "MX", (20, "mx2.probe.example"))
    dns.add("mx1.probe.example", "A", first)
    dns.add("mx2.probe.example", "A", new_address())
    i = instance({"routes": ["routed.example [%s]:%d" % (first, port)]}, dns_servers=dns.setting, smtp_port=port)
    text = i.cli("probe", "probe.example", ok=True).text
    contains(text, "mx1.probe.example", "preference 10", "mx2.probe.example", first, "rung R2", "refused")
    contains(i.cli("probe", "routed.example", ok=True).text, "table routes says", "rung R2")
    told = json.loads(i.cli("probe", "probe.example", "--json", ok=True).text)
    equal([a["host"] for a in told["addresses"]], ["mx1.probe.example", "mx2.probe.example"])
    equal([a["greeted"] for a in told["addresses"]], [True, False])
    equal(told["addresses"][0]["banner"], "220 sink.example ESMTP")
    check("PIPELINING" in told["addresses"][0]["offers"] and told["addresses"][0]["size_limit"] == 50000000, told)
    equal(commands(sink), ["EHLO", "QUIT"] * 3)
    r = i.cli("probe", "no-such.example")
    check(r.returncode == 69 and "does not exist" in r.error, r.returncode, r.error)
    r = i.cli("probe", "no-such.example", "--json")
    check(r.returncode == 69 and "does not exist" in json.loads(r.text)["errors"][0], r.text)
    r = i.cli("probe", "host.example:0")
    check(r.returncode == 64 and "no DOMAIN and no HOST:PORT" in r.error, r.error)
    dns.fail("broken.example", "SERVFAIL")
    equal(i.cli("probe", "broken.example").returncode, 75)


@test("with a message: whether its size, 8-bit text and UTF-8 addresses fit; from a file and from the queue")
def message():
    big = Sink(offers=["SIZE 70000"])
    i = instance({"routes": ["later.example " + Sink([("RCPT", "450 4.2.1 later")]).route]})
    path = i.top + "/letter"
    with open(path, "wb") as f:
        f.write(letter(body="gr\xfc\xdfe\n" + "x" * 70 + "\n").encode("latin-1"))
    os.chmod(path, 0o644)
    contains(i.cli("probe", place(big), "--message", path, ok=True).text, "it fits", "no 8BITMIME here: converted to 7 bits")
    contains(i.cli("probe", place(Sink()), "--message", path, ok=True).text, "goes as it is")
    with open(path, "ab") as f:
        f.write((b"y" * 70 + b"\n") * 1000)
    r = i.cli("probe", place(big), "--message", path, "--json", ok=True)
    (a,) = json.loads(r.text)["addresses"]
    equal((a["message"]["size"], a["message"]["eightbit"], a["message"]["smtputf8"]), ("no", "no", "not needed"))
    check(a["message"]["bytes"] > 72000, a["message"])
    i.start()
    number = i.send("alice@heloise.example", "bob@later.example", letter("small"))
    i.wait_event("deferred", id=number)
    contains(i.cli("probe", place(big), "--message", number, ok=True).text, "it fits", "7-bit text", "accepted")
    i.stop()
    contains(i.cli("probe", place(big), "--message", number, ok=True).text, "it fits")
    for bad in (number[:-3] + ("b" if number[-3] == "a" else "a") + number[-2:], "/no/such/file"):
        check(i.cli("probe", place(big), "--message", bad).returncode in (65, 77), bad)


@test("with a message: MAIL and RCPT as an attempt would say them, RSET, QUIT, and never DATA")
def envelope():
    sink = Sink([("RCPT TO:<no@*", "550 5.1.1 \\x1bno such user"), ("RCPT TO:<late@*", "450 4.2.1 later")])
    i = instance({"routes": ["later.example " + sink.route, "other.example " + Sink([("RCPT", "450 4.2.1 later")]).route]})
    path = i.top + "/letter"
    with open(path, "wb") as f:
        f.write(letter(body="gr\xfc\xdfe\n").encode("utf-8"))
    os.chmod(path, 0o644)
    text = i.cli("probe", place(sink), "--message", path, ok=True).text
    contains(text, "No recipient is known for it there: MAIL was not said")
    equal(commands(sink), ["EHLO", "QUIT"])
    args = [a for who in ("no", "bob", "late") for a in ("--recipient", who + "@Later.example")]
    text = i.cli("probe", "later.example", "--message", path, "--sender", "alice@heloise.example", *args, ok=True).text
    contains(text, "C MAIL FROM:<alice@heloise.example>", "Recipient bob@later.example: accepted.", "no@later.example: ",
             "550 5.1.1 ", "Recipient late@later.example: ", "450 4.2.1 later")
    equal(commands(sink)[2:], ["EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "RSET", "QUIT"])
    told = json.loads(i.cli("probe", "later.example", "--message", path, *args, "--json", ok=True).text)
    e = told["addresses"][0]["envelope"]
    equal((e["sender"], e["why"]), ("", None))
    equal([r["accepted"] for r in e["recipients"]], [False, True, False])
    check("550 5.1.1" in e["recipients"][0]["reply"] and e["recipients"][1]["reply"] is None, e)
    i.start()
    number = i.send("alice@heloise.example", ["late@later.example", "else@other.example"], letter("small"))
    i.wait_event("deferred", id=number, recipient="late@later.example")
    i.wait_event("deferred", id=number, recipient="else@other.example")
    before = len(sink.commands)
    text = i.cli("probe", "later.example", "--message", number, ok=True).text
    contains(text, "Recipient late@later.example: ", "450 4.2.1 later")
    check("else@" not in text, text)
    equal(commands(sink)[before:], ["EHLO", "MAIL", "RCPT", "RSET", "QUIT"])
    refuses = Sink([("MAIL", "554 5.7.1 not you")])
    contains(i.cli("probe", place(refuses), "--message", number, ok=True).text, "C QUIT", "554 5.7.1 not you")
    equal(commands(refuses)[:2] + commands(refuses)[-1:], ["EHLO", "MAIL", "QUIT"])
    for bad in (["--recipient", "a@b"], ["--message", path, "--recipient", "a@b\r\nDATA"], ["--message", path, "--sender", "@"]):
        equal(i.cli("probe", place(sink), *bad).returncode, 64)


@test("a peer with TLS: version, certificate, and what it offers within TLS")
def encrypted():
    i, sink = instance(), Sink(offers=["STARTTLS", "8BITMIME"])
    text = i.cli("probe", place(sink), ok=True).text
    contains(text, "S 250-STARTTLS", "C STARTTLS", "* TLSv1.3", "certificate not verified", "It speaks TLSv1.3")
    (a,) = json.loads(i.cli("probe", place(sink), "--json", ok=True).text)["addresses"]
    check(a["tls"].startswith("TLSv1.3 ") and "not verified" in a["certificate"] and a["offers"] == ["8BITMIME"], a)


@test("hostile replies reach no terminal; bad usage is refused")
def hostile():
    i = instance()
    sink = Sink([("EHLO", "250-\\x1b[2J\\x9b\\r\\n250 \\x07")])
    for more in ([], ["--json"]):
        r = i.cli("probe", place(sink), *more, ok=True)
        check(not any(b < 32 and b != 10 or b > 126 for b in r.stdout), r.stdout)
    for args in ([], ["a@b"], ["x:y:z"], ["a", "b"], ["--what"], ["a.example", "--message"]):
        r = i.cli("probe", *args)
        check(r.returncode == 64 and r.error, args, r.returncode, r.error)


if __name__ == "__main__":
    main()
