#!/usr/bin/python3
"""What becomes of a request that waits for its turn when something ends meanwhile: the server's process, its patience, the
protection itself; and everything that a program may do with the connection (tests/servers/snippet_wakeups.c)."""
import os
import signal
import subprocess
import time

import weirtest
from queue_servers import LONG_S, QUEUED, in_flight, is_answered, queue
from weirtest import Closed, Connection

HELLO = {"flow": [{"resource": method + ":/hello", "count": 5, "controlBehavior": "queue", "maxQueueingTimeMs": 60000}
                  for method in ("GET", "POST")]}


def whatever_a_program_does():
    path = os.path.join(weirtest.BUILD, "tests", "servers", "snippet_wakeups")
    with weirtest.Sandbox() as box:
        box.agent(box.rules(HELLO))
        begin = time.monotonic()
        done = subprocess.run([path, "queued"], env=box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, cwd=box.path)
        seconds = time.monotonic() - begin
        assert done.returncode == 0 and done.stdout == "", (done.returncode, done.stdout)
        figures = box.resource("POST:/hello", now=True)
        assert figures["total_pass"] == 6 and figures["total_block"] == 0 and figures["in_flight"] == 0, figures
        figures = box.resource("GET:/hello", now=True)
        assert figures["total_pass"] >= 80 and figures["in_flight"] == 0, figures
        assert figures["total_block"] == 10, "given up in ten ways while they wait, each with an answer: %r" % figures
        assert seconds >= (figures["total_pass"] - 25) * 0.2, "%.3f s: did anybody wait? %r" % (seconds, figures)


def switched_off(kind):
    """Who comes then passes; who waits goes when its turn comes."""
    with weirtest.Sandbox() as box:
        server = box.serve(kind, box.rules(queue(1, 60000)))
        with Connection(server.address) as first, Connection(server.address) as second, \
                Connection(server.address) as third:
            first.send(QUEUED)
            assert first.response().status == 200
            second.send(QUEUED)
            third.send(QUEUED)
            assert box.weir("off", box.app, "--run-dir", box.run_dir).returncode == 0
            for _ in range(100):
                assert weirtest.ask(server.address).status == 200
            assert second.response().status == 200
            assert third.response().status == 200
        weirtest.until(lambda: in_flight(box) == 0, "nothing to be in flight")


def switched_off_in_a_loop():
    switched_off("nginx")


def switched_off_in_threads():
    switched_off("http.server")


def killed(number):
    """The workers, while one request waits in one of them, for long."""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(queue(1 / LONG_S, 10 * LONG_S * 1000)), workers=2)
        assert weirtest.ask(server.address).status == 200
        with Connection(server.address) as waiting:
            waiting.send(QUEUED)
            weirtest.until(lambda: in_flight(box) == 1, "the request to wait")
            old = server.workers()
            for pid in old:
                os.kill(pid, number)
            try:
                raise AssertionError(waiting.response())
            except (Closed, ConnectionError):
                pass
        weirtest.until(lambda: len([pid for pid in server.workers() if pid not in old]) == 2, "new workers")
        assert weirtest.ask(server.address, target="/other").status == 200
        weirtest.until(lambda: in_flight(box) == 0, "what it held to be taken back")


def by_kill():
    killed(signal.SIGKILL)


def by_request():
    killed(signal.SIGTERM)


def servers_patience():
    """nginx ends connections whose head is not complete after a second: the client is told so, and the turn given back."""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(queue(1 / LONG_S, 1.5 * LONG_S * 1000)), http="client_header_timeout 1s;")
        assert weirtest.ask(server.address).status == 200
        for _ in range(2):
            with Connection(server.address) as waiting:
                waiting.send(QUEUED)
                response = waiting.response()
                assert response.status == 503 and response.closes, response
            weirtest.until(lambda: in_flight(box) == 0, "the turn to be given back")
        assert weirtest.ask(server.address, target="/other").status == 200


def few_descriptors():
    """A program that may open few of them has a quarter of them waiting, and refuses the others."""
    with weirtest.Sandbox() as box:
        address = ("127.0.0.1", weirtest.free_port())
        path = os.path.join(weirtest.BUILD, "tests", "servers", "server")
        box.weir_run("server", box.rules(queue(1 / LONG_S, 100 * LONG_S * 1000)),
                     ["/bin/sh", "-c", "ulimit -n 80; exec %s epoll %d" % (path, address[1])])
        weirtest.until(lambda: weirtest.listening(address), "the server to listen")
        assert weirtest.ask(address).status == 200
        waiting = [Connection(address) for _ in range(30)]
        try:
            for connection in waiting:
                connection.send(QUEUED)
            weirtest.until(lambda: sum(map(is_answered, waiting)) == 10, "ten of them to be refused")
            assert weirtest.ask(address, target="/other").status == 200
            for connection in filter(is_answered, waiting):
                assert connection.response().status == 429
        finally:
            for connection in waiting:
                connection.close()
        weirtest.until(lambda: in_flight(box) == 0, "the turns to be given back")


if __name__ == "__main__":
    weirtest.main(whatever_a_program_does, switched_off_in_a_loop, switched_off_in_threads, by_kill,
                  by_request, servers_patience, few_descriptors)
