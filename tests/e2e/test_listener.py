"""The listener's clocks, limits and neighbours: silence, floods, restarts, stop and reload."""

import os
import signal
import socket
import time

from harness import (Client, Instance, check, contains, equal, letter, main, new_address, test,
                     wait_for)

RELAY = new_address()


def make(**settings):
    i = Instance(settings={k.replace("_", "-"): v for k, v in settings.items()},
                 tables={"mailboxes": ["alice alice/"]})
    i.start()
    return i


def to_data(c):
    c.cmd("EHLO client.example", 250)
    c.cmd("MAIL FROM:<s@client.example>", 250)
    c.cmd("RCPT TO:<alice@heloise.example>", 250)
    c.cmd("DATA", 354)


def pause(i, name):
    """Stops a program with SIGSTOP; returns how to let it go on."""
    pid = i.pids()[name]
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


@test("silence ends a session with 421 4.4.2, before a command and in the message")
def silence():
    i = make(smtpd_timeout_command="700ms", smtpd_timeout_data="1s")
    with Client(i) as idle, Client(i) as dripping, Client(i) as c:
        to_data(c)
        began = time.monotonic()
        c.raw("Subject: half\r\n")
        for byte in "NOOP with":  # a command that never ends does not wind the clock up
            dripping.raw(byte)
            time.sleep(0.1)
        contains(idle.reply().lines[0], "421 4.4.2")
        contains(dripping.reply().lines[0], "421 4.4.2")
        contains(c.reply().lines[0], "421 4.4.2")
        check(time.monotonic() - began < 4, "too late")
        check(c.is_closed() and idle.is_closed(), "not closed")
    check(not i.queue_files(), "something was queued")
    i.stop()


@test("a client that goes on slowly is not cut off")
def slowly():
    i = make(smtpd_timeout_command="700ms", smtpd_timeout_data="700ms")
    with Client(i) as c:
        to_data(c)
        for _ in range(6):
            c.raw("x: y\r\n")
            time.sleep(0.3)
        c.raw("\r\n.\r\n")
        equal(c.reply().code, 250)
        for _ in range(4):
            time.sleep(0.3)
            c.cmd("NOOP", 250)
    i.stop()


@test("one session more than session-limit gets 421 4.3.2; room again when one ends")
def session_limit():
    i = make(session_limit="3")
    i.wait_event("disconnected")  # the look whether it is up
    held = [Client(i) for _ in range(3)]
    with Client(i) as c:
        contains(c.banner.lines[0], "421 4.3.2")
        check(c.is_closed(), "not closed")
    held.pop().cmd("QUIT", 221)
    wait_for("room", lambda: Client(i).banner.code == 220)
    i.stop()


@test("a client that sends commands and reads nothing is held back, then answered in full")
def no_reader():
    i = make()
    n = 60000
    with Client(i) as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.sock.settimeout(1)
        data, sent = b"NOOP\r\n" * n, 0
        try:
            while sent < len(data):
                sent += c.sock.send(data[sent:sent + 65536])
        except socket.timeout:
            pass
        with Client(i) as other:
            other.cmd("NOOP", 250)
        got = 0
        c.sock.settimeout(10)
        while got < n:
            try:
                if sent < len(data):
                    c.sock.setblocking(False)
                    sent += c.sock.send(data[sent:sent + 65536])
            except BlockingIOError:
                pass
            c.sock.settimeout(10)
            got += c.sock.recv(65536).count(b"\n")
        equal(got, n)
    i.stop()


@test("the intake dies in the middle of a message: 451 after its end, and the next is taken")
def intake_dies():
    i = make()
    with Client(i) as c:
        to_data(c)
        c.raw("Subject: lost\r\n\r\n")
        time.sleep(0.2)
        os.kill(i.pids()["intake"], signal.SIGKILL)
        time.sleep(0.2)
        c.raw("more\r\nRSET\r\n.\r\n")
        contains(c.reply().lines[0], "451 4.3.0")

        def again():
            c.cmd("RSET", 250)
            c.cmd("MAIL FROM:<s@client.example>", 250)
            c.cmd("RCPT TO:<alice@heloise.example>", 250)
            return c.cmd("DATA").code == 354
        wait_for("the intake", again)
        c.raw(letter("found").replace("\n", "\r\n") + ".\r\n")
        equal(c.reply().code, 250)
    i.wait_mail("alice", 1)
    i.stop()


@test("heloise-auth dies while a recipient is in question: 451, and then it is known again")
def auth_dies():
    i = make()
    with Client(i) as c:
        pause(i, "auth")
        c.cmd("EHLO client.example", 250)
        c.cmd("MAIL FROM:<s@client.example>", 250)
        c.raw("RCPT TO:<alice@heloise.example>\r\nNOOP\r\n")
        time.sleep(0.3)
        os.kill(i.pids()["auth"], signal.SIGKILL)
        contains(c.reply().lines[0], "451 4.3.0")
        equal(c.reply().code, 250)
        wait_for("auth", lambda: c.cmd("RCPT TO:<alice@heloise.example>").code == 250)
        equal(c.cmd("RCPT TO:<stranger@heloise.example>").lines[0][:9], "550 5.1.1")
    i.stop()


@test("a client that vanishes while others are asked about it leaves no trace")
def vanishes():
    i = make()
    go_on = pause(i, "auth")
    for _ in range(20):
        c = Client(i)
        c.raw("EHLO a.example\r\nMAIL FROM:<s@a.example>\r\nRCPT TO:<alice@heloise.example>\r\n")
        time.sleep(0.01)
        c.close()
    go_on()
    go_on = pause(i, "intake")
    for _ in range(20):
        c = Client(i)
        c.raw("EHLO a.example\r\nMAIL FROM:<s@a.example>\r\nRCPT TO:<alice@heloise.example>\r\nDATA\r\n")
        time.sleep(0.01)
        c.close()
    go_on()
    i.send("s@client.example", "alice@heloise.example")
    i.wait_mail("alice", 1)
    check(not i.find_events("died fault"), i.find_events("died fault"))
    i.stop()


@test("a slow intake holds back the senders of large messages, and loses no byte")
def slow_intake():
    i = make()
    text = letter("large", "".join("%07d %s\n" % (n, "x" * 60) for n in range(600000)))  # more than all buffers hold
    with Client(i, timeout=60) as c, Client(i, timeout=60) as other:
        to_data(c)
        go_on = pause(i, "intake")
        data = text.replace("\n", "\r\n").encode()
        c.sock.settimeout(1)
        sent = 0
        try:
            while sent < len(data):
                sent += c.sock.send(data[sent:sent + 65536])
        except socket.timeout:
            pass
        check(sent < len(data), "nobody held it back")
        other.cmd("EHLO b.example", 250)
        go_on()
        c.sock.settimeout(60)
        c.sock.sendall(data[sent:] + b".\r\n")
        equal(c.reply().code, 250)
    i.wait_mail("alice", 1)
    check(i.mail("alice")[0].endswith(text.encode()), "changed")
    i.stop()


@test("stop: an idle session gets 421 4.3.2, a message under way may end, the rest is closed")
def stop():
    i = make()
    idle, busy, stuck = Client(i), Client(i), Client(i)
    to_data(busy)
    to_data(stuck)
    busy.raw("Subject: last\r\n")
    time.sleep(0.3)
    i.process.send_signal(signal.SIGTERM)
    contains(idle.reply().lines[0], "421 4.3.2")
    busy.raw("\r\nbody\r\n.\r\n")
    equal(busy.reply().code, 250)
    contains(busy.reply().lines[0], "421 4.3.2")
    check(stuck.is_closed(5), "still open")
    check(i.stop() < 5, "too slow")


@test("reload: new settings and tables are in force in sessions that are open")
def reload():
    i = make()
    with Client(i) as c:
        contains("\n".join(c.cmd("EHLO client.example").lines), "8BITMIME", "SIZE 52428800")
        c.cmd("MAIL FROM:<s@client.example>", 250)
        i.table("verbs", "127.0.0.0/8 -8bitmime")
        i.table("access", "client:127.0.0.0/8 relay")
        i.cli("set", "message-size-limit", "1m", ok=True)
        i.cli("reload", ok=True)
        i.wait_event("reloaded")
        c.cmd("RCPT TO:<alice@heloise.example>", 250)
        c.data()
        wait_for("the new limit", lambda: "SIZE 1048576" in str(c.cmd("EHLO client.example").lines))
        check("8BITMIME" not in str(c.cmd("EHLO client.example").lines), "still offered")
        c.cmd("MAIL FROM:<s@client.example>", 250)
        c.cmd("RCPT TO:<x@elsewhere.example>", 250)
        contains(c.cmd("RSET\r\nMAIL FROM:<s@client.example> SIZE=2000000").lines[0], "250")
        contains(c.reply().lines[0], "552 5.3.4")
    i.stop()


@test("two thousand sessions at once")
def thousands():
    i = make(session_limit="3000")
    clients = []
    try:
        for n in range(2000):
            clients.append(Client(i, source="127.0.%d.%d" % (1 + n // 200, 1 + n % 200)))
    except OSError as e:
        print("# %d sessions, then: %s" % (len(clients), e))
    check(len(clients) > 800, len(clients))
    for c in clients:
        c.cmd("NOOP", 250)
    with open("/proc/%d/status" % i.pids()["smtpd"]) as f:
        print("# " + [line for line in f if line.startswith("VmRSS")][0].strip(), len(clients))
    for c in clients:
        c.close()
    with Client(i) as c:
        c.cmd("NOOP", 250)
    i.stop()


if __name__ == "__main__":
    main()
