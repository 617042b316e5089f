"""Mail that flows all the time, for tests that kill things meanwhile."""

import os
import threading
import time

from harness import Client, Failed, check, letter, wait_for

# so few attempts at once that what is repeated without need is more
ATTEMPTS, LOCAL = 3, 2
FEW = {"queue-attempts": ATTEMPTS, "local-attempts": LOCAL}
# how many deliveries may repeat when a program is killed: those that were under way. With run the
# intake dies too, and with it what the manager had told it, and it had not yet read
MAY_REPEAT = {"smtpd": 0, "auth": 0, "intake": 0, "resolve": 0, "queue": ATTEMPTS + LOCAL,
              "deliver": ATTEMPTS, "local": LOCAL, "run": 2 * (ATTEMPTS + LOCAL)}


class Flow:
    """Clients that send all the time; `taken` are the numbers of the messages that got 250."""

    def __init__(self, i, clients=4):
        self.i, self.taken, self.asked, self.lock, self.is_over = i, set(), [0], threading.Lock(), False
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def work(self):
        while not self.is_over:
            try:
                with Client(self.i, timeout=10) as c:
                    c.cmd("EHLO flow.example", 250)
                    while not self.is_over:
                        self.one(c)
                        time.sleep(0.02)
            except (OSError, Failed):
                time.sleep(0.1)

    def one(self, c):
        with self.lock:
            self.asked[0] += 1
            number = self.asked[0]
        c.cmd("MAIL FROM:<>", 250)
        c.cmd("RCPT TO:<%s>" % ("alice@heloise.example" if number % 2 else "x@busy.example"), 250)
        c.data(letter("flow", X_Number="n%d." % number))
        with self.lock:
            self.taken.add(number)

    def wait_more(self, count=10, patience=25):
        """Until that many more were acknowledged: mail flows (again)."""
        goal = len(self.taken) + count
        wait_for("mail to flow", lambda: len(self.taken) >= goal, patience)

    def stop(self):
        self.is_over = True
        for t in self.threads:
            t.join(15)


def numbers(messages):
    found = {}
    for m in messages:
        n = m.partition(b"X-Number: n")[2].partition(b".")[0]
        if n:
            found[int(n)] = found.get(int(n), 0) + 1
    return found


def settle(i, flow, sink, killed):
    """Waits until the queue is empty; every message acknowledged arrived, and twice only what was
    under way when one of `killed` was, programs by name."""
    flow.stop()
    wait_for("all is delivered", lambda: not i.queue() and not i.queue_files(), 60)
    got = numbers(sink.messages)
    for number, count in numbers(i.mail("alice")).items():
        got[number] = got.get(number, 0) + count
    lost = [n for n in flow.taken if n not in got]
    check(not lost, "%d of %d messages are lost: %s" % (len(lost), len(flow.taken), lost[:10]))
    again = sum(count - 1 for count in got.values())
    check(again <= sum(MAY_REPEAT[k] for k in killed), "%d messages came again, killed:" % again, *killed)
    check(not os.listdir(i.dir + "/queue/corrupt"), "files in queue/corrupt")
    print("# %d messages acknowledged, %d delivered again, %d kills" % (len(flow.taken), again, len(killed)))
