#!/usr/bin/python3
"""Rules about flow and the fields that all rules have, one by one, on real servers. Everything is counted: windows are so long
that nothing comes back, and what has to come back is waited for."""
import time

import weirtest
from weirtest import expect

NGINX = {"server": "location /p/ { return 200 ok; } location /q/ { return 200 ok; }"}
YEAR = 365 * 24 * 3600


def ask(name, *headers, method="GET", body=None):
    return weirtest.request(method, "/p/" + name, headers=list(headers), body=body)


def rule(name, count=2, **more):
    return dict({"id": name, "resource": "GET:/p/" + name, "count": count, "intervalSec": YEAR}, **more)


def thresholds():
    """`count`, `intervalSec`, `per`, `burst`, `cost`."""
    with weirtest.Sandbox() as box:
        day = {"id": "day", "resource": "GET:/p/day", "count": 3, "per": "day"}
        second = {"id": "second", "resource": "GET:/p/second", "count": 1}
        rules = [rule("none", 0), rule("interval", 3), day, second, rule("burst", 2, burst=2), rule("cost", 10, cost=4),
                 rule("header", 10, cost="header:X-Cost"), dict(rule("bytes", 1000, cost="bytes"), resource="PUT:/up/bytes")]
        server = box.serve("nginx", box.rules({"flow": rules}), **NGINX)
        expect(server, [ask("none")] * 3, [429] * 3)
        expect(server, [ask("interval")] * 5, [200] * 3 + [429] * 2)
        expect(server, [ask("day")] * 5, [200] * 3 + [429] * 2)
        expect(server, [ask("burst")] * 6, [200] * 4 + [429] * 2)
        expect(server, [ask("cost")] * 4, [200] * 2 + [429] * 2)
        costs = [("X-Cost", value) for value in ("3", "9", "many", "-5", "5", "1", "1")]
        expect(server, [ask("header", cost) for cost in costs], [200, 429, 200, 200, 200, 429, 429])
        expect(server, [ask("header", ("X-Cost", "0"), ("X-Cost", "50"))], [429])  # the most of what it says
        with weirtest.Connection(server.address) as connection:
            got = []
            for size in (600, 600, 300, 300):
                connection.send(weirtest.request("PUT", "/up/bytes", body=b"x" * size))
                got.append(connection.response().status)
        assert [status == 429 for status in got] == [False, False, True, True], got
        expect(server, [ask("second")], [200])
        weirtest.until(lambda: weirtest.pipelined(server.address, [ask("second")]) == [200], "the next second")


def bytes_that_come():
    """Of bodies in chunks, too; what is announced and never comes costs nothing; what goes beyond the limit is a debt."""
    limit = dict(rule("bytes", 20000, cost="bytes", per="minute"), resource="PUT:/up/bytes")
    del limit["intervalSec"]
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules({"flow": [limit]}), **NGINX)
        connections = [weirtest.Connection(server.address) for _ in range(6)]
        for connection in connections:
            connection.send(weirtest.request("PUT", "/up/bytes", body=b"x" * 60000)[:-59990])
        weirtest.until(lambda: box.in_flight("PUT:/up/bytes") == 6, "all of them to be admitted")
        for connection in connections:
            connection.close()
        got = [weirtest.ask(server.address, "PUT", "/up/bytes", body=b"x" * 60000, chunked=True) for _ in range(6)]
        assert [response.status == 429 for response in got] == [False] + [True] * 5, got
        assert int(got[1].header("retry-after")) > 120, got[1]


def penalty():
    """Rejected requests count, too: who asks again at least twice a second stays out, however long; who calms down gets in."""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules({"flow": [rule("penalty", 1, intervalSec=1, penalty=True)]}), **NGINX)
        for _ in range(20):
            got, begins = [], []
            for _ in range(20):
                begins.append(time.monotonic())
                with weirtest.Connection(server.address) as connection:  # one for all would be ended after two seconds of 429
                    connection.send(ask("penalty"))
                    got.append(connection.response().status)
                time.sleep(0.1)
            if max(later - earlier for earlier, later in zip(begins, begins[1:])) < 0.5:  # else the machine paused: again
                assert got[1:] == [429] * 19, got
                break
        else:
            raise weirtest.Skip("this machine pauses all the time")

        def calm():
            time.sleep(1.1)
            return weirtest.pipelined(server.address, [ask("penalty")]) == [200]
        weirtest.until(calm, "it to be forgiven")


def grade_thread():
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules({"flow": [{"resource": "GET:/held", "grade": 0, "count": 2}]}))
        with weirtest.Held(server, 5) as held:
            held.wait_answered(3)
            assert weirtest.statuses(held.release()) == {200: 2, 429: 3}
        weirtest.until(lambda: box.in_flight("GET:/held") == 0, "nothing in flight any more")


def strategies():
    """`relate`: reads are limited by what is written. `chain`: only what enters through one listener, or one group, counts."""
    other = weirtest.free_port()
    with weirtest.Sandbox() as box:
        rules = box.rules({
            "resources": [{"kind": "api", "name": "mobile", "predicateItems": [{"pattern": "/q/m/**", "matchStrategy": "glob"}]}],
            "flow": [rule("read", 3, strategy="relate", refResource="GET:/p/write"),
                     rule("chain", 2, strategy="chain", refResource="http::%d" % other),
                     {"id": "deep", "resource": "GET:/q/**", "resourceMatch": "glob", "count": 1, "intervalSec": YEAR, "strategy": 2,
                      "refResource": "mobile"}]})
        server = box.serve("nginx", rules, server=NGINX["server"] + " listen 127.0.0.1:%d;" % other)
        expect(server, [ask("read")] * 5, [200] * 5)
        expect(server, [ask("write")] * 3 + [ask("read")] * 2, [200] * 3 + [429] * 2)
        expect(server, [ask("chain")] * 5, [200] * 5)
        server.address, first = ("127.0.0.1", other), server.address
        expect(server, [ask("chain")] * 4, [200, 200, 429, 429])
        server.address = first
        expect(server, [ask("chain")] * 3, [200] * 3)
        expect(server, [weirtest.request("GET", "/q/%s" % path) for path in ("x", "x", "m/x", "m/x", "m/y")], [200, 200, 200, 429, 200])


def behaviours():
    """Warm-up begins with a third of the threshold; queues wait no longer than `maxQueueingTimeMs` says."""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules({"flow": [
            {"resource": "GET:/p/cold", "controlBehavior": "warmUp", "warmUpPeriodSec": 3600, "count": 30},
            {"resource": "GET:/p/turns", "controlBehavior": "queue", "count": 1, "intervalSec": YEAR, "maxQueueingTimeMs": 0}]}), **NGINX)
        got = weirtest.pipelined(server.address, [ask("cold")] * 100)
        assert 10 <= got.count(200) < 30, got  # ten a second, while this took less than two
        expect(server, [ask("turns")] * 3, [200, 429, 429])
    with weirtest.Sandbox() as box:
        server = box.serve("http.server", box.rules({"flow": [
            {"resource": "GET:/small", "controlBehavior": 3, "warmUpPeriodSec": 2, "count": 40, "maxQueueingTimeMs": 60000}]}))
        responses, _ = weirtest.burst(server.address, 8, weirtest.request("GET", "/small"))
        assert weirtest.statuses(responses) == {200: 8}, weirtest.statuses(responses)


def whom_a_rule_is_about():
    """`limitApp`: a name, others, everybody; `resourceMatch`; `side`; `mode`."""
    with weirtest.Sandbox() as box:
        glob = {"id": "glob", "resource": "GET:/p/g*", "resourceMatch": "glob", "count": 1, "intervalSec": YEAR}
        prefix = {"id": "prefix", "resource": "GET:/p/x", "resourceMatch": "prefix", "count": 1, "intervalSec": YEAR}
        regex = {"id": "regex", "resource": "(GET|HEAD):/p/r[0-9]", "regex": True, "count": 1, "intervalSec": YEAR}
        server = box.serve("nginx", box.rules({"flow": [
            rule("me", 1, limitApp="127.0.0.1"), rule("me", 0, id="my others", limitApp="other"), rule("rest", 1, id="others", limitApp="other"),
            rule("out", 0, side="outbound"), rule("in", 0, side="inbound"), rule("simulate", 0, mode="simulate"), rule("off", 0, mode="off"),
            glob, prefix, regex]}), **NGINX)
        expect(server, [ask("me")] * 2, [200, 429])
        expect(server, [ask("rest")] * 2, [200, 429])
        expect(server, [ask(name) for name in ("out", "in", "simulate", "off")], [200, 429, 200, 200])
        expect(server, [ask(name) for name in ("g1", "g2", "g1", "g/1", "g/1")], [200, 200, 429, 200, 200])
        expect(server, [ask(name) for name in ("x", "x1", "x1", "x/1", "x/1")], [200, 200, 429, 200, 429])
        expect(server, [ask(name) for name in ("r1", "r2", "r1", "r12", "r12")], [200, 200, 429, 200, 200])
        figures = box.resource("GET:/p/simulate", now=True)
        assert figures["total_simulated"] == 1 and figures["total_block"] == 0 and figures["total_pass"] == 1, figures


def canaries():
    """In force in some processes only: there the canary, elsewhere the rule of the same id without one."""
    def canary(path, count, **more):
        return dict({"id": path, "resource": "GET:/" + path, "count": count, "intervalSec": YEAR}, **more)

    def get(path, count=1):
        return [weirtest.request("GET", "/" + path)] * count
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        box.agent(rules)
        servers = [box.serve("asyncio", preload=True) for _ in range(2)]
        box.edit(rules, {"flow": [canary("small", 2), canary("small", 1, canary={"pids": [servers[0].main_pid()]}),
                                  canary("other", 0, canary={"percent": 100}), canary("blocked", 0, canary={"percent": 0})]})
        weirtest.until(lambda: all(weirtest.pipelined(server.address, get("other")) == [429] for server in servers), "the new rules to be in force")
        expect(servers[0], get("small", 3), [200, 429, 429])
        expect(servers[1], get("small", 3), [200, 200, 429])
        for server in servers:
            expect(server, get("blocked"), [200])


weirtest.main(thresholds, bytes_that_come, penalty, grade_thread, strategies, behaviours, whom_a_rule_is_about, canaries)
