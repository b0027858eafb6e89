"""The simulation of overload_model.h laid over real servers under the same load.

What the model is given is measured on the server in the same run: the time of a request, from the capacity, and of a rejection,
from how many a second there are when every request is rejected."""
import os
import subprocess

import weirtest
from busy_servers import MODES, SERVERS, alone, cores, placed, start
from openload import REJECTED, Load
from overload_report import Picture

SIMULATION = os.path.join(weirtest.BUILD, "tests", "bench", "overload_sim")
LANES = {"node": 1, "uvicorn": 1, "gunicorn-sync": 2, "apache-php": 30, "tomcat": 40}  # requests that are read and not answered yet
CALM_S, STORM_S, TIMES, SETTLED_S = 3.0, 10.0, 3, {"cpu": 5.0}


def _measured(box, kind, rules, mode, options):
    """(capacity, rejections a second, load), the rules being `mode`'s in the end."""
    address, _ = start(box, kind, rules)
    closed = [("closed", 3, SERVERS[kind].warm_s), ("closed", 3, 2.0)]
    capacity = Load(address, closed, **options).result().phase(1).goodput
    box.edit(rules, {"flow": [{"resource": "http::%d" % address[1], "count": 0}]})
    phase = Load(address, [("closed", 3, 1.0)], **options).result().phase(0)
    assert phase.count(*REJECTED) == len(phase.records), "not everything was rejected: %s" % phase.others
    box.edit(rules, MODES[mode])
    phases = [("open", 0.5 * capacity, CALM_S), ("open", TIMES * capacity, STORM_S), ("open", 0.5 * capacity, CALM_S)]
    return capacity, len(phase.records) / phase.seconds, Load(address, phases, **options).result()


def simulated(lanes, capacity, rejections, mode, phases):
    """[(goodput a second, rejected share)] of each bin"""
    line = [SIMULATION, str(lanes), "%.1f" % (1e6 / capacity), "%.1f" % (1e6 / rejections), "off" if mode == "none" else mode]
    out = subprocess.run(line + ["%g:%g" % (rate, seconds) for _, rate, seconds in phases], check=True, stdout=subprocess.PIPE, text=True).stdout
    bins = [[float(word) for word in text.split()] for text in out.splitlines()]
    return [(served * 4, rejected / max(1, offered)) for offered, served, rejected in bins]


def _settled(bins, mode):
    first, end = int((CALM_S + SETTLED_S.get(mode, 1.0)) * 4), int((CALM_S + STORM_S) * 4)
    return [sum(values) / (end - first) for values in zip(*bins[first:end])]


def laid(arguments):
    """Prints the differences, and draws both curves."""
    kinds = [kind for kind in arguments.servers if kind in LANES]
    drawing, failed = Picture(len(kinds), 2 * len(arguments.modes)), 0
    weirtest.need_build(SIMULATION)
    for column, kind in enumerate(kinds):
        for number, mode in enumerate(arguments.modes):
            options = dict(path=SERVERS[kind].path, header=SERVERS[kind].header, placed=placed(cores()[1]))
            with alone(), weirtest.Sandbox() as box:
                capacity, rejections, load = _measured(box, kind, box.rules({}), mode, options)
            length = 2 * CALM_S + STORM_S
            real = [(served, rejected) for served, _, rejected in load.whole().bins()]
            made = simulated(LANES[kind], capacity, rejections, mode, load.phases)
            (good, share), (good_made, share_made) = _settled(real, mode), _settled(made, mode)
            differs = abs(good - good_made) / capacity, abs(share - share_made)
            failed += max(differs) > 0.1
            print("%-14s %-5s %g x the capacity (%.0f/s; %.0f rejections/s): goodput %3.0f %% real, %3.0f %% simulated; rejected %3.0f %% "
                  "real, %3.0f %% simulated%s" % (kind, mode, TIMES, capacity, rejections, good / capacity * 100, good_made / capacity * 100,
                                                  share * 100, share_made * 100, "" if max(differs) <= 0.1 else ": DIFFERS"), flush=True)
            title = "%s, %s: goodput, as a share of the capacity" % (SERVERS[kind].title, mode)
            drawing.panel(column, 2 * number, title, length, 1.2, (0, 0.5, 1), [
                ("measured", [value / capacity for value, _ in real]), ("simulated", [value / capacity for value, _ in made])])
            drawing.panel(column, 2 * number + 1, "rejected share", length, 1, (0, 0.5, 1), [
                ("measured", [value for _, value in real]), ("simulated", [value for _, value in made])])
    drawing.legend(2 * len(arguments.modes), (("measured", "measured"), ("simulated", "simulated")))
    if arguments.output:
        drawing.save(arguments.output)
    return 1 if failed else 0
