#!/usr/bin/python3
"""`weir doctor` names the right cause where the shim could be in a process, or is in it and does nothing."""
import json
import os
import shutil
import subprocess
import time

import weirtest
from harness.doctor import RULES, SERVER, doctor, expect, finding, listen, server_below


def test_env_i():
    with weirtest.Sandbox() as box:
        running = listen(box, ["/usr/bin/env", "-i", SERVER, "poll", "PORT"], run=box.rules(RULES))
        expect(box, server_below(running), "scrubbed", "env -i", "weir (process %d)" % running.pid)


def test_started_before_its_rules():
    with weirtest.Sandbox() as box:
        running = listen(box, [SERVER, "poll", "PORT"])
        entry = finding(box, running.pid, 1)
        assert entry["cause"] == "not-preloaded", entry
        time.sleep(1.1)  # the kernel tells a process's start to the second
        box.agent(box.rules(dict(RULES, match={"exe": SERVER})))
        entry = expect(box, running.pid, "started-before", "start it again")
        assert entry["app"] == box.app, entry
        seen, _ = doctor(box, check=1)  # unasked: a rules file wants it
        assert seen[running.pid]["wanted"] and seen[running.pid]["cause"] == "started-before", seen
        box.weir("doctor", "--run-dir", box.run_dir, check=1)


def test_started_before_its_unit_was_enabled():
    """A cgroup with a unit's name stands for systemd's."""
    top = next((line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2"), None)
    unit = "weirtest-%d.service" % os.getpid()
    group = os.path.join(top or "/nosuch", unit)
    try:
        os.mkdir(group)
    except OSError as error:
        raise weirtest.Skip("no cgroup can be made here: %s" % error)
    try:
        with weirtest.Sandbox() as box:
            running = listen(box, [SERVER, "poll", "PORT"])
            with open(os.path.join(group, "cgroup.procs"), "w") as file:
                file.write(str(running.pid))
            root = os.path.join(box.path, "root")
            os.makedirs(os.path.join(root, "etc/systemd/system"))
            with open(os.path.join(root, "etc/systemd/system", unit), "w") as file:
                file.write("[Service]\nExecStart=%s\n" % SERVER)

            def look():
                done = box.weir("doctor", "--json", "--run-dir", box.run_dir, "--root", root, unit, check=1)
                entry, = json.loads(done.stdout)["processes"]
                assert entry["pid"] == running.pid and entry["unit"] == unit, entry
                return entry

            entry = look()
            assert entry["cause"] == "not-preloaded" and "weir enable " + unit in entry["remedy"], entry
            time.sleep(1.1)
            box.weir("enable", "--root", root, unit, check=0)
            entry = look()
            assert entry["cause"] == "started-before" and "systemctl restart " + unit in entry["remedy"], entry
            box.weir("doctor", "weirtest-nosuch.service", check=1)
            running.kill()
    finally:
        weirtest.until(lambda: not open(os.path.join(group, "cgroup.procs")).read(), "the cgroup to be empty")
        os.rmdir(group)


def test_environment():
    """The shim is set up, and something in the environment is in its way."""
    with weirtest.Sandbox() as box:
        box.agent(box.rules(RULES))
        preload = {"LD_PRELOAD": weirtest.LIBWEIR, "WEIR_APP": box.app}

        def start(**more):
            return listen(box, [SERVER, "poll", "PORT"], env=box.environment(**dict(preload, **more)))

        good = start()
        assert finding(box, good.pid, 0)["cause"] == "protected"
        expect(box, start(WEIR_DISABLE="1").pid, "disabled", "WEIR_DISABLE=1")
        expect(box, start(LD_PRELOAD="/nosuch/libweir.so").pid, "library-missing", "/nosuch/libweir.so")
        expect(box, start(WEIR_APP="nosuch").pid, "no-app", '"app": "nosuch"')
        elsewhere = os.path.join(box.path, "elsewhere")
        expect(box, start(WEIR_RUN_DIR=elsewhere).pid, "no-agent", elsewhere)

        box.weir("off", "--run-dir", box.run_dir, box.app, check=0)
        expect(box, good.pid, "off", "weir on " + box.app)
        box.weir("on", "--run-dir", box.run_dir, box.app, check=0)
        assert finding(box, good.pid, 0)["protected"]


def test_no_rules():
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        running = listen(box, [SERVER, "poll", "PORT"], run=rules)
        weirtest.until(box.app_status, "the agent")
        expect(box, server_below(running), "no-rules", box.app)
        box.edit(rules, RULES)
        assert finding(box, server_below(running), 0)["cause"] == "protected"


def test_refused():
    with weirtest.Sandbox() as box:
        if os.geteuid() != 0:
            raise weirtest.Skip("only root can be somebody else")
        os.mkdir(box.run_dir)
        os.chmod(box.run_dir, 0o755)
        box.agent(box.rules(dict(RULES, match={"uid": 12345})))
        command = ["/usr/bin/setpriv", "--reuid=65534", "--clear-groups", SERVER, "poll", "PORT"]
        library = os.path.join(box.path, "libweir.so")  # where everybody may read it
        shutil.copy(weirtest.LIBWEIR, library)
        shutil.copy(SERVER, os.path.join(box.path, "server"))
        command[3] = os.path.join(box.path, "server")
        running = listen(box, command, env=box.environment(LD_PRELOAD=library, WEIR_APP=box.app))
        expect(box, running.pid, "refused", '"match": {"uid": 65534}')


def test_mount_namespace():
    with weirtest.Sandbox() as box:
        if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode:
            raise weirtest.Skip("no mount namespace can be made here")
        box.agent(box.rules(RULES))
        script = 'mount -t tmpfs none "$0" && exec env LD_PRELOAD="$1" "$2" poll PORT'
        command = ["/usr/bin/unshare", "-m", "/bin/sh", "-c", script, box.run_dir, weirtest.LIBWEIR, SERVER]
        running = listen(box, command, env=box.environment(WEIR_APP=box.app))
        expect(box, running.pid, "namespace", box.run_dir, "mount that directory")


FILTERED = """
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0), (0x15, 0, 3, 41),  # socket()?
        (0x20, 0, 0, 16), (0x15, 0, 1, 1),  # AF_UNIX?
        (0x06, 0, 0, 0x50000 | 97),         # EAFNOSUPPORT, as systemd answers
        (0x06, 0, 0, 0x7fff0000)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(77)
os.environ["LD_PRELOAD"] = sys.argv[1]
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_seccomp():
    with weirtest.Sandbox() as box:
        box.agent(box.rules(RULES))
        time.sleep(3.1)  # the kernel tells a process's start to the second, and whether it asked is known from that
        command = ["/usr/bin/python3", "-c", FILTERED, weirtest.LIBWEIR, SERVER, "poll", "PORT"]
        running = listen(box, command, env=box.environment(WEIR_APP=box.app))
        expect(box, running.pid, "seccomp", "unix sockets", "weir-enable(1)")


def test_a_filter_that_lets_it_ask():
    """A filter that lets everything pass: what is wrong is another thing, or nothing."""
    with weirtest.Sandbox() as box:
        harmless = FILTERED.replace("0x50000 | 97", "0x7fff0000")
        command = ["/usr/bin/python3", "-c", harmless, weirtest.LIBWEIR, SERVER, "poll", "PORT"]
        running = listen(box, command, env=box.environment(WEIR_APP=box.app))
        rules = box.rules(RULES)
        box.agent(rules)
        expect(box, running.pid, "not-attached", "next traffic", "seccomp filter")
        under = listen(box, command, env=box.environment(WEIR_APP=box.app))
        assert finding(box, under.pid, 0)["cause"] == "protected"
        own = listen(box, [os.path.join(weirtest.BUILD, "tests/servers/server_sandboxed"), "PORT", "block", "read", "list"],
                     env=box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app))
        with open("/proc/%d/status" % own.pid) as file:
            assert "Seccomp:\t2" in file.read()
        assert finding(box, own.pid, 0)["cause"] == "protected", "it was attached before it put the filter on itself"


weirtest.main(test_env_i, test_started_before_its_rules, test_started_before_its_unit_was_enabled, test_environment,
              test_no_rules, test_refused, test_mount_namespace, test_seccomp,
              test_a_filter_that_lets_it_ask)
