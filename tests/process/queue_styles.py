#!/usr/bin/python3
"""Queueing on our own small server in every style of waiting, with whole requests and in pieces of 7 bytes: pipelined requests
are answered in order, nothing hangs and nothing spins."""
import os
import time

import weirtest
from queue_servers import LONG_S, at_once, cpu_s, in_flight, is_answered, queue
from weirtest import Connection, request

TARGETS = ["/small", "/a", "/small", "/small", "/b", "/c", "/small", "/small"]


def start(box, rules, program, name, read_size):
    path = os.path.join(weirtest.BUILD, "tests", "servers", program)
    assert os.path.exists(path), "run `make servers`"
    address = ("127.0.0.1", weirtest.free_port())
    server = box.weir_run(name, box.rules(rules), [path, name, str(address[1]), str(read_size)])
    weirtest.until(lambda: weirtest.listening(address) or not server.running(), "the server to listen")
    return weirtest.Server(server, None, address, True)


def converse(address, data):
    with Connection(address) as connection:
        data(connection)
        for target in TARGETS:
            response = connection.response()
            assert (response.status, response.body) == (200, target.encode() + b"\n"), (target, response)


def in_order(program, name, read_size):
    whole = b"".join(request("GET", target) for target in TARGETS)
    with weirtest.Sandbox() as box:
        server = start(box, queue(100, 60000), program, name, read_size)
        converse(server.address, lambda connection: connection.send(whole))
        converse(server.address, lambda connection: connection.send_slowly(whole, piece=97, pause=0.0005))
        figures = box.resource("GET:/small", now=True)
        assert figures["total_pass"] == 10 and figures["total_block"] == 0, figures
        assert figures["in_flight"] == 0, figures


def quiet(program, name, read_size):
    """One waits for long, and sends on; that costs nothing, and it may leave."""
    with weirtest.Sandbox() as box:
        server = start(box, queue(1 / LONG_S, 10 * LONG_S * 1000), program, name, read_size)
        assert weirtest.ask(server.address).status == 200
        with Connection(server.address) as waiting:
            waiting.send(request("GET", "/small"))
            weirtest.until(lambda: in_flight(box) == 1, "the request to wait")
            waiting.send(request("GET", "/a"))
            before = cpu_s(server)
            time.sleep(0.7)
            used = cpu_s(server) - before
            assert used < 0.35, "%.3f s of CPU in 0.7 s of waiting" % used
            assert not is_answered(waiting)
        weirtest.until(lambda: in_flight(box) == 0, "its end to be noticed")


STYLES = ("epoll", "edge", "oneshot", "reads-first", "poll", "select", "threads", "prefork")
PIECES = (("server", 7), ("server", 4096), ("server_fortified", 300))


def told_once():
    """A loop that asks to be told once (EPOLLONESHOT) is told when it asks again; of a rejection that is delayed, too."""
    with weirtest.Sandbox() as box:
        rules = dict(queue(10, 60000), blockActions=[{"name": "late", "status": 503, "delayMs": 300}])
        rules["flow"].append({"resource": "GET:/late", "count": 0, "blockAction": "late"})
        server = start(box, rules, "server", "oneshot", 4096)
        responses, seconds = weirtest.burst(server.address, 5, request("GET", "/small"))
        assert weirtest.statuses(responses) == {200: 5}, weirtest.statuses(responses)
        assert seconds >= 4 * 0.1 - 0.001, "four turns of 100 ms cannot be over after %.3f s" % seconds
        begin = time.monotonic()
        late = weirtest.ask(server.address, target="/late")
        assert late.status == 503 and time.monotonic() - begin >= 0.299, late
        figures = box.resource("GET:/small", now=True)
        assert figures["total_pass"] == 5 and figures["total_block"] == 0 and figures["in_flight"] == 0, figures


if __name__ == "__main__":
    weirtest.main(at_once(in_order, [(program, style, size) for style in STYLES for program, size in PIECES]),
                  at_once(quiet, [("server", style, 4096) for style in STYLES[:6]]), told_once)
