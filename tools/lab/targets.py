# SPDX-License-Identifier: Apache-2.0
"""Three real web servers as targets: nginx, lighttpd and Python's own. Each serves one file that says
who it is."""

import os
import socket
import sys
from pathlib import Path

from world import LabError, command, wait_until

NGINX = """\
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log;
{user}
events {{}}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen {address}:{port};
        root {home}/www;
    }}
}}
"""

LIGHTTPD = """\
server.bind = "{address}"
server.port = {port}
server.document-root = "{home}/www"
{group}
index-file.names = ( "index.html" )
mimetype.assign = ( ".html" => "text/plain" )
"""


class Target:
    def __init__(self, number, server, address, port):
        self.number, self.server, self.address, self.port = number, server, address, port
        self.namespace = None
        self.child = None

    def attach(self, world, project_namespace, bits):
        """A namespace of its own, joined by a veth to the project's bridge."""
        self.namespace = f"weir-lab-t{self.number}"
        world.namespace(self.namespace)
        command("ip", "link", "add", "eth0", "netns", self.namespace, "type", "veth", "peer", "name",
                f"t{self.number}", "netns", project_namespace)
        command("ip", "-n", project_namespace, "link", "set", f"t{self.number}", "master", "br0",
                "up")
        command("ip", "-n", self.namespace, "addr", "add", f"{self.address}/{bits}", "dev", "eth0")
        command("ip", "-n", self.namespace, "link", "set", "eth0", "up")

    def start(self, world):
        home = world.path(f"t{self.number}", "www", "index.html").parent.parent
        (home / "www" / "index.html").write_text(f"{self.server} at {self.address}\n")
        # Servers give up root; what they serve must be readable for them.
        os.chmod(home, 0o755)
        values = {"home": home, "address": self.address, "port": self.port,
                  "user": "", "group": ""}
        if os.geteuid() == 0:
            values["user"] = "user www-data;"
            values["group"] = 'server.username = "www-data"\nserver.groupname = "www-data"'
        if self.server == "nginx":
            (home / "nginx.conf").write_text(NGINX.format(**values))
            argv = ["/usr/sbin/nginx", "-e", home / "error.log", "-p", home, "-c",
                    home / "nginx.conf"]
        elif self.server == "lighttpd":
            (home / "lighttpd.conf").write_text(LIGHTTPD.format(**values))
            argv = ["/usr/sbin/lighttpd", "-D", "-f", home / "lighttpd.conf"]
        else:
            argv = [sys.executable, "-B", Path(__file__).with_name("python_target.py"), self.address,
                    self.port, home / "www"]
        self.child = world.start(f"t{self.number}", *argv, netns=self.namespace)

    def wait(self, world):
        """Until it accepts connections."""
        def listens():
            if self.child.poll() is not None:
                raise LabError(f"{self.server} did not start:\n{world.log_tail(f't{self.number}')}")
            if self.namespace:
                return f":{self.port} " in command("ip", "netns", "exec", self.namespace, "ss",
                                                   "-Hltn") + " "
            with socket.socket() as probe:
                probe.settimeout(1)
                return probe.connect_ex((self.address, self.port)) == 0
        if not wait_until(listens, 10):
            raise LabError(f"{self.server} does not listen on {self.address}:{self.port}")


def three(base, port):
    return [Target(1, "nginx", f"{base}.11", port), Target(2, "lighttpd", f"{base}.12", port),
            Target(3, "python3", f"{base}.13", port)]
