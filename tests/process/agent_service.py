#!/usr/bin/python3
"""weir-agent as a service: what it tells systemd, its options and configuration, and a clear message for each way in which it cannot
start."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import weirtest

UNIT = os.path.join(weirtest.ROOT, "agent", "weir-agent.service")


def start(box, *options, **env):
    return subprocess.run([weirtest.WEIR_AGENT, *options], env=box.environment(**env), capture_output=True, text=True, timeout=30)


class Manager:
    """The other end of sd_notify."""

    def __init__(self, box):
        self.path = os.path.join(box.path, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(10)

    def hears(self, *wanted):
        """The next message that has all of that in it."""
        while True:
            message = self.sock.recv(4096).decode()
            if all(re.search(pattern, message, re.M) for pattern in wanted):
                return message


def tells_systemd():
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": []})
        manager = Manager(box)
        agent = box.start("weir-agent", [weirtest.WEIR_AGENT, "-r", rules.path],
                          box.environment(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="300000", JOURNAL_STREAM="8:1"))
        manager.hears("^READY=1$", "^STATUS=1 app, 0 processes, 1 rules file$")
        manager.hears("^WATCHDOG=1$")
        manager.hears("^WATCHDOG=1$")
        os.kill(agent.pid, signal.SIGHUP)
        manager.hears("^RELOADING=1$", r"^MONOTONIC_USEC=\d+$")
        manager.hears("^READY=1$")
        rules.save("{")
        manager.hears("^STATUS=.*1 with errors")
        os.kill(agent.pid, signal.SIGTERM)
        manager.hears("^STOPPING=1$")
        assert agent.wait() == 0
        assert re.search(r"^<6>t: rules version 1 published", agent.output(), re.M), agent.output()
        assert re.search(r"^<3>%s:1:2: error: " % re.escape(rules.path), agent.output(), re.M), agent.output()


def checks_and_ends():
    with weirtest.Sandbox() as box:
        good, other = box.rules({"flow": []}), box.rules({"flow": []}, app="other")
        bad = box.rules({"flow": [{"resource": "x", "count": -1}]})
        nameless = box.rules({"flow": []}, app="")
        done = start(box, "-n", "-r", good.path, "-r", other.path)
        assert done.returncode == 0 and "2 rules files of 2 apps" in done.stdout, done
        done = start(box, "-n", "-r", good.path, "-r", bad.path, "-r", nameless.path, "-r", box.path + "/none")
        assert done.returncode == 2 and not done.stdout, done
        for words in (bad.path + r":\d+:\d+: error: \$\.flow\[0\]\.count: ", nameless.path + r': error: expected "app"',
                      box.path + "/none: error: No such file"):
            assert re.search(words, done.stderr), "no %r in %s" % (words, done.stderr)
        assert not os.path.exists(box.run_dir), "a check leaves nothing behind"


def configuration():
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": []})
        path = os.path.join(box.path, "weir.json")

        def check(text):
            with open(path, "w") as file:
                file.write(text)
            return start(box, "-n", "-c", path)
        assert check(json.dumps({"rules": [rules.path], "logLevel": "debug", "group": None})).returncode == 0
        assert check('{ // comments\n "rules": ["%s"] /* too */ }' % rules.path).returncode == 0
        for text, words in (
                ("", ":1:1: error: expected"), ("[]", r":1:1: error: \$: expected an object, got \[\]"),
                ('{"rules": []}', r":1:11: error: \$\.rules: expected a list"),
                ('{"rules": ["/x",\n "rel"]}', r":2:2: error: \$\.rules\[1\]: expected an absolute path, got \"rel\""),
                ('{"rules": [["/x"]]}', r"\$\.rules\[0\]: expected an absolute path"), ('{"rundir": "/x"}', r'\$\.rundir: unknown key; did you mean "runDir"\?'),
                ('{"logLevel": "loud"}', r'\$\.logLevel: expected "error"'), ('{"group": 7}', r"\$\.group: expected the name"),
                ('{"logDir": "x"}', r"\$\.logDir: expected an absolute path"), ('{"group": "a", "group": "b"}', "there twice"),
                ('{"runDir": "x", "logLevel": 1}', r"\$\.runDir[\s\S]*\$\.logLevel"), ("{\"a\": ", "expected"), ("\x7fELF", "expected")):
            done = check(text)
            assert done.returncode == 2 and re.search(words, done.stderr), (text, words, done)
        os.unlink(path)
        assert start(box, "-n", "-c", path).returncode == 2
        os.mkdir(path)
        assert "regular file" in start(box, "-n", "-c", path).stderr


def options():
    with weirtest.Sandbox() as box:
        assert re.match(r"weir-agent \d", start(box, "--version").stdout)
        assert "--run-dir" in start(box, "--help").stdout
        for wrong in (["--nonsense"], ["stray"], ["-r"]):
            done = start(box, *wrong)
            assert done.returncode == 2 and done.stderr and not done.stdout, done


def cannot_start():
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": []})

        def fails(words, *more, run_dir=box.run_dir):
            done = start(box, "-r", rules.path, "--run-dir", run_dir, *more)
            assert done.returncode == 1 and re.search(words, done.stderr), (words, done)
        box.agent(rules)
        fails("another agent already serves " + re.escape(box.run_dir))
        fails("cannot make .*: No such file", run_dir=box.path + "/no/where")
        fails("path is too long for a socket", run_dir=box.path + "/" + "x" * 90)
        fails('no group named "weir-nobody"', "--group", "weir-nobody", run_dir=box.path + "/second")
        shared = box.path + "/shared"
        os.mkdir(shared)
        os.chmod(shared, 0o777)
        fails("writable by all users", run_dir=shared)
        with open(box.path + "/plain", "w"):
            pass
        fails("cannot open .*plain: Not a directory", run_dir=box.path + "/plain")
        if os.geteuid() == 0:
            theirs = box.path + "/theirs"
            os.mkdir(theirs)
            done = subprocess.run([weirtest.WEIR_AGENT, "-r", rules.path, "--run-dir", theirs], user=65534, group=65534, extra_groups=[],
                                  env=box.environment(), capture_output=True, text=True, timeout=30)
            assert done.returncode == 1 and "cannot write in " + theirs in done.stderr, done


def missing_rules_are_waited_for():
    with weirtest.Sandbox() as box:
        folder = os.path.join(box.path, "rules.d")
        agent = box.agent(folder)
        assert folder + ": no such file or directory" in agent.output()
        assert box.status()["files"][0]["state"] == "error"
        os.mkdir(folder)
        box.rules({"flow": []}, name="rules.d/a.json")
        weirtest.until(lambda: box.version() == 1, "the rules that appeared")


def fill(path):
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(file, bytes(4096)):
            pass
    except OSError:
        os.close(file)


def full_disk():
    """A run directory without room: an error of the agent, which says so and tries again; made room, it serves."""
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to mount a small file system")
    with weirtest.Sandbox() as box:
        small = os.path.join(box.path, "small")
        os.mkdir(small)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=755", "tmpfs", small], capture_output=True).returncode:
            raise weirtest.Skip("cannot mount a tmpfs here")
        try:
            ballast = os.path.join(small, "ballast")
            fill(ballast)
            box.run_dir = os.path.join(small, "run")
            rules = box.rules({"flow": []})
            agent = box.agent(rules)
            assert "No space left" in agent.output() and "free some space" in agent.output(), agent.output()
            assert box.app_status() is None
            assert [name for name in os.listdir(box.run_dir) if name.endswith((".rules", ".counters"))] == []
            os.unlink(ballast)
            weirtest.until(lambda: box.version() == 1, "the app once there is room")
            # Then full to the brim while it runs: what is there goes on, an edit fits or is refused, nothing dies.
            fill(ballast)
            rules.save({"flow": [{"resource": "GET:/%d" % number, "count": 1} for number in range(2000)]})
            weirtest.until(lambda: "not published: No space left" in agent.output(), "the agent to say that it is full")
            assert box.app_status()["stale"] is True, "rules that are not in force look as if they were"
            assert box.version() == 1 and agent.running()
            os.unlink(ballast)
            weirtest.until(lambda: box.version() == 2, "the edit once there is room")
        finally:
            box.end()
            subprocess.run(["umount", "-l", small], check=True)


def writes_the_block_log():
    with weirtest.Sandbox() as box:
        logs = os.path.join(box.path, "log")
        os.mkdir(logs)
        box.agent(box.rules({"flow": [{"id": "none", "resource": "GET:/small", "count": 0}]}), options=["--log-dir", logs])
        server = box.serve("nginx", preload=True)
        box.figures(time.time())  # the first look at the figures is what later ones are compared with
        for _ in range(7):
            assert weirtest.ask(server.address).status == 429

        def lines():
            path = os.path.join(logs, "weir-block.log")
            if not os.path.exists(path):
                return []
            with open(path) as file:
                return [re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\|1\|GET:/small,FlowException,default,[^,]*,none,[0-9A-Z]+-[0-9A-Z]{4}\|(\d+),0\n", line)
                        for line in file]
        weirtest.until(lambda: None not in lines() and sum(int(line.group(1)) for line in lines()) == 7, "seven rejections in the log")


def logs_are_taken_away():
    """As logrotate does it: by renaming, and by copying and cutting. Nothing is lost, and what comes then is in the new file."""
    with weirtest.Sandbox() as box:
        log, state = os.path.join(box.path, "weir-block.log"), os.path.join(box.path, "state")
        box.agent(box.rules({"flow": [{"id": "none", "resource": "GET:/small", "count": 0}]}), options=["--log-dir", box.path, "--state-dir", state])
        server = box.serve("nginx", preload=True)
        weirtest.until(lambda: weirtest.ask(server.address).status == 429, "the rules in force")

        def logged(path):
            if not os.path.exists(path):
                return 0
            with open(path, "rb") as file:
                lines = file.read()
            assert b"\0" not in lines, lines
            return sum(int(line.split(b"|")[3].split(b",")[0]) for line in lines.splitlines())

        def reject_until(condition, what):
            weirtest.until(lambda: weirtest.ask(server.address).status == 429 and condition(), what, pause=0.1)
        reject_until(lambda: logged(log) > 0, "the first lines")
        events = os.path.join(state, "events.jsonl")
        for path in (log, events):
            os.rename(path, path + ".old")
        reject_until(lambda: logged(log) > 0, "lines in a new file")
        box.weir("off", box.app, check=0)
        weirtest.until(lambda: os.path.exists(events), "a new event log")
        box.weir("on", box.app, check=0)

        def complete(*paths):
            total = box.resource("GET:/small", now=True)["total_block"]
            weirtest.until(lambda: sum(map(logged, paths)) == total, "every rejection to be in one of them")
        complete(log + ".old", log)
        shutil.copy(log, log + ".copy")
        os.truncate(log, 0)  # nothing is written meanwhile, as nothing is rejected
        assert weirtest.ask(server.address).status == 429
        weirtest.until(lambda: logged(log) > 0, "lines in the cut file")
        complete(log + ".old", log + ".copy", log)


def recognises_programs_of_other_users():
    """As the unit runs it, the agent may not see which program root's process is: the library in it says so."""
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to start an agent of another user")
    with weirtest.Sandbox() as box:
        def rules_for(program):
            return {"match": {"exe": os.path.realpath(program)}, "flow": [{"resource": "GET:/small", "count": 0}]}
        rules = box.rules(rules_for(shutil.which("nginx") or "/usr/sbin/nginx"))
        os.mkdir(box.run_dir)
        os.chown(box.run_dir, 65534, 65534)
        agent = box.start("weir-agent", ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", weirtest.WEIR_AGENT, "--run-dir",
                                         box.run_dir, "-r", rules.path])
        weirtest.until(lambda: box.agent_answers() or not agent.running(), "the agent")
        server = box.serve("nginx", weir=False, env={"LD_PRELOAD": weirtest.LIBWEIR})
        weirtest.until(lambda: weirtest.ask(server.address).status == 429, "the rules in force, without WEIR_APP")
        other = box.serve("threading", weir=False, env={"LD_PRELOAD": weirtest.LIBWEIR})
        assert weirtest.ask(other.address).status == 200
        rules.save(rules_for("/proc/%d/exe" % other.main_pid()))
        weirtest.until(lambda: weirtest.ask(other.address).status == 429, "another program to be recognised")


def unit_is_hardened():
    if not shutil.which("systemd-analyze"):
        raise weirtest.Skip("systemd-analyze is not installed")
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", UNIT], capture_output=True, text=True)
    found = re.search(r"exposure level for weir-agent.service: ([\d.]+)", done.stdout)
    assert found and float(found.group(1)) <= 2.5, done.stdout + done.stderr
    with weirtest.Sandbox() as box:
        # With a program that is there; what it says of manuals that are not installed is no fault of the unit.
        copy = os.path.join(box.path, "weir-agent.service")
        with open(UNIT) as unit, open(copy, "w") as file:
            file.write(unit.read().replace("/usr/sbin/weir-agent", weirtest.WEIR_AGENT))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
        about = [line for line in done.stderr.splitlines() if "weir-agent" in line]
        assert not about, "\n".join(about)


weirtest.main(tells_systemd, checks_and_ends, configuration, options, cannot_start, missing_rules_are_waited_for, full_disk, writes_the_block_log,
              logs_are_taken_away, recognises_programs_of_other_users, unit_is_hardened)
