# SPDX-License-Identifier: Apache-2.0
"""The real `weir` against a scripted controller: a server that answers what a test put there and
keeps what it was asked."""

import http.server
import json
import os
import socketserver
import subprocess
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.path.join(os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build")), "src/bin/weir")


class Controller(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """answers: {"GET /v1/projects": answer}; an answer is an object (status 200), (status, object),
    (status, object, headers), bytes (sent raw) or a list of these: one after the other, the last for
    ever."""

    daemon_threads = True

    def __init__(self):
        self.answers, self.asked = {}, []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def bodies(self, what):
        return [body for name, body, _ in self.asked if name == what]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length)
        name = f"{self.command} {self.path}"
        self.server.asked.append((name, json.loads(text) if text else None, self.headers))
        answer = self.server.answers.get(name)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if answer is None:
            answer = (404, {"title": "Not Found", "status": 404, "code": "not_found",
                            "detail": f"nothing at {name}"})
        if isinstance(answer, bytes):
            self.wfile.write(answer)
            self.close_connection = True
            return
        if not isinstance(answer, tuple):
            answer = (200, answer)
        status, body, headers = (*answer, {})[:3]
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


@pytest.fixture
def controller():
    with Controller() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def weir(controller):
    def run(*arguments, stdin=None, server=controller.url, env=None):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(env or {})}
        if server:
            environment["WEIR_SERVER"] = server
        return subprocess.run([WEIR, *arguments], input=stdin, capture_output=True, text=True,
                              env=environment, timeout=30, check=False)
    return run
