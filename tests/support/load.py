# SPDX-License-Identifier: Apache-2.0
"""Constant load from bench/floor/load.c (see there for its options), every failure kept."""

import json
import os
import signal
import subprocess

from .run import BUILD

PROGRAM = os.path.join(BUILD, "bench", "bench_load")


class Load:
    def __init__(self, run, *arguments):
        self.run = run
        self.out = run.path(f"load-{os.urandom(4).hex()}.json")
        self.child = run.start([PROGRAM, *arguments], os.path.basename(self.out))

    def end(self):
        """Stops it; what it counted: answered, failed, failures, latency_us."""
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(30)
        with open(self.out) as file:
            return json.load(file)


def by_name(run, name, port, dns, connections=8, rate=200, timeout_ms=2000):
    """Each request asks DNS and opens a new connection."""
    return Load(run, "-n", name, "-p", port, "-d", f"{dns[0]}:{dns[1]}", "-c", connections,
                "-r", rate, "-T", timeout_ms)


def keep_alive(run, places, connections=8, rate=400, timeout_ms=2000):
    arguments = []
    for place in places:
        arguments += ["-a", place]
    return Load(run, *arguments, "-c", connections, "-r", rate, "-T", timeout_ms)


def explain(result, most=5):
    return f"{result['failed']} of {result['answered'] + result['failed']} requests failed: " + \
        json.dumps(result["failures"][:most])
