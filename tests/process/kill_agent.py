#!/usr/bin/python3
"""The agent dies and comes back under load: traffic does not notice, the limit stays, counters go on, and an edit made while it was
away is in force once it is back."""
import time

import weirtest


def rule(count, name="GET:/small"):
    return {"flow": [{"id": "a", "resource": name, "count": count, "scope": "app"}]}


def restart_under_load():
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(50))
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True, workers=4)
        load = weirtest.Load(server.address, weirtest.request("GET", "/small"), 16, 8.0, 0.005)
        weirtest.until(lambda: box.resource("GET:/small") and box.resource("GET:/small")["total_pass"] > 0, "traffic")
        before = box.resource("GET:/small", now=True)["total_pass"]
        for number in (1, 2, 3):
            agent.kill()
            time.sleep(0.7)
            agent = box.agent(rules)
        after = box.resource("GET:/small", now=True)["total_pass"]
        assert after >= before, "counters began anew: %d after %d" % (after, before)
        load.result()
        most = load.most_in_a_second()
        print("%d of %d passed, at most %d in a second, %d connections broke" % (
            load.count(200), len(load.records), most, load.errors))
        assert load.errors == 0
        assert most <= 50, "%d in one second over agent restarts" % most
        assert load.count(200) >= 50 * load.active_seconds() * 0.7, "only %d passed" % load.count(200)

        agent.kill()
        rules.save(rule(0))
        assert weirtest.ask(server.address).status in (200, 429)
        agent = box.agent(rules)
        weirtest.until(lambda: weirtest.ask(server.address).status == 429, "the edit made in the agent's absence")
        box.edit(rules, rule(1000))
        assert [weirtest.ask(server.address).status for _ in range(8)] == [200] * 8
        pids = {entry["pid"] for entry in box.app_status()["processes"]}
        assert set(server.workers()) <= pids, "the agent does not know workers %r: %r" % (server.workers(), pids)


def started_before_the_agent():
    """No agent at load: everything passes; when one comes the limit is in force without a restart of the server."""
    with weirtest.Sandbox() as box:
        rules = box.rules(dict(rule(0), match=weirtest.worker_user()))
        server = box.serve("nginx", preload=True, workers=2)
        assert [weirtest.ask(server.address).status for _ in range(6)] == [200] * 6
        box.agent(rules)
        weirtest.until(lambda: [weirtest.ask(server.address).status for _ in range(8)] == [429] * 8,
                       "the limit in both workers", 30, 0.2)


def killed_agent_leaves_new_processes_passing():
    """With the agent gone a new process finds nobody, passes everything and is not held up."""
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(0))
        agent = box.agent(rules)
        agent.kill()
        server = box.serve("asyncio", preload=True)
        assert weirtest.ask(server.address).status in (200, 429)
        server = box.serve("nginx", preload=True)
        assert weirtest.ask(server.address).status in (200, 429)


weirtest.main(restart_under_load, started_before_the_agent, killed_agent_leaves_new_processes_passing)
