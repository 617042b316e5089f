"""Many messages wait: what each costs. Counts only; tests/bench/queue measures with a million."""

import subprocess

from harness import Instance, check, contains, equal, free_port, letter, main, new_address, test, wait_for
from filled import Watch, fill, resident

MANY = 20000
DOWN = ["down%d.example" % n for n in range(1, 5)]


def instance():
    address = new_address()
    return Instance(tables={"routes": ["%s [%s]:%d" % (d, address, free_port(address)) for d in DOWN],
                            "mailboxes": ["alice alice/"], "retry": ["* every 1d life 5d"],
                            "access": ["client:127.0.0.0/8 relay"]})


def started(i):
    i.start()
    return i.wait_event("started", program="queue")[1]["detail"]


@test("a waiting message costs the manager at most 150 bytes of memory; all are known and listed")
def memory():
    empty, full = instance(), instance()
    fill(full, MANY, "86400-172800", DOWN)
    equal(started(empty), "0 messages wait")
    equal(started(full), "%d messages wait" % MANY)
    each = (resident(full.pids()["queue"]) - resident(empty.pids()["queue"])) / MANY
    print("# %d bytes a message" % each)
    check(each <= 150, "%.1f bytes a message" % each)
    text = full.cli("queue", "list", ok=True).text
    contains(text, "%d messages." % MANY)
    equal(text.count("  deferred  "), MANY)
    full.stop()
    contains(full.cli("queue", "list", ok=True).text, "%d messages." % MANY)


@test("a list that nobody reads any further ends: the queue is not read for nothing")
def unread():
    i = instance()
    fill(i, MANY, 86400, DOWN)
    started(i)
    watch = Watch(i, ("cur",))
    p = subprocess.Popen(i.command("heloise", "queue", "list"), stdout=subprocess.PIPE, **i.as_user())
    contains(p.stdout.readline().decode(), "ID", "STATE")
    p.stdout.close()
    p.wait()
    wait_for("no child is left", lambda: not children(i.pids()["queue"]))
    opened = watch.end()["opened"]
    check(0 < opened < MANY, opened, "messages were read")


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return f.read().split()


@test("a deferral is one rename, and nothing else in the directories")
def rename():
    i = instance()
    fill(i, 200, 0, DOWN)
    watch = Watch(i)
    started(i)
    wait_for("all are deferred", lambda: all_deferred(i, 200), 60)
    seen = watch.end()
    deferred = len(i.find_events("deferred"))
    check(deferred, "no message was deferred")
    check(seen["renamed"] <= deferred, seen, "with", deferred, "deferrals")
    equal((seen["made"], seen["gone"]), (0, 0), "files made and gone")


def all_deferred(i, count):
    messages = i.queue()
    return len(messages) == count and not any(m["state"] == "active" or m["next"] < m["created"] for m in messages)


@test("new mail is delivered while many messages are due at once")
def overdue():
    i = instance()
    fill(i, MANY, 0, DOWN)
    i.start()
    i.wait_event("delivered", id=i.send("", "alice@heloise.example", letter()), patience=60)
    before = len(i.find_events("deferred"))
    check(before < MANY, "all %d were tried first" % before)


if __name__ == "__main__":
    main()
