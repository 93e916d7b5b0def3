# SPDX-License-Identifier: Apache-2.0
"""Everything at once: load balancers made, changed and deleted while controller, agent and units are
killed at random moments. In the end what was acknowledged is so, and nothing else is left.

WEIR_CHAOS_SECONDS (default 8) and WEIR_CHAOS_SEED repeat or prolong it."""

import http.client
import json
import os
import random
import threading
import time

from support.run import namespaces
from support.wait import wait_for

SECONDS = float(os.environ.get("WEIR_CHAOS_SECONDS", "8"))
SEED = int(os.environ.get("WEIR_CHAOS_SEED", "0")) or random.randrange(1, 1 << 30)
LOST = (OSError, http.client.HTTPException, json.JSONDecodeError)


class Client(threading.Thread):
    """Makes, changes and deletes load balancers; knows of each what was acknowledged last. A request
    whose answer was lost may have happened or not: such a one is deleted until that is acknowledged,
    or it is not there."""

    def __init__(self, project, places, number, ended):
        super().__init__()
        self.project, self.places, self.ended = project, places, ended
        self.chance = random.Random(SEED + number)
        self.prefix = f"c{number}-"
        self.there, self.unknown, self.made = {}, set(), 0
        self.trouble = None

    def run(self):
        try:
            while not self.ended.is_set():
                self.step()
                self.ended.wait(self.chance.uniform(0, 0.1))
        except Exception as error:
            self.trouble = error

    def step(self):
        kind = self.chance.random()
        known = [name for name in self.there if name not in self.unknown]
        if self.unknown:
            name = self.chance.choice(sorted(self.unknown))
            self.ask(name, None, "delete", id=name)
        elif not known or (kind < 0.5 and len(known) < 3):
            self.made += 1
            name = f"{self.prefix}{self.made}"
            count = self.chance.randint(1, 3)
            self.ask(name, count, "create", name=name, traffic_type="http", units=count,
                     backend={"entities": self.places})
        elif kind < 0.75:
            name, count = self.chance.choice(known), self.chance.randint(1, 3)
            self.ask(name, count, "update", id=name, units=count)
        else:
            name = self.chance.choice(known)
            self.ask(name, None, "delete", id=name)

    def ask(self, lb, result, action, id=None, **info):
        try:
            fields = {"info": info} if info else {}
            status, answer = self.project.cluster.request(
                action, "instance", project=self.project.name, **fields,
                **({"id": id} if id else {}))
        except LOST:
            self.unknown.add(lb)
            return
        if answer["status"] == "successful":
            self.unknown.discard(lb)
            if result is None:
                self.there.pop(lb, None)
            else:
                self.there[lb] = result
        elif status == 404 and action == "delete" and lb in self.unknown:
            self.unknown.discard(lb)
            self.there.pop(lb, None)
        elif status < 500:
            raise AssertionError(f"{action} {lb}: {answer}")


def kill_something(cluster, chance):
    kind = chance.random()
    if kind < 0.25:
        cluster.kill_controller()
        time.sleep(chance.uniform(0, 0.3))  # part of the disorder, not a wait for anything
        cluster.start_controller()
    elif kind < 0.5:
        cluster.kill_agent()
        time.sleep(chance.uniform(0, 0.3))
        cluster.start_agent(wait=False)
    else:
        directory = os.path.join(cluster.directory, "run", cluster.node, "units")
        try:
            cluster.kill_unit(chance.choice(os.listdir(directory)))
        except (OSError, IndexError, ValueError):
            pass


def test_what_was_acknowledged_is_so_after_all_disorder(make_cluster, make_project):
    print(f"WEIR_CHAOS_SEED={SEED}")
    cluster = make_cluster(failure_threshold_s=2, stable_ms=500).start()
    project = make_project(on=cluster)
    places = project.join("ab")
    ended, chance = threading.Event(), random.Random(SEED)
    clients = [Client(project, places, number, ended) for number in range(2)]
    for client in clients:
        client.start()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        kill_something(cluster, chance)
        time.sleep(chance.uniform(0, 0.4))
    ended.set()
    for client in clients:
        client.join(60)
        assert client.trouble is None, (SEED, client.trouble)
    there = {name: count for client in clients for name, count in client.there.items()}
    unknown = {name for client in clients for name in client.unknown}

    def settled():
        balancers = {lb["name"]: lb for lb in cluster.ask(
            "GET", f"/v1/projects/{project.name}/load-balancers")["items"]}
        missing = set(there) - unknown - set(balancers)
        more = set(balancers) - set(there) - unknown
        assert not missing and not more, (missing, more)
        for name, lb in balancers.items():
            count = there.get(name) if name not in unknown else lb["units"]
            status = lb["status"]
            assert lb["units"] == count and status["state"] == "active", (name, count, lb)
            assert [u["state"] for u in status["units"]] == ["serving"] * count, status
        ids = {u["id"] for lb in balancers.values() for u in lb["status"]["units"]}
        running = {int(n.rsplit("-u", 1)[1]) for n in namespaces()
                   if n.startswith(f"weir-{cluster.instance}-u")}
        assert running == ids, (running, ids)
        return balancers or True
    balancers = wait_for(settled, 90, f"all settled; WEIR_CHAOS_SEED={SEED}", every=0.2)
    assert any(client.made for client in clients)
    if balancers is not True:
        for name in balancers:
            assert {project.get(name).status for _ in range(3)} == {200}
    fronts = [u["front"] for u in cluster.ask("GET", "/v1/units")["items"]]
    assert len(fronts) == len(set(fronts)), "an address was given twice"
