"""Logging in: mechanisms, back ends, who may send, what failures cost, and that no password stays."""

import base64
import os
import pty
import re
import select
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time

from dovecot import Dovecot
from harness import (Client, Failed, IS_ROOT, Instance, Skip, TOP, check, contains, equal, free_port, letter, main,
                     new_address, test, wait_for)
from scram import Scram, b64
from sink import Sink

PASSWORD = "Wonder-Land:7%x"
_shared = {}


def place():
    address = new_address()
    return address, free_port(address)


def make(settings=None, users=None, privileged=False, **tables):
    """An instance with a submission port, where AUTH needs no TLS."""
    address, port = place()
    i = Instance(settings={"auth-in-clear": "loopback", **(settings or {})}, privileged=privileged,
                 tables={"mailboxes": ["alice alice/", "bob bob/"],
                         "listen": ["%s:%d submission" % (address, port)], **tables})
    for name, password in (users if users is not None else {"alice": PASSWORD, "bob": "bob's"}).items():
        i.cli("user", "add", name, stdin=password + "\n", ok=True)
    i.cli("build", ok=True)
    i.submission = dict(address=address, port=port)
    return i.start()


def shared():
    if not _shared:
        sink = Sink()
        i = make(routes=["far.example " + sink.route])
        i.is_shared = True
        _shared.update(i=i, sink=sink)
    return _shared["i"]


def client(i, source=None):
    c = Client(source=source, **i.submission)
    c.ehlo = c.cmd("EHLO client.example", 250)
    return c


def mechanisms(c):
    return [line[9:].split() for line in c.ehlo.lines if line[4:].startswith("AUTH ")][0]


def plain(login, password, acts_as=""):
    return "AUTH PLAIN " + b64("\0".join([acts_as, login, password]).encode())


def scram(c, login, password, mechanism="SCRAM-SHA-256", **how):
    """The whole exchange; the last reply."""
    s = Scram(login, password, **how)
    r = c.cmd("AUTH %s %s" % (mechanism, b64(s.first().encode())))
    if r.code != 334:
        return r
    r = c.cmd(b64(s.final(base64.b64decode(r.text).decode()).encode()))
    if r.code != 334:
        return r
    check(s.is_server(base64.b64decode(r.text).decode()), "the server has not proved itself")
    return c.cmd("")


def refuse(reply, code, status):
    check(reply.code == code and reply.text.startswith(status + " "), "answered", reply)


# ---- the mechanisms

@test("the client of these tests speaks SCRAM as RFC 7677 shows it")
def rfc7677():
    s = Scram("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    equal(s.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    equal(s.final("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
          "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    check(s.is_server("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), "the server's proof")


@test("PLAIN, LOGIN and SCRAM-SHA-256 let in who has the password, in any of the ways clients say it")
def let_in():
    i = shared()
    word = b64(PASSWORD.encode())
    for steps in ([(plain("alice", PASSWORD), 235)], [(plain("ALICE", PASSWORD, "alice"), 235)],
                  [("AUTH PLAIN", 334), (plain("alice", PASSWORD)[11:], 235)],
                  [("AUTH LOGIN", 334), (b64(b"alice"), 334), (word, 235)],
                  [("auth login " + b64(b"Alice"), 334), (word, 235)]):
        with client(i) as c:
            equal(mechanisms(c), ["SCRAM-SHA-256", "PLAIN", "LOGIN"])
            for text, code in steps:
                c.cmd(text, code)
            equal(c.cmd(plain("alice", PASSWORD)).code, 503, "AUTH twice")
    for how in ({}, {"header": "n,a=alice,"}):
        with client(i) as c:
            refuse(scram(c, "alice", PASSWORD, **how), 235, "2.7.0")
    check(len(i.find_events("login", user="alice", mechanism="SCRAM-SHA-256")) == 2, "events")


@test("wrong passwords, unknown logins and acting for others are refused, and the session goes on")
def refused():
    i = make(settings={"auth-failure-limit": 1000})
    with client(i) as c:
        for text in (plain("alice", "wrong"), plain("nobody", "wrong"), plain("alice", PASSWORD, "bob")):
            refuse(c.cmd(text), 535, "5.7.8")
        refuse(scram(c, "bob", PASSWORD), 535, "5.7.8")
        refuse(scram(c, "nobody", PASSWORD), 535, "5.7.8")
        refuse(scram(c, "alice", PASSWORD, header="n,a=bob,"), 535, "5.7.8")
        for text in ("AUTH PLAIN " + b64(b"no NUL"), "AUTH PLAIN " + b64(b"\0alice\0a\0b"),
                     "AUTH LOGIN " + b64(b"a\0b"), "AUTH SCRAM-SHA-256 " + b64(b"n,,nonsense")):
            refuse(c.cmd(text), 501, "5.5.2")
        c.cmd("NOOP", 250)
        c.cmd("MAIL FROM:<alice@heloise.example>", 530)
        c.cmd(plain("alice", PASSWORD), 235)
    for user in ("alice", "bob", "nobody"):
        check(i.find_events("login_failed", user=user), "no event for", user)


@test("a login that is not there has a salt like any other: always the same, also after a restart")
def made_up_salts():
    i = make()

    def offer(login):
        with client(i) as c:
            s = Scram(login, "x")
            r = c.cmd("AUTH SCRAM-SHA-256 " + b64(s.first().encode()), 334)
            return re.sub("^r=[^,]*", "", base64.b64decode(r.text).decode())
    before = {name: offer(name) for name in ("alice", "nobody", "Nobody", "nobody2")}
    equal(before["nobody"], before["Nobody"], "case")
    check(before["nobody"] != before["nobody2"], "one salt for all")
    equal(len(before["nobody"]), len(before["alice"]), "length")
    i.restart()
    equal({name: offer(name) for name in before}, before, "after a restart")


@test("what the client's own programs say: smtplib, msmtp, swaks, gsasl")
def programs():
    i = shared()
    where = i.submission
    with smtplib.SMTP(where["address"], where["port"]) as s:
        s.login("alice", PASSWORD)
        s.sendmail("alice@heloise.example", ["bob@heloise.example"], letter("by smtplib").replace("\n", "\r\n"))
    tried = ["smtplib"]
    if shutil.which("msmtp"):
        for mechanism in ("plain", "login", "scram-sha-256"):
            subprocess.run(["msmtp", "--host=" + where["address"], "--port=%d" % where["port"], "--tls=on",
                            "--tls-certcheck=off", "--auth=" + mechanism, "--user=alice", "--passwordeval=cat " + secret(i),
                            "--from=alice@heloise.example", "bob@heloise.example"],
                           input=letter("by msmtp " + mechanism).encode(), check=True, timeout=30)
            tried.append("msmtp " + mechanism)
    if shutil.which("swaks"):
        for mechanism in ("PLAIN", "LOGIN"):
            subprocess.run(["swaks", "--server", where["address"], "--port", str(where["port"]), "--auth", mechanism,
                            "--auth-user", "alice", "--auth-password", PASSWORD, "--from", "alice@heloise.example",
                            "--to", "bob@heloise.example", "--header", "Subject: by swaks " + mechanism],
                           check=True, timeout=30, capture_output=True)
            tried.append("swaks " + mechanism)
    for name in tried:
        wait_for(name, lambda: any(b"Subject: by " + name.encode() in m for m in i.mail("bob")))


def secret(i):
    path = i.top + "/secret"
    with open(path, "w") as f:
        f.write(PASSWORD)
    return path


def by_gsasl(i, priority):
    if not shutil.which("gsasl"):
        raise Skip("no gsasl: conf/setup tests could not have it")
    return subprocess.run(["gsasl", "--smtp", "--mechanism=SCRAM-SHA-256-PLUS", "--authentication-id=alice",
                           "--password=" + PASSWORD, "--priority=" + priority, "--x509-ca-file=", "--verbose",
                           i.submission["address"], str(i.submission["port"])], input=b"", capture_output=True,
                          timeout=30).stdout.decode()


@test("SCRAM-SHA-256-PLUS is bound to its TLS session: tls-exporter in TLS 1.3, tls-unique in 1.2, by GnuTLS")
def bound():
    i = shared()
    for priority, kind in (("NORMAL", "tls-exporter"), ("NORMAL:-VERS-TLS1.3", "tls-unique")):
        said = by_gsasl(i, priority)
        contains(said, "235 2.7.0")
        first = [line for line in said.splitlines() if line.startswith("cD1")][0]
        check(base64.b64decode(first).decode().startswith("p=%s,," % kind), first)


class Secure(Client):
    """A client in TLS, after STARTTLS."""

    def __init__(self, i, version):
        super().__init__(**i.submission)
        self.cmd("EHLO client.example", 250)
        self.cmd("STARTTLS", 220)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = version
        self.sock = context.wrap_socket(self.sock)
        self.ehlo = self.cmd("EHLO client.example", 250)


@test("a binding to another TLS session, and a list of mechanisms cut short on the way, are refused")
def misbound():
    i = shared()
    with Secure(i, ssl.TLSVersion.TLSv1_2) as c:
        equal(mechanisms(c)[:2], ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])
        unique = c.sock.get_channel_binding("tls-unique")
        other = bytes(len(unique))
        refuse(scram(c, "alice", PASSWORD, "SCRAM-SHA-256-PLUS", binding=other), 535, "5.7.8")
        # "I could bind, but you do not offer it": somebody has taken it out of the list
        refuse(scram(c, "alice", PASSWORD, header="y,,"), 535, "5.7.8")
        refuse(scram(c, "alice", PASSWORD, "SCRAM-SHA-256-PLUS", header="n,,"), 535, "5.7.8")
        refuse(scram(c, "alice", PASSWORD, "SCRAM-SHA-256-PLUS", binding=unique), 235, "2.7.0")


@test("without TLS there is no AUTH, unless the setting lets this host's own clients; after AUTH there is no STARTTLS")
def in_clear():
    i = make(settings={"auth-in-clear": "no"})
    with client(i) as c:
        check("AUTH" not in c.ehlo.text, c.ehlo)
        refuse(c.cmd(plain("alice", PASSWORD)), 538, "5.7.11")
        refuse(c.cmd("MAIL FROM:<alice@heloise.example>"), 530, "5.7.0")
    with Secure(i, ssl.TLSVersion.TLSv1_3) as c:
        equal(mechanisms(c), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"])
        c.cmd(plain("alice", PASSWORD), 235)
    with Client(i) as c:  # service mx
        check("AUTH" not in c.cmd("EHLO client.example", 250).text)
        c.cmd(plain("alice", PASSWORD), 502)
    with client(shared()) as c:
        c.cmd(plain("alice", PASSWORD), 235)
        c.cmd("STARTTLS", 503)


# ---- what a login may do

@test("a login lets relay; Received says ESMTPA, or ESMTPSA in TLS, and the login only where that is wanted")
def relayed():
    i, sink = shared(), _shared["sink"]
    with client(i) as c:
        c.cmd(plain("alice", PASSWORD), 235)
        c.send("alice@heloise.example", "x@far.example", letter("relayed"))
    with Secure(i, ssl.TLSVersion.TLSv1_3) as c:
        c.cmd(plain("alice", PASSWORD), 235)
        c.send("alice@heloise.example", "x@far.example", letter("relayed in TLS"))
    wait_for("both", lambda: len(sink.messages) == 2)
    text = "\n".join(str(m) for m in sink.messages)
    contains(text, "with ESMTPA id", "with ESMTPSA (TLSv1.3")
    check("(login alice)" not in text, "the login is told")
    j = make(settings={"received-login": "yes", "auth-on-mx": "yes"})
    with Client(j) as c:  # and on mx where a setting says so
        contains(c.cmd("EHLO client.example", 250).text, "AUTH SCRAM-SHA-256 PLAIN LOGIN")
        c.cmd(plain("alice", PASSWORD), 235)
        c.cmd("MAIL FROM:<alice@heloise.example>", 250)
        c.cmd("RCPT TO:<x@far.example>", 250)
    with client(j) as c:
        c.cmd(plain("alice", PASSWORD), 235)
        c.send("alice@heloise.example", "bob@heloise.example", letter("with a name"))
    contains(j.wait_mail("bob")[0].decode(), "(login alice)")


@test("table senders: a login sends as what is its own, and as nobody else; while it is empty, as anybody")
def senders():
    with client(shared()) as c:
        c.cmd(plain("alice", PASSWORD), 235)
        c.cmd("MAIL FROM:<anybody@elsewhere.example>", 250)
    i = make(senders=["sales@heloise.example alice bob", "@news.example bob", "boss@heloise.example carol"])
    with client(i) as c:
        c.cmd(plain("alice", PASSWORD), 235)
        for sender, code in (("sales@heloise.example", 250), ("alice@heloise.example", 250), ("", 250),
                             ("boss@heloise.example", 553), ("bob@heloise.example", 553), ("x@news.example", 553)):
            r = c.cmd("MAIL FROM:<%s>" % sender)
            equal(r.code, code, sender)
            if code == 553:
                check(r.text.startswith("5.7.1 ") and "alice" in r.text, r)
            c.cmd("RSET", 250)
    i.cli("set", "sender-check", "no", ok=True)
    i.cli("reload", ok=True)
    i.wait_event("reloaded")
    with client(i) as c:
        c.cmd(plain("alice", PASSWORD), 235)
        c.cmd("MAIL FROM:<boss@heloise.example>", 250)


# ---- failures

@test("failures are told later and later, and only their own session waits")
def late():
    i = make(settings={"auth-failure-limit": 1000})
    took = []
    with client(i) as c:
        for _ in range(3):
            began = time.monotonic()
            refuse(c.cmd(plain("alice", "wrong")), 535, "5.7.8")
            took.append(time.monotonic() - began)
        for n, t in enumerate(took):
            check(t > n + 0.95, "failure", n + 1, "after", t)
        c.raw(plain("alice", "wrong") + "\r\n")
        began = time.monotonic()
        with client(i, "127.0.0.77") as other:
            other.cmd(plain("alice", PASSWORD), 235)
        check(time.monotonic() - began < 3, "others wait")
        equal(c.reply().code, 535)


@test("after auth-failure-limit no password is looked at: from that network, of that login; not where it is known")
def limits():
    i = make(settings={"auth-failure-limit": 3})
    home, eve = "127.0.0.40", "127.0.0.41"
    with client(i, home) as c:
        c.cmd(plain("alice", PASSWORD), 235)
    with client(i, eve) as c:
        for _ in range(3):
            refuse(c.cmd(plain("alice", "guess")), 535, "5.7.8")
        refuse(c.cmd(plain("alice", PASSWORD)), 454, "4.7.0")
        refuse(scram(c, "alice", PASSWORD), 454, "4.7.0")
        refuse(c.cmd(plain("bob", "bob's")), 454, "4.7.0")
    with client(i, "127.0.0.42") as c:  # from elsewhere too, when it is that login
        refuse(c.cmd(plain("alice", PASSWORD)), 454, "4.7.0")
        c.cmd(plain("bob", "bob's"), 235)
    with client(i, home) as c:
        c.cmd(plain("alice", PASSWORD), 235)
    check(i.find_events("login_failed", reason="too many failures from there", user="bob"), "no event")
    check(i.find_events("login_failed", user="alice", reason="this login failed too often"), "no event")


@test("hostile names are written so that no log line breaks, and the manual's filter finds the client's address")
def log_lines():
    i = make(settings={"auth-failure-limit": 1000})
    with client(i, "127.0.0.55") as c:
        refuse(c.cmd(plain('x" client=1.2.3.4 \xff\\', "p")), 535, "5.7.8")
    lines = [line for line in i.log_text().splitlines() if line.startswith("login_failed ")]
    equal(len(lines), 1)
    check(all(32 <= ord(ch) < 127 for ch in lines[0]), lines[0])
    check(len(re.findall(r' client=(?=[^"]*(?:"[^"]*"[^"]*)*$)', lines[0])) == 1, lines[0])
    with open(TOP + "/smtpd/heloise-auth.8") as f:
        filter_ = [line for line in f if line.startswith("failregex = ")][0][12:].strip().replace("\\e", "\\")
    found = re.match(filter_.replace("<HOST>", r"(?P<host>[0-9a-f.:]+)"), lines[0])
    equal(found and found.group("host"), "127.0.0.55")


@test("a slow hash holds nobody else up: logins by SCRAM and recipients go on, as many as there are slow ones")
def slow():
    i = make(settings={"auth-failure-limit": 1000, "auth-mechanisms": "scram-sha-256 plain"})
    i.table("users", "slow  $6$rounds=6000000$saltsalt$" + "x" * 86)
    i.cli("reload", ok=True)
    i.wait_event("reloaded")
    held = [client(i, "127.0.0.%d" % (60 + n)) for n in range(6)]
    for c in held:
        c.raw(plain("slow", "x") + "\r\n")
    time.sleep(0.3)
    began = time.monotonic()
    with client(i) as c:
        refuse(scram(c, "alice", PASSWORD), 235, "2.7.0")
        c.cmd("MAIL FROM:<alice@heloise.example>", 250)
        c.cmd("RCPT TO:<bob@heloise.example>", 250)
    took = time.monotonic() - began
    for c in held:
        check(not select.select([c.sock], [], [], 0)[0], "the slow hash was not slow")
    check(took < 5, "took", took)
    for c in held:
        c.close()  # gone before the answer
    with client(i) as c:
        refuse(scram(c, "alice", PASSWORD), 235, "2.7.0")


@test("heloise-auth or smtpd killed within an exchange: 454, or the connection closes, and then all is well again")
def killed():
    i = make()
    with client(i) as c:
        c.cmd("AUTH LOGIN", 334)
        os.kill(i.pids()["auth"], signal.SIGKILL)
        refuse(c.reply(), 454, "4.7.0")
        wait_for("AUTH again", lambda: "AUTH" in c.cmd("EHLO client.example").text)
        c.cmd(plain("alice", PASSWORD), 235)
    with client(i) as c:
        c.cmd("AUTH LOGIN", 334)
        os.kill(i.pids()["smtpd.submission"], signal.SIGKILL)
        check(c.is_closed(), "still open")
    wait_for("the listener", lambda: "smtpd.submission" in i.pids())
    with client(i) as c:
        c.cmd(plain("alice", PASSWORD), 235)


# ---- secrets

def memory_of(pid):
    found = b""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            if "rw" not in rights or "[v" in line:
                continue
            start, end = (int(x, 16) for x in where.split("-"))
            try:
                memory.seek(start)
                found += memory.read(end - start)
            except (OSError, OverflowError):
                pass
    return found


@test("no password is left in the log, in files that others can read, or in the memory of a program")
def nowhere():
    i = make(settings={"auth-failure-limit": 1000})
    words = {"right": PASSWORD, "wrong": "Jabber-Wocky:4711", "misplaced": "Mock-Turtle:4712"}
    with client(i) as c:
        c.cmd(plain("alice", words["wrong"]), 535)
        c.cmd("AUTH LOGIN", 334)
        c.cmd(b64(b"alice"), 334)
        c.cmd(b64(words["wrong"].encode()), 535)
        c.cmd("AUTH NTLM", 504)  # and a client that goes on all the same
        c.cmd(b64(words["misplaced"].encode()), 500)
        c.cmd("AUTH PLAIN " + b64(words["misplaced"].encode())[:-1], 501)
        c.cmd("AUTH " + b64(words["misplaced"].encode()), 504)
        c.cmd(plain("alice", words["right"]), 235)
        texts = [w.encode() for w in words.values()] + [b64(w.encode()).encode()[:-4] for w in words.values()] + \
            [plain("alice", w)[18:-4].encode() for w in (words["right"], words["wrong"])]
        log = i.log_text().encode()
        check(not [t for t in texts if t in log], "in the log")
        if IS_ROOT:
            for name in ("smtpd.submission", "auth"):
                memory = memory_of(i.pids()[name])
                check(b"alice" in memory, "no memory read")
                check(not [t for t in texts if t in memory], "in the memory of", name,
                      [t for t in texts if t in memory])
    for name in ("users", "users.cdb"):
        equal(os.stat(i.control(name)).st_mode & 0o777, 0o600, name)
    with open(i.control("heloise.cdb"), "rb") as f:
        check(b"SCRAM" not in f.read(), "in the tables for all")
    for name in ("auth", "smtpd.submission"):
        with open("/proc/%d/limits" % i.pids()[name]) as f:
            check(re.search(r"core file size +0 +0", f.read()), "core files of", name)


# ---- the command

@test("heloise user: adds, lists, changes and removes, and keeps comments; a bad table is not built")
def command():
    i = make(users={})
    i.table("users", "# of the office", "carol  $6$saltsalt$" + "x" * 86 + "   ")
    equal(i.cli("user", "add", "carol", stdin="x\n").returncode, 73)
    equal(i.cli("user", "passwd", "nobody", stdin="x\n").returncode, 67)
    equal(i.cli("user", "remove", "nobody").returncode, 67)
    equal(i.cli("user", "add", "dora", stdin="\n").returncode, 65)
    equal(i.cli("user", "add", "do ra", stdin="x\n").returncode, 64)
    equal(i.cli("user", "add").returncode, 64)
    i.cli("user", "add", "Dora@Heloise.Example", stdin="first\n", ok=True)
    equal(i.cli("user", "list", ok=True).text.split(), ["carol", "dora@heloise.example"])
    i.cli("reload", ok=True)

    def takes(password):
        with client(i) as c:
            return c.cmd(plain("dora@heloise.example", password)).code == 235
    wait_for("the login", lambda: takes("first"))
    i.cli("user", "passwd", "dora@heloise.example", stdin="second\n", ok=True)
    i.cli("reload", ok=True)
    wait_for("the new password", lambda: takes("second"))
    check(not takes("first"), "the old one still works")
    i.cli("user", "remove", "dora@heloise.example", ok=True)
    i.cli("reload", ok=True)
    wait_for("its end", lambda: not takes("second"))
    with open(i.control("users")) as f:
        contains(f.read(), "# of the office", "carol  $6$")
    i.table("users", "eve  secret")
    r = i.cli("build")
    equal(r.returncode, 78)
    contains(r.error, "control/users:", "heloise user passwd")
    check("secret" not in r.error, r.error)


@test("heloise user asks at a terminal, without echo, twice")
def terminal():
    i = make(users={})
    for second, code in ((PASSWORD, 0), ("other", 65)):
        master, slave = pty.openpty()
        p = subprocess.Popen(i.command("heloise", "user", "add", "t%d" % code), stdin=slave, stdout=slave, stderr=slave,
                             env=dict(PATH=os.environ["PATH"]), **i.as_user())
        os.close(slave)
        said = b""
        for prompt, answer in ((b"Password: ", PASSWORD), (b"Again: ", second)):
            while not said.endswith(prompt):
                said += os.read(master, 100)
            os.write(master, answer.encode() + b"\n")
        equal(p.wait(20), code)
        check(PASSWORD.encode() not in said, said)
        os.close(master)
    equal(i.cli("user", "list").text.split(), ["t0"])


# ---- back ends

@test("Dovecot as back end: its users log in by PLAIN, LOGIN and SCRAM; those of the table too")
def dovecot():
    d = Dovecot({"dora": "explorer", "both": "of dovecot"})
    i = make(settings={"auth-backends": "users dovecot", "auth-dovecot": d.socket, "auth-failure-limit": 1000},
             users={"alice": PASSWORD, "both": "of table"})
    wait_for("Dovecot's list", lambda: "SCRAM-SHA-256" in mechanisms(client(i)))
    equal(mechanisms(client(i)), ["SCRAM-SHA-256", "PLAIN", "LOGIN"])
    for login, password in (("dora", "explorer"), ("alice", PASSWORD)):
        with client(i) as c:
            c.cmd(plain(login, password), 235)
        with client(i) as c:
            c.cmd("AUTH LOGIN", 334)
            c.cmd(b64(login.encode()), 334)
            c.cmd(b64(password.encode()), 235)
        with client(i) as c:
            refuse(scram(c, login, password), 235, "2.7.0")
    with client(i) as c:
        refuse(c.cmd(plain("dora", "wrong")), 535, "5.7.8")
        refuse(scram(c, "dora", "wrong"), 535, "5.7.8")
        refuse(scram(c, "nobody", "wrong"), 535, "5.7.8")
        refuse(c.cmd(plain("both", "of dovecot")), 535, "5.7.8")  # the first that knows it decides
        c.cmd(plain("both", "of table"), 235)
    with client(i) as c:
        c.cmd("AUTH SCRAM-SHA-256 " + b64(Scram("dora", "x").first().encode()), 334)
        c.cmd("*", 501)
        c.cmd(plain("dora", "explorer"), 235)
    equal({e[1]["mechanism"] for e in i.find_events("login", user="dora")}, {"PLAIN", "LOGIN", "SCRAM-SHA-256"})


@test("with Dovecot alone, what table users says of a login counts nothing, by no mechanism")
def dovecot_alone():
    d = Dovecot({"both": "of dovecot"})
    i = make(settings={"auth-backends": "dovecot", "auth-dovecot": d.socket, "auth-failure-limit": 1000},
             users={"both": "of table", "gone": "of table"})
    wait_for("Dovecot's list", lambda: "SCRAM-SHA-256" in mechanisms(client(i)))
    with client(i) as c:
        for login in ("both", "gone"):
            refuse(scram(c, login, "of table"), 535, "5.7.8")
            refuse(c.cmd(plain(login, "of table")), 535, "5.7.8")
        refuse(scram(c, "both", "of dovecot"), 235, "2.7.0")


@test("Dovecot away: its users are told to come again, the table's get in; when it is back, all is well")
def dovecot_away():
    d = Dovecot({"dora": "explorer"})
    i = make(settings={"auth-backends": "users dovecot", "auth-dovecot": d.socket, "auth-failure-limit": 1000})
    with client(i) as c:
        wait_for("Dovecot", lambda: c.cmd(plain("dora", "explorer")).code in (235, 503))
    with client(i) as c:
        c.cmd("AUTH SCRAM-SHA-256 " + b64(Scram("dora", "x").first().encode()), 334)
        d.stop()
        refuse(c.reply(), 454, "4.7.0")
        refuse(c.cmd(plain("dora", "explorer")), 454, "4.7.0")
        c.cmd(plain("alice", PASSWORD), 235)
    check(i.find_events("failed", what=d.socket), "not said")
    d.start()

    def works():
        with client(i) as c:
            return c.cmd(plain("dora", "explorer")).code == 235
    wait_for("Dovecot again", works)


PAM = "/etc/pam.d/heloise"


class Pam:
    """A service file of PAM while a test runs; what was there comes back."""

    def __init__(self, *lines):
        if not IS_ROOT:
            raise Skip("only root can write a service of PAM")
        self.before = None
        if os.path.exists(PAM):
            with open(PAM) as f:
                self.before = f.read()
        self.write(*lines)

    def write(self, *lines):
        with open(PAM + ".new", "w") as f:
            f.write("".join(line + "\n" for line in lines))
        os.rename(PAM + ".new", PAM)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        if self.before is None:
            os.unlink(PAM)
        else:
            self.write(*self.before.splitlines())


def run_conf_users():
    subprocess.run([TOP + "/conf/users"], check=True, stdin=subprocess.DEVNULL, capture_output=True)


@test("PAM as back end: asked by a program that is root alone; it runs only while the setting names pam")
def pam():
    with Pam("auth required pam_unix.so", "account required pam_unix.so"):
        run_conf_users()
        subprocess.run(["userdel", "hlpamtest"], capture_output=True)
        hashed = subprocess.run(["openssl", "passwd", "-6", "by PAM"], capture_output=True, check=True, text=True)
        subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/false", "--password", hashed.stdout.strip(),
                        "hlpamtest"], check=True, capture_output=True)
        try:
            i = make(settings={"auth-backends": "users pam", "auth-failure-limit": 1000}, privileged=True)
            with open("/proc/%d/status" % i.pids()["pam"]) as f:
                contains(f.read(), "Uid:\t0\t0\t0\t0")
            with client(i) as c:
                equal(mechanisms(c), ["PLAIN", "LOGIN"])
                refuse(c.cmd(plain("hlpamtest", "wrong")), 535, "5.7.8")
                refuse(c.cmd(plain("hlpamtest-2", "wrong")), 535, "5.7.8")
                c.cmd(plain("hlpamtest", "by PAM"), 235)
            with client(i) as c:
                c.cmd(plain("alice", PASSWORD), 235)
            i.cli("set", "auth-backends", "users", ok=True)
            i.cli("reload", ok=True)
            wait_for("the end of heloise-pam", lambda: "pam" not in i.pids())
            with client(i) as c:
                contains(c.ehlo.text, "SCRAM-SHA-256")
        finally:
            subprocess.run(["userdel", "hlpamtest"], capture_output=True)


@test("PAM that refuses, fails, hangs or dies: no, not now, not now, not now; and the next one is asked")
def pam_fails():
    with Pam("auth required pam_deny.so", "account required pam_permit.so") as service:
        i = make(settings={"auth-backends": "pam users", "auth-failure-limit": 1000})
        with client(i) as c:
            refuse(c.cmd(plain("carol", "x")), 535, "5.7.8")
            c.cmd(plain("alice", PASSWORD), 235)
        service.write("auth required pam_no_such_module.so", "account required pam_permit.so")
        with client(i) as c:
            refuse(c.cmd(plain("carol", "x")), 454, "4.7.0")
            c.cmd(plain("alice", PASSWORD), 235)
        service.write("auth required pam_permit.so", "account required pam_permit.so")
        with client(i) as c:
            c.cmd(plain("carol", "x"), 235)
        service.write("auth required pam_exec.so /bin/sleep 60", "account required pam_permit.so")
        hung = [client(i, "127.0.0.%d" % (80 + n)) for n in range(3)]
        for c in hung:
            c.raw(plain("carol", "x") + "\r\n")
        time.sleep(0.5)
        with client(i) as c:  # others are not held up
            c.cmd("EHLO again.example", 250)
            service.write("auth required pam_permit.so", "account required pam_permit.so")
            c.cmd(plain("dora", "x"), 235)
        os.kill(i.pids()["pam"], signal.SIGKILL)
        for c in hung:
            refuse(c.reply(), 454, "4.7.0")
        wait_for("heloise-pam again", lambda: "pam" in i.pids())

        def works():
            with client(i) as c:
                return c.cmd(plain("dora", "x")).code == 235
        wait_for("PAM again", works)


@test("PAM that never answers is given up after its time", limit=120)
def pam_hangs():
    with Pam("auth required pam_exec.so /bin/sleep 600", "account required pam_permit.so"):
        i = make(settings={"auth-backends": "pam"}, users={})
        with client(i) as c:
            c.sock.settimeout(60)
            refuse(c.cmd(plain("carol", "x")), 454, "4.7.0")


@test("as root only heloise-auth is handed the users, and as its own user")
def privileged():
    if not IS_ROOT:
        raise Skip("only root can give each program its own user")
    run_conf_users()
    i = make(privileged=True)
    with client(i) as c:
        refuse(scram(c, "alice", PASSWORD), 235, "2.7.0")
    for name, pid in i.pids().items():
        held = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
        equal(any("users.cdb" in h for h in held), name == "auth", name)
    equal(os.stat(i.control("users.cdb")).st_uid, 0)


if __name__ == "__main__":
    main()
