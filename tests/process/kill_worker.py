#!/usr/bin/python3
"""kill -9 of workers that hold requests: what they held comes back. Concurrency is never above the threshold while they die,
and is back at zero when nobody asks any more."""
import os
import random
import signal
import threading
import time

import weirtest

LIMIT = 4


def concurrency(box, name, now=True):
    resource = box.resource(name, now=now)
    return resource["in_flight"] if resource else 0


def kill_at_random():
    with weirtest.Sandbox() as box:
        rules = box.rules({"isolation": [{"resource": name, "count": LIMIT, "scope": "app"} for name in ("GET:/slow", "GET:/held")]})
        server = box.serve("node-cluster", rules)
        seen, stop = {200: 0, 429: 0, "broken": 0}, threading.Event()

        def client():
            while not stop.is_set():
                try:
                    status = weirtest.ask(server.address, target="/slow?ms=%d" % random.choice((10, 50, 200))).status
                    seen[status] = seen.get(status, 0) + 1
                except (OSError, weirtest.Closed):
                    seen["broken"] += 1
                    time.sleep(0.01)
        clients = [threading.Thread(target=client, daemon=True) for _ in range(10)]
        for thread in clients:
            thread.start()
        killed = 0
        for _ in range(12):
            time.sleep(random.uniform(0.1, 0.4))
            assert concurrency(box, "GET:/slow", now=False) <= LIMIT, box.resource("GET:/slow")
            workers = server.workers()
            if workers:
                os.kill(random.choice(workers), signal.SIGKILL)
                killed += 1
        time.sleep(0.5)
        stop.set()
        for thread in clients:
            thread.join(60)
        print("%d workers killed: %r" % (killed, seen))
        assert seen[200] > 0 and seen[429] > 0 and killed > 3, seen
        weirtest.until(lambda: concurrency(box, "GET:/slow") == 0, "what the dead held to come back")
        weirtest.until(lambda: len(server.workers()) >= 2, "workers")
        with weirtest.Held(server, 8) as held:  # both workers are up again, and there is room for exactly LIMIT
            held.wait_answered(8 - LIMIT)
            assert weirtest.statuses(held.release()) == {200: LIMIT, 429: 8 - LIMIT}


def kill_the_only_process():
    """The slots of a whole server that is killed are free for the next one under the same agent."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"isolation": [{"resource": "GET:/held", "count": 2, "scope": "app"}]})
        agent = box.agent(rules)
        server = box.serve("asyncio", preload=True)
        with weirtest.Held(server, 2):
            weirtest.until(lambda: concurrency(box, "GET:/held") == 2, "two requests in flight")
            server.program.kill()
        weirtest.until(lambda: concurrency(box, "GET:/held") == 0, "what the dead held to come back")
        again = box.serve("asyncio", preload=True)
        with weirtest.Held(again, 4) as held:
            held.wait_answered(2)
            assert weirtest.statuses(held.release()) == {200: 2, 429: 2}
        assert agent.running()


weirtest.main(kill_at_random, kill_the_only_process)
