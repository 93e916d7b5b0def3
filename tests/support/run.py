# SPDX-License-Identifier: Apache-2.0
"""A run of tests: its directory, and the certain end of everything it made.

Whatever a run makes outside its own memory is written down first, in the run's directory under
/tmp/weir-tests: processes (pid and start time), namespaces, instances of Weir. Three take it away:
the fixtures in the ordinary case; a reaper process of its own session that waits for the end of the
run, should that end come by kill -9; and every later run, which sweeps what it finds of dead ones,
should the reaper have been killed as well. Nothing that is not written down is ever touched."""

import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BASE = os.environ.get("WEIR_TESTS_DIR", f"/tmp/weir-tests-{os.getuid()}")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build"))
PROGRAMS = os.path.join(BUILD, "src", "bin")


def start_time(pid):
    """Clock ticks since boot; None when there is no such process (a zombie is none)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def command(*argv, check=True, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **more)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stderr.strip() or done.stdout}")
    return done.stdout


def namespaces():
    try:
        return sorted(os.listdir("/run/netns"))
    except FileNotFoundError:
        return []


def namespace_pids(name):
    return [int(pid) for pid in command("ip", "netns", "pids", name, check=False).split()]


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Run:
    def __init__(self):
        os.makedirs(BASE, mode=0o755, exist_ok=True)
        sweep_dead()
        self.directory = tempfile.mkdtemp(prefix="run-", dir=BASE)
        os.chmod(self.directory, 0o755)
        self.counter = 0
        self.note("owner", os.getpid(), start_time(os.getpid()))
        # The reaper is no child to wait for and has its own session: a kill of ours or of our
        # process group leaves it.
        subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), self.directory,
                          str(os.getpid())], start_new_session=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def note(self, kind, *what):
        """Written down before it is made."""
        with open(os.path.join(self.directory, "made"), "a") as file:
            file.write(json.dumps([kind, *what]) + "\n")

    def path(self, *parts):
        path = os.path.join(self.directory, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def programs(self, user=None):
        """The folder of the programs; of a copy when this user may not reach them (a clone that
        lies in somebody's home)."""
        may = user is None or subprocess.run(
            ["test", "-x", os.path.join(PROGRAMS, "weir-agent")], user=user, group="nogroup",
            cwd="/").returncode == 0
        if may:
            return PROGRAMS
        copy = os.path.join(self.directory, "programs")
        if not os.path.isdir(copy):
            os.mkdir(copy)
            for program in ("weir", "weir-agent", "weir-controller", "weir-proxy"):
                shutil.copy(os.path.join(PROGRAMS, program), copy)
            os.chmod(copy, 0o755)
        return copy

    def instance(self):
        """A name for one instance of Weir on this machine, at most 6 characters."""
        self.counter += 1
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"
        number, text = os.getpid() * 64 + self.counter % 64, ""
        while number and len(text) < 5:
            number, digit = divmod(number, 36)
            text = digits[digit] + text
        name = "t" + text
        self.note("instance", name)
        return name

    def start(self, argv, log, netns=None, own_group=True, user=None, env=None):
        """A process that ends at the latest with the run. Returns Popen."""
        argv = [str(a) for a in argv]
        if netns:
            argv = ["ip", "netns", "exec", netns] + argv
        with open(self.path(log), "ab") as file:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                     start_new_session=own_group, user=user,
                                     group=user and "nogroup", env=env,
                                     preexec_fn=None if user else die_with_parent)
        self.note("process", child.pid, start_time(child.pid))
        return child

    def namespace(self, name):
        self.note("namespace", name)
        command("ip", "netns", "add", name)
        command("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def close(self):
        sweep(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def made(directory):
    try:
        with open(os.path.join(directory, "made")) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def kill(pid, started):
    if started is not None and start_time(pid) == started:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def remove_namespace(name):
    if name not in namespaces():
        return
    for pid in namespace_pids(name):
        kill(pid, start_time(pid))
    command("ip", "netns", "delete", name, check=False)


def remove_instance(name):
    """Everything an agent of that instance may have left, by the names of docs/DOCUMENTS.md §8."""
    if os.geteuid() != 0:
        return
    prefix = f"weir-{name}-"
    for namespace in namespaces():
        if namespace.startswith(prefix):
            remove_namespace(namespace)
    for root in [None] + [os.path.join("/run", d, "runc") for d in os.listdir("/run")
                          if d.startswith("weir")]:
        base = ["runc"] + (["--root", root] if root else [])
        if shutil.which("runc") and (root is None or os.path.isdir(root)):
            for container in command(*base, "list", "-q", check=False).split():
                if container.startswith(prefix):
                    command(*base, "delete", "-f", container, check=False)
    bridge = f"weir{name}"
    links = command("ip", "-o", "link", "show", "master", bridge, check=False)
    for link in re.findall(r"^\d+: ([^@:]+)", links, re.M):
        command("ip", "link", "delete", link, check=False)
    if os.path.exists(f"/sys/class/net/{bridge}"):
        command("ip", "link", "delete", bridge, check=False)


def sweep(directory):
    """Ends and removes all that is written down there."""
    items = made(directory)
    for kind, *what in items:
        if kind == "process":
            kill(*what)
    remove_run_containers(directory)
    for kind, *what in items:
        if kind == "instance":
            remove_instance(*what)
    for kind, *what in items:
        if kind == "namespace":
            remove_namespace(*what)
        elif kind == "mount":
            command("umount", "-l", *what, check=False)
    if os.path.isdir(directory):
        kill_users_of(directory)
    shutil.rmtree(directory, ignore_errors=True)


def remove_run_containers(directory):
    """runc's state below the run's directory, wherever the agent put it."""
    for parent, folders, files in os.walk(directory):
        if "state.json" in files and shutil.which("runc"):
            command("runc", "--root", os.path.dirname(parent), "delete", "-f",
                    os.path.basename(parent), check=False)
            folders.clear()


def kill_users_of(directory):
    """Units of the runtime "process" carry the run's directory in their arguments."""
    needle = os.fsencode(directory + os.sep)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                arguments = file.read().split(b"\0")
            with open(f"/proc/{pid}/comm") as file:
                program = file.read().strip()
        except OSError:
            continue
        if program.startswith("weir-") and any(needle in a for a in arguments):
            kill(int(pid), start_time(int(pid)))


def sweep_dead():
    for name in os.listdir(BASE):
        directory = os.path.join(BASE, name)
        owners = [what for kind, *what in made(directory) if kind == "owner"]
        if not owners:
            if time.time() - os.stat(directory).st_mtime > 60:
                shutil.rmtree(directory, ignore_errors=True)
        elif start_time(owners[0][0]) != owners[0][1]:
            sweep(directory)


def reap(directory, pid):
    """The reaper: waits for the end of the run, whatever it is."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        watched = None
    if watched is not None:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        poll.poll()
    if os.path.isdir(directory):
        sweep(directory)


if __name__ == "__main__":
    reap(sys.argv[1], int(sys.argv[2]))
