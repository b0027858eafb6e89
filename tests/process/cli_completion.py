#!/usr/bin/python3
"""bash completion: what is offered, and that it knows exactly the options that --help tells of."""
import os
import re
import subprocess

import weirtest

COMPLETION = os.path.join(weirtest.ROOT, "completion", "weir")
COMMANDS = ["run", "check", "import", "explain", "replay", "status", "top", "events", "why", "ports", "off", "on", "enable", "disable", "doctor"]
ASK = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weir; printf "%s\\n" "${COMPREPLY[@]}"'


def offered(box, *words):
    env = box.environment(PATH=weirtest.BUILD + ":" + os.environ["PATH"])
    done = subprocess.run(["/bin/bash", "--norc", "-c", ASK, "bash", COMPLETION, "weir", *words], env=env, cwd=box.path,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 0 and done.stderr == "", done
    return sorted(done.stdout.split())


def words():
    with weirtest.Sandbox() as box:
        assert offered(box, "") == sorted(COMMANDS + ["help", "--help", "--version"])
        assert offered(box, "re") == ["replay"]
        assert offered(box, "e") == ["enable", "events", "explain"]
        assert offered(box, "help", "st") == ["status"]
        assert offered(box, "run", "--po") == ["--port"]
        assert offered(box, "check", "--kind", "pa") == ["paramFlow"]
        for name in ("rules.json", "other.txt", "trace.csv"):
            box.start("touch", ["/usr/bin/touch", name]).wait()
        os.mkdir(os.path.join(box.path, "rules.d"))
        assert offered(box, "run", "-r", "ru") == ["rules.d", "rules.json"]
        assert offered(box, "replay", "--rules", "rules.json", "tr") == ["trace.csv"]
        assert "sleep" in offered(box, "run", "--", "slee")
        assert offered(box, "off", "") == [], "there is no agent"


def options():
    with weirtest.Sandbox() as box:
        for command in COMMANDS:
            told = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", box.weir(command, "--help", check=0).stdout, re.M))
            known = set(offered(box, command, "--")) - {"--"}
            assert told == known, "%s: %s" % (command, told ^ known)


def apps():
    with weirtest.Sandbox() as box:
        box.weir_run("weir-run", box.rules({}, app="shop"), ["/bin/sleep", "1000"], app="shop")
        weirtest.until(box.agent_answers, "the agent")
        assert offered(box, "off", "") == ["shop"]
        assert offered(box, "top", "s") == ["shop"]
        assert offered(box, "top", "x") == []


weirtest.main(words, options, apps)
