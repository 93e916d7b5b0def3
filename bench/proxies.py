# SPDX-License-Identifier: Apache-2.0
"""The proxies that are compared, each in its best honest setting: one worker, keep-alive on both
sides, no access log. All listen on a port of their own and go to the same back end."""

import json
import os

import common
from common import Process, PROXY_CPU, PORT

TARGET_PORT = PORT
NGINX = "/usr/sbin/nginx"
HAPROXY = "/usr/sbin/haproxy"


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def start_floor(directory, port):
    return Process([common.tool("relay"), str(port), str(TARGET_PORT)], cpu=PROXY_CPU)


def start_nginx(directory, port):
    config = write(directory, "nginx.conf", f"""
daemon off; worker_processes 1; worker_rlimit_nofile 20000;
pid {directory}/nginx.pid; error_log {directory}/nginx.error crit;
events {{ worker_connections 16384; multi_accept on; }}
http {{
    access_log off; server_tokens off; tcp_nodelay on;
    keepalive_requests 1000000000; keepalive_timeout 3600s;
    client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
    fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    upstream back {{
        server 127.0.0.1:{TARGET_PORT} max_fails=0;
        keepalive 512; keepalive_requests 1000000000; keepalive_timeout 3600s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";
        }}
    }}
}}
""")
    return Process([NGINX, "-p", directory, "-e", f"{directory}/nginx.error", "-c", config],
                   cpu=PROXY_CPU)


def start_haproxy(directory, port):
    config = write(directory, "haproxy.cfg", f"""
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    timeout server 60s
    timeout http-keep-alive 3600s
    http-reuse always
frontend front
    bind 127.0.0.1:{port} backlog 4096
    default_backend back
backend back
    server one 127.0.0.1:{TARGET_PORT}
""")
    return Process([HAPROXY, "-db", "-f", config], cpu=PROXY_CPU)


def start_weir(directory, port):
    """A unit as the agent starts it, but for the container: same program, same document."""
    timeouts = {"client_header_ms": 60000, "client_idle_ms": 3600000, "client_body_ms": 60000,
                "connect_ms": 5000, "target_response_ms": 60000, "target_body_ms": 60000,
                "tunnel_idle_ms": 3600000, "send_ms": 60000}
    health_check = {"enabled": True, "protocol": "http", "port": 0, "path": "/", "interval_s": 5,
                    "timeout_s": 5, "healthy_threshold": 2, "unhealthy_threshold": 2,
                    "codes": "200-399"}
    snapshot = {
        "version": 1, "unit_id": 1, "load_balancer_id": 2, "load_balancer": "bench",
        "project": "bench", "address": "127.0.0.1", "status_port": port + 50,
        "listeners": [{"id": 3, "protocol": "http", "port": port, "target_group_id": 4,
                       "timeouts": timeouts}],
        "target_groups": [{"id": 4, "name": "bench", "protocol": "http",
                           "algorithm": "round_robin", "health_check": health_check,
                           "targets": [{"address": "127.0.0.1", "port": TARGET_PORT, "weight": 1,
                                        "draining": False}]}]}
    path = write(directory, "snapshot.json", json.dumps(snapshot))
    log = open(os.path.join(directory, "weir.log"), "w")
    return Process([os.path.join(common.PROGRAMS, "weir-proxy"), "--snapshot", path,
                    "--control", os.path.join(directory, "control.sock"), "--workers", "1"],
                   cpu=PROXY_CPU, log=log)


# name: (what starts it, its port, the program that must be there)
ALL = {
    "floor": (start_floor, PORT + 1, None),
    "weir": (start_weir, PORT + 2, os.path.join(common.PROGRAMS, "weir-proxy")),
    "nginx": (start_nginx, PORT + 3, NGINX),
    "haproxy": (start_haproxy, PORT + 4, HAPROXY),
}


def available(names=None):
    chosen = []
    for name, (_, _, program) in ALL.items():
        if names and name not in names:
            continue
        if program is None or os.access(program, os.X_OK):
            chosen.append(name)
        else:
            print(f"bench: {name} is left out: there is no {program}")
    return chosen


def start(name, directory):
    begin, port, _ = ALL[name]
    own = os.path.join(directory, name)
    os.makedirs(own, exist_ok=True)
    process = begin(own, port)
    common.wait_until(lambda: common.answers_at(port), 10, f"{name} on port {port}")
    return process, port


def start_target(body=128):
    target = Process([common.tool("answer"), "-b", str(body), f"127.0.0.1:{TARGET_PORT}"],
                     cpu=common.LOAD_CPU)
    common.wait_until(lambda: common.answers_at(TARGET_PORT), 10, "the back end")
    return target
