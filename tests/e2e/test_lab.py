# SPDX-License-Identifier: Apache-2.0
"""./dev lab as a user meets it: it shows what it promises, and nothing is left, however it ends."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.run import ROOT, start_time
from support.wait import wait_for

LAB = os.path.join(ROOT, "tools", "lab", "lab.py")


def units_are_free():
    """The lab's loopback addresses are fixed: another one on this machine would be in the way."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.90.0.16", 9901)) != 0


@pytest.fixture
def lab():
    for program in ("/usr/sbin/nginx", "/usr/sbin/lighttpd"):
        assert os.access(program, os.X_OK), f"{program} is missing"
    assert units_are_free(), "a lab of the runtime process runs on this machine"
    # Not in pytest's own directory: the web servers give up root and must be able to read there.
    directory = Path(f"/tmp/weir-lab-test-{os.getpid()}")
    environment = dict(os.environ, WEIR_LAB_DIR=str(directory), NO_COLOR="1")
    children = []

    def start(*options):
        child = subprocess.Popen([sys.executable, "-B", LAB, *options], env=environment, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        children.append(child)
        return child
    start.directory = directory
    yield start
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()
        child.stdout.close()
    stop = start("stop")
    stop.communicate(timeout=60)
    shutil.rmtree(directory, ignore_errors=True)


def processes(directory):
    """Of the lab: those whose command line names its directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                text = file.read()
        except OSError:
            continue
        if os.fsencode(str(directory)) in text and start_time(int(pid)):
            found.append(text.replace(b"\0", b" ").decode())
    return found


def read_until(child, text):
    seen = ""
    while text not in seen:
        line = child.stdout.readline()
        assert line, f"the lab ended before it said {text!r}:\n{seen}"
        seen += line
    return seen


def test_it_serves_survives_a_crash_and_leaves_nothing(lab):
    child = lab("--runtime", "process")
    out = read_until(child, "Events as they come")
    rows = re.findall(r"^  \d  (\w+) at .* 200 ", out, re.M)
    assert len(rows) == 9 and set(rows) == {"nginx", "lighttpd", "python3"}, out
    assert [int(n) for n in re.findall(r"step (\d)  unit", out)] == [1, 2, 5, 5], out
    assert re.search(r"Requests meanwhile: \d{2,}, failed: 0$", out, re.M), out
    child.send_signal(signal.SIGINT)
    rest = child.communicate(timeout=60)[0]
    assert "Everything is removed." in rest
    assert child.returncode == 0
    assert not lab.directory.exists()
    # The reaper ends a moment after the lab that it watches.
    wait_for(lambda: not processes(lab.directory), 10, lambda: processes(lab.directory))


def test_a_killed_lab_leaves_nothing(lab):
    child = lab("--runtime", "process", "--no-crash")
    read_until(child, "target")
    child.kill()
    wait_for(lambda: not lab.directory.exists(), 30, "the reaper")
    wait_for(lambda: not processes(lab.directory), 10, "the end of its processes")


def test_detached_it_goes_on_and_there_is_only_one(lab):
    out = lab("--runtime", "process", "--no-crash", "--detach").communicate(timeout=60)[0]
    assert "The lab goes on" in out
    second = lab("--runtime", "process")
    assert "a lab runs here already" in second.communicate(timeout=30)[0]
    assert second.returncode == 1
    assert "left there with --detach" in lab("status").communicate(timeout=30)[0]
    assert "Everything is removed." in lab("stop").communicate(timeout=60)[0]
    assert not lab.directory.exists()
    # The reaper ends a moment after the lab that it watches.
    wait_for(lambda: not processes(lab.directory), 10, lambda: processes(lab.directory))
