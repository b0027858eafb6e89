#!/usr/bin/python3
"""Edits that would take the rules away from processes that run: what is a slip takes nothing, what is meant is said."""
import json
import os

import weirtest

BLOCK = {"flow": [{"resource": "GET:/small", "count": 0}]}


def status_of(server):
    return weirtest.ask(server.address, target="/small").status


class Place:
    """An agent with one file about one server, and what it says."""

    def __init__(self, box):
        self.box = box
        self.folder = os.path.join(box.path, "rules.d")
        os.makedirs(self.folder)
        self.rules = box.rules(BLOCK, name="rules.d/shop.json")
        self.agent = box.agent(self.folder)
        self.server = box.serve("nginx", preload=True)
        self.until_blocked()

    def until_blocked(self):
        weirtest.until(lambda: status_of(self.server) == 429, "the rules in force")

    def until_said(self, words):
        weirtest.until(lambda: words in self.agent.output(), "the agent to say: " + words)

    def shown(self):
        return " ".join(self.box.weir("status", check=0).stdout.split())


def another_app():
    """The file names another app: its rules are that app's, and the processes of the one before keep theirs."""
    with weirtest.Sandbox() as box:
        place = Place(box)
        place.rules.save(dict(BLOCK, app="shpo"))
        place.until_said('shop.json names app "shpo" now: ')
        assert box.app_status("shpo")["rules"] == 1, box.status()
        app = box.app_status()
        assert app["stale"] and app["held"] == {"file": place.rules.path, "names": "shpo"}, app
        assert [status_of(place.server) for _ in range(4)] == [429] * 4
        assert 'names app "shpo" now' in place.shown() and "keep the rules they had" in place.shown(), place.shown()
        # An agent that comes now finds it as the one before left it.
        place.agent.kill()
        place.agent = box.agent(place.folder)
        place.until_said('shop.json names app "shpo" now: ')
        assert box.app_status()["held"], box.status()
        assert [status_of(place.server) for _ in range(4)] == [429] * 4
        place.rules.save(json.dumps(BLOCK))  # and no app at all
        place.until_said("shop.json names no app now: ")
        assert [status_of(place.server) for _ in range(4)] == [429] * 4
        place.rules.save({"flow": [{"resource": "GET:/other", "count": 0}]})  # named again, and edited: in force
        weirtest.until(lambda: status_of(place.server) == 200, "the edit in force")
        assert "held" not in box.app_status() and not box.app_status()["stale"], box.app_status()
        place.rules.save(BLOCK)
        place.until_blocked()
        place.rules.save(dict(BLOCK, app="shpo"))
        weirtest.until(lambda: "held" in box.app_status(), "the slip, a second time")
        os.unlink(place.rules.path)  # that is meant
        weirtest.until(lambda: status_of(place.server) == 200, "no rules without a file")
        place.until_said("its rules files are gone: ")


def other_edits():
    with weirtest.Sandbox() as box:
        place = Place(box)
        for slip in ("", " \n", "[]", "{}x", '{"app": "t", "flow": [}'):
            box.spoil(place.rules, slip)
            assert [status_of(place.server) for _ in range(3)] == [429] * 3, slip
            place.rules.save(BLOCK)
            weirtest.until(lambda: box.file_state(place.rules)["state"] == "ok", "the mended file")
        os.rename(place.folder, place.folder + ".aside")  # a folder that is gone says nothing of its files
        weirtest.until(lambda: box.file_state(place.rules)["state"] == "error", "the missing folder to be noticed")
        place.agent.kill()
        place.agent = box.agent(place.folder)
        assert box.app_status()["stale"] and [status_of(place.server) for _ in range(3)] == [429] * 3, box.status()
        os.rename(place.folder + ".aside", place.folder)
        weirtest.until(lambda: not box.app_status()["stale"], "the folder that is back")
        os.rename(place.rules.path, place.rules.path + "~")  # as some editors keep what was there before
        weirtest.until(lambda: status_of(place.server) == 200, "no rules without a file")
        place.until_said("its rules files are gone: ")
        assert box.app_status()["lifted"] and "no rules any more" in place.shown(), place.shown()
        os.rename(place.rules.path + "~", place.rules.path)
        place.until_blocked()
        assert not box.app_status()["lifted"] and "no rules any more" not in place.shown(), place.shown()
        place.rules.save({"flow": []})
        weirtest.until(lambda: status_of(place.server) == 200, "no rules in the file")
        place.until_said("its files contain no rules any more: ")
        assert "no rules any more" in place.shown(), place.shown()


def warnings_are_shown():
    with weirtest.Sandbox() as box:
        place = Place(box)
        place.rules.save({"flow": [{"resource": "/order", "count": 1}, {"resource": "GET /small", "count": 1}]})
        place.until_said('$.flow[0].resource: never matches: ')
        weirtest.until(lambda: len(box.file_state(place.rules)["warnings"]) == 2, "two warnings")
        assert "shop.json: 2 warnings" in place.shown(), place.shown()
        shown = box.weir("status", "-v", check=0).stdout
        assert "shop.json:" in shown and '"GET:/order"' in shown and '"GET:/small"' in shown, shown
        said = place.agent.output().count("never matches")
        place.rules.save({"flow": [{"resource": "/order", "count": 2}, {"resource": "GET:/small", "count": 1}]})
        weirtest.until(lambda: len(box.file_state(place.rules)["warnings"]) == 1, "one warning")
        assert place.agent.output().count("never matches") == said, "what was said is said again"
        place.agent.kill()
        run = box.start("weir run", [weirtest.WEIR, "run", "-r", place.rules.path, "--", "true"])
        assert run.wait() == 0 and run.output().count("never matches") == 1, run.output()


weirtest.main(another_app, other_edits, warnings_are_shown)
