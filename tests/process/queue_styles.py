#!/usr/bin/python3
"""Queueing on our own small server in every style of waiting, with whole requests and in pieces of 7 bytes: pipelined requests
are answered in order, nothing hangs and nothing spins; where nobody can be told, they are refused by the rule's name."""
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


STYLES = ("epoll", "edge", "poll", "select", "threads", "prefork")
PIECES = (("server", 7), ("server", 4096), ("server_fortified", 300))


def where_nobody_can_be_told():
    """A loop that asks to be told once."""
    with weirtest.Sandbox() as box:
        server = start(box, queue(1, 60000), "server", "oneshot", 4096)
        responses, _ = weirtest.burst(server.address, 5, request("GET", "/small"))
        assert weirtest.statuses(responses) == {200: 1, 429: 4}, weirtest.statuses(responses)
        refused = [response for response in responses if response.status == 429][0]
        assert b'"resource":"GET:/small","reason":"flow","rule":"turns"' in refused.body, refused.body
        figures = box.resource("GET:/small", now=True)
        assert figures["total_pass"] == 1 and figures["total_block"] == 4 and figures["in_flight"] == 0, figures


if __name__ == "__main__":
    weirtest.main(at_once(in_order, [(program, style, size) for style in STYLES for program, size in PIECES]),
                  at_once(quiet, [("server", style, 4096) for style in STYLES[:4]]), where_nobody_can_be_told)
