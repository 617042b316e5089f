"""Queues filled by the store's own code (tests/bench/fill.c), and eyes on their directories."""

import ctypes
import os
import select
import shutil
import struct
import subprocess
import threading

from harness import Failed, build_dir


def fill(i, count, due, domains):
    """Messages of an instance that is down, each deferred once; due: seconds, or "3600-7200"."""
    tool = shutil.copy(build_dir() + "/tests/fill", i.top)  # where who runs the instance can start it
    subprocess.run([tool, i.dir, str(count), str(due)] + domains, check=True, **i.as_user())


def resident(pid):
    """Bytes of memory that a program has now."""
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS:"))


class Watch:
    """Counts what is done to the files of a queue's directories: `opened`, `renamed`, `made`, `gone`."""

    EVENTS = {0x20: "opened", 0x80: "renamed", 0x100: "made", 0x200: "gone"}

    def __init__(self, i, states=("new", "cur", "hold")):
        self.seen, self.is_over, libc = dict.fromkeys(self.EVENTS.values(), 0), False, ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        for state in states:
            for n in range(64):
                path = "%s/queue/%s/%02o" % (i.dir, state, n)
                if libc.inotify_add_watch(self.fd, path.encode(), sum(self.EVENTS)) < 0:
                    raise Failed("inotify: " + os.strerror(ctypes.get_errno()))
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while select.select([self.fd], [], [], 0.05)[0] or not self.is_over:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                continue
            while data:
                _, mask, _, length = struct.unpack_from("iIII", data)
                if mask & 0x4000:
                    self.seen["lost"] = 1
                if not mask & 0x40000000:  # of a file, not of the directory itself
                    for bit, what in self.EVENTS.items():
                        self.seen[what] += bool(mask & bit)
                data = data[16 + length:]

    def end(self):
        """What was done, when all of it is read."""
        self.is_over = True
        self.thread.join()
        os.close(self.fd)
        if "lost" in self.seen:
            raise Failed("inotify lost events")
        return self.seen
