#!/usr/bin/python3
"""Every kind of rule on a real nginx: authority, hot parameters, gateway rules and API groups, relate, warm-up, circuits,
system limits, and the answers that a rules file chooses itself."""
import time

import weirtest

NGINX = {"server": "location /fail { return 500; } location /product/ { return 200 product; } location /db/ { return 200 db; }"}


def serve(box, content):
    rules = box.rules(content)
    return rules, box.serve("nginx", rules, **NGINX)


def answers(server, requests):
    """All on one connection, pipelined."""
    with weirtest.Connection(server.address) as connection:
        connection.send(b"".join(requests))
        return [connection.response() for _ in requests]


def counts(server, target, count, **more):
    return weirtest.statuses(answers(server, [weirtest.request("GET", target, **more)] * count))


def authority():
    with weirtest.Sandbox() as box:
        rules, server = serve(box, {"authority": [{"id": "list", "resource": "GET:/small", "limitApp": "10.0.0.0/8,192.0.2.1",
                                                   "strategy": 0}]})
        response = weirtest.ask(server.address)
        assert response.status == 403 and b'"reason":"authority"' in response.body, response
        assert response.header("retry-after") is None, response
        assert weirtest.ask(server.address, target="/other").status == 200
        box.edit(rules, {"authority": [{"resource": "GET:/small", "limitApp": "127.0.0.0/8", "strategy": 0}]})
        assert weirtest.ask(server.address).status == 200
        box.edit(rules, {"authority": [{"resource": "GET:/small", "limitApp": "127.0.0.1", "strategy": 1}]})
        assert weirtest.ask(server.address).status == 403


def hot_parameters():
    """Three values, three sources each: every value has a threshold of its own; others are not counted."""
    sources = (
        ({"parseStrategy": 2, "fieldName": "X-User"}, lambda value: {"target": "/small", "headers": [("x-user", value)]}),
        ({"parseStrategy": 3, "fieldName": "user"}, lambda value: {"target": "/small?a=1&user=" + value}),
        ({"parseStrategy": 4, "fieldName": "user"}, lambda value: {"target": "/small", "headers": [("Cookie", "a=b; user=" + value)]}),
        ({"parseStrategy": 1}, lambda value: {"target": "/small", "host": value}),
        ({"parseStrategy": 0}, lambda value: {"target": "/small", "headers": [("X-Forwarded-For", {"u1": "192.0.2.1"}.get(value, "192.0.2.2"))]}),
    )
    with weirtest.Sandbox() as box:
        rules, server = serve(box, {})
        for number, (param, ask) in enumerate(sources):
            box.edit(rules, {"paramFlow": [{"id": "hot%d" % number, "resource": "GET:/small", "param": param, "count": 3,
                                            "durationInSec": 3600}]})
            for value in ("u1", "u2"):
                got = weirtest.statuses(answers(server, [weirtest.request("GET", **ask(value))] * 10))
                assert got == {200: 3, 429: 7}, (param, value, got)
        box.edit(rules, {"paramFlow": [{"id": "hot", "resource": "GET:/small", "param": sources[0][0], "count": 0}]})
        assert counts(server, "/small", 5) == {200: 5}, "a value that is not there was limited"


def path_segments_however_spelt():
    with weirtest.Sandbox() as box:
        rules, server = serve(box, {
            "resources": [{"kind": "route", "name": "GET:/product/{id}", "pattern": "/product/{id}"}],
            "paramFlow": [{"id": "one", "resource": "GET:/product/{id}", "param": {"parseStrategy": 5, "fieldName": "id"}, "count": 2,
                           "durationInSec": 3600}]})
        spellings = ("/product/7", "/product/%37", "//product/7", "/x/../product/7", "/product/7?a=b", "/./product/7")
        got = [response.status for response in answers(server, [weirtest.request("GET", target) for target in spellings])]
        assert got == [200] * 2 + [429] * 4, list(zip(spellings, got))
        assert weirtest.ask(server.address, target="/product/8").status == 200


def gateway_and_groups():
    with weirtest.Sandbox() as box:
        rules, server = serve(box, {
            "resources": [{"kind": "api", "name": "shop_api", "predicateItems": [
                {"pattern": "/small"}, {"pattern": "/db/**", "matchStrategy": 1}]}],
            "gateway": [{"id": "api", "resource": "shop_api", "resourceMode": 1, "count": 4, "intervalSec": 3600}]})
        got = [response.status for response in
               answers(server, [weirtest.request("GET", target) for target in ("/small", "/db/a", "/db/a/b", "/small", "/db/c", "/small")])]
        assert got == [200] * 4 + [429] * 2, got
        assert weirtest.ask(server.address, target="/other").status == 200
        box.edit(rules, {"gateway": [{"id": "header", "resource": "GET:/other", "count": 2, "intervalSec": 3600,
                                      "paramItem": {"parseStrategy": 2, "fieldName": "X-Key", "pattern": "vip", "matchStrategy": 1}}]})
        vip, other = [("X-Key", "vip-1")], [("X-Key", "guest")]
        assert counts(server, "/other", 5, headers=vip) == {200: 2, 429: 3}
        assert counts(server, "/other", 5, headers=other) == {200: 5}


def relate():
    """Writes first: what /db/write does limits /db/read."""
    with weirtest.Sandbox() as box:
        _, server = serve(box, {"flow": [{"resource": "GET:/db/read", "strategy": "relate", "refResource": "GET:/db/write", "count": 5,
                                          "intervalSec": 3600}]})
        assert counts(server, "/db/read", 10) == {200: 10}
        assert counts(server, "/db/write", 6) == {200: 6}
        assert counts(server, "/db/read", 3) == {429: 3}


def warm_up():
    """Cold: a third of the threshold."""
    with weirtest.Sandbox() as box:
        _, server = serve(box, {"flow": [{"resource": "GET:/small", "controlBehavior": "warmUp", "warmUpPeriodSec": 600, "count": 30}]})
        begin = time.monotonic()
        passed = counts(server, "/small", 40).get(200, 0)
        assert 0 < passed <= 20 + 10 * (time.monotonic() - begin), passed


def circuit():
    """Half of the calls fail: the circuit opens, 503 without asking the server; a good probe closes it."""
    with weirtest.Sandbox() as box:
        rules, server = serve(box, {})
        box.edit(rules, {"degrade": [{"id": "errors", "resource": "http::%d" % server.port, "grade": "exceptionRatio", "count": 0.4,
                                      "minRequestAmount": 5, "statIntervalMs": 60000, "timeWindow": 4}]})
        for _ in range(5):
            weirtest.ask(server.address, target="/fail")
        response = weirtest.ask(server.address)
        assert response.status == 503 and b'"reason":"degrade"' in response.body, response
        assert int(response.header("retry-after")) >= 1
        assert box.resource("http::%d" % server.port, now=True)["circuit"] == "open"
        weirtest.until(lambda: weirtest.ask(server.address).status == 200, "the probe")
        assert counts(server, "/small", 5) == {200: 5}


def system():
    with weirtest.Sandbox() as box:
        rules, server = serve(box, {"system": {"qps": 7, "exceptions": ["GET:/other"]}})
        begin = time.monotonic()
        responses = answers(server, [weirtest.request("GET", "/small")] * 1000)
        got = weirtest.statuses(responses)
        assert set(got) == {200, 503} and got[200] <= 7 * (2 + time.monotonic() - begin), got
        assert b'"reason":"system"' in [r for r in responses if r.status == 503][0].body
        assert counts(server, "/other", 20) == {200: 20}
        box.edit(rules, {"system": {"qps": 0, "mode": "simulate"}})
        assert counts(server, "/small", 20) == {200: 20}


def answers_of_its_own():
    with weirtest.Sandbox() as box:
        rules, server = serve(box, {
            "blockActions": [{"name": "busy", "status": 503, "headers": {"X-Why": "busy"}, "contentType": "application/json",
                              "body": "{\"resource\":\"{resource}\",\"trace\":\"{traceId}\"}"},
                             {"name": "elsewhere", "redirect": "https://www.example.org/wait?from={resource}"}],
            "flow": [{"resource": "GET:/small", "count": 0, "blockAction": "busy"},
                     {"resource": "GET:/other", "count": 0, "blockAction": "elsewhere"}]})
        response = weirtest.ask(server.address, headers=[("X-Request-Id", "abc-1")])
        assert response.status == 503 and response.header("x-why") == "busy", response
        assert response.body == b'{"resource":"GET:/small","trace":"abc-1"}', response.body
        response = weirtest.ask(server.address, target="/other")
        assert response.status == 302, response
        assert response.header("location") == "https://www.example.org/wait?from=GET%3A/other", response
        page = weirtest.ask(server.address, target="/small", headers=[("Accept", "text/html,*/*")])
        assert page.status == 503  # an action's body is an action's body
        box.edit(rules, {"flow": [{"resource": "GET:/small", "count": 0}]})
        page = weirtest.ask(server.address, headers=[("Accept", "text/html,*/*")])
        assert page.header("content-type").startswith("text/html") and b"<h1>Too many requests</h1>" in page.body, page


def queueing_on_blocking_descriptors():
    """http.server has a thread for each connection: the thread waits for its turn, and everybody is served."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/small", "controlBehavior": "queue", "count": 20, "maxQueueingTimeMs": 10000}]})
        server = box.serve("http.server", rules)
        begin = time.monotonic()
        responses, _ = weirtest.burst(server.address, 20, weirtest.request("GET", "/small"))
        assert weirtest.statuses(responses) == {200: 20}, weirtest.statuses(responses)
        assert time.monotonic() - begin >= 0.9, "nineteen turns of 50 ms cannot be over yet"
        assert box.resource("GET:/small", now=True)["total_block"] == 0


weirtest.main(authority, hot_parameters, path_segments_however_spelt, gateway_and_groups, relate, warm_up, circuit, system,
              answers_of_its_own, queueing_on_blocking_descriptors)
