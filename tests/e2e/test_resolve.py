"""heloise-resolve against name servers: real NSD where it is installed, and a scripted one
for what a good server does not do. The program is driven as `heloise run` and an attempt
would drive it, over its control channel.

For DNSSEC a root zone is signed here with a key of the test's own, by openssl, and its trust
anchor put in the place of the system's, in a mount namespace that only the program sees:
that needs root."""

import array
import base64
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from dns import NameServer, TYPES, encode_data, encode_name
from harness import (Failed, IS_ROOT, Instance, Skip, TOP, build_dir, check, contains, equal,
                     free_port, main, new_address, test, wait_for)

ANCHOR = "/usr/share/dns/root.key"

# ---- messages between programs, as common/wire.def numbers them

NAMES = re.findall(r"^WIRE\((\w+),", open(TOP + "/common/wire.def").read(), re.M)
NUMBER = {name: number for number, name in enumerate(NAMES)}


def encode(name, *fields):
    fields = [str(NUMBER[name])] + [str(f) for f in fields]
    return b"".join(b"%d:%s," % (len(f.encode()), f.encode()) for f in fields)


def decode(packet):
    fields = []
    while packet:
        length, _, packet = packet.partition(b":")
        n = int(length)
        fields.append(packet[:n])
        packet = packet[n + 1:]
    return NAMES[int(fields[0])], fields[1:]


def send(sock, name, *fields, fd=None):
    control = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    sock.sendmsg([encode(name, *fields)], control)


def pair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


# ---- the program

class Resolver:
    def __init__(self, anchor=None, **settings):
        self.instance = Instance(settings=settings)
        control, theirs = pair()
        self.control, self.log = control, tempfile.TemporaryFile()
        program = os.path.dirname(self.instance.bin) + "/libexec/heloise-resolve"

        def hand_over():
            os.dup2(theirs.fileno(), 3)
        command, who = [program], self.instance.as_user()
        if anchor:
            command = ["unshare", "-m", "sh", "-c", "mount --bind %s %s && exec setpriv --reuid=%d "
                       "--regid=%d --clear-groups %s" % (anchor, ANCHOR, who["user"], who["group"],
                                                         program)]
            who = {}
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, close_fds=False, preexec_fn=hand_over,
                                        **who)
        theirs.close()
        self.spawner, end = pair()
        send(control, "HELLO", 1, "resolve")
        self.give_tables()
        send(control, "CHANNEL", "deliver", fd=end.fileno())
        end.close()
        send(control, "START")
        equal(decode(self.control.recv(1000))[0], "READY")

    def give_tables(self):
        fd = os.open(self.instance.control("heloise.cdb"), os.O_RDONLY)
        send(self.control, "TABLE", fd=fd)
        os.close(fd)

    def asker(self):
        ours, theirs = pair()
        send(self.spawner, "ASKER", fd=theirs.fileno())
        theirs.close()
        ours.settimeout(20)
        return ours

    def ask(self, name, kind, sock=None):
        sock = sock or self.asker()
        send(sock, "QUESTION", 5, name, kind)
        return answer_on(sock)

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def stop(self):
        self.control.close()
        self.process.wait(10)
        self.instance.remove()


class Answer:
    pass


def answer_on(sock):
    packet = sock.recv(70000)
    check(packet, "the resolver closed the channel")
    name, f = decode(packet)
    equal(name, "ANSWER")
    a = Answer()
    a.number, a.status, a.security, a.canonical = [x.decode() for x in f[:4]]
    a.ttl, a.records = int(f[4]), []
    data = f[5]
    while data:
        n = struct.unpack("!H", data[:2])[0]
        a.records.append(data[2:2 + n])
        data = data[2 + n:]
    return a


def mx_of(a):
    found = []
    for r in a.records:
        labels, at = [], 2
        while r[at]:
            labels.append(r[at + 1:at + 1 + r[at]].decode())
            at += 1 + r[at]
        found.append((struct.unpack("!H", r[:2])[0], ".".join(labels)))
    return sorted(found)


def ips_of(a):
    return sorted(socket.inet_ntop(socket.AF_INET if len(r) == 4 else socket.AF_INET6, r)
                  for r in a.records)


# ---- NSD

ZONE = """$ORIGIN heloise.test.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
@ MX 20 mx2
@ MX 10 mx1
mx1 A 192.0.2.1
mx1 A 192.0.2.2
mx1 AAAA 2001:db8::1
mx2 A 192.0.2.3
null MX 0 .
alias CNAME mail.elsewhere
mail.elsewhere MX 5 mx1
bare A 192.0.2.9
text TXT "one" "two"
_25._tcp.mx1 TLSA 3 1 1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
localhost A 192.0.2.10
"""


class Nsd:
    def __init__(self):
        program = shutil.which("nsd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if not program:
            raise Skip("nsd is not installed")
        self.dir = tempfile.mkdtemp(prefix="heloise-nsd-")
        os.chmod(self.dir, 0o755)
        self.address = new_address()
        self.port = free_port(self.address)
        big = "".join("@ MX %d a-rather-long-name-for-a-host-%d\n" % (i, i) for i in range(200))
        self.write("zone", ZONE)
        self.write("big", "$ORIGIN big.test.\n$TTL 300\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 127.0.0.1\n" + big)
        self.write("nsd.conf", """server:
  ip-address: %(address)s@%(port)d
  username: ""
  chroot: ""
  zonesdir: "%(dir)s"
  database: ""
  zonelistfile: "%(dir)s/zone.list"
  xfrdfile: "%(dir)s/xfrd.state"
  xfrdir: "%(dir)s"
  pidfile: "%(dir)s/pid"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: heloise.test
  zonefile: zone
zone:
  name: big.test
  zonefile: big
""" % self.__dict__)
        self.process = subprocess.Popen([program, "-d", "-c", self.dir + "/nsd.conf"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(self.dir + "/log", "w"))
        wait_for("NSD to answer", self.is_up, 15)
        self.setting = "%s@%d" % (self.address, self.port)

    def write(self, name, text):
        with open(self.dir + "/" + name, "w") as f:
            f.write(text)

    def is_up(self):
        if self.process.poll() is not None:
            raise Failed("nsd ended: " + open(self.dir + "/log").read()[-300:])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.3)
            s.connect((self.address, self.port))
            try:
                s.send(b"\0\1\0\0\0\1\0\0\0\0\0\0\7heloise\4test\0\0\6\0\1")
                return bool(s.recv(600))
            except OSError:
                return False

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


@test("NSD: records, CNAME, null MX, no data and no name")
def nsd_answers():
    nsd = Nsd()
    try:
        r = Resolver(dns_servers=nsd.setting, dnssec="no")
        a = r.ask("Heloise.test", "MX")
        equal(mx_of(a), [(10, "mx1.heloise.test"), (20, "mx2.heloise.test")])
        equal((a.number, a.status, a.security), ("5", "ok", "insecure"))
        check(0 < a.ttl <= 300, a.ttl)
        equal(ips_of(r.ask("mx1.heloise.test", "A")), ["192.0.2.1", "192.0.2.2"])
        equal(ips_of(r.ask("mx1.heloise.test.", "AAAA")), ["2001:db8::1"])
        equal(mx_of(r.ask("null.heloise.test", "MX")), [(0, "")])
        a = r.ask("alias.heloise.test", "MX")
        equal(mx_of(a), [(5, "mx1.heloise.test")])
        equal(a.canonical.rstrip("."), "mail.elsewhere.heloise.test")
        equal(r.ask("bare.heloise.test", "MX").status, "nodata")
        equal(r.ask("mx2.heloise.test", "AAAA").status, "nodata")
        equal(r.ask("no-such.heloise.test", "MX").status, "nxdomain")
        equal(r.ask("text.heloise.test", "TXT").records, [b"\3one\3two"])
        equal(r.ask("_25._tcp.mx1.heloise.test", "TLSA").records, [b"\3\1\1" + b"\xaa" * 32])
        equal(r.ask("elsewhere.example", "MX").status, "failed", "a zone NSD refuses")
        equal(len(r.ask("big.test", "MX").records), 200, "an answer that needs TCP")
        r.stop()
    finally:
        nsd.stop()


# ---- a server that does as told

def scripted():
    dns = NameServer(new_address())
    for name in ("localhost", "printer.home.arpa", "x.invalid", "x.test", "x.onion"):
        dns.add(name, "A", "192.0.2.77")
    dns.add("1.2.0.192.in-addr.arpa", "PTR", "host.example")
    dns.add("1.0.0.127.in-addr.arpa", "PTR", "lo.example")
    dns.add("1.0.0.10.in-addr.arpa", "PTR", "lan.example")
    dns.add("one.example", "A", "192.0.2.1")
    dns.fail("broken.example", "SERVFAIL")
    dns.fail("silent.example", "SILENT")
    return dns


@test("names that libunbound would answer by itself come from the server given")
def no_local_zones():
    dns = scripted()
    r = Resolver(dns_servers=dns.setting, dnssec="no")
    for name in ("localhost", "printer.home.arpa", "x.invalid", "x.test", "x.onion"):
        equal(ips_of(r.ask(name, "A")), ["192.0.2.77"], name)
    for name in ("1.2.0.192", "1.0.0.127", "1.0.0.10"):
        equal(r.ask(name + ".in-addr.arpa", "PTR").status, "ok", name)
    r.stop()
    dns.close()


@test("server failure is temporary; silence keeps nobody else waiting")
def failures():
    dns = scripted()
    r = Resolver(dns_servers=dns.setting, dnssec="no")
    silent = r.asker()
    send(silent, "QUESTION", 1, "silent.example", "A")
    equal(r.ask("broken.example", "A").status, "failed")
    began = time.monotonic()
    equal(ips_of(r.ask("one.example", "A")), ["192.0.2.1"])
    check(time.monotonic() - began < 2, "waited for the silent one")
    contains(r.log_text(), "lookup_failed", "broken.example")
    silent.close()  # the attempt is gone: its question is forgotten
    equal(r.ask("one.example", "A").status, "ok")
    r.stop()
    dns.close()


@test("what an attempt may not ask ends its channel, and only its own")
def bad_attempts():
    dns = scripted()
    r = Resolver(dns_servers=dns.setting, dnssec="no")
    good = r.asker()
    for question in (("a b", "A"), ("one.example", "ANY"), ("..", "A"), ("x\n", "A")):
        bad = r.asker()
        send(bad, "QUESTION", 1, *question)
        equal(bad.recv(1000), b"", str(question))
    bad = r.asker()
    bad.send(b"nonsense")
    equal(bad.recv(1000), b"")
    equal(r.ask("one.example", "A", good).status, "ok")
    flood = r.asker()
    for i in range(200):
        send(flood, "QUESTION", i, "silent.example", "A")
    early = [answer_on(flood).status for _ in range(184)]
    equal(set(early), {"failed"}, "questions beyond the bound")
    equal(r.ask("one.example", "A").status, "ok")
    r.stop()
    dns.close()


@test("reload takes new servers and keeps attempts")
def reloads():
    one, two = scripted(), scripted()
    two.forget("one.example")
    two.add("one.example", "A", "192.0.2.2")
    r = Resolver(dns_servers=one.setting, dnssec="no")
    sock = r.asker()
    send(sock, "QUESTION", 9, "silent.example", "A")
    equal(ips_of(r.ask("one.example", "A")), ["192.0.2.1"])
    r.instance.cli("set", "dns-servers", "[%s]@%d" % (two.address, two.port), ok=True)
    r.instance.cli("build", ok=True)
    r.give_tables()
    wait_for("the new server's answer",
             lambda: ips_of(r.ask("one.example", "A", r.asker())) == ["192.0.2.2"], 5)
    send(sock, "QUESTION", 10, "one.example", "A")
    a = answer_on(sock)
    equal((a.number, ips_of(a)), ("10", ["192.0.2.2"]))
    r.stop()
    one.close()
    two.close()


@test("a trust anchor and servers without DNSSEC: a warning, and answers as insecure")
def cannot_validate():
    if not os.access(ANCHOR, os.R_OK):
        raise Skip("no trust anchor is installed (package dns-root-data)")
    dns = scripted()
    r = Resolver(dns_servers=dns.setting)
    began = time.monotonic()
    a = r.ask("one.example", "A")
    equal((a.status, a.security, ips_of(a)), ("ok", "insecure", ["192.0.2.1"]))
    check(time.monotonic() - began < 6, "questions waited too long for the root's keys")
    contains(r.log_text(), "DNSSEC: the name servers do not give the root's keys")
    r.give_tables()
    equal(r.ask("one.example", "A").status, "ok")
    r.stop()
    dns.close()


# ---- a signed root zone (RFC 4034), ECDSA P-256

class SignedRoot(NameServer):
    """Signs what it is told to add; names in `forged` get another zone's data behind their
    signature, names in `bare` get none."""

    def __init__(self, address):
        self.dir = tempfile.mkdtemp(prefix="heloise-root-")
        os.chmod(self.dir, 0o755)
        self.key = self.dir + "/key"
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
        public = self.openssl("ec", "-in", self.key, "-pubout", "-outform", "DER")[-64:]
        self.dnskey = struct.pack("!HBB", 257, 3, 13) + public
        tag = sum(b << 8 if i % 2 == 0 else b for i, b in enumerate(self.dnskey))
        self.tag = (tag + (tag >> 16)) & 0xffff
        with open(self.dir + "/anchor", "w") as f:
            f.write(". IN DNSKEY 257 3 13 " + base64.b64encode(public).decode() + "\n")
        self.forged, self.bare = set(), set()
        super().__init__(address)

    def openssl(self, *args, stdin=b""):
        return subprocess.run(["openssl"] + list(args), input=stdin, check=True,
                              capture_output=True).stdout

    def sign(self, name, number, datas):
        labels = len([x for x in name.split(".") if x])
        now = int(time.time())
        head = struct.pack("!HBBIIIH", number, 13, labels, 300, now + 86400, now - 86400,
                           self.tag) + b"\0"
        owner = encode_name(name)
        text = head + b"".join(owner + struct.pack("!HHIH", number, 1, 300, len(d)) + d
                               for d in sorted(datas))
        der = self.openssl("dgst", "-sha256", "-sign", self.key, stdin=text)
        n = der[3]
        r, s = der[4:4 + n], der[6 + n:6 + n + der[5 + n]]
        return head + b"".join(x.lstrip(b"\0").rjust(32, b"\0") for x in (r, s))

    def answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        name, number = ".".join(labels), struct.unpack("!H", query[at + 1:at + 3])[0]
        datas = [self.dnskey] if (name, number) == ("", 48) else \
            [encode_data(k, v) for k, v in self.records.get(name, []) if TYPES[k] == number]
        records = [(number, d) for d in datas]
        if datas and name not in self.bare:
            records.append((46, self.sign(name, number, datas)))
        if name in self.forged:
            records[0] = (number, bytes([203, 0, 113, 1]))
        owner = encode_name(name)
        body = b"".join(owner + struct.pack("!HHIH", t, 1, 300, len(d)) + d for t, d in records)
        return query[:2] + struct.pack("!HHHHH", 0x8580, 1, len(records), 0, 0) + \
            query[12:at + 5] + body


@test("answers of a signed zone are secure; forged and unsigned ones are never used")
def validates():
    if not IS_ROOT or not os.path.exists(ANCHOR):
        raise Skip("needs root and an installed trust anchor to put another in its place")
    for tool in ("unshare", "setpriv", "openssl"):
        if not shutil.which(tool):
            raise Skip(tool + " is not installed")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        raise Skip("no mount namespaces here")
    dns = SignedRoot(new_address())
    for name in ("good.example", "forged.example", "bare.example"):
        dns.add(name, "A", "192.0.2.1")
    dns.forged.add("forged.example")
    dns.bare.add("bare.example")
    r = Resolver(anchor=dns.dir + "/anchor", dns_servers=dns.setting)
    a = r.ask("good.example", "A")
    equal((a.status, a.security, ips_of(a)), ("ok", "secure", ["192.0.2.1"]), r.log_text())
    for name in ("forged.example", "bare.example"):
        a = r.ask(name, "A")
        equal((a.status, a.security, a.records), ("failed", "bogus", []), name)
    check("warning" not in r.log_text(), r.log_text())
    r.stop()
    dns.close()
    shutil.rmtree(dns.dir)


@test("many questions at once")
def many():
    dns = scripted()
    for i in range(300):
        dns.add("h%d.example" % i, "A", "192.0.2.%d" % (i % 250 + 1))
    r = Resolver(dns_servers=dns.setting, dnssec="no")
    socks = [r.asker() for _ in range(50)]
    for i in range(300):
        send(socks[i % 50], "QUESTION", i, "h%d.example" % i, "A")
    got = {}
    for i in range(300):
        a = answer_on(socks[i % 50])
        got[int(a.number)] = ips_of(a)
    equal(got, {i: ["192.0.2.%d" % (i % 250 + 1)] for i in range(300)})
    r.stop()
    dns.close()


if __name__ == "__main__":
    main()
