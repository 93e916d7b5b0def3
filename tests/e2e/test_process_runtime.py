# SPDX-License-Identifier: Apache-2.0
"""Runtime "process": the whole service without root, on loopback addresses."""

import os

import pytest

from support import load as loads
from support.cluster import free_port
from support.run import start_time
from support.target import Targets
from support.wait import wait_for


@pytest.fixture(scope="module")
def loopback(make_cluster):
    user = "nobody" if os.geteuid() == 0 else None
    return make_cluster(runtime="process", user=user, failure_threshold_s=4).start()


@pytest.fixture
def targets(run, loopback):
    made = Targets(run, f"{loopback.instance}-{free_port()}")
    yield made
    made.stop()


def create(cluster, targets, project, names):
    places = [targets.listen(name, "127.0.0.1", free_port()) for name in names]
    cluster.succeed("create", "project", info={"name": project})
    port = free_port()
    return port, cluster.succeed(
        "create", "instance", project=project, wait="serving",
        info={"name": "shop", "traffic_type": "http", "port": port,
              "backend": {"entities": places,
                          "health-check": {"request-path": "/health",
                                           "criteria": {"interval": 1, "timeout": 1}}}})


def test_a_load_balancer_without_root(loopback, targets):
    port, info = create(loopback, targets, "plain", "abc")
    assert info["url"] == f"http://shop.plain.weir.internal:{port}/"
    said = {loopback.get("shop.plain.weir.internal", port).body for _ in range(12)}
    assert said == {b"a", b"b", b"c"}
    assert all(a.startswith("127.90.") for a in loopback.addresses("shop.plain.weir.internal"))


def test_a_killed_unit_without_root_comes_back(run, loopback, targets):
    port, info = create(loopback, targets, "crash", "ab")
    load = loads.by_name(run, "shop.crash.weir.internal", port, loopback.dns, rate=100)
    loopback.kill_unit(info["units"][0]["id"])
    wait_for(lambda: any(e["step"] == 1 for e in loopback.events(project=info["project"])), 10,
             "the crash is noticed")
    loopback.wait_serving("crash", "shop", seconds=40)
    wait_for(lambda: loopback.get("shop.crash.weir.internal", port).status == 200, 5, "it serves")
    assert load.end()["answered"] > 0


def test_an_agent_without_root_adopts_its_units(loopback, targets):
    port, info = create(loopback, targets, "adopt", "a")
    pids = [loopback.unit_pid(unit["id"]) for unit in info["units"]]
    loopback.kill_agent()
    assert loopback.get("shop.adopt.weir.internal", port).body == b"a"
    loopback.start_agent()
    loopback.wait_serving("adopt", "shop")
    assert [loopback.unit_pid(unit["id"]) for unit in info["units"]] == pids


def test_deleting_ends_the_processes(loopback, targets):
    _, info = create(loopback, targets, "brief", "a")
    pids = [loopback.unit_pid(unit["id"]) for unit in info["units"]]
    loopback.succeed("delete", "instance", project="brief", id="shop")
    wait_for(lambda: all(start_time(pid) is None for pid in pids), 15, "the units' processes gone")
