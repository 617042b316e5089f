#!/usr/bin/env python3
"""Plays the *.peer scenarios against the real programs, all through one instance.

usage: run.py BUILD [WORD ...]     only scenarios whose names hold a word

Every scenario, way of reaching it (routes, MX) and sender (a user, null) is one TAP test with
a domain and addresses of its own; several run at once. The clocks are short, the rest of the
instance is as it comes."""

import concurrent.futures
import ctypes
import email
import email.policy
import glob
import json
import os
import re
import socket
import struct
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

from dns import NameServer  # noqa: E402
from harness import (Failed, Instance, check, crlf, free_port, letter, new_address,  # noqa: E402
                     stop_all, tap_result, wait_for)
from peer import Peer, Scenario, ScenarioError, matches  # noqa: E402

CLOCK = 3  # seconds: every reply's
AT_ONCE = 12
PATIENCE = 25
EIGHT = ("Grüße aus Köln: naïve façade, 日本語\n" * 3).encode()


def content(kind):
    """A message in wire form."""
    if kind == "8bit":
        head = letter("8-bit", "", MIME_Version="1.0", Content_Type="text/plain; charset=utf-8",
                      Content_Transfer_Encoding="8bit")
        return crlf(head.encode() + EIGHT + b"plain line\n.\n..\nlast = line\n")
    if kind.startswith("signed") or kind.startswith("long"):
        head = letter(kind, "", MIME_Version="1.0", Content_Type="text/plain; charset=utf-8",
                      Content_Transfer_Encoding="8bit" if "8bit" in kind else "7bit")
        if "signed" in kind:
            head = "DKIM-Signature: v=1; a=rsa-sha256; d=heloise.example; s=x; b=AAAA\n" + head
        long = b"0123456789 " * 300 + b"\n" if "long" in kind else b""
        return crlf(head.encode() + (EIGHT if "8bit" in kind else b"plain\n") + long)
    if kind == "dots":
        return crlf(letter("dots", ".\n..\n...\n.leading\nin.side\n. \n.\n"))
    if kind == "huge":
        return crlf(letter("huge", ("x" * 70 + "\n") * 250000))
    if kind == "big":
        return crlf(letter("big", "".join("%06d %s\n" % (n, "x" * 60) for n in range(4500))))
    return crlf(letter("plain", "Hello there.\n"))


def grow_older(path, address, port, seconds):
    """Puts what the file of peer memory holds about a peer into the past (deliver/peers.c)."""
    xxhash = ctypes.CDLL("libxxhash.so.0")
    xxhash.XXH3_64bits.restype = ctypes.c_uint64
    ip = socket.inet_aton(address).ljust(16, b"\0")
    with open(path, "r+b", buffering=0) as f:
        cards = f.read(128 + 131072 * 128)
        at = cards.find(ip + struct.pack("=BBH", 4, 0, port))
        check(at > 0 and at % 128 == 0, "nothing is remembered about", address)
        card = bytearray(cards[at:at + 128])
        for note in range(32, 128, 16):
            last, until = struct.unpack_from("=II", card, note + 4)
            if card[note]:
                struct.pack_into("=II", card, note + 4, last - seconds, until - seconds)
        struct.pack_into("=I", card, 28, 0)
        struct.pack_into("=I", card, 28, xxhash.XXH3_64bits(bytes(card), 128) & 0xffffffff)
        f.seek(at)
        f.write(card)
        texts = f.seek(len(cards))
        found = f.read(32768 * 96)
        for at in range(0, len(found), 96): # what taught it, and since when
            if found[at:at + 17] == ip + b"\4" and found[at + 18:at + 20] == struct.pack("=H", port):
                f.seek(texts + at + 20)
                f.write(struct.pack("=I", struct.unpack_from("=I", found, at + 20)[0] - seconds))


class Run:
    """One scenario with one way of reaching it and one kind of sender."""

    def __init__(self, scenario, via, sender, number):
        self.scenario, self.via, self.has_sender = scenario, via, sender == "user"
        self.name = scenario.name
        if len(scenario.via) > 1:
            self.name += " by " + via
        if len(scenario.senders) > 1:
            self.name += " with a sender" if self.has_sender else " with the null sender"
        self.name += ": " + scenario.title
        self.domain = "d%d.example" % number
        self.mailbox = "s%d" % number
        self.sender = self.mailbox + "@heloise.example" if self.has_sender else ""
        self.places, self.peer = {}, None

    def prepare(self, tables, dns, port, own):
        """Listens, and says how the domain is reached."""
        for host in self.scenario.hosts:
            if self.via == "mx" or host == "a":
                self.places[host] = (new_address(), port)
                if self.scenario.hosts[host][1] == "unreachable":  # multicast: TCP has no route
                    self.places[host] = (self.places[host][0].replace("127.", "239.", 1), port)
                elif self.scenario.hosts[host][1] == "self":
                    self.places[host] = own
        self.peer = Peer(self.scenario, self.places)
        if self.via == "mx":
            for host, (address, _) in self.places.items():
                name = "%s.%s" % (host, self.domain)
                dns.add(self.domain, "MX", (self.scenario.hosts[host][0], name))
                dns.add(name, "A", address)
        else:
            tables["routes"].append("%s [%s]:%d" % (self.domain, *self.places["a"]))
        tables["retry"].append("%s %s" % (self.domain, self.scenario.retry))
        tables["mailboxes"].append("%s %s/" % (self.mailbox, self.mailbox))
        if self.scenario.peers:
            tables["peers"].append("%s %s" % (self.places["a"][0], self.scenario.peers))

    def play(self, instance, lock):
        try:
            for number, message in enumerate(self.scenario.messages):
                self.play_message(instance, lock, message)
            for s in self.peer.sessions:
                check(not s.complaints, "; ".join(s.complaints))
        except Exception as e:
            told = ["saw %s" % " | ".join(" ".join(s.commands) for s in self.peer.sessions)]
            with lock:
                told += ["log %s %s" % e for e in instance.read_log()
                         if e[0] == "step" and any(a in e[1].get("host", "") + e[1].get("reply", "")
                                                   for a, _ in self.places.values())
                         or self.domain in e[1].get("recipient", "")]
            return "%s: %s" % (type(e).__name__, e), told
        finally:
            self.peer.close()
        return None, []

    def play_message(self, instance, lock, message):
        """Sends it, and holds what came of it against what is expected."""
        sent = content(message.kind)
        for word, rest in message.expected:
            if word == "age":
                unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}[rest[-1]]
                grow_older(instance.dir + "/state/peers", *self.places["a"], int(rest[:-1]) * unit)
        before = len(self.peer.sessions)
        to = ["%s@%s" % (r, self.domain) for r in self.scenario.recipients]
        began = time.monotonic()
        dsn = message.kind == "dsn"
        number = instance.send(self.sender, to, sent, mail="RET=HDRS ENVID=QQ314159" if dsn else "",
                               rcpt="NOTIFY=FAILURE ORCPT=rfc822;some+2Bone@elsewhere.example" if dsn else "")
        last, seen = {}, {}
        for wanted in message.outcomes:
            wanted, _, who = wanted.partition(" for ")
            who = who or self.scenario.recipients[0]
            seen[who] = seen.get(who, 0) + 1
            last = self.outcome(instance, lock, number, who, seen[who])
            word, _, status = wanted.partition(" ")
            got = last[1]
            check(last[0] == word, "%s instead of %s (%s %s)" %
                  (last[0], word, got.get("status"), got.get("reply")))
            check(not status or matches_status(status, got["status"]),
                  "status %s instead of %s (%s)" % (got["status"], status, got["reply"]))
        took = time.monotonic() - began
        time.sleep(0.05)
        sessions = self.peer.sessions[before:]
        bounce = "no"
        for word, rest in message.expected:
            if word == "within":
                check(took < float(rest), "it took %.1f s" % took)
            elif word == "reply":
                check(rest.lower() in last[1]["reply"].lower(), "the reply says", last[1]["reply"])
            elif word == "all":
                self.check_sessions(self.peer.sessions, rest)
            elif word == "pause":
                time.sleep(float(rest))
            elif word == "memory":
                self.check_memory(instance, rest)
            elif word == "evidence":
                facts = json.dumps(self.memory(instance))
                check(json.dumps(rest)[1:-1] in facts, "no evidence", rest, "in", facts)
            elif word == "body":
                where = sessions or self.peer.sessions
                wait_for("a message", lambda: any(s.messages for s in where), 5)
                self.check_body(rest, sent, [m for s in where for m in s.messages][-1])
            elif word == "bounce":
                bounce = rest
            elif word == "age":
                pass
            elif word == "step":
                with lock:
                    steps = ["%s %s" % (e[1]["rung"], e[1]["event"])
                             for e in instance.find_events("step", id=number)]
                check(any(matches(rest, s) for s in steps), "no step", rest, "in", steps)
            else:
                getattr(self, "check_" + word)(sessions, rest)
        self.check_bounce(instance, bounce)
        if last and last[0] == "deferred":  # the next message, getting through, would call it
            instance.cli("queue", "remove", number)

    def outcome(self, instance, lock, number, who, count):
        def there():
            with lock:
                found = [e for e in instance.find_events("delivered deferred bounced", id=number)
                         if e[1]["recipient"] == "%s@%s" % (who, self.domain)]
            return found[count - 1:count]
        return wait_for("outcome %d for %s" % (count, who), there, PATIENCE)[0]

    # -- what a scenario may expect

    def check_sessions(self, sessions, wanted):
        def same():
            return [self.plain(s.verbs(), w) for s, w in zip(sessions, lists)] == lists \
                and len(sessions) == len(lists)
        lists = [] if wanted == "-" else [part.split() for part in wanted.split("|")]
        try:
            wait_for("the sessions", same, 3)  # a peer may see the last command a moment later
        except Failed:
            raise Failed("sessions were %s, not %s" %
                         (" | ".join(" ".join(s.verbs()) for s in sessions) or "-", wanted))

    @staticmethod
    def plain(verbs, wanted):
        return verbs[:-1] if verbs[-1:] == ["QUIT"] and wanted[-1:] != ["QUIT"] else verbs

    def check_seen(self, sessions, pattern):
        commands = [c for s in sessions for c in s.commands]
        check(any(matches(pattern, c) for c in commands), "no", pattern, "in", commands)

    def check_unseen(self, sessions, pattern):
        commands = [c for s in sessions for c in s.commands]
        check(not any(matches(pattern, c) for c in commands), pattern, "in", commands)

    def memory(self, instance):
        address, port = self.places["a"]
        cards = [json.loads(line) for line in
                 instance.cli("peers", "list", "--json", ok=True).text.splitlines()]
        return [c for c in cards if c.get("address") in (address, "%s:%d" % (address, port))]

    def check_memory(self, instance, wanted):
        def facts():
            return " ".join(json.dumps(c.get("facts", c)) for c in self.memory(instance))
        for word in wanted.split():
            if word == "none":
                check(not self.memory(instance), "remembered", facts())
            elif word[0] == "-":
                check('"%s"' % word[1:] not in facts(), "remembered", facts())
            else:
                try:
                    wait_for("a memory", lambda: '"%s"' % word in facts(), 5)
                except Failed:
                    raise Failed("%s is not remembered, but %s" % (word, facts() or "nothing"))

    def check_body(self, how, sent, got):
        if how == "same":
            check(got.endswith(sent), "the message changed: %r" % got[-300:])
            check(re.match(rb"received:", got, re.I), "no Received field")
            return
        check(max(got) < 128, "8-bit bytes in what was sent: %r" % got[-400:])
        longest = max(len(line) for line in got.split(b"\r\n"))
        check(longest <= 998, "a line of %d bytes" % longest)
        if how == "decoded":
            parts = [email.message_from_bytes(m, policy=email.policy.SMTP) for m in (sent, got)]
            bodies = [p.get_payload(decode=True).replace(b"\r\n", b"\n") for p in parts]
            check(bodies[0] == bodies[1], "decoded %r, not %r" % (bodies[1], bodies[0]))

    def check_bounce(self, instance, wanted):
        if not self.has_sender:
            return
        if wanted == "yes":
            wait_for("a report to the sender", lambda: instance.mail(self.mailbox), PATIENCE)
        else:
            check(not instance.mail(self.mailbox), "the sender got a report")


def matches_status(pattern, status):
    return re.fullmatch(pattern.replace(".", r"\.").replace("*", r"[0-9.]+"), status) is not None


def load(words):
    runs = []
    for path in sorted(glob.glob(HERE + "/*.peer")):
        if words and not any(w in path.rpartition("/")[2] for w in words):
            continue
        scenario = Scenario(path)
        for via in scenario.via:
            for sender in scenario.senders:
                runs.append(Run(scenario, via, sender, len(runs) + 1))
    return runs


def set_up(runs, keeps, dns, port, own):
    """The instance for these runs: one that keeps connections, or one that does not."""
    tables = {"routes": [], "retry": [], "mailboxes": [], "peers": [],
              "access": ["client:127.0.0.0/8 relay"]}
    for run in runs:
        run.prepare(tables, dns, port, own)
    clocks = {"timeout-" + n: "%ds" % CLOCK for n in
              ("connect", "greeting", "helo", "mail", "rcpt", "data", "data-end", "block",
               "starttls", "tls")}
    return Instance(settings=dict(clocks, **{
        "timeout-quit": "1s", "smtp-port": port, "dnssec": "no", "timeout-slow": "2s",
        "dns-servers": dns.setting, "timeout-dns": "5s",
        "session-reuse-idle": "10s" if keeps else "0"}),
        tables=tables, is_shared=True, address=own[0], port=own[1]).start()


def main():
    try:
        runs = load(sys.argv[2:])
    except ScenarioError as e:
        sys.exit(str(e))
    print("1..%d" % len(runs))
    sys.stdout.flush()
    dns = NameServer(new_address())
    port = free_port(new_address())
    instances = {}
    for keeps in ("no", "yes"):
        chosen = [run for run in runs if run.scenario.keeps == keeps]
        if chosen:
            own = new_address()
            own = own, free_port(own)
            instances[keeps] = set_up(chosen, keeps == "yes", dns, port, own), threading.Lock()
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        played = pool.map(lambda run: run.play(*instances[run.scenario.keeps]), runs)
        for number, (run, (error, told)) in enumerate(zip(runs, played), 1):
            tap_result(number, run.name, error, said=told)
            bad += error is not None
    stop_all()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
