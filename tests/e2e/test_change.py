# SPDX-License-Identifier: Apache-2.0
"""Changes of all kinds while requests go on, several at a time, and again right after."""

import concurrent.futures

from support import load as loads
from support.run import namespaces
from support.wait import wait_for


def serving(project, name):
    return {u["id"]: u["address"] for u in project.balancer(name)["status"]["units"]
            if u["state"] == "serving"}


def test_units_are_added_and_taken_away_without_a_failed_request(run, cluster, project):
    places = project.join("ab")
    project.create("wide", places)
    load = loads.by_name(run, project.dns_name("wide"), 80, cluster.dns)
    path = f"/v1/projects/{project.name}/load-balancers/wide"
    for count in (4, 1, 3, 2):
        cluster.ask("PATCH", path, {"units": count})
        wait_for(lambda: len(serving(project, "wide")) == count and
                 len(project.balancer("wide")["status"]["units"]) == count, 20,
                 lambda: f"{count} units: {project.balancer('wide')['status']}")
        assert len(cluster.addresses(project.dns_name("wide"))) == count
    result = load.end()
    assert result["failed"] == 0, loads.explain(result)


def test_a_listener_moves_to_another_port(cluster, project):
    places = project.join("a")
    project.create("moves", places)
    cluster.succeed("update", "instance", project=project.name, id="moves", info={"port": 8000})
    wait_for(lambda: project.get("moves", port=8000).status == 200, 5, "it serves on 8000")
    for address in cluster.addresses(project.dns_name("moves")):
        try:
            answer = cluster.get_from(address, 80, seconds=1)
            raise AssertionError(f"port 80 still answers: {answer}")
        except OSError:
            pass
    assert cluster.succeed("info", "instance", project=project.name, id="moves")["url"] == \
        f"http://moves.{project.name}.weir.internal:8000/"


def test_listeners_come_and_go_beside_one_that_is_used(run, cluster, project):
    places = project.join("ab")
    project.create("many", places)
    load = loads.by_name(run, project.dns_name("many"), 80, cluster.dns)
    group = project.group("many")["id"]
    base = f"/v1/projects/{project.name}/load-balancers/many/listeners"
    for port in (8001, 8002, 8003):
        made = cluster.ask("POST", base, {"protocol": "http", "port": port,
                                          "target_group_id": group})
        wait_for(lambda: project.get("many", port=port).status == 200, 5, f"{port} serves")
        cluster.ask("DELETE", f"{base}/{made['id']}")
    result = load.end()
    assert result["failed"] == 0, loads.explain(result)


def test_a_name_is_free_again_at_once(cluster, project):
    places = project.join("ab")
    first = project.create("again", places[:1])
    cluster.succeed("delete", "instance", project=project.name, id=first["id"])
    second = project.create("again", places[1:])
    assert second["id"] != first["id"]
    assert {project.get("again").body for _ in range(4)} == {b"b"}
    wait_for(lambda: not [n for n in namespaces() if n in
                          [cluster.unit_namespace(u["id"]) for u in first["units"]]], 20,
             "the first one's units are gone")
    assert {project.get("again").body for _ in range(4)} == {b"b"}


def test_many_are_created_at_once(cluster, project):
    places = project.join("a")

    def create(number):
        return project.create(f"lb{number}", places, wait=None)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(8)))
    assert len({info["id"] for info in made}) == 8
    for number in range(8):
        cluster.wait_serving(project.name, f"lb{number}", seconds=40)
    units = [u for u in cluster.ask("GET", "/v1/units")["items"] if u["project_id"] == project.id]
    assert len(units) == 16
    assert len({u["front"] for u in units}) == 16 and len({u["back"] for u in units}) == 16
    for number in range(8):
        assert project.get(f"lb{number}").body == b"a"


def test_only_one_of_two_creates_with_one_name_succeeds(cluster, project):
    def create(_):
        return cluster.request("create", "instance", project=project.name,
                               info={"name": "one", "traffic_type": "http",
                                     "backend": {"entities": []}})
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = [answer for _, answer in pool.map(create, range(6))]
    assert sorted(a["status"] for a in answers) == ["fail"] * 5 + ["successful"]
    assert {a["error"]["code"] for a in answers if a["status"] == "fail"} == {"name_taken"}


def test_a_load_balancer_that_is_deleted_while_it_starts_leaves_nothing(cluster, project):
    places = project.join("a")
    for number in range(3):
        info = project.create(f"short{number}", places, wait=None)
        cluster.succeed("delete", "instance", project=project.name, id=info["id"])
    wait_for(lambda: not [u for u in cluster.ask("GET", "/v1/units")["items"]
                          if u["project_id"] == project.id], 20, "all units gone")
    wait_for(lambda: not [n for n in namespaces() if
                          n.startswith(f"weir-{cluster.instance}-u")], 20, "namespaces gone")


def test_a_thousand_targets(cluster, project):
    (place,) = project.join("a")
    network = project.subnet.rsplit(".", 1)[0]
    many = [f"{network}.{2 + i % 100}:{9000 + i}" for i in range(999)]
    project.create("crowd", [place], check={"criteria": {"interval": 60, "timeout": 1}})
    project.set_targets("crowd", [place] + many)
    versions = [cluster.get_from(a, 9901, "/health").json["version"]
                for a in cluster.addresses(project.dns_name("crowd"))]
    assert len(project.group("crowd")["targets"]) == 1000
    project.set_targets("crowd", [place])
    wait_for(lambda: [cluster.get_from(a, 9901, "/health").json["version"] > v for a, v in
                      zip(cluster.addresses(project.dns_name("crowd")), versions)], 10, "live")
    assert {project.get("crowd").status for _ in range(5)} == {200}


def test_weights_are_kept_to(cluster, project):
    a, b = project.join("ab")
    project.create("weighted", [a, b])
    targets = [{"address": a.split(":")[0], "port": 8080, "weight": 3},
               {"address": b.split(":")[0], "port": 8080, "weight": 1}]
    path = f"/v1/projects/{project.name}/target-groups/weighted"
    cluster.ask("PATCH", path, {"targets": targets})
    (address, *_) = cluster.addresses(project.dns_name("weighted"))
    wait_for(lambda: sorted(cluster.get_from(address).body for _ in range(4)) ==
             [b"a", b"a", b"a", b"b"], 5, "three to one")
    targets[1]["weight"] = 0
    cluster.ask("PATCH", path, {"targets": targets})
    wait_for(lambda: {cluster.get_from(address).body for _ in range(8)} == {b"a"}, 5, "only a")


def test_the_same_document_again_changes_nothing(cluster, project):
    (place,) = project.join("a")
    project.create("same", [place])
    before = project.group("same")
    answer = cluster.ask("PATCH", f"/v1/projects/{project.name}/target-groups/same",
                         {"targets": before["targets"]})
    assert answer["generation"] == before["generation"]


def test_a_stale_etag_is_refused_and_a_fresh_one_taken(cluster, project):
    (place,) = project.join("a")
    project.create("tagged", [place])
    path = f"/v1/projects/{project.name}/target-groups/tagged"
    tag = cluster.rest("GET", path).headers["ETag"]
    change = {"algorithm": "least_outstanding"}
    assert cluster.rest("PATCH", path, change, headers={"If-Match": tag}).status == 200
    assert cluster.rest("PATCH", path, {"algorithm": "round_robin"},
                        headers={"If-Match": tag}).status == 412
    assert project.group("tagged")["algorithm"] == "least_outstanding"
