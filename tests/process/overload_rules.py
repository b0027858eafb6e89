#!/usr/bin/python3
"""What adaptive protection by CPU spares, on real servers: excepted resources, health checks (a few a second), a minimum of each
second's requests, and what is critical as long as there is something less important to reject."""
import contextlib
import threading
import time

import weirtest

KINDS = ("nginx", "asyncio")


@contextlib.contextmanager
def flood(server, target):
    """Requests one after the other until its end; yields what became of them."""
    statuses, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            statuses.append(weirtest.ask(server.address, target=target).status)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def rejects_most(statuses):
    """Condition: of the last requests at least nine in ten are rejected."""
    last = statuses[-100:]
    return len(last) == 100 and last.count(503) >= 90


def spares(kind):
    rule = {"mode": "enforce", "algorithm": "cpu", "cpu": 0.01, "minPass": 3, "exceptions": ["GET:/other"]}
    with weirtest.Sandbox() as box:
        server = box.serve(kind, box.rules({"adaptive": rule}))

        def ask(target):
            return weirtest.ask(server.address, target=target).status
        with flood(server, "/small") as statuses:
            weirtest.until(lambda: rejects_most(statuses), "the target to be kept to", 60)
            assert all(ask("/other") != 503 for _ in range(30)), "an excepted resource"

            begin = time.monotonic()
            checks = [ask("/healthz?full=1") for _ in range(60)]
            passed, seconds = len([status for status in checks if status != 503]), int(time.monotonic() - begin) + 2
            assert passed >= 5, checks
            assert passed <= seconds * (5 + 3) + 10, (passed, seconds)  # and what passes as any other does
            assert 503 in checks, checks

            def a_second():  # one that lies wholly within the flood: whatever passed since
                first, begin = len(statuses), time.monotonic()
                weirtest.until(lambda: time.monotonic() - begin >= 2, "two seconds to go by", pause=0.1)
                return statuses[first:]
            found = a_second()
            assert 503 in found and len(found) - found.count(503) >= 3, found  # one whole second is among the two


def priorities(kind):
    rules = {"adaptive": {"mode": "enforce", "algorithm": "cpu", "cpu": 0.2},
             "isolation": [{"resource": "GET:/small", "count": 1000, "priority": "low"},
                           {"resource": "GET:/other", "count": 1000, "priority": "critical"}]}
    with weirtest.Sandbox() as box:
        server = box.serve(kind, box.rules(rules))
        with flood(server, "/small") as statuses:
            weirtest.until(lambda: 503 in statuses[-100:], "requests of low priority to be rejected", 60)
            first, critical = len(statuses), []
            while statuses[first:].count(503) < 100:
                critical.append(weirtest.ask(server.address, target="/other").status)
                time.sleep(0.05)
            assert critical.count(503) * 10 <= len(critical), critical


def spares_each():
    for kind in KINDS:
        spares(kind)


def beside_sentinels_rules():
    """With "compat": "sentinel", too; and Sentinel's rules say what they say."""
    rules = {"options": {"compat": "sentinel"}, "flow": [{"resource": "GET:/slow", "count": 0}],
             "adaptive": {"mode": "enforce", "algorithm": "cpu", "cpu": 0.01, "exceptions": ["GET:/other"]}}
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules(rules))
        with flood(server, "/small") as statuses:
            weirtest.until(lambda: rejects_most(statuses), "the target to be kept to", 60)
            assert all(weirtest.ask(server.address, target="/other").status != 503 for _ in range(30)), "an excepted resource"
            assert weirtest.ask(server.address, target="/slow?ms=1").status == 429, "Sentinel's own rule"
            rejected = weirtest.until(lambda: next((response for response in [weirtest.ask(server.address, target="/small")]
                                                    if response.status == 503), None), "one to be rejected")
            assert b'"reason":"adaptive"' in rejected.body and int(rejected.header("retry-after")) >= 1, rejected
        weirtest.until(lambda: box.in_flight("GET:/small") == 0, "nothing to be in flight")


def priorities_each():
    for kind in KINDS:
        priorities(kind)


weirtest.main(spares_each, beside_sentinels_rules, priorities_each)
