"""TLS: STARTTLS and TLS from the first byte, certificates by name, tickets, and what clients do to it."""

import os
import re
import smtplib
import socket
import ssl
import struct
import subprocess
import time

from harness import (Client, Instance, check, contains, equal, free_port, letter, main, new_address, test,
                     wait_for)

KEYS = {}


def certificate(*names, days=3650, key=None):
    """(certificate, key) in PEM, self-signed, for these names; key: another one's."""
    where = subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip()
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", where + "/k"]
    subprocess.run(["openssl", "req", "-x509", "-subj", "/CN=" + names[0], "-days", str(days), "-out", where + "/c",
                    "-addext", "subjectAltName=" + ",".join("DNS:" + n for n in names)] + made,
                   check=True, capture_output=True)
    with open(where + "/c") as c, open(where + "/k") as k:
        return c.read(), k.read()


def install(i, name, pair):
    """Writes a pair where `name  keys/NAME.crt keys/NAME.key` finds it."""
    for end, text in zip(("crt", "key"), pair):
        path = "%s/keys/%s.%s" % (i.control(""), name, end)
        with open(path, "w") as f:
            f.write(text)
        os.chown(path, i.user.pw_uid, i.user.pw_gid)
        os.chmod(path, 0o600)
    return "keys/%s.crt keys/%s.key" % (name, name)


def make(*listen, settings=None, certificates=None, start=True, **tables):
    i = Instance(settings=settings, tables={"mailboxes": ["alice alice/"], "listen": list(listen), **tables})
    if certificates is not None:
        i.table("certificates", *("%s %s" % (n, install(i, n.strip("*.") or "other", pair))
                                  for n, pair in certificates.items()), replace=True)
        i.cli("build", ok=True)
    return i.start() if start else i


def place():
    address = new_address()
    return address, free_port(address)


def context(**set_to):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    for name, value in set_to.items():
        setattr(c, name, value)
    return c


def encrypt(c, server_hostname=None, using=None, session=None):
    """The client goes on in TLS."""
    c.sock = (using or context()).wrap_socket(c.sock, server_hostname=server_hostname, session=session)
    return c


def starttls(i, hello="client.example", where=None, **how):
    c = Client(i) if where is None else Client(address=where[0], port=where[1])
    c.cmd("EHLO " + hello, 250)
    c.cmd("STARTTLS", 220)
    return encrypt(c, **how)


def s_client(i, *options, says=()):
    """What openssl s_client prints when it says one thing after another: (text, what must come before)."""
    p = subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % (i.address, i.port), "-starttls", "smtp"] +
                         list(options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = b""
    for text, awaited in list(says) + [("", "")]:
        while awaited.encode() not in said:
            got = os.read(p.stdout.fileno(), 65536)
            check(got, "s_client ended before it said", awaited, said[-600:])
            said += got
        try:
            p.stdin.write(text.encode())
            p.stdin.flush()
        except BrokenPipeError:
            pass
    said += p.communicate(timeout=20)[0]
    return said.decode("latin-1")


def names_of(c):
    der = c.sock.getpeercert(True)
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-ext", "subjectAltName"], input=der,
                          capture_output=True, check=True).stdout.decode()
    return re.findall(r"DNS:([^,\s]+)", text)


# ---- it works

@test("STARTTLS works from the first minute, and Received, log and status say how")
def first_minute():
    i = make()
    equal(os.stat(i.control("keys/self-signed.key")).st_mode & 0o777, 0o600)
    equal(os.stat(i.control("keys/self-signed.key")).st_uid, i.user.pw_uid)
    with smtplib.SMTP(i.address, i.port) as s:
        s.ehlo("client.example")
        check(s.has_extn("starttls"), "not offered")
        s.starttls(context=context())
        s.ehlo("client.example")
        check(not s.has_extn("starttls"), "offered again")
        s.sendmail("s@client.example", ["alice@heloise.example"], letter())
        version, cipher = s.sock.version(), s.sock.cipher()[0]
    text = i.wait_mail("alice")[0].decode()
    contains(re.sub(r"\r?\n\s+", " ", text), "with ESMTPS (%s %s) id " % (version, cipher))
    equal(i.wait_event("secured")[1]["tls"], "%s %s" % (version, cipher))
    equal(names_of(starttls(i)), ["heloise.example"])
    contains(i.cli("status").text, "certificate for * until 2")
    i.stop()


@test("submissions is TLS from the first byte; who speaks SMTP there hears no SMTP")
def submissions():
    where = place()
    i = make("%s:%d submissions" % where, access=["client:127.0.0.0/8 relay"])
    with smtplib.SMTP_SSL(*where, context=context()) as s:
        s.sendmail("s@client.example", ["alice@heloise.example"], letter())
    contains(i.wait_mail("alice")[0].decode(), "with ESMTPS (TLSv1.3 ")
    with socket.create_connection(where) as s:
        s.sendall(b"EHLO client.example\r\n")
        s.settimeout(5)
        said = s.recv(1000)
        check(b"220" not in said and b"250" not in said, said)
    i.wait_event("unsecured")
    i.stop()


@test("a large message and many pipelined commands come through TLS whole")
def large():
    i = make()
    body = "".join("%06d %s\n" % (n, "x" * 60) for n in range(60000))
    with starttls(i) as c:
        c.send("s@client.example", "alice@heloise.example", letter(body=body))
        c.raw(b"NOOP\r\n" * 3000)
        for _ in range(3000):
            equal(c.reply().code, 250)
    equal(i.wait_mail("alice")[0].replace(b"\r\n", b"\n").partition(b"\n\n")[2].decode(), body)
    i.stop()


@test("a client that reads nothing through TLS is held back, then answered in full")
def no_reader():
    i = make()
    with starttls(i) as c:
        c.sock.settimeout(1)
        data, sent = b"NOOP\r\n" * 60000, 0
        try:
            while sent < len(data):
                sent += c.sock.send(data[sent:sent + 16384])
        except (socket.timeout, ssl.SSLWantWriteError):
            pass
        with Client(i) as other:
            other.cmd("NOOP", 250)
        c.sock.settimeout(20)
        got = 0
        while got < sent // 6:
            got += c.sock.recv(65536).count(b"\n")
    i.stop()


# ---- STARTTLS, the verb

@test("after TLS the session has forgotten all, and takes no mail before EHLO")
def forgotten():
    i = make()
    with starttls(i, hello="before.example") as c:
        contains(c.cmd("MAIL FROM:<s@client.example>").lines[0], "503 5.5.1")
        c.send("s@client.example", "alice@heloise.example", hello="after.example")
    text = i.wait_mail("alice")[0].decode()
    contains(text, "from after.example")
    check("before.example" not in text, "the old name is left")
    i.stop()


@test("STARTTLS twice, with an argument, in a message, switched off: refused, and the state stays")
def misplaced():
    i = make(verbs=["127.0.0.0/8 -starttls"])
    with Client(i) as c:
        check("STARTTLS" not in c.cmd("EHLO client.example", 250).text, "offered")
        contains(c.cmd("STARTTLS").lines[0], "502 5.5.1")
    i.table("verbs", "127.0.0.0/8 -help", replace=True)
    i.cli("reload", ok=True)
    with Client(i) as c:
        c.cmd("EHLO client.example", 250)
        contains(c.cmd("STARTTLS now").lines[0], "501 5.5.4")
        c.cmd("MAIL FROM:<s@client.example>", 250)
        contains(c.cmd("STARTTLS").lines[0], "503 5.5.1")
        c.cmd("RCPT TO:<alice@heloise.example>", 250)
        contains(c.cmd("STARTTLS").lines[0], "503 5.5.1")
        c.data()
        c.cmd("STARTTLS", 220)
        encrypt(c)
        c.cmd("EHLO client.example", 250)
        contains(c.cmd("STARTTLS").lines[0], "503 5.5.1")
        c.cmd("NOOP", 250)
    i.stop()


@test("without a certificate STARTTLS is not offered, and mail is taken in clear")
def none():
    i = make(certificates={})
    with Client(i) as c:
        check("STARTTLS" not in c.cmd("EHLO client.example", 250).text, "offered")
        contains(c.cmd("STARTTLS").lines[0], "502 5.5.1")
        c.send("s@client.example", "alice@heloise.example")
    i.table("listen", "127.0.0.1:4465 submissions")
    r = i.cli("check")
    equal(r.returncode, 78)
    contains(r.error, "submissions needs a certificate")
    i.stop()


@test("what comes in clear behind STARTTLS is thrown away, never answered, and logged")
def injected():
    i = make()
    behind = b"EHLO evil.example\r\nMAIL FROM:<evil@evil.example>\r\nRCPT TO:<alice@heloise.example>\r\n"
    with Client(i) as c:
        c.cmd("EHLO client.example", 250)
        c.raw(b"STARTTLS\r\n" + behind)
        equal(c.reply().code, 220)
        check(not c.buffer, "more than 220", c.buffer)
        encrypt(c)
        contains(c.cmd("RCPT TO:<alice@heloise.example>").lines[0], "503")  # not what evil said
        c.cmd("EHLO client.example", 250)
        equal(c.cmd("NOOP").code, 250)
    equal(int(i.wait_event("discarded")[1]["bytes"]), len(behind))
    with Client(i) as c:  # a packet of its own: it is no TLS, and the connection ends
        c.cmd("EHLO client.example", 250)
        c.cmd("STARTTLS", 220)
        c.raw(behind)
        c.sock.settimeout(5)
        said = b""
        try:
            while True:
                got = c.sock.recv(1000)
                if not got:
                    break
                said += got
        except ConnectionError:
            pass
        check(b"250" not in said and b"\r\n" not in said, said)
    i.wait_event("unsecured")
    check(not i.find_events("greeted", argument="evil.example"), "it was taken")
    i.stop()


# ---- versions, names, keys

@test("TLS 1.2 and 1.3 are taken, 1.0 and 1.1 refused, and nothing of it hurts another session")
def versions():
    i = make()
    with Client(i) as other:
        for option, is_good in (("-tls1_3", 1), ("-tls1_2", 1), ("-tls1_1", 0), ("-tls1", 0)):
            said = s_client(i, option, "-cipher", "DEFAULT@SECLEVEL=0")
            equal("Cipher is (NONE)" not in said and "Verify return code" in said, bool(is_good), option)
        other.cmd("NOOP", 250)
    contains(i.wait_event("unsecured")[1]["why"], "unsupported protocol")
    i.stop()


@test("renegotiation is refused, compression and early data are not offered, a key update is followed")
def no_extras():
    i = make()
    said = s_client(i, "-tls1_2", says=(("R\n", "250 HELP"),))
    contains(said, "Compression: NONE")
    check("RENEGOTIATING" in said and "no renegotiation" in said, said[-600:])
    said = s_client(i, "-tls1_3", says=(("NOOP\r\n", "250 HELP"), ("", "250 2.0.0")))
    check("Max Early Data: 0" in said or "Max Early Data" not in said, said[-600:])
    # new keys for both directions, in the middle
    s_client(i, "-tls1_3", says=(("K\n", "250 HELP"), ("NOOP\r\n", "KEYUPDATE"), ("", "250 2.0.0")))
    with Client(i) as c:
        c.cmd("NOOP", 250)
    i.stop()


@test("the certificate is chosen by the name the client asks for: exact, .domain, *")
def by_name():
    i = make(certificates={"mx.one.example": certificate("mx.one.example"),
                           ".two.example": certificate("*.two.example"),
                           "*": certificate("heloise.example")})
    for asked, got in (("mx.one.example", "mx.one.example"), ("MX.One.Example", "mx.one.example"),
                       ("a.two.example", "*.two.example"), ("three.example", "heloise.example"),
                       (None, "heloise.example")):
        with starttls(i, server_hostname=asked) as c:
            equal(names_of(c), [got], asked)
    equal(i.wait_event("secured", name="mx.one.example", count=2)[1]["tls"][:4], "TLSv")
    i.stop()


def hello_asking(name):
    """A ClientHello of TLS 1.2 and 1.3's form whose server_name is these bytes."""
    entry = b"\0" + struct.pack(">H", len(name)) + name
    extensions = b"".join(struct.pack(">HH", kind, len(data)) + data for kind, data in (
        (0, struct.pack(">H", len(entry)) + entry), (10, b"\0\2\0\x17"), (11, b"\1\0"),
        (13, b"\0\4\4\3\4\1"), (23, b""), (0xff01, b"\0")))
    body = (b"\3\3" + os.urandom(32) + b"\0" + b"\0\4\xc0\x2b\xc0\x2f" + b"\1\0" +
            struct.pack(">H", len(extensions)) + extensions)
    message = b"\1" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\3\1" + struct.pack(">H", len(message)) + message


@test("a server name with NUL, control bytes, 300 bytes or none is survived and never written raw")
def hostile_names():
    i = make()
    for name in (b"a\0b.example", b"a\r\nrefused client=x.example", b"\xff\xfe\x01", b"x" * 300, b"",
                 b"." * 200, b"heloise.example"):
        with Client(i) as c:
            c.cmd("EHLO client.example", 250)
            c.cmd("STARTTLS", 220)
            c.raw(hello_asking(name))
            c.sock.settimeout(5)
            got = c.sock.recv(5)
            check(got[:1] in (b"\x15", b"\x16"), name, got)  # an alert, or the server's hello
    with starttls(i) as c:
        c.cmd("NOOP", 250)
    for line in i.log_text().splitlines():
        check(all(32 <= ord(x) < 127 for x in line) and not line.startswith("refused client=x"), line)
    i.stop()


@test("reload puts a new certificate in force; sessions that are open go on with theirs")
def renewed():
    i = make(certificates={"*": certificate("old.example")})
    with starttls(i) as c:
        equal(names_of(c), ["old.example"])
        i.table("certificates", "* " + install(i, "new", certificate("new.example")), replace=True)
        i.cli("reload", ok=True)
        wait_for("the new one", lambda: names_of(starttls(i)) == ["new.example"])
        install(i, "new", certificate("newer.example"))  # the same files, renewed
        i.cli("reload", ok=True)
        wait_for("the newer one", lambda: names_of(starttls(i)) == ["newer.example"])
        c.send("s@client.example", "alice@heloise.example")
    os.unlink(i.control("keys/new.key"))  # run cannot read it any more: what it has stays in force
    i.process.send_signal(1)
    i.wait_event("failed", what="certificate")
    equal(names_of(starttls(i)), ["newer.example"])
    i.stop()


@test("build refuses a key of another certificate, a passphrase, a missing file; warns before the end")
def checked():
    i = make(start=False)
    one, two = certificate("one.example"), certificate("two.example")
    locked = subprocess.run(["openssl", "pkey", "-aes128", "-passout", "pass:x"], input=one[1].encode(),
                            capture_output=True, check=True).stdout.decode()
    for pair, words in (((one[0], two[1]), "is not the key of the certificate"), ((one[0], locked), "passphrase"),
                        (("nothing", one[1]), "no certificate in PEM"), ((one[0], ""), "no key in PEM")):
        i.table("certificates", "one.example " + install(i, "one", pair), replace=True)
        r = i.cli("check")
        equal(r.returncode, 78, words)
        contains(r.error, "certificates:1: ", words)
    for line, words in (("* keys/none.crt keys/none.key", "cannot be read"), ("* keys/one.crt", "two files"),
                        ("a..b x y", "expected a domain")):
        i.table("certificates", line, replace=True)
        r = i.cli("check")
        equal(r.returncode, 78, line)
        contains(r.error, words)
    for names, days, key, words in ((["one.example"], 5, "one.example", "warning: the certificate expires on"),
                                    (["one.example"], 300, "other.example", "is not one of other.example")):
        i.table("certificates", key + " " + install(i, "one", certificate(*names, days=days)), replace=True)
        contains(i.cli("check", ok=True).error, words)
    i.table("certificates", "one.example " + install(i, "one", one), replace=True)
    equal(i.cli("check", ok=True).error, "")


# ---- tickets

def resumed(where, ticket=None, version=ssl.TLSVersion.TLSv1_3, using=None):
    """Whether a session was resumed, and its ticket for the next."""
    using = using or context(maximum_version=version)
    with starttls(None, where=where, using=using, session=ticket) as c:
        c.cmd("NOOP", 250)
        return c.sock.session_reused, c.sock.session, using


@test("sessions are resumed, in any process of the service and after a restart of one, not at another's")
def tickets():
    other = place()
    i = make("%s:%d submission" % other, settings={"smtpd-processes": 2})
    mx = (i.address, i.port)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        was, ticket, using = resumed(mx, version=version)
        check(not was and ticket, "a first session is new")
        for _ in range(8):
            was, ticket, _ = resumed(mx, ticket, using=using)
            check(was, "not resumed")
        check(not resumed(other, ticket, using=using)[0], "resumed at another service")
        victims = {n: i.pids()[n] for n in ("smtpd", "smtpd.2")}
        for pid in victims.values():
            os.kill(pid, 9)
        wait_for("both", lambda: all(i.pids().get(n) not in (None, p) for n, p in victims.items()))
        wait_for("a banner", lambda: Client(i).banner.code == 220)
        check(resumed(mx, ticket, using=using)[0], "not resumed after a restart")
    i.stop()


@test("a ticket is good for two turns of the keys, then a full handshake follows")
def rotation():
    i = make(settings={"tls-ticket-rotation": "1s"})
    mx = (i.address, i.port)
    _, ticket, using = resumed(mx)
    wait_for("the keys are gone", lambda: not resumed(mx, ticket, using=using)[0])
    with starttls(i) as c:
        c.cmd("NOOP", 250)
    i.stop()


# ---- slow and many

@test("half handshakes and slow ones end in time, and hold no more than session-limit")
def half():
    where = place()
    i = make("%s:%d submissions" % where, settings={"smtpd-timeout-tls": "1s", "session-limit": 20})
    wait_for("no session", lambda: len(i.find_events("connected")) == len(i.find_events("disconnected")))
    held = [socket.create_connection(where) for _ in range(16)]
    for s in held[:8]:
        s.sendall(hello_asking(b"heloise.example")[:40])
    with Client(i) as c:
        c.cmd("EHLO client.example", 250)
        c.cmd("STARTTLS", 220)
        began = time.monotonic()
        hello = hello_asking(b"heloise.example")
        try:
            for n in range(60):  # a byte now and then does not wind the clock up
                c.raw(hello[n:n + 1])
                time.sleep(0.1)
        except ConnectionError:
            pass
        check(time.monotonic() - began < 5, "too late")
    for s in held:
        s.settimeout(10)
        try:
            equal(s.recv(100), b"")
        except ConnectionError:
            pass
    i.wait_event("unsecured", why="the client took too long", count=10)
    with starttls(i) as c:
        c.cmd("NOOP", 250)
    i.stop()


@test("a stop ends sessions in TLS with 421, and handshakes at once")
def stop():
    where = place()
    i = make("%s:%d submissions" % where)
    half_way = socket.create_connection(where)
    with starttls(i) as c:
        i.stop()
        contains(c.reply().lines[0], "421 4.3.2")
    half_way.close()


@test("swaks, with STARTTLS and with TLS from the first byte")
def swaks():
    where = place()
    i = make("%s:%d submissions" % where, access=["client:127.0.0.0/8 relay"])
    for port, option in (((i.address, i.port), "--tls"), (where, "--tlsc")):
        r = subprocess.run(["swaks", "--server", port[0], "--port", str(port[1]), option, "--to",
                            "alice@heloise.example", "--from", "s@client.example", "--ehlo", "client.example"],
                           capture_output=True, text=True, timeout=60)
        equal(r.returncode, 0, r.stdout[-800:] + r.stderr)
    i.wait_mail("alice", 2)
    i.stop()


main()
