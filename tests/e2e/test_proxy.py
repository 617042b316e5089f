"""Who speaks in another's name: load balancers by the PROXY header, filters by XCLIENT."""

import socket
import ssl
import struct
import time

from harness import Client, Instance, check, contains, equal, free_port, main, new_address, test, wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REJECTED = "203.0.113.66"


def v1(client="192.0.2.1", port=4711):
    return ("PROXY TCP%d %s %s %d 25\r\n" % (6 if ":" in client else 4, client,
                                              "::1" if ":" in client else "198.51.100.1", port)).encode()


def v2(client="192.0.2.1", port=4711, more=b""):
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    body = socket.inet_pton(family, client) * 2 + struct.pack(">HH", port, 25) + more
    return SIGNATURE + b"\x21" + (b"\x21" if ":" in client else b"\x11") + struct.pack(">H", len(body)) + body


def make(*listen, settings=None, **tables):
    """Load balancers are 127.x.y.z of the instance's own address; the harness comes from 127.0.0.1."""
    i = Instance(settings=settings, tables={
        "mailboxes": ["alice alice/"], "listen": list(listen),
        "access": ["client:%s reject not from there" % REJECTED, "client:192.0.2.0/24 relay"], **tables})
    i.balancer = new_address()
    i.cli("set", "proxy-networks", "%s/32 2001:db8::/32" % i.balancer, ok=True)
    i.cli("build", ok=True)
    return i.start()


class Balanced(Client):
    """A client that comes from the load balancer, which says these bytes first."""

    def __init__(self, i, header, address=None, port=None, pause=0, using=None):
        self.sock = socket.create_connection((address or i.address, port or i.port), 20, (i.balancer, 0))
        self.buffer = b""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in ([header[n:n + 1] for n in range(len(header))] if pause else [header]):
            self.sock.sendall(piece)
            time.sleep(pause)
        if using:
            self.sock = using.wrap_socket(self.sock)
        self.banner = self.reply()


def silent(i, header, patience=10):
    """What is said to a connection from the load balancer before it ends."""
    with socket.create_connection((i.address, i.port), 20, (i.balancer, 0)) as s:
        s.settimeout(patience)
        s.sendall(header)
        said = b""
        try:
            while True:
                got = s.recv(1000)
                if not got:
                    return said
                said += got
        except ConnectionError:
            return said


@test("both versions give the client's address to log, access and Received; IPv6 too")
def addresses():
    i = make()
    for header in (v1(), v2()):
        with Balanced(i, header) as c:
            equal(c.banner.code, 220)
            c.send("s@client.example", ["alice@heloise.example", "x@elsewhere.invalid"])  # 192.0.2.0/24 may relay
    i.wait_event("connected", client="192.0.2.1:4711", count=2)
    equal(i.wait_event("proxied")[1]["by"].split(":")[0], i.balancer)
    contains(i.wait_mail("alice")[0].decode(), "([192.0.2.1])")
    for header in (v1("2001:db8::7", 99), v2("2001:db8::7", 99)):
        with Balanced(i, header) as c:
            c.cmd("NOOP", 250)
    i.wait_event("connected", client="[2001:db8::7]:99", count=2)
    for header in (v1(REJECTED), v2(REJECTED)):
        with Balanced(i, header) as c:
            c.cmd("EHLO client.example", 250)
            contains(c.cmd("MAIL FROM:<s@client.example>").text, "not from there")
    i.stop()


@test("the header may come in pieces, with TLVs, and commands right behind it")
def pieces():
    i = make()
    for header in (v1(), v2(), v2(more=b"\x04\0\x03abc\x02\0\0")):
        with Balanced(i, header, pause=0.01) as c:
            equal(c.banner.code, 220)
        with Balanced(i, header + b"EHLO client.example\r\nNOOP\r\n") as c:
            equal(c.banner.code, 220)
            equal(c.reply().code, 250)
            equal(c.reply().code, 250)
    i.stop()


@test("LOCAL and UNKNOWN: the load balancer speaks for itself")
def local():
    i = make()
    for header in (SIGNATURE + b"\x20\0\0\0", b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN what ever\r\n"):
        with Balanced(i, header) as c:
            equal(c.banner.code, 220)
    wait_for("three of them", lambda: len([e for e in i.find_events("connected")
                                           if e[1]["client"].startswith(i.balancer + ":")]) == 3)
    i.stop()


@test("the header comes before TLS, and not a byte of TLS is lost")
def before_tls():
    address = new_address()
    port = free_port(address)
    i = make("%s:%d submissions" % (address, port))
    using = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    using.check_hostname, using.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    for header in (v1(), v2()):
        with Balanced(i, header, address, port, using=using) as c:
            c.send("s@client.example", "alice@heloise.example")
        half = using.wrap_bio(incoming, outgoing)
        try:
            half.do_handshake()
        except ssl.SSLWantReadError:
            pass
        with socket.create_connection((address, port), 20, (i.balancer, 0)) as s:
            s.sendall(header + outgoing.read())  # in one packet
            equal(s.recv(3)[:1], b"\x16")
    i.wait_mail("alice", 2)
    i.wait_event("secured", client="192.0.2.1:4711", count=2)
    i.stop()


@test("from a load balancer no header, a bad one or a late one ends the connection, unanswered")
def bad():
    i = make(settings={"smtpd-timeout-tls": "700ms"})
    for header in (b"EHLO client.example\r\n", b"PROXY TCP4 999.0.2.1 198.51.100.1 1 25\r\n", b"PROXY TCP4",
                   b"PROXY UNKNOWN " + b"x" * 200, SIGNATURE + b"\x21\x11\xff\xff", SIGNATURE[:7], b"\0" * 20,
                   SIGNATURE + b"\x21\x11\0\x04abcd", b"\x16\3\1\0\5hello", b""):
        equal(silent(i, header), b"", header)
    i.wait_event("unproxied", count=10)
    began = time.monotonic()
    with socket.create_connection((i.address, i.port), 20, (i.balancer, 0)) as s:
        try:
            for byte in v1():
                s.sendall(bytes([byte]))
                time.sleep(0.1)
        except ConnectionError:
            pass
        check(time.monotonic() - began < 4, "a byte now and then winds the clock up")
    with Balanced(i, v1()) as c:
        equal(c.banner.code, 220)
    i.stop()


@test("from anybody else a header is no command, and changes nothing")
def stranger():
    i = make()
    with Client(i) as c:
        c.raw(v1())
        contains(c.reply().lines[0], "500 5.5.1")
        c.cmd("EHLO client.example", 250)
        c.cmd("MAIL FROM:<s@client.example>", 250)
        contains(c.cmd("RCPT TO:<x@elsewhere.example>").lines[0], "550 5.7.1")
    i.stop()


# ---- XCLIENT

def with_xclient():
    i = Instance(settings={"xclient-networks": "127.0.0.1"}, tables={
        "mailboxes": ["alice alice/"],
        "access": ["client:%s reject not from there" % REJECTED, "client:192.0.2.0/24 relay"]})
    return i.start()


@test("XCLIENT from a listed host: offered, the banner again, and the session is the named client's")
def xclient():
    i = with_xclient()
    with Client(i, source="127.0.0.1") as c:
        contains(c.cmd("EHLO filter.example", 250).text, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN")
        r = c.cmd("XCLIENT NAME=mail.example.net ADDR=192.0.2.7 PORT=99 PROTO=ESMTP HELO=a.example.net LOGIN=joe+40example.net",
                  220)
        contains(r.text, "heloise.example")
        c.send("s@client.example", ["alice@heloise.example", "x@elsewhere.invalid"])
        c.cmd("XCLIENT ADDR=" + REJECTED, 220)
        c.cmd("EHLO client.example", 250)
        contains(c.cmd("MAIL FROM:<s@client.example>").text, "not from there")
    e = i.wait_event("renamed")[1]
    equal((e["client"], e["name"], e["login"]), ("192.0.2.7:99", "mail.example.net", "joe@example.net"))
    contains(i.wait_mail("alice")[0].decode(), "([192.0.2.7])", "with ESMTPA")
    i.stop()


@test("XCLIENT from others is not offered and refused; hostile values change nothing")
def refused():
    i = with_xclient()
    with Client(i, source=new_address()) as c:
        check("XCLIENT" not in c.cmd("EHLO client.example", 250).text, "offered")
        contains(c.cmd("XCLIENT ADDR=192.0.2.7").lines[0], "502 5.5.1")
        c.cmd("MAIL FROM:<s@client.example>", 250)
        contains(c.cmd("RCPT TO:<x@elsewhere.example>").lines[0], "550 5.7.1")
    for value in ("ADDR=192.0.2.7 ADDR", "ADDR=192.0.2", "NAME=a+0Db+0Ac", "LOGIN=+00", "NAME=" + "x" * 300,
                  "HELO=+7F", "PORT=-1", "WHAT=1", "", "ADDR=IPV6:192.0.2.7:1"):
        with Client(i, source="127.0.0.1") as c:
            c.cmd("EHLO filter.example", 250)
            contains(c.cmd("XCLIENT " + value).lines[0], "501 5.5.4")
            c.cmd("MAIL FROM:<s@client.example>", 250)
            contains(c.cmd("XCLIENT ADDR=192.0.2.7").lines[0], "503 5.5.1")
            c.cmd("RCPT TO:<alice@heloise.example>", 250)
            contains(c.cmd("RCPT TO:<x@elsewhere.example>").lines[0], "550 5.7.1")
    check(not i.find_events("renamed"), "taken")
    i.stop()


main()
