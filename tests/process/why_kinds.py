#!/usr/bin/python3
"""A real rejection by each kind of rule, in either mode: its answer is as the table in docs/rules.md says, and `weir why` says what was
limited, what was counted, the value, the other resource, the list's entry, and when a retry has a chance; as text and as JSON. Connections
that a rule refuses have an id, too, in the event log."""
import json
import os
import re
import socket

import weirtest

KEY, IP, COOKIE = {"parseStrategy": "header", "fieldName": "X-User"}, {"parseStrategy": "clientIp"}, {"parseStrategy": "cookie", "fieldName": "session"}
PER = {"intervalSec": 3600}


def documented():
    """reason: (status, has Retry-After), of docs/rules.md."""
    with open(os.path.join(weirtest.ROOT, "docs", "rules.md")) as file:
        rows = re.findall(r"^\| `?([a-z ]+)`? \| [^|]* \| (\d{3}) \| (yes|no) \|$", file.read(), re.M)
    return {reason: (int(status), again == "yes") for reason, status, again in rows}


TABLE = documented()


def of_table(response, reason):
    status, again = TABLE[reason]
    assert response.status == status and (response.header("retry-after") is not None) == again, (reason, response)


def ask(target="/small", **headers):
    return lambda server: weirtest.ask(server.address, target=target, headers=[(name.replace("_", "-"), value) for name, value in headers.items()])


def until_rejected(once):
    """One request after the other until one is rejected."""
    def reject(box, server):
        def rejected():
            response = once(server)
            return response if response.header("x-weir-id") else None
        return weirtest.until(rejected, "a rejection")
    return reject


def while_held(count, once=ask("/held"), before=0):
    """What comes while so many requests are in flight."""
    def reject(box, server):
        weirtest.until(lambda: not box.in_flight("GET:/held"), "nothing in flight of the case before")
        with weirtest.Held(server, count + before) as held:
            held.wait_answered(before)
            weirtest.until(lambda: box.in_flight("GET:/held") == count, "them to be in flight")
            return once(server)
    return reject




def failing(target, calls):
    """A circuit that opens after such calls."""
    def reject(box, server):
        for _ in range(calls):
            ask(target)(server)
        return until_rejected(ask(target))(box, server)
    return reject


def rule(section, **fields):
    return {section: [dict({"id": "it"}, **fields)]}


BOTH, OWN = ("own", "sentinel"), ("own",)
# name, modes, rules, how it is rejected, reason, members of the JSON, words of the text
CASES = [
    ("rate", BOTH, rule("flow", resource="GET:/small", count=2), until_rejected(ask()), "flow", {"limit": 2, "counted": 2},
     ["limit 2 a second; 2 had passed", "retry    possible after"]),
    ("rate of an hour", OWN, rule("flow", resource="GET:/small", count=1, **PER), until_rejected(ask()), "flow", {"counted": 1},
     ["limit 1 in 3600 s", "retry    possible after 60 min"]),
    ("warm-up", BOTH, rule("flow", resource="GET:/small", count=6, controlBehavior=1, warmUpPeriodSec=600), until_rejected(ask()), "flow",
     {"limit_of": "warm-up"}, ["while warming up; ", " had passed"]),
    ("queue", BOTH, rule("flow", resource="GET:/small", count=0.5, controlBehavior=2, maxQueueingTimeMs=1), until_rejected(ask()), "flow",
     {"limit_of": "queue", "limit": 0.5}, ["wait for a turn is too long"]),
    ("threads", BOTH, rule("flow", resource="GET:/held", grade=0, count=1), while_held(1), "flow", {"limit": 1, "counted": 1, "limit_of": "in-flight"},
     ["limit 1 in flight; 1 were in flight"]),
    ("relate", BOTH, rule("flow", resource="GET:/small", strategy=1, refResource="GET:/other", count=1),
     lambda box, server: until_rejected(lambda server: [ask("/other")(server), ask()(server)][1])(box, server), "flow",
     {"related": "GET:/other", "limit_of": "related-rate"}, ["limit 1 a second of the related resource", "related  GET:/other"]),
    ("chain", ("sentinel",), rule("flow", resource="GET:/small", strategy=2, refResource="sentinel_default_context", count=1), until_rejected(ask()), "flow",
     {"entrance": "sentinel_default_context"}, ["entered  through sentinel_default_context"]),
    ("isolation", BOTH, rule("isolation", resource="GET:/held", count=2), while_held(2), "isolation", {"limit": 2, "counted": 2},
     ["limit 2 in flight; 2 were in flight"]),
    ("slow calls", BOTH, rule("degrade", resource="GET:/slow", grade=0, count=1, slowRatioThreshold=0.5, minRequestAmount=1, statIntervalMs=60000, timeWindow=600),
     failing("/slow?ms=30", 2), "degrade", {"limit_of": "slow-calls", "limit": 1}, ["circuit open: too many calls slower than 1 ms", "of at least 1 request in 60 s"]),
    ("exception ratio", BOTH, rule("degrade", resource="GET:/error", grade=1, count=0.4, minRequestAmount=2, timeWindow=600), failing("/error", 3), "degrade",
     {"limit_of": "exception-ratio", "limit": 0.4}, ["exception ratio above 0.4", "of at least 2 requests in 1 s", "retry    possible after 10 min"]),
    ("exceptions", BOTH, rule("degrade", resource="GET:/error", grade=2, count=1, minRequestAmount=1, timeWindow=600), failing("/error", 3), "degrade",
     {"limit_of": "exceptions", "limit": 1}, ["exceptions above 1"]),
    ("average latency", BOTH, rule("degrade", resource="GET:/slow", grade=3, count=1, rtSlowRequestAmount=2, timeWindow=600), failing("/slow?ms=30", 3), "degrade",
     {"limit_of": "average-latency"}, ["circuit open: calls of 1 ms and more"]),
    ("hot key", BOTH, rule("paramFlow", resource="GET:/small", param=KEY, count=1, durationInSec=3600, paramFlowItemList=[{"object": "vip", "count": 2}]),
     until_rejected(ask(X_User="someone-with-a-name-of-more-than-forty-six-bytes")), "param",
     {"limit_of": "value-rate", "value": "someone-with-a-name-of-more-than-forty-six-byt", "value_cut": True}, ["value    someone-with-a-name", "limit 1 in 3600 s of each value"]),
    ("a threshold of its own", BOTH, rule("paramFlow", resource="GET:/small", param=KEY, count=1, durationInSec=3600, paramFlowItemList=[{"object": "vip", "count": 2}]),
     until_rejected(ask(X_User="vip")), "param", {"value": "vip", "value_cut": False, "limit": 2, "rule_limit": 1},
     ["value    vip", "threshold of its own; other values have 1"]),
    ("a secret", BOTH, rule("paramFlow", resource="GET:/small", param=COOKIE, count=1, durationInSec=3600), until_rejected(ask(Cookie="session=abcdefghijkl")), "param",
     {"value": "abcd", "value_cut": True}, ["value    abcd… (shown in part)"]),
    ("an address", BOTH, rule("paramFlow", resource="GET:/small", param=IP, count=1, durationInSec=3600), until_rejected(ask()), "param", {"value": "127.0.0.1"},
     ["value    127.0.0.1"]),
    ("hot key in flight", BOTH, rule("paramFlow", resource="GET:/held", param=IP, grade=0, count=1), while_held(1), "param",
     {"limit_of": "value-in-flight", "counted": 1}, ["1 of it were in flight"]),
    ("gateway", BOTH, rule("gateway", resource="GET:/small", count=1, intervalSec=3600), until_rejected(ask()), "flow", {"limit": 1}, ["limit 1"]),
    ("gateway by value", BOTH, rule("gateway", resource="GET:/small", count=1, intervalSec=3600, paramItem=KEY), until_rejected(ask(X_User="u1")), "param",
     {"value": "u1"}, ["value    u1"]),
    ("white list", BOTH, rule("authority", resource="GET:/small", limitApp="10.0.0.1,10.0.0.2", strategy=0), until_rejected(ask()), "authority",
     {"list": "10.0.0.1,10.0.0.2"}, ["caller is not on the rule's list", "list     10.0.0.1,10.0.0.2"]),
    ("black list", OWN, rule("authority", resource="GET:/small", limitApp="10.0.0.1,127.0.0.0/8", strategy=1), until_rejected(ask()), "authority",
     {"value": "127.0.0.0/8"}, ["caller is on the rule's list", "entry    127.0.0.0/8"]),
    ("black list of names", ("sentinel",), rule("authority", resource="GET:/small", limitApp="10.0.0.1,127.0.0.1", strategy=1), until_rejected(ask()), "authority",
     {"limit_of": "black-list"}, ["caller is on the rule's list"]),
    ("all traffic", BOTH, {"system": {"qps": 2}}, until_rejected(ask()), "system", {"limit_of": "total-rate", "limit": 2},
     ["limit 2 a second of all traffic; ", " had passed"]),
    ("all in flight", BOTH, {"system": {"maxThread": 1}}, lambda box, server: while_held(2 if "sentinel" in box.mode else 1, ask())(box, server), "system",
     {"limit_of": "total-in-flight"}, ["in flight of all traffic", "were in flight"]),
    ("mean latency", BOTH, {"system": {"avgRt": 10}},
     lambda box, server: until_rejected(lambda server: [ask("/slow?ms=60")(server), ask()(server)][1])(box, server), "system", {"limit_of": "total-latency", "limit": 10},
     ["limit of the mean latency 10 ms; mean latency "]),
    ("CPU", BOTH, {"system": {"highestCpuUsage": 0.0001}}, until_rejected(ask()), "system", {"limit_of": "cpu", "limit": 0.0001},
     ["limit of CPU use 0.01 %; CPU "]),
    ("load", OWN, {"system": {"highestSystemLoad": 0}}, until_rejected(lambda server: overloaded(server)), "system", {"limit_of": "load"},
     ["limit of the host's load 0, and more in flight than is served; load "]),
    ("adaptive", OWN, {"adaptive": {"mode": "enforce", "algorithm": "cpu", "cpu": 0.01}}, until_rejected(lambda server: many(server)), "adaptive", {"limit_of": "adaptive-cpu"},
     ["target of the app's CPU 1 %; CPU "]),
]


def many(server):
    found = [ask()(server) for _ in range(50)]
    return next((response for response in found if response.header("x-weir-id")), found[0])


def overloaded(server):
    for _ in range(20):
        ask()(server)
    with weirtest.Held(server, 6) as held:
        weirtest.until(lambda: len(held.answered()) or server.box.in_flight("GET:/held") == 6, "all to be decided")
        return next((response for response in held.release() if response.header("x-weir-id")), ask("/other")(server))


def check(box, server, case, response):
    name, _, _, _, reason, members, words = case
    of_table(response, reason)
    assert json.loads(response.body)["reason"] == reason, (name, response.body)
    given = response.header("x-weir-id")
    got = json.loads(box.weir("why", "--json", given, check=0).stdout)
    assert got["reason"] == reason and got["caller"]["address"] == "127.0.0.1" and got["changed_by_uid"] == os.getuid(), (name, got)
    for member, expected in members.items():
        assert got.get(member) == expected, (name, member, got)
    if TABLE[reason][1] and reason != "authority":
        assert int(response.header("retry-after")) >= got["retry_ms"] / 1000 - 0.1, (name, got)
    text = box.weir("why", given, check=0).stdout
    for word in words + ["caller   127.0.0.1", "because  ", "rules version %d" % box.version()]:
        assert word in text, (name, word, text)


def every_kind(mode):
    def test():
        with weirtest.Sandbox() as box:
            box.mode = mode
            rules = box.rules({})
            server = box.serve("asyncio", rules)
            server.box, before = box, None
            for case in CASES:
                if mode not in case[1]:
                    continue
                content = dict(case[2], options={"compat": "sentinel"} if mode == "sentinel" else {})
                if content != before:
                    box.edit(rules, content)
                before = content
                weirtest.until(lambda: ask("/ready")(server).status and any(process["current"] for process in box.app_status()["processes"]), "the new rules")
                check(box, server, case, case[3](box, server))
    test.__name__ = "every_kind_" + mode
    return test


def without_a_rule():
    """What weir answers by itself: as the table says, without an id."""
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules({"flow": [{"resource": "GET:/none", "count": 1}]}))

        def answer(data):
            with weirtest.Connection(server.address) as connection:
                connection.send(data)
                return connection.response()
        for reason, data in (("malformed", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
                             ("too large", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70000 + b"\r\n\r\n"),
                             ("version", b"GET / HTTP/3.7\r\nHost: a\r\n\r\n")):
            response = answer(data)
            of_table(response, reason)
            assert response.header("x-weir-id") is None and response.body == b"", response
        assert set(TABLE) == {"malformed", "too large", "version", "crowded"} | {case[4] for case in CASES}, TABLE


def connections():
    """No client is sent their id; the event names it."""
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        server = box.serve("asyncio", rules)
        box.edit(rules, {"flow": [{"id": "few", "resource": "tcp::%d" % server.port, "count": 1, "intervalSec": 3600}]})

        def refused():
            with socket.create_connection(server.address, timeout=10) as connection:
                try:
                    connection.sendall(weirtest.request("GET", "/small"))
                    return not connection.recv(1000)
                except ConnectionError:
                    return True
        weirtest.until(refused, "a connection to be refused")

        def named():
            lines = box.weir("events", "--json", "-k", "blocked", check=0).stdout.splitlines()
            return next((event for event in map(json.loads, lines) if event.get("id")), None)
        event = weirtest.until(named, "the event with an id")
        got = json.loads(box.weir("why", "--json", event["id"], check=0).stdout)
        assert (got["rule"], got["resource"], got["limit"]) == ("few", "tcp::%d" % server.port, 1), got
        assert got["caller"]["address"] == "127.0.0.1" == event["caller"], (got, event)


weirtest.main(every_kind("own"), every_kind("sentinel"), without_a_rule, connections)
