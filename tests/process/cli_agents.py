#!/usr/bin/python3
"""`weir status`, `top`, `off`, `on` with agents made up here: several at once, silent ones, nasty ones; and a terminal."""
import json
import os
import re
import signal
import socket
import subprocess

import weirtest
from harness.fake_agent import NOW, FakeAgent, resource
from harness.terminal import Terminal


def status_for_people_and_machines():
    with weirtest.Sandbox() as box:
        error = {"line": 3, "column": 14, "path": "$.flow[0].count", "message": "expected a number ≥ 0, got \"abc\""}
        agent = FakeAgent(box.run_dir, "shop", errors=[error])
        shown = box.weir("status", check=0).stdout
        for words in (r"4711 +9\.9 +2h0\dm +service +%s" % box.run_dir, r"4711 +counts per port +off +no privileges", r"shop +on +7 +1 +1\n", r"4242 +shop +6 \(outdated\) +1d2h +5 +0 +/usr/sbin/nginx",
                      r"error +shop +1m0\ds +/etc/weir/rules.d/shop.json",
                      r"/etc/weir/rules.d/shop.json:3:14: error: \$\.flow\[0\]\.count: expected a number ≥ 0, got \"abc\"\n"):
            assert re.search(words, shown), "no %r in\n%s" % (words, shown)
        assert "\033" not in shown, "colour where nobody sees it"
        whole = json.loads(box.weir("status", "--json", check=0).stdout)
        assert whole["apps"][0]["processes"][0]["pid"] == 4242 and whole["files"][0]["errors"] == [error], whole
        assert whole["agents"][0]["pid"] == 4711 and whole["agents"][0]["bpf"]["why"] == "no privileges", whole
        assert whole["apps"][0]["run_dir"] == box.run_dir
        assert agent.questions == [{"cmd": "status"}] * 2
        again = box.weir("status", "--run-dir", box.run_dir, check=0).stdout
        assert re.sub(r"\d+[smhd]", "", again).split() == re.sub(r"\d+[smhd]", "", shown).split(), again  # the same but for its age


def status_fits_the_terminal():
    with weirtest.Sandbox() as box:
        FakeAgent(box.run_dir, "app-" + "x" * 59)
        env = dict(box.environment(), NO_COLOR="1", TERM="xterm")
        with Terminal(["/bin/sh", "-c", "stty cols 80; exec %s status" % weirtest.WEIR], env) as terminal:
            terminal.wait_for("RULES FILE")
            assert terminal.wait() == 0
            lines = terminal.seen.decode().replace("\r", "").split("\n")
            tables = [line for line in lines if "error:" not in line]
            assert sum("app-xxx" in line for line in tables) >= 3, lines
            assert not [line for line in tables if len(line) > 80], lines


def several_agents_are_one_picture():
    with weirtest.Sandbox() as box:
        xdg = os.path.join(box.path, "xdg")
        env = box.environment(XDG_RUNTIME_DIR=xdg)
        del env["WEIR_RUN_DIR"]
        one = FakeAgent(xdg + "/weir/run-1", "shop", [resource("GET:/one", **{"pass": 5})])
        two = FakeAgent(xdg + "/weir/run-2", "pay", [resource("GET:/two", **{"pass": 500})])
        three = FakeAgent(xdg + "/weir/run-3", "shop", [resource("GET:/three", **{"pass": 50})])
        FakeAgent(xdg + "/weir/run-4", "dead").close()

        def weir(*line):
            return subprocess.run([weirtest.WEIR, *line], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        apps = [(app["app"], app["run_dir"]) for app in json.loads(weir("status", "--json").stdout)["apps"] if xdg in app["run_dir"]]
        assert sorted(apps) == [("pay", xdg + "/weir/run-2"), ("shop", xdg + "/weir/run-1"), ("shop", xdg + "/weir/run-3")], apps
        lines = [line.split()[1] for line in weir("top", "--once").stdout.splitlines() if " GET:/" in line]
        assert [name for name in lines if name in ("GET:/one", "GET:/two", "GET:/three")] == ["GET:/two", "GET:/three", "GET:/one"], lines
        lines = [line.split()[:2] for line in weir("top", "--once", "pay").stdout.splitlines()[1:]]
        assert lines == [["pay", "GET:/two"]], lines
        known = weir("off", "no-such-app-at-all").stderr.strip().split("there are: ")[1].split(", ")
        assert known.count("shop") == 1 and known.count("pay") == 1, known
        assert weir("off", "shop").returncode == 0
        assert one.off and three.off and not two.off
        assert weir("on", "shop").returncode == 0
        assert not one.off and not three.off


def figures():
    with weirtest.Sandbox() as box:
        agent = FakeAgent(box.run_dir, "shop", [resource("GET:/a"), resource("tcp:10.0.0.5:3306", side="outbound", circuit="open", **{"pass": 0})])
        shown = box.weir("top", "--once", check=0).stdout.splitlines()
        assert shown[0].split() == "APP RESOURCE SIDE QPS PASS BLOCK SIM EXC RT ms P99 FLIGHT CIRC".split(), shown[0]
        assert shown[1].split() == "shop GET:/a in 13 10 3 0 1 1.2 7.5 2 closed".split(), shown[1]
        assert shown[2].split() == "shop tcp:10.0.0.5:3306 out 3 0 3 0 1 1.2 7.5 2 open".split(), shown[2]
        assert box.weir("top", check=0).stdout.splitlines() == shown, "without a terminal top prints once"
        whole = json.loads(box.weir("top", "--json", check=0).stdout)
        assert whole["second"] > NOW - 10 and whole["apps"][0]["resources"] == agent.resources, whole
        assert box.weir("top", "--once", "nobody", check=1).stderr.count("nobody") == 1
        agent.resources = []
        assert box.weir("top", check=0).stdout == "no traffic yet\n"


def off_and_on():
    with weirtest.Sandbox() as box:
        agent = FakeAgent(box.run_dir, "shop")
        assert "shop: OFF" in box.weir("off", "shop", check=0).stdout and agent.off
        assert re.search(r"shop +OFF", box.weir("status").stdout)
        assert "in force" in box.weir("on", "shop", check=0).stdout and not agent.off
        assert "'shop'" in box.weir("off", "shpo", check=1).stderr
        assert "there are: shop" in box.weir("off", "something", check=1).stderr
        agent.answers["off"] = {"error": "only root may do that"}
        assert "only root may do that" in box.weir("off", "shop", check=1).stderr
        agent.answers["off"] = {}
        assert box.weir("off", "shop", check=1).stderr
        assert {"cmd": "off", "app": "shop"} in agent.questions


def nasty_agents():
    with weirtest.Sandbox() as box:
        nasty = "GET:/\033[2J\033]0;gone\007\r\n\tx\u202e\u009b31m"
        agent = FakeAgent(box.run_dir, "s\033[5mhop", [resource(nasty)], [{"line": 1, "column": 2, "path": "", "message": "\033[31mred\n\n"}])
        for line in (["status"], ["top", "--once"]):
            shown = box.weir(*line, check=0).stdout
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown), repr(shown)
        for answer in ("", "[]", "nonsense", "{", '"x"', "null", "{}" * 100, "[" * 100000):
            agent.answers = {"status": answer + " ", "figures": answer + " "}
            for line in (["status"], ["top"], ["off", "x"]):
                done = box.weir(*line, check=69)
                assert "not an agent of this version" in done.stderr, (answer, done)
        for answer in ({}, {"apps": 1, "files": "x", "agent": []}, {"apps": [1, None, [], {}], "files": [{}], "second": "x"},
                       {"apps": [{"app": 5, "processes": {}, "resources": [[], 1, {}]}], "files": [{"errors": [1, {}]}]}):
            agent.answers = {"status": answer, "figures": answer}
            for line in (["status"], ["status", "--json"], ["top"], ["top", "--json"]):
                box.weir(*line, check=0)
            box.weir("off", "x", check=1)
        agent.close()
        box.weir("status", check=69)

        os.unlink(os.path.join(box.run_dir, "control.sock"))
        silent = socket.socket(socket.AF_UNIX)
        silent.bind(os.path.join(box.run_dir, "control.sock"))
        silent.listen(5)
        assert "does not answer" in box.weir("status", check=69).stderr
        silent.close()


def somebody_elses_agent():
    if os.getuid() != 0:
        raise weirtest.Skip("needs root to become somebody else")
    weirtest.need("setpriv")
    with weirtest.Sandbox() as box:
        agent = FakeAgent(box.run_dir, "shop")
        os.chmod(os.path.join(agent.run_dir, "control.sock"), 0o600)
        line = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", weirtest.WEIR]
        if subprocess.run(line[:4] + ["test", "-x", weirtest.WEIR]).returncode != 0:
            raise weirtest.Skip("the build is where other users may not go")
        done = subprocess.run(line + ["status"], env=box.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 69 and "permission denied" in done.stderr, done


def live():
    with weirtest.Sandbox() as box:
        agent = FakeAgent(box.run_dir, "shop", [resource("GET:/r/%02d" % i, **{"pass": 100 - i}) for i in range(50)])
        agent.hot = [("alice", 5.0), ("bob", 3.0)]
        env = box.environment(TERM="xterm")
        with Terminal([weirtest.WEIR, "top"], env, rows=20, columns=70) as terminal:
            terminal.wait_for("1-16 of 50")
            terminal.wait_for("GET:/r/00")
            terminal.wait_for("q quit")
            assert b"\033[?1049h" in terminal.seen and b"\033[3" in terminal.seen, "no screen of its own, no colour"
            for line in terminal.text().splitlines():
                assert len(line) <= 70, line
            for keys, words in (("\033[6~", ["16-31 of 50", "GET:/r/15"]), ("G", ["35-50 of 50", "GET:/r/49"]), ("g", ["1-16 of 50"]),
                                ("<", ["by SIDE"]), ("<r", ["by RESOURCE, reversed", "GET:/r/49"]), ("/R/1", ["1-10 of 10", "GET:/r/19"]),
                                ("\r", ["q quit"]), ("v", ["top --hot", "0-0 of 0"]), ("\033", ["alice", "bob"]), ("v", ["by QPS", "GET:/r/00"]),
                                ("h", ["this help"]), ("h", ["GET:/r/00"])):
                terminal.type(keys)
                for word in words:
                    terminal.wait_for(word)
            terminal.type("p")
            terminal.wait_for("PAUSED")
            agent.resources = [resource("GET:/later")]
            asked = len(agent.questions)
            terminal.type("G")
            terminal.wait_for("GET:/r/49")
            assert len(agent.questions) == asked, "paused, and asks the agent"
            terminal.type("p")
            terminal.wait_for("GET:/later")
            agent.state = {"stale": True, "rules": 2, "rules_simulated": 1}
            terminal.wait_for("STALE RULES")
            terminal.wait_for("SIMULATE: 1 of its 2 rules")
            agent.off = True
            terminal.wait_for("shop is OFF")
            agent.resources, agent.off = [resource("GET:/" + "long" * 30)], False
            terminal.resize(20, 200)
            terminal.wait_for("long" * 30)
            agent.close()
            os.unlink(os.path.join(box.run_dir, "control.sock"))
            terminal.wait_for("NO AGENT answers: waiting for one")
            agent = FakeAgent(box.run_dir, "shop", [resource("GET:/back")])
            terminal.wait_for("GET:/back")
            terminal.type("x\033[1;5C\033OPz")  # keys that mean nothing: letters, an arrow with Ctrl, a function key
            terminal.type("q")
            assert terminal.wait() == 0
            assert terminal.seen.rstrip().endswith(b"\033[?1049l"), "the terminal is not given back"
            for line in terminal.seen.split(b"\r\n"):  # erased behind a line that fills the terminal, its last character would go
                assert all(re.search(rb"(^|\033\[H|\033\[\?7l)\Z", line[:found.start()]) for found in re.finditer(rb"\033\[[KJ]", line)), line
            assert terminal.seen.count(b"\033[?7l") == terminal.seen.count(b"\033[?7h") == 1, "lines do not wrap any more"


def sorted_and_filtered():
    with weirtest.Sandbox() as box:
        agent = FakeAgent(box.run_dir, "shop", [resource("GET:/a", block=1), resource("GET:/b", block=9), resource("POST:/b", block=5)])
        agent.hot = [("alice", 5.0), ("bob", 3.0)]

        def names(*line):
            return [row.split()[1] for row in box.weir("top", "--once", *line, check=0).stdout.splitlines()[1:]]
        assert names("--sort", "block") == ["GET:/b", "POST:/b", "GET:/a"]
        assert names("--sort", "BLOCK", "--reverse") == ["GET:/a", "POST:/b", "GET:/b"]
        assert names("--sort", "resource", "--filter", "/B") == ["GET:/b", "POST:/b"]
        assert "63 bytes" in box.weir("top", "--filter", "x" * 64, check=2).stderr
        assert "\033" not in box.weir("top", "--filter", "\033[2J", check=0).stdout
        assert box.weir("top", "--filter", "nothing", check=0).stdout == "no row contains \"nothing\"\n"
        hot = box.weir("top", "--hot", "--sort", "value", "-r", check=0).stdout.splitlines()
        assert [row.split()[5] for row in hot[1:]] == ["bob", "alice"], hot
        assert "did you mean 'block'?" in box.weir("top", "--sort", "blcok", check=2).stderr
        assert "what" in box.weir("top", "--hot", "--sort", "circ", check=2).stderr
        assert "--sort" in box.weir("top", "--json", "--sort", "qps", check=2).stderr


def live_ends_and_stops_in_order():
    with weirtest.Sandbox() as box:
        agent = FakeAgent(box.run_dir, "shop", [resource("GET:/a")])
        env = box.environment(TERM="xterm", PS1="prompt> ", HISTFILE="")
        for end in ("\x03", "\033", signal.SIGTERM, signal.SIGHUP):
            with Terminal([weirtest.WEIR, "top", "shop"], env) as terminal:
                terminal.wait_for("GET:/a")
                if isinstance(end, str):
                    terminal.type(end)
                else:
                    os.kill(terminal.pid, end)
                assert terminal.wait() == 0, end
                assert b"\033[?1049l" in terminal.seen
        with Terminal(["/bin/bash", "--norc", "--noprofile", "-i"], env) as terminal:
            terminal.wait_for("prompt> ")
            terminal.type("%s top\n" % weirtest.WEIR)
            terminal.wait_for("GET:/a")
            terminal.type("\x1a")
            terminal.wait_for("Stopped")
            terminal.wait_for("prompt> ")
            terminal.type("echo ec''ho works\n")
            terminal.wait_for("echo works")
            terminal.wait_for("prompt> ")
            terminal.type("fg\n")
            terminal.wait_for("GET:/a")
            terminal.type("\x1a")
            terminal.wait_for("prompt> ")
            terminal.type("fg\n")
            terminal.wait_for("GET:/a")
            os.kill(weirtest.descendants(terminal.pid)[-1], signal.SIGSTOP)  # it cannot put the terminal in order
            terminal.wait_for("prompt> ")
            terminal.type("fg\n")
            terminal.wait_for("GET:/a")
            terminal.type("h")
            terminal.wait_for("this help")
            terminal.type("hqecho typed ah''ead\n")  # in haste: the shell's command comes before top has ended
            terminal.wait_for("typed ahead")
            terminal.wait_for("prompt> ")
            terminal.type("stty -a | grep -o ' -\\?icanon'\n")
            terminal.wait_for(" icanon")
            terminal.wait_for("prompt> ")
            terminal.type("exit\n")
            terminal.wait()
        for term, line, more in (("dumb", ["--once"], {}), ("dumb", [], {}), ("", [], {}), ("xterm", ["--once"], {"NO_COLOR": "1"})):
            with Terminal([weirtest.WEIR, "top", *line], dict(env, TERM=term, **more)) as terminal:
                assert terminal.wait() == 0
                assert b"\033" not in terminal.seen and b"GET:/a" in terminal.seen, terminal.seen
        agent.close()


weirtest.main(status_for_people_and_machines, status_fits_the_terminal, several_agents_are_one_picture, figures, off_and_on, nasty_agents,
              somebody_elses_agent, live, sorted_and_filtered, live_ends_and_stops_in_order)
