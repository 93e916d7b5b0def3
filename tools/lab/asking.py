# SPDX-License-Identifier: Apache-2.0
"""Requests by name. `ask` is one, by curl; `Load` is a steady stream of them from a process of its own
(asking.py URL RATE [DNS]), each with a fresh look into DNS and a fresh connection, as so many new
clients. A client tries every address it got, as browsers and curl do; a request has failed when none
of them answered."""

import http.client
import json
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from world import command

CONNECT_S, ANSWER_S = 1.0, 2.0


def dns_addresses(server, name, seconds=2):
    """A records of name by one question to server, (address, port)."""
    number = random.randrange(65536)
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(seconds)
        peer.connect(server)
        peer.send(struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1")
        answer = peer.recv(4096)
        while answer[:2] != struct.pack(">H", number):
            answer = peer.recv(4096)
    count, at, found = struct.unpack(">H", answer[6:8])[0], 12 + len(labels) + 5, []
    for _ in range(count):
        while answer[at] and answer[at] < 0xc0:
            at += answer[at] + 1
        at += 1 if not answer[at] else 2
        kind, length = struct.unpack(">H6xH", answer[at:at + 10])
        if kind == 1:
            found.append(socket.inet_ntoa(answer[at + 10:at + 10 + length]))
        at += 10 + length
    return found


class Name:
    """How a name is found: by the resolver of a namespace, or by questions to a DNS server."""

    def __init__(self, url, namespace=None, server=None):
        parts = urlsplit(url)
        self.url, self.host, self.port = url, parts.hostname, parts.port or 80
        self.namespace, self.server = namespace, server

    def addresses(self):
        if self.namespace:
            out = command("ip", "netns", "exec", self.namespace, "getent", "ahostsv4", self.host,
                          check=False)
            return sorted({line.split()[0] for line in out.splitlines() if "STREAM" in line})
        out = command("dig", "+short", "+tries=1", "+time=2", "-p", str(self.server[1]),
                      f"@{self.server[0]}", self.host, "A", check=False)
        return sorted(line for line in out.split() if line[0].isdigit())

    def ask(self):
        """(who answered, through which address, status, seconds)."""
        form = "\\n%{remote_ip} %{http_code} %{time_total}"
        argv = ["curl", "-s", "-S", "--noproxy", "*", "--max-time", "5", "-w", form]
        if self.namespace:
            argv = ["ip", "netns", "exec", self.namespace] + argv
        else:
            found = self.addresses()
            random.shuffle(found)
            argv += ["--resolve", f"{self.host}:{self.port}:{','.join(found)}"] if found else []
        done = subprocess.run(argv + [self.url], capture_output=True, text=True, errors="replace",
                              check=False, timeout=20)
        body, _, figures = done.stdout.rpartition("\n")
        if done.returncode != 0 or not figures:
            return done.stderr.strip() or "no answer", "", "", 0.0
        address, status, seconds = figures.split()
        return body.strip()[:60], address, status, float(seconds)


class Load:
    """The steady stream, counted. One line of JSON comes for each request."""

    def __init__(self, world, name, rate):
        argv = [sys.executable, "-B", Path(__file__).resolve(), name.url, rate]
        if not name.namespace:
            argv.append(f"{name.server[0]}:{name.server[1]}")
        self.child = world.start("load", *argv, netns=name.namespace, stdout=subprocess.PIPE)
        self.answered, self.failures = 0, []  # failures: (monotonic time, text)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for text in self.child.stdout:
            at, problem = json.loads(text)
            if problem:
                self.failures.append((at, problem))
            else:
                self.answered += 1

    def stop(self):
        self.child.terminate()
        self.reader.join(5)


def one_request(host, port, path, server):
    if server:
        addresses = dns_addresses(server, host)
        random.shuffle(addresses)
    else:
        addresses = list(dict.fromkeys(
            row[4][0] for row in socket.getaddrinfo(host, port, socket.AF_INET,
                                                    socket.SOCK_STREAM)))
    problem = "no address"
    for address in addresses:
        try:
            peer = http.client.HTTPConnection(address, port, timeout=CONNECT_S)
            peer.connect()
        except OSError as error:
            problem = f"{address}: {error}"
            continue
        try:
            peer.sock.settimeout(ANSWER_S)
            peer.putrequest("GET", path, skip_host=True)
            peer.putheader("Host", host if port == 80 else f"{host}:{port}")
            peer.putheader("Connection", "close")
            peer.endheaders()
            answer = peer.getresponse()
            answer.read()
            return "" if answer.status == 200 else f"{address}: status {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            return f"{address}: {error or type(error).__name__}"
        finally:
            peer.close()
    return problem


def main():
    url, rate = urlsplit(sys.argv[1]), float(sys.argv[2])
    server = None
    if len(sys.argv) > 3:
        address, _, port = sys.argv[3].rpartition(":")
        server = (address, int(port))

    one_at_a_time = threading.Lock()

    def run(at):
        try:
            problem = one_request(url.hostname, url.port or 80, url.path or "/", server)
        except OSError as error:
            problem = str(error) or type(error).__name__
        with one_at_a_time:
            print(json.dumps([at, problem]), flush=True)

    # On a beat, each in a thread: one that waits holds no other back.
    beat = time.monotonic()
    while True:
        threading.Thread(target=run, args=(beat,), daemon=True).start()
        beat += 1 / rate
        time.sleep(max(0.0, beat - time.monotonic()))


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        pass
