"""Programs killed while mail flows: nothing that was acknowledged is lost."""

import os
import signal
import threading
import time

from harness import Client, Failed, Instance, check, letter, main, test, wait_for
from sink import Sink

IN_FLIGHT = 20  # attempts per destination that a kill may repeat (DESIGN.md 2)


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


def settle(i, flow, sink, kills):
    """Waits until the queue is empty; every message acknowledged arrived, few of them twice."""
    flow.stop()
    wait_for("all is delivered", lambda: not i.queue_files(), 60)
    got = numbers(sink.messages)
    for number, count in numbers(i.mail("alice")).items():
        got[number] = got.get(number, 0) + count
    lost = [n for n in flow.taken if n not in got]
    check(not lost, "%d of %d messages are lost: %s" % (len(lost), len(flow.taken), lost[:10]))
    again = sum(count - 1 for count in got.values())
    check(again <= 2 * IN_FLIGHT * kills, "%d messages came again after %d kills" % (again, kills))
    check(not os.listdir(i.dir + "/queue/corrupt"), "files in queue/corrupt")
    print("# %d messages acknowledged, %d delivered again, %d kills" % (len(flow.taken), again, kills))


def make():
    sink = Sink()
    i = Instance(tables={"access": ["client:127.0.0.0/8 relay"], "mailboxes": ["alice alice/"],
                         "routes": ["busy.example " + sink.route],
                         "retry": ["* every 1s life 1d"]})
    i.start()
    return i, sink


def kill_in_turn(name):
    i, sink = make()
    flow = Flow(i)
    flow.wait_more()
    for _ in range(2):
        before = wait_for(name, lambda: i.pids().get(name))
        os.kill(before, signal.SIGKILL)
        wait_for(name + " is started again", lambda: i.pids().get(name) not in (None, before), 15)
        flow.wait_more()
    check(i.find_events("died"), "no line in the log")
    settle(i, flow, sink, 2)


def add(name):
    @test("%s is killed twice while mail flows: it comes back, nothing is lost" % name, limit=120)
    def killed():
        kill_in_turn(name)


for _name in ("smtpd", "auth", "intake", "queue", "deliver", "resolve", "local"):
    add(_name)


@test("an attempt that is killed is repeated; others go on", limit=120)
def attempt_killed():
    slow = Sink([("RCPT TO:<slow@*", "hang")])
    i = Instance(tables={"access": ["client:127.0.0.0/8 relay"], "routes": ["busy.example " + slow.route],
                         "retry": ["* every 2s life 1d"]}, settings={"timeout-rcpt": "60s"})
    i.start()
    number = i.send("", "slow@busy.example")
    wait_for("the attempt hangs", lambda: any("RCPT" in c for c in slow.commands))
    (attempt,) = i.of_deliver("attempt")
    os.kill(attempt, signal.SIGKILL)
    i.wait_event("attempt_died", id=number)
    i.wait_event("attempt", id=number, count=2)
    check(i.pids().get("deliver"), "the spawner is gone")
    i.wait_event("delivered", id=i.send("", "other@busy.example"))


@test("run itself is killed while mail flows, twice: nothing is lost", limit=120)
def run_killed():
    i, sink = make()
    flow = Flow(i)
    for _ in range(2):
        flow.wait_more()
        pids = i.pids()
        os.kill(i.process.pid, signal.SIGKILL)
        i.process.wait()
        wait_for("the programs are gone",
                 lambda: not any(os.path.exists("/proc/%d" % p) for p in pids.values()))
        i.start()
    flow.wait_more()
    settle(i, flow, sink, 2)


@test("run is stopped and started while mail flows: nothing is lost", limit=120)
def restarted():
    i, sink = make()
    flow = Flow(i)
    for _ in range(2):
        flow.wait_more()
        i.restart()
    flow.wait_more()
    settle(i, flow, sink, 2)


if __name__ == "__main__":
    main()
