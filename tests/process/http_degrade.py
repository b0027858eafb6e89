#!/usr/bin/python3
"""Circuits on inbound requests, each grade and way of recovery, on a real server: it fails or is slow, the circuit opens, its
clients get 503 without asking it; good probes close it."""
import weirtest

YEAR = 365 * 24 * 3600


def get(server, target, **more):
    return weirtest.ask(server.address, target=target, **more).status


def circuit(box, name):
    return (box.resource(name) or {"circuit": ""})["circuit"]


def opens(name, target, rule, calls):
    """These calls pass; the next is rejected; and what other resources do is of no interest."""
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules({"degrade": [dict({"id": "c", "resource": "GET:" + name, "timeWindow": YEAR}, **rule)]}))
        for _ in range(calls):
            assert get(server, target) != 503
        response = weirtest.ask(server.address, target=target)
        assert response.status == 503 and b'"reason":"degrade","rule":"c"' in response.body, response.body
        assert 3600 < int(response.header("retry-after"))
        assert get(server, "/small") == 200
        figures = box.resource("GET:" + name, now=True)
        assert (figures["circuit"], figures["total_pass"], figures["total_block"]) == ("open", calls, 1), figures


def grades():
    opens("/slow", "/slow?ms=30", {"grade": "slow", "count": 5, "slowRatioThreshold": 0.5, "minRequestAmount": 4, "statIntervalMs": 600000}, 4)
    opens("/error", "/error", {"grade": "exceptionRatio", "count": 0.5, "minRequestAmount": 3, "statIntervalMs": 600000}, 3)
    opens("/error", "/error", {"grade": 2, "count": 3, "minRequestAmount": 1, "statIntervalMs": 600000}, 4)
    opens("/slow", "/slow?ms=30", {"grade": "avgRt", "count": 5, "rtSlowRequestAmount": 3, "statIntervalMs": 600000}, 3)


def simulated():
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules({"degrade": [{"resource": "GET:/error", "grade": "exceptionCount", "count": 1, "minRequestAmount": 1,
                                                              "statIntervalMs": 600000, "timeWindow": YEAR, "mode": "simulate"}]}))
        assert [get(server, "/error") for _ in range(6)] == [500] * 6
        assert box.resource("GET:/error", now=True)["total_simulated"] > 0


def recovery(**rule):
    """The same resource answers badly by what it is asked: http::PORT is the one with the circuit."""
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        server = box.serve("asyncio", rules)
        name = "http::%d" % server.port
        box.edit(rules, {"degrade": [dict({"resource": name, "grade": "exceptionCount", "count": 1, "minRequestAmount": 2,
                                           "statIntervalMs": 600000, "timeWindow": 1}, **rule)]})
        weirtest.until(lambda: get(server, "/error") == 503, "the circuit to open")
        weirtest.until(lambda: get(server, "/error") == 500, "a probe, which is bad")
        weirtest.until(lambda: get(server, "/error") and circuit(box, name) == "open", "the circuit to open again")
        weirtest.until(lambda: get(server, "/small") and circuit(box, name) == "closed", "good probes", 60)
        assert [get(server, "/small") for _ in range(5)] == [200] * 5


def recoveries():
    recovery(recovery="single")
    recovery(recovery="gradual", recoverySteps=2, stepMinPass=2)


def probe_that_never_ends():
    """The client of the one probe goes away: the circuit does not stay half-open."""
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        server = box.serve("asyncio", rules)
        name = "http::%d" % server.port
        box.edit(rules, {"degrade": [{"resource": name, "grade": "exceptionCount", "count": 1, "minRequestAmount": 2, "statIntervalMs": 600000,
                                      "timeWindow": 1}]})
        weirtest.until(lambda: get(server, "/error") == 503, "the circuit to open")

        def probe():
            with weirtest.Held(server, 1) as held:
                weirtest.until(lambda: held.answered() or box.in_flight("GET:/held"), "it to be decided")
                return not held.answered()  # and its client is gone
        weirtest.until(probe, "a probe")
        weirtest.until(lambda: get(server, "/small") == 200, "another probe")


def all_of_a_side():
    """`"resource": "*"`: each on its own, but for those with a rule of their own and the exceptions."""
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules({"degrade": [
            {"resource": "*", "grade": "exceptionCount", "count": 1, "minRequestAmount": 1, "statIntervalMs": 600000, "timeWindow": YEAR,
             "side": "inbound", "exceptions": ["HEAD:/error"]}]}))
        assert get(server, "/small") == 200
        weirtest.until(lambda: get(server, "/error") == 503, "the circuit of /error")
        assert get(server, "/small") == 503  # the listener's has opened, too: it is a resource like any other


weirtest.main(grades, simulated, recoveries, probe_that_never_ends, all_of_a_side)
