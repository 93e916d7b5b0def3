# SPDX-License-Identifier: Apache-2.0
"""The service's figures on one node with real containers: how long a create takes, what the loss of
a unit costs, what a change costs. Cluster, targets and load are those of the end-to-end tests; all
of it lives in namespaces and directories of its own, and ends with the run."""

import os
import sys
import time

import common

sys.path.insert(0, os.path.join(common.ROOT, "tests"))
from support import load as loads  # noqa: E402
from support.cluster import Cluster, free_subnet  # noqa: E402
from support.run import Run, command  # noqa: E402
from support.wait import wait_for  # noqa: E402

CHECK = {"protocol": "HTTP", "request-path": "/",
         "criteria": {"interval": 1, "timeout": 1, "health-threshold": 2, "unhealth-threshold": 2}}
BARS = {"create_p50_ms": 500, "last_failure_ms": 1000, "replacement_ms": 2000, "live_p99_ms": 100}


class Stage:
    """A cluster with one project and back ends in its network."""

    def __init__(self, run, targets=4):
        self.run = run
        self.cluster = Cluster(run, hurried=False).start()
        self.project = self.cluster.succeed("create", "project", info={
            "name": "bench", "subnet": free_subnet()})
        self.targets, addresses = self.cluster.join(self.project, targets)
        # The back ends are the C ones: Python's would be what is measured.
        self.places = [f"{address}:80" for address in addresses]
        run.start([common.tool("answer"), *self.places], "answer.log", netns=self.targets.namespace)
        self.wait_target()

    def wait_target(self):
        wait_for(lambda: "200" == command(
            "ip", "netns", "exec", self.cluster.project_namespace(self.project["id"]), "curl", "-s",
            "-o", "/dev/null", "-w", "%{http_code}", f"http://{self.places[0]}/", check=False),
            10, "a back end answers in the project's network")

    def create(self, name, wait="serving", units=None):
        return self.cluster.succeed("create", "instance", project="bench", wait=wait, info={
            "name": name, "traffic_type": "http", **({"units": units} if units else {}),
            "backend": {"entities": self.places, "health-check": CHECK}})

    def delete(self, name):
        self.cluster.succeed("delete", "instance", project="bench", id=name)

    def wait_gone(self):
        wait_for(lambda: not [u for u in self.cluster.ask("GET", "/v1/units")["items"]], 60,
                 "all units gone")

    def dns_name(self, name):
        return f"{name}.bench.weir.internal"

    def units(self, name):
        return self.cluster.load_balancer("bench", name)["status"]["units"]

    def version(self, address):
        return self.cluster.get_from(address, 9901, "/health", seconds=2).json["version"]


def measure_create(stage, repetitions):
    """POST → first 200 by the returned name: what a user's script sees, DNS question included."""
    times = []
    for number in range(repetitions):
        name = f"new{number}"
        began = time.perf_counter()
        info = stage.create(name, wait=None)
        host = info["url"].split("/")[2]

        def first():
            return stage.cluster.get(host, seconds=1).status == 200
        wait_for(first, 30, f"the first 200 from {host}", every=0.002)
        times.append((time.perf_counter() - began) * 1000)
        stage.cluster.wait_serving("bench", name)
        # It serves on for as long as clients may have its addresses cached: a few seconds, in which
        # the next one is made.
        stage.delete(name)
    stage.wait_gone()
    return {**common.percentiles(times), "unit": "ms", "bar_p50": BARS["create_p50_ms"],
            "reached": common.percentiles(times)["p50"] <= BARS["create_p50_ms"]}


def measure_kill(stage, repetitions):
    """kill -9 of one unit of two under new connections by name, 200 a second. A failure's time is
    when its request began: until then clients were still sent to the dead unit. A load balancer of
    its own for each: a unit that fails often is believed later each time, which is not the measure."""
    last, late, replaced, failed, answered = [], [], [], 0, 0
    for number in range(repetitions):
        name = f"kill{number}"
        stage.create(name)
        host = stage.dns_name(name)
        wait_for(lambda: len(stage.cluster.addresses(host)) == 2, 30, "both in DNS")
        old = {u["id"] for u in stage.units(name)}
        load = loads.by_name(stage.run, host, 80, stage.cluster.dns, connections=16, rate=200,
                             timeout_ms=1000)
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > 0.3, 1, "load is under way")
        victim = sorted(old)[number % 2]
        killed = time.monotonic()
        stage.cluster.kill_unit(victim)

        def replacement():
            return any(u["id"] not in old and u["state"] == "serving" for u in stage.units(name))
        wait_for(replacement, 30, "the replacement serves", every=0.005)
        replaced.append((time.monotonic() - killed) * 1000)
        watched = time.monotonic()
        wait_for(lambda: time.monotonic() - watched > 1.5, 3, "whether more fails")
        result = load.end()
        answered += result["answered"]
        failed += result["failed"]
        mine = [f for f in result["failures"] if f["ended_ms"] >= killed * 1000]
        last.append(max([f["began_ms"] - killed * 1000 for f in mine] or [0]))
        late.append(max([f["ended_ms"] - killed * 1000 for f in mine] or [0]))
        stage.delete(name)
    stage.wait_gone()
    return {"last_failed_request_began_ms": common.percentiles(last),
            "last_failed_request_ended_ms": common.percentiles(late),
            "replacement_serving_ms": common.percentiles(replaced),
            "requests": answered + failed, "failed": failed,
            "failed_per_kill": round(failed / repetitions, 2),
            "bar_last_ms": BARS["last_failure_ms"], "bar_replacement_ms": BARS["replacement_ms"],
            "reached": max(last) <= BARS["last_failure_ms"] and
            max(replaced) <= BARS["replacement_ms"]}


def change(stage, name, number):
    """A change of targets; milliseconds from sending it until all units have it."""
    units = [u["address"] for u in stage.units(name)]
    before = {u: stage.version(u) for u in units}
    places = [p for i, p in enumerate(stage.places) if i != number % len(stage.places)]
    targets = [{"address": p.split(":")[0], "port": 80, "weight": 1 + number % 3} for p in places]
    began = time.perf_counter()
    stage.cluster.ask("PATCH", f"/v1/projects/bench/target-groups/{name}", {"targets": targets})
    wait_for(lambda: all(stage.version(u) > before[u] for u in units), 10, "the change is live",
             every=0.001)
    return (time.perf_counter() - began) * 1000


def begin_loads(stage, name, rate):
    units = [f"{u['address']}:80" for u in stage.units(name)]
    return [loads.by_name(stage.run, stage.dns_name(name), 80, stage.cluster.dns, rate=rate),
            loads.keep_alive(stage.run, units, connections=16, rate=rate * 2)]


def end_loads(running):
    results = [load.end() for load in running]
    return {"requests": sum(r["answered"] + r["failed"] for r in results),
            "failed": sum(r["failed"] for r in results),
            "failures": [f for r in results for f in r["failures"]][:10]}


def measure_change(stage, repetitions):
    stage.create("change")
    running = begin_loads(stage, "change", 200)
    times = []
    for number in range(repetitions):
        began = time.monotonic()
        times.append(change(stage, "change", number))
        # Not one at the other's heels: there must be load between them.
        time.sleep(max(0, began + 0.1 - time.monotonic()))
    result = {"live_ms": common.percentiles(times), **end_loads(running),
              "bar_p99_ms": BARS["live_p99_ms"]}
    stage.delete("change")
    stage.wait_gone()
    return {**result, "reached": result["failed"] == 0 and
            result["live_ms"]["p99"] <= BARS["live_p99_ms"]}


def memory_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def measure_constant(stage, seconds):
    """Constant load and a change each second. Memory grows at first (pools, caches, the database's
    pages), so growth is judged from the first third on: between it and the end."""
    stage.create("constant")
    pids = {"controller": stage.cluster.controller.pid, "agent": stage.cluster.agent.pid}
    for unit in stage.units("constant"):
        pids[f"proxy {unit['id']}"] = stage.cluster.unit_pid(unit["id"])
    running = begin_loads(stage, "constant", 200)
    began, number, samples, times = time.monotonic(), 0, [], []
    while (passed := time.monotonic() - began) < seconds:
        if passed >= number:
            times.append(change(stage, "constant", number))
            samples.append({name: memory_kib(pid) for name, pid in pids.items()})
            number += 1
        time.sleep(min(0.02, max(0, began + number - time.monotonic())))
    result = end_loads(running)
    third = len(samples) // 3
    growth = {}
    for name in pids:
        early = sorted(s[name] for s in samples[third:third + max(1, third // 4)])
        end = sorted(s[name] for s in samples[-max(1, third // 4):])
        growth[name] = {"first_kib": samples[0][name], "after_a_third_kib": early[len(early) // 2],
                        "end_kib": end[len(end) // 2],
                        "growth_kib": end[len(end) // 2] - early[len(early) // 2]}
    stage.delete("constant")
    stage.wait_gone()
    return {"seconds": seconds, "changes": number, "live_ms": common.percentiles(times), **result,
            "memory": growth,
            "reached": result["failed"] == 0 and
            all(g["growth_kib"] <= max(256, g["after_a_third_kib"] // 20) for g in growth.values())}


def run(quick=False, seconds=None, only=None):
    parts = {"create": lambda s: measure_create(s, 10 if quick else 50),
             "kill": lambda s: measure_kill(s, 5 if quick else 20),
             "change": lambda s: measure_change(s, 20 if quick else 100),
             "constant": lambda s: measure_constant(s, seconds or (20 if quick else 300))}
    # A part that is not measured now keeps what was measured before, with its date.
    results, earlier = {}, common.read_result("service").get("figures", {})
    if os.geteuid() != 0:
        print("service: needs root (containers, namespaces); left out")
        return True
    with Run() as made:
        stage = Stage(made)
        try:
            for name, measure in parts.items():
                if only and name not in only:
                    continue
                print(f"-- {name}", flush=True)
                results[name] = {"date": common.now(), **measure(stage)}
                for key, value in results[name].items():
                    print(f"   {key}: {value}", flush=True)
        except BaseException:
            print(stage.cluster.log("controller"), stage.cluster.log("agent"), file=sys.stderr)
            raise
        finally:
            stage.cluster.stop()
    common.write_result("service", {"runtime": "oci", "figures": {**earlier, **results}})
    return all(result["reached"] for result in results.values())
