# SPDX-License-Identifier: Apache-2.0
"""Two nodes: what happens to a load balancer when one of them is lost with all that ran on it. Both
are on this machine (runtime "process": their units have loopback addresses of their own)."""

import os
import signal

import pytest

from support import load as loads
from support.cluster import free_port
from support.target import Targets
from support.wait import wait_for


@pytest.fixture
def two(make_cluster):
    cluster = make_cluster(runtime="process", failure_threshold_s=3)
    cluster.start()
    cluster.start_agent(node="second")
    return cluster


def units(cluster):
    return cluster.load_balancer("twin", "shop")["status"]["units"]


def test_a_lost_node_is_replaced_by_the_other(run, two):
    cluster = two
    targets = Targets(run, f"{cluster.instance}-twin")
    place = targets.listen("a", "127.0.0.1", free_port())
    cluster.succeed("create", "project", info={"name": "twin"})
    port = free_port()
    cluster.succeed("create", "instance", project="twin", wait="serving", info={
        "name": "shop", "traffic_type": "http", "port": port,
        "backend": {"entities": [place], "health-check": {"request-path": "/health"}}})
    # One unit each: a node's loss is not the load balancer's.
    assert {u["node"] for u in units(cluster)} == {cluster.node, "second"}, units(cluster)
    load = loads.by_name(run, "shop.twin.weir.internal", port, cluster.dns, rate=100)
    wait_for(lambda: cluster.get("shop.twin.weir.internal", port).status == 200, 5, "load goes on")
    lost = [u["id"] for u in units(cluster) if u["node"] == "second"]
    pids = [cluster.unit_pid(unit, "second") for unit in lost]
    cluster.agents["second"].kill()
    cluster.agents["second"].wait()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len([u for u in units(cluster) if u["node"] == cluster.node and
                          u["state"] == "serving"]) == 2, 30,
             lambda: f"both on the node that is left: {units(cluster)}")
    wait_for(lambda: any(n["name"] == "second" and n["state"] == "lost"
                         for n in cluster.ask("GET", "/v1/nodes")["items"]), 10, "the node is lost")
    result = load.end()
    # A client that got the dead address had it at most for the time in which the loss was found.
    if result["failures"]:
        spread = max(f["began_ms"] for f in result["failures"]) - \
            min(f["began_ms"] for f in result["failures"])
        assert spread < 5000, loads.explain(result)
    cluster.start_agent(node="second")
    wait_for(lambda: {u["state"] for u in units(cluster)} == {"serving"} and
             len(units(cluster)) == 2, 60, lambda: f"two units again: {units(cluster)}")
    assert cluster.get("shop.twin.weir.internal", port).body == b"a"
    targets.stop()
