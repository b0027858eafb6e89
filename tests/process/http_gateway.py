#!/usr/bin/python3
"""Sentinel's gateway rules, field by field, on real servers: routes and groups, with and without a parameter, bursts, intervals,
concurrency, queueing."""
import weirtest
from weirtest import expect

NGINX = {"server": "location /p/ { return 200 ok; } location /q/ { return 200 ok; }"}
YEAR = 365 * 24 * 3600


def ask(target, *headers):
    return weirtest.request("GET", target, headers=list(headers))


def routes_and_groups():
    """`resourceMode` 0 and 1; a request counts for its route and for every group it falls in."""
    with weirtest.Sandbox() as box:
        rules = box.rules({
            "resources": [{"kind": "api", "name": "shop", "predicateItems": [{"pattern": "/p/a"}, {"pattern": "/q/**", "matchStrategy": 1}]},
                          {"kind": "api", "apiName": "all", "predicateItems": [{"pattern": "/*/**", "matchStrategy": "glob"}]}],
            "gateway": [{"id": "route", "resource": "GET:/p/a", "resourceMode": 0, "count": 2, "intervalSec": YEAR},
                        {"id": "group", "resource": "shop", "resourceMode": 1, "count": 4, "intervalSec": YEAR},
                        {"id": "every", "resource": "all", "resourceMode": "api", "count": 7, "intervalSec": YEAR}]})
        server = box.serve("nginx", rules, **NGINX)
        expect(server, [ask("/p/a")] * 3, [200, 200, 429])
        expect(server, [ask("/q/x"), ask("/q/y/z"), ask("/q/x")], [200, 200, 429])
        expect(server, [ask("/p/b")] * 5, [200] * 3 + [429] * 2)


def intervals_and_bursts():
    with weirtest.Sandbox() as box:
        rules = box.rules({"gateway": [
            {"id": "burst", "resource": "GET:/p/burst", "count": 2, "intervalSec": YEAR, "burst": 3},
            {"id": "plain", "resource": "GET:/p/plain", "count": 3, "per": "day"},
            {"id": "second", "resource": "GET:/p/second", "count": 1},
            {"id": "param", "resource": "GET:/p/param", "count": 2, "intervalSec": YEAR, "burst": 1,
             "paramItem": {"parseStrategy": 3, "fieldName": "u"}}]})
        server = box.serve("nginx", rules, **NGINX)
        expect(server, [ask("/p/burst")] * 7, [200] * 5 + [429] * 2)
        expect(server, [ask("/p/plain")] * 5, [200] * 3 + [429] * 2)
        expect(server, [ask("/p/param?u=bob")] * 5 + [ask("/p/param?u=eve"), ask("/p/param")], [200] * 3 + [429] * 2 + [200, 200])
        assert 429 in weirtest.pipelined(server.address, [ask("/p/second")] * 5)
        weirtest.until(lambda: weirtest.pipelined(server.address, [ask("/p/second")]) == [200], "the next second")


def parameters():
    """`paramItem`: every source, and patterns; who does not match is not limited."""
    items = {
        "address": ({"parseStrategy": 0}, [("X-Forwarded-For", "192.0.2.1")], [("X-Forwarded-For", "192.0.2.2")]),
        "header": ({"parseStrategy": 2, "fieldName": "X-Key", "pattern": "vip", "matchStrategy": 1}, [("X-Key", "vip-1")], [("X-Key", "guest")]),
        "regex": ({"parseStrategy": 2, "fieldName": "X-Key", "pattern": "k[0-9]+", "matchStrategy": 2}, [("X-Key", "k12")], [("X-Key", "k1x")]),
        "contains": ({"parseStrategy": 2, "fieldName": "X-Key", "pattern": "bot", "matchStrategy": 3}, [("X-Key", "robots")], [("X-Key", "man")]),
        "cookie": ({"parseStrategy": 4, "fieldName": "u", "pattern": "bob"}, [("Cookie", "u=bo%62")], [("Cookie", "u=bobby")]),
    }
    with weirtest.Sandbox() as box:
        rules = box.rules({"gateway": [{"id": name, "resource": "GET:/p/" + name, "count": 2, "intervalSec": YEAR, "paramItem": item}
                                       for name, (item, _, _) in items.items()]})
        server = box.serve("nginx", rules, **NGINX)
        for name, (_, counted, other) in items.items():
            expect(server, [ask("/p/" + name, *counted)] * 3 + [ask("/p/" + name, *other)] * 2, [200, 200, 429, 200, 200])
        response = weirtest.ask(server.address, target="/p/header", headers=[("X-Key", "vip-1")])
        assert b'"rule":"header"' in response.body, response.body


def concurrency():
    """`grade` 0, of a route and of each value."""
    with weirtest.Sandbox() as box:
        rules = box.rules({
            "resources": [{"kind": "api", "name": "held", "predicateItems": [{"pattern": "/held"}]}],
            "gateway": [{"id": "calls", "resource": "held", "resourceMode": 1, "grade": 0, "count": 3},
                        {"id": "each", "resource": "GET:/held", "grade": "thread", "count": 1, "paramItem": {"parseStrategy": 2, "fieldName": "X-User"}}]})
        server = box.serve("asyncio", rules)
        with weirtest.Held(server, 3, headers=[("X-User", "bob")]) as bob:
            bob.wait_answered(2)
            with weirtest.Held(server, 4) as others:
                others.wait_answered(2)
                assert weirtest.statuses(others.release()) == {200: 2, 429: 2}
            assert weirtest.statuses(bob.release()) == {200: 1, 429: 2}
        weirtest.until(lambda: box.in_flight("GET:/held") == 0, "nothing in flight any more")


def queueing():
    """`controlBehavior` 2 with `maxQueueingTimeoutMs`, on blocking descriptors."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"gateway": [
            {"id": "long", "resource": "GET:/small", "count": 10, "controlBehavior": 2, "maxQueueingTimeoutMs": 60000},
            {"id": "short", "resource": "GET:/other", "count": 1, "intervalSec": 3600, "controlBehavior": "queue", "maxQueueingTimeoutMs": 10}]})
        server = box.serve("http.server", rules)
        responses, _ = weirtest.burst(server.address, 5, weirtest.request("GET", "/small"))
        assert weirtest.statuses(responses) == {200: 5}, weirtest.statuses(responses)
        responses, _ = weirtest.burst(server.address, 3, weirtest.request("GET", "/other"))
        assert weirtest.statuses(responses) == {200: 1, 429: 2}, weirtest.statuses(responses)


weirtest.main(routes_and_groups, intervals_and_bursts, parameters, concurrency, queueing)
