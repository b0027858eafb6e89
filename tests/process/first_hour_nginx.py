#!/usr/bin/python3
"""The first hour of an administrator of nginx, as docs/from-nginx.md has it: import of the own configuration, check, explain; the
rules beside nginx's own limits, simulated; then in their place; a hot edit, why, top, off and on. What is printed is read."""
import os
import re
import signal

import weirtest
from harness import imported, servers

HTTP = """
    log_format main '$remote_addr "$request" $status';
    include conf.d/zones.conf;
"""
ZONES = """# who may how often
geo $office { default 0; 127.0.0.2 1; }
map $office $limited { 1 ""; default $binary_remote_addr; }
limit_req_zone $limited zone=login:10m rate=6r/m;
"""
SERVER = """
    location = /login { limit_req zone=login burst=2 nodelay; limit_req_status 429; try_files /small =404; }
    location /slow/ { limit_rate 20k; }
"""
LIMIT = re.compile(r"limit_req\w* [^;]*;")


class Site:
    """nginx as its package installs it, more or less: a configuration and a folder that it includes."""

    def __init__(self, box):
        self.folder, self.address = os.path.join(box.path, "etc"), ("127.0.0.1", weirtest.free_port())
        os.makedirs(os.path.join(self.folder, "conf.d"))
        os.chmod(self.folder, 0o755)
        imported.written(box, "etc/conf.d/zones.conf", ZONES)
        self.config = servers.nginx_config(self.folder, self.address, http=HTTP, server=SERVER, workers=2)

    def without_limits(self):
        with open(self.config) as file:
            text = file.read()
        with open(self.config, "w") as file:
            file.write(LIMIT.sub("", text))

    def command(self):
        return ["nginx", "-e", "stderr", "-p", self.folder, "-c", self.config]


def logins(site, count, source="127.0.0.1"):
    with weirtest.Connection(site.address, source=(source, 0)) as connection:
        connection.send(weirtest.request("GET", "/login") * count)
        return [connection.response() for _ in range(count)]


def statuses(responses):
    return [response.status for response in responses]


def import_it(box, site, rules):
    done = box.weir("import", site.config, "-o", rules, check=0)
    assert "conf.d/zones.conf" not in done.stderr and "limit_rate: weir does not slow down responses" in done.stderr, done.stderr
    assert "1 rule imported, 1 not carried over" in done.stderr, done.stderr
    again = box.weir("import", site.config, "-o", rules, check=None)
    assert again.returncode != 0 and "--force" in again.stderr, again.stderr
    assert "ok, app nginx, 1 rule" in box.weir("check", rules, check=0).stdout
    shown = box.weir("explain", "-r", rules, "-P", str(site.address[1]), "--", "GET /login HTTP/1.1", check=0).stdout
    assert "login location = /login" in shown and "429" in shown, shown
    with open(rules) as file:
        text = file.read()
    assert re.search(r"// from \S+nginx.conf:\d+: limit_req zone=login burst=2 nodelay; key \$limited rate=6r/m", text), text
    return text


def simulate(text):
    return text.replace('"scope": "app"', '"scope": "app", "mode": "simulate"')


def rejected(box, simulated=False):
    """As `weir top --json` has it, of the whole app."""
    found = box.resource("location = /login", app="nginx", now=True)
    return (found or {}).get("total_simulated" if simulated else "total_block", 0)


def the_hour():
    with weirtest.Sandbox() as box:
        site, path = Site(box), os.path.join(box.path, "rules.json")
        text = import_it(box, site, path)
        rules = weirtest.Rules.__new__(weirtest.Rules)
        rules.path, rules.app = path, None
        rules.save(simulate(text))
        assert "ok" in box.weir("check", path, check=0).stdout

        # beside nginx's own limits: both say the same, nginx alone rejects
        program = box.weir_run("nginx", rules, site.command(), app="nginx")
        weirtest.until(lambda: weirtest.listening(site.address), "nginx to listen")
        answers = logins(site, 6)
        assert statuses(answers) == [200] * 3 + [429] * 3, answers
        assert not any(answer.header("x-weir-id") for answer in answers), "a simulated rule answered"
        weirtest.until(lambda: rejected(box, simulated=True) == 3, "the same three, simulated")
        assert statuses(logins(site, 5, "127.0.0.2")) == [200] * 5, "the office"
        top = box.weir("top", "--once", "nginx", check=0).stdout
        assert "location = /login" in top and "SIM" in top, top

        # in their place: nginx without them, reloaded; the rules in force, without
        site.without_limits()
        master = min(weirtest.descendants(program.pid))
        before = set(weirtest.descendants(program.pid))
        os.kill(master, signal.SIGHUP)
        weirtest.until(lambda: len(set(weirtest.descendants(program.pid)) - before) >= 2 and
                       not (before - {master}) & set(weirtest.descendants(program.pid)), "new workers, and the old ones gone", 40)
        version = box.version("nginx")
        rules.save(text.replace('"id": "login location', '"id": "logins location'))
        weirtest.until(lambda: box.version("nginx") != version, "the edit")
        answers = logins(site, 6)
        assert statuses(answers) == [200] * 3 + [429] * 3, statuses(answers)
        assert statuses(logins(site, 5, "127.0.0.2")) == [200] * 5, "the office"
        number = answers[-1].header("x-weir-id")
        why = box.weir("why", number, check=0).stdout
        assert "logins location = /login" in why and "127.0.0.1" in why, why

        # a hot edit, a mistake in one, off and on
        version = box.version("nginx")
        rules.save(text.replace('"burstCount": 2', '"burstCount": 9'))
        weirtest.until(lambda: box.version("nginx") != version, "the edit")
        assert statuses(logins(site, 7, "127.0.0.3")) == [200] * 7
        errors = box.spoil(rules, text.replace('"count": 6', '"cuont": 6'))
        assert any('did you mean "count"' in error["message"] for error in errors), errors
        assert statuses(logins(site, 7, "127.0.0.4")) == [200] * 7, "the last good rules stay in force"
        rules.save(text)
        weirtest.until(lambda: box.file_state(rules)["state"] == "ok", "the corrected file")
        box.weir("off", "--run-dir", box.run_dir, "nginx", check=0)
        assert statuses(logins(site, 7, "127.0.0.5")) == [200] * 7
        box.weir("on", "--run-dir", box.run_dir, "nginx", check=0)
        assert statuses(logins(site, 4, "127.0.0.6")) == [200] * 3 + [429]


weirtest.main(the_hour)
