"""Making, checking, starting, reloading and ending an instance."""

import json
import os
import signal
import subprocess
import time

from harness import (Client, Instance, check, contains, equal, letter, main, new_address, free_port, test,
                     wait_for)


def fresh(**how):
    return Instance(**how)


@test("init makes a complete instance: it checks, builds, runs and takes mail")
def init():
    i = fresh()
    for name in ("control", "queue", "state", "run", "mail"):
        check(os.path.isdir(i.dir + "/" + name), name, "is missing")
    for table in ("settings", "listen", "domains", "routes", "access", "retry", "peers", "verbs", "aliases",
                  "mailboxes"):
        with open(i.control(table)) as f:
            check("#" in f.read(), table, "has no comment")
    i.cli("check", ok=True)
    i.start()
    number = i.send("s@client.example", "postmaster@heloise.example")
    i.wait_event("delivered", id=number)


@test("init refuses a bad host name, a missing one in use, and a directory that is an instance already")
def init_errors():
    i = fresh(make=False)
    for hostname in ("nodots", "under_score.example", "", "-x.example", "localhost.localdomain"):
        r = i.cli("init", i.dir, "--hostname", hostname, "--listen", "127.0.0.1:2525", instance=False)
        check(r.returncode != 0 and r.error, repr(hostname), "was taken")
        check(not os.path.exists(i.dir + "/control/heloise.cdb"), "an instance was made")
    r = i.cli("init", i.dir, "--hostname", "a.example", "--listen", "nowhere", instance=False)
    check(r.returncode != 0 and r.error, "a bad listen address was taken")
    i.init()
    with open(i.control("settings")) as f:
        before = f.read()
    r = i.cli("init", i.dir, "--hostname", "other.example", "--listen", "127.0.0.1:2526", instance=False)
    check(r.returncode != 0 and r.error, "a second init was taken")
    with open(i.control("settings")) as f:
        equal(f.read(), before, "settings")


@test("an unknown command, and one without arguments it needs: exit 64")
def usage():
    i = fresh()
    for words in (["what"], ["set"], ["set", "hostname"], ["queue", "what"], ["queue", "show"], ["peers", "what"],
                  ["queue", "list", "--what"]):
        r = i.cli(*words)
        check(r.returncode == 64 and r.error, words, "exit", r.returncode, r.error)


@test("every command but init says that there is no instance, and exits 78; so does sendmail")
def no_instance():
    i = fresh(make=False)
    for words in (["run"], ["queue", "list"], ["peers", "list"], ["status"], ["status", "--json"], ["get"],
                  ["get", "hostname"], ["set", "hostname", "a.example"], ["check"], ["build"], ["reload"]):
        r = i.cli(*words)
        equal((r.returncode, r.text, r.error),
              (78, "", 'heloise: no instance in %s; "heloise init %s" makes one\n' % (i.dir, i.dir)), words)
    r = i.sendmail("x@heloise.example", stdin="x\n")
    equal(r.returncode, 78)
    contains(r.error, i.dir + "/queue/drop")
    r = i.run_command("sendmail", "-bp")
    equal(r.returncode, 78)
    check(not os.path.exists(i.dir), "something was made")


@test("a queue without drop, or one that is closed, is no missing instance for sendmail")
def no_drop():
    i = fresh()
    os.rename(i.dir + "/queue/drop", i.dir + "/queue/away")
    r = i.sendmail("x@heloise.example", stdin="x\n")
    equal(r.returncode, 75)
    contains(r.error, i.dir + "/queue/drop")


@test("verbs explains a mask, makes one of words, and warns of what it cannot say")
def verbs():
    i = fresh(make=False)
    for words, out, warning in (
            (["7697601"], "on: 8bitmime dsn etrn enhancedstatuscodes chunking binarymime\noff: none\n", "352257"),
            (["3503297"], "on: dsn etrn enhancedstatuscodes chunking binarymime\noff: 8bitmime\n", "352257"),
            (["192"], "on: dsn etrn\noff: 8bitmime enhancedstatuscodes chunking binarymime\n", None),
            (["-8bitmime"], "3503297\n", None),
            (["-8bitmime", "-chunking"], "2454721\n", None),
            (["-8BITMIME -chunking -dsn"], "2454657\n", None),
            (["-size"], "7697601\n", "size")):
        r = i.cli("verbs", *words, instance=False, ok=True)
        equal(r.text, out, words)
        equal(bool(r.error), warning is not None, r.error)
        contains(r.error, warning or "")
    for words in ([], ["what"], ["-what"], ["4294967296"], ["-size", "7"], [""]):
        r = i.cli("verbs", *words, instance=False)
        check(r.returncode == 64 and r.error and not r.text, words, r.returncode, r.text)


BROKEN = [
    ("access", "host:mail..example.org accept", "expected"),
    ("retry", "x.example list 15,30", "15m"),
    ("settings", "dns-servers [::1", "]@54"),
    ("settings", "what-is-this 5", "no setting"),
    ("settings", "timeout-quit soon", "5m"),
    ("settings", "timeout-quit", ""),
    ("settings", "message-size-limit 12", ""),
    ("listen", "127.0.0.1:99999 mx", ""),
    ("listen", "[::1]:25 what", ""),
    ("domains", "x.example what", ""),
    ("routes", "x.example [192.0.2.1:25", ""),
    ("routes", "x.example", ""),
    ("access", "client:192.0.2.0/33 relay", ""),
    ("access", "helo:x.example relay", ""),
    ("access", "what:x.example accept", ""),
    ("retry", "x.example every", ""),
    ("retry", "x.example parabola 20 parabola 20", ""),
    ("retry", "x.example often", ""),
    ("peers", "192.0.2.1 what", ""),
    ("verbs", "192.0.2.0/24 -what", ""),
    ("verbs", "not-a-network -8bitmime", ""),
    ("aliases", "x |/bin/cat", "understood"),
    ("aliases", "x y@@z", ""),
    ("mailboxes", "x ../../etc/", ""),
    ("mailboxes", "x /absolute/", ""),
]


@test("every broken table is an error with file and line, and check and build agree")
def broken_tables():
    i = fresh()
    for table, line, word in BROKEN:
        with open(i.control(table)) as f:
            before = f.read()
        i.table(table, "# a comment", line)
        place = "%s:%d" % (table, before.count("\n") + 2)
        for command in ("check", "build"):
            r = i.cli(command)
            check(r.returncode == 78, "%s %r: exit %d from %s" % (table, line, r.returncode, command))
            contains(r.error, place, word)
        i.table(table, before.rstrip("\n"), replace=True)
    i.cli("check", ok=True)


@test("all errors of all tables are told at once")
def all_errors():
    i = fresh()
    i.table("routes", "x.example [")
    i.table("access", "client:x relay", "client:y relay")
    r = i.cli("build")
    equal(r.returncode, 78)
    check(r.error.count("routes:") == 1 and r.error.count("access:") == 2, r.error)


@test("a key that stands twice is an error")
def twice():
    i = fresh()
    i.table("routes", "x.example mx", "X.example mx")
    r = i.cli("build")
    equal(r.returncode, 78)
    contains(r.error, "routes:")


@test("a broken table leaves the old ones in force, for build, for reload and at the next start")
def broken_keeps_old():
    i = fresh(tables={"access": ["client:127.0.0.0/8 relay"]}).start()
    with open(i.control("heloise.cdb"), "rb") as f:
        before = f.read()
    i.table("access", "client:nonsense relay")
    for command in ("build", "reload"):
        equal(i.cli(command).returncode, 78, command)
    with open(i.control("heloise.cdb"), "rb") as f:
        check(f.read() == before, "the compiled tables changed")
    for again in range(2):
        with Client(i) as c:
            c.cmd("EHLO x.example", 250)
            c.cmd("MAIL FROM:<s@client.example>", 250)
            c.cmd("RCPT TO:<x@elsewhere.example>", 250)
        if not again:
            i.restart()


@test("get prints one setting or all, set checks and keeps comments, build puts it in force")
def get_set():
    i = fresh()
    equal(i.cli("get", "hostname", ok=True).text, "heloise.example\n")
    every = i.cli("get", ok=True).text
    for name in ("hostname", "domain", "dns-servers", "dnssec", "smtp-port", "timeout-connect",
                 "timeout-greeting", "timeout-helo", "timeout-mail", "timeout-rcpt", "timeout-data",
                 "timeout-data-end", "timeout-quit", "message-size-limit", "postmaster"):
        check(any(line.split()[:1] == [name] for line in every.splitlines()), name, "is not in", every)
    i.table("settings", "# mine: keep this")
    i.cli("set", "timeout-helo", "42s", ok=True)
    i.cli("set", "timeout-helo", "43s", ok=True)
    with open(i.control("settings")) as f:
        text = f.read()
    check("# mine: keep this" in text and "43s" in text and "42s" not in text, text)
    contains(i.cli("get", "timeout-helo", ok=True).text, "43s")
    for name, value in (("what", "1"), ("timeout-helo", "soon"), ("hostname", ""), ("hostname", "host"),
                        ("hostname", "a.b."), ("smtp-port", "0"), ("dnssec", "maybe"),
                        ("dns-servers", "not an address"), ("message-size-limit", "1\n2")):
        r = i.cli("set", name, value)
        check(r.returncode in (64, 65, 78) and r.error, name, repr(value), "was taken")
    with open(i.control("settings")) as f:
        equal(f.read(), text, "settings")
    check(i.cli("get", "what").returncode != 0, "get of an unknown setting")


@test("a second run on the same instance is refused, and the first goes on")
def run_twice():
    i = fresh().start()
    r = i.cli("run", timeout=15)
    equal(r.returncode, 75)
    check(r.error, "no message")
    with Client(i) as c:
        c.cmd("NOOP", 250)


@test("run ends within 5 seconds of SIGTERM and leaves no process, also with sessions open")
def sigterm():
    i = fresh().start()
    open_sessions = [Client(i) for _ in range(3)]
    open_sessions[0].cmd("EHLO x.example", 250)
    open_sessions[1].cmd("EHLO x.example", 250)
    open_sessions[1].cmd("MAIL FROM:<s@client.example>", 250)
    open_sessions[1].cmd("RCPT TO:<postmaster>", 250)
    open_sessions[1].cmd("DATA", 354)
    pids = i.pids()
    check(len(pids) >= 7, pids)
    took = i.stop()
    equal(i.process.returncode, 0, "exit code")
    check(took < 5, "it took %.1f s" % took)
    for name, pid in pids.items():
        check(not os.path.exists("/proc/%d" % pid), name, "is still there")


@test("run that is told to end when its programs are gone already says nothing of it")
def end_after_programs():
    i = fresh().start()
    pids = i.pids()
    os.kill(i.process.pid, signal.SIGSTOP)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    os.kill(i.process.pid, signal.SIGTERM)
    os.kill(i.process.pid, signal.SIGCONT)
    equal(i.process.wait(8), 0, "exit code")
    equal(i.find_events("failed"), [])


@test("run killed by SIGKILL takes all programs with it, and the next start is like any other")
def run_killed():
    i = fresh().start()
    pids = i.pids()
    os.kill(i.process.pid, signal.SIGKILL)
    i.process.wait()
    wait_for("the programs are gone", lambda: not any(os.path.exists("/proc/%d" % p) for p in pids.values()))
    i.start()
    i.wait_event("delivered", id=i.send("s@client.example", "postmaster@heloise.example"))


@test("rubbish in run/ does not stop the next start")
def rubbish():
    i = fresh().start()
    i.stop()
    for name in ("lock", "status", "control", "rubbish"):
        path = i.dir + "/run/" + name
        if os.path.exists(path) and name == "control":
            continue
        with open(path, "w") as f:
            f.write("rubbish\n")
        os.chown(path, i.user.pw_uid, i.user.pw_gid)
    i.start()


@test("reload changes tables and settings and drops no session")
def reload_keeps_sessions():
    i = fresh().start()
    c = Client(i)
    c.cmd("EHLO x.example", 250)
    c.cmd("MAIL FROM:<s@client.example>", 250)
    c.cmd("RCPT TO:<postmaster@heloise.example>", 250)
    half = Client(i)
    half.cmd("EHLO x.example", 250)
    half.cmd("MAIL FROM:<s@client.example>", 250)
    half.cmd("RCPT TO:<postmaster@heloise.example>", 250)
    half.cmd("DATA", 354)
    half.raw("Subject: half\r\n\r\nbefore\r\n")
    pids = i.pids()
    i.table("access", "client:127.0.0.0/8 relay")
    i.cli("reload", ok=True)

    def open_now():
        with Client(i) as new:
            new.cmd("EHLO x.example", 250)
            new.cmd("MAIL FROM:<s@client.example>", 250)
            return new.cmd("RCPT TO:<x@elsewhere.example>").code == 250
    wait_for("the new table", open_now)
    half.raw("after\r\n.\r\n")
    equal(half.reply().code, 250)
    c.data(letter("reload"))
    os.kill(i.process.pid, signal.SIGHUP)
    time.sleep(0.3)
    equal(c.cmd("NOOP").code, 250)
    equal(i.pids(), pids, "programs")


@test("reload takes up a new listen address and gives up an old one")
def reload_listen():
    i = fresh().start()
    address = new_address()
    port = free_port(address)
    with open(i.control("listen")) as f:
        text = f.read()
    i.table("listen", "%s:%d mx" % (address, port))
    i.cli("reload", ok=True)

    def reachable():
        try:
            return Client(address=address, port=port).banner.code == 220
        except OSError:
            return False
    wait_for("the new address", reachable)
    i.table("listen", text.rstrip("\n"), replace=True)
    i.cli("reload", ok=True)
    wait_for("the new address is given up", lambda: not reachable())
    with Client(i) as c:
        c.cmd("NOOP", 250)


@test("status tells what runs, as text and as JSON, and that nothing does")
def status():
    i = fresh().start()
    r = i.cli("status", ok=True)
    contains(r.text, "smtpd", "queue", "deliver")
    told = json.loads(i.cli("status", "--json", ok=True).text)
    check(isinstance(told, dict) and told, told)
    i.stop()
    r = i.cli("status")
    check(r.returncode != 0 and (r.text or r.error), "exit", r.returncode)


@test("a port that is taken, and an address that is not ours: a clear error, exit code not 0")
def port_taken():
    first = fresh().start()
    second = fresh(address=first.address, port=first.port)
    r = second.cli("run", timeout=15)
    check(r.returncode != 0)
    contains(r.error, "%s:%d" % (first.address, first.port))
    foreign = fresh(address="192.0.2.1", port=2525)
    r = foreign.cli("run", timeout=15)
    check(r.returncode != 0)
    contains(r.error, "192.0.2.1:2525")


@test("nothing depends on HOME, the working directory or standard error being read")
def bare_environment():
    i = fresh()
    reader, writer = os.pipe()
    i.process = subprocess.Popen(i.command("heloise", "run"), stdin=subprocess.DEVNULL, stdout=writer,
                                 stderr=writer, cwd="/", env={}, **i.as_user())
    os.close(writer)
    os.close(reader)  # every line of the log is a broken pipe now
    i.wait_ready()
    i.send("s@client.example", "postmaster@heloise.example")
    wait_for("delivery without a log", lambda: not i.queue() and not i.queue_files())


if __name__ == "__main__":
    main()
