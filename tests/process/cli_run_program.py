#!/usr/bin/python3
"""`weir run` around a program: how it is found, what it inherits, how it ends, what is left."""
import json
import os
import resource
import signal
import stat
import subprocess

import weirtest

PROBE = r'''
import json, os, resource, signal, sys
fds = [int(name) for name in os.listdir("/proc/self/fd")]
with open("/proc/self/status") as status:
    lines = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
print(json.dumps({
    "env": dict(os.environ), "args": sys.argv[1:], "fds": [fd for fd in fds if os.path.exists("/proc/self/fd/%d" % fd)],
    "blocked": lines["SigBlk"], "ignored": lines["SigIgn"], "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "stdin": sys.stdin.read() if not sys.stdin.closed else None, "group": os.getpgrp() == os.getpgid(os.getppid()),
}))
'''


def probe(box, *options, env=None, weir=True, **more):
    command = ["/usr/bin/python3", "-S", "-c", PROBE, "one", "two words"]
    line = [weirtest.WEIR, "run", *options, "--"] + command if weir else command
    more.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(line, env=env or box.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          **more)
    assert done.returncode == 0, done
    return json.loads(done.stdout), done.stderr


def inherits_everything_but_three_variables():
    with weirtest.Sandbox() as box:
        bare, _ = probe(box, weir=False)
        inside, hint = probe(box)
        assert "no rules file" in hint and "python3" in hint, hint
        for name in ("args", "blocked", "ignored", "files", "stdin", "group"):
            assert inside[name] == bare[name], (name, inside[name], bare[name])
        assert set(fd for fd in inside["fds"] if fd < 100) == set(fd for fd in bare["fds"] if fd < 100), (inside["fds"], bare["fds"])
        added = {key: value for key, value in inside["env"].items() if bare["env"].get(key) != value}
        assert set(added) == {"LD_PRELOAD", "WEIR_RUN_DIR", "WEIR_APP"}, added
        assert added["LD_PRELOAD"] == weirtest.LIBWEIR and added["WEIR_APP"] == "python3", added
        assert not os.path.exists(added["WEIR_RUN_DIR"]), "the run directory is left behind"

        assert probe(box, input="hello", stdin=None)[0]["stdin"] == "hello"
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limited = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        assert probe(box, preexec_fn=limited)[0]["files"][0] == min(soft, 256), "the agent's own limit is passed on"
        ignoring = lambda: (signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        assert probe(box, preexec_fn=ignoring)[0]["ignored"] == probe(box, weir=False, preexec_fn=ignoring)[0]["ignored"]


def keeps_other_preloads():
    library = "/lib/%s/libdl.so.2" % os.uname().machine
    with weirtest.Sandbox() as box:
        def preload(value):
            return probe(box, env=box.environment(LD_PRELOAD=value))[0]["env"]["LD_PRELOAD"]
        name = next((path for path in (library, "/lib/x86_64-linux-gnu/libdl.so.2", "/lib/aarch64-linux-gnu/libdl.so.2")
                     if os.path.exists(path)), None)
        if name is None:
            raise weirtest.Skip("no library to preload besides ours")
        assert preload(name) == "%s:%s" % (weirtest.LIBWEIR, name)
        assert preload(weirtest.LIBWEIR + ":" + name) == weirtest.LIBWEIR + ":" + name
        assert preload("") == weirtest.LIBWEIR


def names_the_app():
    with weirtest.Sandbox() as box:
        named, nameless = box.rules({}, app="shop"), box.rules({}, app="")
        app = lambda *options: probe(box, *options)[0]["env"]["WEIR_APP"]
        assert app("-r", named.path) == "shop"
        assert app("-r", nameless.path) == "python3"
        assert app("-r", nameless.path, "-r", named.path) == "shop"
        assert app("-r", named.path, "-a", "other") == "other"
        assert "'shop'" in probe(box, "-r", named.path, "-a", "other")[1], "no warning that the rules are another app's"
        folder = os.path.join(box.path, "rules.d")
        os.mkdir(folder)
        for name, of in ((".hidden.json", "hidden"), ("10.json", "first"), ("20.json~", "backup")):
            with open(os.path.join(folder, name), "w") as file:
                file.write('{"app": "%s"}' % of)
        assert app("-r", folder) == "first"


def ends_as_it_ends():
    with weirtest.Sandbox() as box:
        def status(*command):
            return box.weir("run", "--", *command).returncode
        for code in (0, 1, 2, 69, 126, 127, 255):
            assert status("/bin/sh", "-c", "exit %d" % code) == code
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGSEGV, signal.SIGABRT, signal.SIGPIPE):
            assert status("/bin/sh", "-c", "kill -%d $$" % number) == -number, number
        shell = subprocess.run(["/bin/sh", "-c", '"$0" run -- /bin/sh -c "kill -9 \\$\\$"; echo $?', weirtest.WEIR],
                               env=box.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert shell.stdout == "137\n", shell


def what_cannot_be_executed():
    with weirtest.Sandbox() as box:
        def put(name, text, mode=0o755):
            path = os.path.join(box.path, name)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, mode)
            return path

        def run(command, code, *words):
            done = box.weir("run", "--", command, check=code)
            assert all(word in done.stderr for word in words), done.stderr
        run("no-such-command", 127, "no-such-command", "command not found")
        run("/no/such/file", 127, "/no/such/file", "no such file")
        run("", 127, "not found")
        run(put("data", "x", 0o644), 126, "data", "not executable")
        run(box.path, 126, box.path, "directory")
        run(put("lost", "#!/no/such/interpreter\n"), 126, "lost", "interpreter")
        assert box.weir("run", "--", put("script", "exit 9\n")).returncode == 9, "a script without #! is the shell's, as everywhere"
        assert not os.path.exists(box.run_dir) or not os.listdir(box.run_dir), "a run directory is left behind"


def says_who_is_out_of_reach():
    with weirtest.Sandbox() as box:
        program = os.path.join(box.path, "program")
        if os.getuid() == 0:
            with open("/bin/true", "rb") as true, open(program, "wb") as copy:
                copy.write(true.read())
            os.chown(program, 12345, 12345)
            os.chmod(program, 0o4755)
            warning = box.weir("run", "--", program, check=0).stderr
            assert "UNPROTECTED" in warning and "set-uid" in warning, warning
        elf = bytearray(b"\177ELF\1\1\1" + b"\0" * 9 + b"\2\0\3\0\1\0\0\0" + b"\0" * 4 + b"\64\0\0\0" + b"\0" * 8 + b"\64\0\40\0\1\0" + b"\0" * 6)
        elf += b"\3\0\0\0\160\0\0\0" + b"\0" * 8 + b"\23\0\0\0\23\0\0\0\4\0\0\0\1\0\0\0"  # PT_INTERP at 112
        elf = elf.ljust(112, b"\0") + b"/no/lib/ld-linux.so\0"
        with open(program, "wb") as file:
            file.write(elf)
        os.chmod(program, 0o755)
        warning = box.weir("run", "--", program).stderr  # whether it runs then is the kernel's affair
        assert "UNPROTECTED" in warning and "32-bit" in warning, warning
        warning = subprocess.run([weirtest.WEIR, "run", "--", "/bin/true"], env=box.environment(WEIR_DISABLE="1"),
                                 stderr=subprocess.PIPE, text=True).stderr
        assert "WEIR_DISABLE" in warning, warning


def run_directories():
    with weirtest.Sandbox() as box:
        print_dir = ["--", "/bin/sh", "-c", "stat -c %a $WEIR_RUN_DIR; echo $WEIR_RUN_DIR"]
        chosen = box.weir("run", *print_dir, check=0).stdout.split()[1]
        assert not os.path.exists(chosen), chosen
        assert os.path.dirname(chosen) == box.run_dir, "not in $WEIR_RUN_DIR: " + chosen
        mine = os.path.join(box.path, "mine")
        assert box.weir("run", "--run-dir", mine, *print_dir, check=0).stdout.split()[1] == mine
        assert not os.path.exists(mine)
        os.mkdir(mine)
        with open(os.path.join(mine, "kept"), "w"):
            pass
        box.weir("run", "--run-dir", mine, "--", "/bin/true", check=0)
        assert os.listdir(mine) == ["kept"]
        for wrong, word in (("/proc/nothing", "/proc/nothing"), (os.path.join(mine, "kept"), "Not a directory"),
                            (os.path.join(box.path, "x" * 100), "too long")):
            done = box.weir("run", "--run-dir", wrong, "--", "/bin/echo", "started", check=1)
            assert word in done.stderr and done.stdout == "", done
        first = box.weir_run("first", box.rules({}), ["/bin/sleep", "60"], run_dir=mine)
        weirtest.until(lambda: os.path.exists(os.path.join(mine, "control.sock")), "the first agent")
        done = box.weir("run", "--run-dir", mine, "--", "/bin/echo", "started", check=1)
        assert "already" in done.stderr and done.stdout == "", done
        assert first.running() and stat.S_ISSOCK(os.stat(os.path.join(mine, "control.sock")).st_mode)


def the_commands_find_it_by_the_same_variable():
    with weirtest.Sandbox() as box:
        env = box.environment(WEIR_RUN_DIR=os.path.join(box.path, "place"))

        def weir(*line):
            done = subprocess.run([weirtest.WEIR, *line], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
            assert done.returncode == 0, done
            return done

        inside = ["run", "-a", "inner", "--", weirtest.WEIR, "status", "--json"]
        assert [app["app"] for app in json.loads(weir(*inside).stdout)["apps"]] == ["inner"]
        status = ["env", "WEIR_RUN_DIR=" + env["WEIR_RUN_DIR"], weirtest.WEIR, "status", "--json"]
        nested = ["run", "-a", "one", "--", weirtest.WEIR, "run", "-a", "two", "--", *status]
        assert [app["app"] for app in json.loads(weir(*nested).stdout)["apps"]] == ["one"], "one level below, no more"
        parallel = ["run", "-a", "one", "--", *status[:2], weirtest.WEIR, "run", "-a", "two", "--", *status]
        assert sorted(app["app"] for app in json.loads(weir(*parallel).stdout)["apps"]) == ["one", "two"]
        assert os.listdir(env["WEIR_RUN_DIR"]) == [], "a run directory is left behind"
        for wrong in ("not/absolute", "/tmp", "/proc/nothing"):
            env["WEIR_RUN_DIR"] = wrong
            done = weir("run", "--", "/bin/sh", "-c", "echo $WEIR_RUN_DIR")
            assert "WEIR_RUN_DIR=" + wrong in done.stderr and done.stdout.strip() in done.stderr, done


def an_unprivileged_user():
    if os.getuid() != 0:
        raise weirtest.Skip("needs root to become somebody else")
    weirtest.need("setpriv")
    with weirtest.Sandbox() as box:
        line = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", weirtest.WEIR, "run", "--",
                "/bin/sh", "-c", "stat -c '%u' $WEIR_RUN_DIR; echo $WEIR_RUN_DIR"]
        def run(**more):
            done = subprocess.run(line, env=box.environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert done.returncode == 0, done
            return done.stdout.split()
        if subprocess.run(line[:4] + ["test", "-x", weirtest.WEIR]).returncode != 0:
            raise weirtest.Skip("the build is where other users may not go")
        xdg = os.path.join(box.path, "xdg")
        os.mkdir(xdg)
        os.chown(xdg, 54321, 54321)
        owner, place = run(XDG_RUNTIME_DIR=xdg)
        assert owner == "54321" and place.startswith(xdg + "/weir/run-") and not os.path.exists(place), (owner, place)
        for environment in ({}, {"XDG_RUNTIME_DIR": "/" + "x" * 90}, {"XDG_RUNTIME_DIR": "/proc/none"}):
            owner, place = run(**environment)
            assert owner == "54321" and place.startswith("/dev/shm/weir-54321/run-") and not os.path.exists(place), place
        os.rmdir("/dev/shm/weir-54321")
        os.symlink("/tmp", "/dev/shm/weir-54321")  # somebody was faster
        try:
            done = subprocess.run(line, env=box.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert done.returncode == 1 and "--run-dir" in done.stderr and done.stdout == "", done
        finally:
            os.unlink("/dev/shm/weir-54321")


weirtest.main(inherits_everything_but_three_variables, keeps_other_preloads, names_the_app, ends_as_it_ends, what_cannot_be_executed,
              says_who_is_out_of_reach, run_directories, the_commands_find_it_by_the_same_variable, an_unprivileged_user)
