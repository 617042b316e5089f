"""Damage in the queue: every kind, in every place, before a start, while it runs, and at an attempt.

What is no message, or no longer one, goes to queue/corrupt, is logged, and listed by verify; nothing
damaged is ever sent, and the rest goes on."""

import json
import os
import socket
import stat

from harness import check, contains, equal, free_port, letter, main, new_address, test, wait_for
from queued import instance, settled, states
from sink import Sink

STRANGER = b"heloise 1 00000010 00000000000000ff nonsense\n"


def flip(where):
    """Flips a bit at a place in the file, given as a part of its length or as a mark to be found."""
    def damage(data):
        at = data.index(where) if isinstance(where, bytes) else int(len(data) * where)
        return data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]
    return damage


DAMAGES = {
    "empty": lambda d: b"", "one byte": lambda d: d[:1], "half a head": lambda d: d[:40], "a head": lambda d: d[:80],
    "half an envelope": lambda d: d[:120], "no body": lambda d: d[:d.index(b"\n\n") + 2],
    "half": lambda d: d[:len(d) // 2], "no end mark": lambda d: d[:d.index(b"heloise-end")],
    "half an end mark": lambda d: d[:d.index(b"heloise-end") + 6], "zeros": lambda d: bytes(len(d)),
    "a hole": lambda d: d[:100] + bytes(50) + d[150:], "overlong": lambda d: d + b"x" * 300000,
    "longer inside": lambda d: d.replace(b"Hello.", b"Hello, hello."),
    "rubbish": lambda d: os.urandom(5000), "a stranger": lambda d: STRANGER,
    "bit in the version": flip(b"heloise 1"), "bit in a length": flip(b" 000"), "bit in the checksum": flip(0.055),
    "bit in the id": flip(b"i 1"), "bit in the sender": flip(b"alice"), "bit in the recipient": flip(b"bob"),
    "bit in the header": flip(b"Subject"), "bit in the body": flip(b"Hello"), "bit in the end": flip(b"heloise-end"),
}


def make_fifo(path, outside):
    os.mkfifo(path)


def make_socket(path, outside):
    here = os.open(os.path.dirname(path), os.O_DIRECTORY)
    s = socket.socket(socket.AF_UNIX)
    s.bind("/proc/self/fd/%d/%s" % (here, os.path.basename(path)))
    s.close()
    os.close(here)


def make_file(path, outside):
    with open(path, "wb") as f:
        f.write(STRANGER)


THINGS = {"a directory": lambda path, outside: os.mkdir(path), "a link to a file": lambda path, outside: os.symlink(outside, path),
          "a link to nothing": lambda path, outside: os.symlink("/nonexistent", path),
          "a full directory": lambda path, outside: (os.mkdir(path), make_file(path + "/x", outside)),
          "a fifo": make_fifo, "a socket": make_socket}


def give(i, path):
    os.chown(path, i.user.pw_uid, i.user.pw_gid, follow_symlinks=False)


def damage_file(i, path, damage):
    with open(path, "rb+") as f:
        data = f.read()
        f.seek(0)
        f.truncate()
        f.write(damage(data))


def replace(i, path, thing):
    os.rename(path, i.top + "/outside-" + os.path.basename(path))
    thing(path, i.top + "/outside-" + os.path.basename(path))
    give(i, path)


def filled(count):
    """So many deferred messages and a healthy one; the server that they are for is down."""
    address = new_address()
    port = free_port(address)
    i = instance(down="[%s]:%d" % (address, port)).start()
    ids = [i.send("alice@heloise.example", "bob@down.example", letter("n%d" % n)) for n in range(count + 1)]
    settled(i, ids)
    return i, ids, lambda: Sink(address=address, port=port)


def path_of(i, number):
    (path,) = [f for f in i.queue_files() if number in f]
    return path


def put_in_state(i, number, state):
    """Moves a message's file while the daemon is down."""
    path = path_of(i, number)
    if state != "cur":
        name = os.path.basename(path) if state == "hold" else number
        os.rename(path, "%s/queue/%s/%s/%s" % (i.dir, state, number[-2:], name))
    return path_of(i, number)


def findings(i, *words):
    r = i.cli("queue", "verify", "--json", *words)
    told = [json.loads(line) for line in r.text.splitlines()]
    return r.returncode, {f["path"]: f for f in told if "path" in f}, told[-1]


def corrupt(i):
    return sorted(os.listdir(i.dir + "/queue/corrupt"))


def damage_all(i, ids, state):
    """Every damage to a message each, or a thing in its place: the paths."""
    paths = {}
    for number, (what, damage) in zip(ids, list(DAMAGES.items()) + list(THINGS.items())):
        path = put_in_state(i, number, state)
        if what in DAMAGES:
            damage_file(i, path, damage)
        else:
            replace(i, path, damage)
        paths[path[len(i.dir + "/queue/"):]] = what
    return paths


COUNT = len(DAMAGES) + len(THINGS)


@test("every damage to a message in new, cur and hold is met at its first attempt after a start, and put aside")
def at_a_start():
    for state in ("cur", "new", "hold"):
        i, ids, sink = filled(COUNT)
        i.stop()
        paths = damage_all(i, ids, state)
        put_in_state(i, ids[-1], state)
        code, found, counts = findings(i)
        equal((code, sorted(found), counts["broken"]), (65, sorted(paths), COUNT), "verify before the start")
        sink = sink()
        i.start()
        i.cli("queue", "release", "all", "--yes")
        i.cli("queue", "retry", "all")
        i.wait_event("delivered", id=ids[-1])
        wait_for("all are put aside", lambda: len(corrupt(i)) == COUNT)
        equal(len(sink.messages), 1, "messages sent")
        equal(i.queue(), [])
        equal(len(i.find_events("corrupt")), COUNT, "in the log")
        code, found, counts = findings(i)
        equal((code, len(found), counts["corrupt"]), (0, COUNT, COUNT), "verify afterwards")
        check(all(f["why"] and f["kind"] == "corrupt" for f in found.values()), found)
        i.stop(quietly=True)


@test("verify --repair puts every damage aside while the daemon is down, and what is whole is delivered")
def repaired_down():
    i, ids, sink = filled(COUNT)
    i.stop()
    paths = damage_all(i, ids, "cur")
    r = i.cli("queue", "verify", "--repair")
    equal(r.returncode, 0, r.text + r.error)
    for path in paths:
        contains(r.text, path)
    contains(r.text, "moved to corrupt", "%d faults, %d repaired" % (COUNT, COUNT))
    equal(len(corrupt(i)), COUNT)
    r = i.cli("queue", "verify")
    contains(r.text, "all is well", "%d files are in queue/corrupt" % COUNT)
    equal(r.returncode, 0)
    sink = sink()
    i.start()
    i.cli("queue", "retry", "all", ok=True)
    i.wait_event("delivered", id=ids[-1])
    equal(len(sink.messages), 1)


@test("damage while the daemon runs is found by verify, put aside by --repair, and the manager forgets it")
def repaired_up():
    i, ids, sink = filled(COUNT)
    paths = damage_all(i, ids, "cur")
    code, found, counts = findings(i)
    equal((code, sorted(found)), (65, sorted(paths)))
    equal(corrupt(i), [], "verify alone moves nothing")
    r = i.cli("queue", "list")
    contains(r.text, ids[-1])
    contains(r.error, "`heloise queue verify` says more")
    code, found, counts = findings(i, "--repair")
    equal((code, counts["repaired"]), (0, COUNT))
    equal(len(corrupt(i)), COUNT)
    equal(list(states(i)), [ids[-1]])
    sink = sink()
    i.cli("queue", "retry", "all", ok=True)
    i.wait_event("delivered", id=ids[-1])
    i.wait_queue(0)
    equal(len(sink.messages), 1)


@test("damage while the daemon runs is met at the next attempt")
def at_an_attempt():
    i, ids, sink = filled(COUNT)
    damage_all(i, ids, "cur")
    sink = sink()
    i.cli("queue", "retry", "all", ok=True)
    i.wait_event("delivered", id=ids[-1])
    wait_for("all are put aside", lambda: len(corrupt(i)) == COUNT)
    equal(len(sink.messages), 1)
    equal(i.queue(), [])


def strays(i):
    """Everything where nothing of it belongs: {path: who puts it aside by itself at a start}."""
    made = {}
    things = dict(THINGS, file=make_file)
    for place in ("", "new", "new/07", "cur", "cur/07", "hold", "hold/07", "tmp", "drop", "transcript", "transcript/07",
                  "transcript/all"):
        for n, (what, make) in enumerate(things.items()):
            if what == "file" and place in ("drop", "transcript/all"):
                continue  # of no known form, and cleared when it is old
            path = os.path.join(place, "stray-%s-%d" % (place.replace("/", "-") or "top", n))
            full = i.dir + "/queue/" + path
            make(full, i.top + "/log")
            give(i, full)
            made[path] = place not in ("transcript/07", "transcript/all")
    return made


@test("strays in every directory of the queue are put aside at a start, or by verify --repair at any time")
def strays_everywhere():
    for is_up in (False, True, None):
        i, ids, sink = filled(0)
        if not is_up:
            i.stop()
        made = strays(i)
        code, found, counts = findings(i)
        equal((code, sorted(p for p in found if found[p]["kind"] == "broken")), (65, sorted(made)), "verify")
        if is_up is None:
            i.start()
            made = {path: at_start for path, at_start in made.items() if at_start}
            wait_for("they are put aside", lambda: len(corrupt(i)) >= len(made))
            check(len(i.find_events("corrupt")) >= len(made), "not in the log")
        else:
            code, found, counts = findings(i, "--repair")
            equal((code, counts["repaired"]), (0, len(made)))
        missing = {os.path.basename(p) for p in made} - set(corrupt(i))
        equal(missing, set())
        for path in made:
            check(not os.path.lexists(i.dir + "/queue/" + path), path, "is still there")
        check(os.path.exists(i.log_path), "a link was followed")
        if is_up is False:
            i.start()
        equal(list(states(i)), ids)
        settled(i, [i.send("alice@heloise.example", "bob@down.example")])
        i.stop(quietly=True)


@test("the queue's own directories replaced by links, files, or nothing: put right at a start and by --repair")
def directories():
    for is_repaired in (False, True):
        i, ids, sink = filled(0)
        bucket = ids[0][-2:]
        other = "37" if bucket != "37" else "36"
        missing = ("new/" + other, "tmp")
        files = ("cur/" + other, "corrupt", "transcript/" + other)
        links = ("hold", "drop")
        i.stop()
        for n, place in enumerate(missing + files + links):
            full = i.dir + "/queue/" + place
            os.rename(full, i.top + "/was-%d" % n)
            if place in files:
                make_file(full, None)
            if place in links:
                os.symlink(i.top + "/was-%d" % n, full)
            if place not in missing:
                give(i, full)
        code, found, counts = findings(i)
        equal((code, sorted(found)), (65, sorted(missing + files + links)))
        if is_repaired:
            while code == 65:  # what lay in the place of corrupt itself is found in the second round
                code, found, counts = findings(i, "--repair")
                check(counts["repaired"] > 0, found)
            equal(code, 0, found)
        i.start()
        wait_for("all are directories", lambda: all(
            os.path.lexists(p) and stat.S_ISDIR(os.lstat(p).st_mode)
            for p in [i.dir + "/queue/" + place for place in missing + files + links]))
        wait_for("all are put aside", lambda: len(corrupt(i)) == len(files + links))
        settled(i, ids + [i.send("alice@heloise.example", "bob@down.example")])
        i.sendmail("bob@down.example", stdin="Subject: x\n\nx\n", ok=True)
        wait_for("sendmail's message", lambda: len(i.queue()) == 3)
        i.stop(quietly=True)


@test("an id in two places: one is the message, the other is put aside at a start and by --repair")
def twice():
    for is_up in (True, False, None):
        i, ids, sink = filled(1)
        if not is_up:
            i.stop()
        for number, other in zip(ids, ("new/%s/%s", "hold/%s/%s,00000001,00000001")):
            path = path_of(i, number)
            copy = i.dir + "/queue/" + other % (number[-2:], number)
            with open(path, "rb") as a, open(copy, "wb") as b:
                b.write(a.read())
            os.chmod(copy, 0o600)
            give(i, copy)
        code, found, counts = findings(i)
        equal((code, counts["broken"]), (65, 2), found)
        if is_up is None:
            i.start()
        else:
            equal(findings(i, "--repair")[0], 0)
            i.start() if not is_up else None
        wait_for("both are put aside", lambda: len(corrupt(i)) == 2)
        equal(sorted(states(i)), sorted(ids))
        equal(findings(i)[0], 0)
        i.stop(quietly=True)


@test("a file with a foreign mode is found and put right; one that the manager does not know is taken up")
def rights_and_unknown():
    for is_up in (True, False):
        i, ids, sink = filled(1)
        if not is_up:
            i.stop()
        os.chmod(path_of(i, ids[0]), 0o644)
        code, found, counts = findings(i)
        equal((code, counts["rights"], counts["broken"]), (65, 1, 0))
        equal(findings(i, "--repair")[0], 0)
        equal(stat.S_IMODE(os.stat(path_of(i, ids[0])).st_mode), 0o600)
        equal(findings(i)[0], 0)
        equal(len(states(i)), 2)
        i.stop(quietly=True)


@test("a mark that is damaged makes its recipient one that is still to do, never one that is lost")
def marks():
    i, ids, sink = filled(0)
    i.stop()

    def to_done(data):
        at = data.index(b"\nr T ") + 3
        return data[:at] + b"D" + data[at + 1:]
    damage_file(i, path_of(i, ids[0]), to_done)
    code, found, counts = findings(i)
    equal((code, counts["marks"]), (0, 1), found)
    sink = sink()
    i.start()
    i.cli("queue", "retry", "all", ok=True)
    i.wait_event("delivered", id=ids[0])
    equal(len(sink.messages), 1)


if __name__ == "__main__":
    main()
