"""mailq and sendmail -bp, read as monitors and scripts read them."""

import os
import re
import shutil
import subprocess
import time

from harness import Skip, build_dir, check, contains, equal, main, test, wait_for
from queued import fill, instance
from sink import Sink

HEADER = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
# what parsers of Postfix's list look for: id, flag, size, date, sender
MESSAGE = re.compile(r"^([0-9A-Za-z]+)([*!]?)\s+(\d+)\s+((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} [ \d]\d \d\d:\d\d:\d\d)\s+(\S+)$")
REASON = re.compile(r"^\s*\((.+)\)$")
RECIPIENT = re.compile(r"^\s{20,}(\S+@\S+)$")
TOTAL = re.compile(r"^-- (\d+) Kbytes in (\d+) Requests?\.$")


def read(text):
    """The list as ({id: (flag, size, date, sender, recipients, reasons)}, number of requests)."""
    lines = text.splitlines()
    equal(lines[0], HEADER)
    found, last = {}, None
    for line in lines[1:-2]:
        if MESSAGE.match(line):
            number, flag, size, date, sender = MESSAGE.match(line).groups()
            last = found[number] = (flag, int(size), date, sender, [], [])
        elif REASON.match(line):
            last[5].append(REASON.match(line).group(1))
        elif line.strip():
            last[4].append(RECIPIENT.match(line).group(1))
    return found, int(TOTAL.match(lines[-1]).group(2))


@test("mailq and sendmail -bp print the list that Postfix prints, with the daemon up and down")
def form():
    i = instance().start()
    one, two, three, four = fill(i)
    i.cli("queue", "hold", two, ok=True)
    for is_up in (True, False):
        if not is_up:
            i.stop()
        for command in (["mailq"], ["sendmail", "-bp"]):
            found, count = read(i.run_command(*command, ok=True).text)
            equal((sorted(found), count), (sorted([one, two, three, four]), 4))
            equal([found[n][0] for n in (one, two)], ["", "!"])
            equal([found[n][3] for n in (one, three, four)], ["alice@heloise.example", "dave@else.example", "MAILER-DAEMON"])
            equal(found[three][4], ["bob@down.example", "Eve@away.example"])
            check(len(found[three][5]) == 2 and "refused" in found[three][5][0], found[three])
            when = time.mktime(time.strptime("%d %s" % (time.localtime().tm_year, found[one][2]), "%Y %a %b %d %H:%M:%S"))
            check(abs(time.time() - when) < 300, found[one][2])
    i.cli("queue", "remove", "all", "--yes", ok=True)
    equal(i.run_command("mailq", ok=True).text, "Mail queue is empty\n")


@test("a message that is being tried has its star; hostile addresses and replies make no lines of their own")
def flags():
    sink = Sink([("RCPT", "hang")])
    i = instance(settings={"timeout-rcpt": "20s"}, busy=sink.route, down=Sink([("RCPT", "450 x)\\x1b[2J (y")]).route).start()
    number = i.send("alice@heloise.example", "bob@busy.example")
    other = i.send("alice@heloise.example", "bob@down.example")
    wait_for("it is being tried", lambda: any(c.startswith("RCPT") for c in sink.commands))
    i.wait_event("deferred", id=other)
    found, count = read(i.run_command("mailq", ok=True).text)
    equal((found[number][0], count), ("*", 2))
    check("\x1b" not in str(found), found)


def plugin(i, mode, *limits):
    """Debian's check_mailq, told where our mailq is: (exit code, its line)."""
    source = build_dir() + "/peers/usr/lib/nagios/plugins"
    if not os.path.exists(source + "/check_mailq"):
        raise Skip("check_mailq could not be downloaded")
    where = i.top + "/plugins"
    if not os.path.exists(where):
        shutil.copytree(source, where, symlinks=True)
        with open(where + "/utils.pm") as f:
            text = f.read()
        with open(where + "/utils.pm", "w") as f:
            f.write(text.replace('"/usr/bin/mailq"', '"%s/mailq"' % i.bin))
        os.chmod(where, 0o755)
    r = subprocess.run(["perl", where + "/check_mailq", "-M", mode] + list(limits), capture_output=True, text=True, timeout=30,
                       env=dict(PATH=os.environ["PATH"], HELOISE_DIR=i.dir), **i.as_user())
    return r.returncode, r.stdout + r.stderr


@test("Debian's check_mailq reads it, as Postfix's and as Sendmail's")
def monitored():
    i = instance().start()
    for mode in ("postfix", "sendmail"):
        code, said = plugin(i, mode, "-w", "2", "-c", "5")
        check(code == 0 and "empty" in said, mode, said)
    fill(i)
    for mode in ("postfix", "sendmail"):
        for limits, code in ((("-w", "5", "-c", "9"), 0), (("-w", "4", "-c", "9"), 1), (("-w", "2", "-c", "3"), 2)):
            r = plugin(i, mode, *limits)
            equal(r[0], code, (mode, r))
            contains(r[1], "4")
    # domains of senders and recipients, as the plugin takes them from Sendmail's list
    code, said = plugin(i, "sendmail", "-w", "9", "-c", "10", "-W", "5", "-C", "9")
    equal(code, 0, said)


if __name__ == "__main__":
    main()
