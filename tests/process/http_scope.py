#!/usr/bin/python3
"""Who shares a threshold: nginx with four workers, `scope: process` up to four times the count, `scope: app` the count.

A2, A3: at many times the threshold no second, at whatever offset, admits more than it; what is counted against it is only
what provably fell inside. WEIR_TEST_SECONDS (default 5; 30 for the bar) is how long each load runs.
# timeout: 600"""
import os
import weirtest

SECONDS = float(os.environ.get("WEIR_TEST_SECONDS") or 5)


def load(workers, scope, count, connections=48):
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"id": "q", "resource": "GET:/small", "count": count, "scope": scope}]})
        server = box.serve("nginx", rules, workers=workers)
        load = weirtest.Load(server.address, weirtest.request("GET", "/small"), connections, SECONDS, 0.005).result()
        passed, most = load.count(200), load.most_in_a_second()
        share = passed / (count * load.active_seconds())
        print("%d workers, scope %s, count %d: %d of %d passed in %.1f s (%.1f %% of the threshold), at most %d in a second"
              % (workers, scope, count, passed, len(load.records), SECONDS, 100 * share, most))
        assert load.errors == 0, "%d connections broke" % load.errors
        assert load.count(200) + load.count(429) == len(load.records), "neither 200 nor 429 came"
        assert len(load.records) > 3 * passed, "this was no excess: %d requests" % len(load.records)
        return passed, most, share


def scope_process_one_worker():
    passed, most, share = load(1, "process", 100)
    assert most <= 100, "%d in one second" % most
    assert share >= 0.7, "only %.1f %% of the threshold was let through" % (100 * share)


def scope_app_four_workers():
    passed, most, share = load(4, "app", 100)
    assert most <= 100, "%d in one second" % most
    assert share >= 0.7, "only %.1f %% of the threshold was let through" % (100 * share)


def scope_app_eight_workers():
    passed, most, share = load(8, "app", 40)
    assert most <= 40, "%d in one second" % most
    assert share >= 0.7, "only %.1f %% of the threshold was let through" % (100 * share)


def scope_process_four_workers():
    passed, most, share = load(4, "process", 50)
    assert most <= 200, "%d in one second, four workers with 50 each" % most
    assert passed > 50 * (SECONDS + 1), "only %d passed: as if one worker's threshold were everybody's" % passed


weirtest.main(scope_process_one_worker, scope_app_four_workers, scope_app_eight_workers, scope_process_four_workers)
