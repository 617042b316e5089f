"""Other mail systems, unpacked from Debian's packages, as senders: each is started with a
configuration that hands all mail to Heloise's mx service, by STARTTLS when that is offered.

Needs root: they change users. Started in the foreground, ended by their own process group."""

import contextlib
import os
import pwd
import shutil
import signal
import smtplib
import subprocess

from harness import Failed, IS_ROOT, Skip, free_port, wait_for

POSTFIX_SERVICES = """%(address)s:%(port)d inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

POSTFIX = """compatibility_level = 3.6
queue_directory = %(dir)s/spool
data_directory = %(dir)s/data
command_directory = %(root)s/usr/sbin
daemon_directory = %(root)s/usr/lib/postfix/sbin
shlib_directory = %(root)s/usr/lib/postfix
meta_directory = %(dir)s
import_environment = LD_LIBRARY_PATH=%(root)s/usr/lib/postfix MAIL_CONFIG MAIL_DEBUG TZ
export_environment = LD_LIBRARY_PATH=%(root)s/usr/lib/postfix TZ
mail_owner = postfix
setgid_group = postdrop
sendmail_path = %(root)s/usr/sbin/sendmail
mailq_path = %(root)s/usr/bin/mailq
newaliases_path = %(root)s/usr/bin/newaliases
maillog_file = %(dir)s/log
maillog_file_prefixes = /
myhostname = postfix.example
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = %(address)s
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [%(to)s]:%(toport)d
smtpd_relay_restrictions = permit_mynetworks, reject
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
smtp_tls_security_level = encrypt
"""

EXIM = """exim_path = %(root)s/usr/sbin/exim4
primary_hostname = exim.example
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = %(dir)s/spool
log_file_path = %(dir)s/log/%%slog
local_interfaces = <; %(address)s
daemon_smtp_ports = %(port)d
acl_smtp_rcpt = accept
begin acl
accept:
  accept
begin routers
smarthost:
  driver = manualroute
  domains = *
  transport = smtp
  route_list = * "%(to)s"
  self = send
begin transports
smtp:
  driver = smtp
  port = %(toport)d
  hosts_require_tls = *
  tls_verify_hosts =
  tls_try_verify_hosts =
  allow_localhost
begin retry
* * F,1h,1s
"""

OPENSMTPD = """listen on %(address)s port %(port)d hostname opensmtpd.example
action "relay" relay host smtp+tls://%(to)s:%(toport)d tls no-verify
match from any for any action "relay"
"""


def account(name, home="/nonexistent"):
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["groupadd", "--system", "-f", name], check=True)
        subprocess.run(["useradd", "--system", "-M", "-s", "/usr/sbin/nologin", "-g", name, "-d", home, name], check=True)


def put(path, text):
    with open(path, "w") as f:
        f.write(text)


def postfix(d):
    account("postfix")
    subprocess.run(["groupadd", "--system", "-f", "postdrop"], check=True)
    put(d["dir"] + "/main.cf", POSTFIX % d)
    put(d["dir"] + "/master.cf", POSTFIX_SERVICES % d)
    put(d["dir"] + "/dynamicmaps.cf", "")
    os.mkdir(d["dir"] + "/spool")
    for name in "active bounce corrupt defer deferred flush hold incoming private saved trace".split():
        os.mkdir(d["dir"] + "/spool/" + name, 0o700)
        shutil.chown(d["dir"] + "/spool/" + name, "postfix")
    for name, mode in (("maildrop", 0o1730), ("public", 0o710)):
        os.mkdir(d["dir"] + "/spool/" + name)
        shutil.chown(d["dir"] + "/spool/" + name, "postfix", "postdrop")
        os.chmod(d["dir"] + "/spool/" + name, mode)
    os.mkdir(d["dir"] + "/spool/pid")
    os.mkdir(d["dir"] + "/data", 0o700)
    shutil.chown(d["dir"] + "/data", "postfix")
    return [d["root"] + "/usr/lib/postfix/sbin/master", "-c", d["dir"], "-d"], \
        {"LD_LIBRARY_PATH": d["root"] + "/usr/lib/postfix", "MAIL_CONFIG": d["dir"]}


def exim(d):
    account("Debian-exim")
    put(d["dir"] + "/exim.conf", EXIM % d)
    for name in ("spool", "log"):
        os.mkdir(d["dir"] + "/" + name, 0o750)
        shutil.chown(d["dir"] + "/" + name, "Debian-exim", "Debian-exim")
    return [d["root"] + "/usr/sbin/exim4", "-C", d["dir"] + "/exim.conf", "-bdf", "-q1m"], {}


def opensmtpd(d):
    account("opensmtpd", "/var/lib/opensmtpd/empty")
    account("opensmtpq", "/var/lib/opensmtpd/empty")
    os.makedirs("/var/lib/opensmtpd/empty", 0o711, exist_ok=True)
    put(d["dir"] + "/smtpd.conf", OPENSMTPD % d)
    return [d["root"] + "/usr/sbin/smtpd", "-dFf", d["dir"] + "/smtpd.conf"], {}


SYSTEMS = {"postfix": (postfix, "postfix"), "exim": (exim, "exim4-daemon-light"), "opensmtpd": (opensmtpd, "opensmtpd")}


def sent_through(d, letter, login):
    with smtplib.SMTP(d["address"], d["port"], timeout=30) as c:
        c.sendmail(login, ["alice@heloise.example"], letter.replace("\n", "\r\n").encode(), ["BODY=8BITMIME"])


def is_up(d, p):
    if p.poll() is not None:
        raise Failed("it ended with %d: %s" % (p.returncode, said(d)))
    with contextlib.suppress(OSError):
        with smtplib.SMTP(d["address"], d["port"], timeout=5):
            return True
    return False


def said(d):
    text = ""
    for name in ("said", "log/mainlog", "log"):
        with contextlib.suppress(OSError):
            with open(d["dir"] + "/" + name) as f:
                text += f.read()[-1500:]
    return text


def send(name, packages, server, login, mark, letter):
    """Starts the system, gives it the letter by SMTP, and waits until Heloise has it."""
    if not IS_ROOT:
        raise Skip("needs root")
    prepare, package = SYSTEMS[name]
    d = {"root": os.path.join(packages, package), "dir": server.home + "/" + name, "to": server.address,
         "toport": server.port["mx"], "address": "127.0.0.1", "port": free_port("127.0.0.1")}
    if not os.path.isdir(d["root"]):
        raise Skip("%s is not unpacked in %s" % (package, packages))
    os.mkdir(d["dir"])
    os.chmod(server.home, 0o755)
    os.chmod(d["dir"], 0o755)
    command, env = prepare(d)
    with open(d["dir"] + "/said", "wb") as out:
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                             cwd=d["dir"], env=dict({"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, **env))
    try:
        wait_for("a banner of " + name, lambda: is_up(d, p))
        sent_through(d, letter, login)
        try:
            wait_for("its message", lambda: any(("Subject: " + mark).encode() in m for m in server.i.mail("alice")))
        except Failed as e:
            raise Failed("%s; it said: %s" % (e, said(d)))
    finally:
        with contextlib.suppress(OSError):
            os.killpg(p.pid, signal.SIGTERM)
            p.wait(10)
