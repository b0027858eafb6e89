#!/usr/bin/python3
"""Attackers with an account on the host: a user who owns nothing, the user of another app, and a process of the app itself, against an
agent that runs as root and one that runs as its service does. No crash, no foreign memory, no foreign app; what a process of an app can
spoil is that app's metrics and limits."""
import array
import glob
import os
import random
import socket
import struct
import subprocess

import weirtest
from harness import attacks

OWNER, OTHER, NOBODY, AGENT = 65533, 65531, 65532, 65530
MESSAGES, DEATHS = int(os.environ.get("WEIR_MESSAGES") or 5000), int(os.environ.get("WEIR_DEATHS") or 500)
# Of each of two agents.
PASS, PROCESSES, PROCESS = 488, 4096, 128  # places in the two files

# Gets the app's memory as any process of it does, and writes anywhere in it, for ever.
SCRIBBLE = attacks.HELLO + """
import array, mmap
s = connected()
s.send(hello(sys.argv[2]))
fds = array.array("i")
for level, kind, content in s.recvmsg(200, 200)[1]:
    fds.frombytes(content)
size = os.fstat(fds[1]).st_size
memory, source = mmap.mmap(fds[1], size), random.Random(7)
while True:
    near = source.choice([4096, 65536, 1 << 21])
    at = source.randrange(near // 8) * 8
    old, new = memory[at:at + 8], source.choice([b"\\xff" * 8, bytes(8), source.randbytes(8), struct.pack("<Q", source.randrange(300))])
    memory[at:at + 8] = new
    if source.random() < 0.7:
        memory[at:at + 8] = old
"""


def as_user(uid, job):
    """Does job() raise PermissionError, as that user?"""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            job()
        except PermissionError:
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class Place:
    """An agent with two apps, each of a user of its own, and a server of each."""

    def __init__(self, box, agent_uid):
        self.box = box
        rules = [box.rules({"match": {"uid": uid}, "flow": [{"resource": "GET:/small", "count": 1000000, "scope": "app"}],
                            "isolation": [{"resource": "GET:/small", "count": 1000, "scope": "app"}],
                            "paramFlow": [{"resource": "GET:/small", "count": 100000, "grade": "thread", "param": {"parseStrategy": "clientIp"},
                                           "scope": "app"}]}, app=app)
                 for app, uid in (("mine", OWNER), ("other", OTHER))]
        os.mkdir(box.run_dir, 0o751)
        os.chown(box.run_dir, agent_uid, agent_uid)
        line = ["setpriv", "--reuid", str(agent_uid), "--regid", str(agent_uid), "--clear-groups"] if agent_uid else []
        line += [weirtest.WEIR_AGENT, "--run-dir", box.run_dir] + [part for file in rules for part in ("-r", file.path)]
        self.agent = box.start("weir-agent", line, box.environment())
        weirtest.until(lambda: box.agent_answers() or not self.agent.running(), "the agent")
        self.socket = os.path.join(box.run_dir, "agent.sock")

    def server(self, app, uid):
        folder = os.path.join(self.box.path, app)
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        address = ("127.0.0.1", weirtest.free_port())
        command = weirtest.servers.SERVERS["asyncio"].command(folder, address)
        line = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"] + command
        program = self.box.start(app, line, self.box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=app))
        weirtest.until(lambda: weirtest.listening(address) or not program.running(), "the server of " + app)
        return program, address

    def memory(self, app, uid):
        """What a process of that user gets."""
        theirs, ours = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
                with self.connected() as sock:
                    sock.send(hello(app))
                    fds = array.array("i")
                    for _, _, content in sock.recvmsg(200, 200)[1]:
                        fds.frombytes(content)
                    socket.send_fds(theirs, [b"."], list(fds))
            finally:
                os._exit(0)
        fds = socket.recv_fds(ours, 1, 2)[1]
        os.waitpid(pid, 0)
        assert len(fds) == 2, "%s got no memory of %s" % (uid, app)
        return fds

    def connected(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(self.socket)
        return sock


def hello(app, kind=1, slot=0, owner=0, given=(0, 0)):
    return struct.pack("<IIIIQ64sII2Q", 0x72696577, attacks.VERSION, kind, slot, owner, app.encode(), attacks.VERSION, 0, *given)


def no_foreign_app(place):
    for app, uid, wanted in (("mine", NOBODY, attacks.REFUSED), ("other", NOBODY, attacks.REFUSED), ("", NOBODY, attacks.NO_APP),
                             ("mine", OTHER, attacks.REFUSED), ("other", OWNER, attacks.REFUSED), ("mine", OWNER, attacks.OK)):
        assert attacks.ask(place.box, app, uid) == wanted, (app, uid)
    control = os.path.join(place.box.run_dir, "control.sock")
    for uid in (NOBODY, OWNER):
        for path in glob.glob(os.path.join(place.box.run_dir, "*.rules")):
            assert as_user(uid, lambda: open(path, "rb").close()), path
            assert as_user(uid, lambda: os.truncate(path, 0)), path
        assert as_user(uid, lambda: socket.socket(socket.AF_UNIX).connect(control)), "another user may ask and order"
        assert as_user(uid, lambda: os.listdir(place.box.run_dir))
        assert as_user(uid, lambda: os.listdir("/proc/%d/fd" % place.agent.pid))


def hostile_messages(place, given):
    """Of a process that was let in, and may say what it likes."""
    source = random.Random(int(os.environ.get("WEIR_SEED", "7")))
    for number in range(MESSAGES // 8):
        with place.connected() as sock:
            for _ in range(8):
                if source.random() < 0.3:
                    message = source.randbytes(source.randrange(1, 1024))
                else:
                    message = hello(source.choice(["mine", "other", "", "x" * 64]), source.choice([1, 2, 2, 2, 3, 2 ** 31]),
                                    source.choice([0, 1, 5, 255, 256, 2 ** 32 - 1]), source.choice([0, 1, source.getrandbits(64)]),
                                    source.choice([given, (0, 0), (given[0], 1)]))
                try:
                    sock.send(message)
                except OSError:
                    break


def deaths(place, counters, given):
    """Processes that take a slot, say so and die, while another one scribbles where the agent looks to take back what they held."""
    for number in range(DEATHS):
        pid = os.fork()
        if pid == 0:
            try:
                slot, owner = number % 200, (number + 1) << 32 | os.getpid()
                os.pwrite(counters, struct.pack("<Q", owner), PROCESSES + slot * PROCESS)
                with place.connected() as sock:
                    sock.send(hello("mine", 2, slot, owner, given))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


def attack(agent_uid):
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to become other users")
    with weirtest.Sandbox() as box:
        place = Place(box, agent_uid)
        servers = {"mine": place.server("mine", OWNER), "other": place.server("other", OTHER)}
        no_foreign_app(place)
        for _, address in servers.values():
            assert weirtest.ask(address).status == 200
        rules, counters = place.memory("mine", OWNER)
        given = struct.unpack("<2Q", os.pread(rules, 16, PASS))
        scribbler = subprocess.Popen([attacks.PYTHON, "-c", SCRIBBLE, place.socket, "mine"], user=OWNER, group=OWNER, extra_groups=[], cwd="/")
        try:
            weirtest.until(lambda: attacks.cpu_seconds(scribbler.pid) > 0.1, "the scribbler")
            deaths(place, counters, given)
            hostile_messages(place, given)
            for _ in range(40):
                assert weirtest.ask(servers["mine"][1]).status in (200, 429)
            assert scribbler.poll() is None, "the scribbler ended"
        finally:
            scribbler.kill()
            scribbler.wait()
        for _ in range(20):
            assert weirtest.ask(servers["other"][1]).status == 200
        assert place.agent.running(), place.agent.output()
        assert box.status()["agent"]["pid"] == place.agent.pid
        weirtest.until(lambda: box.resource("GET:/small", app="other")["total_pass"] == 21, "the other app's metrics")
        assert all(program.running() for program, _ in servers.values()), "a server died"


def agent_as_root():
    attack(0)


def agent_as_its_service():
    attack(AGENT)


weirtest.main(agent_as_root, agent_as_its_service)
