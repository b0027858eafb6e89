"""A host of its own with systemd, nginx and the package at hand, used as an administrator uses it."""
import json
import os
import re
import shutil
import subprocess

import weirtest
from harness import fresh_root
from harness.deb import base_of

RULES = "/etc/weir/rules.d/shop.json"
NGINX = """worker_processes 2; pid /run/nginx.pid; error_log stderr;
events { worker_connections 256; }
http { access_log off; server { listen 127.0.0.1:%d; location / { return 200 "ok\\n"; } } }
"""


def a_root(box, package):
    root = fresh_root.Root(box, base_of(package))
    for source, name in ((package.first, "/srv/weir.deb"), (package.second, "/srv/next.deb")):
        shutil.copy(source, root.at(name))
    return root


class Booted:
    """A host with systemd and nginx on which the package is used as an administrator uses it."""

    def __init__(self, box, root):
        self.box, self.root = box, root
        root.write("/etc/nginx/nginx.conf", NGINX % 80)
        root.boot()
        # A file system for pinned kernel programs, as systemd mounts it on a host: root's alone.
        root.run("mkdir", "-p", "/sys/fs/bpf")
        root.run("mount", "-t", "bpf", "-o", "mode=0700", "bpf", "/sys/fs/bpf")

    def property(self, unit, name):
        return self.root.run("systemctl", "show", "-P", name, unit).strip()

    def status(self):
        return json.loads(self.root.run("weir", "status", "--json"))

    def limit(self, **rule):
        self.root.save(RULES, json.dumps({"app": "nginx", "flow": [dict({"resource": "http::80", "scope": "app"}, **rule)]}))

    def answers(self, status):
        weirtest.until(lambda: self.root.ask("http://127.0.0.1/") == status, "an answer %d" % status, 20, 0.1)

    def types(self, command, check=0):
        """What an administrator types at a terminal of 80 columns, and what is shown there."""
        done = subprocess.run(self.root.command("script", "-qec", "stty cols 80 rows 24; " + command, "/dev/null"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        shown = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout.replace("\r\n", "\n"))
        assert done.returncode == check, "%s: exit status %d\n%s" % (command, done.returncode, shown)
        wide = [line for line in shown.splitlines() if command.startswith("weir ") and len(line) > 80]
        assert not wide, "%s: wider than the terminal: %s" % (command, wide)
        return shown
