# SPDX-License-Identifier: Apache-2.0
"""The agent alone, with real namespaces and real containers: what it makes, what it leaves alone,
what it survives. Desired documents come from a file."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from support import load as loads
from support.cluster import free_subnet
from support.node import get, status_fields
from support.run import PROGRAMS, command, namespaces, start_time
from support.target import Targets
from support.wait import holds_for, wait_for

pytestmark = pytest.mark.oci


@pytest.fixture
def node(make_node):
    """One project, two units, serving."""
    node = make_node()
    node.add_network(1, free_subnet())
    node.add_unit(1)
    node.add_unit(2)
    node.apply()
    node.start()
    node.wait_unit(1)
    node.wait_unit(2)
    return node


def in_namespace(name, *argv, **more):
    return command("ip", "netns", "exec", name, *argv, **more)


def test_units_serve_at_their_front_addresses(node):
    node.wait_settled()
    for unit_id in (1, 2):
        status, body = get(node.units[unit_id]["front"])
        assert status == 200
        assert json.loads(body) == {"unit": unit_id, "version": 1}
    observed = node.observed()
    assert observed["runtime"] == "oci" and observed["node"] == "n1"
    assert observed["networks"] == [{"project_id": 1, "state": "ready", "error": ""}]
    assert not any(prefix.startswith(node.front.rsplit(".", 1)[0]) for prefix in observed["routes"])
    assert all(u["starts"] == 1 and u["snapshot_version"] == 1 for u in observed["units"])


def test_a_unit_has_no_privilege_and_sees_one_file(node):
    pid = node.wait_unit(1)["pid"]
    fields = status_fields(pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, f"{name} is {fields[name]}"
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
    uid = int(fields["Uid"].split()[0])
    assert uid >= 2000000000 and uid == int(fields["Gid"].split()[0]), fields
    assert fields["Groups"].strip() in ("", str(uid))
    other = status_fields(node.wait_unit(2)["pid"])
    assert other["Uid"] != fields["Uid"], "two units share a user"
    root = f"/proc/{pid}/root"
    assert sorted(os.listdir(root)) == ["dev", "proc", "run", "weir-proxy"]
    options = {line.split()[4]: line.split()[5].split(",")
               for line in open(f"/proc/{pid}/mountinfo")}
    assert "ro" in options["/"] and "ro" in options["/weir-proxy"]
    # It shares no namespace with the machine, but the user's.
    for kind in ("net", "pid", "mnt", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    # It can change none of the agent's files.
    unit_dir = node.run_path("units", "1")
    for name in ("snapshot.json", "starts", "pid"):
        assert os.stat(os.path.join(unit_dir, name)).st_uid == 0, name
    assert os.stat(unit_dir).st_mode & 0o1777 == 0o1770
    assert in_namespace(node.unit_namespace(1), "cat", "/proc/sys/net/ipv4/ip_forward").strip() == "0"


def unit_groups(pid, controller):
    """Directories of the process's control group: cgroup v2's, and v1's of that controller."""
    for line in open(f"/proc/{pid}/cgroup"):
        _, controllers, path = line.rstrip("\n").split(":", 2)
        if not controllers:
            yield f"/sys/fs/cgroup{path}"
        elif controller in controllers.split(","):
            yield f"/sys/fs/cgroup/{controllers}{path}"


def test_a_unit_is_held_to_its_limits(node):
    pid = node.wait_unit(1)["pid"]
    found = {}
    for name, file in (("memory", "memory.max"), ("memory", "memory.limit_in_bytes"),
                       ("pids", "pids.max"), ("cpu", "cpu.max"), ("cpu", "cpu.cfs_quota_us")):
        for group in unit_groups(pid, name):
            if os.path.exists(f"{group}/{file}"):
                found[name] = open(f"{group}/{file}").read().split()[0]
    assert found == {"memory": "268435456", "pids": "64", "cpu": "200000"}, found


def test_what_is_wanted_and_what_is_not_comes_and_goes(node):
    node.add_network(2, free_subnet())
    node.add_unit(3, project_id=2)
    del node.units[1]
    node.apply()
    node.wait_unit(3)
    wait_for(lambda: node.unit(1) is None, 10, lambda: "unit 1 gone\n" + node.log())
    assert node.unit_namespace(1) not in namespaces()
    assert not os.path.exists(node.run_path("units", "1"))
    pid = node.wait_unit(2)["pid"]
    node.units.clear()
    node.networks.clear()
    node.apply()
    node.wait_settled()
    assert not [n for n in namespaces() if n.startswith(f"weir-{node.instance}-")]
    assert start_time(pid) is None
    assert node.observed()["units"] == []


def test_many_units_come_up_together_and_a_broken_one_holds_up_nobody(make_node):
    node = make_node()
    node.add_network(1, free_subnet())
    for unit_id in range(1, 9):
        node.add_unit(unit_id)
    # The name of its interface cannot be made: it fails in words, over and over.
    node.units[12345678901] = {**node.units[8], "id": 12345678901, "front": node.address(99),
                               "back": node.units[8]["back"].rsplit(".", 1)[0] + ".250"}
    node.apply()
    node.start()
    for unit_id in range(1, 9):
        node.wait_unit(unit_id)
    bad = node.wait_unit(12345678901, "failed")
    assert "too long" in bad["error"], bad
    del node.units[12345678901]
    node.apply()
    node.wait_settled()


def test_killed_under_traffic_nothing_is_lost_and_nothing_restarted(run, node):
    targets = join(run, node, 1, "t")
    node.units[1] = node.add_unit(1, targets=[targets.place], version=2)
    node.apply()
    node.wait_unit(1, snapshot_version=2)
    front = node.units[1]["front"]
    wait_for(lambda: get(front, "/", 80)[0] == 200, 5, "an answer of the target")
    before = {u["id"]: u["pid"] for u in node.observed()["units"]}
    traffic = loads.keep_alive(run, [f"{front}:80"])
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        node.kill(number)
        holds_for(lambda: get(front, "/", 80)[0] == 200, 0.3, "serving without an agent")
        node.start()
        node.wait_unit(1)
        node.wait_unit(2)
    # It is in charge again: a change goes through.
    node.units[1]["snapshot"]["version"] = 3
    node.apply()
    node.wait_unit(1, snapshot_version=3)
    result = traffic.end()
    assert result["failed"] == 0, loads.explain(result)
    assert {u["id"]: u["pid"] for u in node.observed()["units"]} == before
    assert node.wait_unit(1)["starts"] == 1
    targets.stop()


def test_killed_at_any_moment_the_next_one_finishes(run, make_node):
    """Half-made namespaces, containers whose start nobody waits for any more, half-written files."""
    node = make_node()
    node.add_network(1, free_subnet())
    node.add_network(2, free_subnet())
    chance = random.Random(20)
    node.apply()
    node.start()
    steady = node.add_unit(50)
    node.apply()
    steady_pid = node.wait_unit(50)["pid"]
    for _ in range(20):
        node.units = {50: steady}
        for unit_id in range(1, 7):
            if chance.random() < 0.5:
                node.add_unit(unit_id, project_id=chance.choice([1, 2]))
        node.apply()
        time.sleep(chance.random() * 0.3)  # where the kill falls is the point
        node.kill()
        node.start()
    for unit_id in node.units:
        node.wait_unit(unit_id, seconds=20)
        assert get(node.units[unit_id]["front"])[0] == 200
    node.wait_settled(20)
    assert node.wait_unit(50)["pid"] == steady_pid
    wanted = {node.unit_namespace(u) for u in node.units} | {node.project_namespace(p)
                                                             for p in node.networks}
    assert {n for n in namespaces() if n.startswith(f"weir-{node.instance}-")} == wanted
    listed = command("runc", "--root", node.run_path("runc"), "list", "-q").split()
    assert sorted(listed) == sorted(node.unit_namespace(u) for u in node.units)
    links = re.findall(rf": (wf{node.instance}-\d+)@", command("ip", "-o", "link"))
    assert len(links) == len(node.units)
    assert sorted(os.listdir(node.run_path("units"))) == sorted(str(u) for u in node.units)


def join(run, node, project_id, name, first=11):
    """One listening target in a namespace of its own on the project's network."""
    namespace = run.namespace(f"wt-{node.instance}-{name}")
    subnet = node.networks[project_id]["subnet"]
    address = subnet.rsplit(".", 1)[0] + f".{first}"
    project = node.project_namespace(project_id)
    command("ip", "link", "add", f"wt{name}", "netns", project, "type", "veth",
            "peer", "name", "eth0", "netns", namespace)
    command("ip", "-n", project, "link", "set", f"wt{name}", "master", "br0", "up")
    command("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
    command("ip", "-n", namespace, "link", "set", "eth0", "up")
    targets = Targets(run, f"{node.instance}-{name}", netns=namespace)
    targets.place = targets.listen(name, address, 8080)
    return targets


def test_a_directory_that_a_killed_agent_left_is_removed(node):
    node.wait_unit(1)
    node.kill()
    left = node.run_path("units", "4711")
    os.makedirs(left)
    with open(os.path.join(left, "starts"), "w") as file:
        file.write("1")
    node.start()
    wait_for(lambda: not os.path.exists(left), 10, "the directory gone")
    node.wait_unit(1, starts=1)


def test_a_killed_unit_is_reported_at_once_and_started_again(node):
    first = node.wait_unit(1)
    other = node.wait_unit(2)["pid"]
    killed_at = time.monotonic()
    os.kill(first["pid"], signal.SIGKILL)
    failed = wait_for(lambda: (u := node.unit(1))["state"] == "failed" and u, 2, "the failure told",
                      every=0.002)
    assert time.monotonic() - killed_at < 0.5
    assert failed["pid"] == 0 and "ended" in failed["error"], failed
    again = node.wait_unit(1, starts=2)
    assert time.monotonic() - killed_at >= 0.9, "restarted without a pause"
    assert again["pid"] != first["pid"]
    assert get(node.units[1]["front"])[0] == 200
    # Again: the pause grows.
    killed_at = time.monotonic()
    os.kill(again["pid"], signal.SIGKILL)
    node.wait_unit(1, starts=3)
    assert time.monotonic() - killed_at >= 1.9
    assert node.wait_unit(2)["pid"] == other


def test_a_unit_that_reached_its_memory_limit_is_told_so(node):
    pid = node.wait_unit(1)["pid"]
    path = next(p for p in unit_groups(pid, "memory") if os.path.exists(p + "/cgroup.procs"))
    # A hog in the unit's group, which the kernel takes rather than the unit; then the unit goes.
    hog = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read(1); x = b'x' * (1 << 30)"],
                           stdin=subprocess.PIPE)
    with open(path + "/cgroup.procs", "w") as file:
        file.write(str(hog.pid))
    with open(f"/proc/{hog.pid}/oom_score_adj", "w") as file:
        file.write("1000")
    hog.communicate(b"x")
    assert hog.returncode == -signal.SIGKILL
    os.kill(pid, signal.SIGKILL)
    failed = wait_for(lambda: (u := node.unit(1))["state"] == "failed" and u, 2, "the failure told")
    assert "memory limit" in failed["error"], failed
    node.wait_unit(1, starts=2)


def test_a_unit_that_stands_still_is_reported(node):
    pid = node.wait_unit(1)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        failed = node.wait_unit(1, "failed", seconds=10)
        assert "does not answer" in failed["error"]
    finally:
        os.kill(pid, signal.SIGCONT)
    node.wait_unit(1, pid=pid)


def test_a_new_snapshot_goes_to_the_running_unit(node):
    pid = node.wait_unit(1)["pid"]
    for version in range(2, 12):
        node.add_unit(1, version=version)
        node.apply()
        node.wait_unit(1, snapshot_version=version)
    assert node.wait_unit(1)["pid"] == pid
    with open(node.run_path("units", "1", "snapshot.json")) as file:
        assert json.load(file)["version"] == 11


def test_a_refused_snapshot_leaves_the_old_one_serving(node):
    pid = node.wait_unit(1)["pid"]
    unit = node.add_unit(1, version=2)
    unit["snapshot"]["listeners"][0]["port"] = 9901  # the unit's own
    node.apply()
    refused = wait_for(lambda: (u := node.unit(1))["snapshot_error"] and u, 5,
                       lambda: "the refusal told\n" + node.log())
    assert refused["state"] == "serving" and refused["snapshot_version"] == 1, refused
    assert get(node.units[1]["front"]) == (200, b'{"unit":1,"version":1}') or \
        json.loads(get(node.units[1]["front"])[1])["version"] == 1
    node.add_unit(1, version=3)
    node.apply()
    node.wait_unit(1, snapshot_version=3, snapshot_error="", pid=pid)


def test_a_drained_unit_ends_and_stays_so(node):
    node.units[1]["draining"] = True
    node.apply()
    node.wait_unit(1, "stopped", pid=0, error="")
    holds_for(lambda: node.unit(1)["state"] == "stopped", 1.5, "stopped")
    node.kill()
    node.start()
    node.wait_unit(2)
    node.wait_unit(1, "stopped")
    del node.units[1]
    node.apply()
    node.wait_settled()
    assert node.unit_namespace(1) not in namespaces()


def test_a_link_taken_away_is_made_again(node):
    node.wait_settled()
    command("ip", "link", "delete", f"wf{node.instance}-1")
    wait_for(lambda: node.unit(1)["starts"] == 2 and node.unit(1)["state"] == "serving", 15,
             lambda: "unit 1 repaired\n" + node.log())
    assert get(node.units[1]["front"])[0] == 200
    assert node.wait_unit(2)["starts"] == 1


def test_what_is_not_ours_stays(run, node):
    node.wait_settled()
    bridge = f"weir{node.instance}"
    foreign = run.namespace(f"weir-{node.instance}x")
    similar = run.namespace(f"weir-{node.instance}-u1x")
    link = f"wf{node.instance}x"
    command("ip", "link", "add", link, "type", "veth", "peer", "name", link + "p")
    command("nft", "add", "table", "inet", f"weir-{node.instance}-other")
    process = subprocess.Popen(["sleep", "100"])
    try:
        node.units.clear()
        node.networks.clear()
        node.apply()
        node.wait_settled()
        node.kill()
        said = command(*node.agent_command("--remove-all"))
        assert foreign in namespaces() and similar in namespaces(), said
        links = command("ip", "-o", "link")
        assert f": {link}@" in links and f": {bridge}:" not in links
        assert f"weir-{node.instance}-other" in command("nft", "list", "tables")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        command("ip", "link", "delete", link, check=False)
        for name in (foreign, similar):
            command("ip", "netns", "delete", name, check=False)
        command("nft", "delete", "table", "inet", f"weir-{node.instance}-other", check=False)


def test_a_subnet_of_the_machines_own_is_refused_and_others_go_on(make_node, run):
    node = make_node()
    taken = free_subnet()
    command("ip", "link", "add", f"own{node.instance}", "type", "bridge")
    try:
        command("ip", "addr", "add", taken.replace(".0/24", ".77/24"), "dev", f"own{node.instance}")
        command("ip", "link", "set", f"own{node.instance}", "up")
        node.add_network(1, free_subnet())
        node.add_network(2, taken)
        node.add_unit(1)
        node.add_unit(2, project_id=2)
        node.apply()
        node.start()
        node.wait_unit(1)
        failed = node.wait_unit(2, "failed")
        assert taken in failed["error"], failed
        network = node.network(2)
        assert network["state"] == "failed" and taken in network["error"], network
        assert node.network(1)["state"] == "ready"
        assert taken in node.observed()["routes"]
        assert node.project_namespace(2) not in namespaces()
    finally:
        command("ip", "link", "delete", f"own{node.instance}")


def test_targets_outside_are_reached_and_the_machine_is_as_before(run, make_node):
    """The machine's network is a namespace of the test's, with a target beyond it."""
    machine = run.namespace(run.instance() + "m")
    world = run.namespace(run.instance() + "w")
    command("ip", "link", "add", "uplink", "netns", machine, "type", "veth",
            "peer", "name", "eth0", "netns", world)
    for name, link, address in ((machine, "uplink", "198.51.100.1/24"),
                                (world, "eth0", "198.51.100.7/24")):
        command("ip", "-n", name, "addr", "add", address, "dev", link)
        command("ip", "-n", name, "link", "set", link, "up")
    targets = Targets(run, world, netns=world)
    place = targets.listen("far", "198.51.100.7", 8080)

    def forwarding(link):
        return in_namespace(machine, "cat", f"/proc/sys/net/ipv4/conf/{link}/forwarding").strip()
    in_namespace(machine, "sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/forwarding; "
                 "do echo 0 >$f; done")
    node = make_node(machine=machine)
    node.add_network(1, free_subnet())
    node.add_unit(1)
    node.apply()
    node.start()
    node.wait_unit(1)
    node.wait_settled()
    assert forwarding("uplink") == "0"
    assert "weir" not in in_namespace(machine, "nft", "list", "tables")
    node.add_unit(1, targets=[place], version=2)
    node.apply()
    verdict = wait_for(lambda: [t for t in node.unit(1)["targets"] if t["verdict"] == "healthy"], 10,
                       lambda: f"the far target healthy {node.unit(1)}\n" + node.log())
    assert verdict[0]["address"] == place
    assert forwarding("uplink") == "1" and forwarding("all") == "0"
    # It did not become a router for others: what comes in by the uplink stays out.
    front = node.units[1]["front"]
    command("ip", "-n", world, "route", "add", node.front, "via", "198.51.100.1")
    assert in_namespace(world, "curl", "-s", "-m", "1", f"http://{front}:9901/health",
                        check=False) == ""
    node.kill()  # taken over by the next, and undone by it
    node.start()
    node.wait_unit(1)
    node.add_unit(1, version=3)
    node.apply()
    wait_for(lambda: forwarding("uplink") == "0", 10, lambda: "undone\n" + node.log())
    assert "weir" not in in_namespace(machine, "nft", "list", "tables")
    targets.stop()


def test_without_nft_the_unit_says_why_its_target_is_not_reached(run, make_node):
    machine = run.namespace(run.instance() + "m")
    programs = run.path(machine, "programs", "runc")
    os.symlink(shutil.which("runc"), programs)
    node = make_node(machine=machine)
    node.add_network(1, free_subnet())
    node.add_unit(1, targets=["198.51.100.7:8080"])
    node.apply()
    enter = os.path.dirname(programs) + "/nsenter"
    os.symlink(shutil.which("nsenter"), enter)
    node.start(env={"PATH": os.path.dirname(programs)})
    unit = wait_for(lambda: (u := node.unit(1)) and "nft" in u["error"] and u, 10,
                    lambda: "the reason\n" + node.log())
    assert "not installed" in unit["error"], unit
    node.wait_unit(1, "serving")


def test_two_agents_of_one_node_are_refused(run, node):
    said = subprocess.run(node.agent_command(), capture_output=True, text=True, timeout=10)
    assert said.returncode == 1
    assert "another agent runs" in said.stderr
    node.wait_unit(1)


@pytest.mark.parametrize("options, words", [
    (["--nonsense"], "unknown option"),
    (["--runtime", "vm"], "oci or process"),
    (["--instance", "Not-Good"], "instance"),
    (["--node", "../x"], "not a name"),
    (["--node"], "needs a value"),
    (["--controller", "ftp://x"], "http://"),
    (["--proxy", "/no/such/file"], "/no/such/file"),
])
def test_wrong_options_are_refused_in_words(options, words):
    said = subprocess.run([os.path.join(PROGRAMS, "weir-agent"), *options], capture_output=True,
                          text=True, timeout=10)
    assert said.returncode == 2 and words in said.stderr, said


def test_a_proxy_that_is_not_static_is_refused(run, make_node):
    node = make_node()
    node.apply()
    said = subprocess.run(node.agent_command("--proxy", "/bin/ls"), capture_output=True, text=True,
                          timeout=10)
    assert said.returncode == 1 and "not a static binary" in said.stderr


def test_help_names_every_option():
    said = command(os.path.join(PROGRAMS, "weir-agent"), "--help")
    assert {"--node", "--desired", "--remove-all"} <= set(re.findall(r"--[a-z-]+", said))
