#!/usr/bin/python3
"""Every file of rules/examples/ in force on a real nginx, as it stands: what its comments promise happens."""
import contextlib
import os
import shutil
import socket

import weirtest

EXAMPLES = os.path.join(weirtest.ROOT, "rules", "examples")


def serve(box, name, server=""):
    """The very file, under the name it has; `app` as it says."""
    path = os.path.join(box.path, name + ".json")
    shutil.copy(os.path.join(EXAMPLES, name + ".json"), path)
    rules = weirtest.Rules.__new__(weirtest.Rules)
    rules.path, rules.app = path, None
    return box.serve("nginx", rules, server=server + " location / { return 200 ok; }")


def pipelined(server, count, method, target, source=None, **more):
    """Within milliseconds, on one connection."""
    with weirtest.Connection(server.address, source=source) as connection:
        connection.send(weirtest.request(method, target, **more) * count)
        return [connection.response(method) for _ in range(count)]


def counts(responses):
    return weirtest.statuses(responses)


def flow(box):
    server = serve(box, "flow")
    assert counts(pipelined(server, 20, "POST", "/password-reset")) == {200: 15, 429: 5}
    got = counts(pipelined(server, 400, "GET", "/product/4711"))
    assert got.get(429, 0) >= 100 and got[200] >= 100, got
    assert counts(pipelined(server, 20, "GET", "/report")) == {200: 20}, "a simulated rule rejected"
    got = counts(pipelined(server, 200, "GET", "/api/orders"))
    assert got[429] >= 50, got
    assert counts(pipelined(server, 10, "GET", "/api/users")) == {200: 10}, "each route is counted on its own"


def authority(box):
    server = serve(box, "authority")
    assert weirtest.ask(server.address, target="/admin/users").status == 200
    with socket.create_connection(server.address, source_address=("127.0.0.2", 0)) as other:
        other.sendall(weirtest.request("GET", "/admin/users"))
        assert b" 403 " in other.recv(4096), "127.0.0.2 is not on the list"
    assert weirtest.ask(server.address, "POST", "/order").status == 200


def block_actions(box):
    server = serve(box, "block-actions")
    moved = [r for r in pipelined(server, 700, "POST", "/checkout") if r.status != 200]
    assert moved and {r.status for r in moved} == {302}, counts(moved)
    assert moved[0].header("location") == "https://www.example.org/wait?from=POST%3A/checkout"
    busy = [r for r in pipelined(server, 400, "GET", "/search") if r.status != 200]
    assert busy and busy[0].status == 503 and busy[0].header("x-reason") == "busy", counts(busy)
    assert b'"resource": "GET:/search", "retry": 1' in busy[0].body, busy[0].body


def degrade(box):
    server = serve(box, "degrade", "location = /payment { return 500; }")
    got = [weirtest.ask(server.address, "POST", "/payment").status for _ in range(30)]
    assert 500 in got and got[-1] == 503, got
    assert weirtest.ask(server.address, target="/stock/12").status == 200


def gateway(box):
    server = serve(box, "gateway")
    assert counts(pipelined(server, 20, "GET", "/product/1", host="a.test")) == {200: 15, 429: 5}
    assert counts(pipelined(server, 5, "GET", "/product/1", host="b.test")) == {200: 5}


@contextlib.contextmanager
def reports_in_flight(box, name, count):
    """As many requests for /report wait for a backend that never answers; afterwards none is left."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = serve(box, name, "location = /report { proxy_pass http://127.0.0.1:%d; }" % silent.getsockname()[1])
        waiting = [weirtest.Connection(server.address) for _ in range(count)]
        for connection in waiting:
            connection.send(weirtest.request("GET", "/report"))
        weirtest.until(lambda: (box.resource("GET:/report") or {}).get("in_flight") == count, "%d in flight" % count)
        yield server
        for connection in waiting:
            connection.close()
        weirtest.until(lambda: box.resource("GET:/report")["in_flight"] == 0, "none in flight")


def isolation(box):
    with reports_in_flight(box, "isolation", 8) as server:
        assert counts(pipelined(server, 5, "GET", "/report")) == {429: 5}


def param_flow(box):
    server = serve(box, "param-flow")
    assert counts(pipelined(server, 15, "POST", "/login")) == {200: 10, 429: 5}
    other = [("X-Forwarded-For", "203.0.113.9")]
    assert counts(pipelined(server, 15, "POST", "/login", headers=other)) == {200: 10, 429: 5}
    got = counts(pipelined(server, 80, "GET", "/product/1"))
    assert got[429] >= 20, got
    assert counts(pipelined(server, 10, "GET", "/product/2")) == {200: 10}


def resources(box):
    server = serve(box, "resources")
    for target in ("/product/a", "/product/b", "/user/ann/orders", "/static/x/y.css"):
        assert weirtest.ask(server.address, target=target).status == 200
    ambiguous = b"POST /product/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with weirtest.Connection(server.address) as connection:
        connection.send(ambiguous)
        assert connection.response("POST").status == 400
    assert weirtest.ask(server.address, target="/report/daily-7").status == 200
    assert weirtest.ask(server.address, target="/any", host="Partners.example.com:80").status == 200
    with weirtest.Connection(server.address) as connection:  # one caller's own limit; the other requests passed within it
        connection.send(weirtest.request("GET", "/search", headers=[("X-App", "crawler")]) * 60)
        got = counts([connection.response() for _ in range(60)])
    assert got[429] >= 20, got
    assert box.resource("reports", now=True)["total_pass"] == 1 and box.resource("partners")["total_pass"] == 1
    assert box.resource("product")["total_pass"] == 2
    passed = 60 - got[429]
    assert box.resource("catalogue")["total_pass"] == 2 + passed
    assert box.resource("GET:/user/{name}/orders")["total_pass"] == 1


def session(number):
    return [("Cookie", "session=s%d" % number)]


def flash_sale(box):
    """The hero is limited and the other products are not; orders wait their turn, and one customer gets no more than three."""
    server = serve(box, "flash-sale")
    got = counts(pipelined(server, 400, "GET", "/product/hero"))
    assert got[200] >= 100 and got[503] >= 100, got
    assert counts(pipelined(server, 20, "GET", "/product/other")) == {200: 20}
    refused = [r for r in pipelined(server, 200, "GET", "/product/third") if r.status == 503]
    assert refused and refused[0].header("x-weir-id").encode() in refused[0].body and b"http-equiv=refresh content=1>" in refused[0].body
    orders = [weirtest.Connection(server.address) for _ in range(5)]
    for number, connection in enumerate(orders):
        connection.send(weirtest.request("POST", "/order", headers=session(number), body=b"one"))
    assert counts([connection.response("POST") for connection in orders]) == {200: 5}, "orders wait, they are not refused"
    assert box.resource("POST:/order", now=True)["total_pass"] == 5
    for connection in orders:
        connection.close()
    mine = [weirtest.ask(server.address, "POST", "/order", headers=session(99)).status for _ in range(5)]
    assert mine == [200, 200, 200, 429, 429], mine


def crawler(box):
    """By its address, by its pace, by what it calls itself; a visitor reads on."""
    server = serve(box, "crawler")
    with weirtest.Connection(server.address, source=("127.0.0.66", 0)) as connection:
        connection.send(weirtest.request("GET", "/anything"))
        response = connection.response()
        assert response.status == 403 and response.closes and connection.ended(), response
        assert response.header("x-weir-id").encode() in response.body
    got = [weirtest.ask(server.address, target="/product/%d" % number).status for number in range(14)]
    assert got == [200] * 10 + [403] * 4, got
    with weirtest.Connection(server.address, source=("127.0.0.2", 0)) as other:
        other.send(weirtest.request("GET", "/product/1", headers=[("X-Forwarded-For", "127.0.0.66")]))
        assert other.response().status == 200, "the header is not believed, and the address is another"
    got = counts(pipelined(server, 20, "GET", "/product/1", source=("127.0.0.3", 0), headers=[("User-Agent", "somebot/1.0")]))
    assert got[429] + got.get(403, 0) >= 10 and got[200] >= 5, got
    assert weirtest.ask(server.address, target="/").status == 200


def api_quota(box):
    """A key's day, a customer's more, a trial's less, a key that is revoked; each has its own."""
    server = serve(box, "api-quota")

    def calls(count, key):
        return pipelined(server, count, "GET", "/v1/things", headers=[("X-Api-Key", key)])
    weirtest.until(lambda: counts(calls(1, "revoked")) == {429: 1}, "room in the shared memory for so many keys")
    got = calls(25, "trial")
    assert counts(got) == {200: 20, 429: 5}, counts(got)
    refused = got[-1]
    assert refused.header("content-type") == "application/problem+json" and refused.header("ratelimit-limit") == "20", refused
    again = int(refused.header("retry-after"))
    assert 60 < again <= 86400 * 17 / 16 + 1 and b'"detail":"again in %d s"' % again in refused.body, (refused, refused.body)
    assert counts(calls(3, "revoked")) == {429: 3}
    assert counts(calls(30, "somebody")) == {200: 30}
    got = calls(300, "big-customer")
    assert counts(got)[429] >= 50 and b"pace" in got[-1].body, "not the day, the pace"
    assert counts(pipelined(server, 5, "GET", "/v2/things")) == {200: 5}


def slow_endpoint(box):
    """Four wait for a backend that does not answer; the fifth is told at once, and the rest of the shop is served."""
    with reports_in_flight(box, "slow-endpoint", 4) as server:
        refused = weirtest.ask(server.address, target="/report")
        assert refused.status == 429 and b"report-slots" in refused.body, refused.body
        assert counts(pipelined(server, 20, "GET", "/product/1")) == {200: 20}


def admin_only(box):
    """Only from the office, under every spelling; and there also when the shop is full."""
    server = serve(box, "admin-only")
    assert weirtest.ask(server.address, target="/admin/users").status == 200
    for target in ("/admin", "/admin/users", "/%61dmin/users", "//admin/users", "/x/../admin/users"):
        with weirtest.Connection(server.address, source=("127.0.0.9", 0)) as outside:
            outside.send(weirtest.request("GET", target))
            response = outside.response()
            assert response.status == 404 and b"404 Not Found" in response.body and b"weir" not in response.body, (target, response)
    with weirtest.Connection(server.address, source=("127.0.0.9", 0)) as outside:
        outside.send(weirtest.request("GET", "/product/1"))
        assert outside.response().status == 200
    full = counts(pipelined(server, 900, "GET", "/product/1"))
    assert full.get(503, 0) >= 100, full
    assert counts(pipelined(server, 20, "GET", "/admin/health")) == {200: 20}


def sentinel(box):
    server = serve(box, "sentinel")
    got = counts(pipelined(server, 30, "GET", "/hello"))
    assert 3 <= got[200] <= 6 and got[429] == 30 - got[200], got  # two of Sentinel's half seconds at most


def loads_and_harms_nobody(name):
    def test(box):
        server = serve(box, name)
        assert counts(pipelined(server, 50, "GET", "/health")) == {200: 50}, "it is among the exceptions"
        got = counts(pipelined(server, 50, "POST", "/order"))
        assert set(got) <= {200, 503}, got  # 503: this very machine may be overloaded right now
        files = box.status()["files"]
        assert [file["state"] for file in files] == ["ok"], files
    return test


TESTS = {"flow": flow, "authority": authority, "block-actions": block_actions, "degrade": degrade, "gateway": gateway,
         "isolation": isolation, "param-flow": param_flow, "resources": resources, "sentinel": sentinel,
         "flash-sale": flash_sale, "crawler": crawler, "api-quota": api_quota, "slow-endpoint": slow_endpoint, "admin-only": admin_only,
         "adaptive": loads_and_harms_nobody("adaptive"), "system": loads_and_harms_nobody("system")}


def scenario(name):
    def run():
        app = {"gateway": "gateway", "sentinel": "hello", "api-quota": "api", "crawler": "catalogue"}.get(name, "shop")
        with weirtest.Sandbox(app=app) as box:
            TESTS[name](box)
    run.__name__ = name
    return run


assert sorted(TESTS) == sorted(name[:-5] for name in os.listdir(EXAMPLES) if name.endswith(".json")), "an example has no test"
weirtest.main(*[scenario(name) for name in sorted(TESTS)])
