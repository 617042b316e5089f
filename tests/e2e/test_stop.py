"""An orderly end, and the start after it: nothing is lost, and nothing is delivered again."""

import re
import threading
import time

from flow import Flow, settle
from harness import Instance, equal, letter, main, test, wait_for
from sink import Sink
from peer import Connection  # noqa: E402  (sink.py knows where)


class Thoughtful(Sink):
    """Has a message, and answers a moment later."""

    def __init__(self, seconds):
        self.came = came = []

        class Late(Connection):
            def message(self):
                super().message()
                came.append(int(re.search(rb"Subject: number (\d+)", self.session.messages[-1]).group(1)))
                time.sleep(seconds)
        self.connection = Late
        super().__init__()


def instance(route, journal):
    return Instance(settings={"queue-journal": journal}, tables={
        "access": ["client:127.0.0.0/8 relay"], "mailboxes": ["alice alice/"],
        "routes": ["busy.example " + route], "retry": ["* every 1s life 1d"]}).start()


@test("deliveries that wait for their last answer when the end comes are not made again")
def last_answers():
    for journal in ("yes", "no"):
        sink = Thoughtful(0.5)
        i = instance(sink.route, journal)
        for n in range(4):
            i.send("a@client.example", "x@busy.example", letter("number %d" % n))
        wait_for("all are there", lambda: len(sink.came) == 4)
        i.restart()
        i.wait_queue(0)
        equal(sorted(sink.came), [0, 1, 2, 3])
        i.stop(quietly=True)


@test("an attempt that hangs holds the end up for a moment only, and is made again at once after the start, uncharged")
def hanging():
    sink = Sink([("RCPT*", "hang")])
    i = instance(sink.route, "no")
    number = i.send("a@client.example", "x@busy.example", letter("number 1"))
    wait_for("the attempt hangs", lambda: any("RCPT" in c for c in sink.commands))
    i.stop()
    (m,) = i.queue()
    equal((m["id"], m["state"], m["recipients"][0]["attempts"]), (number, "new", 0))
    sink.drop_rules()
    i.start()
    i.wait_queue(0)
    equal(len(sink.messages), 1)


@test("a report that is being made when the end comes is made once")
def reports():
    for _ in range(3):
        i = instance("error:5.7.1 not there", "yes")
        threads = [threading.Thread(target=i.send, args=("alice@heloise.example", "x@busy.example")) for _ in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        i.restart()
        i.wait_queue(0)
        equal(len(i.mail("alice")), 10)
        i.stop(quietly=True)


@test("ends and starts under load: nothing is lost, nothing comes again", limit=180)
def under_load():
    sink = Sink()
    i = instance(sink.route, "yes")
    flow = Flow(i, clients=4)
    for _ in range(4):
        flow.wait_more(30)
        i.restart()
    settle(i, flow, sink, [])


if __name__ == "__main__":
    main()
