#!/usr/bin/python3
"""What adaptive protection does for real, overloaded servers.

    tests/bench/overload.py steps [--servers A,B] [--modes none,delay,cpu] [--connections fresh,kept] [--seconds S] [-o FILE]
    tests/bench/overload.py neighbours [--servers A,B] [--modes …] [--seconds S]      one app is overloaded, another is not
    tests/bench/overload.py day [--servers A,B] [--modes …] [--connections …]         a normal day, replayed
    tests/bench/overload.py laid [--servers A,B] [--modes …] [-o PICTURE.svg]         the simulation over real runs
    tests/bench/overload.py report FILE [--page docs/overload.md] [--picture docs/overload.svg]

steps: Each server runs on one core, the clients on another. In one run: its capacity (closed loop), then requests in open loop at 0.2 times
the capacity, 2 times for S seconds, 0.3 times, 4 times for S seconds, 0.3 times. A client has a second's patience. Exit status 1 where
a mode with protection misses the bar."""
import argparse
import datetime
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "process"), HERE]
import overload_calm  # noqa: E402
import overload_laid  # noqa: E402
import overload_report  # noqa: E402
import weirtest  # noqa: E402
from openload import LATE_MS, PATIENCE_MS, REJECTED, Load  # noqa: E402
from busy_servers import MODES, SERVERS, Core, alone, cores, placed, start  # noqa: E402

CLOSED = 3  # clients that keep a server busy, and no more: what they wait for is below any target
CAPACITY_S, CALM_S, AFTER_S = 2.5, 2.0, 3.0
CALM, BACK, STEPS = 0.2, 0.3, (2, 4)
SETTLED_S = {"none": 1.0, "delay": 1.0, "cpu": 5.0}  # from then on the goodput counts
DISTURBED, AGAIN = 0.15, 2  # when others use more of the server's core, a run is repeated, so many times at most
START_S = 1.5  # what a start and an end take, about


def step_seconds(arguments, kind, mode):
    """Without protection a server is down at once, and stays there: half as long shows it, except where the picture is drawn."""
    return arguments.seconds / 2 if mode == "none" and kind not in overload_report.PICTURED else arguments.seconds


def seconds_of(arguments, kind, mode):
    step = step_seconds(arguments, kind, mode)
    return START_S + SERVERS[kind].warm_s + CAPACITY_S + CALM_S + len(STEPS) * (step + AFTER_S)


def combinations(arguments):
    for kind in arguments.servers:
        for connections in arguments.connections:
            if connections == "kept" and not SERVERS[kind].keeps_alive:
                continue
            for mode in arguments.modes:
                yield kind, connections, mode


def after_the_load(load, phase):
    """How long after a step's end something was rejected, in seconds; None if nothing was."""
    late = [record.at - phase.begin for record in phase.records if record.result in REJECTED]
    return max(late) if late else None


def judged(mode, row):
    """What of the bar is missed."""
    missed = []
    for step in row["steps"]:
        times = "%g x: " % step["times"]
        if step["goodput"] < 0.9:
            missed.append(times + "goodput %.0f %%" % (step["goodput"] * 100))
        if step["p99_ms"] is None or step["p99_ms"] > max(5 * row["unloaded_p99_ms"], 100):
            missed.append(times + "p99 %s ms" % (step["p99_ms"] and "%.0f" % step["p99_ms"]))
        if step["rejected_sd"] > 0.1 * step["rejected"]:
            missed.append(times + "sd of the rejected share %.0f %% of it" % (100 * step["rejected_sd"] / max(step["rejected"], 1e-9)))
        if step["last_rejection_s"] is not None and step["last_rejection_s"] > 2:
            missed.append(times + "rejected %.1f s later" % step["last_rejection_s"])
    return missed


def one(kind, connections, mode, seconds):
    """Capacity and steps of one server."""
    settled = min(SETTLED_S[mode], seconds / 2)
    with alone(), weirtest.Sandbox() as box:
        rules = box.rules({})  # at first: to measure the capacity is an overload, too
        address, programs = start(box, kind, rules)
        core, closed_core = Core(cores()[0], programs), Core(cores()[0], programs)
        options = dict(path=SERVERS[kind].path, header=SERVERS[kind].header, keep_alive=connections == "kept", placed=placed(cores()[1]))
        closed_core.watch([(SERVERS[kind].warm_s, SERVERS[kind].warm_s + CAPACITY_S)])
        closed = Load(address, [("closed", CLOSED, SERVERS[kind].warm_s), ("closed", CLOSED, CAPACITY_S)], **options).result().phase(1)
        capacity = closed.goodput
        assert capacity > 0, "%s serves nothing: %s" % (kind, closed.others)
        if MODES[mode]:
            box.edit(rules, MODES[mode])
        phases = [("open", CALM * capacity, CALM_S)]
        for times in STEPS:
            phases += [("open", times * capacity, seconds), ("open", BACK * capacity, AFTER_S)]
        begins = [sum(phase[2] for phase in phases[:number]) for number in range(len(phases))]
        core.watch([(begins[1 + 2 * number], begins[2 + 2 * number]) for number in range(len(STEPS))])
        load = Load(address, phases, **options).result()
        disturbed = max(core.by_others(), closed_core.by_others())
    calm = load.phase(0)
    row = {"server": kind, "connections": connections, "mode": mode, "capacity": capacity, 
           "closed_p99_ms": closed.percentile(0.99), "unloaded_p99_ms": calm.percentile(0.99) or 1000.0,
           "calm_rejected": calm.count(*REJECTED), "generator_late_ms": load.late_ms, "generator_cpu": load.cpu, "disturbed": disturbed, "steps": [],
           "profile": phases, "bins": load.whole().bins()}
    for number, times in enumerate(STEPS):
        step, after = load.phase(1 + 2 * number, settled), load.phase(2 + 2 * number)
        mean, deviation = step.steadiness()
        row["steps"].append({
            "times": times, "offered": len(step.records) / step.seconds, "goodput": step.goodput / capacity,
            "p50_ms": step.percentile(0.5), "p99_ms": step.percentile(0.99), "rejected": mean, "rejected_sd": deviation,
            "others": step.others, "last_rejection_s": after_the_load(load, after), "after_goodput": after.goodput / (BACK * capacity)})
    row["missed"] = judged(mode, row)
    return row


def line_of(row):
    text = "%-16s %-5s %-5s %6.0f/s, p99 %4.0f ms" % (row["server"], row["connections"], row["mode"], row["capacity"],
                                                     row["unloaded_p99_ms"])
    for step in row["steps"]:
        text += " | %gx: %3.0f %%, p99 %s ms, rejected %2.0f±%.1f %%, until %s" % (
            step["times"], step["goodput"] * 100, "-" if step["p99_ms"] is None else "%4.0f" % step["p99_ms"], step["rejected"] * 100,
            step["rejected_sd"] * 100, "-" if step["last_rejection_s"] is None else "%.1f s" % step["last_rejection_s"])
    if row["disturbed"] > DISTURBED:
        text += " | others used %.0f %% of the server's core" % (row["disturbed"] * 100)
    if row["generator_late_ms"] > LATE_MS:
        text += " | the clients were late themselves: %.0f ms" % row["generator_late_ms"]
    return text


def steps(arguments):
    weirtest.need_build(weirtest.WEIR, weirtest.LIBWEIR)
    todo = list(combinations(arguments))
    total = sum(seconds_of(arguments, kind, mode) for kind, _, mode in todo)
    print("%d runs, about %d minutes; load average %.1f" % (len(todo), total / 60 + 1, os.getloadavg()[0]), flush=True)
    result = {"date": datetime.datetime.now().isoformat(timespec="minutes"), "seconds": arguments.seconds,
              "patience_ms": PATIENCE_MS, "cores": len(os.sched_getaffinity(0)), "rows": []}
    failed = 0
    for kind, connections, mode in todo:
        seconds = step_seconds(arguments, kind, mode)
        before = time.monotonic()
        try:
            for _ in range(1 + AGAIN):
                row = one(kind, connections, mode, seconds)
                if row["disturbed"] <= DISTURBED and row["generator_late_ms"] <= LATE_MS:
                    break
                print(line_of(row) + ": again", flush=True)
        except weirtest.Skip as why:
            print("SKIP %s: %s" % (kind, why), flush=True)
            continue
        except AssertionError as error:
            print("FAILED %s %s %s: %s" % (kind, connections, mode, str(error)[:300]), flush=True)
            failed += 1
            continue
        row["load_average"] = os.getloadavg()[0]
        result["rows"].append(row)
        print(line_of(row) + " (%.0f s, load %.1f)" % (time.monotonic() - before, row["load_average"]), flush=True)
        if mode != "none" and row["missed"]:
            print("    missed: " + "; ".join(row["missed"]), flush=True)
            failed += 1
        if arguments.output:
            with open(arguments.output + ".new", "w") as file:
                json.dump(result, file)
            os.replace(arguments.output + ".new", arguments.output)
    return 1 if failed else 0


def report(arguments):
    with open(arguments.file) as file:
        result = json.load(file)
    lines = overload_report.tables(result)
    if arguments.page:
        overload_report.into_page(arguments.page, lines)
    else:
        print("\n".join(lines))
    if arguments.picture:
        overload_report.picture(result, arguments.picture)
    return 0


def listed(known):
    def parse(text):
        chosen = text.split(",")
        wrong = [name for name in chosen if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError("unknown: %s; there are %s" % (", ".join(wrong), ", ".join(known)))
        return chosen
    return parse


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, servers, modes, seconds in (("steps", steps, list(SERVERS), list(MODES), 20),
                                               ("neighbours", overload_calm.neighbours, ["node", "threading"], ["none", "delay", "cpu"], 10),
                                               ("laid", overload_laid.laid, ["node", "apache-php"], ["none", "delay", "cpu"], 8),
                                               ("day", overload_calm.day, ["node", "threading"], ["delay", "cpu"], 60)):
        command = commands.add_parser(name)
        command.add_argument("--servers", type=listed(SERVERS), default=servers)
        command.add_argument("--modes", type=listed(MODES), default=modes)
        command.add_argument("--connections", type=listed(("fresh", "kept")), default=["fresh", "kept"] if name == "steps" else ["fresh"])
        command.add_argument("--seconds", type=float, default=seconds)
        command.add_argument("-o", "--output")
        command.set_defaults(run=run)
    command = commands.add_parser("report")
    command.add_argument("file")
    command.add_argument("--page")
    command.add_argument("--picture")
    command.set_defaults(run=report)
    arguments = parser.parse_args()
    sys.exit(arguments.run(arguments))


if __name__ == "__main__":
    main()
