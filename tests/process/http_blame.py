#!/usr/bin/python3
"""Whose fault it was: clients that hang up, that send or take slowly, and streams that end normally open no circuit; a server
that closes without an answer, fails or takes long does."""
import select
import socket
import struct
import threading
import time

import weirtest

YEAR = 365 * 24 * 3600
SLOW_MS, LONG = 1500, 2.2  # what counts as slow; what clients take: a busy machine does not make the server so slow
UPGRADE = weirtest.request("GET", "/upgrade", [("Connection", "Upgrade"), ("Upgrade", "echo")])


def circuits(*resources, compat=False, **more):
    """Each of these has one that a single bad call of two opens."""
    common = {"timeWindow": YEAR, "minRequestAmount": 2, "statIntervalMs": 600000}
    rules = [dict(common, resource=resource, grade="exceptionRatio", count=0.01) for resource in resources]
    rules += [dict(common, resource=resource, grade="slow", count=SLOW_MS, slowRatioThreshold=0.01) for resource in resources]
    return {"degrade": rules, "options": dict({"compat": "sentinel"} if compat else {}, **more)}


def all_at_once(count, work):
    errors = []

    def run(number):
        try:
            work(number)
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def hang_up(connection, reset):
    if reset:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def clients_that_leave(box, server):
    """Before their response, and in the middle of their body."""
    half = weirtest.request("POST", "/echo", body=b"x" * 1000)[:-500]
    with weirtest.Held(server, 8) as held:
        senders = [weirtest.Connection(server.address) for _ in range(8)]
        for connection in senders:
            connection.send(half)
        weirtest.until(lambda: box.in_flight("GET:/held", "POST:/echo") == 16, "all of them to be in")
        for number, connection in enumerate(held.connections + senders):
            hang_up(connection, number % 2)
    weirtest.until(lambda: box.in_flight("GET:/held", "POST:/echo") == 0, "all of them to end")


def slow_clients(server):
    """They send slowly, take slowly, or listen to a stream of events until it ends, all at the same time."""
    def work(number):
        with weirtest.Connection(server.address, receive_buffer=4096, timeout=60) as connection:
            if number < 6:
                data = weirtest.request("POST", "/echo", body=b"x" * 1000)
                connection.send(data[:-500])
                time.sleep(LONG)
                connection.send(data[-500:])
            elif number < 12:
                connection.send(weirtest.request("GET", "/big"))
                time.sleep(LONG)
            else:
                connection.send(weirtest.request("GET", "/events?ms=%d" % (LONG * 1000)))
            assert connection.response().status == 200
    all_at_once(18, work)


def figures_of(box):
    return {resource["resource"]: resource for app in box.figures(time.time())["apps"] for resource in app["resources"]}


def the_servers_own(server):
    for target in ("/drop", "/error", "/slow?ms=%d" % (SLOW_MS + 100)):
        all_at_once(2, lambda _, target=target: status(server, target))
        weirtest.until(lambda: status(server, target) == 503, "the circuit of " + target)


def status(server, target):
    try:
        return weirtest.ask(server.address, target=target).status
    except (weirtest.Closed, ConnectionError):
        return None


def blame(kind, **more):
    resources = ("GET:/held", "POST:/echo", "GET:/big", "GET:/events", "GET:/drop", "GET:/error", "GET:/slow")
    with weirtest.Sandbox() as box:
        server = box.serve(kind, box.rules(circuits(*resources, **more)))
        clients_that_leave(box, server)
        slow_clients(server)
        figures = figures_of(box)
        for name in resources[:4]:
            assert figures[name]["circuit"] in ("closed", "none"), figures[name]
            assert figures[name]["total_exception"] == figures[name]["total_block"] == 0, figures[name]
        assert figures["GET:/held"]["total_success"] == 0, figures["GET:/held"]
        assert [figures[name]["total_gone"] for name in ("GET:/held", "POST:/echo")] == [8, 8], figures
        the_servers_own(server)


def sentinels_circuits():
    """From entry to exit, as Sentinel has it; but a client that leaves is no call at all."""
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules(circuits("GET:/held", "POST:/echo", "GET:/events", compat=True)))
        clients_that_leave(box, server)
        figures = figures_of(box)
        assert figures["GET:/held"]["total_success"] == figures["GET:/held"]["total_exception"] == 0, figures["GET:/held"]
        for name in ("GET:/held", "POST:/echo"):
            assert figures[name]["circuit"] in ("closed", "none"), figures[name]
        all_at_once(2, lambda _: status(server, "/events?ms=%d" % (SLOW_MS + 100)))
        weirtest.until(lambda: status(server, "/events?ms=1") == 503, "the circuit of a stream that takes long")


def a_probe_whose_client_leaves():
    """It is given back, and the next request is the probe, before a probe's time is over (timeWindow)."""
    with weirtest.Sandbox() as box:
        rule = {"resource": "http::%d", "grade": "exceptionCount", "count": 1, "minRequestAmount": 2, "statIntervalMs": 600000, "timeWindow": 5}
        rules = box.rules({})
        server = box.serve("asyncio", rules)
        box.edit(rules, {"degrade": [dict(rule, resource="http::%d" % server.port)]})
        weirtest.until(lambda: status(server, "/error") == 503, "the circuit to open")

        def probe():
            with weirtest.Connection(server.address) as connection:
                connection.send(weirtest.request("POST", "/echo", body=b"x" * 1000)[:-500])
                if select.select([connection.socket], [], [], 1)[0]:
                    assert connection.response().status == 503
                    return False
                return True
        weirtest.until(probe, "a probe")
        begin = time.monotonic()
        weirtest.until(lambda: status(server, "/small") == 200, "another probe")
        assert time.monotonic() - begin < 4


class Upgraded:
    """Connections that asked for another protocol."""

    def __init__(self, server):
        self.server, self.open = server, []

    def add(self):
        connection = weirtest.Connection(self.server.address)
        connection.send(UPGRADE)
        response = connection.response()
        if response.status == 101:
            connection.send(b"hello")
            assert connection.bytes(5) == b"hello"
            self.open.append(connection)
        return response.status


def upgraded(kind, **options):
    rules = {"isolation": [{"resource": "GET:/upgrade", "count": 3}]}
    with weirtest.Sandbox() as box:
        file = box.rules(dict(rules, options=options))
        server = box.serve(kind, file)
        connections = Upgraded(server)
        assert [connections.add() for _ in range(5)] == [101] * 3 + [429] * 2
        assert box.in_flight("GET:/upgrade") == 3
        connections.open.pop().close()
        weirtest.until(lambda: connections.add() == 101, "room for one more")
        assert connections.add() == 429
        box.edit(file, dict(rules, options=dict(options, upgraded="release")))
        connections.open.pop().close()
        weirtest.until(lambda: connections.add() == 101, "room for one more")
        assert [connections.add() for _ in range(5)] == [101] * 5


def other_protocols():
    upgraded("node")
    upgraded("threading")
    upgraded("asyncio", compat="sentinel")


def events_on_a_loop():
    blame("asyncio")


def a_thread_for_each():
    blame("threading", rt="complete")


def node():
    blame("node")


weirtest.main(events_on_a_loop, a_thread_for_each, node, sentinels_circuits, a_probe_whose_client_leaves, other_protocols)
