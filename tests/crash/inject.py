"""Faults at system calls of a running program, by strace's injection.

Every call that changes something outside the program's memory is a place where it may die, be
stopped by a power cut, or be told no. `Injection` attaches to a running program with all its
threads; `when` counts from there, for each thread (and each child, if they are followed) by
itself. Root only: the programs make themselves undumpable."""

import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

from harness import IS_ROOT, Failed, Skip, wait_for  # noqa: E402

# what changes a file, a directory, a peer or another program
CHANGING = ("write pwrite64 writev pwritev pwritev2 sendto sendmsg rename renameat renameat2 link linkat unlink "
            "unlinkat mkdir mkdirat ftruncate fallocate fsync fdatasync sync_file_range memfd_create "
            "connect clone clone3 fork vfork").split()
# and may fail for reasons that are not ours
FAILING = {
    "write": "EIO EINTR", "pwrite64": "ENOSPC EIO EINTR", "writev": "ENOSPC EIO EINTR",
    "pwritev": "ENOSPC EIO EINTR", "openat": "EMFILE ENFILE ENOMEM", "renameat": "ENOSPC EIO", "renameat2": "ENOSPC EIO",
    "unlinkat": "EIO", "fsync": "EIO", "fdatasync": "EIO ENOSPC", "sync_file_range": "EIO",
    "pread64": "EIO", "memfd_create": "EMFILE ENOMEM", "mmap": "ENOMEM", "socketpair": "EMFILE",
    "clone": "EAGAIN", "clone3": "EAGAIN", "sendmsg": "ENOBUFS EINTR", "sendto": "ENOBUFS EINTR",
    "socket": "EMFILE", "getdents64": "EIO", "fallocate": "ENOSPC",
}


def only_with_strace():
    if not IS_ROOT:
        raise Skip("only root can trace the programs")
    if not shutil.which("strace"):
        raise Skip("strace is not installed")


class Injection:
    """what: a rule after `inject=`, such as fdatasync:signal=KILL:when=3; None only watches.
    follows: children that are forked from now on are traced as well, and the tracing ends when the
    rule has met its first call, so that not each of them meets it (unless it `stays`)."""

    def __init__(self, pid, what=None, watch=CHANGING, follows=False, stays=False):
        only_with_strace()
        self.dir = tempfile.mkdtemp(prefix="heloise-strace-")
        self.log = self.dir + "/log"
        self.met = False
        args = ["strace", "-qq", "-o", self.log] + (["-f"] if follows else [])
        if what:
            args += ["-e", "trace=" + what.split(":")[0], "-e", "inject=" + what]
        else:
            args += ["-e", "trace=" + ",".join("?" + w for w in watch)]
        tasks = [str(pid)] if follows else os.listdir("/proc/%d/task" % pid)
        self.process = subprocess.Popen(args + [a for t in tasks for a in ("-p", t)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_for("strace to attach", lambda: self.is_traced(pid), 10)
        except Failed:
            self.end()
            raise
        if what and follows and not stays:
            threading.Thread(target=self.end_when_met, daemon=True).start()

    def end_when_met(self):
        while self.process.poll() is None and not self.has_struck():
            time.sleep(0.02)
        self.detach()

    def is_traced(self, pid):
        if self.process.poll() is not None and not self.text():
            raise Failed("strace: " + self.process.stderr.read().decode("utf-8", "replace"))
        try:
            tasks = os.listdir("/proc/%d/task" % pid)
        except OSError:
            return True  # gone already
        for t in tasks:
            try:
                with open("/proc/%d/task/%s/status" % (pid, t)) as f:
                    if not re.search(r"^TracerPid:\t[1-9]", f.read(), re.M):
                        return False
            except OSError:
                pass
        return True

    def text(self):
        try:
            with open(self.log, encoding="latin-1") as f:
                return f.read()
        except OSError:
            return ""

    def has_struck(self):
        """Whether the rule has met its call."""
        text = self.text()
        self.met = self.met or "(INJECTED)" in text or "+++ killed by" in text or "--- SIGSTOP" in text
        return self.met

    def detach(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def end(self):
        self.has_struck()
        self.detach()
        self.process.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def counts(self):
        """{call: how often the busiest thread or process made it}."""
        by = collections.Counter()
        for line in self.text().splitlines():
            m = re.match(r"(?:(\d+) +)?(\w+)\(", line)
            if m:
                by[m.group(2), m.group(1)] += 1
        most = {}
        for (call, _), n in by.items():
            most[call] = max(most.get(call, 0), n)
        return most


def places(counts, calls, each):
    """(call, n) for at most `each` occurrences of each call, spread over all of them."""
    for call in calls:
        n = counts.get(call, 0)
        if n <= each:
            yield from ((call, k) for k in range(1, n + 1))
        else:
            yield from ((call, k) for k in sorted({1 + round(i * (n - 1) / max(1, each - 1)) for i in range(each)}))


def wait_for_death(pid, patience):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if not os.path.exists("/proc/%d" % pid):
            return True
        time.sleep(0.02)
    return False
