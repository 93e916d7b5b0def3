# SPDX-License-Identifier: Apache-2.0
"""What a person or a program relies on when it calls `weir`: exit codes, what is sent, what is shown."""

import json
import os
import pty
import re
import subprocess
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.path.join(os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build")), "src/bin/weir")

JOHN = {"id": 1, "generation": 1, "name": "john", "label": "john", "user": "john",
        "subnet": "10.1.0.0/24", "created_at": "2026-11-23T20:00:00.000Z"}


def shop(state="active", units=("serving", "serving"), generation=1, seen=1, **more):
    return {"id": 2, "project_id": 1, "generation": generation, "name": "shop", "type": "application",
            "units": 2, "listeners": [{"id": 3, "protocol": "http", "port": 80, "target_group_id": 4}],
            "status": {"state": state, "generation": seen, "url": "http://shop.john.weir.internal/",
                       "addresses": ["10.90.0.16"],
                       "units": [{"id": 9 + i, "node": "lab", "address": f"10.90.0.{16 + i}",
                                  "state": unit, "role": "primary", "replaces": 0}
                                 for i, unit in enumerate(units)],
                       "targets": [{"target_group_id": 4, "address": "10.1.0.11:8080",
                                    "verdict": "healthy", "reason": ""}]}, **more}


GROUP = {"id": 4, "generation": 7, "name": "shop", "protocol": "http", "algorithm": "round_robin",
         "targets": [{"address": "10.1.0.11", "port": 8080, "weight": 1},
                     {"address": "10.1.0.12", "port": 8080, "weight": 1}],
         "health_check": {"enabled": True, "protocol": "http", "port": 0, "path": "/",
                          "interval_s": 5, "timeout_s": 5}}
LB = "/v1/projects/john/load-balancers"
TG = "/v1/projects/john/target-groups/4"


# Requests as JSON

def test_request_sends_the_file_and_prints_the_answer(weir, controller, tmp_path):
    file = tmp_path / "project.json"
    file.write_text('{"action": "create", "type": "project", "info": {"name": "john"}}')
    controller.answers["POST /v1/requests"] = (201, {
        "status": "successful", "action": "create", "type": "project", "info": {"id": 1}})
    done = weir("request", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["info"] == {"id": 1}
    assert controller.bodies("POST /v1/requests") == [json.loads(file.read_text())]


def test_request_reads_stdin(weir, controller):
    controller.answers["POST /v1/requests"] = {"status": "successful", "action": "list",
                                               "type": "project", "info": []}
    assert weir("request", "-", stdin='{"action":"list","type":"project"}').returncode == 0
    assert controller.bodies("POST /v1/requests") == [{"action": "list", "type": "project"}]


def test_a_refused_request_prints_the_answer_and_the_reason_and_ends_with_1(weir, controller):
    controller.answers["POST /v1/requests"] = (409, {
        "status": "fail", "action": "create", "type": "instance",
        "error": {"code": "subnet_overlaps", "message": "10.1.0.0/24 overlaps project 1",
                  "field": "info.subnet"}})
    done = weir("request", "-", stdin="{}")
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "fail"
    assert done.stderr == "weir: 10.1.0.0/24 overlaps project 1 (field info.subnet)\n"


def test_a_file_that_is_no_json_is_not_sent(weir, controller, tmp_path):
    for text in ('{"a":', '{"a":1,"a":2}', "", "[1] 2"):
        done = weir("request", "-", stdin=text)
        assert done.returncode == 2
        assert done.stderr.startswith("weir: - is no JSON: line ")
    big = tmp_path / "big.json"
    big.write_text('"' + "x" * 1024 * 1024 + '"')
    assert "longer than" in weir("request", str(big)).stderr
    assert weir("request", str(tmp_path / "nothing")).returncode == 2
    assert weir("request", str(tmp_path)).returncode == 2
    assert not controller.asked


def test_request_waits_until_it_serves(weir, controller):
    controller.answers.update({
        "POST /v1/requests": [
            (201, {"status": "successful", "action": "create", "type": "instance",
                   "info": {"id": 2, "name": "shop", "project": "john", "state": "provisioning"}}),
            {"status": "successful", "action": "info", "type": "instance",
             "info": {"id": 2, "name": "shop", "project": "john", "state": "active"}}],
        f"GET {LB}/2": [shop("provisioning", ("starting",)), shop()]})
    done = weir("request", "-", "--wait", stdin="{}")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert (answer["action"], answer["info"]["state"]) == ("create", "active")
    assert "unit 9 at 10.90.0.16 on lab: starting" in done.stderr
    assert "shop: active" in done.stderr


# Short forms

def test_create_project(weir, controller):
    controller.answers["POST /v1/projects"] = (201, JOHN)
    done = weir("create", "project", "john", "--subnet", "10.1.0.0/24", "--user=john")
    assert done.stdout == "Project john (id 1) has the subnet 10.1.0.0/24.\n"
    assert controller.bodies("POST /v1/projects") == [
        {"name": "john", "subnet": "10.1.0.0/24", "user": "john"}]


def test_create_lb_is_one_request(weir, controller):
    controller.answers["POST /v1/requests"] = (201, {
        "status": "successful", "action": "create", "type": "instance",
        "info": {"id": 2, "name": "shop", "url": "http://shop.john.weir.internal/"}})
    done = weir("create", "lb", "shop", "-p", "john", "--port", "80", "--target", "10.1.0.11",
                "--target", "10.1.0.12:8080=3", "--target", "10.1.0.13=2", "--units", "3",
                "--algorithm", "least_outstanding", "--health-path", "/up", "--health-interval", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == \
        "Load balancer shop (id 2) is coming up at http://shop.john.weir.internal/\n"
    assert controller.bodies("POST /v1/requests") == [{
        "action": "create", "type": "instance", "project": "john",
        "info": {"name": "shop", "traffic_type": "http", "port": 80, "units": 3, "backend": {
            "entities": ["10.1.0.11", {"address": "10.1.0.12", "port": 8080, "weight": 3},
                         {"address": "10.1.0.13", "port": 80, "weight": 2}],
            "algorithm": "least_outstanding",
            "health-check": {"protocol": "HTTP", "request-path": "/up",
                             "criteria": {"interval": 2, "timeout": 2}}}}}]


def test_create_lb_needs_a_project_and_takes_it_from_the_environment(weir, controller):
    done = weir("create", "lb", "shop")
    assert done.returncode == 2 and "--project" in done.stderr
    assert not controller.asked
    controller.answers["POST /v1/requests"] = (201, {"info": {"id": 2}})
    weir("create", "lb", "shop", env={"WEIR_PROJECT": "john"})
    assert controller.bodies("POST /v1/requests")[0]["project"] == "john"


def test_waiting_has_an_end_and_says_so(weir, controller):
    controller.answers.update({
        "POST /v1/requests": (201, {"info": {"id": 2, "name": "shop"}}),
        f"GET {LB}/2": shop("provisioning", ("starting",))})
    done = weir("create", "lb", "shop", "-p", "john", "--wait", "--timeout", "1")
    assert done.returncode == 4
    assert "still provisioning after 1 s" in done.stderr


def test_waiting_after_an_update_does_not_believe_the_state_before_it(weir, controller):
    controller.answers.update({
        f"GET {LB}/shop": shop(), f"PATCH {LB}/2": shop(generation=2),
        f"GET {LB}/2": [shop(generation=2), shop(generation=2, seen=2)]})
    done = weir("update", "lb", "shop", "-p", "john", "--units", "3", "--wait")
    assert done.returncode == 0
    assert len(controller.bodies(f"GET {LB}/2")) == 2


def test_update_changes_all_targets_at_once(weir, controller):
    controller.answers.update({
        f"GET {LB}/shop": shop(), f"GET {LB}/2": shop(), f"PATCH {TG}": GROUP,
        f"GET {TG}": (200, GROUP, {"ETag": '"7"'})})
    done = weir("update", "lb", "shop", "-p", "john", "--add-target", "10.1.0.13:8080=2",
                "--add-target", "10.1.0.12:8080=5", "--remove-target", "10.1.0.11:8080")
    assert done.returncode == 0, done.stderr
    assert controller.bodies(f"PATCH {TG}") == [{"targets": [
        {"address": "10.1.0.12", "port": 8080, "weight": 5},
        {"address": "10.1.0.13", "port": 8080, "weight": 2}]}]
    assert [h["If-Match"] for name, _, h in controller.asked if name == f"PATCH {TG}"] == ['"7"']


def test_update_starts_again_when_another_changed_it_meanwhile(weir, controller):
    other = dict(GROUP, targets=GROUP["targets"] + [{"address": "10.1.0.99", "port": 1, "weight": 1}])
    controller.answers.update({
        f"GET {LB}/shop": shop(), f"GET {LB}/2": shop(),
        f"PATCH {TG}": [(412, {"status": 412, "detail": "changed meanwhile"}), GROUP],
        f"GET {TG}": [(200, GROUP, {"ETag": '"7"'}), (200, other, {"ETag": '"8"'})]})
    done = weir("update", "lb", "shop", "-p", "john", "--remove-target", "10.1.0.11:8080")
    assert done.returncode == 0, done.stderr
    last = controller.bodies(f"PATCH {TG}")[-1]
    assert [t["address"] for t in last["targets"]] == ["10.1.0.12", "10.1.0.99"]


def test_removing_a_target_that_is_not_there_changes_nothing(weir, controller):
    controller.answers.update({f"GET {LB}/shop": shop(), f"GET {TG}": GROUP})
    done = weir("update", "lb", "shop", "-p", "john", "--remove-target", "10.9.9.9:1")
    assert (done.returncode, done.stderr) == (1, "weir: there is no target 10.9.9.9:1\n")
    assert not controller.bodies(f"PATCH {TG}")


def test_update_of_port_and_units(weir, controller):
    controller.answers.update({f"GET {LB}/shop": shop(), f"GET {LB}/2": shop(),
                               f"PATCH {LB}/2": shop(), f"PATCH {LB}/2/listeners/3": {}})
    assert weir("update", "lb", "shop", "-p", "john", "--units", "3", "--port", "81").returncode == 0
    assert controller.bodies(f"PATCH {LB}/2") == [{"units": 3}]
    assert controller.bodies(f"PATCH {LB}/2/listeners/3") == [{"port": 81}]


def test_delete_waits_until_it_is_gone(weir, controller):
    gone = (404, {"status": 404, "detail": "no such load balancer"})
    controller.answers.update({f"GET {LB}/shop": shop(), f"DELETE {LB}/2": (204, None),
                               f"GET {LB}/2": [shop("deleting"), gone]})
    done = weir("delete", "lb", "shop", "-p", "john", "--wait")
    assert (done.returncode, done.stdout) == (0, "Deleted.\n")
    assert len(controller.bodies(f"GET {LB}/2")) == 2


def test_a_refusal_names_the_field(weir, controller):
    controller.answers["POST /v1/projects"] = (409, {
        "type": "about:blank", "title": "Conflict", "status": 409, "code": "name_taken",
        "detail": "the name john is taken", "field": "name"})
    done = weir("create", "project", "john")
    assert (done.returncode, done.stderr) == (1, "weir: the name john is taken (field name)\n")


def test_names_are_encoded_in_paths(weir, controller):
    controller.answers["DELETE /v1/projects/john%27s%20%2F..%3F"] = (204, None)
    assert weir("delete", "project", "john's /..?").returncode == 0


# What is shown

def test_lists_are_tables_for_people_and_json_for_programs(weir, controller):
    controller.answers.update({"GET /v1/projects": {"items": [JOHN]},
                               "GET /v1/projects/1/load-balancers": {"items": [shop()]}})
    rows = weir("get", "lbs").stdout.splitlines()
    assert rows[0].split() == ["ID", "PROJECT", "NAME", "STATE", "UNITS", "HEALTHY", "URL"]
    assert rows[1].split() == ["2", "john", "shop", "active", "2/2", "1/1",
                               "http://shop.john.weir.internal/"]
    assert not any(row != row.rstrip() for row in rows)
    items = json.loads(weir("get", "lbs", "-o", "json").stdout)["items"]
    assert items[0]["status"]["state"] == "active"


def test_every_list_says_when_it_is_empty(weir, controller):
    for path in ("projects", "units", "nodes", "events?limit=100"):
        controller.answers[f"GET /v1/{path}"] = {"items": []}
    for noun in ("projects", "lbs", "target-groups", "units", "nodes", "events"):
        done = weir("get", noun)
        assert done.returncode == 0 and len(done.stdout) > 10, noun


def test_describe_lb(weir, controller):
    controller.answers.update({f"GET {LB}/shop": shop(units=("serving", "failed")), f"GET {TG}": GROUP})
    out = weir("describe", "lb", "shop", "-p", "john").stdout
    for text in ("active", "http://shop.john.weir.internal/", "10.90.0.16", "round_robin",
                 "10.1.0.11:8080", "healthy", "HTTP / every 5 s", "failed"):
        assert text in out


def test_text_of_the_network_is_made_harmless(weir, controller):
    evil = "\x1b[31mred\x07\x9b2J\u202e"
    controller.answers["GET /v1/projects"] = {"items": [dict(JOHN, name=evil)]}
    controller.answers["POST /v1/projects"] = (409, {"detail": evil})
    for done in (weir("get", "projects"), weir("get", "projects", "-o", "json"),
                 weir("create", "project", "x")):
        for text in (done.stdout, done.stderr):
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert json.loads(weir("get", "projects", "-o", "json").stdout)["items"][0]["name"] == evil
    # Once, not twice.
    assert r"\x1b[31mred\x07\xc2\x9b2J" in weir("get", "projects").stdout


def test_output_that_cannot_be_written_is_no_success(controller):
    controller.answers["GET /v1/projects"] = {"items": [JOHN]}
    for form in ("table", "json"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([WEIR, "get", "projects", "-o", form], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=10,
                                  env={"WEIR_SERVER": controller.url})
        assert done.returncode == 1 and "cannot write" in done.stderr, (form, done)


def on_terminal(*arguments, server, **environment):
    """stdout as a terminal would get it."""
    reader, writer = pty.openpty()
    with subprocess.Popen([WEIR, *arguments], stdout=writer, stderr=writer, stdin=writer,
                          env={"WEIR_SERVER": server, "TERM": "xterm", "LC_ALL": "C.UTF-8",
                               **environment}) as child:
        os.close(writer)
        out = b""
        try:
            while chunk := os.read(reader, 65536):
                out += chunk
        except OSError:
            pass
        os.close(reader)
    return child.returncode, out.decode()


def test_colours_are_for_terminals_only(weir, controller):
    controller.answers.update({"GET /v1/projects": {"items": [JOHN]},
                               "GET /v1/projects/1/load-balancers": {"items": [shop()]}})
    assert "\x1b[" in on_terminal("get", "lbs", server=controller.url)[1]
    assert "\x1b[" not in on_terminal("get", "lbs", server=controller.url, NO_COLOR="1")[1]
    assert "\x1b[" not in weir("get", "lbs", env={"TERM": "xterm"}).stdout


# Events

def event(number, kind="unit_failed", **more):
    return {"id": number, "at": "2026-11-23T20:00:00.123Z", "kind": kind, "object": "unit",
            "object_id": 9, "project_id": 1, "load_balancer_id": 2, "step": 1, "what": "unit 9 died",
            "why": "signal 9", **more}


def test_events_are_lines(weir, controller):
    controller.answers["GET /v1/events?limit=5&project=john"] = {"items": [event(77)]}
    line = weir("events", "-n", "5", "-p", "john").stdout
    assert line.split() == ["77", "20:00:00.123", "step", "1", "unit_failed", "unit", "9", "died",
                            "(signal", "9)"]


def test_follow_goes_on_after_the_last_and_bridges_a_restart(controller):
    hold = "&wait_ms=20000"
    controller.answers.update({
        "GET /v1/events?limit=100": {"items": [event(1)]},
        # libcurl asks once more by itself where a kept connection was closed.
        f"GET /v1/events?limit=100&after=1{hold}": [b"", b"", {"items": [event(2), event(3)]}],
        f"GET /v1/events?limit=100&after=3{hold}": (403, {"detail": "the end"})})
    done = subprocess.run([WEIR, "events", "-f", "-o", "json", "--server", controller.url],
                          capture_output=True, text=True, timeout=30, check=False)
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2, 3]
    assert done.stderr.splitlines()[-2:] == ["weir: the controller answers again", "weir: the end"]


def test_follow_shows_an_event_when_it_comes(controller):
    controller.answers["GET /v1/events?limit=100"] = {"items": []}
    controller.answers["GET /v1/events?limit=100&after=0&wait_ms=20000"] = {"items": [event(5)]}
    with subprocess.Popen([WEIR, "events", "-f", "--server", controller.url],
                          stdout=subprocess.PIPE, text=True) as child:
        started = time.monotonic()
        line = child.stdout.readline()
        child.terminate()
    assert "unit_failed" in line and time.monotonic() - started < 5


# Where it goes wrong

def test_no_controller_is_3(weir, tmp_path):
    done = weir("get", "projects", server="http://127.0.0.1:1")
    assert (done.returncode, done.stderr) == (
        3, "weir: cannot reach the controller at http://127.0.0.1:1: Connection refused\n")
    done = weir("get", "projects", server=f"unix:{tmp_path}/none.sock")
    assert done.returncode == 3 and "No such file" in done.stderr


def test_something_else_that_answers_is_3(weir, controller):
    for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"SSH-2.0-x\r\n",
                   (200, [1, 2]), b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"):
        controller.answers["GET /v1/projects"] = answer
        done = weir("get", "projects")
        assert done.returncode == 3 and done.stderr.startswith("weir: "), answer
        assert done.stdout == ""


def test_wrong_usage_is_2_and_one_sentence(weir, controller):
    for arguments in ((), ("frobnicate",), ("create",), ("create", "lb"), ("get", "lbs", "extra"),
                      ("get", "lbs", "--nothing"), ("create", "lb", "a", "--units", "9"),
                      ("--server", "ftp://x", "get", "lbs"), ("completion", "fish"),
                      ("update", "lb", "a", "-p", "john"),
                      ("create", "lb", "a", "-p", "j", "-t", "1.2.3.4:x")):
        done = weir(*arguments)
        assert done.returncode == 2, arguments
        assert len(done.stderr.splitlines()) <= 1
    assert not controller.asked


def test_the_environments_proxy_is_not_used(weir, controller):
    controller.answers["GET /v1/projects"] = {"items": []}
    done = weir("get", "projects", env={"http_proxy": "http://127.0.0.1:1", "all_proxy":
                                        "http://127.0.0.1:1"})
    assert done.returncode == 0, done.stderr


def test_a_full_disk_is_no_success(controller):
    controller.answers["GET /v1/projects"] = {"items": [JOHN]}
    with open("/dev/full", "w") as full:
        done = subprocess.run([WEIR, "get", "projects", "--server", controller.url], stdout=full,
                              check=False)
    assert done.returncode == 1


def test_unix_socket(controller, weir, tmp_path):
    import socket
    path = str(tmp_path / "controller.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def serve():
            peer, _ = server.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"items":[]}')
        thread = threading.Thread(target=serve)
        thread.start()
        for_path = weir("get", "projects", server=path)
        thread.join()
    assert for_path.returncode == 0, for_path.stderr


# Help and completion

def test_help_covers_every_command(weir):
    out = weir("help").stdout
    for verb in ("request", "create", "get", "describe", "update", "delete", "events", "status",
                 "completion"):
        assert re.search(rf"^  {verb}", out, re.M)
        assert weir("help", verb).stdout.startswith(f"Usage: weir {verb}")
        assert weir(verb, "--help").returncode == 0
    assert max(map(len, out.splitlines())) <= 100
    assert weir("--version").stdout.startswith("weir 0.")


def complete(line, server, tmp_path):
    """What bash would offer for that line."""
    words = line.split(" ")
    script = f"""
        PATH={os.path.dirname(WEIR)}:$PATH
        source <(weir completion bash)
        COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}
        _weir
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False,
                          cwd=tmp_path, env={"PATH": os.environ["PATH"], "WEIR_SERVER": server,
                                             "LC_ALL": "C.UTF-8"})
    return done.stdout.split("\n")[:-1]


def test_completion(controller, tmp_path):
    controller.answers["GET /v1/projects"] = {"items": [JOHN, dict(JOHN, id=8, name="john's x")]}
    controller.answers["GET /v1/projects/john"] = JOHN
    controller.answers["GET /v1/projects/1/load-balancers"] = {"items": [shop()]}
    (tmp_path / "my request.json").write_text("{}")

    def offers(line):
        return complete(line, controller.url, tmp_path)
    assert offers("weir de") == ["describe", "delete"]
    assert offers("weir create ") == ["project", "lb"]
    assert offers("weir create lb shop --pro") == ["--project", "--protocol"]
    assert offers("weir create lb shop --protocol ") == ["http", "tcp"]
    assert offers("weir describe project j") == ["john", "john\\'s\\ x"]
    assert offers("weir describe lb -p john ") == ["shop"]
    assert offers("weir get lbs --project j") == ["john", "john\\'s\\ x"]
    assert offers("weir request my") == ["my request.json"]
    assert offers("weir create project ") == [""]
    started = time.monotonic()
    assert complete("weir describe project ", "http://127.0.0.1:1", tmp_path) == [""]
    assert time.monotonic() - started < 3
