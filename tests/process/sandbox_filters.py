#!/usr/bin/python3
"""A server that puts a seccomp filter on itself, which ends it for every call that it does not make by itself
(tests/servers/server_sandboxed.c): it lives, limits hold, and so do new rules and a new agent. What would have to wait is
rejected; a rejection that no call known to be allowed can carry ends the connection."""
import itertools
import os
import signal
import time

import weirtest

SERVER = os.path.join(weirtest.BUILD, "tests", "servers", "server_sandboxed")
SILENCE = 3.5  # seconds without a heartbeat after which an agent would be asked for
LOOPS = ("block", "epoll", "fork")
CALLS = ("read", "readv", "recv", "recvfrom", "recvmsg", "recvmmsg")
OWN = {"flow": [{"resource": "GET:/blocked", "count": 0},
                {"resource": "GET:/queued", "count": 1, "controlBehavior": "queue", "maxQueueingTimeMs": 20000}],
       "blockActions": [], "options": {}}
COMPAT = {"flow": [{"resource": "GET:/blocked", "count": 0},
                   {"resource": "GET:/queued", "count": 1, "controlBehavior": 2, "maxQueueingTimeMs": 20000}],
          "options": {"compat": "sentinel"}}


class Server:
    def __init__(self, box, loop, calls, way="list", rules=OWN, preload=False):
        self.address = ("127.0.0.1", weirtest.free_port())
        command = [SERVER, str(self.address[1]), loop, calls, way]
        name = "%s-%s-%s" % (loop, calls, way)
        if preload:
            environment = box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)
            self.program = box.start(name, command, environment)
        else:
            self.program = box.weir_run(name, box.rules(rules), command, box.environment())
        weirtest.until(lambda: weirtest.listening(self.address) or not self.program.running(), "it to listen")
        self.alive()

    def alive(self):
        assert self.program.running(), "it ended: " + self.program.output()

    def ask(self, *targets):
        """These, one after the other on a connection of their own each. 0: the connection was ended without an answer."""
        statuses = []
        for target in targets:
            with weirtest.Connection(self.address) as connection:
                connection.send(weirtest.request("GET", target))
                try:
                    statuses.append(connection.response().status)
                except (weirtest.Closed, ConnectionResetError):
                    statuses.append(0)
            self.alive()
        return statuses

    def on_one(self, *targets):
        """On one connection, as long as it stays."""
        statuses = []
        with weirtest.Connection(self.address) as connection:
            for target in targets:
                connection.send(weirtest.request("GET", target))
                response = connection.response()
                statuses.append(response.status)
                if response.closes:
                    break
        self.alive()
        return statuses


def holds(server, loop):
    first = server.ask("/blocked")
    assert first == [0], "no answer can be given before the server has written one: %s" % first
    assert server.on_one("/small", "/small", "/blocked") == [200, 200, 429]
    if loop != "fork":  # another process knows nothing yet, and another writes
        assert server.ask("/small", "/blocked", "/small") == [200, 429, 200]
    assert server.on_one("/queued", "/queued") == [200, 429], "a wait is a rejection"
    assert server.on_one("/small", "/small") == [200, 200]


def each_call(rules, pairs):
    for loop, calls in pairs:
        with weirtest.Sandbox() as box:
            server = Server(box, loop, calls, rules=rules)
            holds(server, loop)


def own_mode():
    each_call(OWN, itertools.product(LOOPS, CALLS))


def sentinel_mode():
    each_call(COMPAT, (("block", "read"), ("epoll", "recvmsg"), ("fork", "recv")))


def pieces():
    """A head in pieces, and several in one."""
    for loop in ("block", "epoll"):
        with weirtest.Sandbox() as box:
            server = Server(box, loop, "read")
            with weirtest.Connection(server.address) as connection:
                connection.send_slowly(weirtest.request("GET", "/small"), piece=9)
                assert connection.response().status == 200
                connection.send(weirtest.request("GET", "/small") + weirtest.request("GET", "/blocked"))
                assert [connection.response().status for _ in range(2)] == [200, 429]
            server.alive()


def agents_and_edits():
    """The agent is killed, another one comes, and the rules are edited: all of it is seen in the shared memory alone."""
    with weirtest.Sandbox() as box:
        rules = box.rules(OWN)
        agent = box.agent(rules)
        servers = [Server(box, "block", "read", "deny", preload=True), Server(box, "epoll", "readv", "list", preload=True)]
        for server in servers:
            assert server.on_one("/small", "/blocked") == [200, 429]
        os.kill(agent.pid, signal.SIGKILL)
        agent.wait()
        asked = time.monotonic() + SILENCE
        weirtest.until(lambda: all(server.ask("/small") == [200] for server in servers) and time.monotonic() > asked, "the time to pass",
                       pause=0.1)
        for server in servers:
            assert server.on_one("/small", "/blocked") == [200, 429], "the rules stay in force"
        box.agent(rules)
        box.edit(rules, {"flow": [{"resource": "GET:/other", "count": 0}]})
        for server in servers:
            weirtest.until(lambda server=server: server.on_one("/small", "/other") == [200, 429], "the new rules")
            assert server.on_one("/small", "/blocked") == [200, 200]


if __name__ == "__main__":
    weirtest.main(own_mode, sentinel_mode, pieces, agents_and_edits)
