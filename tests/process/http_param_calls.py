#!/usr/bin/python3
"""Rules about hot parameters on real servers: requests in flight of each value, by process and of a whole app, shown while they
last, given back when a process is killed; and requests that wait for their turn."""
import os
import signal

import weirtest


def header(name):
    return {"parseStrategy": "header", "fieldName": name}


def concurrency(kind, scope):
    with weirtest.Sandbox() as box:
        rules = box.rules({"paramFlow": [{"id": "calls", "resource": "GET:/held", "grade": "thread", "count": 2, "scope": scope,
                                          "param": header("X-User"), "paramFlowItemList": [{"object": "vip", "count": 4}]}]})
        server = box.serve(kind, rules)
        for _ in range(2):  # what was held comes back
            with weirtest.Held(server, 6, headers=[("X-User", "bob")]) as bob, weirtest.Held(server, 6, headers=[("X-User", "vip")]) as vip:
                bob.wait_answered(4)
                vip.wait_answered(2)
                with weirtest.Held(server, 3) as nobody:
                    assert weirtest.statuses(nobody.release()) == {200: 3}
                assert weirtest.statuses(bob.release()) == {200: 2, 429: 4}
                assert weirtest.statuses(vip.release()) == {200: 4, 429: 2}
            weirtest.until(lambda: box.in_flight("GET:/held") == 0, "nothing in flight any more")


def concurrency_per_process():
    concurrency("asyncio", "process")
    concurrency("threading", "process")


def concurrency_of_an_app():
    concurrency("node-cluster", "app")


def concurrency_of_the_dead():
    """kill -9 of a process that holds calls of a value: they come back to the others."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"paramFlow": [{"id": "calls", "resource": "GET:/held", "grade": "thread", "count": 3, "scope": "app",
                                          "param": header("X-User")}]})
        box.agent(rules)
        first, second = box.serve("asyncio", preload=True), box.serve("asyncio", preload=True)
        bob = [("X-User", "bob")]
        with weirtest.Held(first, 2, headers=bob), weirtest.Held(second, 1, headers=bob) as other:
            weirtest.until(lambda: box.in_flight("GET:/held") == 3, "three in flight")
            with weirtest.Held(second, 2, headers=bob) as more:
                assert weirtest.statuses(more.release()) == {429: 2}
            os.kill(first.main_pid(), signal.SIGKILL)
            weirtest.until(lambda: box.in_flight("GET:/held") == 1, "what the dead held to come back")
            with weirtest.Held(second, 4, headers=bob) as more:
                more.wait_answered(2)
                assert weirtest.statuses(more.release()) == {200: 2, 429: 2}
            assert weirtest.statuses(other.release()) == {200: 1}


def queueing():
    """A server with blocking descriptors: one value's requests go one after the other, those of another do not wait for them."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"paramFlow": [
            {"id": "turns", "resource": "GET:/small", "count": 10, "controlBehavior": "queue", "maxQueueingTimeMs": 60000, "param": header("X-User")},
            {"id": "short", "resource": "GET:/other", "count": 1, "durationInSec": 3600, "controlBehavior": 2, "maxQueueingTimeMs": 50,
             "param": header("X-User")}]})
        server = box.serve("http.server", rules)
        responses, _ = weirtest.burst(server.address, 5, weirtest.request("GET", "/small", headers=[("X-User", "bob")]))
        assert weirtest.statuses(responses) == {200: 5}, weirtest.statuses(responses)
        responses, _ = weirtest.burst(server.address, 3, weirtest.request("GET", "/other", headers=[("X-User", "bob")]))
        assert weirtest.statuses(responses) == {200: 1, 429: 2}, weirtest.statuses(responses)
        assert weirtest.ask(server.address, target="/other", headers=[("X-User", "eve")]).status == 200


def shown_while_in_flight():
    """Of rules about concurrency: how many there are of each value."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"paramFlow": [{"id": "calls", "resource": "GET:/held", "grade": "thread", "scope": "app", "count": 2,
                                          "param": {"parseStrategy": "header", "fieldName": "X-User"}}]})
        server = box.serve("node-cluster", rules)
        with weirtest.Held(server, 5, headers=[("X-User", "one")]) as held:
            held.wait_answered(3)

            def shown():
                weirtest.ask(server.address, target="/held?x", headers=[("X-User", "one")])
                return [value["in_flight"] for app in box.control(cmd="hot")["apps"] for found in app["hot"]
                        for value in found["values"] if value["value"] == "one"] == [2]
            weirtest.until(shown, "two in flight")
            assert weirtest.statuses(held.release()) == {200: 2, 429: 3}
        weirtest.until(lambda: box.in_flight("GET:/held") == 0, "nothing in flight")
        with weirtest.Held(server, 2, headers=[("X-User", "one")]) as held:
            assert weirtest.statuses(held.release()) == {200: 2}


weirtest.main(concurrency_per_process, concurrency_of_an_app, concurrency_of_the_dead, shown_while_in_flight, queueing)
