"""What the crash tests have in common: who is hurt, over which forms of the queue, how often."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

from flow import ATTEMPTS, FEW, LOCAL  # noqa: E402
from traffic import Traffic  # noqa: E402

IS_FULL = os.environ.get("CRASH") == "full"
LIMIT = 7200 if IS_FULL else 500  # seconds for a test

# who is hurt: the program that is attached to, whether its children are hurt instead, and how many
# deliveries that may repeat. The intake and smtpd make none (but a report whose taking was not
# heard of comes again); what the manager, a spawner or an attempt had not yet marked is repeated.
VICTIMS = {
    "intake": ("intake", False, 0), "smtpd": ("smtpd", False, 0), "queue": ("queue", False, ATTEMPTS + LOCAL),
    "deliver": ("deliver", False, ATTEMPTS), "attempt": ("deliver", True, ATTEMPTS),
    "local": ("local", False, LOCAL), "local delivery": ("local", True, LOCAL),
}
FORMS = ("yes", "no")  # setting queue-journal


def pid_of(t, victim):
    """Whom strace is attached to. Attempts are cloned from heloise-deliver's stem."""
    return t.i.of_deliver("stem")[0] if victim == "attempt" else t.i.pids()[VICTIMS[victim][0]]


def make(journal):
    """Traffic through an instance in which everything has worked once."""
    t = Traffic(settings={"queue-journal": journal, **FEW})
    t.i.start()
    t.send(kinds=("one", "local"), rounds=1, clients=1)
    t.settle()
    return t
