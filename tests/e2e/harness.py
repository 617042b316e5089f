"""An instance of Heloise for a test: made, started, watched and stopped here.

Python's standard library only. A test file does

    from harness import Instance, Client, test, main
    @test("what holds")
    def holds(): ...
    main()

and prints TAP. Everything happens under one temporary directory and on loopback addresses
of this process' own (127.A.B.x), so that test files can run side by side. As root, an
instance is run as the user nobody unless privileged=True asks for separate users."""

import atexit
import base64
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
IS_ROOT = os.getuid() == 0
PATIENCE = 20  # seconds a test waits for what should happen within one
PROGRAMS = ("smtpd", "auth", "intake", "queue", "deliver", "resolve", "local")

# ---- tests and TAP

_tests = []
_done = []


class Skip(Exception):
    pass


class Failed(Exception):
    pass


def test(name, limit=90):
    def keep(function):
        _tests.append((name, function, limit))
        return function
    return keep


def check(fact, *said):
    if not fact:
        raise Failed(" ".join(str(s) for s in said) or "the check failed")


def equal(got, wanted, what=""):
    if got != wanted:
        raise Failed("%s: got %r, wanted %r" % (what or "values differ", got, wanted))


def contains(text, *parts):
    for part in parts:
        if part.lower() not in text.lower():
            raise Failed("%r is not in %r" % (part, text))


def tap_result(number, name, error=None, skip=None, said=()):
    if skip is not None:
        print("ok %d - %s # SKIP %s" % (number, name, skip))
    elif error is None:
        print("ok %d - %s" % (number, name))
    else:
        print("not ok %d - %s" % (number, name))
        for line in error.splitlines() + list(said):
            print("# " + line)
    sys.stdout.flush()


def _alarm(signum, frame):
    raise Failed("took too long")


def main():
    """Runs the file's tests; as arguments: BUILD and words that the wanted tests' names hold.
    --names only lists them."""
    if sys.argv[1:] == ["--names"]:
        print("\n".join(name for name, _, _ in _tests))
        return
    words = sys.argv[2:]
    chosen = [t for t in _tests if not words or any(w in t[0] for w in words)]
    print("1..%d" % len(chosen))
    signal.signal(signal.SIGALRM, _alarm)
    bad = 0
    for number, (name, function, limit) in enumerate(chosen, 1):
        error, skip = None, None
        signal.alarm(limit)
        try:
            function()
        except Skip as s:
            skip = str(s)
        except Exception as e:
            where = traceback.extract_tb(e.__traceback__)
            lines = ["%s:%d" % (os.path.basename(f.filename), f.lineno) for f in where]
            error = "%s: %s (%s)" % (type(e).__name__, e, " < ".join(reversed(lines[-4:])))
        signal.alarm(0)
        said = []
        if error:
            bad += 1
            for i in Instance.alive:
                said += ["log: " + line for line in i.log_text().splitlines()[-25:]]
        tap_result(number, name, error, skip, said)
        for i in list(Instance.alive):
            if not i.is_shared:
                i.stop(quietly=True)
    stop_all()
    sys.exit(1 if bad else 0)


def wait_for(what, fact, patience=PATIENCE):
    """Waits until fact() is true and returns its value."""
    end = time.monotonic() + patience
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed("waited %d s in vain for: %s" % (patience, what))
        time.sleep(0.04)


# ---- addresses of our own

_net = "127.%d.%d" % (random.randint(1, 250), random.randint(1, 250))
_host = [0]


def new_address():
    """A loopback address no other test uses."""
    global _net
    _host[0] += 1
    if _host[0] > 250:
        _host[0], _net = 1, "127.%d.%d" % (random.randint(1, 250), random.randint(1, 250))
    return "%s.%d" % (_net, _host[0])


def free_port(address):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


# ---- the programs under test

def build_dir():
    where = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 and os.path.isdir(sys.argv[1])
                            else os.environ.get("BUILD", TOP + "/build"))
    return where


def ordinary_user():
    """Who instances run as: ourselves, or nobody when we are root."""
    return pwd.getpwnam("nobody") if IS_ROOT else pwd.getpwuid(os.getuid())


_places = {}


def prepare_programs():
    """Copies the programs where everybody can start them, if the checkout is private."""
    build = build_dir()
    path, open_to_all = build, True
    while path != "/":
        open_to_all = open_to_all and os.stat(path).st_mode & 0o5 == 0o5
        path = os.path.dirname(path)
    if IS_ROOT and not open_to_all and build not in _places:
        copy = tempfile.mkdtemp(prefix="heloise-programs-")
        atexit.register(shutil.rmtree, copy, True)
        os.chmod(copy, 0o755)
        for part in ("bin", "libexec"):
            shutil.copytree(build + "/" + part, copy + "/" + part, symlinks=True)
        _places[build] = copy + "/bin"
    _places.setdefault(build, build + "/bin")


def parse_event(line):
    """A log line as (event, {field: value}); escapes are left as they are."""
    m = re.match(r"^([a-z_]+)((?: [a-z_]+=(?:\"[^\"]*\"|[^ \"]*))*)$", line)
    if not m:
        return None
    fields = re.findall(r" ([a-z_]+)=(\"[^\"]*\"|[^ \"]*)", m.group(2))
    return m.group(1), {k: v.strip('"') for k, v in fields}


class Instance:
    alive = []

    def __init__(self, settings=None, tables=None, privileged=False, hostname="heloise.example",
                 address=None, port=None, is_shared=False, make=True, programs=None):
        prepare_programs()
        self.bin = programs or _places[build_dir()]
        self.privileged, self.hostname, self.is_shared = privileged, hostname, is_shared
        self.user = pwd.getpwnam("root") if privileged else ordinary_user()
        self.top = tempfile.mkdtemp(prefix="heloise-e2e-")
        os.chmod(self.top, 0o755)
        os.chown(self.top, self.user.pw_uid, self.user.pw_gid)
        self.dir = self.top + "/i"
        self.address = address or new_address()
        self.port = port or free_port(self.address)
        self.log_path = self.top + "/log"
        self.process = None
        self.read_to = 0
        self.events, self.by_id = [], {}
        Instance.alive.append(self)
        if make:
            self.init()
            # one process for mx, whatever the machine: pids() gives each program once
            for name, value in {"smtpd-processes": 1, **(settings or {})}.items():
                self.cli("set", name.replace("_", "-"), str(value), ok=True)
            for name, lines in (tables or {}).items():
                self.forget_keys(name, [line.split()[0] for line in lines])
                self.table(name, *lines)
            self.cli("build", ok=True)

    def init(self):
        self.cli("init", self.dir, "--hostname", self.hostname, "--listen",
                 "%s:%d" % (self.address, self.port), instance=False, ok=True)

    # -- commands

    def command(self, program, *args, instance=True):
        where = ["-C", self.dir] if instance and program == "heloise" else []
        return [self.bin + "/" + program] + where + [str(a) for a in args]

    def as_user(self):
        if IS_ROOT and not self.privileged:
            return dict(user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[])
        return {}

    def run_command(self, program, *args, instance=True, ok=False, stdin=None, env=None, timeout=30):
        if isinstance(stdin, str):
            stdin = stdin.encode()
        r = subprocess.run(self.command(program, *args, instance=instance), input=stdin or b"",
                           capture_output=True, timeout=timeout, cwd=self.top,
                           env=dict(PATH=os.environ["PATH"], HELOISE_DIR=self.dir, **(env or {})),
                           **self.as_user())
        r.text = r.stdout.decode("utf-8", "replace")
        r.error = r.stderr.decode("utf-8", "replace")
        if ok and r.returncode != 0:
            raise Failed("%s %s: exit %d: %s%s" % (program, " ".join(map(str, args)), r.returncode,
                                                  r.text, r.error))
        return r

    def cli(self, *args, **how):
        return self.run_command("heloise", *args, **how)

    def sendmail(self, *args, **how):
        return self.run_command("sendmail", *args, **how)

    # -- control files

    def control(self, name):
        return self.dir + "/control/" + name

    def forget_keys(self, name, keys):
        """Takes lines with these keys out of a table."""
        with open(self.control(name)) as f:
            kept = [line for line in f if line.split()[:1] not in [[k] for k in keys]]
        with open(self.control(name), "w") as f:
            f.writelines(kept)

    def table(self, name, *lines, replace=False):
        """Adds lines to a table, or replaces what is in it."""
        path = self.control(name)
        is_new = not os.path.exists(path)
        with open(path, "w" if replace else "a") as f:
            f.write("".join(line + "\n" for line in lines))
        if is_new:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    # -- the daemon

    def start(self, ready=True):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command("heloise", "run"), stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, cwd="/", env=dict(PATH=os.environ["PATH"]),
                                        **self.as_user())
        log.close()
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self):
        def up():
            if self.process.poll() is not None:
                raise Failed("run ended with %d: %s" % (self.process.returncode, self.log_text()[-600:]))
            try:
                with Client(self) as c:
                    return c.banner.code == 220
            except OSError:
                return False
        wait_for("a banner", up)

    def stop(self, quietly=False):
        """SIGTERM, and everything of the instance away. Returns how long it took."""
        took, late = 0.0, False
        if self.process and self.process.poll() is None:
            began = time.monotonic()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                late = True
                pids = list(self.pids().values())
                self.process.kill()
                self.process.wait()
                for pid in pids:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
            took = time.monotonic() - began
        if quietly:
            self.remove()
        elif late:
            raise Failed("run did not end after SIGTERM")
        return took

    def remove(self):
        if self in Instance.alive:
            Instance.alive.remove(self)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.top, ignore_errors=True)

    def restart(self):
        self.stop()
        return self.start()

    def pids(self):
        """The running programs of this instance: {name: pid}."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open("/proc/%s/stat" % entry) as f:
                    parent = int(f.read().rpartition(")")[2].split()[1])
                with open("/proc/%s/cmdline" % entry, "rb") as f:
                    name = os.path.basename(f.read().split(b"\0")[0].decode())
            except (OSError, IndexError, ValueError):
                continue
            if self.process and parent == self.process.pid and name.startswith("heloise-"):
                found[name[8:]] = int(entry)
        return found

    def of_deliver(self, name):
        """The processes of heloise-deliver that are alive and have this name: stem, attempt."""
        spawner, found = self.pids()["deliver"], []
        for entry in os.listdir("/proc"):
            try:
                with open("/proc/%s/stat" % entry) as f:
                    called, _, rest = f.read().partition("(")[2].rpartition(")")
            except OSError:
                continue
            state, parent = rest.split()[:2]
            if called == name and int(parent) == spawner and state != "Z":
                found.append(int(entry))
        return found

    # -- the log

    def log_text(self):
        try:
            with open(self.log_path, "rb") as f:
                return f.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def read_log(self):
        try:
            with open(self.log_path, "rb") as f:
                f.seek(self.read_to)
                text = f.read()
        except OSError:
            return self.events
        whole = text.rfind(b"\n") + 1
        self.read_to += whole
        for line in text[:whole].decode("utf-8", "replace").splitlines():
            e = parse_event(line)
            if e:
                self.events.append(e)
                self.by_id.setdefault(e[1].get("id"), []).append(e)
        return self.events

    def find_events(self, names, **fields):
        names = names.split()
        self.read_log()
        return [e for e in (self.by_id.get(fields["id"], []) if "id" in fields else self.events)
                if e[0] in names and all(e[1].get(k) == v for k, v in fields.items())]

    def wait_event(self, names, patience=PATIENCE, count=1, **fields):
        """The count-th event with these names and fields."""
        found = wait_for("event %s %s" % (names, fields),
                         lambda: self.find_events(names, **fields)[count - 1:count], patience)
        return found[0]

    # -- the queue and the mail

    def queue(self):
        r = self.cli("queue", "list", "--json", ok=True)
        return [json.loads(line) for line in r.text.splitlines()]

    def wait_queue(self, count, patience=PATIENCE):
        wait_for("%d messages in the queue" % count, lambda: len(self.queue()) == count, patience)
        return self.queue()

    def queue_files(self):
        """Committed messages as files, whatever their state."""
        found = []
        for state in ("new", "cur", "hold"):
            for folder, _, names in os.walk(self.dir + "/queue/" + state):
                found += [os.path.join(folder, n) for n in names]
        return found

    def mail(self, folder):
        """The messages in DIR/mail/folder, oldest first."""
        new = self.dir + "/mail/" + folder + "/new"
        names = sorted(os.listdir(new), key=lambda n: os.stat(new + "/" + n).st_mtime_ns) \
            if os.path.isdir(new) else []
        messages = []
        for n in names:
            with open(new + "/" + n, "rb") as f:
                messages.append(f.read())
        return messages

    def wait_mail(self, folder, count=1, patience=PATIENCE):
        wait_for("%d messages in %s" % (count, folder), lambda: len(self.mail(folder)) >= count, patience)
        return self.mail(folder)

    def send(self, sender, recipients, message=None, source=None, **how):
        """One message by SMTP; returns its id. Raises when it is not taken."""
        with Client(self, source=source) as c:
            return c.send(sender, recipients, message, **how)


def stop_all():
    for i in list(Instance.alive):
        i.stop(quietly=True)


atexit.register(stop_all)
signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(1))


# ---- an SMTP client that says exactly what it is told

class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[-1][:3]) if lines and lines[-1][:3].isdigit() else 0
        self.text = " ".join(line[4:] for line in lines)

    def __repr__(self):
        return " / ".join(self.lines)


class Client:
    def __init__(self, instance=None, address=None, port=None, source=None, timeout=PATIENCE):
        where = (address or instance.address, port or instance.port)
        self.sock = socket.create_connection(where, timeout, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.banner = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def close(self):
        self.sock.close()

    def raw(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def line(self):
        while b"\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection; unread: %r" % self.buffer)
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("latin-1")

    def reply(self):
        lines = []
        while True:
            lines.append(self.line())
            if lines[-1][3:4] != "-":
                return Reply(lines)

    def cmd(self, text, code=None):
        self.raw(text + "\r\n")
        r = self.reply()
        if code is not None and r.code != code:
            raise Failed("%s was answered %s, not %d" % (text[:80], r, code))
        return r

    def is_closed(self, patience=5):
        """Whether the server closes without saying more."""
        self.sock.settimeout(patience)
        try:
            return self.sock.recv(1000) == b""
        except ConnectionError:
            return True
        except socket.timeout:
            return False

    def send(self, sender, recipients, message=None, hello="client.example", mail="", rcpt=""):
        self.cmd("EHLO " + hello, 250)
        self.cmd("MAIL FROM:<%s>%s" % (sender, " " + mail if mail else ""), 250)
        for r in [recipients] if isinstance(recipients, str) else recipients:
            self.cmd("RCPT TO:<%s>%s" % (r, " " + rcpt if rcpt else ""), 250)
        return self.data(message)

    def data(self, message=None, code=250):
        """DATA, the message (any line ends) dot-stuffed, the dot; returns the id."""
        self.cmd("DATA", 354)
        message = letter() if message is None else message
        self.raw(stuff(message) + b".\r\n")
        r = self.reply()
        if r.code != code:
            raise Failed("the message was answered %s, not %d" % (r, code))
        m = re.search(r"queued as (\S+)", r.text)
        return m.group(1) if m else r


class Local(Client):
    """By a local socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(path)
        self.buffer = b""
        self.banner = self.reply()


def crlf(message):
    data = message.encode() if isinstance(message, str) else message
    data = re.sub(rb"\r?\n", b"\r\n", data)
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


def stuff(message):
    return re.sub(rb"(?m)^\.", b"..", crlf(message))


def letter(subject="a test", body="Hello.\n", **fields):
    """A small message with LF line ends."""
    head = ["From: A Sender <sender@client.example>", "To: somebody@heloise.example",
            "Subject: " + subject, "Date: Mon, 06 Oct 2025 10:00:00 +0000",
            "Message-ID: <%s@client.example>" % base64.b32encode(os.urandom(10)).decode().lower()]
    head += ["%s: %s" % (k.replace("_", "-"), v) for k, v in fields.items()]
    return "\n".join(head) + "\n\n" + body


def body_of(message):
    """What follows the header, with LF line ends."""
    return message.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
