"""Mail of every kind through an instance that is about to be hurt, and what must be true after.

`Traffic` makes the instance, two servers and a client that sends one message of each kind;
`settle` brings everything to rest and checks: what was acknowledged has arrived (or its sender
has a report), nothing partial was delivered, and nothing came twice but what was in flight when
a program died. Each message bears its number and its length, so that half of one is noticed."""

import hashlib
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

from harness import Client, Failed, Instance, check, letter, wait_for  # noqa: E402
from sink import Sink  # noqa: E402

LARGE = 300 * 1024  # more than the intake keeps in memory

# kind: recipients; how each must end
KINDS = {
    "one": (["x@good.example"], "good"),
    "two": (["x@good.example", "y@later.example"], "good later"),
    "many": (["r%d@good.example" % n for n in range(5)], "good"),
    "later": (["y@later.example"], "later"),
    "bad": (["no@bad.example"], "report"),
    "both": (["x@good.example", "no@bad.example"], "good report"),
    "local": (["alice@heloise.example"], "alice"),
    "large": (["x@good.example"], "good"),
}
SENDER = "sender@heloise.example"  # a local mailbox: reports come there
REPORT = re.compile(rb"^X-Number: (\d+)", re.M)


def make_message(number, size):
    body = "".join("%06d %s\n" % (n, "x" * 60) for n in range(max(1, size // 68)))
    digest = hashlib.sha256(body.encode()).hexdigest()
    return letter("traffic", body, X_Number=number, X_Digest=digest)


def number_of(message):
    """The number of a whole message; raises when part of it is missing."""
    head, _, body = message.replace(b"\r\n", b"\n").partition(b"\n\n")
    found = re.search(rb"^X-Number: (\d+)$", head, re.M)
    digest = re.search(rb"^X-Digest: (\w+)$", head, re.M)
    check(found and digest, "a message arrived without its header:", head[:200])
    check(hashlib.sha256(body).hexdigest().encode() == digest.group(1),
          "message %s arrived in part: %d bytes" % (found.group(1).decode(), len(body)))
    return int(found.group(1))


class Traffic:
    """journal: the setting queue-journal, or None where the instance decides."""

    def __init__(self, settings=None, **how):
        self.good = Sink()
        self.later = Sink([("RCPT TO:<*", "450 4.2.0 not yet")])
        self.bad = Sink([("RCPT TO:<*", "550 5.1.1 no such user here")])
        routes = ["%s.example %s" % (name, getattr(self, name).route) for name in ("good", "later", "bad")]
        self.i = Instance(tables={"access": ["client:127.0.0.0/8 relay"], "routes": routes,
                                  "mailboxes": ["alice alice/", "sender sender/"],
                                  "retry": ["* every 1s life 1d"]}, settings=settings, **how)
        self.kind, self.taken, self.unsure = {}, set(), set()
        self.lock = threading.Lock()
        self.is_cut = False  # clients give up

    # ---- sending

    def client(self, kinds, rounds, patience):
        """Sends until each message has a 250. One that got another answer after its dot, or
        none, is unsure: it may be there as well, and the client sends it again."""
        todo = [k for _ in range(rounds) for k in kinds]
        end = time.monotonic() + patience
        number = None
        while todo and time.monotonic() < end and not self.is_cut:
            if number is None:
                with self.lock:
                    number = len(self.kind) + 1
                    self.kind[number] = todo[0]
            if self.send_one(number, todo[0]):
                todo.pop(0)
                number = None
            else:
                time.sleep(0.2)
        if todo and not self.is_cut:
            raise Failed("no mail was taken for %d s" % patience)

    def send_one(self, number, kind):
        recipients, _ = KINDS[kind]
        has_dot = False
        try:
            with Client(self.i, timeout=15) as c:
                c.cmd("EHLO client.example", 250)
                c.cmd("MAIL FROM:<%s>" % SENDER, 250)
                for r in recipients:
                    c.cmd("RCPT TO:<%s>" % r, 250)
                c.cmd("DATA", 354)
                c.raw(make_message(number, LARGE if kind == "large" else 2000).replace("\n", "\r\n"))
                has_dot = True
                c.raw(".\r\n")
                r = c.reply()
                if r.code == 250:
                    with self.lock:
                        self.taken.add(number)
                    return True
                check(400 <= r.code < 500, "the message was refused for good:", r)
                raise ConnectionError
        except Failed as e:
            check(re.search(r"answered 4\d\d", str(e)), "not a temporary refusal:", e)
        except OSError:
            if has_dot:
                with self.lock:
                    self.unsure.add(number)
        return False

    def send(self, kinds=tuple(KINDS), rounds=1, clients=2, patience=40):
        """All kinds from each of a few clients at once."""
        failed = []

        def work():
            try:
                self.client(kinds, rounds, patience)
            except Exception as e:  # told by the thread that started us
                failed.append(e)
        threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if failed:
            raise failed[0]

    # ---- afterwards

    def arrived(self):
        """{where: {number: how often}}; where: good, later, alice, report."""
        got = {"good": {}, "later": {}, "alice": {}, "report": {}}
        for where in ("good", "later"):
            for m in getattr(self, where).messages:
                n = number_of(m)
                got[where][n] = got[where].get(n, 0) + 1
        for m in self.i.mail("alice"):
            n = number_of(m[m.index(b"\nReceived: ") + 1:] if b"\nReceived: " in m else m)
            got["alice"][n] = got["alice"].get(n, 0) + 1
        for m in self.i.mail("sender"):
            n = int(REPORT.search(m.replace(b"\r\n", b"\n")).group(1))
            got["report"][n] = got["report"].get(n, 0) + 1
        return got

    def is_empty(self):
        r = self.i.cli("queue", "list", "--json")
        return r.returncode == 0 and not r.text

    def settle(self, may_repeat=0, once_more=(), reports_too=False, patience=90):
        """may_repeat: how many deliveries may have been made twice; once_more: messages of which each
        may have been; reports_too: failure reports whose taking was not heard of are made again."""
        self.later.drop_rules()
        # twice: a report is durable a moment before the manager hears of it
        wait_for("the queue to be empty", lambda: self.is_empty() and not time.sleep(0.3) and self.is_empty(),
                 patience)
        got = self.arrived()
        missing, again, once = [], [], 0
        for number in self.taken:
            for where in KINDS[self.kind[number]][1].split():
                count = got[where].get(number, 0)
                if count < 1:
                    missing.append("%d %s at %s" % (number, self.kind[number], where))
                if number in self.unsure or (reports_too and where == "report"):
                    continue
                if count == 2 and number in once_more:
                    once += 1
                else:
                    again += ["%d %s at %s" % (number, self.kind[number], where)] * (count - 1)
        check(not missing, "%d of %d acknowledged are missing: %s" % (len(missing), len(self.taken), missing[:8]))
        check(len(again) <= may_repeat, "delivered again: %s" % again[:8])
        corrupt = os.listdir(self.i.dir + "/queue/corrupt")
        check(not corrupt, "in queue/corrupt:", corrupt)
        return len(again) + once

    def end(self):
        for s in (self.good, self.later, self.bad):
            s.close()
        self.i.stop(quietly=True)
