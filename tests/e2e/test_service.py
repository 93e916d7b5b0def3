# SPDX-License-Identifier: Apache-2.0
"""The whole service, as a user meets it: created by a request, reached by its name."""

import json
import socket

import pytest

from support import dns
from support import load as loads
from support.run import command, namespaces, start_time
from support.wait import wait_for


def answers(project, name, count):
    return [project.get(name) for _ in range(count)]


def test_what_the_envelope_creates_serves_by_its_name(cluster, project):
    a, b, c = project.join("abc")
    info = project.create("shop", [a, [b], f"http://{c}/"])
    assert info["url"] == f"http://shop.{project.name}.weir.internal/"
    assert info["state"] == "active"
    assert len(info["units"]) == 2
    given = answers(project, "shop", 12)
    assert {answer.status for answer in given} == {200}
    assert {answer.body for answer in given} == {b"a", b"b", b"c"}
    again = cluster.succeed("info", "instance", project=project.name, id=info["id"])
    assert again["url"] == info["url"] and again["name"] == "shop"
    names = [i["name"] for i in cluster.succeed("list", "instance", project=project.name)["items"]] \
        if isinstance(cluster.succeed("list", "instance", project=project.name), dict) else \
        [i["name"] for i in cluster.succeed("list", "instance", project=project.name)]
    assert names == ["shop"]


def test_what_rest_creates_serves_by_its_name(cluster, project):
    a, b = project.join("ab")
    base = f"/v1/projects/{project.id}"
    group = cluster.ask("POST", f"{base}/target-groups", {
        "name": "pool", "protocol": "http",
        "targets": [{"address": p.split(":")[0], "port": 8080} for p in (a, b)]})
    answer = cluster.rest("POST", f"{base}/load-balancers", {
        "name": "front", "type": "application",
        "listeners": [{"protocol": "http", "port": 8000, "target_group_id": group["id"]}]})
    assert answer.status == 201, answer
    assert answer.headers["Location"].endswith(f"/load-balancers/{answer.json['id']}")
    lb = cluster.wait_serving(project.name, "front")
    assert lb["status"]["url"] == f"http://front.{project.name}.weir.internal:8000/"
    given = [project.get("front", port=8000).body for _ in range(8)]
    assert set(given) == {b"a", b"b"}


def test_every_unit_spreads_evenly_over_all_targets(cluster, project):
    project_targets = project.join("abcd")
    info = project.create("even", project_targets)
    for unit in info["units"]:
        before = project.targets.requests()
        for _ in range(20):
            assert cluster.get_from(unit["address"]).status == 200
        after = project.targets.requests()
        assert {after[name] - before[name] for name in "abcd"} == {5}


def test_a_tcp_load_balancer_carries_bytes_both_ways(cluster, project):
    (place,) = project.join("a")
    cluster.succeed("create", "instance", project=project.name, wait="serving", info={
        "name": "pipe", "traffic_type": "tcp", "port": 7000,
        "backend": {"entities": [place], "health-check": {"protocol": "TCP"}}})
    address = cluster.addresses(project.dns_name("pipe"))[0]
    with socket.create_connection((address, 7000), 5) as peer:
        peer.sendall(b"GET /echo HTTP/1.1\r\nHost: untouched\r\nConnection: close\r\n\r\n")
        said = b"".join(iter(lambda: peer.recv(4096), b""))
    assert b"Host: untouched" in said and b"X-Forwarded" not in said


def test_the_target_sees_who_asked(cluster, project):
    (place,) = project.join("a")
    project.create("seen", [place])
    said = project.get("seen", path="/echo", headers={"X-Forwarded-For": "203.0.113.9"}).body.decode()
    fields = {line.split(":")[0].lower(): line.split(":", 1)[1].strip()
              for line in said.split("\r\n")[1:] if ":" in line}
    gateway = cluster.front_subnet.rsplit(".", 1)[0] + ".1"
    assert fields["x-forwarded-for"].replace(" ", "") == f"203.0.113.9,{gateway}"
    assert fields["x-forwarded-proto"] == "http"
    assert fields["host"] == project.dns_name("seen")


def test_a_target_that_turns_ill_gets_nothing_until_it_is_well(project):
    a, b = project.join("ab")
    project.create("sick", [a, b])
    wait_for(lambda: project.verdicts("sick") == {a: "healthy", b: "healthy"}, 10,
             lambda: str(project.verdicts("sick")))
    project.targets.set("a", check_status=503)
    wait_for(lambda: project.verdicts("sick")[a] == "unhealthy", 10, "a unhealthy")
    assert {answer.body for answer in answers(project, "sick", 12)} == {b"b"}
    reason = [t["reason"] for t in project.balancer("sick")["status"]["targets"]
              if t["address"] == a]
    assert "503" in reason[0]
    project.targets.set("a", check_status=200)
    wait_for(lambda: project.verdicts("sick")[a] == "healthy", 10, "a healthy again")
    assert {answer.body for answer in answers(project, "sick", 12)} == {b"a", b"b"}


def test_a_target_that_is_switched_off_costs_no_request(run, cluster, project):
    a, b, c = project.join("abc")
    project.create("off", [a, b, c])
    wait_for(lambda: set(project.verdicts("off").values()) == {"healthy"}, 10, "all healthy")
    load = loads.by_name(run, project.dns_name("off"), 80, cluster.dns)
    # Nobody has noticed yet: connections are refused, and the next target is tried.
    project.targets.close("b")
    wait_for(lambda: project.verdicts("off")[b] == "unhealthy", 10, "b unhealthy")
    project.targets.reopen("b")
    wait_for(lambda: project.verdicts("off")[b] == "healthy", 10, "b healthy")
    result = load.end()
    # The requests that b was answering when it was shut down are its own loss.
    real = [f for f in result["failures"] if not (f["what"] == "status" and f["detail"] == 502)]
    assert not real and result["failed"] <= 3, loads.explain(result)
    assert result["answered"] > 100


def test_targets_change_under_load_without_a_failed_request(run, cluster, project):
    a, b, c, d = project.join("abcd")
    project.create("moving", [a, b])
    units = [u["address"] for u in project.balancer("moving")["status"]["units"]]
    fresh = loads.by_name(run, project.dns_name("moving"), 80, cluster.dns)
    kept = loads.keep_alive(run, [f"{address}:80" for address in units])
    for places in [[a], [a, b, c, d], [d], [c, d], [b, c], [a, b]] * 10:
        before = {u: status_version(cluster, u) for u in units}
        project.set_targets("moving", places)
        wait_for(lambda: all(status_version(cluster, u) > before[u] for u in units), 5,
                 "all units on the new version", every=0.003)
    for result in (fresh.end(), kept.end()):
        assert result["failed"] == 0, loads.explain(result)
        assert result["answered"] > 50
    project.set_targets("moving", [d])
    wait_for(lambda: {project.get("moving").body for _ in range(4)} == {b"d"}, 5, "only d answers")


def status_version(cluster, address):
    return cluster.get_from(address, 9901, "/health").json["version"]


def test_deleting_leaves_nothing_behind(cluster, make_project):
    project = make_project()
    (place,) = project.join("a")
    info = project.create("gone", [place])
    units = [unit["id"] for unit in info["units"]]
    pids = [cluster.unit_pid(unit) for unit in units]
    answer = cluster.rest("DELETE", f"/v1/projects/{project.name}")
    assert answer.status == 409, answer
    cluster.succeed("delete", "instance", project=project.name, id=info["id"])
    wait_for(lambda: not dns.query(cluster.dns, project.dns_name("gone")).addresses, 5,
             "the name is gone")
    wait_for(lambda: not [n for n in namespaces()
                          if n in map(cluster.unit_namespace, units)], 20, "unit namespaces gone")
    wait_for(lambda: f": wf{cluster.instance}-" not in command("ip", "-o", "link"), 5, "links gone")
    assert [pid for pid in pids if start_time(pid) is not None] == []
    project.end()
    assert project.namespace not in namespaces()
    with pytest.raises(FileNotFoundError):
        open(f"{cluster.directory}/run/{cluster.node}/units/{units[0]}/snapshot.json").close()
    assert cluster.rest("GET", f"/v1/projects/{project.id}").status == 404


def test_projects_do_not_reach_each_other(cluster, make_project):
    mine, other = make_project(), make_project()
    (own,) = mine.join("a")
    (foreign,) = other.join("b")
    info = mine.create("spy", [own, foreign], wait=None)
    lb = cluster.wait_serving(mine.name, "spy")
    wait_for(lambda: mine.verdicts("spy").get(foreign) == "unhealthy" and
             mine.verdicts("spy").get(own) == "healthy", 15, lambda: str(mine.verdicts("spy")))
    assert {mine.get("spy").body for _ in range(6)} == {b"a"}
    assert other.targets.hits()["b"] == {"requests": 0, "checks": 0}
    # Nor by hand from inside a unit's namespace, to the other's target or its gateway.
    unit = cluster.unit_namespace(lb["status"]["units"][0]["id"])
    gateway = other.subnet.rsplit(".", 1)[0] + ".1"
    for address in (foreign.split(":")[0], gateway):
        reached = command("ip", "netns", "exec", unit, "curl", "-s", "-m", "1", "-o", "/dev/null",
                          "-w", "%{http_code}", f"http://{address}:8080/", check=False)
        assert reached == "000"
    assert info["id"] == lb["id"]


def test_what_belongs_to_others_is_not_touched(run, cluster, project):
    """Names close to ours, a bridge, and a foreign link in a project's own namespace."""
    near = run.namespace(f"wt-weir-{cluster.instance}-p1")
    bridge = f"wx{cluster.instance}"
    command("ip", "-n", near, "link", "add", bridge, "type", "bridge")
    (place,) = project.join("a")
    project.create("calm", [place])
    cluster.kill_agent()
    cluster.start_agent()
    cluster.wait_serving(project.name, "calm")
    assert near in namespaces()
    assert bridge in command("ip", "-n", near, "-o", "link")
    assert "wt" in command("ip", "-n", project.namespace, "-o", "link", "show", "master", "br0")
    assert project.get("calm").status == 200


def test_dns_answers_as_an_authority(cluster, project):
    (place,) = project.join("a")
    project.create("named", [place])
    name = project.dns_name("named")
    answer = dns.query(cluster.dns, name)
    assert answer.rcode == 0 and answer.authoritative
    assert len(answer.addresses) == 2 and set(answer.ttls) == {5}
    assert sorted(dns.query(cluster.dns, name, tcp=True).addresses) == sorted(answer.addresses)
    assert dns.query(cluster.dns, name.upper()).addresses
    missing = dns.query(cluster.dns, f"missing.{project.name}.weir.internal")
    assert missing.rcode == 3 and not missing.addresses
    assert dns.query(cluster.dns, name, "AAAA").rcode == 0
    assert dns.query(cluster.dns, "example.org").rcode == 5


def test_events_tell_what_was_done(cluster, project):
    (place,) = project.join("a")
    project.create("story", [place], **{})
    events = cluster.events(project=project.id)
    assert events, "no events"
    assert [e["id"] for e in events] == sorted(e["id"] for e in events)
    assert all(e["what"] for e in events)


def test_auto_scaling_is_kept_and_an_event_says_that_it_does_not_act(cluster, project):
    (place,) = project.join("a")
    cluster.succeed("create", "instance", project=project.name, wait="serving", info={
        "name": "scale", "traffic_type": "http",
        "backend": {"entities": [place], "auto-scaling": True}})
    info = cluster.succeed("info", "instance", project=project.name, id="scale")
    assert info["backend"]["auto-scaling"] is True
    assert any("scaling" in e["what"].lower() + e["why"].lower()
               for e in cluster.events(project=project.id)), cluster.events(project=project.id)


def test_the_openapi_document_names_every_path(cluster):
    paths = cluster.ask("GET", "/openapi.json")["paths"]
    for path in ("/v1/projects", "/v1/requests", "/v1/events", "/v1/units", "/v1/nodes"):
        assert path in paths


def test_a_long_poll_for_events_ends_with_the_event(cluster, make_project):
    last = max([e["id"] for e in cluster.events()] or [0])
    import threading
    found = []
    waiter = threading.Thread(target=lambda: found.extend(
        cluster.ask("GET", f"/v1/events?after={last}&wait_ms=8000", seconds=10)["items"]))
    waiter.start()
    make_project()
    waiter.join(9)
    assert found and found[0]["id"] > last, json.dumps(found)
