#!/usr/bin/python3
"""How much an application uses of the CPU that it could use, on real servers: an event loop, worker processes, threads under a
global lock; with quotas of cgroups, beside programs that use all of the CPU, and beside an application that is overloaded."""
import contextlib
import os
import re
import sys
import time

import weirtest
from harness.load import Load

PROGRAMS = os.path.join(weirtest.ROOT, "tests", "process", "programs")
SERVERS = {"node": ["node", "burn.js"], "node-cluster": ["node", "burn.js"], "threading": ["/usr/bin/python3", "burn.py"]}
FULL, LONG_S = 0.93, 90


def adaptive(mode, target):
    return {"adaptive": {"mode": mode, "algorithm": "cpu", "cpu": target}}


def start(box, kind, rules=None, cgroup=None, app=None, before=()):
    """A server that computes as long as a request asks it to; under `weir run`, or of an app of the agent that runs already."""
    weirtest.need(SERVERS[kind][0])
    address = ("127.0.0.1", weirtest.free_port())
    command = [SERVERS[kind][0], os.path.join(PROGRAMS, SERVERS[kind][1]), address[0], str(address[1])]
    command = [*before, *command] + (["2"] if kind == "node-cluster" else [])
    if cgroup:
        command = ["/bin/sh", "-c", "echo $$ > %s/cgroup.procs && exec \"$@\"" % cgroup, "sh"] + command
    if app:
        box.start(kind, command, box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=app))
    else:
        box.weir_run(kind, rules, command)
    weirtest.until(lambda: weirtest.listening(address), kind + " to listen", 40)
    return address


@contextlib.contextmanager
def overload(address, ms=5, connections=12, headers=()):
    """More connections that ask again and again than the server can answer; until the end of the block."""
    load = Load(address, weirtest.request("GET", "/?ms=%d" % ms, headers=headers), connections, seconds=10 * LONG_S)
    try:
        yield
    finally:
        load.process.kill()
        load.process.join()


def cpu(box, app=None):
    """The agent's figures of an app: each is a number, or None where it is not known."""
    return box.app_status(app).get("cpu") or {"saturation": None, "used": None, "could": None}


def until_full(box, app=None):
    return weirtest.until(lambda: (cpu(box, app)["saturation"] or 0) >= FULL and cpu(box, app), "the app to be full", LONG_S)


def until_rejected(box, app=None):
    def rejected():
        resource = box.resource("GET:/", app)
        return resource and resource["total_block"]
    weirtest.until(rejected, "requests that are rejected", LONG_S)


def ask_calmly(address, seconds, ms=1):
    """Twenty a second; the responses' statuses."""
    end, statuses = time.monotonic() + seconds, []
    while time.monotonic() < end:
        statuses.append(weirtest.ask(address, target="/?ms=%d" % ms).status)
        time.sleep(0.05)
    return statuses


def several_cpus():
    if len(os.sched_getaffinity(0)) < 2:
        raise weirtest.Skip("a machine of one CPU: a thread that uses it uses all there is")


def one_thread_is_full():
    """One core's worth of use is all that an event loop, or a global lock, can use, whatever the host has; and it is shed."""
    several_cpus()
    for kind in "node", "threading":
        with weirtest.Sandbox() as box:
            rules = box.rules(adaptive("simulate", 0.5))
            address = start(box, kind, rules)
            with overload(address):
                figures = until_full(box)
                assert figures["could"] >= 2 and figures["used"] < 1.3, figures
                box.edit(rules, adaptive("enforce", 0.5))
                until_rejected(box)
            weirtest.until(lambda: set(ask_calmly(address, 0.5)) == {200}, "nothing to be rejected any more")


@contextlib.contextmanager
def cgroup(version, cpus=None):
    """A cgroup, of so many CPUs; Skip where none can be made."""
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split() for line in file]
    found = [line[4] for line in mounts if (line[line.index("-") + 1] == "cgroup2" if version == 2 else
                                            re.search(r"(^|,)cpu(,|$)", line[-1]) and line[line.index("-") + 1] == "cgroup")]
    if not found:
        raise weirtest.Skip("no cgroup v%d with the CPU controller is mounted here" % version)
    folder = os.path.join(found[0], "weirtest.%d" % os.getpid())
    quota = {} if cpus is None else {"cpu.max": "%d 100000" % (cpus * 100000)} if version == 2 else {
        "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "%d" % (cpus * 100000)}
    try:
        os.mkdir(folder)
        for name, text in quota.items():
            with open(os.path.join(folder, name), "r+") as file:
                file.write(text)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
        raise weirtest.Skip("no cgroup v%d with a quota can be made here: %s" % (version, error))
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            weirtest.until(lambda: not open(os.path.join(folder, "cgroup.procs")).read(), "the cgroup to be empty")
        os.rmdir(folder)


def within_quotas(version):
    several_cpus()
    for cpus, kind in (0.5, "node"), (1.5, "node-cluster"):
        with cgroup(version, cpus) as folder, weirtest.Sandbox() as box:
            rules = box.rules(adaptive("simulate", 0.5))
            address = start(box, kind, rules, folder)
            with overload(address):
                figures = until_full(box)
                assert figures["could"] == cpus and figures["used"] < 1.2 * cpus, figures
                box.edit(rules, adaptive("enforce", 0.5))
                until_rejected(box)


def quotas():
    """Of whichever version of cgroups can be given one here."""
    missing = []
    for version in 1, 2:
        try:
            within_quotas(version)
        except weirtest.Skip as why:
            missing.append(str(why))
            print("skip quotas of version %d: %s" % (version, why), flush=True)
    if len(missing) == 2:
        raise weirtest.Skip("; ".join(missing))


def busy(box, nice):
    """As many programs that compute as there are CPUs."""
    for _ in os.sched_getaffinity(0):
        box.start("busy", ["nice", "-n", nice, sys.executable, "-c", "while True: pass"])


def threads_that_end():
    """A global lock, a thread for each connection, and other programs that have half of the CPU: how long such threads waited is
    known of their cgroup alone."""
    with cgroup(2) as folder, weirtest.Sandbox() as box:
        if not os.path.exists(os.path.join(folder, "cpu.pressure")):
            raise weirtest.Skip("no pressure (PSI) of cgroups here")
        address = start(box, "threading", box.rules(adaptive("simulate", 0.5)), folder)
        busy(box, "0")
        with overload(address, headers=[("Connection", "close")]):
            until_full(box)


def a_share_beside_hogs():
    """One CPU, of which several programs that compute have most: threads that live for one request are shed all the same."""
    weirtest.need("taskset")
    first = min(os.sched_getaffinity(0))
    with weirtest.Sandbox() as box:
        for _ in range(3):
            box.start("hog", ["taskset", "-c", str(first), sys.executable, "-c", "while True: pass"])
        address = start(box, "threading", box.rules({"adaptive": {"mode": "enforce", "algorithm": "cpu"}}), before=("taskset", "-c", str(first)))
        with overload(address, ms=10, connections=60, headers=[("Connection", "close")]):
            until_rejected(box)
            assert cpu(box)["could"] == 1, cpu(box)


def others_are_busy():
    """An application at rest loses nothing because other programs, nice or not, use all of the CPU."""
    for kind in "node", "threading":
        with weirtest.Sandbox() as box:
            address = start(box, kind, box.rules(adaptive("enforce", 0.5)))
            for nice in "0", "19":
                busy(box, nice)
            statuses = ask_calmly(address, 5)
            assert set(statuses) == {200}, statuses
            figures = weirtest.until(lambda: cpu(box)["saturation"] is not None and cpu(box), "a figure")
            assert figures["used"] < 0.5, figures


def another_app_is_full():
    """Two apps of one agent: one is overloaded, and the other loses nothing."""
    with weirtest.Sandbox() as box:
        rules = [box.rules(adaptive("enforce", 0.5), app=app) for app in ("full", "calm")]
        box.agent(*rules)
        full, calm = start(box, "node", app="full"), start(box, "node", app="calm")
        with overload(full):
            until_rejected(box, "full")
            statuses = ask_calmly(calm, 3)
            assert set(statuses) == {200}, statuses
            assert cpu(box, "calm")["saturation"] < cpu(box, "full")["saturation"], box.status()


def hidden_in_proc():
    """Where /proc hides the processes from the agent, it says so; what they use it knows all the same."""
    weirtest.need("unshare", "setpriv")
    if os.geteuid() != 0:
        raise weirtest.Skip("not root: /proc cannot be mounted with hidepid")
    with weirtest.Sandbox() as box:
        os.chmod(box.path, 0o777)
        rules = box.rules(adaptive("enforce", 0.5))
        box.start("agent", ["unshare", "-m", "sh", "-c", "mount -t proc -o hidepid=2 proc /proc && exec \"$@\"", "sh", "setpriv",
                            "--reuid=65534", "--regid=65534", "--clear-groups", weirtest.WEIR_AGENT, "--run-dir", box.run_dir,
                            "-r", rules.path])
        weirtest.until(box.agent_answers, "the agent")
        with overload(start(box, "node", app=box.app)):
            figures = weirtest.until(lambda: cpu(box)["used"] and cpu(box), "what it uses", LONG_S)
            assert figures["hidden"] == 1 and figures["saturation"] < FULL, figures
        shown = box.weir("status", check=0).stdout
        assert "1 of its processes are hidden from the agent in /proc" in shown, shown


weirtest.main(one_thread_is_full, quotas, threads_that_end, a_share_beside_hogs, others_are_busy, another_app_is_full,
              hidden_in_proc)
