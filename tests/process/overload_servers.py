#!/usr/bin/python3
"""Servers that are offered three times what they can carry, on new connections: without protection they serve almost no client in time;
with `adaptive` (delay) at least half of what they can. Same server, same run; tests/bench/overload.py measures it exactly."""
import os
import sys

import weirtest

sys.path.append(os.path.join(weirtest.ROOT, "tests", "bench"))
from busy_servers import alone, cores, placed, start  # noqa: E402
from openload import OPENLOAD, REJECTED, Load  # noqa: E402

PATIENCE_MS, SECONDS, SETTLED_S, TIMES = 500, 4.0, 1.5, 3
DELAY = {"adaptive": {"mode": "enforce", "algorithm": "delay"}}


def overloaded(address, capacity, options):
    """The part of a step of load in which the server has settled."""
    return Load(address, [("open", TIMES * capacity, SECONDS)], **options).result().phase(0, SETTLED_S)


def share(kind):
    """The server is overloaded without and with protection."""
    with alone(60), weirtest.Sandbox() as box:
        rules = box.rules({})
        address, _ = start(box, kind, rules)
        options = dict(path="/work", patience_ms=PATIENCE_MS, placed=placed(cores()[1]))
        capacity = Load(address, [("closed", 3, 2.0)], **options).result().phase(0, 0.5).goodput
        bare = overloaded(address, capacity, options)
        weirtest.until(lambda: Load(address, [("closed", 1, 0.2)], **options).result().phase(0).goodput > 0.3 * capacity,
                       "the end of what has piled up")
        box.edit(rules, DELAY)
        kept = overloaded(address, capacity, options)
        figures = "%s: capacity %.0f/s; without %.0f %%; with %.0f %% and %.0f %% rejected" % (
            kind, capacity, bare.goodput / capacity * 100, kept.goodput / capacity * 100, kept.rejected_share * 100)
        print("result: " + figures)
        assert bare.count(*REJECTED) == 0, figures
        assert kept.count(*REJECTED) > 0 and kept.goodput > 0.5 * capacity and kept.goodput > 2 * bare.goodput, figures


def event_loop():
    share("node")


def threads():
    share("threading")


weirtest.need_build(weirtest.WEIR, weirtest.LIBWEIR, OPENLOAD)
weirtest.main(event_loop, threads)
