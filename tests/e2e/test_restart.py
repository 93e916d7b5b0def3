# SPDX-License-Identifier: Apache-2.0
"""Programs that are killed at the worst moment, disks that are full, files that are broken."""

import json
import os
import random
import signal
import socket
import threading

import pytest

from support import load as loads
from support.run import command, namespaces
from support.wait import wait_for


def test_agent_killed_under_traffic_costs_no_request(run, cluster, project):
    places = project.join("ab")
    project.create("shop", places)
    ids = [u["id"] for u in project.balancer("shop")["status"]["units"]]
    pids = [cluster.unit_pid(u) for u in ids]
    load = loads.by_name(run, project.dns_name("shop"), 80, cluster.dns)
    for _ in range(3):
        cluster.kill_agent()
        cluster.start_agent()
        # It adopts what runs instead of starting it anew, and carries on: a change goes through.
        before = {u["id"]: u["address"] for u in project.balancer("shop")["status"]["units"]}
        assert set(before) == set(ids)
        places.reverse()
        project.set_targets("shop", places[:1])
        wait_for(lambda: {project.get("shop").headers["X-Target"] for _ in range(4)} ==
                 {"a" if places[0].split(":")[0].endswith(".11") else "b"}, 5, "the change is live")
    result = load.end()
    assert result["failed"] == 0, loads.explain(result)
    assert [cluster.unit_pid(u) for u in ids] == pids


def test_a_killed_controller_keeps_what_it_acknowledged(make_cluster):
    cluster = make_cluster()
    cluster.start()
    acknowledged, ended = [], threading.Event()

    def create():
        number = 0
        while not ended.is_set():
            number += 1
            try:
                status, answer = cluster.request("create", "project", info={"name": f"p{number}x"})
                if status in (200, 201):
                    acknowledged.append(("project", answer["info"]["id"], f"p{number}x"))
                status, answer = cluster.request(
                    "create", "instance", project=f"p{number}x",
                    info={"name": "lb", "traffic_type": "http", "backend": {"entities": []}})
                if status in (200, 201):
                    acknowledged.append(("instance", answer["info"]["id"], f"p{number}x"))
            except (OSError, json.JSONDecodeError):
                pass
            except Exception as error:  # http.client's own
                assert "HTTP" in type(error).__name__ or "Remote" in type(error).__name__ or \
                    "Incomplete" in type(error).__name__ or "BadStatus" in type(error).__name__, error
            if len([a for a in acknowledged if a[0] == "instance"]) >= 8:
                return
    creator = threading.Thread(target=create)
    creator.start()
    kills = 0
    while creator.is_alive() and kills < 12:
        creator.join(random.uniform(0.0, 0.15))
        cluster.kill_controller()
        kills += 1
        cluster.start_controller()
    creator.join(20)
    ended.set()
    creator.join()
    cluster.start_controller() if cluster.controller.poll() is not None else None
    assert len(acknowledged) >= 16, acknowledged
    ids = [id for _, id, _ in acknowledged]
    assert len(set(ids)) == len(ids), "an id was given twice"
    for kind, id, name in acknowledged:
        info = cluster.succeed("info", kind, id=id, **({"project": name} if kind == "instance"
                                                      else {}))
        assert info["id"] == id
    for kind, _, name in acknowledged:
        if kind == "instance":
            lb = cluster.wait_serving(name, "lb", seconds=40)
            # Nothing was begun twice, either.
            assert len(lb["status"]["units"]) == lb["units"], lb


def machine_restarts(cluster):
    """What a reboot takes away: every process, namespace, link and /run, but not the disk."""
    for namespace in [n for n in namespaces() if n.startswith(f"weir-{cluster.instance}-u")]:
        for pid in command("ip", "netns", "pids", namespace).split():
            os.kill(int(pid), signal.SIGKILL)
    run = os.path.join(cluster.directory, "run")
    root = os.path.join(run, cluster.node, "runc")
    for container in command("runc", "--root", root, "list", "-q", check=False).split():
        command("runc", "--root", root, "delete", "-f", container, check=False)
    for namespace in [n for n in namespaces() if n.startswith(f"weir-{cluster.instance}-")]:
        command("ip", "netns", "delete", namespace)
    wait_for(lambda: f"wf{cluster.instance}-" not in command("ip", "-o", "link"), 5, "links gone")
    command("ip", "link", "delete", f"weir{cluster.instance}")
    command("nft", "delete", "table", "ip", f"weir-{cluster.instance}", check=False)
    command("nft", "delete", "table", "inet", f"weir-{cluster.instance}", check=False)
    command("rm", "-rf", run)
    os.makedirs(run)


def test_a_node_comes_back_from_its_disk_without_a_controller(make_cluster, make_project):
    cluster = make_cluster()
    cluster.start()
    project = make_project(on=cluster)
    places = project.join("a")
    info = project.create("shop", places)
    cluster.leave(project.targets)
    project.targets = None
    cluster.kill_controller()
    cluster.kill_agent()
    machine_restarts(cluster)
    cluster.start_agent(wait=False)
    for unit in info["units"]:
        wait_for(lambda: cluster.get_from(unit["address"], 9901, "/health", seconds=1).status == 200,
                 20, lambda: f"unit {unit} answers\n" + cluster.log("agent"))
    project.join("a")
    wait_for(lambda: cluster.get_from(info["units"][0]["address"], seconds=2).body == b"a", 15,
             "requests reach the target")
    cluster.start_controller()
    cluster.wait_serving(project.name, "shop", seconds=30)


def test_a_snapshot_that_does_not_compile_leaves_the_old_one_serving(cluster, project):
    places = project.join("a")
    info = project.create("shop", places)
    unit = info["units"][0]
    path = os.path.join(cluster.directory, "run", cluster.node, "units", str(unit["id"]))
    with open(os.path.join(path, "snapshot.json")) as file:
        snapshot = json.load(file)
    version = snapshot["version"]
    bad = [{**snapshot, "version": version + 100, "listeners": [{**snapshot["listeners"][0],
                                                                "target_group_id": 999999}]},
           {**snapshot, "version": version + 100, "target_groups": "none"},
           {**snapshot, "version": version + 100, "listeners": snapshot["listeners"] * 2},
           {"version": version + 100}]
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        # A path of a Unix socket has 108 bytes at most; through /proc/self/fd it is always short.
        directory = os.open(path, os.O_PATH)
        peer.connect(f"/proc/self/fd/{directory}/control.sock")
        os.close(directory)
        stream = peer.makefile("rb")
        for snapshot in bad:
            peer.sendall(json.dumps({"command": "snapshot", "snapshot": snapshot}).encode() + b"\n")
            answer = json.loads(stream.readline())
            assert answer["status"] == "refused" and answer["error"], answer
            assert answer["version"] == version
            assert cluster.get_from(unit["address"]).body == b"a"
    assert cluster.get_from(unit["address"], 9901, "/health").json["version"] == version


def test_a_full_disk_is_said_and_nothing_is_half_done(run, make_cluster):
    cluster = make_cluster()
    directory = os.path.dirname(cluster.database)
    run.note("mount", directory)
    command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory)
    try:
        cluster.start_controller()
        cluster.succeed("create", "project", info={"name": "first"})
        filler = os.path.join(directory, "filler")
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        refused = None
        before = cluster.ask("GET", "/v1/projects")["items"]
        made = 0
        for number in range(400):  # until what the database had in reserve is used up
            answer = cluster.rest("POST", "/v1/projects", {"name": f"more-{number}"})
            if answer.status != 201:
                refused = answer
                break
            made += 1
        assert refused is not None and refused.status in (503, 507), refused
        said = refused.body.decode().lower()
        assert "full" in said or "space" in said, refused
        after = cluster.ask("GET", "/v1/projects")["items"]
        assert len(after) == len(before) + made
        assert "full" in cluster.log("controller", 100000).lower() or \
            "space" in cluster.log("controller", 100000).lower()
        os.unlink(filler)
        assert cluster.rest("POST", "/v1/projects", {"name": "after"}).status == 201
    finally:
        cluster.kill_controller()
        cluster.controller = None
        command("umount", "-l", directory)


@pytest.mark.parametrize("damage", ["garbage", "cut", "page"])
def test_a_corrupt_database_is_named_and_not_overwritten(make_cluster, damage):
    cluster = make_cluster()
    cluster.start_controller()
    for number in range(40):
        cluster.succeed("create", "project", info={"name": f"p-{number}"})
    cluster.kill_controller(signal.SIGTERM)
    size = os.path.getsize(cluster.database)
    with open(cluster.database, "r+b") as file:
        if damage == "garbage":
            file.write(b"this is no database " * 100)
        elif damage == "cut":
            file.truncate(size // 2 + 100)
        else:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
    for suffix in ("-wal", "-shm"):
        if os.path.exists(cluster.database + suffix):
            os.unlink(cluster.database + suffix)
    with open(cluster.database, "rb") as file:
        before = file.read()
    cluster.start_controller(wait=False)
    code = wait_for(lambda: cluster.controller.poll() is not None and
                    (cluster.controller.returncode,), 10, "it refuses to start")[0]
    assert code not in (0, -signal.SIGSEGV, -signal.SIGABRT)
    said = cluster.log("controller")
    assert cluster.database in said, said
    with open(cluster.database, "rb") as file:
        assert file.read() == before


def test_both_end_in_order_on_sigterm_and_units_serve_on(cluster, project):
    places = project.join("a")
    info = project.create("shop", places)
    assert cluster.kill_agent(signal.SIGTERM) == 0
    assert cluster.kill_controller(signal.SIGTERM) == 0
    for unit in info["units"]:
        assert cluster.get_from(unit["address"]).body == b"a"
    cluster.start_controller()
    cluster.start_agent()
    cluster.wait_serving(project.name, "shop")
    assert cluster.rest("GET", "/v1/health").status == 200


@pytest.mark.parametrize("program", ["weir-controller", "weir-agent", "weir-proxy", "weir"])
def test_an_unknown_option_is_refused(program):
    import subprocess
    from support.run import PROGRAMS
    done = subprocess.run([os.path.join(PROGRAMS, program), "--no-such-option"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 2
    assert "no-such-option" in done.stderr
    done = subprocess.run([os.path.join(PROGRAMS, program), "--help"], capture_output=True,
                          text=True, timeout=10)
    assert done.returncode == 0 and done.stdout
