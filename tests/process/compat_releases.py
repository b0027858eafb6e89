#!/usr/bin/python3
"""Agents and libraries of different releases under one roof: an agent upgraded (or downgraded) under running programs, and
programs that start with another release's library. Of each release in tests/compat/releases the library and the agent are
built, once, into build/releases/COMMIT; then either is tried with today's other half: rules apply, edits do, requests are
counted, concurrency of scope app holds, and what a killed process held comes back. A file of layout 2 is refused.
# timeout: 1500"""
import itertools
import os
import shutil
import signal
import struct
import subprocess
import tarfile

import weirtest

RELEASES = os.path.join(weirtest.ROOT, "tests", "compat", "releases")
TODAY = (weirtest.WEIR_AGENT, weirtest.LIBWEIR)
LIMIT = 3
values = itertools.count()


def listed():
    with open(RELEASES) as file:
        return [line.split()[0] for line in file if line.strip() and not line.startswith("#")]


def source_of(commit):
    """The release's files as a tar file, or None where this is no checkout with that history."""
    done = subprocess.run(["git", "-c", "safe.directory=*", "-C", weirtest.ROOT, "archive", commit], capture_output=True)
    return done.stdout if done.returncode == 0 else None


def built(commit):
    """The agent and the library of a release."""
    folder = os.path.join(weirtest.BUILD, "releases", commit)
    pair = tuple(os.path.join(folder, name) for name in ("weir-agent", "libweir.so"))
    if all(os.path.exists(path) for path in pair):
        return pair
    source = source_of(commit)
    if source is None:
        raise weirtest.Skip("no git history here with release %s: nothing was tried with it" % commit[:12])
    making = os.path.join(folder, "making")
    shutil.rmtree(making, ignore_errors=True)
    os.makedirs(making)
    with open(os.path.join(making, "source.tar"), "wb") as file:
        file.write(source)
    with tarfile.open(os.path.join(making, "source.tar")) as archive:
        archive.extractall(making, filter="fully_trusted") if hasattr(tarfile, "data_filter") else archive.extractall(making)
    targets = ["build/weir-agent", "build/libweir.so"]  # how fast they are is no question here: they are built quickly
    done = subprocess.run(["make", "-C", making, "-j2", "O=build", "CFLAGS=-O1 -g0"] + targets, capture_output=True, text=True,
                          env={key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "WEIR_", "O="))})
    assert done.returncode == 0, "release %s cannot be built:\n%s" % (commit, done.stderr[-3000:])
    for target in targets:
        os.rename(os.path.join(making, target), os.path.join(folder, os.path.basename(target)))
    shutil.rmtree(making)
    return pair


def use(agent, library):
    weirtest.WEIR_AGENT, weirtest.LIBWEIR = agent, library


def content(refused, limit=LIMIT):
    return {"flow": [{"resource": "GET:/small", "count": 0 if refused else 1e6, "scope": "app"}],
            "isolation": [{"resource": "GET:/held", "count": limit, "scope": "app"}],
            "paramFlow": [{"resource": "GET:/param", "count": 2, "durationInSec": 3600, "scope": "app",
                           "param": {"parseStrategy": "urlParam", "fieldName": "u"}}]}


def status_of(server, target="/small"):
    return weirtest.ask(server.address, target=target).status


def in_flight(box):
    resource = box.resource("GET:/held", now=True)
    return resource["in_flight"] if resource else 0


def check(box, rules, server):
    """Everything that goes through shared memory, in this pairing."""
    assert status_of(server) == 200
    box.edit(rules, content(refused=True))
    weirtest.until(lambda: status_of(server) == 429, "an edit to be in force")
    box.edit(rules, content(refused=False))
    weirtest.until(lambda: status_of(server) == 200, "an edit to be in force")
    before = box.resource("GET:/small", now=True)["total_pass"]
    for _ in range(20):
        assert status_of(server) == 200
    weirtest.until(lambda: box.resource("GET:/small", now=True)["total_pass"] == before + 20, "the requests to be counted")
    value = "/param?u=%d" % next(values)
    assert [status_of(server, value) == 429 for _ in range(4)] == [False, False, True, True]
    with weirtest.Held(server, 8) as held:
        held.wait_answered(8 - LIMIT)
        weirtest.until(lambda: in_flight(box) == LIMIT, "requests in flight to be counted")
        assert weirtest.statuses(held.release()) == {200: LIMIT, 429: 8 - LIMIT}
    weirtest.until(lambda: in_flight(box) == 0, "them to be over")


def kill_and_reclaim(box, server):
    held = weirtest.Held(server, LIMIT)
    weirtest.until(lambda: in_flight(box) == LIMIT, "requests in flight")
    for pid in server.workers() or [server.program.pid]:
        os.kill(pid, signal.SIGKILL)
    weirtest.until(lambda: in_flight(box) == 0, "what the killed held to come back")
    held.let_go()
    for connection in held.connections:
        connection.close()


def pairing(agent, library):
    use(agent, library)
    with weirtest.Sandbox() as box:
        rules = box.rules(content(refused=False))
        box.agent(rules)
        server = box.serve("asyncio", preload=True)
        weirtest.until(lambda: (box.app_status() or {}).get("processes"), "the process to be attached")
        check(box, rules, server)
        kill_and_reclaim(box, server)


def replaced(before, after, library):
    """The agent of one release takes over from another's, under a program that goes on, and one that comes then."""
    use(before, library)
    with weirtest.Sandbox() as box:
        rules = box.rules(content(refused=False))
        agent = box.agent(rules)
        server = box.serve("asyncio", preload=True)
        check(box, rules, server)
        held = weirtest.Held(server, LIMIT)
        weirtest.until(lambda: in_flight(box) == LIMIT, "requests in flight")
        agent.kill()
        use(after, library)
        box.agent(rules)
        # One of the two releases has its counters in a file with a name, the other in sealed memory without: neither takes up the
        # other's, so the program attaches anew, its requests end where they began, and its limits begin anew.
        weirtest.until(lambda: status_of(server, "/other") == 200 and box.app_status()["processes"], "the program to come over")
        assert weirtest.statuses(held.release()) == {200: LIMIT}
        held.__exit__()
        check(box, rules, server)
        other = box.serve("asyncio", preload=True)  # shares the limits with the one from before
        with weirtest.Held(server, 2):
            weirtest.until(lambda: in_flight(box) == 2, "two requests in flight")
            with weirtest.Held(other, 3) as more:
                more.wait_answered(2)
                assert weirtest.statuses(more.release()) == {200: 1, 429: 2}
        weirtest.until(lambda: in_flight(box) == 0, "them to be over")
        kill_and_reclaim(box, other)
        assert status_of(server) == 200


def todays_agent_with_their_library():
    for commit in listed():
        pairing(TODAY[0], built(commit)[1])


def their_agent_with_todays_library():
    for commit in listed():
        pairing(built(commit)[0], TODAY[1])


def agent_upgraded_and_downgraded():
    for commit in listed():
        agent, library = built(commit)
        replaced(agent, TODAY[0], library)
        replaced(TODAY[0], agent, TODAY[1])


def layout_2_keeps_its_rules():
    """What was before the directory: its files are not taken up, its library is told so, and is shown as of another version."""
    use(*TODAY)
    with weirtest.Sandbox() as box:
        rules = box.rules(content(refused=True))
        agent = box.agent(rules)
        server = box.serve("asyncio", preload=True)
        assert status_of(server) == 429
        agent.kill()
        for name in os.listdir(box.run_dir):
            if name.endswith((".rules", ".counters")):
                with open(os.path.join(box.run_dir, name), "r+b") as file:
                    file.seek(8)
                    file.write(struct.pack("<I", 2))
        assert status_of(server) == 429, "the rules that it had were lost"
        agent = box.agent(rules)
        assert "of another version" in agent.output(), agent.output()
        assert status_of(server) == 429
        assert status_of(box.serve("asyncio", preload=True)) == 429


weirtest.main(todays_agent_with_their_library, their_agent_with_todays_library, agent_upgraded_and_downgraded,
              layout_2_keeps_its_rules)
