#!/usr/bin/python3
"""What each command looks like on a terminal of 80 and of 160 columns: no line is too long, and nothing that the same
command says into a pipe is lost."""
import json
import os
import re

import weirtest
from harness.fake_agent import FakeAgent, resource
from harness.terminal import Terminal

WIDTHS = (80, 160)
COMMANDS = "run check import explain replay status top events why ports off on enable disable doctor".split()
LONG = "a-name-of-a-rule-that-somebody-has-made-quite-long"
RULES = {"app": "shop",
         "flow": [{"id": LONG, "resource": "GET:/product/{id}", "count": 5},
                  {"id": "capitals", "resource": "GET:/Product/{id}", "count": 5},
                  {"id": "wait", "resource": "http::80", "count": 10, "controlBehavior": 2, "maxQueueingTimeMs": 500}],
         "isolation": [{"resource": "GET:/product/{id}", "count": 3}],
         "degrade": [{"resource": "GET:/product/{id}", "grade": "errorRatio", "count": 0.5, "timeWindow": 5}],
         "paramFlow": [{"resource": "GET:/product/{id}", "count": 3, "param": {"parseStrategy": "header", "fieldName": "x-user"}}]}
WRONG = {"flow": [{"resource": "GET:/a", "cout": 5}, {"resource": "GET:/b", "count": "many", "grade": "something that is none"}]}
STATUS = {"agent": {"pid": 4711, "version": "9.9", "since": 1, "run_dir": "/run/weir", "embedded": False},
          "apps": [{"app": "shop-of-the-year", "rules_version": 7, "off": False, "stale": True, "slots_refused": 1, "resources_refused": 1,
                    "processes": [{"pid": 4242, "exe": "/usr/lib/a/long/path/of/a/program/that-serves", "since": 1, "rules_version": 6,
                                   "acted_early": 3, "undecided": 5, "left_out": ["rule-%d" % i for i in range(3)]}],
                    "guard": [{"resource": "tcp::3306", "by": "kernel", "why": "the program has no shim, as it makes its system calls itself"}],
                    "unenforced": [{"rule": LONG, "why": "it queues, and the kernel cannot let a connection wait for its turn"}]}],
          "files": [{"path": "/etc/weir/rules.d/shop-of-the-year-with-a-long-name.json", "app": "shop-of-the-year", "loaded": 1, "state": "error",
                     "errors": [{"line": 3, "column": 14, "path": "$.flow[0].count", "message": "expected a number of at least 0, got \"abc\""}]}],
          "bpf": {"features": [{"what": "limits for programs without a shim", "on": False, "why": "no privileges: CAP_BPF and CAP_NET_ADMIN"},
                               {"what": "counts per port", "on": True, "why": ""}]}}


def on_terminal(box, line, width):
    with Terminal([weirtest.WEIR, *line], box.environment(TERM="xterm", NO_COLOR="1"), columns=width) as terminal:
        terminal.wait()
        return terminal.text()


def check_layout(box, line):
    """Against what the command prints where nothing is folded."""
    plain = box.weir(*line)
    words = set((plain.stdout + plain.stderr).split()) - {"RESOURCE"}  # the title of what heads a paragraph
    for width in WIDTHS:
        shown = on_terminal(box, line, width)
        for printed in shown.splitlines():
            assert len(printed) <= width or " " not in printed.strip(), "%r: %d columns of %d: %r" % (line, len(printed), width, printed)
            assert not printed.endswith(" "), "%r: blanks at the end of %r" % (line, printed)
        left_out = re.search(r"\(no room here for ([^:]*):", re.sub(r"\s+", " ", shown))
        assert not left_out or width == 80, (line, left_out.group())
        whole = re.sub(r"\s+", "", shown)
        for word in words if not left_out else ():
            found = word in whole or any(word[:at] in whole and word[at:] in whole for at in range(6, len(word) - 1))
            assert found, "%r: %r is lost at %d columns:\n%s" % (line, word, width, shown)


def helps():
    with weirtest.Sandbox() as box:
        for line in [["--help"]] + [[command, "--help"] for command in COMMANDS]:
            check_layout(box, line)
            said = box.weir(*line).stdout
            assert all(len(printed) <= 80 for printed in said.splitlines()), said


def rules_and_requests():
    with weirtest.Sandbox() as box:
        for name, content in (("rules", RULES), ("wrong", WRONG)):
            with open(os.path.join(box.path, name + ".json"), "w") as file:
                json.dump(content, file)
        os.chdir(box.path)
        request = ["-H", "X-User: alice", "--", "GET /product/42 HTTP/1.1"]
        for line in (["check", "rules.json"], ["check", "wrong.json"], ["check", "--kind", "flow", "no-such-file.json"],
                     ["explain", "-r", "rules.json", *request], ["explain", "-r", "rules.json", "--", "GET /order/1234567/items"],
                     ["run", "-r", "wrong.json", "--", "true"], ["enable", "no-such-unit-at-all.service"], ["why", "no-such-id-at-all"]):
            check_layout(box, line)
        with open("trace.csv", "w") as file:
            file.write("t_ms,event,id,resource\n1,entry,1,GET:/product/{id}\n2,entry,2,GET:/%s\n" % ("a-part/of/a-path/" * 5))
        check_layout(box, ["replay", "--rules", "rules.json", "--summary", "trace.csv"])
        wide = on_terminal(box, ["explain", "-r", "rules.json", *request], 160)
        assert re.search(r"^RESOURCE +RULE +KIND +WHERE +LIMIT +ANSWER +APPLIES$", wide, re.M), wide
        narrow = on_terminal(box, ["explain", "-r", "rules.json", *request], 80)
        assert re.search(r"^  RULE +%s$" % LONG, narrow, re.M), narrow


def what_agents_say():
    with weirtest.Sandbox() as box:
        FakeAgent(box.run_dir, "shop", [resource("GET:/a")], 
                  answers={"status": STATUS, "why": {"error": "no rejection with that id is known: it was too long ago, or another host's"}})
        for line in (["status"], ["off", "no-such-app"], ["why", "3F-K7QM"]):
            check_layout(box, line)
        del STATUS["bpf"]["features"][1]
        STATUS["bpf"]["features"] *= 3  # off for one reason: said once
        assert re.search(r"all of them +off +no privileges", box.weir("status").stdout), box.weir("status").stdout


def what_this_host_runs():
    """A program without weir, and what to do about it."""
    with weirtest.Sandbox() as box:
        bare = box.serve("http.server", weir=False)
        check_layout(box, ["doctor", str(bare.main_pid())])
        for width in WIDTHS:  # other tests come and go on this host
            for line in (["doctor"], ["ports"]):
                shown = on_terminal(box, line, width)
                assert str(bare.port) in shown and all(len(printed) <= width for printed in shown.splitlines()), shown


def progress():
    """What takes more than two seconds says how far it is, on a terminal only, and leaves nothing behind."""
    with weirtest.Sandbox() as box:
        rules, trace = os.path.join(box.path, "rules.json"), os.path.join(box.path, "trace")
        with open(rules, "w") as file:
            json.dump(RULES, file)
        os.mkfifo(trace)
        with Terminal([weirtest.WEIR, "replay", "--rules", rules, "--summary", trace], box.environment(TERM="xterm")) as terminal:
            rows = 0
            with open(trace, "w", buffering=1) as file:
                file.write("t_ms,event,id,resource\n")

                def shows_it():
                    nonlocal rows
                    rows += 1
                    file.write("%d,entry,%d,GET:/product/{id}\n" % (rows, rows))
                    terminal.read(0)
                    return re.search(r"trace: \d+ rows", terminal.text())
                weirtest.until(shows_it, "the number of rows replayed", pause=0.05)
            assert terminal.wait() == 0
            shown = terminal.seen.decode()
            assert "\r\033[K" in shown and "\033[K" not in shown.split("RESOURCE")[1], repr(shown)
            assert shown.split("RESOURCE")[0].endswith(("\r\033[K", "\r\033[K\033[1m")), repr(shown)
            assert "%d event" % rows in terminal.text(), terminal.text()


weirtest.main(progress, helps, rules_and_requests, what_agents_say, what_this_host_runs)
