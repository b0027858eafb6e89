#!/usr/bin/python3
"""Signals and the terminal: each reaches the program, once; job control works; daemons are stayed with; killed, weir leaves
the program in peace."""
import os
import signal
import time

import weirtest
from harness.terminal import Terminal

# Says which signals come, each on a line; goes on until TERM. Its end is its own: exit status 5.
LISTENER = r'''
import os, signal, sys, time
def tell(number, _):
    os.write(1, b"got %s\n" % signal.Signals(number).name.encode())  # in one piece: a prompt may come beside it
    if number == signal.SIGTERM: os._exit(5)
for name in "INT TERM HUP QUIT USR1 USR2 WINCH CONT".split() + sys.argv[1:]:
    signal.signal(getattr(signal, "SIG" + name), tell)
print("ready", os.getpid(), flush=True)
while True: time.sleep(0.05)
'''


def listener(box, *more):
    program = box.start("weir-run", [weirtest.WEIR, "run", "--", "/usr/bin/python3", "-S", "-c", LISTENER] + list(more))
    weirtest.until(lambda: "ready" in program.output(), "the program")
    return program


def state(pid):
    with open("/proc/%d/stat" % pid) as stat:
        return stat.read().rpartition(")")[2].split()[0]


def each_is_forwarded_once():
    with weirtest.Sandbox() as box:
        program = listener(box)
        for name in "INT HUP QUIT USR1 USR2 WINCH".split():
            program.kill(getattr(signal, "SIG" + name))
            weirtest.until(lambda: "got SIG%s\n" % name in program.output(), "SIG" + name)
        program.kill(signal.SIGTERM)
        assert program.wait() == 5
        for name in "INT HUP QUIT USR1 USR2 WINCH TERM".split():
            assert program.output().count("got SIG%s\n" % name) == 1, (name, program.output())


def not_back_to_where_they_came_from():
    """A program that signals its own process group, in which weir is, gets its signal once."""
    code = LISTENER.replace("while True", "os.kill(0, signal.SIGUSR1); time.sleep(0.3); os.kill(os.getppid(), signal.SIGUSR2)\nwhile True")
    with weirtest.Sandbox() as box:
        program = box.start("weir-run", [weirtest.WEIR, "run", "--", "/usr/bin/python3", "-S", "-c", code])
        weirtest.until(lambda: "got SIGUSR1" in program.output(), "its signal")
        time.sleep(0.6)
        assert program.output().count("got SIGUSR1") == 1, program.output()
        assert "got SIGUSR2" not in program.output(), program.output()
        program.kill(signal.SIGTERM)
        assert program.wait() == 5


def stops_and_goes_on_together():
    with weirtest.Sandbox() as box:
        program = box.start("weir-run", [weirtest.WEIR, "run", "--", "/bin/sleep", "1000"])
        child = weirtest.until(lambda: weirtest.descendants(program.pid), "the program")[0]
        for _ in range(3):
            # a group without a parent in its session cannot be stopped by TSTP: the kernel drops it. So weir gets it from
            # us, in a group of its own session, only to be in peace; STOP on both is what a shell then sees
            program.kill(signal.SIGSTOP)
            os.kill(child, signal.SIGSTOP)
            weirtest.until(lambda: state(program.pid) == state(child) == "T", "both to stop")
            program.kill(signal.SIGCONT)
            weirtest.until(lambda: state(program.pid) == state(child) == "S", "both to go on")
        os.kill(child, signal.SIGSTOP)  # somebody looks at the program: no reason for the agent to stop
        weirtest.until(lambda: state(child) == "T", "the program to stop")
        time.sleep(0.2)
        assert state(program.pid) != "T"
        os.kill(child, signal.SIGCONT)
        program.kill(signal.SIGTERM)
        assert program.wait() == -signal.SIGTERM


def job_control():
    """A shell with job control in a terminal: Ctrl-C once, Ctrl-Z stops both, fg goes on."""
    with weirtest.Sandbox() as box:
        script = os.path.join(box.path, "listener.py")
        with open(script, "w") as file:
            file.write(LISTENER)
        env = box.environment(PS1="prompt> ", HISTFILE="")
        with Terminal(["/bin/bash", "--norc", "--noprofile", "-i"], env) as terminal:
            terminal.wait_for("prompt> ")
            terminal.type("%s run -- /usr/bin/python3 -S %s\n" % (weirtest.WEIR, script))
            terminal.wait_for("ready")
            terminal.type("\x03")
            terminal.wait_for("got SIGINT")
            terminal.wait_silent(0.5)
            assert terminal.text().count("got SIGINT") == 1, "Ctrl-C is delivered twice"
            terminal.type("\x1c")
            terminal.wait_for("got SIGQUIT")
            terminal.resize(30, 100)
            terminal.wait_for("got SIGWINCH")
            terminal.wait_silent(0.5)
            assert terminal.text().count("got SIGQUIT") == 1 and terminal.text().count("got SIGWINCH") == 1
            for times in (1, 2):
                terminal.type("\x1a")
                terminal.wait_for("Stopped")
                terminal.wait_for("prompt> ")
                terminal.type("jobs\n")
                terminal.wait_for("Stopped")
                terminal.wait_for("prompt> ")
                terminal.type("fg\n")
                terminal.wait_for("got SIGCONT")
                terminal.wait_silent(0.5)
                assert terminal.text().count("got SIGCONT") == times, "fg is delivered twice"
            terminal.type("\x1a")
            terminal.wait_for("Stopped")
            terminal.wait_for("prompt> ")
            terminal.type("bg\n")
            terminal.wait_for("got SIGCONT")
            terminal.type("kill %1; wait %1; echo status $?\n")
            terminal.wait_for("status 5")
            terminal.type("exit\n")
            terminal.wait()


def in_a_pipeline():
    with weirtest.Sandbox() as box:
        with Terminal(["/bin/bash", "--norc", "--noprofile", "-i"], box.environment(PS1="prompt> ", HISTFILE="")) as terminal:
            terminal.wait_for("prompt> ")
            terminal.type("echo some text | %s run -- tr a-z A-Z 2>/dev/null | cat\n" % weirtest.WEIR)
            terminal.wait_for("SOME TEXT")
            terminal.wait_for("prompt> ")
            terminal.type("%s run -- cat\n" % weirtest.WEIR)  # in the foreground it may read from the terminal
            terminal.wait_for("no rules file")
            terminal.type("typed\n")
            terminal.wait_for("typed\n")  # the terminal's echo
            terminal.wait_for("typed\n")
            terminal.type("\x04")
            terminal.wait_for("prompt> ")
            terminal.type("exit\n")
            terminal.wait()


DAEMON = r'''
import os, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
def bye(*_):
    open(sys.argv[1] + ".end", "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, bye)
signal.signal(signal.SIGINT, bye)
with open(sys.argv[1] + ".new", "w") as file: file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True: time.sleep(0.05)
'''


def run_dir_of(pid):
    with open("/proc/%d/environ" % pid) as file:
        return [line.split("=", 1)[1] for line in file.read().split("\0") if line.startswith("WEIR_RUN_DIR=")][0]


def daemon_of(pid_file):
    weirtest.until(lambda: os.path.exists(pid_file), "the daemon")
    with open(pid_file) as file:
        return int(file.read())


def ends_as_its_command_ends():
    """At once, by the same signal or status, whatever the command leaves behind."""
    with weirtest.Sandbox() as box:
        for script, status in (("sleep 30 & kill -9 $$", -9), ("sleep 30 & exit 3", 3), ("sleep 30 & kill -TERM $$", -15), ("exit 4", 4)):
            begin = time.monotonic()
            program = box.start("weir-run", [weirtest.WEIR, "run", "--", "/bin/sh", "-c", script])
            assert program.wait() == status, program.output()
            assert time.monotonic() - begin < 15, "it waited for a process that the command left"


def stays_with_daemons():
    """A daemon that the command leaves is protected as before, edits reach it, and with it the agent ends."""
    with weirtest.Sandbox() as box:
        pid_file = os.path.join(box.path, "pid")
        rules = box.rules({"flow": []})
        program = box.start("weir-run", [weirtest.WEIR, "run", "-a", box.app, "-r", rules.path, "--", "/usr/bin/python3", "-S", "-c", DAEMON, pid_file])
        assert program.wait() == 0, program.output()
        daemon = daemon_of(pid_file)
        box.run_dir = run_dir_of(daemon)
        assert box.agent_answers(), "the agent has ended with the command"
        box.edit(rules, {"flow": [{"resource": "GET:/x", "count": 1}]})
        assert box.app_status()["rules"] == 1
        os.kill(daemon, signal.SIGTERM)
        weirtest.until(lambda: not os.path.exists(box.run_dir), "the agent to end with the daemon")


def a_daemon_in_the_terminal():
    """The agent that stays is off the terminal: Ctrl-C does not reach it, nor the daemon."""
    with weirtest.Sandbox() as box:
        pid_file = os.path.join(box.path, "pid")
        with Terminal([weirtest.WEIR, "run", "--", "/usr/bin/python3", "-S", "-c", DAEMON, pid_file], box.environment()) as terminal:
            assert terminal.wait() == 0
            daemon = daemon_of(pid_file)
        assert weirtest.alive(daemon)
        os.kill(daemon, signal.SIGTERM)


def killed():
    with weirtest.Sandbox() as box:
        program = listener(box)
        child = weirtest.descendants(program.pid)[0]
        where = weirtest.until(lambda: [line.split("=", 1)[1] for line in open("/proc/%d/environ" % child).read().split("\0")
                                        if line.startswith("WEIR_RUN_DIR=")], "its run directory")[0]
        program.kill(signal.SIGKILL)
        time.sleep(0.3)
        assert weirtest.alive(child) and "got" not in program.output(), program.output()
        with open("/proc/%d/maps" % child) as maps:
            assert where + "/" in maps.read(), "the program is not attached"
        def sweep():
            os.utime(where, (time.time() - 3600, time.time() - 3600))
            box.weir("run", "--", "/bin/true", check=0)
        sweep()
        assert os.listdir(where), "the memory of a living program is removed"
        os.kill(child, signal.SIGTERM)
        weirtest.until(lambda: not weirtest.alive(child), "the program to end")
        sweep()
        assert not os.path.exists(where), "the directory of a killed run is not swept"


weirtest.main(each_is_forwarded_once, not_back_to_where_they_came_from, stops_and_goes_on_together, job_control, in_a_pipeline,
              ends_as_its_command_ends, stays_with_daemons, a_daemon_in_the_terminal, killed)
