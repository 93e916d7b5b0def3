# SPDX-License-Identifier: Apache-2.0
"""An agent alone: no controller, its desired document in a file that the test writes."""

import http.client
import http.server
import json
import os
import random
import re
import signal
import socket
import threading
import time

from .cluster import free_port, free_subnet
from .run import command, namespaces, remove_instance
from .wait import wait_for


class Node:
    def __init__(self, run, runtime="oci", user=None, front=None, machine=None):
        """machine: a namespace in the place of the machine's own network."""
        self.run, self.runtime, self.user, self.machine = run, runtime, user, machine
        self.name = "n1"
        self.instance = run.instance()
        self.directory = run.path(self.instance, "")
        for part in ("run", "state", "file"):
            os.makedirs(os.path.join(self.directory, part), exist_ok=True)
            if user:
                import pwd
                os.chown(os.path.join(self.directory, part), pwd.getpwnam(user).pw_uid, -1)
        self.front = front or (free_subnet() if runtime == "oci" else
                               f"127.91.{random.randint(1, 254)}.0/24")
        self.generation = 0
        self.networks, self.units = {}, {}
        self.agent = None

    # The document

    def address(self, number):
        return self.front.rsplit(".", 1)[0] + f".{number}"

    def add_network(self, project_id, subnet):
        self.networks[project_id] = {"project_id": project_id, "name": f"p{project_id}",
                                     "subnet": subnet,
                                     "gateway": subnet.rsplit(".", 1)[0] + ".1"}

    def add_unit(self, unit_id, project_id=1, targets=(), version=1, port=80):
        back = self.networks[project_id]["subnet"].rsplit(".", 1)[0] + f".{200 + unit_id}"
        front = self.address(10 + unit_id)
        places = [place.rsplit(":", 1) for place in targets]
        self.units[unit_id] = {
            "id": unit_id, "project_id": project_id, "load_balancer_id": 100, "front": front,
            "back": back,
            "limits": {"memory_bytes": 268435456, "pids": 64, "cpu_millis": 2000},
            "draining": False,
            "snapshot": {
                "version": version, "unit_id": unit_id, "load_balancer_id": 100,
                "load_balancer": "shop", "project": "john", "address": front, "status_port": 9901,
                "listeners": [{"id": 101, "protocol": "http", "port": port,
                               "target_group_id": 102}],
                "target_groups": [{
                    "id": 102, "name": "shop", "protocol": "http", "algorithm": "round_robin",
                    "health_check": {"enabled": True, "protocol": "http", "port": 0,
                                     "path": "/health", "interval_s": 1, "timeout_s": 1,
                                     "healthy_threshold": 2, "unhealthy_threshold": 2,
                                     "codes": "200-399"},
                    "targets": [{"address": a, "port": int(p), "weight": 1} for a, p in places]}]}}
        return self.units[unit_id]

    @property
    def document_path(self):
        return os.path.join(self.directory, "file", "desired.json")

    def document(self):
        return {"node": self.name, "generation": self.generation,
                "front": {"subnet": self.front, "gateway": self.address(1)},
                "networks": list(self.networks.values()), "units": list(self.units.values())}

    def apply(self):
        """Writes the document whole, as a next generation."""
        self.generation += 1
        with open(self.document_path + ".new", "w") as file:
            json.dump(self.document(), file)
        os.chmod(self.document_path + ".new", 0o644)
        os.rename(self.document_path + ".new", self.document_path)

    # The program

    def agent_command(self, *more, desired=True):
        enter = ["nsenter", f"--net=/run/netns/{self.machine}"] if self.machine else []
        return enter + [
            os.path.join(self.run.programs(self.user), "weir-agent"), "--node", self.name, "--instance", self.instance,
            "--runtime", self.runtime, "--run-dir", os.path.join(self.directory, "run"),
            "--state-dir", os.path.join(self.directory, "state"),
            "--proxy", os.path.join(self.run.programs(self.user), "weir-proxy"),
            *(["--desired", self.document_path] if desired else []), *more]

    def start(self, *more, desired=True, env=None):
        """Its reports from now on are the new agent's."""
        try:
            os.unlink(self.run_path("observed.json"))
        except FileNotFoundError:
            pass
        self.agent = self.run.start(self.agent_command(*more, desired=desired),
                                    f"{self.instance}/agent.log", user=self.user, env=env)

    def kill(self, number=signal.SIGKILL):
        self.agent.send_signal(number)
        return self.agent.wait(20)

    def log(self, most=4000):
        try:
            with open(os.path.join(self.directory, "agent.log"), errors="replace") as file:
                return file.read()[-most:]
        except FileNotFoundError:
            return ""

    def stop(self):
        """Ends the agent and takes away what it made, by its own means; returns what is left."""
        if self.agent and self.agent.poll() is None:
            self.kill()
        said = command(*self.agent_command("--remove-all"), check=False, timeout=60,
                       **({"user": self.user, "group": "nogroup"} if self.user else {}))
        left = [n for n in namespaces() if n.startswith(f"weir-{self.instance}-")]
        left += [p for p in ("run", "state")
                 if os.path.exists(os.path.join(self.directory, p, self.name))]
        remove_instance(self.instance)
        if "Sanitizer" in self.log(1 << 20) or "runtime error:" in self.log(1 << 20):
            left.append("a sanitizer's complaint")
        return left and (left, said, self.log())

    # What it sees

    def observed(self):
        with open(os.path.join(self.directory, "run", self.name, "observed.json")) as file:
            return json.load(file)

    def unit(self, unit_id):
        return next((u for u in self.observed()["units"] if u["id"] == unit_id), None)

    def network(self, project_id):
        return next((n for n in self.observed()["networks"] if n["project_id"] == project_id), None)

    def wait_unit(self, unit_id, state="serving", seconds=10, **fields):
        """The unit's report once it is in the state and its fields are as wanted."""
        def there():
            unit = self.unit(unit_id)
            assert unit and unit["state"] == state, unit
            for key, value in fields.items():
                assert unit[key] == value, unit
            return unit
        return wait_for(there, seconds, lambda: f"unit {unit_id} {state} {fields}\n" + self.log())

    def wait_settled(self, seconds=15):
        return wait_for(lambda: self.observed()["generation"] == self.generation, seconds,
                        lambda: f"generation {self.generation} applied\n" + self.log())

    def project_namespace(self, project_id):
        return f"weir-{self.instance}-p{project_id}"

    def unit_namespace(self, unit_id):
        return f"weir-{self.instance}-u{unit_id}"

    def run_path(self, *parts):
        return os.path.join(self.directory, "run", self.name, *parts)


class FakeController:
    """What an agent asks of a controller, and what it reports, under the test's hand."""

    def __init__(self, node, port=None):
        self.reports, self.asked, self.peers = [], [], []
        self.text = None  # answered in the place of the node's document
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                fake.peers.append(self.connection)

            def do_GET(self):
                fake.asked.append(self.path)
                after = int(re.search(r"after=(\d+)", self.path)[1])
                deadline = time.monotonic() + 0.5
                while fake.text is None and after >= node.generation and after != 0:
                    if time.monotonic() > deadline:
                        return self.answer(204, b"")
                    time.sleep(0.005)
                self.answer(200, (json.dumps(node.document()) if fake.text is None else fake.text)
                            .encode())

            def do_PUT(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fake.reports.append(json.loads(body))
                self.answer(204, b"")

            def answer(self, status, body):
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # the agent was killed
        self.server = Server(("127.0.0.1", port or free_port()), Handler)
        self.options = ("--controller", f"http://127.0.0.1:{self.server.server_address[1]}")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for peer in self.peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def get(address, path="/health", port=9901):
    peer = http.client.HTTPConnection(address, port, timeout=5)
    try:
        peer.request("GET", path)
        answer = peer.getresponse()
        return answer.status, answer.read()
    finally:
        peer.close()


def status_fields(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
