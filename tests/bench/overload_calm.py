"""What overload protection must not do: harm an app whose neighbour on the host is overloaded, or reject anything of a normal day."""
import math
import os
import random

import weirtest
from busy_servers import MODES, SERVERS, Core, alone, cores, placed, start
from openload import REJECTED, Load

CAPACITY = [("closed", 3, 1.0), ("closed", 3, 2.0)]
DAY_S, PEAK, NIGHT = 1800.0, 0.75, 0.15


def _options(kind, connections="fresh"):
    return dict(path=SERVERS[kind].path, header=SERVERS[kind].header, keep_alive=connections == "kept", placed=placed(cores()[1]))


def _lost(phase):
    """What became of requests, other than being served."""
    return {"rejected": phase.count(*REJECTED), **phase.others}


def neighbours(arguments):
    """Two apps of one agent, on one core: one is offered three times what it can carry alone, the other a quarter."""
    kinds, failed = (arguments.servers * 2)[:2], 0
    weirtest.need_build(weirtest.WEIR_AGENT, weirtest.LIBWEIR)
    for mode in arguments.modes:
        with alone(), weirtest.Sandbox() as box:
            rules = {app: box.rules({}, app=app) for app in ("loaded", "quiet")}
            box.agent(*rules.values())
            loaded, quiet = [start(box, kind, app=app)[0] for kind, app in zip(kinds, ("loaded", "quiet"))]
            weirtest.until(lambda: all((box.app_status(app) or {}).get("processes") for app in ("loaded", "quiet")), "both apps")
            capacity = [Load(address, CAPACITY, **_options(kind)).result().phase(1).goodput for address, kind in zip((loaded, quiet), kinds)]
            for app in rules if MODES[mode] else ():
                before = box.version(app)
                rules[app].save(MODES[mode])
                weirtest.until(lambda: box.version(app) != before, "the rules to be published")
            calm = ("open", 0.25 * capacity[1], arguments.seconds)
            by_itself = Load(quiet, [calm], **_options(kinds[1])).result().phase(0)
            heavy = Load(loaded, [("open", 3 * capacity[0], arguments.seconds + 1)], seed=2, **_options(kinds[0]))
            beside = Load(quiet, [calm], **_options(kinds[1])).result().phase(0)
            storm = heavy.result().phase(0, 1.0)
        lost = {what: count for what, count in _lost(beside).items() if count}
        print("%-5s %s at 3 x its capacity: %.0f %% of it served, %.0f %% rejected; %s at 0.25 x beside it: %d of %d served, p99 %s ms "
              "(alone %.0f ms)%s" % (mode, kinds[0], storm.goodput / capacity[0] * 100, storm.rejected_share * 100, kinds[1],
                                     beside.count("200"), len(beside.records), "%.0f" % (beside.percentile(0.99) or 0),
                                     by_itself.percentile(0.99), "; LOST: %s" % lost if lost else ""), flush=True)
        failed += mode != "none" and bool(lost)
    return 1 if failed else 0


def _profile(capacity, seconds):
    """A phase for each 1/120 of half an hour around noon: it rises and falls once, varies by itself from minute to minute, and peaks at
    PEAK of the capacity."""
    chance, parts, drift = random.Random(7), 120, 0.0
    shape = []
    for part in range(parts):
        drift = 0.8 * drift + 0.2 * chance.uniform(-1, 1)
        shape.append(max(0.0, math.sin(math.pi * (part + 0.5) / parts) + drift / 2))
    most = max(shape)
    return [("open", (NIGHT + (PEAK - NIGHT) * value / most) * capacity, seconds / parts) for value in shape]


def day(arguments):
    """Half an hour of a normal day, replayed in arguments.seconds: nothing is rejected."""
    failed = 0
    print("%g minutes at %g times the speed, Poisson arrivals, peak %.0f %% of the capacity; load average %.1f" % (
        DAY_S / 60, DAY_S / arguments.seconds, PEAK * 100, os.getloadavg()[0]), flush=True)
    for kind in arguments.servers:
        for connections in arguments.connections:
            for mode in arguments.modes:
                with alone(), weirtest.Sandbox() as box:
                    rules = box.rules({})
                    address, programs = start(box, kind, rules)
                    core = Core(cores()[0], programs)
                    options = _options(kind, connections)
                    capacity = Load(address, [("closed", 3, SERVERS[kind].warm_s)] + CAPACITY[1:], **options).result().phase(1).goodput
                    box.edit(rules, MODES[mode])
                    phases = _profile(capacity, arguments.seconds)
                    core.watch([(0.0, arguments.seconds)])
                    load = Load(address, phases, **options).result()
                    disturbed = core.by_others()
                served = sum(record.result == "200" for record in load.records)
                rejected = sum(record.result in REJECTED for record in load.records)
                late = sorted(record.latency for record in load.records if record.result == "200")
                print("%-16s %-5s %-5s %d requests: %d served (p99 %.0f ms), %d rejected, %d else; capacity %.0f/s; others used "
                      "%.0f %% of the core%s" % (
                    kind, connections, mode, len(load.records), served, late[int(len(late) * 0.99)] * 1000, rejected,
                    len(load.records) - served - rejected, capacity, 100 * disturbed, ": the clients were late, %.0f ms" % load.late_ms if load.late_ms > 20 else ""),
                    flush=True)
                failed += rejected > 0
    return 1 if failed else 0
