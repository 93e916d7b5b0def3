# SPDX-License-Identifier: Apache-2.0
"""CPU per request: 64 keep-alive connections, 128-byte answers. The proxy alone on CPU 0; load and
back end on CPU 1. The CPU time is what the scheduler counted in nanoseconds for all threads of all
processes of the proxy (/proc/PID/task/*/schedstat; utime and stime of /proc/PID/stat, which count
the same time in ticks, give the shares of user and system). Every round measures each proxy once,
so that what else happens on the machine meets all of them; a ratio is made within its round."""

import tempfile

import common
import proxies

BARS = {"nginx": 0.85, "haproxy": 0.75, "floor": 1.20}


def measure(process, port, connections, seconds):
    before = process.cpu()
    result = common.load(["-a", f"127.0.0.1:{port}", "-c", connections, "-t", seconds, "-T", 10000])
    after = process.cpu()
    if result["failed"]:
        raise RuntimeError(f"{result['failed']} requests failed: {result['failures'][:3]}")
    total, user, system = (b - a for a, b in zip(before, after))
    answered = result["answered"]
    ticks = max(1, user + system)
    return {"us": total / 1000 / answered, "user_us": total / 1000 / answered * user / ticks,
            "system_us": total / 1000 / answered * system / ticks,
            "requests_per_s": answered / (result["ended_ms"] - result["began_ms"]) * 1000,
            "p99_us": result["latency_us"]["p99"]}


def run(quick=False, rounds=None, seconds=None, connections=64, only=None):
    rounds = rounds or (11 if not quick else 3)
    seconds = seconds or 1
    samples = {}
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory:
        proxies.start_target()
        names = proxies.available(only)
        running = {name: proxies.start(name, directory) for name in names}
        for name in names:  # warm: connections to the back end made, memory touched
            common.load(["-a", f"127.0.0.1:{running[name][1]}", "-c", connections, "-t", 0.5])
        for number in range(rounds):
            for name in names:
                sample = measure(*running[name], connections, seconds)
                samples.setdefault(name, []).append(sample)
                print(f"  round {number + 1} {name:8} {sample['us']:6.2f} µs/request "
                      f"{sample['requests_per_s']:9.0f} requests/s", flush=True)
        common.stop_all()
    figures = {name: {key: common.spread([s[key] for s in taken]) for key in taken[0]}
               for name, taken in samples.items()}
    rows = [[name] + [f"{figures[name][key]['median']:.1f}" for key in
                      ("user_us", "system_us", "us")] +
            [f"{figures[name]['us']['min']:.1f}–{figures[name]['us']['max']:.1f}",
             f"{figures[name]['requests_per_s']['median']:.0f}"] for name in figures]
    print()
    common.print_table(["CPU µs/request", "user", "system", "total", "range", "requests/s"], rows)
    ratios = {}
    if "weir" in samples:
        rows = []
        for peer, bar in BARS.items():
            if peer not in samples:
                continue
            ratio = common.spread([w["us"] / p["us"] for w, p in
                                   zip(samples["weir"], samples[peer])])
            ratios[peer] = {**ratio, "bar": bar}
            rows.append([f"weir / {peer}", f"{ratio['median']:.3f}",
                         f"{ratio['min']:.3f}–{ratio['max']:.3f}", f"≤ {bar:.2f}",
                         common.verdict(ratio["median"], bar)])
        print()
        common.print_table(["ratio", "median", "range", "bar", ""], rows)
    common.write_result("l7", {"what": "CPU µs per request, keep-alive, 128-byte answers",
                               "connections": connections, "seconds": seconds, "rounds": rounds,
                               "figures": figures, "weir_to": ratios})
    return all(r["median"] <= r["bar"] for r in ratios.values())


def run_memory(quick=False, connections=5000, only=None):
    """User-space memory of an idle keep-alive client connection: growth of Pss, fresh process,
    after one request on each of them."""
    figures, rows = {}, []
    if quick:
        connections = 2000
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory:
        proxies.start_target()
        for name in proxies.available(only):
            if name == "floor":
                continue
            process, port = proxies.start(name, directory)
            # What the first requests alone bring (pages, pools) is no cost of a connection.
            common.load(["-a", f"127.0.0.1:{port}", "-c", 64, "-t", 0.3, "-T", 10000])
            before = process.memory()
            load = common.Load(["-a", f"127.0.0.1:{port}", "-c", connections, "-i", "-T", 20000])
            load.wait_held()
            after = process.memory()
            result = load.end()
            process.stop()
            if result["failed"]:
                raise RuntimeError(f"{name}: {result['failed']} failed: {result['failures'][:3]}")
            figures[name] = {"bytes_per_connection": round((after - before) / connections, 1),
                             "before_bytes": before, "after_bytes": after}
            rows.append([name, f"{figures[name]['bytes_per_connection']:.0f}",
                         f"{before / 1048576:.1f}", f"{after / 1048576:.1f}"])
        common.stop_all()
    common.print_table(["memory", "bytes/idle connection", "MiB before", "MiB with"], rows)
    reached = True
    if "weir" in figures:
        reached = figures["weir"]["bytes_per_connection"] <= 1024
        print(f"weir: {figures['weir']['bytes_per_connection']:.0f} bytes, bar ≤ 1024: "
              f"{'reached' if reached else 'MISSED'}")
    common.write_result("memory", {"what": "Pss growth per idle keep-alive client connection",
                                   "connections": connections, "bar_bytes": 1024,
                                   "figures": figures})
    return reached
