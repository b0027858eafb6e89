#!/usr/bin/python3
"""Limits that hold where memory ends: a day's quota goes on when the run directory is emptied, and a scan of more paths than there
is room for limiters frees no name that comes after it."""
import glob
import os
import shutil

import weirtest

NGINX = {"server": "location /q { return 200 q; } location /scan/ { return 200 s; } location /unseen { return 200 u; }"}


def quota():
    return {"flow": [{"id": "day", "resource": "GET:/small", "count": 5, "per": "day", "scope": "app"}],
            "paramFlow": [{"id": "key", "resource": "GET:/q", "count": 3, "durationInSec": 86400, "scope": "app",
                           "param": {"parseStrategy": "header", "fieldName": "X-Key"}}]}


def passes(server, path, count, key=None):
    headers = [("X-Key", key)] if key else []
    statuses = [weirtest.ask(server.address, target=path, headers=headers).status for _ in range(count)]
    assert set(statuses) <= {200, 429}, statuses
    return statuses.count(200)


def a_day_outlives_the_run_directory():
    with weirtest.Sandbox() as box:
        state = os.path.join(box.path, "state")
        rules, options = box.rules(quota()), ["--state-dir", state]

        def begin():
            agent = box.agent(rules, options=options, keep=False)
            server = box.serve("nginx", preload=True, workers=2, **NGINX)
            weirtest.until(lambda: len(box.app_status()["processes"]) >= 2, "the workers")
            return agent, server

        def empty(agent, server):
            agent.kill(15)
            agent.wait()
            server.program.kill(15)
            server.program.wait()
            shutil.rmtree(box.run_dir)
            os.mkdir(box.run_dir, 0o751)

        agent, server = begin()
        assert passes(server, "/small", 4) == 4 and passes(server, "/q", 2, "alice") == 2
        empty(agent, server)
        assert glob.glob(state + "/*.windows"), "nothing is kept"
        agent, server = begin()
        assert "windows of 2 long limits restored" in agent.output(), agent.output()
        assert passes(server, "/small", 6) == 1, "the day began anew"
        assert passes(server, "/q", 6, "alice") == 1 and passes(server, "/q", 6, "bob") == 3
        empty(agent, server)
        with open(glob.glob(state + "/*.windows")[0], "r+b") as file:
            file.seek(100)
            file.write(b"\xff\xff\xff\xff")
        agent, server = begin()
        assert "ignored: it is damaged" in agent.output(), agent.output()
        assert passes(server, "/small", 6) == 5


def word(number):
    """A name that is no number, which would be an {id}."""
    return "".join("ghijklmnop"[int(digit)] for digit in "%04d" % number)


def a_scan_of_paths():
    with weirtest.Sandbox() as box:
        rules = box.rules({"options": {"maxSiblings": 6000},
                           "paramFlow": [{"id": "ip", "resource": "GET:/", "resourceMatch": "prefix", "count": 2, "scope": "app",
                                          "durationInSec": 60, "param": {"parseStrategy": "clientIp"}}]})
        server = box.serve("nginx", rules, workers=1, **NGINX)
        with weirtest.Connection(server.address) as connection:
            for first in range(0, 700, 50):
                connection.send(b"".join(weirtest.request("GET", "/scan/" + word(number)) for number in range(first, first + 50)))
                for _ in range(50):
                    connection.response()
        assert passes(server, "/unseen", 20) <= 2, "unlimited after a scan"
        statuses = []
        for _ in range(5):  # who scans uses up what is shared; another address has its own
            with weirtest.Connection(server.address, source=("127.0.0.2", 0)) as other:
                other.send(weirtest.request("GET", "/unseen"))
                statuses.append(other.response().status)
        assert statuses == [200, 200, 429, 429, 429], statuses
        weirtest.until(lambda: box.app_status()["resources_sharing"] > 0, "what has no room of its own")
        assert box.app_status()["cells_refused"] == 0
        assert "resources share limiters" in box.weir("status", check=0).stdout


weirtest.main(a_day_outlives_the_run_directory, a_scan_of_paths)
