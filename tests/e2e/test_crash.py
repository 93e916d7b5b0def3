# SPDX-License-Identifier: Apache-2.0
"""The crash workflow of the source document, steps 1-5, by killing real units."""

import os
import signal
import threading
import time

import pytest

from support import load as loads
from support.run import start_time
from support.wait import wait_for

THRESHOLD_S = 4


@pytest.fixture(scope="module")
def cluster(make_cluster):
    return make_cluster(failure_threshold_s=THRESHOLD_S).start()


def units(project, name):
    return {u["id"]: u for u in project.balancer(name)["status"]["units"]}


def steps(cluster, project, after):
    """The workflow's steps since that event, in the order in which they were taken."""
    return [e["step"] for e in cluster.events(project=project.id, after=after) if e["step"]]


def last_event(cluster):
    return max([e["id"] for e in cluster.events()] or [0])


def in_order(found, wanted):
    """wanted is found in that order (others may stand between)."""
    rest = iter(found)
    return all(step in rest for step in wanted)


class NeverAgain(threading.Thread):
    """A unit that stays dead: every process of it is killed as soon as there is one."""

    def __init__(self, cluster, unit_id):
        super().__init__(daemon=True)
        self.cluster, self.unit_id, self.ended = cluster, unit_id, False
        self.start()

    def run(self):
        while not self.ended:
            try:
                pid = self.cluster.unit_pid(self.unit_id)
                if start_time(pid) is not None:
                    os.kill(pid, signal.SIGKILL)
            except (OSError, ValueError, IndexError):
                pass
            time.sleep(0.002)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended = True
        self.join()


def test_a_killed_unit_is_replaced_and_recycled_when_it_returns(run, cluster, project):
    places = project.join("ab")
    project.create("shop", places)
    before = units(project, "shop")
    victim = min(before)
    since = last_event(cluster)
    load = loads.by_name(run, project.dns_name("shop"), 80, cluster.dns, rate=200, timeout_ms=1000)
    wait_for(lambda: project.get("shop").status == 200, 5, "load is under way")
    killed_ms = time.monotonic() * 1000
    cluster.kill_unit(victim)
    wait_for(lambda: in_order(steps(cluster, project, since), [1, 2, 3]), 10,
             lambda: f"steps 1-3: {cluster.events(project=project.id, after=since)}")
    wait_for(lambda: in_order(steps(cluster, project, since), [1, 2, 3, 5]), 30,
             lambda: f"step 5: {cluster.events(project=project.id, after=since)}")
    wait_for(lambda: set(units(project, "shop")) == set(before) and
             {u["state"] for u in units(project, "shop").values()} == {"serving"}, 30,
             lambda: f"only the old two: {units(project, 'shop')}")
    result = load.end()
    if result["failures"]:
        assert max(f["began_ms"] for f in result["failures"]) - killed_ms < 1000, \
            loads.explain(result)
    assert 4 not in steps(cluster, project, since)
    project.cluster.wait_serving(project.name, "shop")


def test_a_unit_that_stays_dead_is_deleted_past_the_threshold(cluster, project):
    places = project.join("ab")
    project.create("shop", places)
    before = units(project, "shop")
    victim = min(before)
    since = last_event(cluster)
    with NeverAgain(cluster, victim):
        began = time.monotonic()
        wait_for(lambda: in_order(steps(cluster, project, since), [1, 2, 3]), 10,
                 lambda: f"steps 1-3: {cluster.events(project=project.id, after=since)}")
        wait_for(lambda: 4 in steps(cluster, project, since), THRESHOLD_S + 20,
                 lambda: f"step 4: {cluster.events(project=project.id, after=since)}")
        assert time.monotonic() - began >= THRESHOLD_S
        wait_for(lambda: victim not in units(project, "shop"), 20,
                 lambda: f"{victim} gone: {units(project, 'shop')}")
    left = units(project, "shop")
    assert len(left) == 2 and set(left) - set(before), left
    assert 5 not in steps(cluster, project, since)
    cluster.wait_serving(project.name, "shop")
    assert {u["role"] for u in units(project, "shop").values()} == {"primary"}
    assert {project.get("shop").status for _ in range(6)} == {200}


def test_a_unit_that_hangs_is_found_by_the_probe(cluster, project):
    """It is alive for its agent's pidfd, but answers nobody."""
    places = project.join("a")
    project.create("shop", places)
    before = units(project, "shop")
    victim = min(before)
    since = last_event(cluster)
    pid = cluster.unit_pid(victim)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: before[victim]["address"] not in
                 cluster.addresses(project.dns_name("shop")), 10, "out of DNS")
        wait_for(lambda: in_order(steps(cluster, project, since), [1, 2, 3]), 15,
                 lambda: f"steps 1-3: {cluster.events(project=project.id, after=since)}")
    finally:
        os.kill(pid, signal.SIGCONT)
    cluster.wait_serving(project.name, "shop", seconds=40)


def test_all_units_killed_at_once_come_back(cluster, project):
    places = project.join("ab")
    project.create("shop", places)
    for unit in units(project, "shop"):
        cluster.kill_unit(unit)
    wait_for(lambda: project.get("shop", seconds=1).status == 200, 10, "serves again")
    cluster.wait_serving(project.name, "shop", seconds=40)


def test_a_unit_killed_again_and_again_ends_with_two_that_serve(cluster, project):
    places = project.join("ab")
    project.create("shop", places)
    for _ in range(6):
        for unit in units(project, "shop"):
            try:
                cluster.kill_unit(unit)
                break
            except (OSError, ValueError, IndexError):
                continue
        wait_for(lambda: project.get("shop", seconds=1).status == 200, 10, "it answers")
    wait_for(lambda: len(units(project, "shop")) == 2 and
             {u["state"] for u in units(project, "shop").values()} == {"serving"}, 90,
             lambda: str(units(project, "shop")))


def test_the_workflow_goes_on_when_the_controller_dies_in_it(cluster, project):
    places = project.join("ab")
    project.create("shop", places)
    before = units(project, "shop")
    since = last_event(cluster)  # before the unit dies: it is found in milliseconds
    with NeverAgain(cluster, min(before)):
        wait_for(lambda: 1 in steps(cluster, project, since), 10, "the failure is found")
        cluster.kill_controller()
        cluster.start_controller()
        wait_for(lambda: min(before) not in units(project, "shop"), THRESHOLD_S + 30,
                 lambda: f"the dead one is deleted: {units(project, 'shop')}")
    cluster.wait_serving(project.name, "shop", seconds=30)
    assert len(units(project, "shop")) == 2
    # Every step was taken once, though two controllers took them.
    taken = steps(cluster, project, since)
    assert taken.count(1) == 1 and taken.count(4) == 1, taken


def test_without_a_controller_the_agent_starts_a_dead_unit_again(cluster, project):
    places = project.join("a")
    project.create("shop", places)
    victim = units(project, "shop")[min(units(project, "shop"))]
    cluster.kill_controller()
    cluster.kill_unit(victim["id"])
    wait_for(lambda: cluster.get_from(victim["address"], seconds=1).status == 200, 10,
             "it serves again")
    cluster.start_controller()
    cluster.wait_serving(project.name, "shop", seconds=40)
