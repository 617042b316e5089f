"""Who may send here: table access, DNS lists, host names, limits of client networks, stress, and
`heloise access test`, whose answer is the server's."""

import json
import os
import random
import socket
import time

from dns import NameServer
from harness import (Client, Failed, Instance, check, contains, equal, letter, main, new_address,
                     test, wait_for)


def make(access=(), dnslists=(), dns=None, tables=None, **settings):
    """An instance whose loopback clients are like any others."""
    settings = {"unlimited-clients": "", **{k.replace("_", "-"): v for k, v in settings.items()}}
    if dns:
        settings.update({"dns-servers": dns.setting, "dnssec": "no"})
    i = Instance(settings=settings, tables={
        "mailboxes": ["alice alice/", "bob bob/"], "access": list(access),
        "dnslists": list(dnslists), "domains": ["backup.example relay"], **(tables or {})})
    i.start()
    return i


def reverse(address):
    return ".".join(reversed(address.split(".")))


def say(c, sender="s@client.example", rcpt="alice@heloise.example", hello="client.example"):
    """The first reply that refuses, or the last."""
    r = c.banner
    for line in ("EHLO " + hello, "MAIL FROM:<%s>" % sender, "RCPT TO:<%s>" % rcpt):
        if r.code >= 400:
            break
        r = c.cmd(line)
    return r


def decided(i, client):
    return wait_for("a refusal", lambda: [e for e in i.find_events("refused")
                                          if e[1]["client"].startswith(client + ":")])[-1][1]["decided"]


@test("each line that refuses is named in the log, the most specific of its kind")
def lines():
    one, two, three = new_address(), new_address(), new_address()
    i = make(access=["client:%s reject not you" % one, "client:%s.0/24 defer later" % two.rsplit(".", 1)[0],
                     "helo:.bad.example reject", "sender:@spam.example reject no spam",
                     "rcpt:closed@heloise.example defer until Monday", "tls:no delay=0"])
    with Client(i, source=one) as c:
        contains(repr(say(c)), "550 5.7.1 not you")
    equal(decided(i, one), "access client:" + one)
    with Client(i, source=two) as c:
        contains(repr(say(c)), "450 4.7.1 later")
    equal(decided(i, two), "access client:%s.0/24" % two.rsplit(".", 1)[0])
    for what, wanted, how in (("550 5.7.1", "access helo:.bad.example", dict(hello="a.bad.example")),
                              ("550 5.7.1 no spam", "access sender:@spam.example",
                               dict(sender="x@SPAM.example")),
                              ("450 4.7.1 until Monday", "access rcpt:closed@heloise.example",
                               dict(rcpt="closed@heloise.example")),
                              ("550 5.7.1", "domains", dict(rcpt="x@elsewhere.example"))):
        three = "127.251.1.%d" % random.randint(1, 250)
        with Client(i, source=three) as c:
            contains(repr(say(c, **how)), what)
            c.cmd("RSET", 250)
            equal(say(c).code, 250)  # the session is as it was
        equal(decided(i, three), wanted)
    i.stop()


@test("discard takes a message and throws it away; hold queues it on hold until it is released")
def fates():
    i = make(access=["sender:d@client.example discard", "sender:h@client.example hold",
                     "rcpt:gone@heloise.example discard"])
    with Client(i) as c:
        c.send("d@client.example", "alice@heloise.example")
        equal(i.wait_event("thrown_away")[1]["decided"], "access sender:d@client.example")
        c.send("s@client.example", "gone@heloise.example")
        equal(i.wait_event("thrown_away", count=2)[1]["recipients"], "1")
        c.send("s@client.example", ["gone@heloise.example", "bob@heloise.example"])
        i.wait_mail("bob")
        held = c.send("h@client.example", "alice@heloise.example")
    equal(i.wait_event("held")[1]["decided"], "access sender:h@client.example")
    wait_for("it is on hold", lambda: [m["state"] for m in i.queue()] == ["hold"])
    contains(i.cli("queue", "why", held, ok=True).text, "table access")
    i.restart()
    equal([m["state"] for m in i.queue()], ["hold"])
    equal(i.mail("alice"), [])
    i.cli("queue", "release", held, ok=True)
    equal(len(i.wait_mail("alice")), 1)
    i.stop()


@test("a message that one recipient's line holds is held for all, whoever is named after him")
def held_for_all():
    i = make(access=["rcpt:alice@heloise.example hold"])
    for recipients in (["alice@heloise.example", "bob@heloise.example"],
                       ["alice@heloise.example", "postmaster"],
                       ["bob@heloise.example", "alice@heloise.example"]):
        held = i.send("s@client.example", recipients)
        wait_for("it is on hold", lambda: (held, "hold") in [(m["id"], m["state"]) for m in i.queue()])
    equal([i.mail(name) for name in ("alice", "bob")], [[], []])
    equal({e[1]["decided"] for e in i.find_events("held")}, {"access rcpt:alice@heloise.example"})
    i.stop()


@test("a held message is still held when the daemon is killed before it was filed")
def held_after_kill():
    i = make(access=["sender:h@client.example hold"])
    ids = [i.send("h@client.example", "alice@heloise.example") for _ in range(5)]
    i.process.kill()
    i.process.wait()
    i.start()
    wait_for("all on hold", lambda: sorted((m["id"], m["state"]) for m in i.queue())
             == sorted((n, "hold") for n in ids))
    equal(i.mail("alice"), [])
    i.stop()


@test("a host name counts when it leads back to the address, and only then")
def hosts():
    dns = NameServer(new_address())
    good, liar, nameless, slow = (new_address() for _ in range(4))
    dns.add(reverse(good) + ".in-addr.arpa", "PTR", "mail.friend.example")
    dns.add("mail.friend.example", "A", good)
    dns.add(reverse(liar) + ".in-addr.arpa", "PTR", "mail.friend.example")
    dns.fail(reverse(slow) + ".in-addr.arpa", "SERVFAIL")
    i = make(access=["host:.friend.example relay", "helo:bad.example reject"], dns=dns,
             reverse_unknown_weight=5, received_host="yes")
    for _ in range(2):
        with Client(i, source=good) as c:
            equal(say(c, rcpt="x@elsewhere.example", hello="bad.example").code, 250)
    with Client(i, source=good) as c:
        c.send("s@client.example", "alice@heloise.example")
    contains(i.wait_mail("alice")[0].decode(), "(mail.friend.example [%s])" % good)
    for who in (liar, nameless):
        with Client(i, source=who) as c:
            contains(repr(say(c)), "550 5.7.1", "no name in DNS")
        equal(decided(i, who), "dnslists reverse-unknown=5")
    with Client(i, source=slow) as c:
        contains(repr(say(c, rcpt="x@elsewhere.example")), "451 4.4.3")
        equal(c.cmd("RCPT TO:<alice@heloise.example>").code, 250)
    i.stop()
    dns.close()


@test("DNS lists: weights, filters, TXT and URL in the reply, lists that fail count nothing")
def lists():
    dns = NameServer(new_address())
    clean, bad, half, known, odd = (new_address() for _ in range(5))
    dns.add(reverse(bad) + ".one.example", "A", "127.0.0.2")
    dns.add(reverse(bad) + ".one.example", "TXT", "listed: see\twww \"x\"")
    dns.add(reverse(half) + ".two.example", "A", "127.0.0.4")
    dns.add(reverse(known) + ".one.example", "A", "127.0.0.2")
    dns.add(reverse(known) + ".good.example", "A", "127.0.9.3")
    dns.add(reverse(odd) + ".one.example", "A", "127.255.255.254")
    dns.add(reverse(odd) + ".two.example", "A", "127.0.0.9")
    for who in (clean, bad, half, known, odd):
        dns.fail(reverse(who) + ".broken.example", "SERVFAIL")
        dns.fail(reverse(who) + ".silent.example", "SILENT")
    i = make(dnslists=["one.example 127.0.0.2-3=5 txt", "two.example 127.0.0.4=3 url=https://two.example/%a",
                       "good.example 127.0.*.1-3=-4", "broken.example 9", "silent.example 9"],
             access=["rcpt:abuse@heloise.example accept"], dns=dns, dnslist_defer_score=3,
             dnslist_timeout="1500ms", tables={"mailboxes": ["alice alice/", "abuse abuse/"]})
    began = time.monotonic()
    with Client(i, source=clean) as c:
        check(time.monotonic() - began < 1, "the banner waited for DNS")
        equal(say(c).code, 250)
        check(1 < time.monotonic() - began < 10, "the clock was not kept")
    with Client(i, source=bad) as c:
        r = say(c)
        contains(repr(r), "550 5.7.1", "one.example", "listed: see?www \"x\"")
        equal(c.cmd("RCPT TO:<abuse@heloise.example>").code, 250)
        equal(c.cmd("RCPT TO:<postmaster>").code, 250)
    equal(decided(i, bad), "dnslists one.example=5")
    with Client(i, source=half) as c:
        contains(repr(say(c)), "450 4.7.1", "two.example", "https://two.example/" + half)
    with Client(i, source=known) as c:
        equal(say(c).code, 250)
    with Client(i, source=odd) as c:
        equal(say(c).code, 250)
    i.wait_event("dnslist_silent", zone="one.example", note="127.255.255.254")
    i.wait_event("dnslist_silent", zone="broken.example")
    looked = i.wait_event("client_looked_up", client=known)[1]
    equal((looked["score"], looked["lists"]), ("1", "one.example=5 good.example=-4"))
    asked = len(dns.questions)
    r = i.cli("access", "test", "--dns", bad, "client.example", "s@client.example", "alice@heloise.example")
    equal(r.returncode, 77, r.error)
    contains(r.text, "refused, by dnslists one.example=5")
    check(len(dns.questions) > asked, "nothing was asked")
    i.stop()
    dns.close()


@test("nothing is asked about clients that may relay, nor about unlimited-clients")
def not_asked():
    dns = NameServer(new_address())
    ours, free = new_address(), new_address()
    i = make(dnslists=["one.example 5"], access=["client:%s relay" % ours, "host:x.example accept"],
             dns=dns, unlimited_clients=free)
    probe = [q for q in dns.questions]
    for who in (ours, free):
        with Client(i, source=who) as c:
            equal(say(c).code, 250)
        check(not [q for q in dns.questions if q not in probe and reverse(who) in q[0]], dns.questions)
    i.stop()
    dns.close()


@test("a client that speaks before the banner: refused, or weighed; others wait for it in vain")
def early():
    i = make(banner_delay="700ms", early_talker="reject", access=["client:127.9.9.9 relay"])
    def talk(first, source=None):
        s = socket.create_connection((i.address, i.port), 10, (source, 0) if source else None)
        c = Client.__new__(Client)
        c.sock, c.buffer = s, b""
        began = time.monotonic()
        if first:
            c.raw(first)
        c.banner = c.reply()
        return c, time.monotonic() - began
    c, took = talk("EHLO client.example\r\n")
    check(took > 0.5, "not held back")
    equal(c.reply().code, 250)
    equal(c.cmd("MAIL FROM:<s@client.example>").code, 250)
    contains(repr(c.cmd("RCPT TO:<alice@heloise.example>")), "550 5.5.1")
    i.wait_event("early_talker")
    equal(i.wait_event("refused", decided="setting early-talker")[1]["session"], "client.example")
    c.close()
    c, took = talk("")
    equal(say(c).code, 250)
    c.close()
    c, took = talk("", "127.9.9.9")
    check(took < 0.5, "a client that may relay waited")
    c.close()
    i.stop()


@test("delay= holds the banner, or the answer to RCPT; not for clients that may relay")
def delays():
    one, two, ours = new_address(), new_address(), new_address()
    i = make(access=["client:%s delay=800ms" % one, "helo:slow.example delay=700ms",
                     "client:%s relay delay=9s" % ours])
    began = time.monotonic()
    with Client(i, source=one) as c:
        check(time.monotonic() - began > 0.6, "not delayed")
    with Client(i, source=two) as c:
        c.cmd("EHLO slow.example", 250)
        c.cmd("MAIL FROM:<s@client.example>", 250)
        began = time.monotonic()
        c.raw("RCPT TO:<alice@heloise.example>\r\nRCPT TO:<nosuch@heloise.example>\r\nNOOP\r\n")
        equal([c.reply().code for _ in range(3)], [250, 550, 250])
        check(time.monotonic() - began > 1.2, "not delayed")
    began = time.monotonic()
    with Client(i, source=ours) as c:
        equal(say(c, hello="slow.example").code, 250)
    check(time.monotonic() - began < 5, "delayed")
    i.stop()


@test("limits of a client network: sessions, connections, messages, recipients, errors")
def limits():
    a = [new_address() for _ in range(6)]
    ours = new_address()
    i = make(client_session_limit=2, client_connection_rate="6/1h", client_message_rate="3/1h",
             client_recipient_rate="4/1h", client_error_rate="3/1h", access=["client:%s relay" % ours])
    held = [Client(i, source=a[0]) for _ in range(2)]
    with Client(i, source=a[0]) as c:
        contains(repr(c.banner), "421 4.7.0", "at most 2")
        check(c.is_closed(), "not closed")
    equal(decided(i, a[0]), "setting client-session-limit")
    held.pop().cmd("QUIT", 221)
    wait_for("room", lambda: Client(i, source=a[0]).banner.code == 220, 3)
    for n in range(7):
        with Client(i, source=a[1]) as c:
            if n == 6:
                contains(repr(c.banner), "421 4.7.0", "6/1h")
            else:
                equal(c.banner.code, 220)
                c.cmd("QUIT", 221)
    equal(decided(i, a[1]), "setting client-connection-rate")
    with Client(i, source=a[2]) as c:
        c.cmd("EHLO client.example", 250)
        for n in range(4):
            r = c.cmd("MAIL FROM:<s@client.example>")
            equal(r.code, 450 if n == 3 else 250)
            c.cmd("RSET", 250)
        contains(repr(r), "4.7.1", "3/1h")
    equal(decided(i, a[2]), "setting client-message-rate")
    with Client(i, source=a[3]) as c:
        c.cmd("EHLO client.example", 250)
        c.cmd("MAIL FROM:<s@client.example>", 250)
        codes = [c.cmd("RCPT TO:<alice@heloise.example>").code for _ in range(6)]
        equal(codes, [250] * 4 + [452] * 2)
    equal(decided(i, a[3]), "setting client-recipient-rate")
    with Client(i, source=a[4]) as c:
        codes = []
        for _ in range(4):
            codes.append(c.cmd("FOO").code)
        equal(codes, [500] * 4)
        contains(repr(c.reply()), "421 4.7.0")
    with Client(i, source=a[4]) as c:
        contains(repr(c.banner), "421 4.7.0", "refused commands")
    equal(decided(i, a[4]), "setting client-error-rate")
    many = [Client(i, source=ours) for _ in range(9)]
    for c in many:
        for _ in range(2):
            equal(say(c).code, 250)
            c.cmd("RSET", 250)
        c.close()
    i.stop()


@test("rate= in table access bounds what each login, sender or client network sends")
def rates():
    one, two = new_address(), new_address()
    i = make(access=["client:%s rate=2/1h" % one, "sender:@client.example rate=3/1h",
                     "client:%s relay rate=1/1h" % two], client_message_rate="1/1h")
    with Client(i, source=one) as c:
        c.cmd("EHLO client.example", 250)
        for n in range(3):
            r = c.cmd("MAIL FROM:<x%d@client.example>" % n)
            c.cmd("RSET", 250)
        contains(repr(r), "450 4.7.1", "2 in 3600 seconds")
    equal(decided(i, one), "access client:" + one)
    with Client(i, source=two) as c:
        c.cmd("EHLO client.example", 250)
        equal([c.cmd("MAIL FROM:<y@client.example>").code, c.cmd("RSET").code,
               c.cmd("MAIL FROM:<y@client.example>").code], [250, 250, 450])
    i.stop()


@test("processes share the counts, and a process that dies takes its sessions along")
def shared():
    i = make(client_session_limit=3, smtpd_processes=2)
    source = new_address()
    held = []
    wait_for("the look whether it is up is over", lambda: i.find_events("disconnected"))
    while True:
        c = Client(i, source=source)
        held.append(c)
        if c.banner.code == 421 or len(held) > 6:
            break
    equal(len(held), 4)
    for pid in [p for n, p in i.pids().items() if n.startswith("smtpd")]:
        os.kill(pid, 9)
    def room():
        try:
            with Client(i, source=source) as c:
                return c.banner.code == 220
        except OSError:
            return False
    wait_for("room", room)
    i.stop()


@test("under stress idle and slow clients lose their sessions soon; those that may relay do not")
def stress():
    ours = new_address()
    i = make(session_limit=10, stress_share=50, stress_timeout="1s", stress_error_limit=2,
             client_session_limit=0, access=["client:%s relay" % ours])
    wait_for("nobody", lambda: i.find_events("disconnected"))
    relaying = Client(i, source=ours)
    idle = [Client(i) for _ in range(3)]
    time.sleep(1.5)
    equal(idle[0].cmd("NOOP").code, 250)
    more = [Client(i) for _ in range(3)]
    equal(i.wait_event("stress")[1]["program"], "smtpd")
    contains(repr(more[0].cmd("FOO")), "500")
    contains(repr(more[0].cmd("FOO")), "500")
    contains(repr(more[0].reply()), "421 4.7.0")
    for c in idle:
        contains(repr(c.reply()), "421 4.4.2")
        c.close()
    equal(relaying.cmd("NOOP").code, 250)
    i.wait_event("stress_over")
    equal(len(i.find_events("stress")), 1)
    i.stop()


@test("a byte a second holds no session: in a command, in one that is too long, in a message")
def slow():
    i = make(smtpd_timeout_command="1s", smtpd_timeout_slow="1s")
    line, long, data = Client(i), Client(i), Client(i)
    long.raw("X" * 20000)
    data.cmd("EHLO client.example", 250)
    data.cmd("MAIL FROM:<s@client.example>", 250)
    data.cmd("RCPT TO:<alice@heloise.example>", 250)
    data.cmd("DATA", 354)
    began = time.monotonic()
    said = {}
    for _ in range(60):
        for c, byte in ((line, "N"), (long, "Y"), (data, "z")):
            if c in said:
                continue
            try:
                c.raw(byte)
                c.sock.settimeout(0.02)
                said[c] = c.reply().lines[-1]
            except socket.timeout:
                c.sock.settimeout(20)
            except OSError:
                said[c] = said.get(c, "closed")
        if len(said) == 3:
            break
        time.sleep(0.1)
    check(time.monotonic() - began < 8, said)
    for c in (line, long):
        contains(said[c], "421 4.4.2")
    contains(said[data], "421 4.4.2", "too few bytes")
    i.stop()


WORDS = ["accept", "relay", "reject no", "defer later", "hold", "discard", "relay hold", "helo=strict",
         "delay=0", "rate=100000/1s", "helo=junk accept"]
HELOS = ["a.example", "bad.example", "x.bad.example", "my_host.example", "[127.0.0.1]", "sub2", "-x-"]
SENDERS = ["s@a.example", "S@bad.example", "x@sub.bad.example", "", "root", "\"a b\"@a.example", "@x", "a@b@c"]
RCPTS = ["alice@heloise.example", "nosuch@heloise.example", "Bob@Heloise.example", "x@backup.example",
         "x@elsewhere.example", "postmaster", "bob", "a b@x.example", "open@elsewhere.example"]


def random_table(rng, addresses):
    lines = {}
    for _ in range(rng.randint(0, 9)):
        kind = rng.choice(["client", "client", "helo", "sender", "rcpt", "tls", "host"])
        key = {"client": lambda: rng.choice(addresses + ["*", "127.0.0.0/8"]),
               "helo": lambda: rng.choice(["bad.example", ".bad.example", "*", "a.example"]),
               "sender": lambda: rng.choice(["bad.example", "@bad.example", ".bad.example", "s@a.example", "*", ""]),
               "rcpt": lambda: rng.choice(["alice@heloise.example", "@heloise.example", "open@elsewhere.example",
                                           "*", "backup.example", "nosuch@heloise.example"]),
               "tls": lambda: rng.choice(["no", "yes"]),
               "host": lambda: rng.choice(["mail.friend.example", ".friend.example", "*"])}[kind]()
        value = rng.choice(WORDS)
        if (kind in ("helo", "sender", "tls") and "relay" in value) or (kind != "client" and "helo=" in value) \
                or (kind == "sender" and key == ""):
            continue
        lines["%s:%s" % (kind, key)] = value
    return ["%s %s" % pair for pair in lines.items()]


@test("for any tables and sessions, `heloise access test` answers as the server does", limit=200)
def same_answer():
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    rng = random.Random(seed)
    print("# SEED=%d" % seed)
    dns = NameServer(new_address())
    addresses = [new_address() for _ in range(4)]
    dns.add(reverse(addresses[0]) + ".in-addr.arpa", "PTR", "mail.friend.example")
    dns.add("mail.friend.example", "A", addresses[0])
    dns.add(reverse(addresses[1]) + ".one.example", "A", "127.0.0.2")
    dns.add(reverse(addresses[2]) + ".one.example", "A", "127.0.0.4")
    i = make(dns=dns, dnslists=["one.example 127.0.0.2=5 127.0.0.3-9=2"], dnslist_defer_score=2,
             client_error_rate="", error_limit=1000)
    tried = 0
    for _ in range(12):
        table = random_table(rng, addresses)
        i.table("access", *table, replace=True)
        i.cli("reload", ok=True)
        for _ in range(6):
            who = rng.choice(addresses)
            helo, sender, rcpt = rng.choice(HELOS), rng.choice(SENDERS), rng.choice(RCPTS)
            said = i.cli("access", "test", "--dns", "--json", "--", who, helo, sender or "<>", rcpt)
            try:
                foretold = json.loads(said.text)
            except ValueError:
                raise Failed("no JSON: %r %r" % (said.text, said.error))
            with Client(i, source=who) as c:
                r = say(c, sender, rcpt, helo)
            what = "%r %s" % (table, (who, helo, sender, rcpt))
            equal(foretold["reply"], r.lines[-1], what)
            if r.code >= 400:
                by = foretold["decided"]  # whether there is such a user is no line's to decide
                equal(decided(i, who), by if by and by != "users" else "-", what)
            equal(said.returncode, 0 if r.code < 400 else 75 if r.code < 500 else 77, what)
            tried += 1
    equal(tried, 72)
    i.stop()
    dns.close()


@test("`heloise access test` says step by step what was looked at")
def told():
    i = make(access=["client:192.0.2.0/24 accept", "login:carol reject closed", "tls:no defer use TLS",
                     "host:.friend.example relay"])
    def run(*args):
        return i.cli("access", "test", *args)
    r = run("192.0.2.7", "a.example", "s@a.example", "alice@heloise.example")
    equal(r.returncode, 0, r.error)
    contains(r.text, "client   192.0.2.7: client:192.0.2.0/24 accept", "RCPT TO:<alice@heloise.example>",
             "250 2.1.5", "taken, by access client:192.0.2.0/24", "login    -: no line")
    r = run("198.51.100.1", "a.example", "s@a.example", "alice@heloise.example")
    contains(r.text, "deferred, by access tls:no")
    r = run("--tls", "198.51.100.1", "a.example", "s@a.example", "alice@heloise.example")
    equal(r.returncode, 0, r.text)
    r = run("--tls", "--login", "dave", "--service", "submission", "198.51.100.1", "a.example", "s@a.example",
            "x@elsewhere.example")
    contains(r.text, "taken, by login", "may relay")
    r = run("--tls", "--login", "carol", "198.51.100.1", "a.example", "s@a.example", "x@elsewhere.example")
    contains(r.text, "refused, by access login:carol")
    r = run("--host", "mx.friend.example", "198.51.100.1", "a.example", "s@a.example", "x@elsewhere.example")
    contains(r.text, "taken, by access host:.friend.example")
    r = run("--json", "--tls", "198.51.100.1", "a.example", "s@a.example", "x@elsewhere.example")
    o = json.loads(r.text)
    equal((o["result"], o["decided"], o["relay"], r.returncode), ("refused", "domains", False, 77))
    for bad in ([], ["192.0.2.1"], ["x", "a", "b", "c"], ["192.0.2.1", "a\r\nb", "c", "d"]):
        equal(run(*bad).returncode, 64)
    i.stop()


main()
