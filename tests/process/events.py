#!/usr/bin/python3
"""What happened: `weir events` shows it, of one agent and of the one before; -f goes on with it over a restart; the journal has the same
with fields; and `weir run -v` says it on stderr. Rejections are summed up, and names that clients choose end no line."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import weirtest

RULES = {"flow": [{"id": "none", "resource": "GET:/blocked", "count": 0}],
         "degrade": [{"id": "fails", "resource": "GET:/fails", "grade": "exceptionCount", "count": 1, "minRequestAmount": 1, "timeWindow": 600}]}
NGINX = {"server": "location = /fails { return 500; }"}


def events(box, *options):
    return [json.loads(line) for line in box.weir("events", "--json", *options, check=0).stdout.splitlines()]


def kinds(box, *options):
    return [event["kind"] for event in events(box, *options)]


def rejected(server, count=1, **more):
    for _ in range(count):
        response = weirtest.ask(server.address, target="/blocked", **more)
        assert response.status == 429, response
    return response.header("x-weir-id")


class Follow:
    """`weir events -f` in the background."""

    def __init__(self, box):
        self.program = box.start("follow", [weirtest.WEIR, "events", "-f", "--json", "-n", "0", "-k", "app,rules"])

    def kinds(self):
        return [json.loads(line)["kind"] for line in self.program.output().splitlines() if line.startswith("{")]


def the_log():
    with weirtest.Sandbox() as box:
        state = os.path.join(box.path, "state")
        folder = os.path.join(box.path, "rules.d")
        os.mkdir(folder)
        rules = box.rules(RULES, name="rules.d/t.json")
        agent = box.agent(folder, options=("--state-dir", state))
        server = box.serve("nginx", preload=True, **NGINX)
        weirtest.until(lambda: weirtest.ask(server.address, target="/blocked").status == 429, "the rules in force")
        name = rejected(server, 5)
        weirtest.until(lambda: sum(event["count"] for event in events(box, "-k", "blocked")) >= 1, "the first rejections")
        first = events(box, "-k", "blocked")[0]
        assert (first["app"], first["resource"], first["rule"], first["reason"], first["caller"]) == \
            (box.app, "GET:/blocked", "none", "flow", "127.0.0.1"), first
        assert json.loads(box.weir("why", "--json", first["id"], check=0).stdout)["rule"] == "none"
        assert "limit 0 a second" in first["text"] and name
        weirtest.until(lambda: weirtest.ask(server.address, target="/fails").status == 503, "the circuit to open")
        circuit = weirtest.until(lambda: events(box, "-k", "circuit"), "the circuit's event")
        assert circuit[0]["rule"] == "fails" and circuit[0]["resource"] == "GET:/fails" and "open" in circuit[0]["text"], circuit

        follow = Follow(box)
        cut = subprocess.Popen([weirtest.WEIR, "events", "-f"], env=box.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert cut.stdout.readline()
        cut.stdout.close()
        box.spoil(rules, "{ broken")
        box.weir("off", box.app, check=0)
        box.weir("on", box.app, check=0)
        weirtest.until(lambda: follow.kinds()[-2:] == ["app.off", "app.on"], "to be followed")
        assert "rules.error" in follow.kinds() and "circuit" not in follow.kinds()
        assert cut.wait(timeout=30) == 1 and cut.stderr.read() == b"", "a reader that has enough is no error to speak of"
        agent.kill()  # in the middle of whatever it does
        with open(os.path.join(state, "events.jsonl"), "a") as file:
            file.write('{"seq":99999,"time":17')
        rules.save({"flow": [{"resource": "GET:/blocked", "count": 1}]})
        box.agent(folder, options=("--state-dir", state))
        weirtest.until(lambda: follow.kinds()[-1] == "rules.published", "to be followed over a restart")
        os.kill(follow.program.pid, signal.SIGINT)
        assert follow.program.wait() == 0, "Ctrl-C ends it"

        every = events(box)
        numbers = [event["seq"] for event in every]
        assert numbers == sorted(set(numbers)) and 99999 not in numbers, numbers
        assert {"rules.published", "process.attached", "process.found", "blocked", "circuit", "rules.error", "app.off"} <= {e["kind"] for e in every}
        assert kinds(box, "-k", "app") == ["app.off", "app.on"] and kinds(box, "-k", "app.on") == ["app.on"]
        assert kinds(box, "-n", "1") == [every[-1]["kind"]]
        assert events(box, "--app", "other") == [] and len(events(box, "--since", "1h")) == len(every)
        assert events(box, "--since", "2030-01-01" if time.time() < 1893000000 else "2099-01-01") == []
        os.remove(rules.path)
        weirtest.until(lambda: kinds(box)[-1] == "rules.lifted", "that the rules are gone to be said")
        wrong = box.weir("events", "-k", "circiut", check=2)
        assert "circiut" in wrong.stderr and "circuit" in wrong.stderr, wrong


def at_80_columns():
    with weirtest.Sandbox() as box:
        box.agent(box.rules(RULES))
        box.weir("off", box.app, check=0)
        shell = "stty cols 80; exec %s events" % weirtest.WEIR
        shown = subprocess.run(["script", "-qec", shell, "/dev/null"], env=box.environment(TERM="dumb"), capture_output=True, text=True, timeout=30)
        lines = shown.stdout.replace("\r", "").splitlines()
        assert lines and all(len(line) <= 80 for line in lines), lines
        assert "switched off" in " ".join(" ".join(lines).split()), lines
        piped = box.weir("events", check=0).stdout
        assert "all traffic passes until it is switched on" in piped, piped


def summed_up_and_bounded():
    """A scan with names of its own making: a few lines, every rejection in them, and no line of the scanner's."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"id": "all", "resource": "GET:/", "resourceMatch": "prefix", "count": 0}]})
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True)
        weirtest.until(lambda: weirtest.ask(server.address).status == 429, "the rules in force")
        with weirtest.Connection(server.address) as connection:
            targets = ["/s%d/%%0a%%1b[2J<3>weir-agent" % number for number in range(400)]
            connection.send(b"".join(weirtest.request("GET", target) for target in targets))
            assert {connection.response().status for _ in targets} == {429}
        total = (box.resource("http::%d" % server.port, now=True) or {})["total_block"]
        weirtest.until(lambda: sum(e["count"] for e in events(box, "-k", "blocked")) == total, "all of them to be in the log")
        told = [e for e in events(box, "-k", "blocked")]
        assert len(told) < 150 and "blocked.more" in [e["kind"] for e in told], len(told)
        logged = [line for line in agent.output().split("\n") if " rejected " in line or "more rejections" in line]
        assert 1 <= len(logged) <= 30, len(logged)
        assert "\x1b" not in agent.output() and all(line.startswith("weir-agent: ") for line in agent.output().splitlines()), agent.output()


def under_weir_run():
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(RULES))
        rejected(server, 3)
        weirtest.until(lambda: "GET:/blocked" in server.program.output(), "a line on stderr")
        line = next(line for line in server.program.output().splitlines() if "GET:/blocked" in line)
        assert "by rule none (flow, limit 0 a second), last id " in line, line
        assert "blocked" in kinds(box)
        server.program.kill(signal.SIGTERM)
        server.program.wait()
        assert not os.path.exists(os.path.join(box.run_dir, "events.jsonl")), "it ends with the run"


JOURNAL = """
import ctypes, os, socket, subprocess, sys
def mount(source, target, kind, flags):
    if ctypes.CDLL(None, use_errno=True).mount(source, target, kind, flags, None) != 0:
        sys.exit(77)
mount(None, b"/", None, 0x44000)  # private: of this namespace alone
mount(b"tmpfs", b"/run", b"tmpfs", 0)
os.makedirs("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
place = os.fstat(2)
if os.fork() == 0:
    os.execve(sys.argv[2], sys.argv[2:], dict(os.environ, JOURNAL_STREAM="%d:%d" % (place.st_dev, place.st_ino)))
with open(sys.argv[1], "wb", buffering=0) as file:
    while True:
        file.write(journal.recv(1 << 20) + b"\\n\\0")
"""


def journal_entries(path):
    entries = []
    with contextlib.suppress(FileNotFoundError):
        with open(path, "rb") as file:
            for entry in file.read().split(b"\n\0")[:-1]:
                lines = entry.decode(errors="replace").splitlines()
                entries.append(dict(line.split("=", 1) for line in lines if "=" in line))
    return entries


def in_the_journal():
    if os.getuid() != 0:
        raise weirtest.Skip("a mount namespace of its own needs root")
    with weirtest.Sandbox() as box:
        path, run_dir = os.path.join(box.path, "journal"), box.run_dir
        rules = box.rules(RULES)
        command = ["unshare", "-m", sys.executable, "-c", JOURNAL, path, weirtest.WEIR_AGENT, "--run-dir", run_dir, "-r", rules.path]
        agent = box.start("agent", command)
        weirtest.until(lambda: box.agent_answers() or not agent.running(), "the agent")
        if not agent.running() and agent.wait() == 77:
            raise weirtest.Skip("no mounts here")
        server = box.serve("nginx", preload=True)
        weirtest.until(lambda: weirtest.ask(server.address, target="/blocked").status == 429, "the rules in force")
        rejected(server, 3)

        def entries(kind):
            return [entry for entry in journal_entries(path) if entry.get("WEIR_KIND") == kind]
        blocked = weirtest.until(lambda: entries("blocked"), "the rejections in the journal")[0]
        assert (blocked["WEIR_APP"], blocked["WEIR_RESOURCE"], blocked["WEIR_RULE"], blocked["WEIR_REASON"], blocked["WEIR_CALLER"]) == \
            (box.app, "GET:/blocked", "none", "flow", "127.0.0.1"), blocked
        assert blocked["PRIORITY"] == "5" and blocked["SYSLOG_IDENTIFIER"] == "weir-agent" and int(blocked["WEIR_COUNT"]) >= 1, blocked
        assert blocked["WEIR_ID"] in blocked["MESSAGE"] and blocked["MESSAGE"].startswith(box.app + ": GET:/blocked"), blocked
        attached = entries("process.attached")[0]
        assert attached["MESSAGE_ID"] != blocked["MESSAGE_ID"] and int(attached["WEIR_PID"]) in server.processes(), attached
        box.spoil(rules, "{ broken")
        error = weirtest.until(lambda: entries("rules.error"), "the error in the journal")[0]
        assert error["PRIORITY"] == "3" and error["WEIR_FILE"] == rules.path, error
        assert "rejected" not in agent.output(), "it is said once"


weirtest.main(the_log, at_80_columns, summed_up_and_bounded, under_weir_run, in_the_journal)
