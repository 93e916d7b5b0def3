# SPDX-License-Identifier: Apache-2.0
"""./dev lab: the whole service on one machine, for a first look. It starts a controller and an agent,
three web servers as targets, makes a project and a load balancer from examples/, asks it by name, and
kills a unit to show what Weir does about it. Everything is removed again when it ends.

  ./dev lab [--detach] [--runtime oci|process] [--no-crash]
  ./dev lab stop | status

As root, units are containers in network namespaces (runtime oci). Without root they are plain
processes on loopback addresses (runtime process)."""

import argparse
import fcntl
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import targets
from asking import Load, Name
from show import clean, fit, line, paint, step, table, title
from world import INSTANCE, PROGRAMS, ROOT, LabError, World, alive, command, wait_until

NODE = "lab"
CLIENT = "weir-lab-client"
RATE = 50  # requests a second while a unit dies
WORKFLOW_S = 40  # how long the crash workflow is watched at most
FAILURE_THRESHOLD_S = 20


class Lab:
    def __init__(self, options):
        self.options, self.world = options, World()
        self.oci = options.runtime == "oci"
        self.examples = ROOT / "examples" / ("" if self.oci else "loopback")
        self.children = {}
        self.socket = self.world.directory / "controller.sock"
        self.weir = [PROGRAMS / "weir", "--server", f"unix:{self.socket}"]
        self.name = None
        self.last_address = ""

    # Starting

    def start(self):
        self.check_machine()
        self.world.open()
        title(f"Weir lab · {'containers by runc' if self.oci else 'plain processes on loopback'}"
              " · Ctrl-C removes everything again")
        line()
        self.start_controller()
        self.start_agent()
        project = self.request("project.json")
        self.start_targets(project)
        self.create_instance()

    def check_machine(self):
        for program in ("weir", "weir-controller", "weir-agent", "weir-proxy"):
            if not (PROGRAMS / program).exists():
                raise LabError(f"{PROGRAMS / program} is missing; ./dev build makes it")
        wanted = ["curl", "/usr/sbin/nginx", "/usr/sbin/lighttpd"]
        wanted += ["runc", "ip", "nft"] if self.oci else ["dig"]
        for program in wanted:
            if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
                raise LabError(f"{program} is missing; ./dev lab as root installs it")
        if self.oci and os.geteuid() != 0:
            raise LabError("containers need root; without it: ./dev lab --runtime process")

    def front_subnet(self):
        """A /16 that no route of this machine touches."""
        if not self.oci:
            return ipaddress.ip_network("127.90.0.0/16")
        routes = [ipaddress.ip_network(row["dst"], strict=False)
                  for row in json.loads(command("ip", "-json", "-4", "route", "show", "table", "all"))
                  if row.get("dst", "default") != "default"]
        for second in range(90, 100):
            subnet = ipaddress.ip_network(f"10.{second}.0.0/16")
            if not any(subnet.overlaps(route) for route in routes):
                return subnet
        raise LabError("no /16 from 10.90.0.0 to 10.99.0.0 is free on this machine")

    def start_controller(self):
        self.subnet = self.front_subnet()
        if self.oci:
            self.dns = (str(self.subnet[1]), 53)
        else:
            self.dns = ("127.0.0.1", free_port(5390))
        self.listen = f"127.0.0.1:{free_port(7690)}"
        child = self.world.start(
            "controller", PROGRAMS / "weir-controller", "--listen", self.listen, "--socket",
            self.socket, "--database", self.world.path("controller", "weir.db"), "--dns",
            f"{self.dns[0]}:{self.dns[1]}", "--front-subnet", self.subnet,
            "--failure-threshold-s", FAILURE_THRESHOLD_S)
        self.children["controller"] = child
        self.wait_for("the controller", lambda: self.ask("status", quiet=True) is not None, 10)
        step("controller", f"API at {self.socket}, DNS at {self.dns[0]}:{self.dns[1]}")

    def agent_argv(self):
        return [str(a) for a in (
            PROGRAMS / "weir-agent", "--node", NODE, "--instance", INSTANCE, "--controller",
            self.socket, "--runtime", self.options.runtime, "--run-dir", self.world.directory / "run",
            "--state-dir", self.world.directory / "state")]

    def start_agent(self):
        self.world.note("agent", *self.agent_argv(), "--remove-all")
        self.children["agent"] = self.world.start("agent", *self.agent_argv())

        def ready():
            nodes = (self.ask("get", "nodes", quiet=True) or {}).get("items", [])
            return any(node["name"] == NODE and node["state"] == "ready" for node in nodes)
        self.wait_for("the agent", ready, 15)
        bridge = f", bridge weir{INSTANCE} with {self.subnet}" if self.oci else ""
        step("agent", f"node {NODE} is ready{bridge}")

    def request(self, file, *options):
        """weir request FILE, as a user types it; its answer's info."""
        done = subprocess.run([str(a) for a in (*self.weir, "request", self.examples / file, *options)],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"weir request {self.examples / file}: {done.stderr.strip()}")
        info = json.loads(done.stdout)["info"]
        shown = f"weir request {(self.examples / file).relative_to(ROOT)}"
        what = "project" if file.startswith("project") else "load balancer"
        where = f", network {info['subnet']}" if self.oci and what == "project" else ""
        step("request", f"{paint('bold', shown)} → {what} {info['name']}{where}")
        return info

    def start_targets(self, project):
        self.targets = targets.three("10.1.0" if self.oci else "127.91.0", 80 if self.oci else 8080)
        if self.oci:
            namespace = f"weir-{INSTANCE}-p{project['id']}"
            self.wait_for(
                f"the network of project {project['name']}",
                lambda: command("ip", "-n", namespace, "link", "show", "br0", "up", check=False), 10)
            for target in self.targets:
                target.attach(self.world, namespace, project["subnet"].split("/")[1])
        for target in self.targets:
            target.start(self.world)
            self.children[target.server] = target.child
        for target in self.targets:
            target.wait(self.world)
            where = f" in namespace {target.namespace}" if target.namespace else ""
            step("target", f"{target.server} at {target.address}:{target.port}{where}")

    def create_instance(self):
        info = self.request("instance.json")
        self.project, self.balancer = info["project"], info["id"]
        self.url = info["url"]
        watch = self.world.start("events", *self.weir, "events", "--follow", "-o", "json",
                                 stdout=subprocess.PIPE)
        self.events = Events(watch)
        seen = {}

        def serves():
            state = self.lb_status()
            for unit in state.get("units", []):
                if seen.get(unit["id"]) != unit["state"]:
                    seen[unit["id"]] = unit["state"]
                    step("unit", f"{unit['id']} at {unit['address']}: {unit['state']}")
            return state.get("state") == "active"
        self.wait_for("the load balancer", serves, 30)
        step("serves", paint("green", self.url))
        self.name = self.client()

    def client(self):
        """A client's place in the world: it knows Weir's DNS server and nothing else."""
        if not self.oci:
            return Name(self.url, server=self.dns)
        self.world.netns_file(CLIENT, "resolv.conf", f"nameserver {self.dns[0]}\n")
        self.world.netns_file(CLIENT, "nsswitch.conf", "hosts: files dns\n")
        self.world.namespace(CLIENT)
        self.world.note("link", "wlabclient")
        command("ip", "link", "add", "eth0", "netns", CLIENT, "type", "veth", "peer", "name",
                "wlabclient")
        command("ip", "link", "set", "wlabclient", "master", f"weir{INSTANCE}", "up")
        command("ip", "-n", CLIENT, "addr", "add", f"{self.subnet[-6]}/{self.subnet.prefixlen}",
                "dev", "eth0")
        command("ip", "-n", CLIENT, "link", "set", "eth0", "up")
        return Name(self.url, namespace=CLIENT)

    # Asking the controller

    def ask(self, *arguments, quiet=False):
        done = subprocess.run([str(a) for a in (*self.weir, *arguments, "-o", "json")],
                              capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            if quiet:
                return None
            raise LabError(f"weir {' '.join(arguments)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def lb_status(self):
        answer = self.ask("describe", "lb", str(self.balancer), "--project", str(self.project),
                          quiet=True)
        return (answer or {}).get("status") or {}

    def wait_for(self, what, condition, seconds):
        def checked():
            self.check_children()
            return condition()
        if not wait_until(checked, seconds, 0.05):
            text = f"{what} is not ready after {seconds} s"
            for name in ("controller", "agent"):
                text += f"\nthe end of {self.world.directory / name}.log:\n{self.world.log_tail(name)}"
            raise LabError(text)

    def check_children(self):
        for name, child in self.children.items():
            if child.poll() is not None:
                log = name if name in ("controller", "agent") else None
                raise LabError(f"{name} ended by itself ({child.returncode})" + (
                    f"; its last words:\n{self.world.log_tail(log)}" if log else ""))

    # Showing

    def show_requests(self, count=9):
        server = f"{self.dns[0]}:{self.dns[1]}"
        found = self.name.addresses()
        title("Nine requests by name" if count == 9 else f"{count} requests by name")
        line(f"  {self.name.host} → {', '.join(found) or 'no address'}, by Weir's DNS server "
             f"{server}")
        line()
        units = {unit["address"]: unit["id"] for unit in self.lb_status().get("units", [])}
        rows, tally = [], {}
        for number in range(1, count + 1):
            who, address, status, seconds = self.name.ask()
            tally[who] = tally.get(who, 0) + 1
            self.last_address = address or self.last_address
            good = status == "200"
            rows.append([str(number), who if good else ("red", who or "no answer"),
                         f"unit {units.get(address, '?')} at {address}" if address else "",
                         ("green" if good else "red", status or "-"), f"{seconds * 1000:.1f} ms"])
        table(["#>", "answered by", "through", "status", "time>"], rows)
        line()
        line("  " + ", ".join(f"{clean(who)}: {n}" for who, n in sorted(tally.items())))

    def pick_victim(self):
        """The unit that answered last, with its process; else any that serves."""
        units = self.lb_status().get("units", [])
        for unit in sorted(units, key=lambda u: u["address"] != self.last_address):
            if unit["state"] == "serving":
                path = self.world.directory / "run" / NODE / "units" / str(unit["id"]) / "pid"
                try:
                    return unit, int(path.read_text().split()[0])
                except (OSError, ValueError, IndexError):
                    continue
        raise LabError("no unit serves that could be killed")

    def show_crash(self):
        unit, pid = self.pick_victim()
        title(f"A unit dies: kill -9 {pid} (unit {unit['id']} at {unit['address']}); "
              f"{RATE} requests a second go on")
        line()
        load = Load(self.world, self.name, RATE)
        if not wait_until(lambda: load.answered + len(load.failures) >= RATE, 15):
            raise LabError(f"no request came through: {self.world.log_tail('load')}")
        self.events.drain()
        killed_wall, killed = time.time(), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        line(f"  {'+0.000 s':>10}  {paint('red', f'kill -9 {pid}')}")
        last_step, quiet_since = 0, None
        while time.monotonic() - killed < WORKFLOW_S:
            self.check_children()
            event = self.events.next(0.2)
            if event:
                self.show_event(event, killed_wall)
                last_step = max(last_step, event.get("step") or 0)
                quiet_since = time.monotonic()
            elif last_step >= 4 and time.monotonic() - quiet_since > 2 and \
                    self.lb_status().get("state") == "active":
                break
        load.stop()
        failures = load.failures
        line()
        text = f"  Requests meanwhile: {load.answered + len(failures)}, failed: "
        line(text + paint("red" if failures else "green", str(len(failures))))
        if failures:
            last_at, problem = failures[-1]
            line(f"  The last failure was asked {last_at - killed:+.3f} s after the kill: "
                 f"{clean(problem)}")
        status = self.lb_status()
        line(f"  {self.project}/{self.name.host.split('.')[0]} is {status.get('state', '?')} with " +
             ", ".join(f"unit {u['id']} {u['state']}" for u in status.get("units", [])))

    @staticmethod
    def show_event(event, since_wall=None):
        at = event.get("at", "")
        stamp = at[11:23]
        if since_wall is not None:
            stamp = f"{parse_time(at) - since_wall:+.3f} s"
        kind = str(event.get("kind", ""))
        bad = any(word in kind for word in ("failed", "lost", "dead", "refused"))
        number = f"step {event['step']}" if event.get("step") else ""
        what, why = clean(event.get("what", "")), clean(event.get("why", ""))
        head = f"  {stamp:>10}  {number:<6}  {clean(kind):<22}  "
        line(f"  {stamp:>10}  {paint('bold', f'{number:<6}')}  "
             f"{paint('red' if bad else 'cyan', f'{clean(kind):<22}')}  {fit(what, why and f'({why})', len(head))}")

    def show_way_on(self):
        title("Look around")
        ask = f"ip netns exec {CLIENT} curl {self.url}" if self.oci else (
            f"curl --resolve {self.name.host}:{self.name.port}:{','.join(self.name.addresses())} "
            f"{self.url}")
        line(f"  export WEIR_SERVER=unix:{self.socket} PATH={PROGRAMS}:$PATH")
        line("  weir status")
        line(f"  weir describe lb {self.name.host.split('.')[0]} --project {self.project}")
        line(f"  {ask}")

    def stay(self):
        line()
        line(f"  Events as they come; {paint('bold', 'Ctrl-C')} ends the lab and removes everything.")
        line()
        while True:
            self.check_children()
            event = self.events.next(0.5)
            if event:
                self.show_event(event)

    def run(self):
        self.start()
        self.show_requests()
        if not self.options.no_crash:
            self.show_crash()
        self.show_way_on()
        if self.options.detach:
            self.events.stop()
            self.world.note("detached")
            line()
            line("  The lab goes on. ./dev lab stop ends it and removes everything.")
            return
        self.stay()


class Events:
    """weir events --follow -o json, read by a thread."""

    def __init__(self, child):
        self.child, self.items, self.ready = child, [], threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for text in self.child.stdout:
            with self.ready:
                self.items.append(json.loads(text))
                self.ready.notify()

    def next(self, seconds):
        with self.ready:
            self.ready.wait_for(lambda: self.items, seconds)
            return self.items.pop(0) if self.items else None

    def drain(self):
        while self.next(0.3):
            pass

    def stop(self):
        self.child.kill()
        self.child.wait()


def parse_time(text):
    """Seconds since 1970 of an RFC 3339 time in UTC."""
    from datetime import datetime
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return time.time()


def free_port(first):
    for port in range(first, first + 50):
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    if kind == socket.SOCK_STREAM:
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            return port
        except OSError:
            continue
    raise LabError(f"no port from {first} to {first + 49} is free on 127.0.0.1")


def tell_removed(world, left):
    for what in left:
        line(f"  {paint('red', 'not removed:')} {what}")
    if left:
        line(f"  {world.directory} says what it was; ./dev lab stop tries again.")
    else:
        line("  Everything is removed.")


def stop_lab():
    world = World()
    owner = world.owner()
    if not owner:
        line("dev: no lab runs here")
        return 0
    if not owner[2] and alive(owner[0], owner[1]):
        line(f"Ending the lab of process {owner[0]}")
        os.kill(owner[0], signal.SIGTERM)
        if wait_until(lambda: not alive(owner[0], owner[1]), 60, 0.1) and not world.owner():
            line("  Everything is removed.")
            return 0
    with open(f"{world.directory}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            line("dev: the lab does not end; its own terminal says why")
            return 1
        left = world.remove()
    tell_removed(world, left)
    return 1 if left else 0


def status_lab():
    world = World()
    if not world.is_running():
        line("No lab runs here.")
        return 1
    owner = world.owner()
    line("A lab runs" + (", left there with --detach." if owner[2] else f" (process {owner[0]})."))
    line(f"export WEIR_SERVER=unix:{world.directory / 'controller.sock'} PATH={PROGRAMS}:$PATH")
    return 0


class Ended(Exception):
    pass


def ended(number, _frame):
    raise Ended(number)


def run_lab(options):
    lab = Lab(options)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    code = 0
    try:
        lab.run()
    except Ended as end:
        number = end.args[0]
        code = 0 if number == signal.SIGINT and lab.name else 128 + number
    except (LabError, subprocess.TimeoutExpired, OSError) as error:
        print(f"dev: {error}", file=sys.stderr, flush=True)
        code = 1
    finally:
        # From here on a second Ctrl-C would only leave things behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        owner = lab.world.owner()
        if owner and owner[0] == os.getpid() and not owner[2]:
            title("Ending the lab")
            if hasattr(lab, "events"):
                lab.events.stop()
            left = lab.world.remove()
            tell_removed(lab.world, left)
            code = code or (1 if left else 0)
    return code


def main():
    parser = argparse.ArgumentParser(prog="./dev lab", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["start", "stop", "status"], default="start")
    parser.add_argument("--detach", action="store_true", help="leave it running")
    parser.add_argument("--runtime", choices=["oci", "process"],
                        default="oci" if os.geteuid() == 0 else "process")
    parser.add_argument("--no-crash", action="store_true", help="kill no unit")
    options = parser.parse_args()
    if options.what == "stop":
        return stop_lab()
    if options.what == "status":
        return status_lab()
    return run_lab(options)


sys.exit(main())
