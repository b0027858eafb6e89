#!/usr/bin/python3
"""What `weir doctor` shows a person and a script: tables, exit status, what it could not see."""
import json
import os
import re
import shutil
import signal
import subprocess

import weirtest
from harness.terminal import Terminal

RULES = {"flow": [{"resource": "GET:/x", "count": 5}]}
COLOUR = "\x1b["


def line_of(text, pid):
    found = [line for line in text.splitlines() if re.match(r"%d\b" % pid, line)]
    assert len(found) == 1, text
    return found[0]


def listed(done):
    return {entry["pid"]: entry for entry in json.loads(done.stdout)["processes"]}


def test_nginx_is_protected():
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(RULES), workers=3)
        done = box.weir("doctor", "--json", "--run-dir", box.run_dir, *map(str, server.processes()), check=0)
        entries = listed(done)
        assert len(entries) == 4 and all(entry["protected"] and entry["app"] == box.app for entry in entries.values()), entries
        done = box.weir("doctor", "--run-dir", box.run_dir, *map(str, server.processes()), check=0)
        line = line_of(done.stdout, min(entries))  # master and workers in one line, with nothing to do below it
        assert "+3" in line and "nginx" in line and "127.0.0.1:%d" % server.port in line and "protected" in line, done.stdout
        assert len(done.stdout.splitlines()) == 2 and COLOUR not in done.stdout, done.stdout
        assert done.stderr == ""

        everything = listed(box.weir("doctor", "--json", "--run-dir", box.run_dir))
        assert set(entries) <= set(everything)
        server.program.popen.send_signal(signal.SIGKILL)  # the agent goes, the rules stay in force
        server.program.popen.wait()
        entries = listed(box.weir("doctor", "--json", "--run-dir", box.run_dir, *map(str, entries), check=0))
        assert all(entry["protected"] and "agent is away" in entry["remark"] for entry in entries.values()), entries


def test_what_nobody_asked_for():
    """A program without weir is shown, and is no reason to fail: nothing says that it is to be protected."""
    with weirtest.Sandbox() as box:
        bare = box.serve("http.server", weir=False)
        box.agent(box.rules(RULES))
        pid = bare.main_pid()
        entry = listed(box.weir("doctor", "--json", "--run-dir", box.run_dir))[pid]
        assert (entry["wanted"], entry["protected"], entry["cause"], entry["remedy"] != "") == (False, False, "not-preloaded", True), entry
        text = box.weir("doctor", "--run-dir", box.run_dir).stdout
        assert "not asked for" in line_of(text, pid) and "nothing asks for it" in text, text
        assert "(process %d)" % pid not in text, text  # and nothing to do about it
        entry = listed(box.weir("doctor", "--json", "--run-dir", box.run_dir, str(pid), check=1))[pid]
        assert entry["wanted"], entry  # asked for now


def test_wrong_use():
    with weirtest.Sandbox() as box:
        bare = box.serve("http.server", weir=False)
        for words, status, said in ((["--nosuch"], 2, "--nosuch"), (["4194304"], 1, "no such process"), (["no/unit"], 2, "not a path"),
                                    (["nosuch.service"], 1, "no process of that unit"), (["99999999999999999999"], 1, "no such process"),
                                    ([str(bare.main_pid()), "x.socket"], 2, "service")):
            done = box.weir("doctor", *words, check=status)
            assert said in done.stderr and done.stdout == "", (words, done.stdout, done.stderr)
        # No agent: nothing tells what is to be protected, unless a process says so itself.
        line_of(box.weir("doctor", "--run-dir", box.run_dir).stdout, bare.main_pid())
        done = box.weir("doctor", "--json", "--run-dir", box.run_dir)
        ill = [entry for entry in listed(done).values() if entry["wanted"] and not entry["protected"]]  # of tests beside this one
        assert done.returncode == 1 if ill else done.returncode == 69 and "no agent" in done.stderr, (done.stdout, done.stderr)


def test_unprivileged():
    """Another user sees less, says so, and is told what it may see."""
    if os.geteuid() != 0:
        raise weirtest.Skip("only root can be somebody else")
    weirtest.need("setpriv")
    with weirtest.Sandbox() as box:
        roots = box.serve("http.server", weir=False)
        for name in ("weir", "libweir.so"):
            shutil.copy(os.path.join(weirtest.BUILD, name), box.path)
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        port = weirtest.free_port()
        own = box.start("own", other + ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", str(port)])
        weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not own.running(), "the server")

        def doctor(*words):
            return subprocess.run(other + [os.path.join(box.path, "weir"), "doctor", "--run-dir", box.run_dir] + list(words),
                                  env=box.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)

        done = doctor()
        assert "not asked for" in line_of(done.stdout, own.pid), done.stdout
        assert "only root can inspect" in done.stdout and str(roots.port) not in done.stdout, done.stdout
        whole = json.loads(doctor("--json").stdout)
        assert whole["unreadable_processes"] > 0 and whole["sockets_of_unknown_owner"] > 0, whole
        done = doctor(str(roots.main_pid()))
        assert done.returncode == 1 and "unknown" in line_of(done.stdout, roots.main_pid()) and "as root" in done.stdout, done.stdout
        assert "nothing preloads" in doctor(str(own.pid)).stdout


def test_on_a_terminal():
    with weirtest.Sandbox() as box:
        bare = box.serve("http.server", weir=False)
        command = [weirtest.WEIR, "doctor", "--run-dir", box.run_dir, str(bare.main_pid())]
        with Terminal(command, box.environment(TERM="xterm"), rows=24, columns=72) as terminal:
            weirtest.until(lambda: not terminal.read(1), "the end")
            seen = terminal.seen.decode()
        plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
        assert COLOUR in seen and "UNPROTECTED" in plain, seen
        assert all(len(line.rstrip()) <= 72 for line in plain.splitlines()), plain


weirtest.main(test_nginx_is_protected, test_what_nobody_asked_for, test_wrong_use, test_unprivileged, test_on_a_terminal)
