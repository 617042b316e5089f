"""Table listen: services, their processes, what they share."""

import os
import signal
import socket
import stat
import time

from harness import Client, Local, Instance, check, contains, equal, free_port, main, new_address, test, wait_for


def make(*listen, settings=None, start=True, **more):
    i = Instance(settings=settings, tables={"mailboxes": ["alice alice/"], "listen": list(listen), **more})
    return i.start() if start else i


def place():
    address = new_address()
    return address, free_port(address)


def sockets(pid):
    found = 0
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            found += os.readlink("/proc/%d/fd/%s" % (pid, fd)).startswith("socket:")
        except OSError:
            pass
    return found


@test("mx has a process for each of smtpd-processes, and sessions spread over them")
def spread():
    i = make(settings={"smtpd-processes": 3})
    names = ["smtpd", "smtpd.2", "smtpd.3"]
    pids = i.pids()
    check(set(names) <= set(pids) and "smtpd.submission" not in pids, pids)
    before = {n: sockets(pids[n]) for n in names}
    held = [Client(i) for _ in range(90)]
    for c in held:
        equal(c.banner.code, 220)
    shares = [sockets(pids[n]) - before[n] for n in names]
    equal(sum(shares), 90, "sessions")
    check(min(shares) >= 5, "shares", shares)
    i.stop()


@test("session-limit is the sum over all processes; one that dies leaves room")
def limit():
    address, port = place()
    i = make("%s:%d submission" % (address, port), settings={"smtpd-processes": 2, "session-limit": 6})
    wait_for("no session", lambda: len(i.find_events("connected")) == len(i.find_events("disconnected")))
    held = [Client(i) for _ in range(4)] + [Client(address=address, port=port) for _ in range(2)]
    for where in ({"instance": i}, {"address": address, "port": port}):
        with Client(**where) as c:
            contains(c.banner.lines[0], "421 4.3.2")
    os.kill(i.pids()["smtpd.submission"], signal.SIGKILL)
    wait_for("room", lambda: Client(i).banner.code == 220)
    check(all(c.cmd("NOOP").code == 250 for c in held[:4]), "a session was dropped")
    i.stop()


@test("a flood of clients for mx leaves the last tenth of session-limit to submission")
def reserve():
    address, port = place()
    i = make("%s:%d submission" % (address, port), settings={"smtpd-processes": 2, "session-limit": 20})
    wait_for("no session", lambda: len(i.find_events("connected")) == len(i.find_events("disconnected")))
    held = [Client(i) for _ in range(30)]
    equal(sum(c.banner.code == 220 for c in held), 18)
    users = [Client(address=address, port=port) for _ in range(3)]
    equal([c.banner.code for c in users], [220, 220, 421])
    i.stop()


@test("each process is restarted alone: sessions of the others, and their messages, go on")
def alone():
    address, port = place()
    i = make("%s:%d submission" % (address, port), settings={"smtpd-processes": 2})
    held = [Client(i) for _ in range(20)]
    other = Client(address=address, port=port)
    victim = i.pids()["smtpd.2"]
    os.kill(victim, signal.SIGKILL)
    wait_for("another", lambda: i.pids().get("smtpd.2") not in (None, victim))
    wait_for("it is ready", lambda: "ready" in [line for line in i.cli("status").text.splitlines()
                                                if line.startswith("smtpd.2 ")][0])
    equal(other.cmd("NOOP").code, 250)
    alive = []
    for c in held:
        try:
            c.cmd("EHLO client.example", 250)
            alive.append(c)
        except ConnectionError:
            pass
    check(0 < len(alive) < 20, "sessions left", len(alive))
    alive[0].send("s@client.example", "alice@heloise.example")
    for _ in range(20):
        i.send("s@client.example", "alice@heloise.example")
    i.wait_mail("alice", 21)
    i.stop()


@test("auth and intake die with many processes before them, and all get new channels")
def neighbours():
    address, port = place()
    i = make("%s:%d submission" % (address, port), settings={"smtpd-processes": 2},
             access=["client:127.0.0.0/8 relay"])
    held = [Client(i) for _ in range(12)] + [Client(address=address, port=port)]
    for name in ("auth", "intake"):
        before = i.pids()[name]
        os.kill(before, signal.SIGKILL)
        wait_for(name, lambda: i.pids().get(name) not in (None, before))
    wait_for("all is ready", lambda: "starting" not in i.cli("status").text and "waiting" not in i.cli("status").text)
    for c in held:
        c.send("s@client.example", "alice@heloise.example")
    i.wait_mail("alice", 13)
    i.stop()


@test("IPv6: mx on [::1], named in the log and in Received")
def ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
            port = s.getsockname()[1]
    except OSError:
        port = None
    if port is None:  # a machine without IPv6: the table takes the line all the same
        i = make(start=False)
        i.table("listen", "[::1]:2525 mx")
        i.cli("check", ok=True)
        return
    i = make("[::1]:%d mx" % port)
    with Client(address="::1", port=port) as c:
        c.send("s@client.example", "alice@heloise.example")
    contains(i.wait_mail("alice")[0].decode(), "([IPv6:::1])")
    i.wait_event("connected", service="mx")
    i.stop()


@test("lmtp listens on a local socket with the mode of a setting, and a killed run leaves nothing in the way")
def lmtp():
    i = make("unix:lmtp lmtp", settings={"lmtp-socket-mode": "0660"})
    path = i.dir + "/run/lmtp"
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o660)
    with Local(path) as c:
        equal(c.banner.code, 220)
        c.cmd("NOOP", 250)
    i.wait_event("connected", service="lmtp")
    contains(i.cli("status").text, "unix:lmtp lmtp")
    i.process.kill()
    i.process.wait()
    i.start()
    with Local(path) as c:
        equal(c.banner.code, 220)
    i.stop()
    check(not os.path.exists(path), "the socket's name is left")


@test("reload adds and removes services, starts the process they need, and drops no session")
def changes():
    address, port = place()
    i = make()
    held = Client(i)
    check("smtpd.submission" not in i.pids(), "started without need")
    i.table("listen", "%s:%d submission" % (address, port), "unix:in lmtp")
    i.cli("reload", ok=True)
    wait_for("submission", lambda: "smtpd.submission" in i.pids())
    c = Client(address=address, port=port)
    equal(Local(i.dir + "/run/in").banner.code, 220)
    i.forget_keys("listen", ["unix:in", "%s:%d" % (address, port)])
    i.table("listen", "%s:%d mx" % (address, port))
    i.cli("reload", ok=True)
    check(not os.path.exists(i.dir + "/run/in"), "the socket's name is left")

    def is_mx():
        with Client(address=address, port=port) as now:
            return now.banner.code == 220 and i.find_events("connected", service="mx",
                                                            client="%s:%d" % now.sock.getsockname())
    wait_for("the port serves mx", is_mx)
    c.cmd("NOOP", 250)
    held.cmd("NOOP", 250)
    i.stop()


@test("build says what a key of table listen may be")
def build():
    i = make(start=False)
    for line, words in (("127.0.0.1:2525 lmtp", "lmtp is for unix:NAME"),
                        ("unix:x mx", "expected lmtp"),
                        ("unix:control lmtp", "unix:NAME"),
                        ("unix:../x lmtp", "unix:NAME"),
                        ("unix:" + "x" * 41 + " lmtp", "unix:NAME"),
                        ("127.0.0.1:2526 pop3", "submissions")):
        i.table("listen", line)
        r = i.cli("check")
        equal(r.returncode, 78, line)
        contains(r.error, words)
        i.forget_keys("listen", [line.split()[0]])
    i.table("listen", "unix:x.y-z_1 lmtp", "127.0.0.1:2587 submission")
    i.cli("check", ok=True)


main()
