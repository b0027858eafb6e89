#!/usr/bin/python3
"""A graceful reload or stop while requests wait for their turn: each of them is answered, or its connection is closed in good
order; what was not answered with success was not executed, and nothing hangs. `--bare`: heads without their last byte, which comes
when the server has been told to go."""
import contextlib
import os
import signal
import sys
import threading
import time

import weirtest
from harness import watched
from harness.client import Closed, Connection, request
from queue_servers import at_once

WAITING, TURN_S = 12, 0.15
RULES = {"flow": [{"id": "turns", "resource": "GET:/small", "count": 1 / TURN_S, "controlBehavior": "queue",
                   "maxQueueingTimeMs": 60000, "scope": "app", "side": "inbound"}]}


class Case:
    """`all_answered`: it goes on with what it has begun, or closes it and weir can answer, so every waiting request is answered.
    `ends`: it is a stop."""

    def __init__(self, name, number, ends=True, all_answered=True, **options):
        self.name, self.number, self.ends, self.all_answered, self.options = name, number, ends, all_answered, options

    def __repr__(self):
        return "%s, %s" % (self.name, self.number.name)


CASES = [Case("nginx", signal.SIGHUP, ends=False), Case("nginx", signal.SIGQUIT), Case("haproxy", signal.SIGUSR1),
         Case("haproxy", signal.SIGUSR2, ends=False, options=["-W"]), Case("puma", signal.SIGTERM), Case("lighttpd", signal.SIGINT),
         Case("apache-event", signal.SIGUSR1, ends=False), Case("apache-event", signal.SIGWINCH), Case("node", signal.SIGUSR2),
         Case("apache-prefork", signal.SIGUSR1, ends=False, all_answered=False),
         Case("apache-prefork", signal.SIGWINCH, all_answered=False), Case("tomcat-nio", signal.SIGTERM),
         Case("uvicorn", signal.SIGTERM), Case("gunicorn-gthread", signal.SIGHUP, ends=False, all_answered=False)]


def outcome(connection):
    """The status of the answer, or how the connection ended without one."""
    try:
        return connection.response().status
    except Closed:
        assert not connection.received, "a part of an answer: %r" % connection.received
        return "closed"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "nothing"


def begin_waiting(server, weir):
    """Requests that wait, half of them on connections that have served one before."""
    connections, targets = [], []
    for number in range(WAITING):
        connections.append(Connection(server.address, timeout=30))
        if number % 2:
            connections[-1].send(request("GET", "/other"))
            assert connections[-1].response().status == 200
    assert weirtest.ask(server.address, target="/small").status == 200
    for number, connection in enumerate(connections):
        targets.append("/small?wait.%d" % number)
        head = request("GET", targets[-1])
        connection.send(head if weir else head[:-1])
    weirtest.until(lambda: watched.all_read(connections), "the heads to be read")
    return connections, targets


def end_heads(connections):
    """On the bare server: a last byte at a time, as turns would come."""
    for connection in connections:
        time.sleep(TURN_S)
        with contextlib.suppress(OSError):
            connection.send(b"\n")


def check(outcomes, counts, all_answered, bare):
    allowed = {200, 429, 503} | ({"closed"} if bare or not all_answered else set()) | ({400, "reset"} if bare else set())
    wrong = {target: found for target, found in outcomes.items() if found not in allowed}
    assert not wrong, "neither answered nor closed: %r of %r" % (wrong, outcomes)
    for target, found in outcomes.items():
        assert counts[target] == (1 if found == 200 else 0), "%s: %s, and executed %d times" % (target, found, counts[target])


def ends_well(name, case, weir):
    with weirtest.Sandbox() as box:
        server = watched.start(box, name, RULES, weir=weir, **case.options)
        old, main = server.processes(), server.main_pid()
        connections, targets = begin_waiting(server, weir)
        try:
            os.kill(main, case.number)
            if not weir:
                threading.Thread(target=end_heads, args=(connections,), daemon=True).start()
            outcomes = {target: outcome(connection) for target, connection in zip(targets, connections)}
        finally:
            for connection in connections:
                connection.close()
        print("result: %r: %s" % (case, sorted(map(str, outcomes.values()))), flush=True)
        if case.ends:
            weirtest.until(lambda: not any(map(weirtest.alive, old)), "the server to end")
        else:
            assert weirtest.ask(server.address, target="/other").status == 200
            watched.stop(server)
        check(outcomes, watched.executed(server), case.all_answered, not weir)


if __name__ == "__main__":
    bare = "--bare" in sys.argv
    chosen = [case for case in CASES if case.name in sys.argv] or CASES
    sys.argv = [sys.argv[0]]
    weirtest.main(at_once(ends_well, [(case.name, case, not bare) for case in chosen], most=3))
