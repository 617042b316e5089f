"""No message ends where it does not, and nothing a client says becomes a header, a log line or an
address that it is not: every variant of line ends by DATA and by BDAT, to a Maildir and to a peer."""

import re

from harness import Client, Instance, check, contains, equal, letter, main, new_address, test, wait_for
from sink import Sink

STRANGER, LISTED = new_address(), new_address()
_shared = {}

INNER = (b"MAIL FROM:<smuggled@client.example>\r\nRCPT TO:<alice@heloise.example>\r\nDATA\r\n"
         b"Subject: smuggled\r\n\r\nx\r\n")
# what some server somewhere took for a message's end
BARE_LF = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\n\n.\n\n", b"\r\n.\n\r\n", b"\n..\n", b"\r\n..\n.\n", b"\n",
           b"\n.\n.\r\n", b"\n.\n\r\n.\n", b".\n.\r\n"]
OTHERS = [b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\n.\r\x00\n",
          b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\x00", b"\r", b"\n\r.\n\r", b"\r\n\r.\r\n"]


def instance():
    if not _shared:
        sink = Sink()
        i = Instance(is_shared=True, settings={"bare-lf-from": LISTED, "error-limit": "1000"}, tables={
            "mailboxes": ["alice alice/"], "domains": ["relayed.example relay"],
            "routes": ["relayed.example " + sink.route]})
        i.start()
        _shared.update(i=i, sink=sink)
    return _shared["i"]


def envelope(source):
    c = Client(instance(), source=source)
    c.cmd("EHLO client.example", 250)
    c.cmd("MAIL FROM:<s@client.example>", 250)
    for r in ("alice@heloise.example", "r@relayed.example"):
        c.cmd("RCPT TO:<%s>" % r, 250)
    return c


def by_data(source, content):
    with envelope(source) as c:
        c.cmd("DATA", 354)
        c.raw(content + b"\r\n.\r\n")
        r = c.reply()
        c.cmd("NOOP", 250)
        return r


def by_bdat(source, content, size):
    """In chunks of so many octets, all commands in one write; the reply that decided."""
    with envelope(source) as c:
        pieces = [content[n:n + size] for n in range(0, len(content), size)]
        c.raw(b"".join(b"BDAT %d\r\n%s" % (len(p), p) for p in pieces) + b"BDAT 0 LAST\r\n")
        replies = [c.reply() for _ in range(len(pieces) + 1)]
        c.cmd("NOOP", 250)
        bad = [r for r in replies if r.code != 250]
        if bad:
            check(all(r.code == 503 for r in bad[1:]), "after the refusal:", bad)
            check(not re.search("queued", replies[-1].text), replies[-1])
        return bad[0] if bad else replies[-1]


def untouched(text):
    return re.sub(rb"\A(Return-Path:.*\r?\n|Delivered-To:.*\r?\n)*Received:.*\r?\n([ \t].*\r?\n)*", b"", text)


def arrived(reply):
    """The message in the Maildir and at the peer, without what the way adds."""
    equal(reply.code, 250)
    i, number = instance(), re.search(r"queued as (\S+)", reply.text).group(1)
    i.wait_event("delivered", id=number, count=2)
    mine = [m for m in i.mail("alice") if number.encode() in m]
    theirs = [m for m in _shared["sink"].messages if number.encode() in m]
    equal((len(mine), len(theirs)), (1, 1))
    return untouched(mine[0]), untouched(theirs[0])


def none_smuggled():
    i = instance()
    check(not i.find_events("received", sender="smuggled@client.example"), "a message was smuggled in")
    check(not any("smuggled@" in c for c in _shared["sink"].commands), "a message was smuggled on")


@test("DATA: bare CR, bare LF and NUL, in any place, end nothing: 550 after the real end")
def refused_by_data():
    for end in BARE_LF + OTHERS:
        r = by_data(STRANGER, b"Subject: outer\r\n\r\ntext" + end + INNER)
        check(r.code == 550 and r.text.startswith("5.6."), repr(end), "was answered", r)
    for end in OTHERS:
        r = by_data(LISTED, b"Subject: outer\r\n\r\ntext" + end + INNER)
        check(r.code == 550 and r.text.startswith("5.6."), repr(end), "of a listed client was answered", r)
    none_smuggled()


@test("BDAT: the same, however the octets are cut into chunks")
def refused_by_bdat():
    for source, ends in ((STRANGER, BARE_LF + OTHERS), (LISTED, OTHERS)):
        for end in ends:
            for size in (1, 7, 1000):
                r = by_bdat(source, b"Subject: outer\r\n\r\ntext" + end + INNER, size)
                check(r.code == 550 and r.text.startswith("5.6."), repr(end), size, "was answered", r)
    none_smuggled()


def lines(content, is_stuffed):
    """The lines of a client that ends them with LF or CR LF."""
    return [l[1:] if is_stuffed and l[:1] == b"." and len(l) > 1 else l
            for l in re.split(rb"\r?\n", content)]


@test("DATA of a client whose bare LF is taken: one message, the same lines in the Maildir and at the peer")
def taken_by_data():
    for end in BARE_LF:
        content = b"Subject: outer\nX-Y: z\r\n\ntext" + end + INNER + b"last"
        mine, theirs = arrived(by_data(LISTED, content))
        equal(theirs, b"\r\n".join(lines(content, True)) + b"\r\n", repr(end))
        equal(mine, theirs.replace(b"\r\n", b"\n"), repr(end))
    none_smuggled()


@test("BDAT of such a client: the same, and dots are only dots")
def taken_by_bdat():
    for end in BARE_LF:
        content = b"Subject: outer\nX-Y: z\r\n\ntext" + end + INNER + b"last"
        mine, theirs = arrived(by_bdat(LISTED, content, 5))
        equal(theirs, b"\r\n".join(lines(content, False)) + b"\r\n", repr(end))
        equal(mine, theirs.replace(b"\r\n", b"\n"), repr(end))
    none_smuggled()


@test("BDAT: lines with a dot, and the end of DATA itself, are text, stuffed on the way on")
def dots_by_bdat():
    for content in (b".\r\n", b"\r\n.\r\n", b"A: b\r\n\r\n.\r\n" + INNER, b"A: b\r\n\r\n..\r\n.x\r\n.", b"A: b\r\n\r\n.\r\n.\r\n"):
        for size in (1, 3, 1000):
            mine, theirs = arrived(by_bdat(STRANGER, content, size))
            wanted = content if content.endswith(b"\r\n") else content + b"\r\n"
            if content == b".\r\n":
                wanted = b"\r\n" + wanted  # no header field: the body begins there
            equal(theirs, wanted)
            equal(mine, wanted.replace(b"\r\n", b"\n"))
    none_smuggled()


@test("what is pipelined behind DATA is the message; behind a refused DATA or BDAT, commands and octets; behind QUIT, nothing")
def pipelined():
    with envelope(STRANGER) as c:
        c.raw("DATA\r\nSubject: x\r\n\r\nRSET\r\nQUIT\r\n.\r\nNOOP\r\n")
        equal([c.reply().code for _ in range(3)], [354, 250, 250])
    with Client(instance(), source=STRANGER) as c:
        c.raw("EHLO x.example\r\nMAIL FROM:<s@x.example>\r\nRCPT TO:<no@elsewhere.example>\r\nDATA\r\n"
              "BDAT 6\r\nQUIT\r\nRSET\r\nQUIT\r\nNOOP\r\nMAIL FROM:<smuggled@client.example>\r\n")
        equal([c.reply().code for _ in range(7)], [250, 250, 550, 554, 554, 250, 221])
        check(c.is_closed(), "more was said behind QUIT")


@test("percent, bang, quoted and routed forms are what they are: a local user of that name, or a stranger's domain")
def rewriting():
    c = envelope(STRANGER)
    for address, code in (("alice%elsewhere.example@heloise.example", 550), ("elsewhere.example!alice@heloise.example", 550),
                          ('"alice@elsewhere.example"@heloise.example', 550), ('"alice%elsewhere.example"@heloise.example', 550),
                          ("@heloise.example:alice@elsewhere.example", 550), ("@a.example,@heloise.example:r@elsewhere.example", 550),
                          ("alice@elsewhere.example@heloise.example", 501), ("alice@heloise.example@elsewhere.example", 501),
                          ("@elsewhere.example:alice@heloise.example", 250), ('"alice"@heloise.example', 250),
                          ('"al\\ice"@heloise.example', 250), ("alice@[127.0.0.1]", 550), ("alice", 550),
                          ("@heloise.example:", 501), ("alice@heloise.example.", 250)):
        r = c.cmd("RCPT TO:<%s>" % address)
        check(r.code == code, address, "was answered", r)
    c.raw(b"RCPT TO:<alice@heloise.example\0@elsewhere.example>\r\n")
    equal(c.reply().code, 501)
    check(c.is_closed(), "a NUL in a command closes the session")


@test("bytes of HELO, addresses and parameters come to no header field and no log line as they are")
def injected():
    i = instance()
    hostile = ("a)\x7f b", "x\x1b[31m", "(a\\", "a\tb", "<>;", "a\u00ff", "x=\"y\"", "a " + "b" * 240)
    for name in hostile:
        with Client(i, source=STRANGER) as c:
            c.raw(("EHLO " + name + "\r\n").encode("latin-1"))
            if c.reply().code != 250:
                c.cmd("EHLO fine.example", 250)
            c.cmd('MAIL FROM:<"s\\"); x: \\\\ "@client.example> ENVID=a+2Bb+20;', 250)
            for bad in ("ENVID=a+0D+0Ab", "ENVID=+00", "ENVID=a+7F"):
                equal(c.cmd("MAIL FROM:<s@client.example> " + bad).code, 503)
            c.cmd('RCPT TO:<alice@heloise.example> ORCPT=rfc822;"a+20b"+29', 250)
            number = c.data(letter("injected"))
        i.wait_event("delivered", id=number)
        mail = [m for m in i.mail("alice") if number.encode() in m][0]
        head = mail.partition(b"\n\n")[0]
        check(re.search(rb"[^\t\n -~]", head) is None, "raw in a header: %r" % head)
        fields = [l.split(b":")[0] for l in head.split(b"\n") if l[:1] not in b" \t"]
        equal(fields, [b"Return-Path", b"Delivered-To", b"Received", b"From", b"To", b"Subject", b"Date", b"Message-ID"])
        received = re.sub(rb"\n[ \t]+", b" ", mail).split(b"Received: ")[1].split(b"\n")[0]
        check(re.match(rb"from [!-~]+ (\(HELO [^()\\]*\) )?\(\[[0-9a-fA-F.:]+\]\) by heloise\.example \(Heloise\) with ESMTP id "
                       + number.encode() + rb" for <alice@heloise\.example>; [^();]+\Z", received), repr(received))
    check(re.search(r"[^\n -~]", i.log_text()) is None, "raw in the log")


main()
