"""Queues with waiting messages, for tests of what is done with them."""

from harness import Instance, free_port, letter, new_address, wait_for


def nowhere():
    address = new_address()
    return "[%s]:%d" % (address, free_port(address))


def instance(settings=None, mailboxes=("alice",), retry="every 1h life 5d", **routes):
    routes = routes or {"down": nowhere(), "away": nowhere()}
    return Instance(settings=settings, tables={
        "routes": ["%s.example %s" % (name, route) for name, route in routes.items()],
        "mailboxes": ["%s %s/" % (m, m) for m in mailboxes],
        "retry": [".example " + retry],
        "access": ["client:127.0.0.0/8 relay"]})


def states(i):
    return {m["id"]: m["state"] for m in i.queue()}


def settled(i, ids, state="deferred"):
    wait_for("all are " + state, lambda: {states(i).get(n) for n in ids} == {state})
    return ids


def fill(i):
    """Four deferred messages: two senders, two domains."""
    return settled(i, [i.send("alice@heloise.example", "bob@down.example", letter("one")),
                       i.send("alice@heloise.example", "carol@away.example", letter("two")),
                       i.send("dave@else.example", ["bob@down.example", "Eve@Away.Example"], letter("three")),
                       i.send("", "carol@away.example", letter("four"))])
