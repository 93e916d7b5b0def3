# SPDX-License-Identifier: Apache-2.0
"""What every benchmark needs: processes pinned to a CPU, their CPU time, numbers, the result file."""

import datetime
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build"))
TOOLS = os.path.join(BUILD, "bench")
PROGRAMS = os.path.join(BUILD, "src", "bin")
RESULTS = os.path.join(ROOT, "bench", "results")
PROXY_CPU, LOAD_CPU = 0, 1
# Ports of the benchmarks; another base keeps two runs on one machine apart.
PORT = int(os.environ.get("WEIR_BENCH_PORT", "21700"))

_running = []


def die_with_parent():
    """In the child: no process of a benchmark outlives it, whatever ends it."""
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Process:
    """A program pinned to one CPU. `stop` ends it; so does the end of this process."""

    def __init__(self, argv, cpu=None, log=subprocess.DEVNULL, stdout=None, netns=None, **more):
        if netns:
            argv = ["ip", "netns", "exec", netns] + argv

        def prepare():
            die_with_parent()
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})

        self.argv = argv
        self.child = subprocess.Popen(argv, preexec_fn=prepare, stdin=subprocess.DEVNULL,
                                      stdout=stdout if stdout is not None else log, stderr=log,
                                      start_new_session=True, **more)
        _running.append(self)

    @property
    def pid(self):
        return self.child.pid

    def family(self):
        """Its pid and those of all that descend from it."""
        pids, found = [self.pid], []
        while pids:
            pid = pids.pop()
            found.append(pid)
            try:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/children") as file:
                        pids += [int(child) for child in file.read().split()]
            except FileNotFoundError:
                pass
        return found

    def cpu(self):
        """Nanoseconds on a CPU, and how utime and stime share them, over all its threads."""
        total = user = system = 0
        for pid in self.family():
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    total += int(file.read().split()[0])
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            user += int(fields[11])
            system += int(fields[12])
        return total, user, system

    def memory(self):
        """Bytes: the sum of Pss, which shares what several processes map."""
        total = 0
        for pid in self.family():
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += 1024 * int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))
        return total

    def stop(self):
        if self in _running:
            _running.remove(self)
        for pid in reversed(self.family()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.child.wait()


def stop_all():
    for process in list(_running):
        process.stop()


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.005)


def answers_at(port, address="127.0.0.1"):
    """Whether an HTTP GET there is answered with 200."""
    try:
        with socket.create_connection((address, port), 1) as peer:
            peer.settimeout(1)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return peer.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def tool(name):
    path = os.path.join(TOOLS, "bench_" + name)
    if not os.access(path, os.X_OK):
        sys.exit(f"bench: {path} is not there; build first (./dev build)")
    return path


def load(arguments, cpu=LOAD_CPU):
    """Runs the load generator to its end and returns what it printed."""
    done = subprocess.run([tool("load")] + [str(a) for a in arguments], check=True,
                          stdout=subprocess.PIPE, preexec_fn=lambda: (
                              die_with_parent(), os.sched_setaffinity(0, {cpu})))
    return json.loads(done.stdout)


class Load:
    """The load generator beside us: `end` stops it and returns what it printed."""

    def __init__(self, arguments, cpu=LOAD_CPU):
        self.process = Process([tool("load")] + [str(a) for a in arguments], cpu=cpu,
                               log=subprocess.PIPE, stdout=subprocess.PIPE)

    def wait_held(self):
        line = self.process.child.stderr.readline()
        if line.strip() != b"held":
            raise RuntimeError(f"load: {line!r}")

    def end(self):
        self.process.child.send_signal(signal.SIGTERM)
        out, err = self.process.child.communicate(timeout=30)
        self.process.stop()
        if not out:
            raise RuntimeError(f"load: {err.decode()}")
        return json.loads(out)


def spread(values):
    """Median and range."""
    return {"median": round(statistics.median(values), 4), "min": round(min(values), 4),
            "max": round(max(values), 4), "n": len(values)}


def percentiles(values):
    ordered = sorted(values)

    def part(share):
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
    return {"p50": part(0.5), "p99": part(0.99), "max": part(1), "n": len(ordered)}


def first_line(argv, pattern):
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
        return re.search(pattern, done.stdout + done.stderr).group(1)
    except (OSError, AttributeError):
        return None


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def circumstances():
    """Where and with what this was measured."""
    cpu = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read())
    commit = first_line(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], r"(\w+)")
    return {"date": now(), "kernel": platform.release(), "cpu": cpu.group(1) if cpu else platform.machine(),
            "cpus": os.cpu_count(), "load_average": os.getloadavg()[0],
            "versions": {"weir": commit,
                         "nginx": first_line(["/usr/sbin/nginx", "-v"], r"nginx/(\S+)"),
                         "haproxy": first_line(["/usr/sbin/haproxy", "-v"], r"version (\S+)"),
                         "runc": first_line(["/usr/sbin/runc", "--version"], r"version (\S+)")}}


def read_result(name):
    try:
        with open(os.path.join(RESULTS, name + ".json")) as file:
            return json.load(file)
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def write_result(name, result):
    os.makedirs(RESULTS, exist_ok=True)
    path = os.path.join(RESULTS, name + ".json")
    with open(path + ".tmp", "w") as file:
        json.dump({"name": name, **circumstances(), **result}, file, indent=1, sort_keys=False)
        file.write("\n")
    os.replace(path + ".tmp", path)
    print(f"written: {os.path.relpath(path, ROOT)}")


def print_table(heads, rows):
    texts = [[str(cell) for cell in row] for row in [heads] + rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(heads))]
    for row in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def verdict(value, bar):
    """A figure beside its bar, e.g. ("0.83", "≤ 0.85", "reached")."""
    return "reached" if value <= bar else "MISSED"
