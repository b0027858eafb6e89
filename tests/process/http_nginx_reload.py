#!/usr/bin/python3
"""nginx's own life under load: reload (HUP) and binary upgrade (USR2, WINCH, QUIT). Workers come and go, the limit stays,
and no request is lost that bare nginx would not lose."""
import os
import signal
import time

import weirtest


def limit_holds(server):
    with weirtest.Connection(server.address) as connection:
        connection.send(weirtest.request("GET", "/blocked") + weirtest.request("GET", "/small"))
        statuses = [connection.response().status for _ in range(2)]
        assert statuses == [429, 200], statuses


def reload():
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/blocked", "count": 0, "scope": "app"}]})
        server = box.serve("nginx", rules, workers=4)
        load = weirtest.Wrk(server.url + "/small", 6, 16)
        for _ in range(3):
            time.sleep(1)
            before = set(server.workers())
            os.kill(server.main_pid(), signal.SIGHUP)
            weirtest.until(lambda: len(set(server.workers()) - before) >= 4, "new workers")
            limit_holds(server)
        load.result()
        # nginx closes keep-alive connections of its old workers, and wrk calls that a read error: some for each connection
        assert load.socket_errors <= 3 * 16 * 2, load.text
        assert load.not_2xx == 0 and load.requests > 0, load.text
        weirtest.until(lambda: box.resource("GET:/small", now=True)["in_flight"] == 0, "nothing in flight any more")


def upgrade():
    """nginx gives its successor no environment but what its configuration names: without the `env` lines the new one would run
    unprotected."""
    keep = "env LD_PRELOAD; env WEIR_APP; env WEIR_RUN_DIR;"
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/blocked", "count": 0, "scope": "app"}]})
        server = box.serve("nginx", rules, workers=2, daemon="on", main=keep)
        server.program.wait()  # weir run ends as nginx's starter does; its agent goes on for the daemon
        pid_file = os.path.join(server.folder, "nginx.pid")
        old = int(weirtest.until(lambda: os.path.exists(pid_file) and open(pid_file).read(), "nginx.pid"))
        load = weirtest.Wrk(server.url + "/small", 4, 8)
        os.kill(old, signal.SIGUSR2)
        weirtest.until(lambda: os.path.exists(pid_file + ".oldbin") and os.path.exists(pid_file) and
                       open(pid_file).read().strip(), "the new master")
        new = int(open(pid_file).read())
        assert new != old
        weirtest.until(lambda: len(weirtest.descendants(new)) >= 2, "the new workers")
        os.kill(old, signal.SIGWINCH)
        limit_holds(server)
        os.kill(old, signal.SIGQUIT)
        weirtest.until(lambda: not weirtest.alive(old), "the old master to end")
        load.result()
        assert load.not_2xx == 0 and load.requests > 0, load.text
        for _ in range(8):
            limit_holds(server)
        os.kill(new, signal.SIGQUIT)
        weirtest.until(lambda: not weirtest.alive(new), "the new master to end")


weirtest.main(reload, upgrade)
