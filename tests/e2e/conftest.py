# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: real programs, real containers, namespaces of their own."""

import itertools
import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.cluster import Cluster, free_subnet
from support.node import Node
from support.run import PROGRAMS, Run, namespaces
from support.wait import wait_for

_names = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "oci: needs root, namespaces and runc")


def pytest_collection_modifyitems(items):
    missing = None
    if os.geteuid() != 0:
        missing = "needs root"
    elif not shutil.which("runc"):
        missing = "needs runc"
    for item in items:
        if missing and ("cluster" in item.fixturenames or item.get_closest_marker("oci")):
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the programs' last words."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for cluster in Cluster.living:
            for name in ("controller", "agent"):
                report.sections.append((f"{cluster.instance} {name}", cluster.log(name, 2000)))


@pytest.fixture(scope="session")
def run():
    for program in ("weir-controller", "weir-agent", "weir-proxy"):
        assert os.access(os.path.join(PROGRAMS, program), os.X_OK), f"{program} is not built"
    with Run() as made:
        yield made


@pytest.fixture(scope="module")
def make_cluster(run):
    """Clusters with settings of their own; each must leave nothing behind."""
    made = []

    def make(**settings):
        made.append(Cluster(run, **settings))
        return made[-1]
    yield make
    left = [(cluster.instance, cluster.stop()) for cluster in made]
    assert not any(things for _, things in left), f"left behind: {left}"


@pytest.fixture(scope="module")
def cluster(make_cluster):
    return make_cluster().start()


def unique(word):
    return f"{word}{next(_names)}"


class Project:
    """A project with targets in its network, and short words for what tests do with them."""

    def __init__(self, cluster, name=None):
        self.cluster, self.name = cluster, name or unique("project")
        self.subnet = free_subnet()
        self.info = cluster.succeed("create", "project", user="tester",
                                    info={"name": self.name, "subnet": self.subnet})
        self.id = self.info["id"]
        self.targets, self.addresses = None, []
        self.namespace = cluster.project_namespace(self.id)

    def join(self, names, port=8080):
        """One listening target a letter; returns their places."""
        self.targets, self.addresses = self.cluster.join(
            {"id": self.id, "name": self.name, "subnet": self.subnet}, len(names))
        return [self.targets.listen(name, address, port)
                for name, address in zip(names, self.addresses)]

    def create(self, name, entities, port=80, wait="serving", check=None, **info):
        check = {"protocol": "HTTP", "request-path": "/health",
                 "criteria": {"interval": 1, "timeout": 1, "health-threshold": 2,
                              "unhealth-threshold": 2}, **(check or {})}
        return self.cluster.succeed(
            "create", "instance", project=self.name, wait=wait,
            info={"name": name, "traffic_type": "http", "port": port,
                  "backend": {"entities": entities, "health-check": check}, **info})

    def group(self, name):
        return self.cluster.ask("GET", f"/v1/projects/{self.name}/target-groups/{name}")

    def set_targets(self, name, places):
        targets = [{"address": place.split(":")[0], "port": int(place.split(":")[1])}
                   for place in places]
        return self.cluster.ask("PATCH", f"/v1/projects/{self.name}/target-groups/{name}",
                                {"targets": targets})

    def balancer(self, name):
        return self.cluster.load_balancer(self.name, name)

    def verdicts(self, name):
        """Target → verdict, where all units are of one mind."""
        return {t["address"]: t["verdict"] for t in self.balancer(name)["status"]["targets"]}

    def dns_name(self, name):
        return f"{name}.{self.name}.weir.internal"

    def get(self, name, **more):
        return self.cluster.get(self.dns_name(name), **more)

    def delete(self, seconds=20):
        for lb in self.cluster.ask("GET", f"/v1/projects/{self.name}/load-balancers")["items"]:
            # One that was on its way out already may be gone by now.
            answer = self.cluster.rest(
                "DELETE", f"/v1/projects/{self.name}/load-balancers/{lb['id']}")
            assert answer.status in (204, 404), answer
        wait_for(lambda: not self.cluster.ask(
            "GET", f"/v1/projects/{self.name}/load-balancers")["items"], seconds,
            f"the load balancers of {self.name} gone")
        for group in self.cluster.ask("GET", f"/v1/projects/{self.name}/target-groups")["items"]:
            self.cluster.ask("DELETE", f"/v1/projects/{self.name}/target-groups/{group['id']}")
        self.cluster.ask("DELETE", f"/v1/projects/{self.name}")
        wait_for(lambda: self.namespace not in namespaces(), seconds,
                 lambda: f"namespace of {self.name} gone\n" + self.cluster.log("agent"))

    def end(self):
        if self.targets:
            self.cluster.leave(self.targets)
            self.targets = None
        if self.cluster.rest("GET", f"/v1/projects/{self.name}").status == 200:
            self.delete()


@pytest.fixture
def make_project(cluster):
    made = []

    def make(name=None, on=None):
        made.append(Project(on or cluster, name))
        return made[-1]
    yield make
    for project in made:
        project.end()


@pytest.fixture
def project(make_project):
    return make_project()


@pytest.fixture
def make_node(run):
    made = []

    def make(**settings):
        made.append(Node(run, **settings))
        return made[-1]
    yield make
    left = [node.stop() for node in made]
    assert not any(left), left
