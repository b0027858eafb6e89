#!/usr/bin/python3
"""Counters outlive the agent: killed, away, started again, nothing is lost. A second agent reads and touches nothing. After
--uninstall nothing is left in the kernel. What cannot be had is off, with its reason, and the agent serves all the same."""
import contextlib
import json
import os
import socket
import subprocess
import time

import weirtest
from harness import bpf


def transfer(listener, size):
    with socket.create_connection(listener.getsockname(), timeout=20) as client, listener.accept()[0] as server:
        client.sendall(b"x" * size)
        left = size
        while left:
            left -= len(server.recv(left))
    return size


def in_kernel(place):
    """Ids of the programs, links and maps that hang on this place's cgroup."""
    number = os.stat(place.cgroup).st_ino
    links = [link for link in bpf.bpftool("link", "show") if link.get("cgroup_id") == number]
    programs = {link["prog_id"] for link in links}
    maps = set()
    for program in programs:
        maps.update(bpf.bpftool("prog", "show", "id", str(program)).get("map_ids", []))
    return {"link": {link["id"] for link in links}, "prog": programs, "map": maps}


def gone(ids):
    return [(kind, number) for kind, numbers in ids.items() for number in numbers
            if "error" not in bpf.bpftool(kind, "show", "id", str(number))]


def feature(box, name, **more):
    return [one for one in box.control(cmd="status", **more)["bpf"]["features"] if one["feature"] == name][0]


def agent_comes_and_goes():
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        rules = box.rules({"flow": []})
        agent = place.agent(rules)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            total = transfer(listener, 1000)
            open_client = socket.create_connection(("127.0.0.1", port))
            open_server, _ = listener.accept()
            open_client.sendall(b"1234567")
            assert len(open_server.recv(7, socket.MSG_WAITALL)) == 7
            place.expect("in", port, opened=2, closed=1, active=1, bytes_in=total + 7)
            before = in_kernel(place)
            assert before["link"] and before["prog"] and before["map"], before

            since = box.control(cmd="ports")["since"]
            assert abs(since - time.time()) < 600, since
            agent.kill()
            total += transfer(listener, 2000)
            assert in_kernel(place) == before, "it goes on without an agent"
            open_client.sendall(b"89")
            assert len(open_server.recv(2, socket.MSG_WAITALL)) == 2

            agent = place.agent(rules)
            place.expect("in", port, opened=3, closed=2, active=1, bytes_in=total + 9)
            place.expect("out", port, opened=3, closed=2, active=1, bytes_out=total + 9)
            assert box.control(cmd="ports")["since"] == since
            assert in_kernel(place)["link"] == before["link"], "the same link, with the program replaced in it"
            total += transfer(listener, 500)
            open_client.close()
            open_server.close()
            place.expect("in", port, opened=4, closed=4, active=0, bytes_in=total + 9)

            refused = place.uninstall()
            assert refused.returncode == 1 and "running agent" in refused.stderr, refused
            assert in_kernel(place)["link"] == before["link"]

            agent.kill(15)
            agent.wait()
            ids = in_kernel(place)
            done = place.uninstall()
            assert done.returncode == 0, done
            assert not os.path.exists(place.pins)
            weirtest.until(lambda: not gone(ids), "programs, maps and links to go")
            assert not bpf.bpftool("cgroup", "show", place.cgroup)
            again = place.uninstall()
            assert again.returncode == 0, "nothing to do is no error"


def pins_of_others_stay():
    """In a root that others share, folders of other names are not ours; those of weir's go, of whichever version."""
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        agent = place.agent(box.rules({"flow": []}))
        for name in ("foreign", "foreign/empty", "count-er", "xcount-1", "count-0", "guard-99", "caller-99"):
            os.mkdir(os.path.join(place.pins, name))
        pinned = os.path.join(place.pins, "foreign", "map")
        subprocess.run(["bpftool", "map", "create", pinned, "type", "hash", "key", "4", "value", "4", "entries", "1", "name", "foreign"], check=True)
        agent.kill(15)
        agent.wait()
        for _ in range(2):
            done = place.uninstall()
            assert done.returncode == 0 and place.pins + " stays" in done.stderr, done
            assert sorted(os.listdir(place.pins)) == ["count-er", "foreign", "xcount-1"], os.listdir(place.pins)
            assert sorted(os.listdir(place.pins + "/foreign")) == ["empty", "map"]
        empty = os.path.join(box.path, "empty")
        os.mkdir(empty)
        place.pins, shared = empty, place.pins
        done = place.uninstall()
        assert done.returncode == 1 and "no folder of a BPF file system" in done.stderr and os.path.isdir(empty), done
        place.pins = shared
        os.unlink(pinned)
        for name in ("foreign/empty", "foreign", "count-er", "xcount-1"):
            os.rmdir(os.path.join(place.pins, name))


def two_agents():
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        place.agent(box.rules({"flow": []}))
        first = in_kernel(place)
        own_run_dir, box.run_dir = box.run_dir, os.path.join(box.path, "second")
        second = box.agent(box.rules({"flow": []}), options=["--bpf", "auto", "--bpf-dir", place.pins, "--bpf-cgroup", place.cgroup])
        assert feature(box, "count")["on"] and "another agent" in feature(box, "count")["why"]
        for name in ("open", "guard", "caller"):
            one = feature(box, name)
            assert not one["on"] and one["why"].startswith("the agent that counts does this"), one
        assert in_kernel(place) == first, "the second attaches nothing"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            size = transfer(listener, 300)
            port = listener.getsockname()[1]
            place.expect("in", port, opened=1, closed=1, bytes_in=size)
            second.kill(15)
            second.wait()
            box.run_dir = own_run_dir
            place.expect("in", port, opened=1, closed=1, bytes_in=size)
        assert in_kernel(place) == first


def programs_of(pid):
    """Ids of the programs that a process holds."""
    found = set()
    for name in os.listdir("/proc/%d/fdinfo" % pid):
        with contextlib.suppress(OSError), open("/proc/%d/fdinfo/%s" % (pid, name)) as info:
            found.update(int(line.split()[1]) for line in info if line.startswith("prog_id:"))
    return found


def weir_run_counts_on_demand():
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        rules = box.rules({"flow": []})
        program = box.weir_run("sleep", rules, ["sleep", "1000"])
        weirtest.until(box.agent_answers, "the agent")
        assert not feature(box, "count")["on"] and "--bpf" in feature(box, "count")["why"]
        program.kill(15)
        program.wait()
        program = box.weir_run("sleep", rules, ["sleep", "1000"], options=["--bpf"])
        weirtest.until(box.agent_answers, "the agent")
        if not feature(box, "count")["on"]:
            bpf.missing(feature(box, "count")["why"])
        assert "not pinned" in feature(box, "count")["why"], feature(box, "count")
        mine = programs_of(program.pid)
        assert mine
        program.kill(15)
        program.wait()
        weirtest.until(lambda: all("error" in bpf.bpftool("prog", "show", "id", str(number)) for number in mine), "the programs to go")


def a_full_table():
    """More ports than there is room for: nothing is lost, it counts together; and what is gone makes room."""
    knock = ("import socket, sys\n"
             "for port in range(int(sys.argv[1]), int(sys.argv[2])):\n"
             "    with socket.socket() as sock:\n"
             "        assert sock.connect_ex(('127.0.0.1', port)) == 111\n")
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        place.agent(box.rules({"flow": []}), options=["--debug"])
        below = os.path.join(place.cgroup, "below")
        os.mkdir(below)
        try:
            subprocess.run(["/bin/sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', below, "/usr/bin/python3", "-c", knock, "1000", "18000"],
                           check=True, timeout=120)

            def refused():
                return sum(row["refused"] for (direction, _, _), row in place.rows().items() if direction == "out")
            weirtest.until(lambda: refused() == 17000, "all 17000 refused connections")
            shared = place.row("out", 0)["refused"]
            assert 0 < shared < 2000, shared
        finally:
            weirtest.until(lambda: not open(below + "/cgroup.procs").read(), "the cgroup to be left")
            os.rmdir(below)
        weirtest.until(lambda: place.row("out", 0)["refused"] == 17000, "rows of the cgroup that is gone to make room")
        assert refused() == 17000
        port = weirtest.free_port()
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", port)) == 111
        place.expect("out", port, attempts=1, refused=1)


def as_the_service():
    """Not root, with the three capabilities of the unit, and a folder of its own for the pins: everything is on."""
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        rules = box.rules({"flow": []})
        theirs = os.path.join(box.path, "theirs")
        os.mkdir(theirs)
        os.chown(theirs, 65534, 65534)
        box.run_dir = os.path.join(theirs, "run")
        first = place.agent(rules)  # mounts what has to be mounted, as root
        first.kill(15)
        first.wait()
        assert place.uninstall().returncode == 0
        subprocess.run(["rm", "-rf", box.run_dir], check=True)
        os.mkdir(place.pins, 0o700)
        os.chown(place.pins, 65534, 65534)
        pins = os.path.join(theirs, "pins")  # /sys/fs/bpf itself is root's: the unit shows the folder elsewhere, too
        os.mkdir(pins)
        subprocess.run(["mount", "--bind", place.pins, pins], check=True)
        box.at_end(lambda: subprocess.run(["umount", "-l", pins]))
        capabilities = "+bpf,+net_admin,+perfmon"
        box.start("service", ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", capabilities, "--ambient-caps",
                              capabilities, "--bounding-set", "-all," + capabilities, "--no-new-privs", weirtest.WEIR_AGENT, "-r", rules.path,
                              "--bpf", "auto", "--bpf-dir", pins, "--bpf-cgroup", place.cgroup])
        weirtest.until(box.agent_answers, "the agent")
        for one in box.status()["bpf"]["features"]:
            assert one["on"] and not one["why"], one
        with socket.create_server(("127.0.0.1", 0)) as listener:
            transfer(listener, 700)
            port = listener.getsockname()[1]
            place.expect("in", port, opened=1, closed=1, bytes_in=700)
            owners = [one["pid"] for one in box.control(cmd="ports")["owners"] if one["port"] == port]
            assert owners == [os.getpid()], owners


def what_is_missing_is_told():
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        rules = box.rules({"flow": [{"resource": "x", "count": 1}]})
        agent = box.agent(rules, options=["--bpf", "auto", "--bpf-dir", "/tmp", "--bpf-cgroup", place.cgroup])
        if not feature(box, "count")["on"]:
            bpf.missing(feature(box, "count")["why"])
        assert "no BPF file system" in feature(box, "count")["why"]
        agent.kill(15)
        agent.wait()
        agent = box.agent(rules, options=["--bpf", "auto", "--bpf-dir", place.pins, "--bpf-cgroup", "/nonexistent"])
        assert not feature(box, "count")["on"] and "/nonexistent" in feature(box, "count")["why"]
        assert box.version() == 1, "the rest works"
        answer = box.control(cmd="ports")
        assert answer["rows"] == [] and "/nonexistent" in answer["why"], answer
        agent.kill(15)
        agent.wait()
        for mode, status in (("required", 1), ("nonsense", 2)):
            done = subprocess.run([weirtest.WEIR_AGENT, "-r", rules.path, "--bpf", mode, "--bpf-cgroup", "/nonexistent"],
                                  env=box.environment(), capture_output=True, text=True, timeout=30)
            assert done.returncode == status and done.stderr, (mode, done)
        # Without any rights: as another user.
        theirs = os.path.join(box.path, "theirs")
        os.mkdir(theirs)
        os.chown(theirs, 65534, 65534)
        box.run_dir = os.path.join(theirs, "run")
        environment = box.environment(WEIR_BPF="auto")
        agent = box.start("unprivileged", ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", weirtest.WEIR_AGENT, "-r",
                                           rules.path, "--bpf-dir", place.pins + "-none"], environment)
        weirtest.until(box.agent_answers, "the unprivileged agent")
        assert not feature(box, "count")["on"] and "CAP_BPF" in feature(box, "count")["why"], feature(box, "count")
        shown = json.loads(box.weir("status", "--json", "--run-dir", box.run_dir, check=0).stdout)["agents"][0]["bpf"]
        assert shown["available"] is False and "CAP_BPF" in shown["why"], shown
        agent.kill(15)
        agent.wait()
        assert not os.path.exists(place.pins + "-none"), "nothing was pinned: no folder is left"


weirtest.main(agent_comes_and_goes, pins_of_others_stay, two_agents, weir_run_counts_on_demand, a_full_table, as_the_service, what_is_missing_is_told)
