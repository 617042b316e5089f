"""8-bit mail for peers without 8BITMIME, read again by Python's email package.

Messages are made at random from a fixed seed, sent through the programs to a peer that offers
nothing, and compared part by part: decoded, all must be as it was."""

import base64
import email
import email.header
import quopri
import random
import re
import time

from harness import Client, Instance, check, crlf, equal, letter, main, test, wait_for
from sink import Sink

SEED = 20457
GOOD, BAD = 150, 100
_shared = {}


def instance():
    if not _shared:
        sink = Sink(offers=("SIZE 100000000",))
        i = Instance(is_shared=True, tables={"access": ["client:127.0.0.0/8 relay"],
                                             "mailboxes": ["alice alice/"],
                                             "routes": ["elsewhere.example " + sink.route]})
        i.start()
        _shared.update(i=i, sink=sink)
    return _shared["i"], _shared["sink"]


# ---- messages at random

WORDS = ["plain", "words", "=3D", "a=b", "Grüße", "日本語", "naïve", "x" * 90, "?", "-", "(c)", "\t", "  "]
LINES = ["", ".", "..", "-", "--", "--x", "From here on", "trailing \t ", " leading", "=", "=41", ".x ä",
         "--ä", "From ü", "A: b", "  "]


def text(r, eight=True, long=True):
    lines = []
    for _ in range(r.choice([0, 1, 3, 10, 40])):
        line = r.choice(LINES) if r.random() < 0.3 else \
            " ".join(r.choice(WORDS) for _ in range(r.choice([1, 2, 8, 20])))
        if long and r.random() < 0.03:
            line *= r.choice([20, 900])
        lines.append(line)
    data = "\r\n".join(lines).encode(r.choice(["utf-8", "utf-8", "utf-16-le"]) if eight else "utf-8")
    data = re.sub(rb"[\r\n\0]+", b"\r\n", data)
    if not eight:
        data = bytes(b for b in data if b < 128)
    return data


def binary(r):
    return bytes(r.choice([c for c in range(1, 256) if c not in (10, 13)])
                 for _ in range(r.randrange(0, 700)))


def field(r, name):
    words = [r.choice(["Grüße", "plain", "Köln".encode().decode("latin-1"), "日本語" * 8, "=?utf-8?Q?a=C3=A4?="])
             for _ in range(r.randrange(1, 6))]
    gap = r.choice([" ", " ", "\r\n "])
    charset = "utf-8" if r.random() < 0.7 or any(ord(c) > 255 for w in words for c in w) else "latin-1"
    return name.encode() + b": " + gap.join(words).encode(charset) + b"\r\n"


def leaf(r):
    kind = r.randrange(5)
    disposition = b""
    if r.random() < 0.3:
        disposition = b"Content-Disposition: attachment; filename=\"%s\"\r\n" % \
            r.choice(["Grüße.txt", "plain.txt", "日本語" * 9 + ".txt", "a b; c=ä.txt"]).encode()
    if kind == 0:
        return b"Content-Type: image/x\r\nContent-Transfer-Encoding: %s\r\n%s\r\n%s" % \
            (r.choice([b"binary", b"8bit"]), disposition, binary(r))
    if kind == 1:
        data = quopri.encodestring(text(r).replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        label = b"Quoted-Printable"
    elif kind == 2:
        data, label = base64.encodebytes(binary(r)).replace(b"\n", b"\r\n"), b"base64"
    elif kind == 3:
        data, label = text(r, eight=False), r.choice([b"7bit", b"8bit", b"7BIT (yes)"])
    else:
        data, label = text(r), r.choice([b"8bit", b"binary", b"8BIT"])
    charset = r.choice([b"; charset=utf-8", b"", b"; charset=\"iso-8859-1\"; format=flowed"])
    return b"Content-Type: text/plain%s\r\n%sContent-Transfer-Encoding: %s\r\n\r\n%s" % \
        (charset, disposition, label, data)


def entity(r, depth=0):
    kind = r.random()
    if depth > 4 or kind < 0.4:
        return leaf(r)
    if kind < 0.55:
        return b"Content-Type: message/rfc822\r\n%s\r\n" % \
            r.choice([b"", b"Content-Transfer-Encoding: 8bit\r\n"]) + message(r, depth + 1)
    boundary = r.choice(["b", "=_x y", "--", "b'()+_,./:=?", "===%d" % r.randrange(9)]) + str(depth)
    subtype = r.choice(["mixed", "alternative", "digest", "signed", "related; x=\"a;b\""])
    head = "Content-Type: multipart/%s;\r\n boundary=\"%s\"\r\n" % (subtype, boundary)
    if r.random() < 0.5:
        head += "Content-Transfer-Encoding: 8bit\r\n"
    parts = [r.choice(["", "This is MIME.", "Präambel"]).encode()]
    for _ in range(r.randrange(1, 4)):
        parts.append(message(r, depth + 1) if subtype == "digest" and r.random() < 0.5 else entity(r, depth + 1))
        if subtype == "digest" and parts[-1].startswith(b"X-Of"):
            parts[-1] = b"\r\n" + parts[-1]
    line = b"--" + boundary.encode()
    return head.encode() + b"\r\n" + (b"\r\n" + line + b"\r\n").join(parts) + b"\r\n" + line + b"--\r\n" + \
        r.choice(["", "Epilog ü\r\n"]).encode()


def message(r, depth=0):
    head = b"X-Of: %d\r\n" % depth + field(r, "Subject") + field(r, "X-Comment")
    head += "From: {0} \"{0}, {0}\" ({0}) <a@b.example>\r\n".format(r.choice(["Jörg", "Plain"])).encode()
    return head + b"MIME-Version: 1.0\r\n" + entity(r, depth)


def spoil(r, data):
    """Lines lost, doubled, swapped or cut: MIME that is none any more."""
    lines = data.split(b"\r\n")
    for _ in range(r.randrange(1, 8)):
        n = r.randrange(len(lines))
        what = r.randrange(4)
        if what == 0 and len(lines) > 1:
            del lines[n]
        elif what == 1:
            lines.insert(n, lines[r.randrange(len(lines))])
        elif what == 2:
            lines[n] = lines[n][:r.randrange(len(lines[n]) + 1)]
        elif what == 3 and len(lines) > 9:
            del lines[-r.randrange(1, len(lines) // 2):]
    return b"\r\n".join(lines)


# ---- there and back

def through(i, sink, messages):
    """What the peer got for each, without the Received field that the way adds."""
    with Client(i) as c:
        c.cmd("EHLO client.example")
        for n, m in enumerate(messages):
            c.cmd("MAIL FROM:<>", 250)
            c.cmd("RCPT TO:<r@elsewhere.example>", 250)
            c.data(b"X-Number: %d\r\n" % n + m)
    wait_for("all messages", lambda: len(sink.messages) >= len(messages), 60)
    got = {}
    for m in sink.messages:
        m = re.sub(rb"\AReceived:.*?\r\n(?![ \t])", b"", m, flags=re.S)
        number, _, rest = m.partition(b"\r\n")
        got[int(number[10:])] = rest
    for s in sink.sessions:
        s.messages.clear()
    return [got[n] for n in range(len(messages))]


def whole(data):
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def raw(value):
    return value.encode("ascii", "surrogateescape")


def meaning(value):
    """The bytes of a header field, encoded words decoded, without white space and quotes."""
    value = raw(value)
    try:
        pieces = email.header.decode_header(re.sub(r"\r\n", "", value.decode("latin-1")))
        value = b"".join(p.encode("latin-1") if isinstance(p, str) else p for p, _ in pieces)
    except ValueError:
        pass
    return re.sub(rb"[\s\"\\]", b"", value)


def filename(part):
    value = part.get_param("filename", header="content-disposition")
    if isinstance(value, tuple):
        return value[2].encode("latin-1")
    return value and raw(str(value))


def plain(part, name):
    return [v for k, v in part.raw_items() if k.lower() == name.lower()]


def compare(sent, got, where="message"):
    equal(got.get_content_type(), sent.get_content_type(), where + ": type")
    for name in ("Subject", "X-Comment", "From", "X-Of"):
        equal([meaning(v) for v in plain(got, name)], [meaning(v) for v in plain(sent, name)], where + ": " + name)
    if plain(sent, "Content-Disposition"):
        wanted = re.search(rb'filename="(.*)"', raw(plain(sent, "Content-Disposition")[0])).group(1)
        equal(filename(got), wanted, where + ": file name")
    equal(sent.is_multipart(), got.is_multipart(), where + ": structure")
    if not sent.is_multipart():
        equal(got.get_payload(decode=True), sent.get_payload(decode=True), where + ": bytes")
        return
    pairs = list(zip(sent.get_payload(), got.get_payload()))
    equal(len(got.get_payload()), len(sent.get_payload()), where + ": number of parts")
    for n, (a, b) in enumerate(pairs):
        compare(a, b, "%s.%d" % (where, n))


def check_lines(data, n):
    bad = [line for line in data.split(b"\r\n") if max(line, default=0) > 127]
    check(not bad, "message %d: 8-bit bytes" % n, bad[:3])
    longest = max(len(line) for line in data.split(b"\r\n"))
    check(longest <= 998, "message %d: a line of %d bytes" % (n, longest))


@test("messages at random decode to what they were, and a second conversion changes nothing", limit=120)
def differential():
    i, sink = instance()
    r = random.Random(SEED)
    sent = [whole(message(r)) for _ in range(GOOD)]
    got = through(i, sink, sent)
    for n, (a, b) in enumerate(zip(sent, got)):
        check_lines(b, n)
        try:
            compare(email.message_from_bytes(a), email.message_from_bytes(b), "message %d" % n)
        except Exception:
            print("# sent %r\n# got %r" % (a[:3000], b[:3000]))
            raise
    for n, (once, twice) in enumerate(zip(got, through(i, sink, got))):
        equal(twice, once, "message %d, converted twice" % n)


@test("malformed MIME becomes 7-bit too, and a second conversion changes nothing", limit=120)
def malformed():
    i, sink = instance()
    r = random.Random(SEED + 1)
    sent = [whole(spoil(r, message(r))) for _ in range(BAD)]
    got = through(i, sink, sent)
    for n, data in enumerate(got):
        check_lines(data, n)
    for n, (once, twice) in enumerate(zip(got, through(i, sink, got))):
        equal(twice, once, "message %d, converted twice" % n)


@test("eightbit-signed bounce: a signed 8-bit message is returned with 5.6.3, others are converted")
def barred():
    i, sink = instance()
    i.cli("set", "eightbit-signed", "bounce", ok=True)
    i.cli("reload", ok=True)
    time.sleep(1)  # attempts in progress
    signed = "DKIM-Signature: v=1; b=x\n" + letter("signed", "Grüße\n")
    number = i.send("alice@heloise.example", "r@elsewhere.example", crlf(signed.encode()))
    event = i.wait_event("bounced", id=number)[1]
    equal(event["status"], "5.6.3")
    check("signature" in event["reply"], event["reply"])
    step = i.wait_event("step", id=number)[1]
    check("the message is signed; no 8BITMIME here" in step["event"], step)
    i.wait_mail("alice")
    number = i.send("alice@heloise.example", "r@elsewhere.example", crlf(letter("plain", "Grüße\n").encode()))
    i.wait_event("delivered", id=number)
    check_lines(sink.messages[-1], 0)


if __name__ == "__main__":
    main()
