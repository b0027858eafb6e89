#!/usr/bin/python3
"""Shared memory that is not as it should be: left by an older version, scribbled over, deleted, truncated, while a server runs and when
an agent starts. What is in it is believed by nobody: servers serve on, and the agent replaces what it cannot use."""
import glob
import os
import random
import struct

import weirtest


def rule(count):
    return {"flow": [{"resource": "GET:/small", "count": count, "scope": "app"}]}


def files(box):
    """The rules by their name, the counters through the descriptor that the service manager keeps of them."""
    found = glob.glob(os.path.join(box.run_dir, "*.rules"))
    found += ["/proc/self/fd/%d" % fd for _, fd in box.store.contents()]
    assert len(found) == 2, "shared memory of %s: %r" % (box.run_dir, found)
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


def not_sealed():
    """What the store gives back under the right name, but could be cut off while it is mapped, is not taken up."""
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(0))
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True)
        assert weirtest.ask(server.address).status == 429
        agent.kill()
        (name, fd), = box.store.contents()
        loose = os.memfd_create("loose")
        os.write(loose, os.pread(fd, os.fstat(fd).st_size, 0))
        box.store.kept[:] = [(name, os.dup(loose))]
        agent = box.agent(rules)
        assert "it was created again" in agent.output(), agent.output()
        os.ftruncate(loose, 0)
        assert weirtest.ask(box.serve("nginx", preload=True).address).status == 429
        served(server)
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


weirtest.main(stale_version, stale_while_running, not_sealed, scribbled_over, deleted)
