# SPDX-License-Identifier: Apache-2.0
"""HTTP targets whose behaviour a test changes while they run.

One process serves any number of targets, each an address and port of its own; it answers with the
target's name. It is told what to do over a Unix socket, which reaches into every namespace:
one JSON object a line each way.

    {"listen": {"name": "a", "address": "10.1.0.11", "port": 80}}
    {"set": {"name": "a", "status": 503, "check_status": 503, "delay_s": 1.5, "silent": true}}
    {"close": "a"}                no longer listens, its connections are reset
    {"hits": null}             →  {"a": {"requests": 3, "checks": 7}}

A check is what asks for /health; its status can differ from the others'."""

import asyncio
import json
import os
import socket
import struct
import sys


class Target:
    def __init__(self, name, address, port):
        self.name, self.address, self.port = name, address, port
        self.status = self.check_status = 200
        self.delay_s, self.silent = 0, False
        self.requests = self.checks = 0
        self.peers, self.listener, self.acceptor = set(), None, None

    async def open(self):
        # Not asyncio's server: closing it forgets connections that it has just accepted, and their
        # peers wait for ever.
        self.listener = socket.create_server((self.address, self.port), backlog=1024)
        self.listener.setblocking(False)
        self.acceptor = asyncio.create_task(self.accept())

    async def accept(self):
        loop = asyncio.get_running_loop()
        while True:
            peer, _ = await loop.sock_accept(self.listener)
            asyncio.create_task(self.welcome(peer))

    async def welcome(self, peer):
        reader, writer = await asyncio.open_connection(sock=peer)
        await self.serve(reader, writer)

    async def close(self):
        self.acceptor.cancel()
        self.listener.close()
        for writer in list(self.peers):
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def serve(self, reader, writer):
        self.peers.add(writer)
        try:
            while await self.answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        finally:
            self.peers.discard(writer)
            writer.close()

    async def answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.split("\r\n")
        method, path, _ = line.split(" ")
        length = 0
        close = False
        for field in fields:
            name, _, value = field.partition(":")
            if name.lower() == "content-length":
                length = int(value)
            elif name.lower() == "connection":
                close = "close" in value.lower()
        if length:
            await reader.readexactly(length)
        check = path.startswith("/health")
        if check:
            self.checks += 1
        else:
            self.requests += 1
        if self.silent:
            await asyncio.sleep(3600)
        if self.delay_s and not check:
            await asyncio.sleep(self.delay_s)
        status = self.check_status if check else self.status
        body = self.name.encode()
        if path.startswith("/echo"):
            body = head.encode("latin-1")
        writer.write(f"HTTP/1.1 {status} Test\r\nContent-Type: text/plain\r\nX-Target: {self.name}"
                     f"\r\nContent-Length: {len(body)}\r\n\r\n".encode() +
                     (b"" if method == "HEAD" else body))
        await writer.drain()
        return not close


async def main(path):
    targets = {}

    async def order(word, what):
        if word == "listen":
            old = targets.get(what["name"])
            target = Target(**what)
            if old:
                target.requests, target.checks = old.requests, old.checks
            await target.open()
            targets[what["name"]] = target
        elif word == "set":
            for key, value in what.items():
                setattr(targets[what["name"]], key, value)
        elif word == "close":
            await targets[what].close()
        elif word == "hits":
            return {t.name: {"requests": t.requests, "checks": t.checks} for t in targets.values()}
        return {}

    async def control(reader, writer):
        while line := await reader.readline():
            try:
                (word, what), = json.loads(line).items()
                answer = await order(word, what)
            except Exception as error:  # told to who asked
                answer = {"error": repr(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(control, path + ".new")
    os.rename(path + ".new", path)
    async with server:
        await server.serve_forever()


class Targets:
    """The test's side: starts the process (in a namespace) and orders it about."""

    def __init__(self, run, name, netns=None):
        from .wait import wait_for
        path = run.path(f"targets-{name}.sock")
        self.child = run.start([sys.executable, "-B", os.path.abspath(__file__), path],
                               f"targets-{name}.log", netns=netns)
        wait_for(lambda: os.path.exists(path), 10, f"targets {name}")
        self.peer = socket.socket(socket.AF_UNIX)
        self.peer.connect(path)
        self.stream = self.peer.makefile("rb")
        self.places = {}

    def order(self, word, what):
        self.peer.sendall(json.dumps({word: what}).encode() + b"\n")
        answer = json.loads(self.stream.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def listen(self, name, address, port):
        self.order("listen", {"name": name, "address": address, "port": port})
        self.places[name] = (address, port)
        return f"{address}:{port}"

    def close(self, name):
        self.order("close", name)

    def reopen(self, name):
        self.listen(name, *self.places[name])

    def set(self, name, **what):
        self.order("set", {"name": name, **what})

    def hits(self):
        return self.order("hits", None)

    def requests(self):
        return {name: hit["requests"] for name, hit in self.hits().items()}

    def stop(self):
        self.peer.close()
        self.child.kill()
        self.child.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
