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


def stays_with_daemons():
    with weirtest.Sandbox() as box:
        for number in (signal.SIGTERM, signal.SIGINT):
            pid_file = os.path.join(box.path, "pid%d" % number)
            program = box.start("weir-run", [weirtest.WEIR, "run", "--", "/usr/bin/python3", "-S", "-c", DAEMON, pid_file])
            weirtest.until(lambda: os.path.exists(pid_file), "the daemon")
            with open(pid_file) as file:
                daemon = int(file.read())
            weirtest.until(lambda: "background" in program.output(), "a word about it")
            assert program.running() and weirtest.alive(daemon)
            program.kill(number)
            weirtest.until(lambda: os.path.exists(pid_file + ".end"), "the signal to reach the daemon")
            assert program.wait() == 0
        quick = box.start("weir-run", [weirtest.WEIR, "run", "--", "/bin/sh", "-c", "sleep 0.3 & exit 3"])
        assert quick.wait() == 3 and "background" not in quick.output(), quick.output()


def a_daemon_in_the_terminal():
    """Ctrl-C on a weir that stays with a daemon ends the daemon: it is in no terminal that could tell it."""
    with weirtest.Sandbox() as box:
        pid_file = os.path.join(box.path, "pid")
        with Terminal([weirtest.WEIR, "run", "--", "/usr/bin/python3", "-S", "-c", DAEMON, pid_file], box.environment()) as terminal:
            terminal.wait_for("background")
            terminal.type("\x03")
            assert terminal.wait() == 0
            assert os.path.exists(pid_file + ".end")


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
              stays_with_daemons, a_daemon_in_the_terminal, killed)
