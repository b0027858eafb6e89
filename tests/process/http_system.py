#!/usr/bin/python3
"""System rules, adaptive protection and priorities on real servers, each figure of its own: what is above it gets 503, what is
excepted does not, in mode simulate it is only counted."""
import math
import os
import sys
import time

import weirtest


def get(server, target, **more):
    return weirtest.ask(server.address, target=target, **more)


def of_system(response):
    return response.status == 503 and b'"reason":"system"' in response.body


def qps():
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules({"system": {"qps": 5, "exceptions": ["GET:/other"]}}))
        begin = time.monotonic()
        got = [get(server, "/small") for _ in range(30)]
        seconds = math.ceil(time.monotonic() - begin)
        assert len([response for response in got if response.status == 200]) <= 5 * seconds, got
        assert all(response.status == 200 or of_system(response) for response in got) and int(got[-1].header("retry-after", "1")) >= 1, got
        if seconds == 1:  # else the machine paused
            assert any(of_system(response) for response in got), got
        assert all(get(server, "/other").status == 200 for _ in range(20))
        weirtest.until(lambda: of_system(get(server, "/small")), "excepted requests to count all the same")


def threads():
    """`maxThread`, and who goes first: 8 of 10 places are for what is of low priority."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"system": {"maxThread": 10, "exceptions": ["GET:/other"]},
                           "isolation": [{"resource": "GET:/held", "count": 1000, "priority": "low"}]})
        server = box.serve("asyncio", rules)
        with weirtest.Held(server, 12) as held:
            held.wait_answered(4)
            assert get(server, "/small").status == 200  # of normal priority: there are two places left
            assert get(server, "/other").status == 200
            assert weirtest.statuses(held.release()) == {200: 8, 503: 4}
        box.edit(rules, {"system": {"maxThread": 2, "exceptions": ["GET:/other"]}})
        weirtest.until(lambda: box.in_flight("GET:/held") == 0, "nothing in flight any more")
        with weirtest.Held(server, 5) as held:
            held.wait_answered(3)
            assert of_system(get(server, "/small")) and get(server, "/other").status == 200
            assert weirtest.statuses(held.release()) == {200: 2, 503: 3}


def threads_of_an_app():
    with weirtest.Sandbox() as box:
        box.agent(box.rules({"system": {"maxThread": 3, "scope": "app"}}))
        first, second = box.serve("asyncio", preload=True), box.serve("asyncio", preload=True)
        with weirtest.Held(first, 2) as one:
            weirtest.until(lambda: box.in_flight("GET:/held") == 2, "two in flight")
            with weirtest.Held(second, 3) as other:
                other.wait_answered(2)
                assert of_system(get(first, "/small"))
                assert weirtest.statuses(other.release()) == {200: 1, 503: 2}
            assert weirtest.statuses(one.release()) == {200: 2}


def response_time():
    """`avgRt`: slow answers, and the next is refused; when there are none any more, it is as before."""
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules({"system": {"avgRt": 10, "exceptions": ["GET:/other"]}}))
        weirtest.until(lambda: get(server, "/slow?ms=60").status and of_system(get(server, "/small")), "a mean above 10 ms")
        assert get(server, "/other").status == 200
        weirtest.until(lambda: get(server, "/small").status == 200, "the slow ones to be of the past", pause=0.5)


def cpu():
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules({"system": {"highestCpuUsage": 0.0001, "exceptions": ["GET:/other"]}}))
        weirtest.until(lambda: of_system(get(server, "/small")), "the CPU to be in use")
        assert get(server, "/other").status == 200


def load():
    """`highestSystemLoad` arms the check; what it checks is whether more is in flight than the server gets through."""
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules({"system": {"highestSystemLoad": 0}}))

        def overloaded():
            for _ in range(20):
                assert get(server, "/small").status == 200  # the load alone rejects nothing
            with weirtest.Held(server, 6) as held:
                weirtest.until(lambda: box.in_flight("GET:/held") + len(held.answered()) == 6, "all to be decided")
                return 503 in weirtest.statuses(held.release())
        weirtest.until(overloaded, "more in flight than it gets through", 60)


def simulated():
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules({"system": {"qps": 0, "mode": "simulate"}}))
        assert all(get(server, "/small").status == 200 for _ in range(10))
        figures = box.resource("GET:/small", now=True)
        assert figures["total_simulated"] == 10 and figures["total_block"] == 0, figures


def adaptive():
    """The CPU is far above the target: some are refused, unless they are excepted, or it is only tried out."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"adaptive": {"mode": "simulate", "algorithm": "cpu", "cpu": 0.01, "exceptions": ["GET:/other"]}})
        server = box.serve("nginx", rules)

        def simulated():
            assert all(get(server, "/small").status == 200 for _ in range(50))
            return (box.resource("GET:/small") or {"total_simulated": 0})["total_simulated"] > 0
        weirtest.until(simulated, "requests that it would have rejected", 60)
        box.edit(rules, {"adaptive": {"mode": "enforce", "algorithm": "cpu", "cpu": 0.01, "exceptions": ["GET:/other"]}})

        def rejected():
            found = [get(server, "/small") for _ in range(50)]
            return [response for response in found if response.status == 503]
        responses = weirtest.until(rejected, "requests that it rejects", 60)
        assert b'"reason":"adaptive"' in responses[0].body, responses[0].body
        assert all(get(server, "/other").status == 200 for _ in range(20))
        box.edit(rules, {"adaptive": {"mode": "off"}})
        weirtest.until(lambda: all(get(server, "/small").status == 200 for _ in range(50)), "it to be off")


def others_are_busy():
    """An idle application is not shut off because other programs use the CPU; nice 19 or not is all the same to it."""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules({"adaptive": {"mode": "enforce", "algorithm": "cpu", "cpu": 0.5}}))
        loops = [box.start("busy", ["nice", "-n", "19", sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
        begin, got = time.monotonic(), []
        while time.monotonic() - begin < 4:
            got.append(get(server, "/small").status)
            time.sleep(0.05)
        for loop in loops:
            loop.kill()
        assert set(got) == {200}, got


weirtest.main(qps, threads, threads_of_an_app, response_time, cpu, load, simulated, adaptive, others_are_busy)
