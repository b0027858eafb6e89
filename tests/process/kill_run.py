#!/usr/bin/python3
"""`weir run` killed with SIGKILL under load: the server goes on serving and enforcing, in old workers and in new ones."""
import os
import signal
import time

import weirtest


def nginx_goes_on():
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"id": "k", "resource": "GET:/small", "count": 50, "scope": "app"},
                                    {"resource": "GET:/blocked", "count": 0}]})
        server = box.serve("nginx", rules, workers=4)
        master = server.main_pid()
        load = weirtest.Load(server.address, weirtest.request("GET", "/small"), 16, 5.0, 0.005)
        time.sleep(1)
        server.program.kill()
        time.sleep(0.5)
        for pid in weirtest.descendants(master)[:2]:
            os.kill(pid, signal.SIGKILL)  # the master starts new ones: they take the rules over from it
        load.result()
        print("%d of %d passed, at most %d in a second" % (load.count(200), len(load.records), load.most_in_a_second()))
        assert weirtest.alive(master)
        assert load.most_in_a_second() <= 50, load.most_in_a_second()
        assert load.count(200) >= 50 * load.active_seconds() * 0.4, load.count(200)
        weirtest.until(lambda: len(weirtest.descendants(master)) == 4, "four workers")
        assert [weirtest.ask(server.address, target="/blocked").status for _ in range(16)] == [429] * 16


def its_end_is_the_programs():
    """Exit status and signals are the command's own."""
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        run = lambda *command: box.weir_run("program", rules, list(command))
        assert run("/bin/sh", "-c", "exit 7").wait() == 7
        assert run("/bin/sh", "-c", "kill -KILL $$").wait() in (-9, 137)
        program = run("/bin/sh", "-c", "trap 'exit 33' TERM; echo ready; while :; do sleep 0.05; done")
        weirtest.until(lambda: "ready" in program.output(), "the program")
        program.kill(signal.SIGTERM)
        assert program.wait() == 33
        program = run("/bin/sh", "-c", "trap 'echo again' HUP; echo ready; while :; do sleep 0.05; done")
        weirtest.until(lambda: "ready" in program.output(), "the program")
        program.kill(signal.SIGHUP)
        weirtest.until(lambda: "again" in program.output(), "SIGHUP to arrive")


weirtest.main(nginx_goes_on, its_end_is_the_programs)
