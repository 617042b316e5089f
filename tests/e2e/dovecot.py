"""A real Dovecot's authentication service, as Debian ships it, from build/peers and not installed."""

import glob
import os
import shutil
import signal
import subprocess
import tempfile

from harness import IS_ROOT, Skip, atexit, build_dir, ordinary_user, wait_for

CONFIG = """
base_dir = {top}/run
state_dir = {top}/state
libexec_dir = {top}/usr/lib/dovecot
log_path = {top}/log
auth_verbose = yes
protocols =
ssl = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
import_environment = LD_LIBRARY_PATH={libraries}
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {top}/users
}}
service auth {{
  user = {user}
  chroot =
  unix_listener auth-client {{
    mode = 0666
  }}
}}
service auth-worker {{
  user = {user}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class Dovecot:
    """Runs as the instances' ordinary user; users: {login: password}."""

    def __init__(self, users):
        source = build_dir() + "/peers"
        if not os.path.exists(source + "/usr/lib/dovecot/auth"):
            raise Skip("no Dovecot: conf/setup tests could not have it")
        import grp
        user = ordinary_user()
        self.top = tempfile.mkdtemp(prefix="heloise-dovecot-")
        atexit.register(shutil.rmtree, self.top, True)
        os.chmod(self.top, 0o755)
        for part in ("usr/lib/dovecot", "usr/bin/doveconf", "usr/sbin/dovecot"):
            copy = shutil.copytree if os.path.isdir(source + "/" + part) else shutil.copy
            os.makedirs(os.path.dirname(self.top + "/" + part), exist_ok=True)
            copy(source + "/" + part, self.top + "/" + part)
        os.makedirs(self.top + "/lib")
        for name in glob.glob(source + "/usr/lib/*-linux-*/libsodium.so*") + \
                glob.glob(source + "/usr/lib/*-linux-*/libcap.so*"):
            shutil.copy(name, self.top + "/lib")
        libraries = ":".join(self.top + p for p in ("/usr/lib/dovecot", "/usr/lib/dovecot/modules/old-stats",
                                                    "/lib"))
        with open(self.top + "/conf", "w") as f:
            f.write(CONFIG.format(top=self.top, user=user.pw_name, group=grp.getgrgid(user.pw_gid).gr_name,
                                  libraries=libraries))
        with open(self.top + "/users", "w") as f:
            f.write("".join("%s:{PLAIN}%s\n" % u for u in users.items()))
        if IS_ROOT:
            os.chown(self.top, user.pw_uid, user.pw_gid)
        self.environment = dict(PATH=os.environ["PATH"], LD_LIBRARY_PATH=libraries)
        self.socket = self.top + "/run/auth-client"
        self.start()

    def start(self):
        who = ordinary_user()
        become = dict(user=who.pw_uid, group=who.pw_gid, extra_groups=[]) if IS_ROOT else {}
        # doveconf -e hands the settings on, since dovecot looks for doveconf where Debian has it
        self.process = subprocess.Popen(
            [self.top + "/usr/bin/doveconf", "-c", self.top + "/conf", "-p", "-e", self.top + "/usr/sbin/dovecot",
             "-F", "-c", self.top + "/conf"], env=self.environment, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **become)
        atexit.register(self.stop)
        wait_for("Dovecot", lambda: os.path.exists(self.socket))

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)
            try:  # its auth process serves on while somebody is connected
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if os.path.exists(self.socket):
            os.unlink(self.socket)

    def log(self):
        with open(self.top + "/log") as f:
            return f.read()
