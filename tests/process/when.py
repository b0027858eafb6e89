#!/usr/bin/python3
"""Times of day on real servers: a rule is in force within its window and not outside of it, by the clocks of its zone; it comes and
goes by itself, at the moment and without an agent; a clock that is set counts at once."""
import datetime
import json
import mmap
import os
import signal
import struct
import time
import zoneinfo

import weirtest

WALL_AT = 512 + 12 * 256  # of layout_rules_header.wall_ns
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def rule(when, **more):
    return {"flow": [dict({"id": "night", "resource": "GET:/small", "count": 0, "when": when}, **more)]}


def around_now(zone, before, after):
    """From so many minutes before now to so many after, as the clocks of the zone show it."""
    now = datetime.datetime.now(zoneinfo.ZoneInfo(zone))
    at = [now + datetime.timedelta(minutes=minutes) for minutes in (-before, after)]
    return {"days": [DAYS[at[0].weekday()]], "from": at[0].strftime("%H:%M"), "to": at[1].strftime("%H:%M"), "tz": zone}


def whole_window(box, server, rules, kind):
    """Zones at both ends of the day; each edit moves the window over now, or away from it."""
    for zone in ("UTC", "Etc/GMT+12", "Etc/GMT-14", "Asia/Kathmandu", "Europe/Berlin"):
        within, gone, later = around_now(zone, 120, 120), around_now(zone, 240, -120), around_now(zone, -120, 240)
        for when, expected in ((within, 429), (gone, 200), ([later, within], 429), ([gone, later], 200)):
            box.edit(rules, kind(when))
            got = weirtest.ask(server.address).status
            assert got == expected, "%r at %s: %d" % (when, time.ctime(), got)


def within_and_outside():
    with weirtest.Sandbox() as box:
        rules = box.rules(rule({"days": "mon-sun", "from": "00:01"}))
        server = box.serve("nginx", rules)
        whole_window(box, server, rules, rule)
        # Two rules about one resource, by day and by night: one of them is in force at any time.
        day, night = around_now("UTC", 120, 120), around_now("UTC", -120, 1320)
        box.edit(rules, {"flow": [{"id": "day", "resource": "GET:/small", "count": 3, "per": "hour", "when": day},
                                  {"id": "night", "resource": "GET:/small", "count": 0, "when": night}]})
        got = weirtest.statuses(weirtest.ask(server.address) for _ in range(5))
        assert got == {200: 3, 429: 2}, got
        box.edit(rules, {"system": {"qps": 0, "when": night}})
        assert weirtest.ask(server.address).status == 200
        box.edit(rules, {"system": {"qps": 0, "when": day}})
        assert weirtest.ask(server.address).status == 503


def set_clock(box, seconds):
    """As an agent would whose CLOCK_REALTIME has been set: so that now is that Unix time."""
    with open(os.path.join(box.run_dir, box.app + ".rules"), "r+b") as file, mmap.mmap(file.fileno(), 4096) as page:
        page[WALL_AT:WALL_AT + 8] = struct.pack("<Q", int((seconds - time.monotonic()) * 1e9))


def by_itself():
    """The agent is stopped: what it published, it published for a year."""
    start = int(time.time()) // 86400 * 86400 + 30 * 86400 + 22 * 3600  # 22:00 UTC on a day next month
    with weirtest.Sandbox() as box:
        window = {"from": "22:00", "to": "22:01", "tz": "Etc/UTC"}
        rules = rule(window)
        rules["flow"] += [{"id": "unmet", "resource": "GET:/never", "count": 1},
                          {"id": "asleep", "resource": "GET:/never", "count": 1, "when": window}]
        rules = box.rules(rules)
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True, workers=2)
        weirtest.until(lambda: len(box.app_status()["processes"]) >= 2, "both workers")
        os.kill(agent.pid, signal.SIGSTOP)
        for moment, before, after in ((start, 200, 429), (start + 60, 429, 200)):
            began = time.monotonic()
            set_clock(box, moment - 1.5)
            seen = []
            while time.monotonic() - began < 3.0:
                at = time.monotonic() - began - 1.5
                seen.append((at, weirtest.ask(server.address).status, time.monotonic() - began - 1.5))
                time.sleep(0.005)
            # Some look after the clock, which is set under them, every tenth of a second.
            early = {status for _, status, at in seen if -1.0 < at < -0.05}
            late = {status for at, status, _ in seen if at > 0.05}
            assert early == {before} and late == {after}, (moment - start, early, late, seen[-1])
        for moment, expected in ((start + 30, 429), (start + 3600, 200), (start - 1, 200), (start + 86400 * 340 + 5, 429),
                                 (start + 86400 * 500, 429), (start - 40 * 86400 - 3600, 200)):
            set_clock(box, moment)
            weirtest.until(lambda: [weirtest.ask(server.address).status for _ in range(6)] == [expected] * 6,
                           "%d at %d s from the window's beginning" % (expected, moment - start), 10)
        os.kill(agent.pid, signal.SIGCONT)
        now = datetime.datetime.now(datetime.timezone.utc)
        expected = 429 if (now.hour, now.minute) == (22, 0) else 200
        weirtest.until(lambda: weirtest.ask(server.address).status == expected, "the agent's own clock again")

        def unmet():
            weirtest.ask(server.address)
            return {entry["rule"] for entry in box.app_status()["unmet"]}
        weirtest.until(lambda: "unmet" in unmet(), "the rule that no traffic has met")
        assert unmet() == {"unmet"}, "a rule that is not in force at this time has nothing to meet: %r" % unmet()


def another_server():
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(around_now("America/New_York", 60, 60)))
        server = box.serve("threading", rules)
        assert weirtest.ask(server.address).status == 429
        box.edit(rules, rule(around_now("America/New_York", -60, 120)))
        assert weirtest.ask(server.address).status == 200


def shown_by_the_tools():
    """`weir check`, `explain --at` and `status`, of a rule that begins in three hours in Berlin."""
    os.environ["TZ"] = "America/New_York"  # whose clock the reader of the output has
    with weirtest.Sandbox() as box:
        now = datetime.datetime.now(zoneinfo.ZoneInfo("Europe/Berlin"))
        soon = {"from": (now + datetime.timedelta(hours=3)).strftime("%H:00"), "tz": "Europe/Berlin"}
        soon["to"] = (now + datetime.timedelta(hours=5)).strftime("%H:00")
        begin = (now + datetime.timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
        rules = box.rules(dict(rule(soon), system={"qps": 1, "when": soon}))
        begins = begin.astimezone(zoneinfo.ZoneInfo("America/New_York"))
        shown = begins.strftime("%Y-%m-%d %H:00 ") + begins.tzname()
        printed = box.weir("check", rules.path, check=0).stdout
        assert "rule night, %s-%s Europe/Berlin: not in force until " % (soon["from"], soon["to"]) in printed and shown in printed, printed
        times = {entry["rule"]: entry for entry in json.loads(box.weir("check", "--json", rules.path, check=0).stdout)["times"]}
        assert times["night"]["until"] == begin.timestamp() and times["night"]["next"] == begin.timestamp() + 7200, times
        assert not times["night"]["now"] and not any(entry["now"] for entry in times.values()) and len(times) == 2, times

        def explained(*options):
            result = json.loads(box.weir("explain", "-r", rules.path, "-j", *options, "--", "GET /small", check=0).stdout)
            return ({rule["id"] for resource in result["resources"] for rule in resource["rules"]},
                    {near["id"]: near["why"] for near in result["near_misses"]})
        met, near = explained()
        assert met == set() and len(near) == 2 and "not in force until" in near["night"], (met, near)
        for at in (begins.strftime("%Y-%m-%dT%H:00"), begins.strftime("%Y-%m-%d %H:00:00"),
                   begin.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:00Z")):
            met, near = explained("--at", at)
            assert "night" in met and near == {}, (at, met, near)
        for at in ("noon", "2027-02-29T10:00", "2026-02-30 10:00Z", "2026-04-31T10:00", "2107-01-01T10:00", "9999-01-01T10:00"):
            assert "expected a time before 2100" in box.weir("explain", "-r", rules.path, "--at", at, "--", "GET /small", check=2).stderr, at
        server = box.serve("nginx", rules)
        assert weirtest.ask(server.address).status == 200
        entry = next(entry for entry in box.app_status()["times"] if entry["rule"] == "night")
        assert entry["now"] is False and entry["until"] == begin.timestamp(), entry
        printed = box.weir("status", check=0).stdout
        assert "rule night is not in force until" in printed and shown in printed, printed


def add_to_clock(pid, seconds):
    """What a process of the app can do with the memory that all of them share: the engine clock's offset, which is written once."""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "r+b", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start = int(span.partition("-")[0], 16)
            if rights != "rw-s" or os.pread(memory.fileno(), 8, start) != b"wircount":
                continue
            offset, = struct.unpack("<Q", os.pread(memory.fileno(), 8, start + 32))
            os.pwrite(memory.fileno(), struct.pack("<Q", (offset + seconds * 10**9) % 2**64), start + 32)
            return
    raise AssertionError("no counters are mapped")


def by_no_process_of_the_app():
    """The time of day of each process is its own and the agent's, whatever another one of them writes."""
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(around_now("UTC", 120, 120)))
        server = box.serve("nginx", rules, workers=2)
        assert weirtest.ask(server.address).status == 429
        add_to_clock(server.workers()[0], 20000)
        began, seen = time.monotonic(), set()
        while time.monotonic() - began < 2.5:  # who believed it would ask the agent within a second, and go by it
            seen.add(weirtest.ask(server.address).status)
            time.sleep(0.02)
        assert seen == {429}, seen


weirtest.main(shown_by_the_tools, within_and_outside, by_itself, another_server, by_no_process_of_the_app)
