"""Where mail goes by DNS: MX, fallback to addresses, null MX, failures."""

import time

from dns import NameServer
from harness import Instance, check, contains, equal, free_port, letter, main, new_address, test
from sink import Sink

_shared = {}


def world():
    """An instance with a name server of its own and a port on which all exchangers listen."""
    if not _shared:
        dns = NameServer(new_address())
        port = free_port(new_address())
        i = Instance(is_shared=True,
                     settings={"dns-servers": dns.setting, "dnssec": "no", "smtp-port": port,
                               "timeout-connect": "2s", "timeout-dns": "3s", "postmaster": "pm",
                               "session-reuse-idle": "0"},
                     tables={"access": ["client:127.0.0.0/8 relay"], "retry": ["* every 1h life 1d"],
                             "mailboxes": ["alice alice/", "pm pm/"]})
        i.start()
        _shared.update(i=i, dns=dns, port=port)
    return _shared["i"], _shared["dns"], _shared["port"]


def send(domain, **how):
    return world()[0].send("alice@heloise.example", "x@" + domain, letter("mx"), **how)


def sink(*names, rules=()):
    _, dns, port = world()
    s = Sink(rules, address=new_address(), port=port)
    for name in names:
        dns.add(name, "A", s.address)
    return s


@test("the mail exchanger of a domain gets the mail")
def plain():
    i, dns, _ = world()
    s = sink("mx.plain.example")
    dns.add("plain.example", "MX", (10, "mx.plain.example"))
    number = send("plain.example")
    i.wait_event("delivered", id=number)
    equal(len(s.messages), 1)


@test("the built-in zones of the resolver are no obstacle: .test and home.arpa")
def builtin_zones():
    i, dns, _ = world()
    for domain in ("heloise.test", "mail.home.arpa"):
        sink("mx." + domain)
        dns.add(domain, "MX", (10, "mx." + domain))
        i.wait_event("delivered", id=send(domain))


@test("the lowest preference first, the next when it is down")
def preferences():
    i, dns, _ = world()
    first, second, third = sink("a.pref.example"), sink("b.pref.example"), sink("c.pref.example")
    for value in ((30, "c.pref.example"), (10, "a.pref.example"), (20, "b.pref.example")):
        dns.add("pref.example", "MX", value)
    i.wait_event("delivered", id=send("pref.example"))
    equal([len(s.messages) for s in (first, second, third)], [1, 0, 0])
    first.close()
    i.wait_event("delivered", id=send("pref.example"))
    equal([len(s.messages) for s in (first, second, third)], [1, 1, 0])


@test("equal preferences share the mail")
def shuffled():
    i, dns, _ = world()
    sinks = [sink("%s.equal.example" % n) for n in "abc"]
    for n in "abc":
        dns.add("equal.example", "MX", (10, n + ".equal.example"))
    for number in [send("equal.example") for _ in range(30)]:
        i.wait_event("delivered", id=number)
    counts = [len(s.messages) for s in sinks]
    check(sum(counts) == 30 and min(counts) >= 1, counts)


@test("an exchanger with several addresses: the next one when the first is down")
def several_addresses():
    i, dns, _ = world()
    s = sink("mx.multi.example")
    dns.add("mx.multi.example", "A", new_address())
    dns.add("multi.example", "MX", (10, "mx.multi.example"))
    for _ in range(4):
        i.wait_event("delivered", id=send("multi.example"))
    equal(len(s.messages), 4)


@test("without MX the domain's own address gets the mail; a CNAME is followed")
def implicit():
    i, dns, _ = world()
    sink("implicit.example")
    i.wait_event("delivered", id=send("implicit.example"))
    dns.add("alias.example", "CNAME", "implicit.example")
    i.wait_event("delivered", id=send("alias.example"))


@test("MX without a usable host: deferred, and the domain's own address is not asked")
def unusable():
    i, dns, _ = world()
    s = sink("unusable.example")
    dns.add("unusable.example", "MX", (10, "nothing.unusable.example"))
    i.wait_event("deferred bounced", id=send("unusable.example"))
    equal(len(s.messages), 0)


@test("a null MX fails at once with 5.1.10")
def null_mx():
    i, dns, _ = world()
    s = sink("null.example")
    dns.add("null.example", "MX", (0, "."))
    i.wait_event("bounced", id=send("null.example"), status="5.1.10")
    equal(len(s.messages), 0)


@test("NXDOMAIN fails at once with 5.1.2")
def nxdomain():
    i = world()[0]
    event = i.wait_event("bounced deferred", id=send("no-such-domain.example"))
    check(event[0] == "bounced" and event[1]["status"].startswith("5.1."), event)


@test("a domain that does not exist, or takes no mail, is no destination that is down: each message fails at once")
def final_by_dns():
    i, dns, _ = world()
    dns.add("none.example", "MX", (0, "."))
    dns.add("astray.example", "MX", (10, "no-such-host.example"))
    for domain in ("never-was.example", "none.example", "astray.example"):
        for _ in range(8):
            number = send(domain)
            equal(i.wait_event("bounced deferred", id=number)[0], "bounced", domain)
    equal(i.find_events("down", nexthop="mx:never-was.example"), [])


@test("a domain that exists without MX and address fails, with a reason")
def no_address():
    i, dns, _ = world()
    dns.add("text.example", "TXT", "hello")
    event = i.wait_event("bounced deferred", id=send("text.example"))
    check(event[1]["reply"], event)


@test("SERVFAIL is temporary, and so is a name server's silence")
def servfail():
    i, dns, _ = world()
    dns.fail("broken.example", "SERVFAIL")
    dns.fail("silent.example", "SILENT")
    for domain in ("broken.example", "silent.example"):
        began = time.monotonic()
        event = i.wait_event("deferred bounced", id=send(domain), patience=30)
        check(event[0] == "deferred" and event[1]["status"].startswith("4."), event)
        check(time.monotonic() - began < 20, "it took too long")


@test("SERVFAIL for one exchanger's address does not stop the other")
def half_broken():
    i, dns, _ = world()
    dns.fail("a.half.example", "SERVFAIL")
    sink("b.half.example")
    dns.add("half.example", "MX", (10, "a.half.example"))
    dns.add("half.example", "MX", (20, "b.half.example"))
    i.wait_event("delivered", id=send("half.example"))


@test("queue why names the DNS failure")
def why():
    i, dns, _ = world()
    dns.fail("why.example", "SERVFAIL")
    number = send("why.example")
    i.wait_event("deferred", id=number)
    contains(i.cli("queue", "why", number, ok=True).text, "why.example", "DNS")


@test("an address literal as domain is reached without DNS")
def literal():
    i = world()[0]
    s = sink()
    i.wait_event("delivered", id=send("[%s]" % s.address))
    equal(len(s.messages), 1)


@test("a domain whose exchanger is this instance itself is a loop: 5.4.6")
def own_exchanger():
    i, dns, _ = world()
    j = Instance(address=i.address, port=_shared["port"],
                 settings={"dns-servers": dns.setting, "dnssec": "no", "smtp-port": _shared["port"]},
                 tables={"access": ["client:127.0.0.0/8 relay"]}).start()
    dns.add("own.example", "MX", (10, "mx.own.example"))
    dns.add("mx.own.example", "A", j.address)
    j.wait_event("bounced", id=j.send("", "x@own.example"), status="5.4.6")


if __name__ == "__main__":
    main()
