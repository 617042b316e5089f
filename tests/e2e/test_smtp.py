"""The listener: what it takes, what it refuses, and how it says so."""

import re
import time

from harness import (Client, Instance, check, contains, crlf, equal, letter, main, new_address,
                     test, wait_for)
from sink import Sink

_shared = {}
RELAY = new_address()   # clients from here may relay
STRANGER = new_address()
MASKED = new_address()
QUIET = new_address()


def instance():
    if not _shared:
        sink = Sink()
        i = Instance(is_shared=True, settings={"domain": "inside.example"}, tables={
            "mailboxes": ["alice alice/", "bob bob/"],
            "access": ["client:%s relay" % RELAY, "sender:bad@client.example reject 5.7.1 not you",
                       "rcpt:bob@heloise.example defer come back later"],
            "verbs": ["%s -8bitmime -dsn" % QUIET, "%s 3503297" % MASKED],
            "routes": ["elsewhere.example " + sink.route]})
        i.start()
        _shared.update(i=i, sink=sink)
    return _shared["i"]


def session(source=STRANGER, hello="EHLO client.example"):
    c = Client(instance(), source=source)
    c.ehlo = c.cmd(hello) if hello else None
    return c


def keywords(c):
    return [line[4:].split(" ")[0] for line in c.ehlo.lines[1:]]


def refused(reply, code, status):
    check(reply.code == code and reply.text.startswith(status + " "), "answered", reply,
          "instead of", code, status)


# ---- delivery

@test("a message for a local user arrives in the Maildir, byte for byte")
def local_delivery():
    i = instance()
    text = letter("exact", ".\n..\n.x\nplain\n\n  spaces  \n" + "y" * 900 + "\nlast\n")
    number = i.send("sender@client.example", "alice@heloise.example", text, source=STRANGER)
    i.wait_event("delivered", id=number)
    mail = [m for m in i.mail("alice") if b"Subject: exact" in m][0]
    check(mail.endswith(text.encode()), "changed: %r" % mail[-1200:])
    head = mail[:-len(text)].decode()
    contains(head, "Return-Path: <sender@client.example>", "Delivered-To: ", "Received: ", number)
    wait_for("the queue is clear", lambda: not any(m["id"] == number for m in i.queue()))


@test("an empty message and one without a final empty header line arrive")
def odd_messages():
    i = instance()
    for text in ("", "just one line\n", "\nbody only\n"):
        i.wait_event("delivered", id=i.send("s@client.example", "alice@heloise.example", text))


@test("a message for many: each local recipient gets it once, the relayed ones share a transaction")
def many_recipients():
    i, sink = instance(), _shared["sink"]
    to = ["r%d@elsewhere.example" % n for n in range(5)] + ["alice@heloise.example"]
    before = len(sink.messages)
    number = i.send("s@client.example", to, letter("many"), source=RELAY)
    for r in to:
        i.wait_event("delivered", id=number, recipient=r)
    equal(len(sink.messages) - before, 1, "transactions")
    equal(len([m for m in i.mail("alice") if b"Subject: many" in m]), 1, "local copies")


@test("no time is lost between the dot and the peer")
def latency():
    i, sink, took = instance(), _shared["sink"], []
    for n in range(10):
        with Client(i, source=RELAY) as c:
            seen = len(sink.messages)
            c.send("s@client.example", "fast@elsewhere.example", letter("fast"))
            began = time.monotonic()
            while len(sink.messages) == seen and time.monotonic() < began + 5:
                time.sleep(0.001)
            took.append(time.monotonic() - began)
    print("# milliseconds from 250 to the peer: %s" % " ".join("%.1f" % (t * 1000) for t in took))
    check(sorted(took)[5] < 1, "median %.3f s" % sorted(took)[5])


@test("a big message arrives whole")
def big_message():
    i, sink = instance(), _shared["sink"]
    text = crlf(letter("big", "".join("%07d %s\n" % (n, "z" * 70) for n in range(40000))))
    number = i.send("s@client.example", "big@elsewhere.example", text, source=RELAY)
    i.wait_event("delivered", id=number)
    check(any(m.endswith(text) for m in sink.messages), "it changed")


# ---- who may send to whom

@test("an unknown local user is refused at RCPT with 550 5.1.1")
def unknown_user():
    c = session()
    c.cmd("MAIL FROM:<s@client.example>", 250)
    refused(c.cmd("RCPT TO:<nobody-here@heloise.example>"), 550, "5.1.1")
    refused(c.cmd("RCPT TO:<nobody-here@HELOISE.example>"), 550, "5.1.1")
    c.cmd("RCPT TO:<alice@heloise.example>", 250)


@test("postmaster always exists, with and without a domain; root is a user like no other")
def postmaster():
    i = instance()
    c = session()
    c.cmd("MAIL FROM:<s@client.example>", 250)
    for who in ("<postmaster>", "<Postmaster@heloise.example>", "<root@heloise.example>"):
        c.cmd("RCPT TO:" + who, 250)
    number = c.data(letter("to postmaster"))
    wait_for("it is delivered", lambda: len(i.find_events("delivered", id=number)) == 3)


@test("relaying is closed, and the refusal says what to change")
def relay_closed():
    c = session()
    c.cmd("MAIL FROM:<s@client.example>", 250)
    r = c.cmd("RCPT TO:<someone@elsewhere.example>")
    refused(r, 550, "5.7.1")
    contains(str(r), "address %s may not" % c.sock.getsockname()[0])
    for sly in ("<someone%elsewhere.example@heloise.example>", "<elsewhere.example!someone@heloise.example>",
                "<@heloise.example:someone@elsewhere.example>", "<\"someone@elsewhere.example\"@heloise.example>"):
        check(c.cmd("RCPT TO:" + sly).code >= 500, sly, "was accepted")


@test("relaying is opened by access, for that client only")
def relay_open():
    c = session(RELAY)
    c.cmd("MAIL FROM:<s@client.example>", 250)
    c.cmd("RCPT TO:<someone@elsewhere.example>", 250)


@test("access refuses a sender and defers a recipient with its text")
def access():
    c = session()
    r = c.cmd("MAIL FROM:<bad@client.example>")
    refused(r, 550, "5.7.1")
    contains(r.text, "not you")
    c.cmd("MAIL FROM:<good@client.example>", 250)
    r = c.cmd("RCPT TO:<bob@heloise.example>")
    check(450 <= r.code < 460, r)
    contains(r.text, "come back later")


# ---- the greeting

@test("EHLO offers SIZE PIPELINING 8BITMIME DSN ENHANCEDSTATUSCODES, one a line, the name first")
def ehlo_answer():
    c = session()
    equal(c.ehlo.lines[0][4:], "heloise.example")
    for word in ("SIZE", "PIPELINING", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES"):
        check(keywords(c).count(word) == 1, word, "in", keywords(c))
    check(any(re.fullmatch(r"250[- ]SIZE [1-9]\d+", line) for line in c.ehlo.lines), c.ehlo)


@test("HELO is answered with one line")
def helo_answer():
    c = session(hello="HELO client.example")
    equal((c.ehlo.code, len(c.ehlo.lines)), (250, 1))


TAKEN = ["host-only", "sub2.", "sub2.client.example.", "a..b", ".a", "under_score.example", "two words",
         "1.2.3.4", "2001:db8::1", "[1.2.3.4]", "[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]", "[::1]",
         "[999.1.1.1]", "[1.2.3.4", "b\xc3\xbccher.example", "\xff\xfe", "heloise.example", "localhost",
         "localhost.localdomain", "x" * 255, "EHLO", "<>", "a,b", "%s%n"]
REFUSED = ["", " ", "x" * 256, "a\x01b", "a\x7fb", "\x1b[31m"]


@test("HELO and EHLO arguments: every odd one of the table is taken")
def hello_taken():
    for verb in ("EHLO", "HELO"):
        for argument in TAKEN:
            with Client(instance(), source=STRANGER) as c:
                c.raw((verb + " " + argument + "\r\n").encode("latin-1"))
                r = c.reply()
                check(r.code == 250, verb, repr(argument), "was answered", r)
                c.cmd("MAIL FROM:<s@client.example>", 250)


@test("HELO and EHLO arguments: 501 for none, too long and control bytes, and the session stays as it was")
def hello_refused():
    for argument in REFUSED:
        with session() as c:
            c.cmd("MAIL FROM:<s@client.example>", 250)
            c.raw(("EHLO " + argument).rstrip(" ").encode("latin-1") + b"\r\n")
            r = c.reply()
            check(r.code == 501 and r.text.startswith("5.5."), repr(argument), "was answered", r)
            c.cmd("RCPT TO:<alice@heloise.example>", 250)


@test("five refused greetings end the session with 421")
def greeting_limit():
    c = session(hello=None)
    codes = []
    for _ in range(6):
        codes.append(c.cmd("EHLO").code)
        if codes[-1] == 421:
            break
    equal(codes, [501] * (len(codes) - 1) + [421])
    check(5 <= len(codes) <= 6, codes)
    check(c.is_closed(), "the session goes on")


@test("a host-only name of a client that may relay is completed, a stranger's is not")
def completion():
    i = instance()
    for source, name, expected in ((RELAY, "sub2", b"from sub2.inside.example (HELO sub2)"),
                                   (RELAY, "sub3.", b"from sub3.inside.example (HELO sub3.)"),
                                   (STRANGER, "sub4", b"from sub4 ")):
        number = i.send("s@client.example", "alice@heloise.example", letter("completion " + name),
                        hello=name, source=source)
        i.wait_event("delivered", id=number)
        mail = [m for m in i.mail("alice") if ("Subject: completion %s\n" % name).encode() in m][0]
        contains(re.sub(rb"\n[ \t]+", b" ", mail).decode("latin-1"), expected.decode())


@test("a name outside the grammar stands as it was said in the Received field, and starts no new line there")
def malformed_name():
    i = instance()
    number = i.send("s@client.example", "alice@heloise.example", letter("malformed name"),
                    hello="a..b(x)\\\"y", source=STRANGER)
    i.wait_event("delivered", id=number)
    mail = [m for m in i.mail("alice") if b"Subject: malformed name" in m][0]
    received = re.sub(rb"\n[ \t]+", b" ", mail).split(b"Received:")[1].split(b"\n")[0]
    contains(received.decode("latin-1"), "a..b")


@test("helo-policy strict wants the grammar, junk takes anything")
def hello_policies():
    i = instance()
    try:
        i.cli("set", "helo-policy", "strict", ok=True)
        i.cli("reload", ok=True)
        wait_for("strict", lambda: session(hello="EHLO under_score").ehlo.code == 501)
        equal(session(hello="EHLO good.example").ehlo.code, 250)
        i.cli("set", "helo-policy", "junk", ok=True)
        i.cli("reload", ok=True)
        wait_for("junk", lambda: session(hello="EHLO").ehlo.code == 250)
    finally:
        i.cli("set", "helo-policy", "normal", ok=True)
        i.cli("reload", ok=True)
    wait_for("normal", lambda: session(hello="EHLO").ehlo.code == 501)


@test("verbs are switched off for one network by name")
def verbs_by_name():
    check("8BITMIME" not in keywords(session(QUIET)) and "DSN" not in keywords(session(QUIET)))
    check("PIPELINING" in keywords(session(QUIET)))
    check("8BITMIME" in keywords(session()))


@test("verbs are switched off for one network by an IIS mask, which governs no others")
def verbs_by_mask():
    words = keywords(session(MASKED))
    check("8BITMIME" not in words and "DSN" in words and "ENHANCEDSTATUSCODES" in words
          and "PIPELINING" in words and "SIZE" in words, words)


# ---- commands

@test("RSET, NOOP, VRFY, HELP, QUIT, before and after the greeting")
def small_commands():
    c = session(hello=None)
    for when in range(2):
        for command, code in (("RSET", 250), ("NOOP", 250), ("NOOP ignored", 250), ("VRFY alice", 252)):
            equal(c.cmd(command).code, code, command)
        check(c.cmd("HELP").code in (211, 214))
        c.cmd("EHLO client.example", 250)
    refused(c.cmd("RCPT TO:<alice@heloise.example>"), 503, "5.5.1")
    refused(c.cmd("DATA"), 503, "5.5.1")
    c.cmd("QUIT", 221)
    check(c.is_closed())


@test("MAIL before a greeting is refused with 503")
def mail_first():
    check(session(hello=None).cmd("MAIL FROM:<s@client.example>").code == 503)


@test("a second greeting resets the transaction")
def second_greeting():
    c = session()
    c.cmd("MAIL FROM:<s@client.example>", 250)
    c.cmd("EHLO client.example", 250)
    check(c.cmd("RCPT TO:<alice@heloise.example>").code == 503)


@test("malformed addresses and parameters are refused with a code that fits")
def malformed_commands():
    c = session()
    for command, code in (("MAIL", 501), ("MAIL FROM", 501), ("MAIL FROM:<a", 501),
                          ("MAIL FROM:<s@client.example> WHAT=1", 555),
                          ("MAIL FROM:<s@client.example> SIZE=x", 501),
                          ("MAIL FROM:<s@client.example> BODY=9BIT", 501),
                          ("MAIL FROM:<s@client.example> RET=SOME", 501),
                          ("MAIL FROM:<s@client.example> SIZE=99999999999", 552)):
        r = c.cmd(command)
        check(r.code == code and re.match(r"5\.\d+\.\d+ ", r.text), command, "was answered", r)
    c.cmd("MAIL FROM:<s@client.example>", 250)
    for command in ("RCPT TO:<>", "RCPT TO:<alice@>", "RCPT TO:<al ice@heloise.example>",
                    "RCPT TO:<alice@heloise.example> NOTIFY=NEVER,FAILURE",
                    "RCPT TO:<alice@heloise.example> WHAT"):
        r = c.cmd(command)
        check(500 <= r.code < 560, command, "was answered", r)
    c.cmd("RCPT TO:<alice@heloise.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@x.example", 250)


@test("unknown commands are answered 500 and end the session only at the error limit, with 421")
def error_limit():
    c = session()
    codes = []
    for n in range(25):
        codes.append(c.cmd("XYZZY %d" % n).code)
        if codes[-1] == 421:
            break
    check(codes[:19] == [500] * 19 and codes[-1] == 421 and len(codes) <= 21, codes)
    check(c.is_closed(), "the session goes on")


@test("a whole session in one write is answered in order")
def pipelining():
    i = instance()
    with Client(i, source=STRANGER) as c:
        c.raw("EHLO client.example\r\nMAIL FROM:<s@client.example>\r\nRCPT TO:<alice@heloise.example>\r\n"
              "RCPT TO:<nobody-here@heloise.example>\r\nRCPT TO:<alice@heloise.example>\r\nDATA\r\n")
        equal([c.reply().code for _ in range(6)], [250, 250, 250, 550, 250, 354])
        c.raw("Subject: pipelined\r\n\r\nx\r\n.\r\nMAIL FROM:<s@client.example>\r\n"
              "RCPT TO:<alice@heloise.example>\r\nRSET\r\nNOOP\r\nQUIT\r\n")
        equal([c.reply().code for _ in range(6)], [250, 250, 250, 250, 250, 221])


@test("a command that comes byte by byte, and a line end in two pieces")
def bytes_apart():
    with session() as c:
        for byte in "NOOP\r":
            c.raw(byte)
            time.sleep(0.01)
        c.raw("\nNOOP\r\n")
        equal([c.reply().code, c.reply().code], [250, 250])


@test("a command line that is too long is refused whole, and the session goes on")
def long_command():
    with session() as c:
        c.raw("NOOP " + "x" * 100000 + "\r\nNOOP\r\n")
        r = c.reply()
        check(r.code == 500, r)
        equal(c.reply().code, 250)


@test("a message with a line of 1 MB is taken or refused, never cut")
def long_line():
    i = instance()
    with session() as c:
        c.cmd("MAIL FROM:<s@client.example>", 250)
        c.cmd("RCPT TO:<alice@heloise.example>", 250)
        c.cmd("DATA", 354)
        c.raw("Subject: long line\r\n\r\n" + "q" * 1000000 + "\r\n.\r\n")
        r = c.reply()
        c.cmd("NOOP", 250)
    if r.code == 250:
        number = re.search(r"queued as (\S+)", r.text).group(1)
        i.wait_event("delivered", id=number)
        mail = [m for m in i.mail("alice") if b"Subject: long line" in m][0]
        check(b"q" * 1000000 in mail, "it was cut")
    else:
        check(500 <= r.code < 560, r)


# ---- the end of the data

SMUGGLED = b"MAIL FROM:<smuggled@client.example>\r\nRCPT TO:<alice@heloise.example>\r\nDATA\r\n" \
           b"Subject: smuggled\r\n\r\nx\r\n"
ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r\n\x00.\r\n",
        b"\r\n.\x00\r\n", b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\n\n.\n\n", b"\r\n.\n\r\n", b"\x00", b"\r", b"\n"]


@test("no variant of CR, LF and dot ends a message or starts a command: 550 after the real end")
def smuggling():
    i = instance()
    for end in ENDS:
        with session() as c:
            c.cmd("MAIL FROM:<s@client.example>", 250)
            c.cmd("RCPT TO:<alice@heloise.example>", 250)
            c.cmd("DATA", 354)
            c.raw(b"Subject: outer\r\n\r\ntext" + end + SMUGGLED + b".\r\n")
            r = c.reply()
            check(r.code == 550 and r.text.startswith("5.6."), repr(end), "was answered", r)
            c.cmd("NOOP", 250)
    check(not i.find_events("received", sender="smuggled@client.example"), "a message was smuggled in")
    check(not any(b"smuggled" in m for m in i.mail("alice")), "smuggled mail")


@test("a dot split over packets ends the message, dots before text are unstuffed")
def split_dot():
    i = instance()
    with session() as c:
        c.cmd("MAIL FROM:<s@client.example>", 250)
        c.cmd("RCPT TO:<alice@heloise.example>", 250)
        c.cmd("DATA", 354)
        for piece in ("Subject: split dot\r", "\n\r\n", ".", ".one\r\n", "..", "\r\n", "two", "\r", "\n", ".", "\r"):
            c.raw(piece)
            time.sleep(0.02)
        c.raw("\n")
        r = c.reply()
        equal(r.code, 250)
    i.wait_event("delivered", id=re.search(r"queued as (\S+)", r.text).group(1))
    mail = [m for m in i.mail("alice") if b"Subject: split dot" in m][0]
    check(mail.endswith(b"\n\n.one\n.\ntwo\n"), repr(mail[-40:]))


@test("a client that vanishes in the middle of its message leaves nothing")
def vanished():
    i = instance()
    before = len(i.queue_files())
    for reset in (False, True):
        c = session()
        c.cmd("MAIL FROM:<s@client.example>", 250)
        c.cmd("RCPT TO:<alice@heloise.example>", 250)
        c.cmd("DATA", 354)
        c.raw("Subject: vanished\r\n\r\nhalf a mess")
        c.close()
    time.sleep(0.5)
    check(len(i.queue_files()) <= before, "a file is left in the queue")
    check(not any(b"Subject: vanished" in m for m in i.mail("alice")), "it was delivered")


@test("a message larger than the limit is refused after its end with 552 5.3.4")
def too_large():
    i = instance()
    try:
        i.cli("set", "message-size-limit", "20000", ok=True)
        i.cli("reload", ok=True)
        wait_for("the limit", lambda: "250-SIZE 20000" in session().ehlo.lines or
                 "250 SIZE 20000" in session().ehlo.lines)
        c = session()
        refused(c.cmd("MAIL FROM:<s@client.example> SIZE=20001"), 552, "5.3.4")
        c.cmd("MAIL FROM:<s@client.example>", 250)
        c.cmd("RCPT TO:<alice@heloise.example>", 250)
        refused(c.data("x" * 70 + "\n" + ("y" * 70 + "\n") * 400, code=552), 552, "5.3.4")
        c.cmd("NOOP", 250)
    finally:
        i.cli("set", "message-size-limit", "50m", ok=True)
        i.cli("reload", ok=True)


@test("a message with a hundred Received fields is a loop: 554 5.4.6; ninety are none")
def received_loop():
    for count, code in ((90, 250), (100, 554)):
        c = session()
        c.cmd("MAIL FROM:<s@client.example>", 250)
        c.cmd("RCPT TO:<alice@heloise.example>", 250)
        r = c.data("Received: from a by b; now\n" * count + letter("loop"), code=code)
        if code == 554:
            refused(r, 554, "5.4.6")


@test("more recipients than the limit get 452, the others their mail")
def recipient_limit():
    i = instance()
    try:
        i.cli("set", "recipient-limit", "100", ok=True)
        i.cli("reload", ok=True)

        def limited():
            c = session(RELAY)
            c.cmd("MAIL FROM:<s@client.example>", 250)
            for n in range(101):
                c.raw("RCPT TO:<n%d@elsewhere.example>\r\n" % n)
            codes = [c.reply().code for _ in range(101)]
            return codes == [250] * 100 + [452]
        wait_for("the limit", limited, 5)
    finally:
        i.cli("set", "recipient-limit", "1000", ok=True)
        i.cli("reload", ok=True)


@test("fifty sessions at once, each with five messages")
def many_sessions():
    i = instance()
    clients = [session(RELAY) for _ in range(50)]
    ids = set()
    for n in range(5):
        for c in clients:
            c.raw("MAIL FROM:<s@client.example>\r\nRCPT TO:<many@elsewhere.example>\r\nDATA\r\n")
        for c in clients:
            equal([c.reply().code for _ in range(3)], [250, 250, 354])
            c.raw("Subject: flood\r\n\r\nx\r\n.\r\n")
        for c in clients:
            r = c.reply()
            check(r.code == 250, r)
            ids.add(re.search(r"queued as (\S+)", r.text).group(1))
    for c in clients:
        c.close()
    equal(len(ids), 250, "ids")
    wait_for("all are delivered", lambda: not ids - {e[1]["id"] for e in i.find_events("delivered")}, 30)


@test("every refusal so far had an enhanced code and a text")
def refusals():
    for event in instance().find_events("refused"):
        reply = event[1]["reply"]
        check(re.match(r"[45]\d\d [45]\.\d+\.\d+ \S+", reply), reply)


if __name__ == "__main__":
    main()
