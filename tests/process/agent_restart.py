#!/usr/bin/python3
"""The agent away and back: files broken, changed or deleted meanwhile, processes that died or were born meanwhile, its own files removed."""
import glob
import os
import signal
import time

import weirtest


def block(*names):
    return {"flow": [{"resource": "GET:/" + name, "count": 0} for name in names]}


def answers(server, times=4):
    return [(weirtest.ask(server.address, target="/small").status, weirtest.ask(server.address, target="/other").status) for _ in range(times)]


def folder_of(box, **files):
    folder = os.path.join(box.path, "rules.d")
    os.makedirs(folder, exist_ok=True)
    return folder, {name: box.rules(content, name="rules.d/%s.json" % name) for name, content in files.items()}


def broken_meanwhile():
    """A file that is wrong when the agent starts had good rules before: they stay, until it is mended."""
    with weirtest.Sandbox() as box:
        folder, rules = folder_of(box, a=block("small"), b=block("other"))
        agent = box.agent(folder)
        server = box.serve("nginx", preload=True, workers=2)
        assert answers(server) == [(429, 429)] * 4
        version = box.version()
        agent.kill()
        rules["b"].save('{"app": "t", "flow": [{]}')
        agent = box.agent(folder)
        assert answers(server) == [(429, 429)] * 4
        assert box.app_status()["stale"] is True and box.version() == version
        assert box.file_state(rules["b"])["errors"][0]["line"] == 1
        rules["a"].save(block())  # another fragment is edited: still half of the app cannot be read
        time.sleep(0.5)
        assert answers(server) == [(429, 429)] * 4
        rules["b"].save(block("other"))
        weirtest.until(lambda: box.app_status()["stale"] is False, "the mended file")
        assert answers(server) == [(200, 429)] * 4


def bad_edit_beside_a_good_one():
    """One fragment is broken, the other one edited: the edit is in force, and so are the broken one's last good rules."""
    with weirtest.Sandbox() as box:
        folder, rules = folder_of(box, a=block(), b=block("other"))
        box.agent(folder)
        server = box.serve("nginx", preload=True, workers=2)
        assert answers(server) == [(200, 429)] * 4
        box.spoil(rules["b"], "{")
        box.edit(rules["a"], block("small"))
        assert answers(server) == [(429, 429)] * 4
        assert box.file_state(rules["b"])["state"] == "error"


def deleted_meanwhile():
    with weirtest.Sandbox() as box:
        folder, rules = folder_of(box, a=block("small"))
        agent = box.agent(folder)
        server = box.serve("nginx", preload=True, workers=2)
        assert answers(server) == [(429, 200)] * 4
        agent.kill()
        os.unlink(rules["a"].path)
        assert answers(server) == [(429, 200)] * 4, "nobody was there to take the rules away"
        box.agent(folder)
        weirtest.until(lambda: answers(server) == [(200, 200)] * 4, "the rules to go with their file")


def died_meanwhile():
    """A worker that dies with a request in flight while no agent is there: its permit is back when one is."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"isolation": [{"resource": "GET:/small", "count": 1, "scope": "app"}]})
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True, workers=3)
        assert weirtest.ask(server.address).status == 200
        known = {entry["pid"] for entry in box.app_status()["processes"]}
        agent.kill()
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        weirtest.until(lambda: len(set(server.workers()) - known) >= 3, "new workers")
        for _ in range(6):
            assert weirtest.ask(server.address).status == 200
        box.agent(rules)
        living = set(server.processes())
        weirtest.until(lambda: {entry["pid"] for entry in box.app_status()["processes"]} <= living, "the dead to be forgotten")
        weirtest.until(lambda: weirtest.ask(server.address).status == 200 and
                       set(server.workers()) & {entry["pid"] for entry in box.app_status()["processes"]}, "the new ones to be known")
        assert box.resource("GET:/small")["in_flight"] == 0


def its_files_removed():
    """Somebody empties the run directory. Running processes go on; with the next agent they come over to its files."""
    with weirtest.Sandbox() as box:
        match = {"match": weirtest.worker_user()}  # the pass that the workers have is gone, too
        rules = box.rules(dict(block("small"), **match))
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True, workers=2)
        assert answers(server) == [(429, 200)] * 4
        for path in glob.glob(os.path.join(box.run_dir, "*")):
            os.unlink(path)
        agent.kill()
        rules.save(dict(block("other"), **match))
        assert answers(server) == [(429, 200)] * 4
        agent = box.agent(rules)
        weirtest.until(lambda: answers(server, 8) == [(200, 429)] * 8, "running processes to come over", 30, 0.2)
        box.edit(rules, dict(block(), **match))
        assert answers(server, 8) == [(200, 200)] * 8
        assert agent.running() and len(box.app_status()["processes"]) >= 2


def hung_agent():
    """An agent that is stopped answers nobody: programs start and serve all the same, and are protected when it goes on."""
    with weirtest.Sandbox() as box:
        agent = box.agent(box.rules(dict(block("small"), match=weirtest.worker_user())))
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            server = box.serve("nginx", preload=True, workers=2)
            assert answers(server) == [(200, 200)] * 4
        finally:
            os.kill(agent.pid, signal.SIGCONT)
        weirtest.until(lambda: answers(server, 8) == [(429, 200)] * 8, "both workers to be protected", 30, 0.2)


def nothing_keeps_its_counters():
    """Without a service manager that keeps descriptors: rules stay in force, their processes come over, windows begin anew, and the log
    says so."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/small", "count": 2, "intervalSec": 600, "scope": "app"}]})
        agent = box.agent(rules, keep=False)
        server = box.serve("nginx", preload=True, workers=2)

        def passed():
            return [weirtest.ask(server.address).status for _ in range(6)].count(200)
        assert passed() == 2
        agent.kill()
        rules.save("{")
        assert passed() == 0, "rules ended with the agent"
        agent = box.agent(rules, keep=False)
        assert "windows start from zero" in agent.output(), agent.output()
        assert box.app_status()["stale"] is True and box.version() == 1
        total = []
        weirtest.until(lambda: total.append(passed()) or sum(total) >= 2, "running processes to come over", 30, 0.2)
        assert sum(total) == 2, total
        weirtest.until(lambda: passed() == 0 and len(box.app_status()["processes"]) >= 2, "both workers to be known")


weirtest.main(broken_meanwhile, bad_edit_beside_a_good_one, deleted_meanwhile, died_meanwhile, its_files_removed, hung_agent, nothing_keeps_its_counters)
