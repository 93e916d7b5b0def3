# SPDX-License-Identifier: Apache-2.0
"""python_target.py ADDRESS PORT DIRECTORY: Python's http.server with connections that stay open."""

import functools
import http.server
import os
import pwd
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


address, port, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
server = http.server.ThreadingHTTPServer((address, port),
                                         functools.partial(Handler, directory=directory))
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
server.serve_forever()
