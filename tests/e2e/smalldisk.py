"""An instance one directory of which lies on a small file system, which can be filled."""

import os
import subprocess

from harness import IS_ROOT, Instance, Skip


class Small:
    """An instance one directory of which lies on a tmpfs of a few megabytes."""

    def __init__(self, megabytes=4, where="queue", settings=None, inodes=0, **tables):
        if not IS_ROOT:
            raise Skip("only root can mount a small file system")
        tables["mailboxes"] = ["alice alice/"]
        self.i = Instance(settings={"queue-min-free": "0", **(settings or {})}, tables=tables, is_shared=True)
        self.queue = self.i.dir + "/" + where
        self.saved = self.i.top + "/saved"
        subprocess.run(["cp", "-a", self.queue, self.saved], check=True)
        st = os.stat(self.queue)
        r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,nr_inodes=%d,mode=%o,uid=%d,gid=%d" %
                            (megabytes, inodes, st.st_mode & 0o7777, st.st_uid, st.st_gid), "none", self.queue],
                           capture_output=True)
        if r.returncode != 0:
            self.i.remove()
            raise Skip("mounting a tmpfs is not allowed here")
        subprocess.run("cp -a '%s'/. '%s'" % (self.saved, self.queue), shell=True, check=True)

    def __enter__(self):
        self.i.start()
        return self

    def __exit__(self, *ignored):
        try:
            self.i.stop()
        finally:
            subprocess.run(["umount", "-l", self.queue], check=True)
            self.i.remove()

    def remount(self, how):
        subprocess.run(["mount", "-o", "remount," + how, self.queue], check=True)

    def use_inodes(self):
        """Makes files until there can be no more: their directory."""
        path = self.queue + "/filler"
        os.mkdir(path)
        try:
            for n in range(100000):
                os.close(os.open("%s/%d" % (path, n), os.O_CREAT | os.O_WRONLY))
        except OSError:
            pass
        return path

    def fill(self):
        path = self.queue + "/filler"
        with open(path, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
            except OSError:
                pass
            try:
                while True:
                    f.write(b"\0" * 512)
            except OSError:
                pass
        return path
