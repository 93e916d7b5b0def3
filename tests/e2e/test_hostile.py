# SPDX-License-Identifier: Apache-2.0
"""Who talks to the controller's doors may be anybody: slow, many, wrong, without end."""

import os
import random
import resource
import socket
import struct
import time

import pytest

from support import dns
from support.wait import wait_for


def exchange(cluster, text, seconds=10, finish=False):
    """Sends bytes as they are; what comes back until the other side closes or goes quiet."""
    with socket.create_connection(("127.0.0.1", cluster.port), seconds) as peer:
        try:
            peer.sendall(text)
            if finish:
                peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        peer.settimeout(seconds)
        said = b""
        try:
            while b"\r\n\r\n" not in said and len(said) < 1 << 16:
                piece = peer.recv(4096)
                if not piece:
                    break
                said += piece
        except ConnectionResetError:
            pass
        return said


def healthy(cluster):
    began = time.monotonic()
    assert cluster.rest("GET", "/v1/health", seconds=5).status == 200
    return time.monotonic() - began


GOOD = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n"
BAD = {
    "no host": (b"GET /v1/health HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GOOD + b"Host: y\r\n\r\n", 400),
    "a bare line feed": (b"GET /v1/health HTTP/1.1\nHost: x\n\n", 400),
    "a space before the colon": (GOOD + b"A : b\r\n\r\n", 400),
    "a folded line": (GOOD + b"A: b\r\n c\r\n\r\n", 400),
    "two lengths": (b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                    b"Content-Length: 3\r\n\r\n{}", 400),
    "length and chunked": (b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a signed length": (b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}", 400),
    "a length without end": (b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Length: "
                             b"99999999999999999999999\r\n\r\n", None),
    "a head of 200 KiB": (GOOD + b"A: " + b"a" * 200_000 + b"\r\n\r\n", 431),
    "a line of 100 KiB": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "10,000 fields": (GOOD + b"A: b\r\n" * 10_000 + b"\r\n", 431),
    "a chunk size of letters": (b"POST /v1/requests HTTP/1.1\r\nHost: x\r\n"
                                b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "chunks of 3 MiB": (b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
                        b"\r\n\r\n" + b"10000\r\n" + b"a" * 65536 + b"\r\n" * 1 +
                        (b"10000\r\n" + b"a" * 65536 + b"\r\n") * 47 + b"0\r\n\r\n", 413),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    "a path that climbs": (b"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", None),
    "a NUL in the path": (b"GET /v1/\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a percent that is cut": (b"GET /v1/projects/%4 HTTP/1.1\r\nHost: x\r\n\r\n", None),
    "an encoded slash and NUL": (b"GET /v1/projects/%2f%00 HTTP/1.1\r\nHost: x\r\n\r\n", None),
}


@pytest.mark.parametrize("name", BAD)
def test_the_api_refuses(cluster, name):
    text, status = BAD[name]
    said = exchange(cluster, text)
    if status is None:
        assert said.startswith(b"HTTP/1.1 4") or said.startswith(b"HTTP/1.1 5"), said[:200]
    else:
        assert said.startswith(b"HTTP/1.1 %d" % status), said[:200]
    healthy(cluster)


def test_noise_does_not_stop_it(cluster):
    chance = random.Random(7)
    for _ in range(200):
        exchange(cluster, chance.randbytes(chance.randrange(1, 600)) + b"\r\n\r\n", finish=True)
        cut = bytearray(GOOD + b"Content-Length: 10\r\n\r\n0123456789")
        cut[chance.randrange(len(cut))] = chance.randrange(256)
        exchange(cluster, bytes(cut), finish=True)
    healthy(cluster)


def test_a_thousand_silent_connections_keep_nobody_out(cluster):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    peers = []
    try:
        for number in range(1000):
            peer = socket.create_connection(("127.0.0.1", cluster.port), 5)
            if number % 2:
                peer.sendall(b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{")
            peers.append(peer)
        assert healthy(cluster) < 2
    finally:
        for peer in peers:
            peer.close()


def test_dns_survives_noise(cluster):
    chance = random.Random(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect(cluster.dns)
        question = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + b"\3foo\4weir\10internal\0\0\1\0\1"
        for _ in range(3000):
            noise = bytearray(question)
            for _ in range(chance.randrange(1, 6)):
                noise[chance.randrange(len(noise))] = chance.randrange(256)
            try:
                peer.send(bytes(noise[:chance.randrange(1, len(noise) + 1)]))
            except OSError:
                pass
    wait_for(lambda: dns.query(cluster.dns, "weir.internal", "SOA").rcode == 0, 5, "it answers")


def test_slow_dns_clients_keep_nobody_out(cluster):
    peers = []
    try:
        for number in range(300):
            peer = socket.create_connection(cluster.dns, 5)
            peer.sendall(b"\0" if number % 2 else b"")
            peers.append(peer)
        assert dns.query(cluster.dns, "weir.internal", "SOA").rcode == 0
        wait_for(lambda: dns.query(cluster.dns, "weir.internal", "SOA", tcp=True).rcode == 0, 15,
                 "TCP too")
    finally:
        for peer in peers:
            peer.close()


def test_a_reader_that_stops_reading_holds_up_nobody(cluster):
    """Long answers to somebody who does not take them."""
    peers = []
    try:
        for _ in range(20):
            peer = socket.create_connection(("127.0.0.1", cluster.port), 5)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall((b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n") * 200)
            peers.append(peer)
        assert healthy(cluster) < 2
        with open(f"/proc/{cluster.controller.pid}/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert resident < 200 << 20
    except (BrokenPipeError, ConnectionResetError):
        healthy(cluster)
    finally:
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("body", [
    b"{}", b"[]", b"", b"x", b'{"node":"ghost"}', b'{"node":"n","generation":-1}',
    b'{"node":"n","units":[{"id":"x"}]}'])
def test_a_report_that_is_none_is_refused(cluster, body):
    answer = cluster.rest("PUT", "/v1/nodes/n/observed", body)
    assert 400 <= answer.status < 500, answer
    assert "n" not in [n["name"] for n in cluster.ask("GET", "/v1/nodes")["items"]]


def test_a_client_of_a_unit_that_never_ends_its_request_holds_up_nobody(cluster, project):
    places = project.join("a")
    project.create("open", places)
    address = cluster.addresses(project.dns_name("open"))[0]
    peers = []
    try:
        for number in range(500):
            peer = socket.create_connection((address, 80), 5)
            peer.sendall([b"", b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: x\r\n"
                          b"Content-Length: 1000\r\n\r\nabc"][number % 3])
            peers.append(peer)
        for _ in range(5):
            assert cluster.get_from(address, seconds=3).status == 200
        # The unit's own status port stays open for its controller, too.
        assert cluster.get_from(address, 9901, "/health", seconds=3).status == 200
    finally:
        for peer in peers:
            peer.close()
