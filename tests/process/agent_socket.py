#!/usr/bin/python3
"""agent.sock spoken by hand: what a process is given, what it is refused, and that no message disturbs the agent."""
import array
import ctypes
import fcntl
import os
import random
import re
import signal
import socket
import struct
import subprocess
import time

import weirtest

with open(os.path.join(weirtest.ROOT, "rules", "layout.h")) as layout:
    VERSION = int(re.search(r"#define LAYOUT_VERSION (\d+)", layout.read()).group(1))
MAGIC, MAP, SLOT = 0x72696577, 1, 2
OK, NO_APP, OTHER_LAYOUT, REFUSED = 0, 1, 2, 3
PROCESSES, PROCESS = 4096, 128  # offset of the process table in the counters, bytes of an entry
PASS = 488  # offset of the pass in the rules
F_ADD_SEALS, F_SEAL_WRITE = 1033, 8
PUNCH_HOLE = 1 | 2  # and keep the size
SETUID = "#include <stdlib.h>\n#include <unistd.h>\nint main(int n, char **v) { setuid(0); return n < 2 || write(atoi(v[1]), \"\", 1) < 0 || sleep(2); }"
NOBODY = 65534


def hello(kind=MAP, app="t", slot=0, owner=0, magic=MAGIC, version=VERSION, min_writer=VERSION, given=None):
    message = struct.pack("<IIIIQ64sII", magic, version, kind, slot, owner, app.encode(), min_writer, 0)
    return message + struct.pack("<2Q", *given) if given else message


def hello_of_layout_2():
    return hello(version=2)[:88]


class Peer:
    def __init__(self, box):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(10)
        self.sock.connect(os.path.join(box.run_dir, "agent.sock"))

    def ask(self, message):
        """Status, app, descriptors; None when the agent hung up."""
        self.sock.send(message)
        data, ancillary, _, _ = self.sock.recvmsg(200, 200)
        if not data:
            return None
        fds = array.array("i")
        for level, kind, content in ancillary:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            fds.frombytes(content)
        magic, version, status, _, app = struct.unpack("<IIII64s", data)
        assert (magic, version) == (MAGIC, VERSION)
        return status, app.rstrip(b"\0").decode(), list(fds)

    def close(self):
        self.sock.close()


def as_user(uid, job):
    """The job's result, which is a number, in a child of that user."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            status = job()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


ASK = """
import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
s.connect(sys.argv[1])
s.send(struct.pack("<IIIIQ64sII", 0x72696577, int(sys.argv[3]), 1, 0, 0, sys.argv[2].encode(), int(sys.argv[3]), 0))
print(struct.unpack("<III", s.recv(80)[:12])[2])
"""


def stranger_asks(box, app, uid):
    """Asks as another user, from a program whose parent is another one: a shell."""
    script = os.path.join(box.path, "ask.py")
    with open(script, "w") as file:
        file.write(ASK)
    os.chmod(script, 0o644)
    line = "%s %s %s/agent.sock %s %d; true" % ("/usr/bin/python3", script, box.run_dir, app, VERSION)
    done = subprocess.run(["/bin/sh", "-c", line], user=uid, group=uid, extra_groups=[], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip(), done.stderr
    return int(done.stdout)


def what_is_given():
    with weirtest.Sandbox() as box:
        box.agent(box.rules({"flow": []}))
        peer = Peer(box)
        status, app, fds = peer.ask(hello())
        assert (status, app, len(fds)) == (OK, "t", 2)
        assert fcntl.fcntl(fds[0], fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY, "rules can be written by a process"
        assert fcntl.fcntl(fds[1], fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
        try:
            os.ftruncate(fds[0], 0)
            raise AssertionError("rules can be truncated by a process")
        except OSError:
            pass
        assert Peer(box).ask(hello(app="nobody's"))[::2] == (NO_APP, [])
        # A newer library that can still read what this agent writes is served, with or without words of its own behind.
        assert Peer(box).ask(hello(version=VERSION + 1))[:2] == (OK, "t")
        assert Peer(box).ask(hello(version=VERSION + 1) + b"x" * 100)[:2] == (OK, "t")
        for message in (hello(version=VERSION + 1, min_writer=VERSION + 1), hello_of_layout_2(), hello(version=2)):
            assert Peer(box).ask(message)[::2] == (OTHER_LAYOUT, []), message
        lines = box.weir("status", "--run-dir", box.run_dir).stdout.splitlines()
        assert [line for line in lines if str(os.getpid()) in line and "OUTDATED" in line], lines


def who_may_be_an_app():
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to become somebody else")
    with weirtest.Sandbox() as box:
        plain = box.rules({"flow": []})
        own = box.rules({"match": {"uid": NOBODY}, "flow": []}, app="own")
        agent = box.agent(plain, own)
        assert stranger_asks(box, "t", NOBODY) == REFUSED
        assert "match" in agent.output() and str(NOBODY) in agent.output(), "the refusal is not explained"
        assert stranger_asks(box, "own", NOBODY) == OK
        assert stranger_asks(box, "''", NOBODY) == OK, "matched by uid"
        assert stranger_asks(box, "''", NOBODY - 1) == NO_APP
        assert stranger_asks(box, "t", 0) == OK


def only_who_had_the_memory_may_again():
    """A process that dropped its privileges is what it is now, whatever program its parent runs as root; with the pass of memory that
    it has it gets that memory again, and no other app's."""
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to become somebody else")
    with weirtest.Sandbox() as box:
        own = box.rules({"match": {"uid": NOBODY - 1}, "flow": []}, app="own")
        box.agent(box.rules({"flow": []}), own)
        _, _, fds = Peer(box).ask(hello())
        other = Peer(box).ask(hello(app="own"))[2]
        with open(os.path.join(weirtest.ROOT, "rules", "layout.h")) as layout:
            assert "uint64_t pass[2]" in layout.read()
        mine, others = (struct.unpack("<2Q", os.pread(rules, 16, PASS)) for rules in (fds[0], other[0]))
        assert mine != others and 0 not in mine + others
        assert as_user(NOBODY, lambda: Peer(box).ask(hello())[0]) == REFUSED
        assert as_user(NOBODY, lambda: Peer(box).ask(hello(app="own"))[0]) == REFUSED
        assert as_user(NOBODY, lambda: Peer(box).ask(hello(given=mine))[0]) == OK
        assert as_user(NOBODY, lambda: Peer(box).ask(hello(app="own", given=mine))[0]) == REFUSED
        assert as_user(NOBODY, lambda: Peer(box).ask(hello(given=(mine[0], mine[1] ^ 1)))[0]) == REFUSED
        assert as_user(NOBODY, lambda: Peer(box).ask(hello(given=(0, 0)))[0]) == REFUSED


RACE = """
import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
ready, go = os.pipe(), os.pipe()
if os.fork() == 0:
    os.read(go[0], 1)
    s.settimeout(10)
    s.send(struct.pack("<IIIIQ64sII", 0x72696577, int(sys.argv[3]), 1, 0, 0, sys.argv[2].encode(), int(sys.argv[3]), 0))
    print(struct.unpack("<III", s.recv(80)[:12])[2], flush=True)
    os._exit(0)
os.set_inheritable(go[1], True)
os.execv(sys.argv[4], [sys.argv[4], str(go[1])])
"""


def becoming_root_adds_nothing():
    """Connect as oneself, become a set-uid program of root's, and let another process ask over the connection."""
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to make a set-uid program")
    with weirtest.Sandbox() as box:
        setuid = os.path.join(box.path, "setuid")
        build = subprocess.run(["cc", "-x", "c", "-o", setuid, "-"], input=SETUID, text=True, capture_output=True)
        assert build.returncode == 0, build.stderr
        os.chmod(setuid, 0o4755)
        agent = box.agent(box.rules({"flow": []}), box.rules({"match": {"exe": setuid}, "flow": []}, app="exe"),
                          box.rules({"match": {"comm": "setuid"}, "flow": []}, app="comm"))
        script = os.path.join(box.path, "race.py")
        with open(script, "w") as file:
            file.write(RACE)
        os.chmod(script, 0o644)
        for app, wanted in (("t", REFUSED), ("exe", REFUSED), ("", NO_APP)):
            done = subprocess.run(["/usr/bin/python3", script, box.run_dir + "/agent.sock", app, str(VERSION), setuid], user=NOBODY - 1,
                                  group=NOBODY, extra_groups=[], capture_output=True, text=True, timeout=30)
            assert done.stdout.split() == [str(wanted)], (app, done)
        assert agent.running()


def nonsense():
    """Nothing that is sent disturbs the agent, nor lets it keep connections."""
    source = random.Random(os.environ.get("WEIR_SEED", "7"))
    with weirtest.Sandbox() as box:
        agent = box.agent(box.rules({"flow": []}))
        def descriptors():
            return len(os.listdir("/proc/%d/fd" % agent.pid))
        before = descriptors()
        for message in (b"", b"x", hello()[:87], hello() + b"x" * 1000, hello(magic=1), hello(kind=0), hello(kind=77), b"\xff" * 88, hello(app="x" * 64)):
            peer = Peer(box)
            try:
                assert peer.ask(message or b"\0") is None, message
            except ConnectionError:
                pass
            peer.close()
        for _ in range(300):
            peer = Peer(box)
            peer.sock.send(hello(SLOT, "t", source.choice([0, 1, 255, 256, 2 ** 32 - 1]), source.choice([0, 1, 2 ** 64 - 1, source.getrandbits(64)])))
            peer.sock.send(source.randbytes(source.randrange(1, 200)))
            peer.close()
        silent = [Peer(box) for _ in range(200)]
        assert Peer(box).ask(hello())[0] == OK, "silent peers hold up others"
        weirtest.until(lambda: descriptors() <= before + 2, "silent peers to be sent away")
        assert len(silent) == 200 and agent.running() and box.status()["apps"][0]["processes"] == []


def slot_is_taken_back():
    """A process takes a slot, says so, and dies at once: what it held is back, by pidfd, not by the clock."""
    with weirtest.Sandbox() as box:
        box.agent(box.rules({"flow": []}))
        _, _, fds = Peer(box).ask(hello())
        ready, told = os.pipe()
        for life in range(1, 20):
            pid = os.fork()
            if pid == 0:
                owner = life << 32 | os.getpid()
                os.pwrite(fds[1], struct.pack("<Q", owner), PROCESSES + 3 * PROCESS)
                peer = Peer(box)
                peer.sock.send(hello(SLOT, "t", 3, owner))
                os.write(told, b".")
                signal.pause()
            os.read(ready, 1)
            weirtest.until(lambda: [entry["pid"] for entry in box.app_status()["processes"]] == [pid], "the process to be known")
            os.kill(pid, signal.SIGKILL)
            weirtest.until(lambda: os.pread(fds[1], 8, PROCESSES + 3 * PROCESS) == bytes(8), "the slot to be free")
            os.waitpid(pid, 0)


def nothing_takes_memory_away():
    """What a process of the app can do to the descriptors that it gets: other processes and the agent do not notice."""
    with weirtest.Sandbox() as box:
        agent = box.agent(box.rules({"flow": [{"resource": "GET:/small", "count": 0}]}))
        server = box.serve("nginx", preload=True, workers=2)
        assert weirtest.ask(server.address).status == 429
        pids = set(server.processes())
        _, _, fds = Peer(box).ask(hello())
        size = os.fstat(fds[1]).st_size
        for change in (lambda: os.ftruncate(fds[1], 0), lambda: os.ftruncate(fds[1], size + 4096), lambda: os.posix_fallocate(fds[1], size, 4096),
                       lambda: fcntl.fcntl(fds[1], F_ADD_SEALS, F_SEAL_WRITE), lambda: os.ftruncate(fds[0], 0),
                       lambda: os.truncate("/proc/self/fd/%d" % fds[1], 0)):
            try:
                change()
                raise AssertionError("memory of other processes was changed")
            except OSError:
                pass
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.fallocate(fds[1], PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(size)) == 0
        for _ in range(8):
            assert weirtest.ask(server.address).status in (200, 429)
        weirtest.until(lambda: box.status()["agent"]["pid"] == agent.pid, "the agent to answer")
        assert agent.running() and pids == set(server.processes()), agent.output()
        assert not [path for path in os.listdir(box.run_dir) if "counters" in path], "the counters have a name"


weirtest.main(what_is_given, who_may_be_an_app, only_who_had_the_memory_may_again, becoming_root_adds_nothing, nonsense,
              slot_is_taken_back, nothing_takes_memory_away)
