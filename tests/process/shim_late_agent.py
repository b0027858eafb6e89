#!/usr/bin/python3
"""Rules that come later than connections. A connection that was accepted without an agent stays as it is to its end,
because nobody knows where in it a request begins; the next ones are under the rules. One that was accepted while
everything was switched off is under them again as soon as it is on."""
import os

import weirtest
from weirtest import Connection, ask, request

RULES = {"flow": [{"resource": "GET:/blocked", "count": 0}]}
SERVER = os.path.join(weirtest.BUILD, "tests", "servers", "server")


def status(connection, target):
    connection.send(request("GET", target))
    return connection.response().status


def agent_comes_later():
    with weirtest.Sandbox() as box:
        os.makedirs(box.run_dir, exist_ok=True)
        address = ("127.0.0.1", weirtest.free_port())
        server = box.start("epoll", [SERVER, "epoll", str(address[1])],
                           box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app))
        weirtest.until(lambda: weirtest.listening(address) or not server.running(), "the server to listen")
        with Connection(address) as early:
            assert status(early, "/blocked") == 200
            box.agent(box.rules(RULES))
            weirtest.until(lambda: ask(address, target="/blocked").status == 429, "the server to attach")
            assert status(early, "/blocked") == 200
            with Connection(address) as late:
                assert status(late, "/blocked") == 429 and status(late, "/a") == 200


def switched_off_and_on():
    with weirtest.Sandbox() as box:
        address = ("127.0.0.1", weirtest.free_port())
        server = box.weir_run("epoll", box.rules(RULES), [SERVER, "epoll", str(address[1])])
        weirtest.until(lambda: weirtest.listening(address) or not server.running(), "the server to listen")
        with Connection(address) as before:
            assert status(before, "/blocked") == 429
            box.weir("off", box.app, check=0)
            weirtest.until(lambda: status(before, "/blocked") == 200, "everything to pass")
            with Connection(address) as meanwhile:
                assert status(meanwhile, "/blocked") == 200
                box.weir("on", box.app, check=0)
                weirtest.until(lambda: status(meanwhile, "/blocked") == 429, "the rules to be in force")
                assert status(before, "/blocked") == 429 and status(before, "/a") == 200


if __name__ == "__main__":
    weirtest.main(agent_comes_later, switched_off_and_on)
