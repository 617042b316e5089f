"""Power cuts: the queue lies on a file system in a loop device, a program is stopped at a system
call, and the file system is shut down without flushing its log (DURABILITY.md). After mounting
it again every acknowledged message is there.

usage: test_power.py BUILD [ext4|xfs]     CRASH=full takes every place and both file systems

Root only, with loop devices."""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

from harness import IS_ROOT, Failed, Skip, check, main, test, wait_for  # noqa: E402
from cases import FORMS, IS_FULL, LIMIT  # noqa: E402
from inject import CHANGING, Injection, only_with_strace, places  # noqa: E402
from traffic import KINDS, Traffic  # noqa: E402

EACH = 25 if IS_FULL else 1
SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32): the same for ext4 and XFS
NO_LOG_FLUSH = 2
FLUSHED = 2  # seconds: what was delivered so long ago is not delivered again
MAKE = {"ext4": (["mkfs.ext4", "-q", "-F"], 64), "xfs": (["mkfs.xfs", "-q", "-f"], 320)}  # megabytes
# what makes a file system change; a program that dies between two of these is test_kill.py's
ON_DISK = [c for c in CHANGING if c not in ("sendto", "sendmsg", "connect", "write", "memfd_create")
           and not c.startswith("clone") and not c.endswith("fork")]


def run(*command):
    r = subprocess.run(command, capture_output=True, text=True)
    if r.returncode != 0:
        raise Skip("%s: %s" % (" ".join(command[:3]), (r.stdout + r.stderr).strip()[:200]))


class Disk:
    """The instance's queue on a file system of its own."""

    def __init__(self, traffic, kind):
        self.i, self.kind = traffic.i, kind
        self.queue, self.image = self.i.dir + "/queue", self.i.top + "/disk"
        make, megabytes = MAKE[kind]
        with open(self.image, "wb") as f:
            f.truncate(megabytes << 20)
        run(*make, self.image)
        shutil.move(self.queue, self.i.top + "/saved")
        os.mkdir(self.queue)
        self.mount()
        subprocess.run("cp -a '%s/saved'/. '%s' && sync -f '%s'" % (self.i.top, self.queue, self.queue), shell=True,
                       check=True)

    def mount(self):
        run("mount", "-o", "loop", "-t", self.kind, self.image, self.queue)

    def unmount(self):
        wait_for("the file system to be free", lambda: subprocess.run(
            ["umount", self.queue], capture_output=True).returncode == 0 or not os.path.ismount(self.queue), 10)

    def cut(self):
        fd = os.open(self.queue, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def end(self):
        if os.path.ismount(self.queue):
            subprocess.run(["umount", "-l", self.queue], capture_output=True)


def make(kind, journal):
    if not IS_ROOT:
        raise Skip("only root can mount a file system and cut it off")
    if not shutil.which(MAKE[kind][0][0]):
        raise Skip(MAKE[kind][0][0] + " is not installed")
    t = Traffic(settings={"queue-min-free": "0", "queue-journal": journal})
    disk = Disk(t, kind)
    t.i.start()
    t.send(kinds=("one", "local"), rounds=1, clients=1)
    t.settle()
    return t, disk


def kill_all(i):
    """Power does not ask: everything ends at once."""
    pids = list(i.pids().values())
    i.process.kill()
    i.process.wait()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    wait_for("the programs are gone", lambda: not any(os.path.exists("/proc/%d" % p) for p in pids))


def watched(victim, kind, journal):
    t, disk = make(kind, journal)
    try:
        watch = Injection(t.i.pids()[victim], watch=ON_DISK)
        try:
            t.send()
            t.settle()
            return watch.counts()
        finally:
            watch.end()
    finally:
        t.end()
        disk.end()


def sending(t):
    """Clients that send until they are cut off."""
    def work():
        try:
            t.send(patience=30)
        except Failed:
            pass
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def cut_at(victim, kind, journal, call, n):
    """Returns whether the call was met before everything was done, and what came again."""
    t, disk = make(kind, journal)
    try:
        time.sleep(FLUSHED)
        before = set(t.kind)
        stop = Injection(t.i.pids()[victim], "%s:signal=STOP:when=%d" % (call, n))
        try:
            clients = sending(t)
            end = time.monotonic() + 6
            while not stop.has_struck() and time.monotonic() < end:
                if not clients.is_alive():
                    t.later.drop_rules()  # what was deferred is delivered: transitions too
                time.sleep(0.02)
            time.sleep(0.2)  # the others come to a halt at what they wait for
            disk.cut()
            t.is_cut = True
            kill_all(t.i)
        finally:
            stop.end()
        clients.join(40)
        disk.unmount()
        disk.mount()
        t.is_cut = False
        of_the_cut = set(t.kind) - before
        t.i.start()
        t.send()
        return stop.met, t.settle(once_more=of_the_cut, reports_too=True)
    except Failed as e:
        raise Failed("power cut with %s at %s %d on %s, queue-journal %s: %s" % (victim, call, n, kind, journal, e))
    finally:
        t.end()
        disk.end()


def cut_everywhere(victim, kind, journal):
    only_with_strace()
    counts = watched(victim, kind, journal)
    where = list(places(counts, ON_DISK, EACH))
    check(where, "the program changed nothing on the disk")
    met, again = 0, 0
    for call, n in where:
        hit, repeated = cut_at(victim, kind, journal, call, n)
        met += hit
        again += repeated
    print("# %s on %s, queue-journal %s: cut at %d of %d places, %d deliveries repeated" %
          (victim, kind, journal, met, len(where), again))
    check(met * 2 >= len(where), "only %d of %d places were met" % (met, len(where)))


def add(victim, kind, journal):
    @test("power is cut on %s with %s at each call that changes the disk, queue-journal %s: what was "
          "acknowledged is there" % (kind, victim, journal), limit=LIMIT)
    def cut():
        cut_everywhere(victim, kind, journal)


def add_end(kind, journal):
    @test("power is cut on %s right after an orderly end, queue-journal %s: nothing is lost, nothing comes again" %
          (kind, journal), limit=LIMIT)
    def end():
        t, disk = make(kind, journal)
        try:
            t.send()
            wait_for("the good ones to arrive", lambda: len(t.good.messages) > len(KINDS))
            t.i.stop()
            disk.cut()
            disk.unmount()
            disk.mount()
            t.i.start()
            t.send()
            t.settle()
        finally:
            t.end()
            disk.end()


for _kind in ("ext4", "xfs") if IS_FULL else ("ext4",):
    for _journal in FORMS:
        add_end(_kind, _journal)
    for _victim in ("intake", "queue"):
        for _journal in FORMS:
            add(_victim, _kind, _journal)

if __name__ == "__main__":
    main()
