"""A full disk: 452 to the client, nothing half-queued, and mail again once there is room."""

import os
import shutil
import subprocess
import time

from harness import Client, check, equal, letter, main, test, wait_for
from sink import Sink
from smalldisk import Small


def refusal(i, text):
    """What the client is told, wherever it is told."""
    with Client(i) as c:
        c.cmd("EHLO x.example", 250)
        for command in ("MAIL FROM:<s@client.example>", "RCPT TO:<alice@heloise.example>", "DATA"):
            r = c.cmd(command)
            if r.code not in (250, 354):
                return r
        c.raw(text.replace("\n", "\r\n") + ".\r\n")
        r = c.reply()
        c.cmd("NOOP", 250)
        return r


@test("a full disk: 452 4.3.1, nothing is left behind, and mail is taken again when there is room")
def full():
    with Small() as small:
        i = small.i
        i.wait_event("delivered", id=i.send("s@client.example", "alice@heloise.example"))
        filler = small.fill()
        for _ in range(3):
            r = refusal(i, letter("full", "x" * 70 + "\n"))
            check(r.code == 452 and r.text.startswith("4.3.1 "), r)
        os.unlink(filler)
        wait_for("mail is taken again", lambda: refusal(i, letter("room")).code == 250, 10)
        wait_for("it is delivered", lambda: any(b"Subject: room" in m for m in i.mail("alice")))
        check(not any(b"Subject: full" in m for m in i.mail("alice")), "a refused message was delivered")
        wait_for("nothing is left", lambda: not i.queue_files() and not os.listdir(small.queue + "/tmp"), 5)


@test("a message that fills the disk half way is refused, a small one goes through")
def half_way():
    with Small() as small:
        i = small.i
        r = refusal(i, letter("too much for it", ("y" * 99 + "\n") * 80000))
        check(r.code == 452 and r.text.startswith("4.3.1 "), r)
        wait_for("a small one", lambda: refusal(i, letter("small")).code == 250, 10)
        wait_for("it is delivered", lambda: any(b"Subject: small" in m for m in i.mail("alice")))
        wait_for("nothing is left", lambda: not i.queue_files() and not os.listdir(small.queue + "/tmp"), 5)


@test("less room than queue-min-free: 452 before the disk is full")
def reserve():
    with Small() as small:
        i = small.i
        i.cli("set", "queue-min-free", "1g", ok=True)
        i.cli("reload", ok=True)
        wait_for("the setting", lambda: refusal(i, letter("reserve")).code == 452, 5)
        i.cli("set", "queue-min-free", "0", ok=True)
        i.cli("reload", ok=True)
        wait_for("the setting", lambda: refusal(i, letter("reserve")).code == 250, 5)


@test("sendmail on a full disk: exit 75, and no half file in queue/drop")
def sendmail_full():
    with Small() as small:
        i = small.i
        i.stop()
        filler = small.fill()
        r = i.sendmail("alice@heloise.example", stdin=letter("dropped", "z" * 70000 + "\n"))
        check(r.returncode in (73, 75), "exit", r.returncode, r.error)
        os.unlink(filler)
        i.start()
        time.sleep(1.5)
        check(not any(b"Subject: dropped" in m for m in i.mail("alice")), "half a message was delivered")


def deferring(**how):
    """A small disk; a server that says 450, and the message that waits for it."""
    sink = Sink([("RCPT TO:<late@*", "450 4.2.1 later")])
    return sink, Small(access=["client:127.0.0.0/8 relay"], routes=["peer.example " + sink.route],
                       retry=["* every 1s life 1d"], **how)


@test("no free inodes: 452, delivery goes on, and mail is taken again when there are some")
def inodes():
    sink, disk = deferring(megabytes=8, inodes=1000)
    with disk as small:
        i = small.i
        number = i.send("s@client.example", "late@peer.example")
        i.wait_event("deferred", id=number)
        filler = small.use_inodes()
        r = wait_for("a refusal", lambda: (lambda r: r.code != 250 and r)(refusal(i, letter("full"))), 5)
        check(r.code == 452 and r.text.startswith("4.3.1 "), r)
        sink.drop_rules()
        i.wait_event("delivered", id=number)
        shutil.rmtree(filler)
        wait_for("mail is taken again", lambda: refusal(i, letter("room")).code == 250, 10)
        wait_for("it is delivered", lambda: any(b"Subject: room" in m for m in i.mail("alice")))
        i.wait_queue(0)
        equal(len(sink.messages), 1)


@test("a queue that is read-only: 452, what is delivered is not delivered again, and all goes on when it is not")
def read_only():
    sink, disk = deferring(settings={"queue-journal": "no", "transcript-keep": "0"})  # a file open for writing forbids it
    with disk as small:
        i = small.i
        number = i.send("s@client.example", "late@peer.example")
        i.wait_event("deferred", id=number)
        wait_for("it can be made read-only", lambda: not is_busy(small), 10)
        r = refusal(i, letter("full"))
        check(r.code == 452 and r.text.startswith("4.3.1 "), r)
        check(i.sendmail("alice@heloise.example", stdin=letter("by hand")).returncode in (73, 75), "sendmail took it")
        sink.drop_rules()
        i.wait_event("delivered", id=number)
        time.sleep(3)  # three times it would be due
        equal(len(sink.messages), 1)
        small.remount("rw")
        wait_for("mail is taken again", lambda: refusal(i, letter("room")).code == 250, 10)
        wait_for("it is delivered", lambda: any(b"Subject: room" in m for m in i.mail("alice")))
        i.wait_queue(0, patience=30)
        equal(len(sink.messages), 1)
        equal(i.find_events("died"), [])


def is_busy(small):
    try:
        small.remount("ro")
    except subprocess.CalledProcessError:
        return True
    return False


@test("a full disk where peer memory lies: what is learned is lost, mail goes out; cut short: the same")
def memory_full():
    sink = Sink([("EHLO", "502 what?"), ("RCPT TO:<late@*", "450 4.2.1 later")])
    with Small(where="state", settings={"session-reuse-idle": "0"},  # each message learns for itself
               access=["client:127.0.0.0/8 relay"],
               routes=["peer.example " + sink.route, "up.example " + Sink().route]) as small:
        i = small.i
        i.wait_event("delivered", id=i.send("", "x@up.example"))  # the files are open
        small.fill()
        number = i.send("", "late@peer.example")
        i.wait_event("deferred", id=number)
        told = i.cli("queue", "why", number, ok=True).text
        check("could not be remembered: EHLO fails" in told and "remembered about" not in told, told)
        equal(i.find_events("learned"), [])
        check(i.find_events("failed"), i.log_text())
        for _ in range(2):
            i.wait_event("delivered", id=i.send("", "x@peer.example"))
        for name in "peers", "offers":
            os.truncate(small.queue + "/" + name, 0)
        small.fill()
        for _ in range(2):
            i.wait_event("delivered", id=i.send("", "x@peer.example"))
        equal(len(sink.messages), 4)
        equal(i.find_events("attempt_died") + i.find_events("died"), [])


if __name__ == "__main__":
    main()
