"""As root: a user for each program. As an ordinary user: one for all, and a warning."""

import grp
import os
import pwd
import smtplib
import ssl
import subprocess

from harness import (Client, IS_ROOT, Instance, Skip, TOP, check, contains, equal, letter, main, ordinary_user,
                     test, wait_for)
from sink import Sink

USERS = {"smtpd": "hlsmtpd", "auth": "hlauth", "intake": "hlqueue", "queue": "hlqueue", "deliver": "hldeliver",
         "resolve": "hlresolve", "local": "root"}
MAILER = "hltestmail"  # a system user with a home, for local delivery


def only_root():
    if not IS_ROOT:
        raise Skip("only root can give each program its own user")
    subprocess.run([TOP + "/conf/users"], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def status(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def real_user():
    """A user with a home of its own; made once, and taken away by forget_user()."""
    try:
        return pwd.getpwnam(MAILER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--home-dir", "/var/tmp/" + MAILER, "--shell", "/bin/false",
                        MAILER], check=True, capture_output=True)
        return pwd.getpwnam(MAILER)


def forget_user():
    subprocess.run(["userdel", "--remove", MAILER], capture_output=True)


@test("as root every program runs as its own user, without groups, capabilities or ways to get them")
def users():
    only_root()
    i = Instance(privileged=True).start()
    pids = i.pids()
    equal(sorted(pids), sorted(USERS))
    for name, pid in pids.items():
        s, user = status(pid), pwd.getpwnam(USERS[name])
        equal(set(s["Uid"].split()), {str(user.pw_uid)}, "uid of " + name)
        if USERS[name] == "root":
            continue
        equal(set(s["Gid"].split()), {str(user.pw_gid)}, "gid of " + name)
        allowed = {user.pw_gid} | {g.gr_gid for g in grp.getgrall() if USERS[name] in g.gr_mem}
        check({int(g) for g in s["Groups"].split()} <= allowed, "groups of", name, s["Groups"])
        equal(int(s["CapEff"], 16), 0, "capabilities of " + name)
        equal(s["NoNewPrivs"], "1", "no_new_privs of " + name)
    check(not [e for e in i.find_events("warning") if "privilege" in e[1]["text"]], "a warning")


@test("as root STARTTLS works, and keys and local sockets are root's alone")
def tls_as_root():
    only_root()
    i = Instance(privileged=True, tables={"listen": ["unix:lmtp lmtp"]})
    i.cli("set", "lmtp-socket-mode", "0660", ok=True)
    i.cli("build", ok=True)
    i.start()
    key = os.stat(i.control("keys/self-signed.key"))
    equal((key.st_uid, key.st_gid, key.st_mode & 0o777), (0, 0, 0o600), "the key")
    equal(os.stat(i.dir + "/run/lmtp").st_uid, 0, "the socket's owner")
    using = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    using.check_hostname, using.verify_mode = False, ssl.CERT_NONE
    for _ in range(2):
        with smtplib.SMTP(i.address, i.port) as s:
            s.starttls(context=using)
            equal(s.noop()[0], 250)
        i.cli("reload", ok=True)
    i.stop()


@test("as root mail goes through: local to a system user's Maildir, relayed, deferred, reported")
def mail_as_root():
    only_root()
    user, sink = real_user(), Sink([("RCPT TO:<gone@*", "550 5.1.1 no")])
    try:
        i = Instance(privileged=True, tables={"access": ["client:127.0.0.0/8 relay"],
                                              "routes": ["far.example " + sink.route]}).start()
        here = "%s@heloise.example" % MAILER
        number = i.send("s@client.example", [here, "x@far.example"], letter("as root"))
        i.wait_event("delivered", id=number, recipient="x@far.example")
        i.wait_event("delivered", id=number, recipient=here)
        new = user.pw_dir + "/Maildir/new"
        (name,) = os.listdir(new)
        st = os.stat(new + "/" + name)
        equal((st.st_uid, st.st_gid), (user.pw_uid, user.pw_gid), "owner")
        check(st.st_mode & 0o077 == 0, "others may read it: %o" % st.st_mode)
        i.send(here, "gone@far.example", letter("bounce as root"))
        wait_for("the report", lambda: len(os.listdir(new)) == 2)
        with Client(i) as c:
            c.cmd("EHLO x.example", 250)
            c.cmd("MAIL FROM:<s@client.example>", 250)
            equal(c.cmd("RCPT TO:<no-such-user@heloise.example>").code, 550)
            # accounts that can never get mail: no home, and root's home
            for never in ("hlsmtpd", "daemon"):
                contains(str(c.cmd("RCPT TO:<%s@heloise.example>" % never, 550)), "5.1.1")
        i.wait_queue(0)
    finally:
        forget_user()


@test("as root a home that others put a trap in: a symbolic link is not followed out of the user's reach")
def symlink():
    only_root()
    user = real_user()
    try:
        i = Instance(privileged=True)
        os.makedirs(i.top + "/forbidden/new")
        os.makedirs(i.top + "/forbidden/tmp")
        os.chmod(i.top + "/forbidden", 0o700)
        os.symlink(i.top + "/forbidden", user.pw_dir + "/Maildir")
        i.start()
        i.wait_event("deferred bounced", id=i.send("", MAILER + "@heloise.example"))
        equal(os.listdir(i.top + "/forbidden/new"), [])
    finally:
        forget_user()


@test("as root mail to root is not delivered as root: it goes to the postmaster's mailbox")
def root_mail():
    only_root()
    i = Instance(privileged=True).start()
    number = i.send("s@client.example", "root@heloise.example", letter("to root"))
    i.wait_event("delivered", id=number)
    (text,) = i.wait_mail("postmaster")
    contains(text.decode(), "Subject: to root")
    new = i.dir + "/mail/postmaster/new"
    check(all(os.stat(new + "/" + n).st_uid != 0 for n in os.listdir(new)), "the file is root's")


@test("as root other users can read neither the queue nor the state, and may not touch the queue")
def others():
    only_root()
    sink = Sink([("RCPT", "450 4.2.1 later")])
    i = Instance(privileged=True, tables={"access": ["client:127.0.0.0/8 relay"],
                                          "routes": ["far.example " + sink.route]}).start()
    number = i.send("s@client.example", "x@far.example")
    i.wait_event("deferred", id=number)
    nobody = pwd.getpwnam("nobody")
    as_nobody = dict(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True)
    for path in i.queue_files():
        check(subprocess.run(["cat", path], **as_nobody).returncode != 0, "a message can be read")
    for words in (["remove", number], ["retry", number], ["show", number]):
        r = subprocess.run(i.command("heloise", "queue", *words), **as_nobody)
        check(r.returncode != 0, words, "is allowed to anybody")
    check(i.queue(), "the message is gone")


@test("as root an instance that an ordinary user owns runs wholly as that user")
def owned():
    if not IS_ROOT:
        raise Skip("only root can start another user's instance")
    i = Instance()
    i.process = subprocess.Popen(i.command("heloise", "run"), stdin=subprocess.DEVNULL,
                                 stdout=open(i.log_path, "ab"), stderr=subprocess.STDOUT, cwd="/")
    i.wait_ready()
    for name, pid in i.pids().items():
        equal(set(status(pid)["Uid"].split()), {str(i.user.pw_uid)}, "uid of " + name)
    i.wait_event("delivered", id=i.send("s@client.example", "postmaster@heloise.example"))
    for folder, names, files in os.walk(i.dir):
        for n in names + files:
            equal(os.lstat(folder + "/" + n).st_uid, i.user.pw_uid, "owner of %s/%s" % (folder, n))


@test("as root a missing user is an error that names the script making the users")
def missing_user():
    only_root()
    i = Instance(privileged=True)
    private = "mount --bind '%s' /etc/passwd && exec \"$@\"" % (i.top + "/passwd")
    with open("/etc/passwd") as f, open(i.top + "/passwd", "w") as out:
        out.writelines(line for line in f if not line.startswith("hlqueue:"))
    r = subprocess.run(["unshare", "--mount", "sh", "-c", private, "sh"] + i.command("heloise", "run"),
                       capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
    text = r.stderr.decode()
    if "unshare" in text or "mount" in text and "heloise" not in text:
        raise Skip("no mount namespace of our own here")
    check(r.returncode == 78, "exit", r.returncode, text)
    contains(text, "hlqueue", "conf/users")


@test("as an ordinary user: one warning that privilege separation is off")
def ordinary():
    i = Instance().start()
    equal(len([e for e in i.find_events("warning") if "privilege" in e[1]["text"]]), 1, "warnings")
    for name, pid in i.pids().items():
        equal(set(status(pid)["Uid"].split()), {str(ordinary_user().pw_uid)}, "uid of " + name)


if __name__ == "__main__":
    main()
