# SPDX-License-Identifier: Apache-2.0
"""What tests (and benchmarks) of the whole service stand on.

run.py      a run's directory, its processes and namespaces, and their certain removal
cluster.py  controller and agents with names, ports and subnets of their own
target.py   HTTP targets whose behaviour a test changes, in a namespace of a project's network
wait.py     conditions with deadlines; there are no fixed sleeps
dns.py      one DNS question
load.py     constant load, every failure kept
"""
