#!/usr/bin/python3
"""Local users who flood the agent's socket, each in another way: programs of other users that start meanwhile are protected from their
first request on, and the agent goes on."""
import os
import signal
import subprocess

import weirtest
from harness import attacks

OWNER, ATTACKER = 65533, 65532


def protected_meanwhile():
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to become other users")
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/small", "count": 0}]})
        own = box.rules({"match": {"uid": OWNER}, "flow": []}, app="own")
        agent = box.agent(rules, own)
        for how in ("silent", "garbage", "hellos", "slots"):
            flood = [subprocess.Popen([attacks.PYTHON, "-c", attacks.FLOOD, box.run_dir + "/agent.sock", how], user=ATTACKER, group=ATTACKER,
                                      extra_groups=[], cwd="/") for _ in range(3)]
            try:
                weirtest.until(lambda: all(attacks.cpu_seconds(process.pid) > 0.1 for process in flood), "the flood")
                for _ in range(5):
                    assert attacks.ask(box, "own", OWNER) == attacks.OK, how
                server = box.serve("asyncio", preload=True)
                assert weirtest.ask(server.address).status == 429, "unprotected while another user floods: " + how
                assert all(process.poll() is None for process in flood)
            finally:
                for process in flood:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
            assert agent.running() and box.status()["agent"]["pid"] == agent.pid


weirtest.main(protected_meanwhile)
