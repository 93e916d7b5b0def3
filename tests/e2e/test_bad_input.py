# SPDX-License-Identifier: Apache-2.0
"""Bad input: a clear error that names the field, and nothing half done (the list before is the list
after, and no generation moved)."""

import json
import re

import pytest

from support.cluster import free_subnet
from support.run import command

GOOD = {"name": "x", "traffic_type": "http", "backend": {"entities": ["10.201.1.11:80"]}}


@pytest.fixture(scope="module")
def place(cluster):
    """Two projects, one with a load balancer: what bad requests may collide with."""
    subnets = [free_subnet(), free_subnet()]
    mine = cluster.succeed("create", "project", info={"name": "mine", "subnet": subnets[0]})
    other = cluster.succeed("create", "project", info={"name": "other", "subnet": subnets[1]})
    target = subnets[0].rsplit(".", 1)[0] + ".11:80"
    lb = cluster.succeed("create", "instance", project="mine",
                         info={**GOOD, "name": "shop", "backend": {"entities": [target]}})
    foreign = cluster.succeed("create", "instance", project="other",
                              info={**GOOD, "name": "theirs", "backend": {"entities": [target]}})
    return {"mine": mine, "other": other, "lb": lb, "foreign": foreign, "subnets": subnets}


def everything(cluster):
    """All that users own, without what changes by itself."""
    found = {}
    for project in cluster.ask("GET", "/v1/projects")["items"]:
        base = f"/v1/projects/{project['id']}"
        balancers = cluster.ask("GET", f"{base}/load-balancers")["items"]
        for balancer in balancers:
            balancer.pop("status")
        found[project["id"]] = (project, balancers,
                                cluster.ask("GET", f"{base}/target-groups")["items"])
    return found


def info(**changes):
    return {**GOOD, **changes}


# what a person did wrong: (fields of the envelope, the field at fault, the code's pattern)
ENVELOPES = {
    "an unknown field at the top": ({"action": "create", "type": "project", "colour": "red",
                                     "info": {"name": "p"}}, "colour", "unknown_field"),
    "an unknown field inside": ({"info": info(colour="red")}, "info.colour", "unknown_field"),
    "an unknown field far inside": (
        {"info": info(backend={"entities": [], "health-check": {"colour": 1}})},
        "info.backend.health-check.colour", "unknown_field"),
    "an unknown action": ({"action": "explode", "info": info()}, "action", "."),
    "an unknown type": ({"type": "planet", "info": info()}, "type", "."),
    "no action": ({"action": None, "info": info()}, "action", "."),
    "a name that is a number": ({"info": info(name=7)}, "info.name", "wrong_type"),
    "a name of digits": ({"info": info(name="77")}, "info.name", "."),
    "an empty name": ({"info": info(name="")}, "info.name", "."),
    "a name without a letter or digit": ({"info": info(name="---")}, "info.name", "."),
    "a name of 64 characters": ({"info": info(name="n" * 64)}, "info.name", "."),
    "a name with a line end": ({"info": info(name="a\nb")}, "info.name", "."),
    "no name": ({"info": {k: v for k, v in GOOD.items() if k != "name"}}, "info.name", "."),
    "a traffic type nobody has": ({"info": info(traffic_type="udp")}, "info.traffic_type", "."),
    "port 0": ({"info": info(port=0)}, "info.port", "out_of_range"),
    "port 65536": ({"info": info(port=65536)}, "info.port", "out_of_range"),
    "a port with a fraction": ({"info": info(port=80.5)}, "info.port", "wrong_type"),
    "a port in quotes": ({"info": info(port="80")}, "info.port", "wrong_type"),
    "the units' own port": ({"info": info(port=9901)}, "info.port", "."),
    "a huge port": ({"info": info(port=10**30)}, "info.port", "."),
    "tcp without a port": ({"info": info(traffic_type="tcp")}, "info.port", "."),
    "entities as a string": ({"info": info(backend={"entities": "10.0.0.1"})},
                             "info.backend.entities", "wrong_type"),
    "an entity that is no address": ({"info": info(backend={"entities": ["10.0.0.256"]})},
                                     "info.backend.entities", "."),
    "an entity with port 70000": ({"info": info(backend={"entities": ["10.0.0.1:70000"]})},
                                  "info.backend.entities", "."),
    "an entity with user and password": (
        {"info": info(backend={"entities": ["http://a:b@10.0.0.1/"]})},
        "info.backend.entities", "."),
    "an https entity": ({"info": info(backend={"entities": ["https://10.0.0.1/"]})},
                        "info.backend.entities", "."),
    "the same entity twice": ({"info": info(backend={"entities": ["10.0.0.1", "10.0.0.1"]})},
                              "info.backend.entities", "."),
    "a host that does not resolve": (
        {"info": info(backend={"entities": ["nobody.invalid:80"]})},
        "info.backend.entities", "."),
    "1001 entities": (
        {"info": info(backend={"entities": [f"10.1.{i // 250}.{i % 250 + 1}"
                                            for i in range(1001)]})},
        "info.backend.entities", "."),
    "an interval of 0": (
        {"info": info(backend={"entities": [], "health-check": {"criteria": {"interval": 0}}})},
        "info.backend.health-check.criteria.interval", "out_of_range"),
    "a time-out above its interval": (
        {"info": info(backend={"entities": [], "health-check":
                               {"criteria": {"interval": 2, "timeout": 3}}})},
        "info.backend.health-check.criteria", "."),
    "a check by another protocol": (
        {"info": info(backend={"entities": [], "health-check": {"protocol": "ICMP"}})},
        "info.backend.health-check.protocol", "."),
    "a check's path that is none": (
        {"info": info(backend={"entities": [], "health-check": {"request-path": "a b"}})},
        "info.backend.health-check.request-path", "."),
    "a name that is taken": ({"info": info(name="shop")}, "info.name", "name_taken"),
    "a name with a taken label": ({"info": info(name="SHOP")}, "info.name", "name_taken"),
    "a subnet that is not the project's": ({"info": info(subnet="10.202.0.0/24")},
                                           "info.subnet", "."),
    "a project that is not there": ({"project": "nowhere", "info": info()}, "project", "not_found"),
    "no project": ({"project": None, "info": info()}, "project", "."),
    "info about an id of another project": ({"action": "info", "id": "FOREIGN"}, "id", "not_found"),
    "deleting an id of another project": ({"action": "delete", "id": "FOREIGN"}, "id", "not_found"),
    "updating an id of another project": (
        {"action": "update", "id": "FOREIGN", "info": {"port": 81}}, "id", "not_found"),
    "an id that is negative": ({"action": "info", "id": -1}, "id", "."),
    "an update with a bad port": ({"action": "update", "id": "shop", "info": {"port": 0}},
                                  "info.port", "out_of_range"),
    "a taken project name": ({"action": "create", "type": "project", "project": None,
                              "info": {"name": "mine"}}, "info.name", "name_taken"),
    "a project's subnet that overlaps another's": (
        {"action": "create", "type": "project", "project": None,
         "info": {"name": "p", "subnet": "SUBNET"}}, "info.subnet", "subnet_overlaps"),
    "a project's subnet inside another's": (
        {"action": "create", "type": "project", "project": None,
         "info": {"name": "p", "subnet": "INSIDE"}}, "info.subnet", "subnet_overlaps"),
    "a project's subnet that is the machine's own": (
        {"action": "create", "type": "project", "project": None,
         "info": {"name": "p", "subnet": "ROUTE"}}, "info.subnet", "subnet_overlaps"),
    "a project's subnet that is the front's": (
        {"action": "create", "type": "project", "project": None,
         "info": {"name": "p", "subnet": "FRONT"}}, "info.subnet", "subnet_overlaps"),
    "a subnet with host bits": (
        {"action": "create", "type": "project", "project": None,
         "info": {"name": "p", "subnet": "10.202.0.1/24"}}, "info.subnet", "."),
    "a subnet too large": (
        {"action": "create", "type": "project", "project": None,
         "info": {"name": "p", "subnet": "10.0.0.0/8"}}, "info.subnet", "."),
    "a subnet too small": (
        {"action": "create", "type": "project", "project": None,
         "info": {"name": "p", "subnet": "10.202.0.0/30"}}, "info.subnet", "."),
    "a loopback subnet": (
        {"action": "create", "type": "project", "project": None,
         "info": {"name": "p", "subnet": "127.0.0.0/24"}}, "info.subnet", "."),
    "deleting a project with load balancers": (
        {"action": "delete", "type": "project", "project": "mine"}, "", "not_empty|in_use"),
}


def own_route():
    """A prefix that this machine has a route to, as a subnet a user may come to think of."""
    for line in command("ip", "-4", "route").splitlines():
        match = re.match(r"(\d+\.\d+\.\d+\.\d+)/(\d+)", line)
        if match and 16 <= int(match.group(2)) <= 28 and "weir" not in line:
            return match.group(0)
    return None


@pytest.mark.parametrize("name", ENVELOPES)
def test_the_envelope_refuses(cluster, place, name):
    fields, field, code = ENVELOPES[name]
    body = {"action": "create", "type": "instance", "project": "mine", **fields}
    body = {key: value for key, value in body.items() if value is not None}
    text = json.dumps(body)
    if '"ROUTE"' in text and own_route() is None:
        pytest.skip("this machine has no route of its own that would do")
    inside = place["subnets"][0].replace("0/24", "128/25")
    for word, value in (("FOREIGN", str(place["foreign"]["id"])),
                        ("SUBNET", f'"{place["subnets"][0]}"'), ("INSIDE", f'"{inside}"'),
                        ("ROUTE", f'"{own_route()}"'), ("FRONT", f'"{cluster.front_subnet}"')):
        text = text.replace(f'"{word}"', value)
    before = everything(cluster)
    answer = cluster.rest("POST", "/v1/requests", text)
    assert 400 <= answer.status < 500, answer
    said = answer.json
    assert said["status"] == "fail" and set(said["error"]) >= {"code", "message"}, said
    assert re.fullmatch(code if code != "." else ".+", said["error"]["code"]), said
    assert said["error"]["message"], said
    assert said["error"].get("field", "").startswith(field), said
    assert everything(cluster) == before


RAW = {
    "no JSON": "{",
    "nothing": "",
    "a list": "[]",
    "a string": '"create"',
    "null": "null",
    "two documents": '{"action":"list","type":"project"}{}',
    "a field twice": '{"action":"list","action":"create","type":"project","info":{"name":"p"}}',
    "bytes that are no UTF-8": b'{"action":"create","type":"project","info":{"name":"\xff\xfe"}}',
    "a NUL in a name": '{"action":"create","type":"project","info":{"name":"a\\u0000b"}}',
    "100,000 levels": "[" * 100000,
    "33 levels": '{"action":"create","type":"project","info":' + '{"a":' * 33 + "1" + "}" * 34,
    "half a surrogate": '{"action":"create","type":"project","info":{"name":"\\ud800"}}',
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_request_is_refused(cluster, place, name):
    before = everything(cluster)
    for path in ("/v1/requests", "/v1/projects"):
        answer = cluster.rest("POST", path, RAW[name])
        assert answer.status == 400, answer
        assert answer.body and answer.json
    assert everything(cluster) == before


def test_ten_megabytes_are_refused_early(cluster, place):
    before = everything(cluster)
    body = b'{"action":"create","type":"project","info":{"name":"' + b"x" * (10 << 20) + b'"}}'
    try:
        answer = cluster.rest("POST", "/v1/requests", body)
        assert answer.status == 413, answer
    except (BrokenPipeError, ConnectionResetError):
        pass  # told and closed before all was sent
    assert everything(cluster) == before
    assert cluster.rest("GET", "/v1/health").status == 200


def rest_problem(answer, status, code=None, field=None):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"].split(";")[0] == "application/problem+json"
    said = answer.json
    assert said["status"] == status and said["title"] and said["detail"], said
    assert code is None or said["code"] == code, said
    assert field is None or said["field"] == field, said


def test_rest_errors_are_problems(cluster, place):
    before = everything(cluster)
    base = "/v1/projects/mine"
    foreign = place["foreign"]["id"]
    group = cluster.ask("GET", "/v1/projects/other/target-groups/theirs")["id"]
    rest_problem(cluster.rest("GET", "/v1/nothing"), 404)
    rest_problem(cluster.rest("DELETE", "/v1/events"), 405)
    rest_problem(cluster.rest("GET", f"{base}/load-balancers/{foreign}"), 404, "not_found")
    rest_problem(cluster.rest("DELETE", f"{base}/load-balancers/{foreign}"), 404, "not_found")
    rest_problem(cluster.rest("PATCH", f"{base}/load-balancers/{foreign}", {"units": 3}), 404)
    rest_problem(cluster.rest("GET", f"{base}/target-groups/{group}"), 404, "not_found")
    rest_problem(cluster.rest("DELETE", f"{base}/target-groups/shop"), 409, "in_use")
    rest_problem(cluster.rest("DELETE", base), 409)
    rest_problem(cluster.rest("POST", f"{base}/target-groups", {"name": "shop"}), 409, "name_taken",
                 "name")
    listener = {"protocol": "http", "port": 80, "target_group_id": group}
    answer = cluster.rest("POST", f"{base}/load-balancers", {"name": "n", "listeners": [listener]})
    rest_problem(answer, answer.status)  # a group of another project is as good as none
    assert answer.status in (400, 404), answer
    answer = cluster.rest("POST", f"{base}/load-balancers/shop/listeners", {
        **listener, "target_group_id":
        cluster.ask("GET", f"{base}/target-groups/shop")["id"]})
    rest_problem(answer, 409, "port_in_use")
    rest_problem(cluster.rest("PATCH", f"{base}/load-balancers/shop", {"units": 9}), 400,
                 "out_of_range", "units")
    rest_problem(cluster.rest("PATCH", f"{base}/load-balancers/shop", {"status": {}}), 400)
    rest_problem(cluster.rest("PATCH", f"{base}/target-groups/shop", {"targets": [
        {"address": "10.0.0.1", "port": 80, "weight": 1001}]}), 400, "out_of_range")
    rest_problem(cluster.rest("PATCH", f"{base}/load-balancers/shop", {"units": 3},
                              headers={"If-Match": '"99999"'}), 412, "precondition_failed")
    assert everything(cluster) == before
