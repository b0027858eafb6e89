#!/usr/bin/python3
"""Every snippet of tests/servers/ passes bare, with the shim and no agent, and with the shim, an agent and rules that
admit everything: proof that nobody notices."""
import glob
import os
import subprocess

import weirtest

# The rules concern everything that a snippet does: nothing is spared by having no rule.
ADMIT_ALL = {"flow": [{"resource": "GET:/", "resourceMatch": "prefix", "count": 1000000},
                      {"resource": "tcp:", "resourceMatch": "prefix", "count": 1000000, "grade": "thread"}]}


def snippets():
    found = sorted(path for path in glob.glob(os.path.join(weirtest.BUILD, "tests", "servers", "snippet_*"))
                   if os.access(path, os.X_OK) and not path.endswith(".d"))
    assert found, "no snippets: run `make servers`"
    return found


def run(box, path, how, **environment):
    done = subprocess.run([path], env=box.environment(**environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120, cwd=box.path)
    assert done.returncode == 0, "%s, %s: status %d\n%s" % (os.path.basename(path), how, done.returncode, done.stdout)
    assert done.stdout == "", "%s, %s, said: %s" % (os.path.basename(path), how, done.stdout)


def bare():
    with weirtest.Sandbox() as box:
        for path in snippets():
            run(box, path, "bare")


def without_agent():
    with weirtest.Sandbox() as box:
        for path in snippets():
            run(box, path, "with the shim", LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)


def disabled():
    with weirtest.Sandbox() as box:
        box.agent(box.rules(ADMIT_ALL))
        for path in snippets():
            run(box, path, "switched off", LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app, WEIR_DISABLE="1")
        assert not box.app_status()["processes"], "a process attached in spite of WEIR_DISABLE"


def under_rules():
    with weirtest.Sandbox() as box:
        box.agent(box.rules(ADMIT_ALL))
        for path in snippets():
            run(box, path, "under rules", LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)
        passed = weirtest.until(lambda: box.resource("GET:/hello"), "the agent's figures")
        assert passed["total_pass"] > 100 and passed["total_block"] == 0, "were they seen at all? %r" % passed
        figures = lambda: box.control(cmd="figures")["apps"][0]["resources"]
        weirtest.until(lambda: all(entry["in_flight"] == 0 for entry in figures()),
                       "nothing to be in flight any more")


if __name__ == "__main__":
    weirtest.main(bare, without_agent, disabled, under_rules)
