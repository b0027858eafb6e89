#!/usr/bin/python3
"""Shared memory that is not as it should be: left by an older version, scribbled over, deleted, truncated, while a server runs and when
an agent starts. What is in it is believed by nobody: servers serve on, and the agent replaces what it cannot use."""
import glob
import os
import random
import struct
import time

import weirtest


def rule(count):
    return {"flow": [{"resource": "GET:/small", "count": count, "scope": "app"}]}


def files(box):
    found = [path for path in glob.glob(os.path.join(box.run_dir, "*")) if path.endswith((".rules", ".counters"))]
    assert len(found) >= 2, "no shared memory in %s: %r" % (box.run_dir, os.listdir(box.run_dir))
    return found


def served(server, times=20):
    for _ in range(times):
        assert weirtest.ask(server.address).status in (200, 429)


def stale_version():
    """An agent finds the memory of an older version: it makes its own, and new processes are protected."""
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(0))
        agent = box.agent(rules)
        agent.kill()
        for path in files(box):
            with open(path, "r+b") as file:
                head = file.read(16)
                file.seek(0)
                # magic (8 or 4 bytes), then the version: every plausible place of it is made another number
                file.write(head[:4] + struct.pack("<I", 0xfffffff0) + head[8:12] + struct.pack("<I", 0xfffffff0))
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True)
        assert [weirtest.ask(server.address).status for _ in range(3)] == [429] * 3
        assert agent.running()


def stale_while_running():
    """A running server keeps its old memory while a new agent, which cannot use it, makes another."""
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(0))
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True, workers=2)
        assert weirtest.ask(server.address).status == 429
        agent.kill()
        for path in files(box):
            with open(path, "r+b") as file:
                file.write(b"\x01" * 64)
        served(server)
        agent = box.agent(rules)
        served(server)
        assert agent.running()
        assert [weirtest.ask(box.serve("nginx", preload=True).address).status for _ in range(2)] == [429] * 2
        assert all(weirtest.alive(pid) for pid in server.processes())


def truncated():
    """A process of the app, which may write the counters, cuts the file off: the agent lives, says so, and makes a new one;
    programs started from then on are protected. (Those that had it mapped are lost, as with any mapped file.)"""
    for size_of in (lambda size: 0, lambda size: size // 2, lambda size: 100):
        with weirtest.Sandbox() as box:
            rules = box.rules(rule(0))
            agent = box.agent(rules)
            assert weirtest.ask(box.serve("nginx", preload=True).address).status == 429
            for path in files(box):
                if path.endswith(".counters"):
                    os.truncate(path, size_of(os.path.getsize(path)))
            rules.save(rule(1))
            time.sleep(0.5)
            assert agent.running() and box.status()["agent"]["pid"] == agent.pid
            rules.save(rule(0))

            def protected():
                server = box.serve("nginx", preload=True)
                return weirtest.ask(server.address).status == 429
            weirtest.until(protected, "a program that is protected again", pause=0.3)
            assert agent.running()


def scribbled_over():
    """Random bytes all over both files while requests run: whatever the decisions, the server serves and lives."""
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 30))
    print("WEIR_SEED=%d" % seed)
    source = random.Random(seed)
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(1000000))
        box.agent(rules)
        server = box.serve("nginx", preload=True, workers=2)
        served(server)
        pids = set(server.processes())
        for round in range(60):
            for path in files(box):
                size = os.path.getsize(path)
                with open(path, "r+b", buffering=0) as file:
                    for _ in range(200):
                        file.seek(source.randrange(min(size, 65536) if round % 2 else size))
                        file.write(source.choice([b"\xff" * 8, b"\0" * 8, source.randbytes(16), b"\x7f" * 4]))
            served(server, 4)
        assert pids == set(server.processes()), "a process of the server died"


def deleted():
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(0))
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True)
        for path in glob.glob(os.path.join(box.run_dir, "*")):
            os.unlink(path)
        assert weirtest.ask(server.address).status == 429
        agent.kill()
        box.agent(rules)
        assert weirtest.ask(box.serve("nginx", preload=True).address).status == 429
        served(server)


weirtest.main(stale_version, stale_while_running, truncated, scribbled_over, deleted)
