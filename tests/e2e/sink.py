"""An ordinary SMTP server for tests: takes everything, remembers every session."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers"))

from harness import free_port, new_address  # noqa: E402
from peer import Peer  # noqa: E402


class _Everything:
    """In a scenario's place: every connection plays the same script."""

    def __init__(self, script):
        self.hosts, self.scripts = {"a": (10, "up")}, {"a": _Endless(script)}


class _Endless:
    def __init__(self, script):
        self.script = script

    def __iter__(self):
        return iter([self.script] * 100000)


class Sink(Peer):
    """rules: [(pattern, answer)] and offers as in scenario files."""

    def __init__(self, rules=(), offers=("PIPELINING", "8BITMIME", "SIZE 50000000"), address=None, port=None):
        self.address = address or new_address()
        self.port = port or free_port(self.address)
        self.rules, self.offers = list(rules), list(offers)
        self.script = [("send", "220 sink.example ESMTP")] + [("offer", o) for o in self.offers] + \
            [("on", p, a) for p, a in self.rules] + [("serve", "")]
        super().__init__(_Everything(self.script), {"a": (self.address, self.port)})

    def drop_rules(self):
        """From the next connection on everything is taken."""
        self.script[:] = [step for step in self.script if step[0] != "on"]

    @property
    def route(self):
        return "[%s]:%d" % (self.address, self.port)

    @property
    def messages(self):
        return [m for s in list(self.sessions) for m in s.messages]

    @property
    def commands(self):
        return [c for s in list(self.sessions) for c in s.commands]
