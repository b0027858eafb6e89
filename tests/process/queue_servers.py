#!/usr/bin/python3
"""Requests that wait for their turn, on real servers in every style of waiting: all of them pass, one after the other,
while the server goes on with everybody else and uses no time on those who wait."""
import glob
import multiprocessing
import select
import sys
import time

import weirtest
from weirtest import Connection, request

LONG_S = 50  # between two turns: nobody in these tests lives to see the second
QUEUED, FREE = request("GET", "/small"), request("GET", "/other")

KINDS = [("nginx", {}), ("nginx", {"workers": 2}), ("lighttpd", {}), ("asyncio", {}), ("node", {}), ("node-cluster", {}),
         ("http.server", {}), ("threading", {}), ("java", {"threads": 8})]


def queue(count, patience_ms, **more):
    return {"flow": [dict({"id": "turns", "resource": "GET:/small", "count": count, "controlBehavior": "queue",
                           "maxQueueingTimeMs": patience_ms, "scope": "app"}, **more)]}


def is_answered(connection):
    return bool(connection.received or select.select([connection.socket], [], [], 0)[0])


def cpu_s(server):
    total = 0
    for pid in server.processes():
        for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
            with open(path) as file:
                total += int(file.read().split()[0])
    return total / 1e9


def in_flight(box):
    return (box.resource("GET:/small", now=True) or {"in_flight": 0})["in_flight"]


def all_on_one(address, targets):
    """All sent at once, on one connection if that lasts (http.server answers one request on each)."""
    left = list(targets)
    while left:
        with Connection(address) as connection:
            connection.send(b"".join(request("GET", target) for target in left))
            while left:
                response, target = connection.response(), left.pop(0)
                assert (response.status, response.body) == (200, target[1:].encode() + b"\n"), (target, response)
                if response.closes:
                    break


def in_turn(kind, options):
    """Fifteen at once, twenty a second; and then several on one connection, in order."""
    with weirtest.Sandbox() as box:
        server = box.serve(kind, box.rules(queue(20, 60000)), **options)
        responses, seconds = weirtest.burst(server.address, 15, QUEUED)
        assert weirtest.statuses(responses) == {200: 15}, weirtest.statuses(responses)
        assert all(response.body == b"small\n" for response in responses), responses
        assert seconds >= 14 * 0.05 - 0.001, "fourteen turns of 50 ms cannot be over after %.3f s" % seconds
        all_on_one(server.address, ["/small", "/other", "/small", "/small", "/index.html", "/small", "/other"])
        figures = box.resource("GET:/small", now=True)
        assert figures["total_success"] == 19 and figures["total_block"] == 0 and figures["in_flight"] == 0, figures


def others_meanwhile(kind, options):
    """One waits for its turn, which is far off, and has sent more besides; the others are served, and it costs nothing. It
    leaves, and who comes then has its place."""
    with weirtest.Sandbox() as box:
        server = box.serve(kind, box.rules(queue(1 / LONG_S, 1.5 * LONG_S * 1000)), **options)
        assert weirtest.ask(server.address).status == 200
        with Connection(server.address) as waiting:
            waiting.send(QUEUED + FREE)
            weirtest.until(lambda: in_flight(box) == 1, "the request to wait")
            waiting.send(FREE)
            before = cpu_s(server)
            time.sleep(1)
            used = cpu_s(server) - before
            assert used < 0.7, "%.3f s of CPU in a second of waiting" % used
            for _ in range(30):
                assert weirtest.ask(server.address, target="/other").status == 200
            late = weirtest.ask(server.address)
            assert late.status == 429 and b'"rule":"turns"' in late.body, (late, late.body)
            assert not is_answered(waiting)
        weirtest.until(lambda: in_flight(box) == 0, "the turn to be given back")
        with Connection(server.address) as heir:
            heir.send(QUEUED)
            weirtest.until(lambda: in_flight(box) == 1, "the next one to wait")
            assert weirtest.ask(server.address).status == 429
            assert not is_answered(heir)


def by_rule(name, rules):
    """Whatever kind of rule it is that queues."""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(rules))
        responses, seconds = weirtest.burst(server.address, 10, QUEUED)
        assert weirtest.statuses(responses) == {200: 10}, (name, weirtest.statuses(responses))
        assert seconds >= 9 * 0.05 - 0.001, "%s: nine turns of 50 ms cannot be over after %.3f s" % (name, seconds)


RULES = [("warmUpQueue", queue(20, 60000, controlBehavior="warmUpQueue")),
         ("paramFlow", {"paramFlow": [{"resource": "GET:/small", "param": {"parseStrategy": "clientIp"}, "count": 20,
                                       "controlBehavior": "queue", "maxQueueingTimeMs": 60000}]}),
         ("gateway", {"gateway": [{"resource": "GET:/small", "count": 20, "controlBehavior": "queue",
                                   "maxQueueingTimeoutMs": 60000}]})]


def at_once(test, cases, most=5):
    """A case each in a process of its own, since a sandbox ends everything that its process has started."""
    def in_child(places, case):
        with places:
            try:
                test(*case)
            except weirtest.Skip as why:
                print("skip %s %s: %s" % (test.__name__, case, why), flush=True)
                sys.exit(weirtest.SKIPPED)

    def run():
        context = multiprocessing.get_context("fork")
        places = context.Semaphore(most)
        children = [context.Process(target=in_child, args=(places, case), daemon=True) for case in cases]
        for child in children:
            child.start()
        for child in children:
            child.join()
        codes = [child.exitcode for child in children]
        failed = [case for case, code in zip(cases, codes) if code not in (0, weirtest.SKIPPED)]
        assert not failed, "failed: %s" % failed
        if weirtest.SKIPPED in codes:
            raise weirtest.Skip("something is not installed")
    run.__name__ = test.__name__
    return run


if __name__ == "__main__":
    weirtest.main(at_once(in_turn, KINDS), at_once(others_meanwhile, KINDS), at_once(by_rule, RULES))
