#!/usr/bin/python3
"""weir ports: without an agent from /proc, and it says so; with one that counts, what went over each port and what protects it. And
traffic that goes past the shim of a protected app: an event, in the status, in the table, and a cause for the doctor."""
import json
import os
import re
import socket
import subprocess

import weirtest
from harness import bpf


def ports(box, *options):
    return json.loads(box.weir("ports", "--json", "--run-dir", box.run_dir, *options, check=0).stdout)


def port_of(whole, number):
    found = [port for port in whole["ports"] if port["port"] == number]
    return found[0] if found else None


def from_proc():
    with weirtest.Sandbox() as box:
        box.agent(box.rules({"flow": []}))
        server = box.serve("http.server", weir=False)
        done = box.weir("ports", "--run-dir", box.run_dir, check=0)
        first, *rest = done.stdout.splitlines()
        assert first == "not counted, from /proc only: switched off", done.stdout
        line = [line for line in rest if re.search(r"\b%d\b" % server.port, line)]
        assert len(line) == 1 and re.search(r"python3\[%d\]" % server.program.pid, line[0]) and "no: " in line[0], done.stdout
        whole = ports(box)
        assert whole["source"] == "proc" and whole["outbound"] == [] and whole["why"], whole
        port = port_of(whole, server.port)
        assert port["listening"] and port["addresses"] == ["127.0.0.1"] and port["protection"] == "none", port
        assert [process["pid"] for process in port["processes"]] == [server.program.pid], port
        assert box.weir("ports", "--run-dir", box.path + "/nowhere").returncode == 69
        assert box.weir("ports", "stray").returncode == 2


def counted():
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        place.agent(box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}]}))
        protected, bare = box.serve("nginx", preload=True), box.serve("redis", weir=False)
        for _ in range(7):
            weirtest.ask(protected.address)
        with socket.create_connection(bare.address, timeout=20) as client:
            client.sendall(b"PING\r\n")
            assert client.recv(100) == b"+PONG\r\n"
            place.expect("in", bare.port, opened=1, active=1, bytes_in=6, bytes_out=7)
            whole = ports(box)
            assert whole["source"] == "kernel" and whole["why"] == "", whole
            port = port_of(whole, bare.port)
            assert port["opened"] == port["active"] == 1 and port["bytes_in"] == 6 and port["bytes_out"] == 7, port
            assert port["ipv4"]["opened"] == 1 and "ipv6" not in port and port["protection"] == "none", port
            assert port["processes"][0]["comm"] == "redis-server" and port["room"] > 0, port
        place.expect("in", protected.port, opened=7, closed=7)
        port = port_of(ports(box), protected.port)
        assert port["opened"] == 7 and port["protection"] == "shim" and port["missed"] == 0, port
        assert {process["app"] for process in port["processes"]} == {box.app} and len(port["processes"]) == 2, port
        shown = box.weir("ports", "--run-dir", box.run_dir, check=0).stdout
        assert re.search(r"^ *%d +127\.0\.0\.1 +nginx\[\d+\] \+1 .* 7 .* %s$" % (protected.port, box.app), shown, re.M), shown
        assert re.search(r"^ *%d +127\.0\.0\.1 +redis-server\[\d+\] .* no: " % bare.port, shown, re.M), shown
        assert re.search(r"^counted since \d{4}-\d\d-\d\d \d\d:\d\d$", shown, re.M), shown
        assert all("unit" in row and "cgroup" in row and row["attempts"] for row in ports(box)["outbound"]), ports(box)["outbound"]
        out = box.weir("ports", "--out", "--run-dir", box.run_dir, check=0).stdout
        assert re.search(r"^ *%d +/weirtest\.%d +0 +7 " % (protected.port, os.getpid()), out, re.M), out
        bare.program.kill(15)
        bare.program.wait()
        table = [box.weir("ports", *options, "--run-dir", box.run_dir, check=0).stdout for options in ((), ("--all",))]
        assert str(bare.port) not in table[0] and re.search(r"^ *%d +- +\(gone\)" % bare.port, table[1], re.M), table


def in_a_container():
    """In a pid namespace, where the kernel knows processes by other numbers: each process once, by the number that it has there."""
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        holder = box.start("holder", ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sleep", "1000"])
        weirtest.until(lambda: weirtest.descendants(holder.pid) or not holder.running(), "a pid namespace")
        if not holder.running():
            raise weirtest.Skip("no pid namespace to be had here: " + holder.output())
        inside = ["nsenter", "-t", str(weirtest.descendants(holder.pid)[0]), "-p", "-m", "--"]
        rules, port = box.rules({"flow": []}), weirtest.free_port()
        box.start("weir-agent", inside + [weirtest.WEIR_AGENT, "-r", rules.path, "--bpf", "required", "--bpf-dir", place.pins, "--bpf-cgroup", place.cgroup])
        box.start("redis", inside + ["redis-server", "--port", str(port), "--save", ""])
        weirtest.until(lambda: box.agent_answers() and weirtest.listening(("127.0.0.1", port)), "the agent and the server")
        shown = subprocess.run(inside + [weirtest.WEIR, "ports", "--json", "--run-dir", box.run_dir], env=box.environment(), capture_output=True,
                               text=True, check=True)
        processes = port_of(json.loads(shown.stdout), port)["processes"]
        assert len(processes) == 1 and processes[0]["comm"] == "redis-server" and processes[0]["pid"] < 100, processes


def past_the_shim():
    """A server that accepts through io_uring, of which libc knows nothing."""
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        agent = place.agent(box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}]}))
        address = ("127.0.0.1", weirtest.free_port())
        program = box.start("io_uring", [os.path.join(weirtest.BUILD, "tests", "servers", "server_io_uring"), str(address[1])],
                            box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app))
        weirtest.until(lambda: weirtest.listening(address) or not program.running(), "the server to listen")
        if not program.running():
            raise weirtest.Skip("no io_uring here: " + program.output().strip())
        weirtest.until(lambda: [entry for entry in box.app_status().get("coverage", []) if entry["port"] == address[1]],
                       "the agent to know whose port it is")

        def told():
            with socket.create_connection(address, timeout=20) as client:
                client.sendall(b"x")
            return "bypassed the shim" in agent.output()
        weirtest.until(told, "the event", 30, 0.2)
        entry = [entry for entry in box.app_status()["coverage"] if entry["port"] == address[1]][0]
        assert entry["missing"] > 3 and entry["shim"] == 0, entry
        assert re.search(r"%s: port %d: \d+ of \d+ connections bypassed the shim" % (box.app, address[1]), agent.output())
        assert port_of(ports(box), address[1])["missed"] > 3
        assert re.search(r"^%s: port %d: \d+ of \d+ connections bypassed the shim" % (box.app, address[1]),
                         box.weir("status", "--run-dir", box.run_dir, check=0).stdout, re.M)
        other = box.serve("nginx", preload=True)

        def compared():
            weirtest.ask(other.address)
            return [entry for entry in box.app_status()["coverage"] if entry["port"] == other.port and entry["kernel"] >= 10]
        entry = weirtest.until(compared, "the other server's coverage", 30, 0.2)[0]
        assert entry["missing"] == 0 and "port %d:" % other.port not in agent.output(), entry


weirtest.main(from_proc, counted, in_a_container, past_the_shim)
