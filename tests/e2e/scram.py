"""The client's side of SCRAM-SHA-256, by RFC 5802 and RFC 7677 and not by a library."""

import base64
import hashlib
import hmac
import secrets


def b64(data):
    return base64.b64encode(data).decode()


def mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


class Scram:
    """first() goes to the server, final(answer) too; then is_server(answer) says whether the
    server knows us."""

    def __init__(self, user, password, binding=None, kind="tls-unique", nonce=None, header=None):
        self.user, self.password, self.binding = user, password, binding
        self.nonce = nonce or secrets.token_hex(12)
        self.header = header or ("p=%s,," % kind if binding is not None else "n,,")

    def first(self):
        self.bare = "n=%s,r=%s" % (self.user.replace("=", "=3D").replace(",", "=2C"), self.nonce)
        return self.header + self.bare

    def final(self, answer):
        fields = dict(f.split("=", 1) for f in answer.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(fields["s"]),
                                     int(fields["i"]))
        key = mac(salted, b"Client Key")
        text = "c=%s,r=%s" % (b64(self.header.encode() + (self.binding or b"")), fields["r"])
        said = ",".join([self.bare, answer, text]).encode()
        proof = bytes(a ^ b for a, b in zip(key, mac(hashlib.sha256(key).digest(), said)))
        self.signature = "v=" + b64(mac(mac(salted, b"Server Key"), said))
        return "%s,p=%s" % (text, b64(proof))

    def is_server(self, answer):
        return answer == self.signature
