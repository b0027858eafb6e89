#!/usr/bin/python3
"""`simulate` counts what it would have rejected and rejects nothing; `off` does nothing; several rules on a resource all
count; `weir off` lets everything pass, `weir on` ends that."""

import weirtest

SMALL = weirtest.request("GET", "/small")


def answers(server, count=20):
    with weirtest.Connection(server.address) as connection:
        connection.send(SMALL * count)
        return weirtest.statuses([connection.response() for _ in range(count)])


def rule(**fields):
    return {"flow": [dict({"id": "r", "resource": "GET:/small", "count": 0}, **fields)]}


def simulate_and_off():
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(mode="simulate"))
        server = box.serve("nginx", rules)
        assert answers(server) == {200: 20}, "simulate rejected"
        figures = box.resource("GET:/small", now=True)
        assert figures["total_simulated"] == 20 and figures["total_block"] == 0 and figures["total_pass"] == 20, figures
        box.edit(rules, rule(mode="off"))
        assert answers(server) == {200: 20}, "a rule that is off rejected"
        box.edit(rules, rule())
        assert answers(server) == {429: 20}, "back in force it does not reject"
        box.edit(rules, {})
        assert answers(server) == {200: 20}, "a rule that is gone still rejects"


def several_rules():
    """The strictest decides; a simulated one beside it does not."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [
            {"id": "wide", "resource": "GET:/small", "count": 1000},
            {"id": "strict", "resource": "GET:/small", "count": 5},
            {"id": "dry", "resource": "GET:/small", "count": 1, "mode": "simulate"}]})
        server = box.serve("nginx", rules)
        responses = weirtest.counted_burst(server.address, 20, SMALL, 5)
        blockers = {response.header("ratelimit").split('"')[1] for response in responses if response.status == 429}
        assert blockers == {"strict"}, blockers


def names_and_patterns():
    """resourceMatch, http::PORT for all of a listener, and limits that count each matching resource on its own."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [
            {"id": "pattern", "resource": "GET:/inde*", "resourceMatch": "glob", "count": 0},
            {"id": "prefix", "resource": "GET:/oth", "resourceMatch": "prefix", "count": 0},
            {"id": "regex", "resource": "(GET|HEAD):/b[il].*", "resourceMatch": "regex", "count": 0}]})
        server = box.serve("nginx", rules)
        for target, status in (("/index.html", 429), ("/other", 429), ("/other?x=1", 429), ("/big", 429),
                               ("/blocked", 429), ("/small", 200), ("/small?a=/other", 200)):
            response = weirtest.ask(server.address, target=target)
            assert response.status == status, "%s: %r" % (target, response)
        assert weirtest.ask(server.address, "HEAD", "/big").status == 429
        box.edit(rules, {"flow": [{"resource": "http::%d" % server.port, "count": 0}]})
        for target in ("/small", "/other", "/nowhere"):
            assert weirtest.ask(server.address, target=target).status == 429, target


def routes():
    """A configured route is one resource whatever its segment; without one, numbers become {id}."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"resources": [{"kind": "route", "name": "GET:/product/{id}", "pattern": "/product/{id}"}],
                           "flow": [{"resource": "GET:/product/{id}", "count": 3, "intervalSec": 3600},
                                    {"resource": "GET:/learnt/{id}", "count": 2, "intervalSec": 3600}]})
        server = box.serve("nginx", rules)
        for prefix, allowed in (("/product/", 3), ("/learnt/", 2)):
            with weirtest.Connection(server.address) as connection:
                for number in range(10):
                    connection.send(weirtest.request("GET", "%s%d" % (prefix, number + 4711)))
                counts = weirtest.statuses([connection.response() for _ in range(10)])
            assert counts == {404: allowed, 429: 10 - allowed}, "%s: %r" % (prefix, counts)


def break_glass():
    with weirtest.Sandbox() as box:
        rules = box.rules(rule())
        server = box.serve("nginx", rules, workers=2)
        assert answers(server) == {429: 20}
        box.weir("off", box.app, check=0)
        assert answers(server) == {200: 20}, "off, and still it rejects"
        assert box.app_status()["off"] is True
        box.edit(rules, rule(id="other"))
        assert answers(server) == {200: 20}, "an edit of the rules ended `weir off`"
        box.weir("on", box.app, check=0)
        assert answers(server) == {429: 20}, "on again, and it rejects nothing"
        assert box.weir("off", "no-such-app").returncode == 1


def disabled_by_environment():
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(rule()), env={"WEIR_DISABLE": "1"})
        assert answers(server) == {200: 20}, "WEIR_DISABLE=1, and still it rejects"


weirtest.main(simulate_and_off, several_rules, names_and_patterns, routes, break_glass, disabled_by_environment)
