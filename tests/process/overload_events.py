#!/usr/bin/python3
"""An episode of overload protection as events: it begins, goes on and is over, with the application's figures, in `weir events`, the
journal's fields, `weir status` and `weir top`; in mode simulate the same, and nothing is rejected."""
import collections
import contextlib
import json
import signal
import sys
import threading
import time

import weirtest
from harness.crowd import Crowd
from harness import terminal

# An unmodified server that answers one request after the other, two hundred a second: it waits for something, and needs no CPU. Or it
# reads all of them at once, and they wait inside.
SERVER = """
import http.server, sys, threading, time
one = threading.Lock()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with one: time.sleep(0.005)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\\n")
    def log_message(self, *_): pass
http.server.HTTPServer.request_queue_size = 128
getattr(http.server, sys.argv[2])(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
CLIENTS = 48
MOST_A_SECOND = 200


class Place:
    def __init__(self, mode, stack, kind="HTTPServer"):
        self.mode, self.box = mode, stack.enter_context(weirtest.Sandbox(app="shop-" + mode))
        self.address = ("127.0.0.1", weirtest.free_port())
        self.rules = self.box.rules({"adaptive": {"mode": mode, "algorithm": "delay"}})
        self.program = self.box.weir_run("server", self.rules, [sys.executable, "-c", SERVER, str(self.address[1]), kind], options=("-v",))
        weirtest.until(lambda: weirtest.listening(self.address), "the server to listen")
        assert weirtest.ask(self.address).status == 200

    def events(self, stage):
        lines = self.box.weir("events", "--json", "--kind", "adaptive", check=0).stdout.splitlines()
        return [event for event in map(json.loads, lines) if event["episode"] == stage]

    def overload(self):
        return self.box.app_status(self.box.app).get("overload")


def plausible(event, mode, lasts):
    """What every event of the episode says, and no figure that cannot be."""
    assert "resource" not in event, "it is about all of them"
    assert "pid" not in event and "process " not in event["text"], "and about the app as a whole"
    assert event["mode"] == mode and event["rule"] == "adaptive" and event["level"] == "warning", event
    assert 0 <= event["goodput"] <= MOST_A_SECOND * 1.2 and 0 <= event["goodput_before"] <= MOST_A_SECOND * 1.2, event
    assert 0 <= event["wait_ms"] < 60000 and 0 <= event.get("cpu", 0) <= 1, event
    assert ("rejected" in event) == lasts, "a share of the requests of the episode: at its begin there are none"
    assert 0 <= event.get("rejected", 0) <= 1, event
    assert ("simulated" in event["text"]) == (mode == "simulate"), event


def begins(place):
    began = weirtest.until(lambda: place.events("began"), "the episode of %s to begin" % place.mode)[0]
    plausible(began, place.mode, False)
    assert began["wait_ms"] >= 20 and "overload began (rule adaptive" in began["text"] and "requests wait " in began["text"], began
    overload = weirtest.until(place.overload, "the status to say so")
    assert overload["rule"] == "adaptive" and overload["simulated"] == (place.mode == "simulate"), overload
    assert 0 <= overload["goodput"] <= MOST_A_SECOND * 1.5 and overload["lasted_s"] < 30, overload
    for command in (["status"], ["top", "--once"]):
        assert "OVERLOAD for " in place.box.weir(*command, check=0).stdout, command
    with terminal.Terminal([weirtest.WEIR, "top"], place.box.environment(), rows=24, columns=100) as top:
        top.wait_for("OVERLOAD for ")


def goes_on(place):
    event = weirtest.until(lambda: place.events("goes-on"), "the episode of %s to go on" % place.mode, 40)[0]
    plausible(event, place.mode, True)
    assert event["rejected"] > 0 and event["lasted_s"] >= 9 and event["goodput"] >= MOST_A_SECOND / 10, event
    assert ("% would be rejected" if place.mode == "simulate" else "% rejected") in event["text"], event


def is_over(place):
    """Requests come, and none of them has to wait."""
    def quiet():
        time.sleep(0.02)
        return weirtest.ask(place.address).status and place.events("over")
    over = weirtest.until(quiet, "the episode of %s to be over" % place.mode)[0]
    plausible(over, place.mode, True)
    assert over["lasted_s"] >= 10 and "overload over after " in over["text"] and over["rejected"] > 0, over
    assert place.overload() is None
    assert len(place.events("began")) == 1, place.events("began")


def rejections(place, responses):
    statuses = collections.Counter(response.status for response in responses)
    if place.mode == "simulate":
        assert set(statuses) == {200}, statuses
        assert place.box.resource("GET:/small", app=place.box.app, now=True)["total_simulated"] > 0
        return
    assert set(statuses) == {200, 503}, statuses
    name = next(response for response in responses if response.status == 503).header("x-weir-id")
    why = json.loads(place.box.weir("why", "--json", name, check=0).stdout)
    assert why["limit_of"] == "adaptive-delay" and why["counted"] > why["limit"] >= 5, why
    assert "in overload, this caller's requests may wait " in why["limit_text"] and "to be read" in why["counted_text"], why
    journal = place.program.output()
    assert "overload began (rule adaptive)" in journal and "overload over after" in journal, journal


def episodes():
    with contextlib.ExitStack() as stack:
        places = [Place(mode, stack) for mode in ("enforce", "simulate")]
        with Crowd(places[0].address, CLIENTS, back_off_s=0.1) as enforced, Crowd(places[1].address, CLIENTS, back_off_s=0.1) as simulated:
            for place in places:
                begins(place)
            for place in places:
                goes_on(place)
        for place, crowd in zip(places, (enforced, simulated)):
            is_over(place)
            rejections(place, crowd.responses)


def over_without_requests():
    """Processes see the end of an episode with the next request only: where none comes any more, or the rule is another one, or the
    program ends, the agent says so."""
    with contextlib.ExitStack() as stack:
        place = Place("enforce", stack)

        def reported(stage, count):
            return weirtest.until(lambda: len(place.events(stage)) >= count and place.events(stage), "event %d of %s" % (count, stage))[-1]
        began = time.monotonic()
        with Crowd(place.address, CLIENTS, back_off_s=0.1):
            reported("began", 1)
            weirtest.until(lambda: (place.overload() or {}).get("rejected", 0) > 0, "the share of the last second")
        load_ended = time.monotonic()
        over = reported("over", 1)  # no request comes
        plausible(over, "enforce", True)
        assert over["lasted_s"] <= load_ended - began + 1.5 and over["goodput"] > 0 and over["rejected"] > 0, over
        assert place.overload() is None
        with Crowd(place.address, CLIENTS, back_off_s=0.1):
            reported("began", 2)
            assert len(place.events("over")) == 1, "the process's own report, of what is over"
            place.rules.save({"adaptive": {"mode": "off", "algorithm": "delay"}})
            reported("over", 2)
            assert place.overload() is None
            place.rules.save({"adaptive": {"mode": "enforce", "algorithm": "delay"}})
            reported("began", 3)
            place.program.kill(signal.SIGTERM)
            place.program.wait()
        journal = place.program.output()
        assert journal.count("overload began") == journal.count("overload over after"), journal


def waits_inside():
    """Requests that the server has read, and that wait for their turn within it: what is in flight is limited."""
    with contextlib.ExitStack() as stack:
        place = Place("enforce", stack, "ThreadingHTTPServer")
        for _ in range(200):  # what its best is
            assert weirtest.ask(place.address).status == 200
        with Crowd(place.address, CLIENTS, back_off_s=0.1) as crowd:
            def because():
                response = next((response for response in reversed(list(crowd.responses)) if response.status == 503), None)
                found = response and json.loads(place.box.weir("why", "--json", response.header("x-weir-id"), check=0).stdout)
                return found and found.get("limit_of") == "adaptive-in-flight" and found
            why = weirtest.until(because, "a rejection by what is in flight", pause=0.2)
        assert why["limit"] >= 1 and why["limit"] == int(why["limit"]) and why["counted"] >= why["limit"] and why["interval_ms"] == 0, why
        assert "as requests queue in the app" in why["limit_text"] and "were in flight" in why["counted_text"], why
        assert place.events("began")[0]["wait_ms"] >= 20, place.events("began")


weirtest.main(episodes, over_without_requests, waits_inside)
