# SPDX-License-Identifier: Apache-2.0
"""The agent's runtime `process`: no root, no namespaces; the agent runs as nobody."""

import os
import signal
import socket

import pytest

from support.cluster import free_subnet
from support.node import get, status_fields
from support.run import namespaces, start_time

pytestmark = pytest.mark.oci


@pytest.fixture
def plain(run, make_node):
    node = make_node(runtime="process", user="nobody")
    node.add_network(1, free_subnet())
    node.add_unit(1, port=8080)
    node.add_unit(2, port=8080)
    node.apply()
    node.start()
    node.wait_unit(1)
    node.wait_unit(2)
    return node


def test_units_run_without_root(plain):
    pid = plain.wait_unit(1)["pid"]
    assert status_fields(pid)["Uid"].split()[0] != "0"
    assert get(plain.units[1]["front"])[0] == 200
    plain.wait_settled()
    assert plain.observed()["runtime"] == "process"
    assert plain.network(1)["state"] == "ready"
    assert not [n for n in namespaces() if n.startswith(f"weir-{plain.instance}")]


def test_are_taken_over_and_started_again(plain):
    pids = {u["id"]: u["pid"] for u in plain.observed()["units"]}
    plain.kill()
    assert get(plain.units[1]["front"])[0] == 200
    plain.start()
    plain.wait_unit(1, pid=pids[1])
    plain.wait_unit(2, pid=pids[2])
    os.kill(pids[1], signal.SIGKILL)
    plain.wait_unit(1, "failed", seconds=2)
    plain.wait_unit(1, starts=2)
    plain.units.clear()
    plain.apply()
    plain.wait_settled()
    assert start_time(pids[2]) is None


def test_a_port_that_is_not_to_be_had_is_told_and_tried_again(plain):
    blocker = socket.create_server((plain.units[1]["front"].rsplit(".", 1)[0] + ".13", 8080))
    plain.add_unit(3, port=8080)
    plain.add_unit(4, port=80)
    plain.apply()
    taken = plain.wait_unit(3, "failed")
    assert "cannot listen" in taken["error"], taken
    forbidden = plain.wait_unit(4, "failed")
    assert "Permission denied" in forbidden["error"], forbidden
    blocker.close()
    plain.wait_unit(3, "serving", error="", snapshot_error="")
    plain.wait_unit(1)
