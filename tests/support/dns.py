# SPDX-License-Identifier: Apache-2.0
"""One DNS question over UDP or TCP, enough of RFC 1035 for tests; no resolver's cache between."""

import random
import socket
import struct

TYPES = {"A": 1, "NS": 2, "SOA": 6, "AAAA": 28, "TXT": 16}


class Answer:
    def __init__(self, message):
        (self.id, self.flags, questions, answers, _, _) = struct.unpack(">6H", message[:12])
        self.rcode = self.flags & 15
        self.authoritative = bool(self.flags & 0x0400)
        self.addresses, self.ttls = [], []
        at = 12
        for _ in range(questions):
            at = _skip_name(message, at) + 4
        for _ in range(answers):
            at = _skip_name(message, at)
            kind, _, ttl, length = struct.unpack(">HHIH", message[at:at + 10])
            at += 10
            if kind == 1:
                self.addresses.append(socket.inet_ntoa(message[at:at + length]))
                self.ttls.append(ttl)
            at += length


def _skip_name(message, at):
    while message[at] and message[at] < 0xc0:
        at += message[at] + 1
    return at + (1 if not message[at] else 2)


def query(server, name, kind="A", tcp=False, seconds=2):
    """server: (address, port). Raises OSError when nobody answers."""
    number = random.randrange(65536)
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split("."))
    message = struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + \
        struct.pack(">2H", TYPES[kind], 1)
    if tcp:
        with socket.create_connection(server, seconds) as peer:
            peer.settimeout(seconds)
            peer.sendall(struct.pack(">H", len(message)) + message)
            stream = peer.makefile("rb")
            length = struct.unpack(">H", stream.read(2))[0]
            return Answer(stream.read(length))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(seconds)
        peer.connect(server)
        peer.send(message)
        while True:
            answer = peer.recv(4096)
            if answer[:2] == message[:2]:
                return Answer(answer)
