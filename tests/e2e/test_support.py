# SPDX-License-Identifier: Apache-2.0
"""The ground that the other tests stand on: a run leaves nothing, however it ends."""

import os
import signal
import subprocess
import sys

import pytest

from support.run import ROOT, namespaces, start_time
from support.wait import wait_for

CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from support.run import Run
from support.target import Targets
run = Run()
space = run.namespace("wt-" + run.instance() + "-0")
targets = Targets(run, "t", netns=space)
print(run.directory, space, targets.child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.oci
@pytest.mark.parametrize("end", ["kill -9", "kill -9 of the reaper as well"])
def test_a_killed_run_is_cleaned_up(end):
    child = subprocess.Popen([sys.executable, "-B", "-c", CHILD, os.path.join(ROOT, "tests")],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    directory, space, pid = child.stdout.readline().split()
    assert space in namespaces() and start_time(int(pid)) is not None
    if end != "kill -9":
        for reaper in reapers(directory):
            os.kill(reaper, signal.SIGKILL)
    child.kill()
    child.wait()
    if end != "kill -9":
        assert os.path.isdir(directory)
        code = "import sys; sys.path.insert(0, sys.argv[1]); from support.run import Run; " \
            "Run().close()"
        subprocess.run([sys.executable, "-B", "-c", code, os.path.join(ROOT, "tests")], check=True)
    wait_for(lambda: not os.path.exists(directory), 10, "its directory is gone")
    assert space not in namespaces()
    assert start_time(int(pid)) is None


def reapers(directory):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"run.py\0" + directory.encode() + b"\0" in file.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found
