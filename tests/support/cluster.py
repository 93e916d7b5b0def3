# SPDX-License-Identifier: Apache-2.0
"""A controller and an agent of their own: instance name, directories, ports and subnets that no
other test and no installed Weir has. Programs are started and killed here as an operator would."""

import http.client
import ipaddress
import json
import os
import random
import re
import signal
import socket

from . import dns
from .run import command, namespaces, remove_instance
from .target import Targets
from .wait import wait_for

# A range of ports below the ephemeral ones; WEIR_TEST_PORTS=first-last moves it.
FIRST_PORT, LAST_PORT = (int(p) for p in os.environ.get("WEIR_TEST_PORTS", "22000-23999").split("-"))
_taken = set()


def free_port():
    """A port that nobody has, for TCP and UDP on loopback."""
    for _ in range(500):
        port = random.randint(FIRST_PORT, LAST_PORT)
        if port in _taken:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        _taken.add(port)
        return port
    raise RuntimeError(f"no free port in {FIRST_PORT}-{LAST_PORT}")


def free_subnet(first=150, last=199):
    """A /24 out of 10.first.0.0 – 10.last.255.255 that no route of this machine overlaps."""
    routes = [ipaddress.ip_network(route, strict=False) for route in
              re.findall(r"^(?:\w+ )?(\d+\.[\d./]+)", command("ip", "-4", "route", check=False), re.M)]
    for _ in range(500):
        subnet = ipaddress.ip_network(f"10.{random.randint(first, last)}.{random.randint(1, 254)}.0/24")
        if str(subnet) not in _taken and not any(subnet.overlaps(route) for route in routes):
            _taken.add(str(subnet))
            return str(subnet)
    raise RuntimeError("no free subnet")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:2000]!r}"


class Cluster:
    living = []  # those not stopped yet

    def __init__(self, run, runtime="oci", failure_threshold_s=60, user=None, hurried=True, **settings):
        self.run, self.runtime, self.user = run, runtime, user
        self.instance = run.instance()
        self.node = self.instance
        self.directory = run.path(self.instance, "")
        for part in ("run", "state", "db"):
            os.makedirs(os.path.join(self.directory, part), exist_ok=True)
            if user:
                import pwd
                os.chown(os.path.join(self.directory, part), pwd.getpwnam(user).pw_uid, -1)
        self.port, self.dns_port = free_port(), free_port()
        self.front_subnet = free_subnet(110, 149) if runtime == "oci" else \
            f"127.90.{random.randint(1, 254)}.0/24"
        self.database = os.path.join(self.directory, "db", "weir.db")
        self.failure_threshold_s = failure_threshold_s
        # Waits that are there for clients with a cached name, which tests don't have.
        self.settings = {"leave_ms": 300, "drain_ms": 300, **settings} if hurried else settings
        self.controller = self.agent = None
        self.agents = {}  # by node
        self.targets, self.joined = {}, 0
        Cluster.living.append(self)

    # Programs

    @property
    def socket_path(self):
        return os.path.join(self.directory, "db", "api.sock")

    @property
    def dns(self):
        return ("127.0.0.1", self.dns_port)

    def controller_command(self):
        return [os.path.join(self.run.programs(self.user), "weir-controller"), "--listen", f"127.0.0.1:{self.port}",
                "--socket", self.socket_path, "--database", self.database,
                "--dns", f"127.0.0.1:{self.dns_port}", "--front-subnet", self.front_subnet,
                "--failure-threshold-s", str(self.failure_threshold_s),
                *(f"--set={name}={number}" for name, number in self.settings.items())]

    def agent_command(self, node=None):
        return [os.path.join(self.run.programs(self.user), "weir-agent"), "--node", node or self.node,
                "--instance", self.instance, "--runtime", self.runtime,
                "--controller", f"http://127.0.0.1:{self.port}",
                "--run-dir", os.path.join(self.directory, "run"),
                "--state-dir", os.path.join(self.directory, "state"),
                "--proxy", os.path.join(self.run.programs(self.user), "weir-proxy")]

    def start_controller(self, wait=True):
        self.controller = self.run.start(self.controller_command(),
                                         f"{self.instance}/controller.log", user=self.user)
        if wait:
            wait_for(lambda: self.rest("GET", "/v1/health").status == 200, 15,
                     lambda: "controller's health\n" + self.log("controller"))

    def start_agent(self, wait=True, node=None):
        """node: another one than the cluster's first (runtime "process" only)."""
        node = node or self.node
        log = "agent" if node == self.node else f"agent-{node}"
        agent = self.run.start(self.agent_command(node), f"{self.instance}/{log}.log",
                               user=self.user)
        self.agents[node] = agent
        if node == self.node:
            self.agent = agent
        if wait:
            wait_for(lambda: self.node_ready(node), 15,
                     lambda: "the node's report\n" + self.log(log))

    def start(self):
        self.start_controller()
        self.start_agent()
        return self

    def kill_controller(self, number=signal.SIGKILL):
        self.controller.send_signal(number)
        return self.controller.wait(20)

    def kill_agent(self, number=signal.SIGKILL):
        self.agent.send_signal(number)
        return self.agent.wait(20)

    def log(self, name, most=3000):
        try:
            with open(os.path.join(self.directory, f"{name}.log"), errors="replace") as file:
                return file.read()[-most:]
        except FileNotFoundError:
            return ""

    def stop(self):
        """Ends both and takes away what the agent made, by the agent's own means; the run's sweep
        would do it too, but a leak must be seen, so what is left is returned."""
        Cluster.living.remove(self)
        for targets in list(self.targets.values()):
            self.leave(targets)
        for child in (*self.agents.values(), self.controller):
            if child and child.poll() is None:
                child.kill()
                child.wait()
        for node in self.agents:
            command(*self.agent_command(node), "--remove-all", check=False, timeout=60)
        left = self.leftovers()
        remove_instance(self.instance)
        for name in [n for n in namespaces() if n.startswith(f"wt-{self.instance}-")]:
            command("ip", "netns", "delete", name, check=False)
        return left

    def leftovers(self):
        found = [n for n in namespaces() if n.startswith(f"weir-{self.instance}-")]
        links = command("ip", "-o", "link", check=False)
        if f": weir{self.instance}:" in links:
            found.append(f"weir{self.instance}")
        found += [f"wf{self.instance}-"] if f": wf{self.instance}-" in links else []
        return found

    # The API

    def rest(self, method, path, body=None, headers=None, seconds=30):
        peer = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            peer.request(method, path, body=body, headers=headers)
            answer = peer.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            peer.close()

    def ask(self, method, path, body=None, **more):
        """A call that must succeed."""
        answer = self.rest(method, path, body, **more)
        assert 200 <= answer.status < 300, f"{method} {path}: {answer}"
        return answer.json if answer.body else None

    def request(self, action, kind, wait=None, **fields):
        """The envelope; returns (HTTP status, answer)."""
        path = "/v1/requests" + (f"?wait={wait}&timeout_s=30" if wait else "")
        answer = self.rest("POST", path, {"action": action, "type": kind, **fields}, seconds=60)
        return answer.status, answer.json

    def succeed(self, action, kind, **fields):
        status, answer = self.request(action, kind, **fields)
        assert answer.get("status") == "successful", f"{action} {kind} {fields}: {status} {answer}"
        return answer["info"]

    def load_balancer(self, project, name):
        return self.ask("GET", f"/v1/projects/{project}/load-balancers/{name}")

    def wait_serving(self, project, name, units=None, seconds=20):
        """Its load balancer, once it is active with all its units serving."""
        def serving():
            lb = self.load_balancer(project, name)
            status = lb["status"]
            assert status["state"] == "active", lb
            assert len([u for u in status["units"] if u["state"] == "serving"]) >= \
                (units or lb["units"]), lb
            return lb
        return wait_for(serving, seconds, lambda: f"{name} of {project} serving\n" +
                        self.log("agent", 1500) + self.log("controller", 1500))

    def node_ready(self, node=None):
        return any(n["name"] == (node or self.node) and n["state"] == "ready"
                   for n in self.ask("GET", "/v1/nodes")["items"])

    def events(self, **filters):
        query = "&".join(f"{key}={value}" for key, value in {"limit": 1000, **filters}.items())
        return self.ask("GET", f"/v1/events?{query}")["items"]

    # Names and clients

    def addresses(self, dns_name):
        return dns.query(self.dns, dns_name).addresses

    def get(self, dns_name, port=80, path="/", headers=None, seconds=5):
        """What a client does: asks DNS, opens a connection to the address, sends one request."""
        found = self.addresses(dns_name)
        assert found, f"{dns_name} has no address"
        return self.get_from(random.choice(found), port, path, headers, dns_name, seconds)

    def get_from(self, address, port=80, path="/", headers=None, host=None, seconds=5):
        peer = http.client.HTTPConnection(address, port, timeout=seconds)
        try:
            peer.request("GET", path, headers={"Host": host or address, **(headers or {})})
            answer = peer.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            peer.close()

    def project_namespace(self, project_id):
        return f"weir-{self.instance}-p{project_id}"

    def unit_namespace(self, unit_id):
        return f"weir-{self.instance}-u{unit_id}"

    def unit_pid(self, unit_id, node=None):
        """Of the unit's first process, as the agent notes it."""
        with open(os.path.join(self.directory, "run", node or self.node, "units", str(unit_id),
                               "pid")) as f:
            return int(f.read().split()[0])

    def kill_unit(self, unit_id):
        os.kill(self.unit_pid(unit_id), signal.SIGKILL)

    def join(self, project, count=1, first=11):
        """Targets in a namespace of their own on the project's network: the addresses of the
        subnet from .first on. Returns (Targets, [address …]); they do not listen yet."""
        namespace = self.project_namespace(project["id"])
        wait_for(lambda: namespace in namespaces() and "br0" in
                 command("ip", "-n", namespace, "-o", "link", check=False), 10,
                 lambda: f"network of {project['name']}\n" + self.log("agent"))
        number = self.joined
        self.joined += 1
        name = self.run.namespace(f"wt-{self.instance}-{number}")
        outer, bits = f"wt{number}", project["subnet"].split("/")[1]
        network = project["subnet"].rsplit(".", 1)[0]
        addresses = [f"{network}.{first + i}" for i in range(count)]
        command("ip", "link", "add", outer, "netns", namespace, "type", "veth",
                "peer", "name", "eth0", "netns", name)
        command("ip", "-n", namespace, "link", "set", outer, "master", "br0", "up")
        for address in addresses:
            command("ip", "-n", name, "addr", "add", f"{address}/{bits}", "dev", "eth0")
        command("ip", "-n", name, "link", "set", "eth0", "up")
        targets = Targets(self.run, f"{self.instance}-{number}", netns=name)
        targets.namespace = name
        self.targets[name] = targets
        return targets, addresses

    def leave(self, targets):
        targets.stop()
        self.targets.pop(targets.namespace)
        command("ip", "netns", "delete", targets.namespace, check=False)
