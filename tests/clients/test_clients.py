"""Real mail programs that send through Heloise: by STARTTLS and AUTH, by TLS from the first
byte, in clear from a client that may relay.

Each test is one program; `make clients` runs them. What Debian has is installed or, where it
would take the place of the host's own mail system, unpacked beside (packages). Each message is
looked for in alice's Maildir, byte by byte where the program leaves the text alone."""

import email
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

from harness import (Instance, Skip, atexit, build_dir, check, contains, equal, free_port, main, new_address,  # noqa: E402
                     stop_all, test, wait_for)

PACKAGES = os.environ.get("CLIENT_PACKAGES", build_dir() + "/clients")
LOGIN, PASSWORD = "alice@heloise.example", "correct-horse-battery"
TEXT = "Grüße: a line.\n.\n..two dots\n" + "long " * 150 + "\n"
_shared = []


class Server:
    """An instance with every service, a user, and alice's Maildir."""

    def __init__(self):
        self.address = new_address()
        self.port = {s: free_port(self.address) for s in ("mx", "submission", "submissions")}
        self.i = Instance(address=self.address, port=self.port["mx"], is_shared=True, tables={
            "listen": ["%s:%d %s" % (self.address, p, s) for s, p in self.port.items() if s != "mx"],
            "mailboxes": ["alice alice/"], "access": ["client:127.0.0.0/8 relay"]})
        self.i.cli("user", "add", LOGIN, stdin=PASSWORD + "\n", ok=True)
        self.i.cli("build", ok=True)
        self.i.start()
        self.home = tempfile.mkdtemp(prefix="heloise-clients-")
        atexit.register(shutil.rmtree, self.home, True)

    def got(self, mark, n=1):
        """The message with this word in its subject, when it has come; it came n times."""
        def found():
            return [m for m in self.i.mail("alice") if mark.encode() in m.split(b"\n\n")[0].split(b"\r\n\r\n")[0]]
        wait_for("the message " + mark, lambda: len(found()) >= n)
        time.sleep(0.2)
        equal(len(found()), n, "copies of " + mark)
        return found()[0]

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.home, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def run(self, *command, stdin="", env=None, timeout=60):
        base = dict(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME=self.home, LANG="C.UTF-8", USER="root", LOGNAME="root",
                    EMAIL="tester@client.example")
        r = subprocess.run([str(c) for c in command], input=stdin.encode(), capture_output=True,
                           timeout=timeout, cwd=self.home, env=dict(base, **(env or {})))
        said = (r.stdout + r.stderr).decode("utf-8", "replace")
        check(r.returncode == 0, "exit %d: %s" % (r.returncode, said[-1500:]))
        return said


def server():
    if not _shared:
        _shared.append(Server())
    return _shared[0]


def need(program):
    path = shutil.which(program, path="/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        raise Skip("%s is not installed" % program)
    return path


def unpacked(package, path):
    where = os.path.join(PACKAGES, package, path)
    if not os.path.exists(where):
        raise Skip("%s is not unpacked in %s" % (package, PACKAGES))
    return where


def is_protected(message, how):
    received = message.split(b"\n\n")[0].split(b"\r\n\r\n")[0].decode("ascii", "replace")
    contains(received, "with " + how)


def open_context():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def letter(mark, to="alice@heloise.example"):
    return ("From: tester@client.example\nTo: %s\nSubject: %s\nMIME-Version: 1.0\n"
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n%s" % (to, mark, TEXT))


def wire(mark):
    return letter(mark).replace("\n", "\r\n").encode()


# ---- programs that people send with

@test("Python smtplib: STARTTLS, AUTH PLAIN")
def smtplib_starttls():
    s = server()
    with smtplib.SMTP(s.address, s.port["submission"], timeout=30) as c:
        c.starttls(context=open_context())
        c.login(LOGIN, PASSWORD)
        c.sendmail(LOGIN, ["alice@heloise.example"], wire("smtplib-starttls"), ["BODY=8BITMIME"])
    m = s.got("smtplib-starttls")
    is_protected(m, "ESMTPSA")
    contains(m.decode(), "Grüße: a line.", "\n..two dots")


@test("Python smtplib: TLS from the first byte, AUTH LOGIN")
def smtplib_tls():
    s = server()
    with smtplib.SMTP_SSL(s.address, s.port["submissions"], timeout=30, context=open_context()) as c:
        c.ehlo()
        c.user, c.password = LOGIN, PASSWORD
        c.auth("LOGIN", c.auth_login)
        c.sendmail(LOGIN, ["alice@heloise.example"], wire("smtplib-tls"))
    is_protected(s.got("smtplib-tls"), "ESMTPSA")


def swaks(mark, service, *more):
    s = server()
    s.run(need("swaks"), "--server", "%s:%d" % (s.address, s.port[service]), "--from", LOGIN,
          "--to", "alice@heloise.example", "--h-Subject", mark, "--body", "from swaks", *more)
    return s.got(mark)


@test("swaks: in clear on mx")
def swaks_mx():
    is_protected(swaks("swaks-mx", "mx"), "ESMTP ")


@test("swaks: STARTTLS, AUTH LOGIN")
def swaks_login():
    is_protected(swaks("swaks-login", "submission", "--tls", "--auth", "LOGIN", "--auth-user", LOGIN,
                       "--auth-password", PASSWORD), "ESMTPSA")


@test("swaks: TLS on connect, AUTH PLAIN, pipelined")
def swaks_plain():
    is_protected(swaks("swaks-plain", "submissions", "--tlsc", "--pipeline", "--auth", "PLAIN", "--auth-user",
                       LOGIN, "--auth-password", PASSWORD), "ESMTPSA")


def msmtp(mark, service, auth, starttls):
    s = server()
    conf = s.write("msmtprc-" + mark, "account default\nhost %s\nport %d\nfrom %s\nauth %s\nuser %s\npassword %s\n"
                   "tls on\ntls_starttls %s\ntls_certcheck off\n"
                   % (s.address, s.port[service], LOGIN, auth, LOGIN, PASSWORD, starttls))
    s.run(need("msmtp"), "-C", conf, "alice@heloise.example", stdin=letter(mark))
    m = s.got(mark)
    is_protected(m, "ESMTPSA")
    contains(m.decode(), "Grüße: a line.")


@test("msmtp: STARTTLS, SCRAM-SHA-256")
def msmtp_scram():
    msmtp("msmtp-scram", "submission", "scram-sha-256", "on")


@test("msmtp: STARTTLS, SCRAM-SHA-256-PLUS")
def msmtp_plus():
    if "scram-sha-256-plus" not in subprocess.run([need("msmtp"), "--version"], capture_output=True, text=True).stdout:
        raise Skip("this msmtp has no SCRAM-SHA-256-PLUS")
    msmtp("msmtp-plus", "submission", "scram-sha-256-plus", "on")


@test("msmtp: TLS from the first byte, AUTH PLAIN")
def msmtp_plain():
    msmtp("msmtp-plain", "submissions", "plain", "off")


def by_mutt(program):
    s = server()
    mark = program + "-smtp"
    conf = s.write(program + "rc", "set smtp_url=\"smtp://%s@%s:%d/\"\nset smtp_pass=\"%s\"\nset ssl_force_tls=yes\n"
                   "set from=\"%s\"\nset use_from=yes\nset ssl_verify_host=no\nset copy=no\nset ssl_verify_dates=no\n"
                   "set certificate_file=\"%s\"\nset smtp_authenticators=\"plain\"\nset send_charset=\"utf-8\"\n"
                   % (LOGIN.replace("@", "%40"), s.address, s.port["submission"], PASSWORD, LOGIN, certificate()))
    s.run(need(program), "-n", "-F", conf, "-s", mark, "--", "alice@heloise.example", stdin=TEXT)
    m = s.got(mark)
    is_protected(m, "ESMTPSA")
    equal(email.message_from_bytes(m).get_payload(decode=True).decode().replace("\r\n", "\n").rstrip(), TEXT.rstrip())


def certificate():
    """The certificate the server shows, as a client that trusts it on sight would keep it."""
    s = server()
    with socket.create_connection((s.address, s.port["submissions"]), timeout=20) as raw:
        with open_context().wrap_socket(raw) as tls:
            return s.write("known.pem", ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)))


@test("mutt: STARTTLS, AUTH PLAIN")
def mutt():
    by_mutt("mutt")


@test("neomutt: STARTTLS, AUTH PLAIN")
def neomutt():
    by_mutt("neomutt")


@test("s-nail: STARTTLS, AUTH PLAIN")
def s_nail():
    s = server()
    s.run(need("s-nail"), "-:/", "-Sv15-compat", "-Stls-verify=ignore", "-Ssmtp-use-starttls", "-Ssmtp-auth=plain",
          "-Smta=smtp://%s:%s@%s:%d" % (LOGIN.replace("@", "%40"), PASSWORD, s.address, s.port["submission"]),
          "-r", LOGIN, "-s", "s-nail-smtp", "-Ssendwait", "alice@heloise.example", stdin=TEXT)
    is_protected(s.got("s-nail-smtp"), "ESMTPSA")


def curl(mark, url, *more):
    s = server()
    mail = s.write(mark, letter(mark).replace("\n", "\r\n"))
    s.run(need("curl"), "-sS", "--insecure", "--url", url, "--mail-from", LOGIN, "--mail-rcpt",
          "alice@heloise.example", "--upload-file", mail, "--user", LOGIN + ":" + PASSWORD, *more)
    is_protected(s.got(mark), "ESMTPSA")


@test("curl: STARTTLS")
def curl_starttls():
    s = server()
    curl("curl-starttls", "smtp://%s:%d/client.example" % (s.address, s.port["submission"]), "--ssl-reqd")


@test("curl: TLS from the first byte")
def curl_tls():
    s = server()
    curl("curl-tls", "smtps://%s:%d/client.example" % (s.address, s.port["submissions"]))


@test("git send-email: STARTTLS, AUTH")
def git():
    s = server()
    work = s.home + "/repository"
    env = dict(GIT_AUTHOR_NAME="T", GIT_AUTHOR_EMAIL=LOGIN, GIT_COMMITTER_NAME="T", GIT_COMMITTER_EMAIL=LOGIN,
               GIT_CONFIG_GLOBAL="/dev/null")
    git = need("git")
    if not os.path.exists(s.run(git, "--exec-path").strip() + "/git-send-email"):
        raise Skip("git send-email is not installed")
    s.run(git, "init", "-q", work, env=env)
    s.write("repository/file", TEXT)
    s.run(git, "-C", work, "add", "file", env=env)
    s.run(git, "-C", work, "commit", "-q", "-m", "git-send-email", env=env)
    s.run(git, "-C", work, "-c", "sendemail.smtpsslcertpath=", "send-email", "--quiet", "--confirm=never", "--smtp-server=" + s.address,
          "--smtp-server-port=%d" % s.port["submission"], "--smtp-encryption=tls",
          "--smtp-user=" + LOGIN, "--smtp-pass=" + PASSWORD, "--from=" + LOGIN, "--to=alice@heloise.example",
          "-1", env=env)
    m = s.got("git-send-email")
    is_protected(m, "ESMTPSA")
    contains(m.decode(), "Grüße: a line.")


@test("sendemail: in clear on mx")
def sendemail():
    s = server()
    s.run(need("sendemail"), "-f", LOGIN, "-t", "alice@heloise.example", "-u", "sendemail-mx", "-m", "hello",
          "-s", "%s:%d" % (s.address, s.port["mx"]), "-o", "tls=no")
    s.got("sendemail-mx")


@test("Perl Email::Sender: STARTTLS, AUTH")
def email_sender():
    s = server()
    script = s.write("sender.pl", """use strict; use Email::Sender::Simple qw(sendmail); use Email::Sender::Transport::SMTP;
my $t = Email::Sender::Transport::SMTP->new({host => $ARGV[0], port => $ARGV[1], ssl => 'starttls',
  ssl_options => {SSL_verify_mode => 0}, sasl_username => $ARGV[2], sasl_password => $ARGV[3]});
my $m = do { local $/; <STDIN> };
sendmail($m, {transport => $t, from => $ARGV[2], to => ['alice@heloise.example']});
""")
    s.run(need("perl"), script, s.address, s.port["submission"], LOGIN, PASSWORD, stdin=letter("email-sender"))
    is_protected(s.got("email-sender"), "ESMTPSA")


@test("openssl s_client: STARTTLS, by hand, a command a line")
def s_client():
    s = server()
    p = subprocess.Popen([need("openssl"), "s_client", "-quiet", "-crlf", "-starttls", "smtp", "-name", "client.example",
                          "-connect", "%s:%d" % (s.address, s.port["mx"])], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for line in ("EHLO client.example", "MAIL FROM:<%s>" % LOGIN, "rcpt to:<alice@heloise.example>", "DATA",
                 "Subject: s-client", "", "by hand", ".", "QUIT"):
        time.sleep(0.1)
        p.stdin.write((line + "\n").encode())
        p.stdin.flush()
    p.stdin.close()
    p.wait(20)
    is_protected(s.got("s-client"), "ESMTPS ")


# ---- other mail systems that send to Heloise as their smarthost

@test("nullmailer's smtp: STARTTLS, AUTH")
def nullmailer():
    s = server()
    smtp = unpacked("nullmailer", "usr/lib/nullmailer/smtp")
    mail = s.write("nullmailer", LOGIN + "\nalice@heloise.example\n\n" + letter("nullmailer"))
    options = "host=%s\nport=%d\nstarttls\ninsecure\nauth-login\nuser=%s\npass=%s\n\n" % (
        s.address, s.port["submission"], LOGIN, PASSWORD)
    with open(mail) as f:
        r = subprocess.run([smtp], input=options.encode(), stdin=None, capture_output=True, timeout=60,
                           pass_fds=(3,), env=dict(PATH="/usr/bin", HOME=s.home, HELOHOST="client.example"), preexec_fn=lambda: os.dup2(f.fileno(), 3))
    check(r.returncode == 0, r.stdout, r.stderr)
    is_protected(s.got("nullmailer"), "ESMTPSA")


@test("ssmtp: STARTTLS, AUTH")
def ssmtp():
    s = server()
    program = unpacked("ssmtp", "usr/sbin/ssmtp")
    conf = s.write("ssmtp.conf", "mailhub=%s:%d\nUseTLS=YES\nUseSTARTTLS=YES\nAuthUser=%s\nAuthPass=%s\nhostname=client.example\n"
                   "FromLineOverride=YES\n" % (s.address, s.port["submission"], LOGIN, PASSWORD))
    s.run(program, "-C" + conf, "-f" + LOGIN, "alice@heloise.example", stdin=letter("ssmtp"))
    s.got("ssmtp")


@test("Postfix as the sender: STARTTLS, SASL is not needed on mx")
def postfix():
    senders("postfix")


@test("Exim as the sender")
def exim():
    senders("exim")


@test("OpenSMTPD as the sender")
def opensmtpd():
    senders("opensmtpd")


def senders(name):
    import systems
    s = server()
    mark = "%s-%d" % (name, os.getpid())  # what an earlier run left in its queue is not ours
    systems.send(name, PACKAGES, s, LOGIN, mark, letter(mark))
    is_protected(s.got(mark), "ESMTPS")


if __name__ == "__main__":
    atexit.register(stop_all)
    main()
