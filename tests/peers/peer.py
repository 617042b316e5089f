#!/usr/bin/env python3
"""A scripted SMTP peer: plays a scenario file and writes down what the client did.

usage: peer.py FILE ADDR:PORT      plays the file's host `a` there and prints what happens

A scenario is a text file; README in this directory is its manual. `Scenario` reads one,
`Peer` plays it on listening sockets, `Session` is what was seen on one connection."""

import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

CLIENT_GONE = 15  # seconds a script waits for the client before it gives up


class ScenarioError(Exception):
    pass


def unescape(text):
    r"""Bytes of TEXT with \r \n \0 \\ \xHH."""
    def one(m):
        e = m.group(1)
        return {"r": "\r", "n": "\n", "0": "\0", "\\": "\\"}.get(e) or chr(int(e[1:], 16))
    return re.sub(r"\\(x[0-9a-fA-F]{2}|[rn0\\])", one, text).encode("latin-1")


def matches(pattern, line):
    """A verb alone matches its command; otherwise * stands for anything. Any case."""
    if re.fullmatch(r"\w+", pattern):
        pattern = pattern + " *" if " " in line else pattern
    return re.fullmatch(".*".join(re.escape(p) for p in pattern.split("*")), line,
                        re.I | re.S) is not None


# word: (arguments that are numbers first, needs text)
STEPS = {"send": (0, None), "raw": (0, True), "drip": (1, True), "delay": (1, False),
         "expect": (0, True), "silent": (1, False), "eof": (0, False), "data": (0, False),
         "close": (0, False), "reset": (0, False), "hang": (0, False), "offer": (0, True),
         "on": (0, True), "serve": (0, False), "flood": (1, True), "take": (1, False),
         "stall": (0, False), "data-at-once": (0, False),
         "starttls": (0, None), "swallow": (0, False), "farewell": (0, False)}
HEADERS = {"title", "ladder", "via", "sender", "retry", "host", "recipients", "peers", "keeps"}
EXPECTED = {"outcome", "sessions", "seen", "unseen", "reply", "memory", "body", "bounce", "within",
            "step", "evidence", "age", "all", "pause"}


class Message:
    def __init__(self, kind):
        self.kind, self.outcomes, self.expected = kind, [], []


class Scenario:
    """title, rows, via, senders, retry, recipients, hosts {name: (preference, mode)},
    scripts {host: [steps]}, messages."""

    def __init__(self, path):
        self.path = path
        self.name = re.sub(r"\.peer$", "", path.rpartition("/")[2])
        self.title, self.rows, self.retry, self.peers = "", [], "every 1h life 1d", None
        self.keeps = "no"
        self.via, self.senders, self.recipients = ["route"], ["user"], ["someone"]
        self.hosts, self.scripts, self.messages = {"a": (10, "up")}, {}, []
        script = None
        with open(path, encoding="latin-1") as f:
            for number, line in enumerate(f, 1):
                line = line.rstrip("\n")
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                word, _, rest = line.strip().partition(" ")
                rest = rest.lstrip(" ")
                try:
                    if word == "connection":
                        script = []
                        self.scripts.setdefault(rest or "a", []).append(script)
                    elif word == "message":
                        self.messages.append(Message(rest or "plain"))
                    elif word in STEPS and script is not None and not self.messages:
                        script.append(self.step(word, rest))
                    elif word in EXPECTED and self.messages:
                        self.expect(word, rest)
                    elif word in HEADERS and script is None:
                        self.header(word, rest)
                    else:
                        raise ScenarioError("%s is not known here" % word)
                except (ScenarioError, ValueError, IndexError) as e:
                    raise ScenarioError("%s:%d: %s" % (path, number, e))
        for host in self.scripts:
            if host not in self.hosts:
                raise ScenarioError("%s: connection to host %s, which is not declared" % (path, host))

    def step(self, word, rest):
        numbers, text = STEPS[word]
        parts = rest.split(" ", numbers)
        args = [float(p) for p in parts[:numbers]]
        tail = parts[numbers] if len(parts) > numbers else ""
        if text is True and not tail or text is False and tail:
            raise ScenarioError("%s %s text after it" % (word, "needs" if text else "takes no"))
        if word == "on":
            pattern, arrow, answer = tail.partition(" -> ")
            if not arrow:
                raise ScenarioError("on PATTERN -> ANSWER")
            return ("on", pattern.strip(), answer.strip())
        return (word, *args, tail)

    def header(self, word, rest):
        if word == "host":
            name, preference, *mode = rest.split()
            self.hosts[name] = (int(preference), mode[0] if mode else "up")
        elif word == "ladder":
            self.rows = rest.split()
        elif word in ("via", "recipients"):
            setattr(self, word, rest.split())
        elif word == "sender":
            self.senders = rest.split()
        else:
            setattr(self, word, rest)

    def expect(self, word, rest):
        message = self.messages[-1]
        if word == "outcome":
            message.outcomes.append(rest)
        else:
            message.expected.append((word, rest))


_made = []


def certificate():
    """The path of a self-signed certificate with its key, made at the first call."""
    with _made_lock:
        if not _made:
            folder = tempfile.TemporaryDirectory()
            path = os.path.join(folder.name, "peer.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", path, "-out",
                            path + ".crt", "-days", "30", "-subj", "/CN=peer.example"],
                           check=True, capture_output=True)
            with open(path, "a") as f, open(path + ".crt") as crt:
                f.write(crt.read())
            _made.extend([path, folder])
        return _made[0]


_made_lock = threading.Lock()


class Session:
    """What one connection brought: command lines as received, messages, complaints."""

    def __init__(self, host):
        self.host, self.commands, self.messages, self.complaints = host, [], [], []
        self.is_over = False

    def verbs(self):
        return [c.split(" ")[0].upper() for c in self.commands]


class ClientGone(Exception):
    pass


class Connection:
    """Plays one script on one connection."""

    def __init__(self, sock, session, script, say=None):
        self.sock, self.session, self.script, self.say = sock, session, script, say
        self.buffer, self.offers, self.rules = b"", [], []
        sock.settimeout(CLIENT_GONE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def complain(self, text):
        self.session.complaints.append(text)
        if self.say:
            self.say("!! " + text)

    def play(self):
        try:
            for word, *args in self.script:
                getattr(self, "do_" + word.replace("-", "_"))(*args)
            self.until_gone()
        except ClientGone:
            pass
        except socket.timeout:
            self.complain("the client kept the connection for more than %d s" % CLIENT_GONE)
        except OSError:
            pass
        self.sock.close()
        self.session.is_over = True

    def is_pipelining(self):
        return "PIPELINING" in [o.split()[0].upper() for o in self.offers]

    # -- input

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise ClientGone
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            if len(self.buffer) > 4096:
                self.complain("a command line of more than 4096 bytes")
                raise ClientGone
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\n")
        if not line.endswith(b"\r"):
            self.complain("a command ended in a bare LF: %r" % line)
        line = line.rstrip(b"\r").decode("latin-1")
        if self.buffer and not self.is_pipelining():
            self.complain("commands in a batch, though PIPELINING was not offered: %r" % line)
        self.session.commands.append(line)
        if self.say:
            self.say("C: " + line)
        return line

    def message(self):
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            self.fill()
        if self.buffer.startswith(b".\r\n"):
            data, self.buffer = b"", self.buffer[3:]
        else:
            data, _, self.buffer = self.buffer.partition(b"\r\n.\r\n")
            data += b"\r\n"
        if re.search(rb"(?<!\r)\n|\r(?!\n)", data):
            self.complain("a bare CR or LF in the message")
        self.session.messages.append(re.sub(rb"(?m)^\.\.", b".", data))
        if self.buffer and not self.is_pipelining():
            self.complain("something came behind the dot before its answer: %r" % self.buffer)
        self.session.commands.append(".")
        if self.say:
            self.say("C: (a message of %d bytes)" % len(data))

    def until_gone(self):
        while True:
            self.line()

    # -- steps

    def put(self, data):
        self.sock.sendall(data)
        if self.say:
            for line in data.decode("latin-1").splitlines():
                self.say("S: " + line)

    def do_send(self, text):
        self.put(unescape(text) + b"\r\n")

    def do_raw(self, text):
        self.put(unescape(text))

    def do_drip(self, seconds, text):
        for byte in unescape(text) + b"\r\n":
            self.sock.sendall(bytes([byte]))
            time.sleep(seconds)

    def do_flood(self, times, text):
        block = (unescape(text) + b"\r\n") * 100
        for _ in range(int(times) // 100):
            self.sock.sendall(block)

    def do_delay(self, seconds, _):
        time.sleep(seconds)

    def do_expect(self, pattern):
        line = self.line()
        if not matches(pattern, line):
            self.complain("expected %s, got %r" % (pattern, line))

    def do_silent(self, seconds, _):
        self.sock.settimeout(seconds)
        try:
            if not self.buffer:
                self.fill()
            self.complain("the client spoke out of turn: %r" % self.buffer)
        except socket.timeout:
            pass
        self.sock.settimeout(CLIENT_GONE)

    def do_take(self, count, _=""):
        while len(self.buffer) < count:
            self.fill()
        self.buffer = self.buffer[int(count):]

    def do_stall(self, _=""):
        """Reads nothing: the client's writes come to a stop."""
        time.sleep(CLIENT_GONE - 5)
        raise ClientGone

    def do_data_at_once(self, _):
        """A box that looks for CR LF . CR LF in what one read brings, and there alone."""
        while b"\r\n.\r\n" not in self.buffer:
            time.sleep(0.3)
            had = len(self.buffer)
            self.fill()
            if self.buffer.endswith(b"\r\n.\r\n") and len(self.buffer) - had < 5:
                self.complain("the end of the message came in pieces")
        self.message()

    def do_eof(self, _):
        try:
            self.fill()
            self.complain("the client should have closed, but said %r" % self.buffer)
        except (ClientGone, ConnectionError):
            raise ClientGone

    def do_data(self, _):
        self.message()

    def do_close(self, _=""):
        # what the client already sent is read, so that the close is no reset
        self.sock.setblocking(False)
        try:
            while True:
                if not self.sock.recv(65536):
                    break
        except OSError:
            pass
        if self.say:
            self.say("-- closed")
        raise ClientGone

    def do_reset(self, _=""):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self.say:
            self.say("-- reset")
        raise ClientGone

    def do_hang(self, _=""):
        if self.say:
            self.say("-- (silence)")
        while True:
            data = self.sock.recv(65536)
            if not data:
                raise ClientGone

    # -- TLS

    def do_starttls(self, version=""):
        """The server's side of a handshake; TLSv1.1 and the like: that version only."""
        if self.buffer:
            self.complain("something came in clear after STARTTLS: %r" % self.buffer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate())
        asked = []
        context.sni_callback = lambda sock, name, ctx: asked.append(name)
        if version:
            context.set_ciphers("ALL:@SECLEVEL=0")
            number = getattr(ssl.TLSVersion, version.replace(".", "_"))
            context.minimum_version = context.maximum_version = number
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True)
        except ssl.SSLError as e:
            self.session.commands.append("NOTLS %s" % e.reason)
            raise ClientGone
        self.session.commands.append("TLS %s %s" % (self.sock.version(), (asked or [None])[0]))
        self.offers = [o for o in self.offers if o.split()[0].upper() != "STARTTLS"]
        if self.say:
            self.say("-- encrypted: " + self.session.commands[-1])

    def do_swallow(self, _=""):
        """Reads what comes next, be it text or not: a client's TLS hello."""
        if not self.buffer:
            self.fill()
        self.buffer = b""

    def do_farewell(self, _=""):
        """TLS's close_notify, then the end."""
        try:
            self.sock.settimeout(1)
            self.sock.unwrap()
        except OSError:
            pass
        raise ClientGone

    def do_offer(self, text):
        self.offers.append(text)

    def do_on(self, pattern, answer):
        self.rules.append((pattern, answer))

    # -- an ordinary server, but for the rules

    def do_serve(self, _=""):
        accepted = 0
        while True:
            line = self.line()
            verb = line.split(" ")[0].upper()
            answer = self.rule(line) or self.usual(verb, accepted)
            self.give(answer)
            if verb == "RCPT" and answer.startswith("25"):
                accepted += 1
            elif verb == "DATA" and answer.startswith("354"):
                self.message()
                self.give(self.rule(".") or "250 2.0.0 taken")
                accepted = 0
            elif verb in ("MAIL", "RSET", "EHLO", "HELO"):
                accepted = 0
            elif verb == "STARTTLS" and answer.startswith("220") and " & " not in answer:
                self.do_starttls()
                accepted = 0
            elif verb == "QUIT":
                raise ClientGone

    def rule(self, line):
        for pattern, answer in self.rules:
            if matches(pattern, line):
                return answer
        return None

    def usual(self, verb, accepted):
        if verb == "EHLO":
            lines = ["peer.example"] + self.offers
            return "\\r\\n".join("250%s%s" % ("-" if i + 1 < len(lines) else " ", line)
                                 for i, line in enumerate(lines))
        if verb == "DATA":
            return "354 go on" if accepted else "503 5.5.1 no recipient"
        if verb == "STARTTLS" and verb in [o.split()[0].upper() for o in self.offers]:
            return "220 2.0.0 go ahead"
        return {"HELO": "250 peer.example", "MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok",
                "RSET": "250 2.0.0 ok", "NOOP": "250 2.0.0 ok", "QUIT": "221 2.0.0 bye"
                }.get(verb, "500 5.5.1 what?")

    def give(self, answer):
        """Sends an answer: texts, `close`, `reset`, `hang`, `stall`, `farewell`, `take BYTES`,
        with ` & ` between them."""
        for part in answer.split(" & "):
            word, _, rest = part.partition(" ")
            if word == "take":
                self.do_take(float(rest))
            elif part in ("close", "reset", "hang", "stall", "farewell"):
                getattr(self, "do_" + part)()
            else:
                self.put(unescape(part) + b"\r\n")


class Peer:
    """Listens for a scenario's hosts: at {host: (address, port)}."""

    connection = Connection

    def __init__(self, scenario, places, say=None):
        self.scenario, self.say = scenario, say
        self.sessions, self.lock, self.listeners = [], threading.Lock(), []
        self.left = {host: list(scenario.scripts.get(host, [])) for host in places}
        for host, place in places.items():
            mode = scenario.hosts[host][1]
            if mode in ("unreachable", "self"):
                continue
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            self.listeners.append(listener)
            if mode == "deaf":  # connections that nobody accepts fill it up
                listener.listen(0)
                for _ in range(3):
                    filler = socket.socket()
                    filler.setblocking(False)
                    filler.connect_ex(place)
                    self.listeners.append(filler)
            if mode == "up":  # "refuse": the port is ours, and nobody listens
                listener.listen(20)
                threading.Thread(target=self.serve, args=(host, listener), daemon=True).start()

    def serve(self, host, listener):
        scripts = self.left[host]
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            session = Session(host)
            with self.lock:
                self.sessions.append(session)
            if self.say:
                self.say("-- connection %d" % len(self.sessions))
            if scripts:
                script = scripts.pop(0)
            else:
                script = [("send", "421 4.3.2 the scenario has no more connections")]
                session.complaints.append("a connection more than the scenario has")
            connection = self.connection(sock, session, script, self.say)
            threading.Thread(target=connection.play, daemon=True).start()

    def close(self):
        for listener in self.listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()


def play_alone(path, where):
    address, _, port = where.rpartition(":")
    peer = Peer(Scenario(path), {"a": (address, int(port))},
                lambda text: print(text, flush=True))
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        peer.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    play_alone(sys.argv[1], sys.argv[2])
