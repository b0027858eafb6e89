#!/usr/bin/python3
"""`weir run` and its rules files: wrong ones at the start start nothing; wrong edits are told once, and so is that they are mended."""
import json
import os

import weirtest

GOOD = '{"app": "t", "flow": [{"resource": "GET:/x", "count": %d}]}'
WRONG = '{"app": "t",\n "flow": [{"resource": "GET:/x",\n  "count": "abc", "coutn": 1}]}'


def wrong_at_the_start():
    with weirtest.Sandbox() as box:
        wrong = box.rules(WRONG)
        good = box.rules(GOOD % 1)
        done = box.weir("run", "-r", good.path, "-r", wrong.path, "--", "/bin/echo", "started", check=2)
        assert done.stdout == "", "it was started"
        lines = done.stderr.splitlines()
        assert lines[0].startswith("%s:3:12: error: $.flow[0].count: " % wrong.path) and "abc" in lines[0], lines
        assert lines[1].startswith("%s:3:19: error: $.flow[0].coutn: " % wrong.path) and "count" in lines[1], lines
        assert len(lines) == 3 and "did not start" in lines[2], lines
        as_check = box.weir("check", wrong.path)
        assert as_check.returncode == 2 and lines[:2] == [line for line in (as_check.stdout + as_check.stderr).splitlines() if ": error: " in line]
        for text, word in (("", "error"), ("{", "error"), ("\0\1\2", "error"), ("[1,", "error")):
            with open(wrong.path, "w") as file:
                file.write(text)
            done = box.weir("run", "-r", wrong.path, "--", "/bin/echo", "started", check=2)
            assert done.stdout == "" and wrong.path in done.stderr and word in done.stderr, done
        empty = os.path.join(box.path, "rules.d")
        os.mkdir(empty)
        assert box.weir("run", "-r", empty, "--", "/bin/echo", "started", check=0).stdout == "started\n", "rules may come later"


def wrong_while_it_runs():
    with weirtest.Sandbox() as box:
        rules = box.rules(GOOD % 1)
        run = box.start("weir-run", [weirtest.WEIR, "run", "--run-dir", box.run_dir, "-r", rules.path, "--", "/bin/sleep", "1000"])
        weirtest.until(box.agent_answers, "the agent")
        for times in (1, 2):
            box.spoil(rules, WRONG + "\n" * times)
            where = "%s:3:12: error: $.flow[0].count" % rules.path
            weirtest.until(lambda: where in run.output(), "the error")
            weirtest.until(lambda: run.output().count(where) == times, "the error again")
            assert run.output().count("rules file fixed") == times - 1
            box.edit(rules, GOOD % (1 + times))
            weirtest.until(lambda: run.output().count("rules file fixed") == times, "a word that it is mended")
        assert run.output().count(where) == 2, run.output()
        shown = json.loads(box.weir("status", "--json", check=0).stdout)
        assert shown["files"][0]["state"] == "ok" and shown["agents"][0]["embedded"], shown


def wrong_and_removed():
    """What is gone is not mended."""
    with weirtest.Sandbox() as box:
        folder = os.path.join(box.path, "rules.d")
        os.mkdir(folder)
        run = box.start("weir-run", [weirtest.WEIR, "run", "--run-dir", box.run_dir, "-a", "t", "-r", folder, "--", "/bin/sleep", "1000"])
        weirtest.until(box.agent_answers, "the agent")
        for others, word in ((0, "no rules are in force"), (1, "the rules of the other files are in force")):
            for name, text in (("b.json", WRONG), ("a.json", GOOD % 1))[:1 + others]:
                with open(os.path.join(folder, name), "w") as file:
                    file.write(text)
            weirtest.until(lambda: run.output().count("b.json:3:12: error: ") == 1 + others, "the error")
            os.unlink(os.path.join(folder, "b.json"))
            weirtest.until(lambda: "rules file removed: " + word in run.output(), "a word that it is gone")
        assert "file fixed" not in run.output(), run.output()


def switched_off_and_on():
    with weirtest.Sandbox() as box:
        rules = box.rules(GOOD % 1)
        box.start("weir-run", [weirtest.WEIR, "run", "--run-dir", box.run_dir, "-r", rules.path, "--", "/bin/sleep", "1000"])
        weirtest.until(box.agent_answers, "the agent")
        box.weir("off", "t", check=0)
        assert box.app_status()["off"] is True
        box.weir("on", "t", check=0)
        assert box.app_status()["off"] is False
        assert "there are: t" in box.weir("off", "something", check=1).stderr


weirtest.main(wrong_at_the_start, wrong_while_it_runs, wrong_and_removed, switched_off_and_on)
