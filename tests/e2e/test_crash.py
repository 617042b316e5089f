"""Programs killed while mail flows: nothing that was acknowledged is lost."""

import os
import signal

from flow import FEW, Flow, settle
from harness import Instance, check, main, test, wait_for
from sink import Sink

def make():
    sink = Sink()
    i = Instance(tables={"access": ["client:127.0.0.0/8 relay"], "mailboxes": ["alice alice/"],
                         "routes": ["busy.example " + sink.route],
                         "retry": ["* every 1s life 1d"]}, settings=FEW)
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
    settle(i, flow, sink, [name] * 2)


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
    settle(i, flow, sink, ["run"] * 2)


@test("run is stopped and started while mail flows: nothing is lost, nothing comes again", limit=120)
def restarted():
    i, sink = make()
    flow = Flow(i)
    for _ in range(2):
        flow.wait_more()
        i.restart()
    flow.wait_more()
    settle(i, flow, sink, [])


if __name__ == "__main__":
    main()
