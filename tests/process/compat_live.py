#!/usr/bin/python3
"""`"options": {"compat": "sentinel"}` on live traffic, each kind of rule: what Sentinel would let through passes and the rest is
rejected; and everything around it is there as in weir's own mode: figures, block log, events, circuits, `weir why`."""
import json
import os
import time

import weirtest

YEAR = 365 * 24 * 3600
NGINX = {"server": "location /fail { return 500; } location /db/ { return 200 db; }"}


def sentinel(content):
    return dict(content, options=dict({"compat": "sentinel"}, **content.get("options", {})))


def get(server, target="/small", **more):
    return weirtest.ask(server.address, target=target, **more)


def counts(server, target="/small", count=1, **more):
    """Pipelined on one connection, in the middle of a bucket: Sentinel's window begins anew every half second."""
    return many(server, [weirtest.request("GET", target, **more)] * count)


def many(server, requests):
    data = b"".join(requests)
    for _ in range(20):
        time.sleep(1.05 - (time.time() % 0.5))  # nothing of before is in the window, and there are 400 ms to its next bucket
        begin = time.monotonic()
        with weirtest.Connection(server.address) as connection:
            connection.send(data)
            responses = [connection.response() for _ in requests]
        if time.monotonic() - begin < 0.35:
            return responses
    raise weirtest.Skip("this machine could not send %d requests within half a second" % len(requests))


def tally(responses):
    return weirtest.statuses(responses)


class Live:
    """A server whose agent writes a block log."""

    def __init__(self, box, kind, content, **options):
        self.box, self.logs = box, os.path.join(box.path, "logs")
        os.mkdir(self.logs)
        self.rules = box.rules(sentinel(content))
        self.agent = box.agent(self.rules, options=("--log-dir", self.logs))
        self.server = box.serve(kind, preload=True, **options)
        self.name = "http::%d" % self.server.port
        weirtest.until(lambda: get(self.server, "/ready").status and box.resource(self.name), "the process to be attached")

    def edit(self, content):
        self.box.edit(self.rules, sentinel(content))
        weirtest.until(lambda: get(self.server, "/ready").status and any(process["current"] for process in self.box.app_status()["processes"]),
                       "the process that serves to have the new rules")

    def totals(self, name):
        figures = self.box.resource(name, now=True) or {"total_pass": 0, "total_block": 0}
        return figures["total_pass"], figures["total_block"]

    def in_block_log(self, resource, rule, kind):
        """How many rejections the block log has of that rule on that resource."""
        total = 0
        path = os.path.join(self.logs, "weir-block.log")
        if os.path.exists(path):
            with open(path) as file:
                for line in file:
                    fields = line.rstrip("\n").split("|")
                    about = fields[2].split(",")
                    if about[:2] == [resource, kind] and about[4] == rule:
                        total += int(fields[3].split(",")[0])
        return total

    def rejected(self, resource, rule, kind, reason, passed, blocked, answer):
        """Everything that tells of these rejections tells the same."""
        assert self.totals(resource) == (passed, blocked), (resource, self.totals(resource), passed, blocked)
        weirtest.until(lambda: self.in_block_log(resource, rule, kind) >= blocked, "the block log to have all of them")
        assert self.in_block_log(resource, rule, kind) == blocked
        body = json.loads(answer.body)
        assert (body["reason"], body["rule"], body["resource"]) == (reason, rule, resource), body
        why = json.loads(self.box.weir("why", "--json", answer.header("x-weir-id"), check=0).stdout)
        assert (why["rule"], why["reason"], why["resource"]) == (rule, reason, resource), why
        assert why["pid"] in [process["pid"] for process in self.box.app_status()["processes"]], why


def first(responses, status):
    return next(response for response in responses if response.status == status)


def flow_and_everything_around():
    with weirtest.Sandbox() as box:
        live = Live(box, "nginx", {"flow": [{"id": "five", "resource": "GET:/small", "count": 5}]}, **NGINX)
        responses = counts(live.server, count=17)
        assert tally(responses) == {200: 5, 429: 12}, tally(responses)
        answer = first(responses, 429)
        assert int(answer.header("retry-after")) == 1, answer.headers
        live.rejected("GET:/small", "five", "FlowException", "flow", 5, 12, answer)
        assert box.resource(live.name)["total_block"] == 12
        assert "five" in box.weir("why", answer.header("x-weir-id"), check=0).stdout


def simulate():
    with weirtest.Sandbox() as box:
        live = Live(box, "nginx", {"flow": [{"id": "dry", "resource": "GET:/small", "count": 5, "mode": "simulate"}]}, **NGINX)
        assert tally(counts(live.server, count=12)) == {200: 12}
        figures = box.resource("GET:/small", now=True)
        assert (figures["total_pass"], figures["total_block"], figures["total_simulated"]) == (12, 0, 7), figures


def strategies():
    """`relate`: the other resource's figures; `chain`: only what came in through the listener, or the route itself."""
    with weirtest.Sandbox() as box:
        live = Live(box, "nginx", {"flow": [{"id": "r", "resource": "GET:/db/read", "strategy": 1, "refResource": "GET:/db/write", "count": 5}]},
                    **NGINX)
        read, write = weirtest.request("GET", "/db/read"), weirtest.request("GET", "/db/write")
        responses = many(live.server, [read] * 8 + [write] * 5 + [read] * 3)
        assert [response.status for response in responses] == [200] * 13 + [429] * 3, tally(responses)
        live.rejected("GET:/db/read", "r", "FlowException", "flow", 8, 3, responses[-1])
        live.edit({"flow": [{"id": "c", "resource": "GET:/small", "strategy": 2, "refResource": live.name, "count": 4},
                            {"id": "d", "resource": "GET:/other", "strategy": 2, "refResource": "http::1", "count": 1},
                            {"id": "e", "resource": "GET:/index.html", "strategy": "chain", "refResource": "GET:/index.html", "count": 2}]})
        responses = counts(live.server, count=10)
        assert tally(responses) == {200: 4, 429: 6}, tally(responses)
        live.rejected("GET:/small", "c", "FlowException", "flow", 4, 6, first(responses, 429))
        assert tally(counts(live.server, "/other", 5)) == {200: 5}, "entered through another listener"
        assert tally(counts(live.server, "/index.html", 5)) == {200: 2, 429: 3}


def warm_up():
    """Cold: a third of the threshold, as Sentinel counts it (30 per second: 10 at first)."""
    with weirtest.Sandbox() as box:
        live = Live(box, "nginx", {"flow": [{"id": "w", "resource": "GET:/small", "controlBehavior": 1, "warmUpPeriodSec": 600, "count": 30}]}, **NGINX)
        responses = counts(live.server, count=25)
        assert tally(responses) == {200: 10, 429: 15}, tally(responses)
        live.rejected("GET:/small", "w", "FlowException", "flow", 10, 15, first(responses, 429))


def queueing(kind):
    """Ten a second: each waits for its turn; what would wait for longer than half a second is rejected."""
    with weirtest.Sandbox() as box:
        live = Live(box, kind, {"flow": [{"id": "q", "resource": "GET:/small", "controlBehavior": 2, "count": 10, "maxQueueingTimeMs": 450}]})
        begin = time.monotonic()
        responses, _ = weirtest.burst(live.server.address, 12, weirtest.request("GET", "/small"))
        seconds = time.monotonic() - begin
        got = tally(responses)
        passed = got.get(200, 0)
        assert set(got) <= {200, 429} and 5 <= passed <= 5 + 10 * seconds, (got, seconds)
        assert seconds >= (passed - 1) * 0.1 - 0.1, "%d turns cannot be over after %g s" % (passed, seconds)
        figures = box.resource("GET:/small", now=True)
        assert (figures["total_pass"], figures["total_block"]) == (passed, 12 - passed), figures
        if passed < 12:
            live.rejected("GET:/small", "q", "FlowException", "flow", passed, 12 - passed, first(responses, 429))


def queueing_event_loop():
    queueing("asyncio")


def queueing_threads():
    queueing("threading")


def in_flight():
    """`grade: thread` and `isolation`: two run, the others are rejected; and there is room again when they are done."""
    for section, rule, kind, reason in (("flow", {"grade": 0}, "FlowException", "flow"), ("isolation", {}, "FlowException", "isolation")):
        with weirtest.Sandbox() as box:
            live = Live(box, "asyncio", {section: [dict({"id": "two", "resource": "GET:/held", "count": 2}, **rule)]})
            for turn in (1, 2):
                with weirtest.Held(live.server, 6) as held:
                    held.wait_answered(4)
                    responses = held.release()
                    assert tally(responses) == {200: 2, 429: 4}, tally(responses)
                weirtest.until(lambda: box.in_flight("GET:/held") == 0, "nothing in flight any more")
                assert live.totals("GET:/held") == (2 * turn, 4 * turn), live.totals("GET:/held")
            assert json.loads(first(responses, 429).body)["reason"] == reason


def circuit(target, rule, calls):
    """Opens after so many calls, is shown and reported; a bad probe leaves it open, a good one closes it."""
    with weirtest.Sandbox() as box:
        live = Live(box, "asyncio", {"flow": [{"resource": "GET:/none", "count": 1}]})
        server, name = live.server, live.name

        def shown():
            return box.resource(name, now=True)["circuit"]

        live.edit({"degrade": [dict({"id": "c", "resource": name, "timeWindow": 1, "statIntervalMs": 600000}, **rule)]})
        assert get(server).status == 200 and shown() == "closed", shown()  # a circuit that is there is shown
        for _ in range(calls):
            assert get(server, target).status != 503
        answer = weirtest.until(lambda: [r for r in [get(server, target)] if r.status == 503], "the circuit to open")[0]
        body = json.loads(answer.body)
        assert (body["reason"], body["rule"], body["resource"]) == ("degrade", "c", name), body
        assert int(answer.header("retry-after")) == 1
        assert shown() == "open", shown()
        assert box.resource(name)["total_block"] >= 1
        weirtest.until(lambda: live.in_block_log(name, "c", "DegradeException") >= 1, "the block log")
        top = box.weir("top", "--once", check=0).stdout
        assert any(name in line and "open" in line for line in top.splitlines()), top
        weirtest.until(lambda: get(server, target).status != 503, "a probe, which is bad")
        weirtest.until(lambda: get(server, target).status == 503, "the circuit to be open again")
        weirtest.until(lambda: get(server).status == 200, "a good probe")
        assert shown() == "closed"
        for change in ("closed -> open", "open -> half-open", "half-open -> open", "half-open -> closed"):
            weirtest.until(lambda: "circuit of %s (rule c): %s" % (name, change) in live.agent.output(), change)
        why = json.loads(box.weir("why", "--json", answer.header("x-weir-id"), check=0).stdout)
        assert (why["rule"], why["reason"]) == ("c", "degrade"), why


def circuit_slow():
    circuit("/slow?ms=30", {"grade": 0, "count": 10, "slowRatioThreshold": 0.4, "minRequestAmount": 3}, 2)


def circuit_ratio():
    circuit("/error", {"grade": 1, "count": 0.4, "minRequestAmount": 3}, 2)


def circuit_count():
    circuit("/error", {"grade": 2, "count": 2, "minRequestAmount": 1}, 3)


def hot_parameters():
    """`param` names a part of the request; each value has a bucket of its own, and what the list says another."""
    user = {"parseStrategy": 2, "fieldName": "X-User"}
    with weirtest.Sandbox() as box:
        live = Live(box, "nginx", {"paramFlow": [{"id": "hot", "resource": "GET:/small", "param": user, "count": 3, "durationInSec": 3600,
                                                  "paramFlowItemList": [{"object": "vip", "count": 6}]}]}, **NGINX)
        for value, limit in (("one", 3), ("two", 3), ("vip", 6)):
            responses = counts(live.server, count=10, headers=[("x-user", value)])
            assert tally(responses) == {200: limit, 429: 10 - limit}, (value, tally(responses))
        live.rejected("GET:/small", "hot", "ParamFlowException", "param", 12, 18, first(responses, 429))
        assert tally(counts(live.server, count=10)) == {200: 10}, "a request without the value was limited"
        both = many(live.server, [weirtest.request("GET", "/small", headers=[("x-user", "new"), ("x-user", "one")])])
        assert tally(both) == {429: 1}, "a value that is used up was not looked at beside another"
        live.edit({"paramFlow": [{"id": "ip", "resource": "GET:/other", "param": {"parseStrategy": 0}, "count": 2, "durationInSec": 3600}]})
        assert tally(counts(live.server, "/other", 5)) == {200: 2, 429: 3}


def hot_parameters_in_flight():
    with weirtest.Sandbox() as box:
        live = Live(box, "asyncio", {"paramFlow": [{"id": "hot", "resource": "GET:/held", "grade": 0, "count": 1,
                                                    "param": {"parseStrategy": 2, "fieldName": "X-User"}}]})
        for _ in range(2):
            with weirtest.Held(live.server, 3, headers=[("X-User", "one")]) as one, weirtest.Held(live.server, 2, headers=[("X-User", "two")]) as two:
                one.wait_answered(2)
                two.wait_answered(1)
                assert tally(one.release()) == {200: 1, 429: 2} and tally(two.release()) == {200: 1, 429: 1}
            weirtest.until(lambda: box.in_flight("GET:/held") == 0, "nothing in flight any more")


def gateway():
    """With a parameter and without one, on a route and on an API group."""
    with weirtest.Sandbox() as box:
        live = Live(box, "nginx", {
            "resources": [{"kind": "api", "name": "shop_api", "predicateItems": [{"pattern": "/db/**", "matchStrategy": 1}]}],
            "gateway": [{"id": "api", "resource": "shop_api", "resourceMode": 1, "count": 4, "intervalSec": 3600},
                        {"id": "key", "resource": "GET:/small", "count": 2, "intervalSec": 3600,
                         "paramItem": {"parseStrategy": 2, "fieldName": "X-Key", "pattern": "vip.*", "matchStrategy": 2}}]}, **NGINX)
        responses = many(live.server, [weirtest.request("GET", target) for target in ("/db/a", "/db/b/c", "/db/d", "/db/a", "/db/e", "/small")])
        assert [response.status for response in responses] == [200] * 4 + [429, 200], tally(responses)
        live.rejected("shop_api", "api", "FlowException", "flow", 4, 1, responses[4])
        assert tally(counts(live.server, count=5, headers=[("X-Key", "vip-1")])) == {200: 2, 429: 3}
        assert tally(counts(live.server, count=5, headers=[("X-Key", "guest vip-1")])) == {200: 5}, "half of it matches"


def authority():
    with weirtest.Sandbox() as box:
        live = Live(box, "nginx", {"authority": [{"id": "white", "resource": "GET:/small", "limitApp": "192.0.2.1", "strategy": 0}]}, **NGINX)
        responses = counts(live.server, count=3)
        assert tally(responses) == {403: 3}, tally(responses)
        live.rejected("GET:/small", "white", "AuthorityException", "authority", 0, 3, responses[0])
        live.edit({"authority": [{"resource": "GET:/small", "limitApp": "127.0.0.1", "strategy": 0}]})
        assert get(live.server).status == 200
        live.edit({"authority": [{"resource": "GET:/small", "limitApp": "127.0.0.1", "strategy": 1}]})
        assert get(live.server).status == 403


def of_some_callers():
    """`limitApp`: what is for one caller, and for the others."""
    with weirtest.Sandbox() as box:
        live = Live(box, "nginx", {"flow": [{"id": "mine", "resource": "GET:/small", "limitApp": "127.0.0.1", "count": 3},
                                            {"id": "rest", "resource": "GET:/other", "limitApp": "other", "count": 2},
                                            {"id": "not", "resource": "GET:/index.html", "limitApp": "192.0.2.7", "count": 0}]}, **NGINX)
        assert tally(counts(live.server, count=8)) == {200: 3, 429: 5}
        assert tally(counts(live.server, "/other", 8)) == {200: 2, 429: 6}
        assert tally(counts(live.server, "/index.html", 8)) == {200: 8}


def system_qps():
    """A request counts once, though it is of a route and of a listener; what is excepted counts, and is not rejected."""
    with weirtest.Sandbox() as box:
        live = Live(box, "nginx", {"system": {"qps": 50, "exceptions": ["GET:/other"]}}, **NGINX)
        responses = counts(live.server, count=120)
        assert tally(responses) == {200: 50, 503: 70}, tally(responses)
        body = json.loads(first(responses, 503).body)
        assert (body["reason"], body["resource"]) == ("system", "GET:/small"), body
        live.rejected("GET:/small", body["rule"], "SystemBlockException", "system", 50, 70, first(responses, 503))
        responses = many(live.server, [weirtest.request("GET", "/other")] * 60 + [weirtest.request("GET", "/small")] * 3)
        assert tally(responses) == {200: 60, 503: 3}, tally(responses)
        live.edit({"system": {"qps": 50, "exceptions": ["GET:/small"]}})
        responses = many(live.server, [weirtest.request("GET", "/small")] * 60 + [weirtest.request("GET", "/other")] * 3)
        assert tally(responses) == {200: 60, 503: 3}, tally(responses)


def system_threads_and_rt():
    with weirtest.Sandbox() as box:
        live = Live(box, "asyncio", {"system": {"maxThread": 3, "exceptions": ["GET:/other"]}})
        with weirtest.Held(live.server, 7) as held:
            held.wait_answered(3)  # Sentinel lets one more in than the figure says
            assert get(live.server).status == 503 and get(live.server, "/other").status == 200
            assert tally(held.release()) == {200: 4, 503: 3}
        live.edit({"system": {"avgRt": 10, "exceptions": ["GET:/other"]}})
        weirtest.until(lambda: get(live.server, "/slow?ms=60").status and get(live.server).status == 503, "a mean above 10 ms")
        assert get(live.server, "/other").status == 200
        weirtest.until(lambda: get(live.server).status == 200, "the slow ones to be of the past", pause=0.3)


def to_and_fro():
    """From one mode to the other under load: nothing is lost, nothing stays in flight."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"isolation": [{"resource": "GET:/held", "count": 2}]})
        server = box.serve("asyncio", rules)
        for number in range(4):
            with weirtest.Held(server, 3) as held:
                held.wait_answered(1)
                content = {"isolation": [{"resource": "GET:/held", "count": 2}]}
                box.edit(rules, sentinel(content) if number % 2 == 0 else content)
                assert get(server).status == 200
                assert tally(held.release()) == {200: 2, 429: 1}
            weirtest.until(lambda: box.in_flight("GET:/held") == 0, "nothing in flight any more")


weirtest.main(flow_and_everything_around, simulate, strategies, warm_up, queueing_event_loop, queueing_threads, in_flight, circuit_slow, circuit_ratio,
              circuit_count, hot_parameters, hot_parameters_in_flight, gateway, authority, of_some_callers, system_qps, system_threads_and_rt, to_and_fro)
