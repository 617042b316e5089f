"""What was said in attempts: kept, shown while queued and after, cleared by age."""

import json
import os
import re

from harness import Instance, check, contains, equal, letter, main, test, wait_for
from sink import Sink


def with_sink(rules=(), settings=None, retry="every 1h life 1d"):
    sink = Sink(rules)
    i = Instance(settings=settings, tables={
        "routes": ["peer.example " + sink.route], "mailboxes": ["alice alice/"],
        "retry": ["peer.example " + retry], "access": ["client:127.0.0.0/8 relay"]})
    return i.start(), sink


def transcript(i, number, *more):
    return i.cli("queue", "show", number, "--transcript", *more, ok=True).text


def kept(i):
    found = []
    for folder, _, names in os.walk(i.dir + "/queue/transcript"):
        found += [os.path.join(folder, n) for n in names]
    return found


@test("the dialogue of a message that was delivered at once is there after it has left the queue")
def delivered():
    i, sink = with_sink(settings={"session-reuse-idle": "0"})
    number = i.send("alice@heloise.example", "bob@peer.example", letter("hello"))
    i.wait_event("finished", id=number)
    wait_for("its transcript", lambda: kept(i))
    text = transcript(i, number)
    contains(text, "Attempt 1", "connecting to", sink.address, "S 220 sink.example ESMTP", "C EHLO heloise.example",
             "S 250-PIPELINING", "C MAIL FROM:<alice@heloise.example>", "C RCPT TO:<bob@peer.example>", "C DATA",
             "S 354", "bytes", "C QUIT", "S 221")
    check("Subject" not in text and "Hello." not in text, "the message itself is in", text)
    equal(len(sink.messages), 1)
    m = re.search(r"the message was sent: (\d+) bytes", text)
    check(m and int(m.group(1)) > 100, text)
    times = [float(t) for t in re.findall(r"(?m)^ *(\d+\.\d{3}) [SC*] ", text)]
    check(times and times == sorted(times), times)
    for verb in ("show", "why"):
        r = i.cli("queue", verb, number)
        equal(r.returncode, 65)
        contains(r.error, "has left the queue", "--transcript")
    i.stop()
    equal(transcript(i, number), text, "with the daemon down")


@test("each attempt of a deferred message has its dialogue; one of them can be asked for; as JSON too")
def attempts():
    i, sink = with_sink([("RCPT", "450 4.2.1 come back later")], retry="every 1s life 1h")
    number = i.send("alice@heloise.example", "bob@peer.example", letter("later"))
    i.wait_event("deferred", id=number, count=2)
    sink.close()
    i.wait_event("deferred", id=number, count=3)
    i.stop()
    text = transcript(i, number)
    contains(text, "Attempt 1", "Attempt 2", "Attempt 3", "450 4.2.1 come back later")
    second = transcript(i, number, "2")
    check("Attempt 1" not in second and "Attempt 2," in second, second)
    (told,) = [json.loads(line) for line in transcript(i, number, "--json").splitlines()]
    equal(told["id"], number)
    equal([a["attempt"] for a in told["attempts"]][:3], [1, 2, 3])
    lines = told["attempts"][0]["lines"]
    check({"peer", "us", "event"} == {line["from"] for line in lines}, lines)
    check(all(isinstance(line["ms"], int) and line["text"] for line in lines), lines)
    contains(transcript(i, number, "3"), "refused")
    r = i.cli("queue", "show", number, "--transcript", "99")
    check(r.returncode == 65 and "of attempt 99" in r.error, r.error)


@test("hostile bytes, long lines and long replies are escaped and cut")
def hostile():
    i, _ = with_sink([("RCPT", "450-\\x1b[2J\\x9b\\0\\r\\n450 " + "x" * 3000)])
    number = i.send("alice@heloise.example", "bob@peer.example")
    i.wait_event("deferred", id=number)
    wait_for("its transcript", lambda: kept(i))
    for more in ([], ["--json"]):
        r = i.cli("queue", "show", number, "--transcript", *more, ok=True)
        check(not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\x9f]", r.stdout), r.stdout[-300:])
    text = transcript(i, number)
    contains(text, "\\x1b[2J\\x9b\\x00", "xxx", "more bytes of this line are not kept")
    check(len(text) < 6000, len(text))


@test("transcripts go when transcript-keep is over, but not while the message is queued")
def cleared():
    i, sink = with_sink([("RCPT TO:<late@*", "450 4.2.1 later")], settings={"transcript-keep": "2s"})
    late = i.send("alice@heloise.example", "late@peer.example")
    i.wait_event("deferred", id=late)
    done = i.send("alice@heloise.example", "bob@peer.example")
    i.wait_event("finished", id=done)
    wait_for("both transcripts", lambda: len(kept(i)) == 2)
    wait_for("one is cleared", lambda: len(kept(i)) == 1)
    check(i.cli("queue", "show", done, "--transcript").returncode == 65)
    contains(transcript(i, late), "450 4.2.1 later")
    i.cli("queue", "remove", late, ok=True)
    contains(transcript(i, late), "450 4.2.1 later")
    wait_for("the other is cleared", lambda: not kept(i))


@test("with transcript-keep 0 nothing is kept")
def off():
    i, _ = with_sink([("RCPT TO:<late@*", "450 4.2.1 later")], settings={"transcript-keep": "0"})
    for who, event in (("bob", "finished"), ("late", "deferred")):
        i.wait_event(event, id=i.send("alice@heloise.example", who + "@peer.example"))
    i.stop()
    equal(kept(i), [])


@test("an id that is none, and other people's ids, show nothing")
def none():
    i, _ = with_sink()
    number = i.send("alice@heloise.example", "bob@peer.example")
    i.wait_event("finished", id=number)
    wait_for("its transcript", lambda: kept(i))
    other = number[:-3] + ("0" if number[-3] != "0" else "1") + number[-2:]
    for bad in (other, "no-such-id", "../../etc/passwd", "", "x" * 2000):
        r = i.cli("queue", "show", bad, "--transcript")
        check(r.returncode not in (0, 70) and r.error, repr(bad[:20]), r.returncode)


if __name__ == "__main__":
    main()
