# SPDX-License-Identifier: Apache-2.0
"""What the lab makes outside its own memory, and its certain removal.

Everything is written down in the lab's directory before it is made: processes (with their start time,
so that a number that was given again is left alone), links, namespaces and files in /etc/netns. What
agent and units made is the agent's to remove (weir-agent --remove-all). Four take the lab away: its
own end, however it comes about; `lab stop`; a reaper in a session of its own, should the lab be
killed; and the next lab, should the reaper have been killed too."""

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("WEIR_BUILD", ROOT / "build")) / "src/bin"
INSTANCE = "lab"
NETNS_FILES = Path("/etc/netns")


def default_directory():
    if os.environ.get("WEIR_LAB_DIR"):
        return Path(os.environ["WEIR_LAB_DIR"])
    if os.geteuid() == 0:
        return Path("/run/weir-lab")
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        return Path(base) / "weir-lab"
    return Path(f"/tmp/weir-lab-{os.getuid()}")


def start_time(pid):
    """Clock ticks since boot; None when there is no such process (a zombie is none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid, started):
    return started is not None and start_time(pid) == started


def wait_until(condition, seconds, every=0.02):
    """The condition's first true value; what it last was after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(every)


class LabError(Exception):
    """One sentence for the user."""


def command(*argv, check=True, seconds=30):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", timeout=seconds, check=False)
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"{' '.join(map(str, argv))} failed: {said or done.returncode}")
    return done.stdout


class World:
    def __init__(self, directory=None):
        self.directory = directory or default_directory()
        self.made_file = self.directory / "made"
        self.lock = None

    # What is there of an earlier or running lab

    def owner(self):
        """(pid, start time, detached) of the lab that is written down there, or None."""
        found = None
        for kind, *what in self.made():
            if kind == "owner":
                found = (*what, False)
            elif kind == "detached" and found:
                found = (found[0], found[1], True)
        return found

    def is_running(self):
        owner = self.owner()
        if not owner:
            return False
        if owner[2]:
            return any(alive(*what[:2]) for kind, *what in self.made() if kind == "process")
        return alive(owner[0], owner[1])

    def made(self):
        try:
            lines = self.made_file.read_text().splitlines()
        except FileNotFoundError:
            return []
        rows = []
        for text in lines:
            try:
                rows.append(json.loads(text))
            except ValueError:
                pass  # the line that a crash cut off: what it speaks of was not made
        return rows

    # Making

    def _take_lock(self):
        # Beside the directory, because the directory goes.
        self.lock = open(f"{self.directory}.lock", "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def open(self):
        """Takes the place of the one lab of this user; raises LabError when there is one."""
        if self.directory.is_symlink() or (
                self.directory.exists() and self.directory.stat().st_uid != os.geteuid()):
            raise LabError(f"{self.directory} belongs to somebody else")
        if not self._take_lock() or self.is_running():
            raise LabError("a lab runs here already; ./dev lab stop ends it")
        if self.directory.exists():
            self.remove()  # what a dead one left
        self.directory.mkdir(mode=0o755)
        self.note("owner", os.getpid(), start_time(os.getpid()))
        # The reaper holds no descriptor of ours, and no signal of our terminal reaches it.
        subprocess.Popen([sys.executable, "-B", str(Path(__file__).resolve()), str(self.directory),
                          str(os.getpid())], start_new_session=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def note(self, kind, *what):
        with open(self.made_file, "a") as file:
            file.write(json.dumps([kind, *what]) + "\n")

    def path(self, *parts):
        path = self.directory.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def start(self, name, *argv, netns=None, stdout=None):
        """A process of the lab, in a session of its own (Ctrl-C is the lab's alone). Returns Popen."""
        argv = [str(a) for a in argv]
        if netns:
            argv = ["ip", "netns", "exec", netns] + argv
        with open(self.path(f"{name}.log"), "ab") as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout or log,
                                     stderr=log, start_new_session=True)
        self.note("process", child.pid, start_time(child.pid), name)
        return child

    def namespace(self, name):
        self.note("namespace", name)
        command("ip", "netns", "add", name)
        command("ip", "-n", name, "link", "set", "lo", "up")

    def netns_file(self, namespace, name, text):
        """A file that processes in the namespace see in place of /etc/NAME."""
        folder = NETNS_FILES / namespace
        self.note("netns_files", namespace)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    def log_tail(self, name, lines=12):
        try:
            text = (self.directory / f"{name}.log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    # Removing

    def remove(self):
        """Ends and removes all that is written down; returns what could not be."""
        left = []
        rows = self.made()
        processes = [what for kind, *what in rows if kind == "process"]
        for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            # The agent and the controller first: nobody puts back what we take away.
            for pid, started, _ in processes:
                if alive(pid, started):
                    try:
                        os.killpg(pid, number)
                    except (ProcessLookupError, PermissionError):
                        pass
            wait_until(lambda: not any(alive(p, s) for p, s, _ in processes), patience)
        left += [f"process {pid} ({name})" for pid, started, name in processes
                 if alive(pid, started)]
        for kind, *what in rows:
            if kind == "agent":
                left += self._remove_agents_work(what)
        for kind, *what in rows:
            if kind == "link":
                command("ip", "link", "delete", what[0], check=False)
            elif kind == "namespace":
                left += remove_namespace(what[0])
            elif kind == "netns_files":
                shutil.rmtree(NETNS_FILES / what[0], ignore_errors=True)
        try:
            NETNS_FILES.rmdir()  # ours when it is empty
        except OSError:
            pass
        if not left:
            shutil.rmtree(self.directory, ignore_errors=True)
            Path(f"{self.directory}.lock").unlink(missing_ok=True)
        return left

    @staticmethod
    def _remove_agents_work(argv):
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  errors="replace", timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return [f"what the agent made: {error}"]
        if done.returncode != 0:
            return [f"what the agent made: {done.stderr.strip().splitlines()[-1:] or argv}"]
        return []


def remove_namespace(name):
    if not Path("/run/netns", name).exists():
        return []
    for pid in command("ip", "netns", "pids", name, check=False).split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    command("ip", "netns", "delete", name, check=False)
    return [f"namespace {name}"] if Path("/run/netns", name).exists() else []


def reap(directory, pid):
    """Waits for the end of the lab; removes what it has left, unless that was the wish."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        watched = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        poll.poll()
    except ProcessLookupError:
        pass
    world = World(Path(directory))
    owner = world.owner()
    if owner and owner[0] == pid and not owner[2]:
        world.remove()


if __name__ == "__main__":
    reap(sys.argv[1], int(sys.argv[2]))
