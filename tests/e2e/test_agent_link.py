# SPDX-License-Identifier: Apache-2.0
"""The agent and its desired document: from a controller, from its disk, damaged, late, twice."""

import json
import os
import signal
import time

import pytest

from support.cluster import free_subnet
from support.node import FakeController, get
from support.run import command, namespaces, start_time
from support.wait import holds_for, wait_for

pytestmark = pytest.mark.oci


def reboot(node):
    """What a boot leaves: no process, no namespace, no link, nothing below /run."""
    node.kill()
    for unit in node.observed()["units"]:
        if unit["pid"]:
            os.kill(unit["pid"], signal.SIGKILL)
            wait_for(lambda: start_time(unit["pid"]) is None, 5, "a unit's end")
    root = node.run_path("runc")
    for container in command("runc", "--root", root, "list", "-q", check=False).split():
        command("runc", "--root", root, "delete", "--force", container)
    for name in [n for n in namespaces() if n.startswith(f"weir-{node.instance}-")]:
        command("ip", "netns", "delete", name)
    wait_for(lambda: f"wf{node.instance}-" not in command("ip", "-o", "link"), 10, "links gone")
    command("ip", "link", "delete", f"weir{node.instance}", check=False)
    command("rm", "-rf", node.run_path())


def test_boots_without_a_controller(run, make_node):
    node = make_node()
    node.add_network(1, free_subnet())
    node.add_unit(1)
    node.apply()
    # As if a controller had sent it earlier.
    state = os.path.join(node.directory, "state", node.name)
    os.makedirs(state)
    with open(os.path.join(state, "desired.json"), "w") as file:
        json.dump(node.document(), file)
    nobody = ("--controller", os.path.join(node.directory, "no.sock"))
    node.start(*nobody, desired=False)
    node.wait_unit(1)
    reboot(node)
    node.start(*nobody, desired=False)
    node.wait_unit(1, starts=1)
    assert get(node.units[1]["front"])[0] == 200
    # Damaged on disk: said, and what runs is left alone.
    pid = node.wait_unit(1)["pid"]
    node.kill()
    with open(os.path.join(state, "desired.json"), "w") as file:
        file.write('{"node": "n1", "generation": 1, "front')
    node.start(*nobody, desired=False)
    wait_for(lambda: "left as it is until a document comes" in node.log(), 5, "the complaint")
    node.wait_unit(1, pid=pid)
    holds_for(lambda: get(node.units[1]["front"])[0] == 200, 1, "still serving")


def test_a_disk_that_is_full_is_said_and_worked_around(run, make_node):
    """The document cannot be kept; units start all the same."""
    node = make_node()
    node.add_network(1, free_subnet())
    node.add_unit(1)
    node.generation = 1
    state = os.path.join(node.directory, "state")
    run.note("mount", state)
    command("mount", "-t", "tmpfs", "-o", "size=16k", "none", state)
    os.makedirs(os.path.join(state, node.name))
    filler = os.open(os.path.join(state, "filler"), os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(filler, b"x" * 1024):
            pass
    except OSError:
        os.close(filler)

    controller = FakeController(node)
    try:
        node.start(*controller.options, desired=False)
        node.wait_unit(1)
        wait_for(lambda: "No space left" in node.log() and "in memory" in node.log(), 5,
                 lambda: "the complaint\n" + node.log())
        wait_for(lambda: controller.reports and controller.reports[-1]["generation"] == 1, 5,
                 "the report")
        os.unlink(os.path.join(state, "filler"))
        wait_for(lambda: os.path.exists(os.path.join(state, node.name, "desired.json")), 5,
                 "kept once there is room")
    finally:
        node.kill()
        controller.stop()
        command(*node.agent_command("--remove-all"), check=False)
        command("umount", state)


@pytest.fixture
def controlled(make_node):
    """A node with a unit, and a controller under the test's hand."""
    node = make_node()
    node.add_network(1, free_subnet())
    node.add_unit(1)
    node.generation = 7
    node.controller = FakeController(node)
    node.start(*node.controller.options, desired=False)
    node.wait_unit(1)
    yield node
    node.controller.stop()


def test_a_change_is_fetched_at_once_and_the_outcome_reported_at_once(controlled):
    node, controller = controlled, controlled.controller
    controller.reports.clear()
    node.add_unit(1, version=2)
    begin = time.monotonic()
    node.generation += 1

    def told():
        return [r for r in controller.reports if r["units"][0]["snapshot_version"] == 2
                and r["generation"] == node.generation]
    wait_for(told, 5, lambda: "the report\n" + node.log(), every=0.002)
    assert time.monotonic() - begin < 0.7
    # And then on the beat, whole each time, growing by one.
    last = controller.reports[-1]["sequence"]
    later = wait_for(lambda: controller.reports[-1]["sequence"] >= last + 2 and
                     controller.reports[-1], 5, "the beat")
    assert later["agent_started_at"] == controller.reports[0]["agent_started_at"]
    numbers = [r["sequence"] for r in controller.reports]
    assert numbers == sorted(set(numbers))
    with open(os.path.join(node.directory, "state", node.name, "desired.json")) as file:
        assert json.load(file)["generation"] == node.generation


def test_a_document_that_makes_no_sense_changes_nothing(controlled):
    node, controller = controlled, controlled.controller
    pid = node.wait_unit(1)["pid"]
    for text in ("", "{", "[]", '{"node": "another", "generation": 9}', '{"node": "n1"}',
                 "x" * (17 << 20)):
        controller.text = text
        controller.asked.clear()
        wait_for(lambda: controller.asked, 10,
                 lambda: f"asked again after {text[:50]}\n" + node.log())
    assert len(controller.asked) < 20, "asked in a busy loop"
    assert "no desired document from the controller" in node.log()
    node.wait_unit(1, pid=pid)
    controller.text = None
    node.generation += 1
    node.add_unit(1, version=2)
    node.wait_unit(1, snapshot_version=2, pid=pid)


def test_a_controller_with_another_history_is_believed(controlled):
    """Its database was brought back from a copy: the generation is lower than the agent's."""
    node, controller = controlled, controlled.controller
    controller.stop()
    node.add_unit(2)
    node.generation = 2
    port = controller.server.server_address[1]
    wait_for(lambda: "no desired document from the controller" in node.log(), 5, "its absence seen")
    again = node.controller = FakeController(node, port)
    node.wait_unit(2)
    wait_for(lambda: again.reports and again.reports[-1]["generation"] == 2, 5, "applied")
