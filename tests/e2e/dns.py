"""A name server for tests: answers over UDP and TCP from a few records it is told.

    dns = NameServer(address)
    dns.add("example.org", "MX", (10, "mx.example.org"))
    dns.fail("broken.example", "SERVFAIL")      or "SILENT"

What it does not know is NXDOMAIN; a name with records of other types is an empty answer."""

import socket
import struct
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


def encode_name(name):
    out = b""
    for label in name.rstrip(".").split("."):
        if label:
            out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def encode_data(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "MX":
        return struct.pack("!H", value[0]) + encode_name(value[1])
    if kind == "TXT":
        return bytes([len(value)]) + value.encode()
    return encode_name(value)


class NameServer:
    def __init__(self, address, port=0):
        self.records, self.failures, self.questions = {}, {}, []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, port))
        self.address, self.port = self.udp.getsockname()
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((self.address, self.port))
        self.tcp.listen(20)
        self.setting = "%s@%d" % (self.address, self.port)
        threading.Thread(target=self.serve_udp, daemon=True).start()
        threading.Thread(target=self.serve_tcp, daemon=True).start()

    def add(self, name, kind, value):
        self.records.setdefault(name.lower(), []).append((kind, value))

    def fail(self, name, how):
        self.failures[name.lower()] = how

    def forget(self, name):
        self.records.pop(name.lower(), None)
        self.failures.pop(name.lower(), None)

    def close(self):
        self.udp.close()
        self.tcp.close()

    def serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            answer = self.answer(query)
            if answer:
                try:
                    self.udp.sendto(answer, peer)
                except OSError:
                    pass

    def serve_tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            with conn:
                conn.settimeout(5)
                try:
                    size = struct.unpack("!H", conn.recv(2))[0]
                    answer = self.answer(conn.recv(size))
                    if answer:
                        conn.sendall(struct.pack("!H", len(answer)) + answer)
                except (OSError, struct.error):
                    pass

    def answer(self, query):
        if len(query) < 17:
            return None
        number, flags, questions = struct.unpack("!HHH", query[:6])
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        name = ".".join(labels).lower()
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        self.questions.append((name, kind))
        failure = self.failures.get(name)
        if failure == "SILENT":
            return None
        code, records = NOERROR, []
        if failure == "SERVFAIL":
            code = SERVFAIL
        else:
            while (name in self.records and kind != TYPES["CNAME"] and len(records) < 8
                   and self.records[name][0][0] == "CNAME"):
                records.append((name, "CNAME", self.records[name][0][1]))
                name = self.records[name][0][1].lower()
            for k, v in self.records.get(name, []):
                if TYPES[k] == kind:
                    records.append((name, k, v))
            if name not in self.records and not any(n.endswith("." + name) for n in self.records):
                code = NXDOMAIN
        out, authority = b"", b""
        for n, k, v in records:
            data = encode_data(k, v)
            out += encode_name(n) + struct.pack("!HHIH", TYPES[k], 1, 60, len(data)) + data
        if not records and code != SERVFAIL:
            zone = ".".join(name.split(".")[-1:])
            soa = encode_name("ns." + zone) + encode_name("root." + zone) + struct.pack("!5I", 1, 60, 60, 60, 1)
            authority = encode_name(zone) + struct.pack("!HHIH", TYPES["SOA"], 1, 1, len(soa)) + soa
        head = struct.pack("!6H", number, 0x8080 | (flags & 0x0100) | code, 1, len(records),
                           1 if authority else 0, 0)
        return head + question + out + authority
