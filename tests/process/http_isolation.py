#!/usr/bin/python3
"""Concurrency: a handler that is held, `isolation` 3 (and `flow` with grade 0): three run, the others are rejected at once; when
they are done there is room again. Requests whose client goes away, or whose response is cut off, leave nothing in flight."""
import weirtest


def slots(kind, rules_of, clients=10, **options):
    with weirtest.Sandbox() as box:
        rules = box.rules(rules_of("GET:/held", 3))
        server = box.serve(kind, rules, **options)
        for _ in range(2):
            with weirtest.Held(server, clients) as held:
                held.wait_answered(clients - 3)
                assert weirtest.statuses(held.release()) == {200: 3, 429: clients - 3}
            weirtest.until(lambda: box.in_flight("GET:/held") == 0, "nothing in flight any more")


def isolation_asyncio():
    slots("asyncio", lambda name, count: {"isolation": [{"resource": name, "count": count}]})


def isolation_threading():
    slots("threading", lambda name, count: {"isolation": [{"resource": name, "count": count}]})


def grade_thread_node():
    slots("node", lambda name, count: {"flow": [{"resource": name, "grade": "thread", "count": count}]})


def isolation_app_wide():
    """Also where every connection has a process of its own, and many come at once: none decides before it counts."""
    slots("forking", lambda name, count: {"isolation": [{"resource": name, "count": count, "scope": "app"}]}, clients=40)
    slots("node-cluster", lambda name, count: {"isolation": [{"resource": name, "count": count, "scope": "app"}]})


def clients_go_away():
    """Clients that hang up in the middle of a response, with and without a reset."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"isolation": [{"resource": "GET:/slow", "count": 3}, {"resource": "GET:/big", "count": 3}]})
        server = box.serve("asyncio", rules)
        for _ in range(3):
            for _ in range(3):
                connection = weirtest.Connection(server.address)
                connection.send(weirtest.request("GET", "/slow?ms=100"))
                connection.close()
                connection = weirtest.Connection(server.address, receive_buffer=4096)
                connection.send(weirtest.request("GET", "/big"))
                connection.bytes(1000)
                connection.close()  # unread bytes: this is a reset
            weirtest.until(lambda: box.in_flight("GET:/slow", "GET:/big") == 0, "nothing in flight any more")
        assert weirtest.ask(server.address, target="/slow?ms=1").status == 200
        assert weirtest.ask(server.address, target="/big").status == 200


weirtest.main(isolation_asyncio, isolation_threading, grade_thread_node, isolation_app_wide, clients_go_away)
