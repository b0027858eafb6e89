#!/usr/bin/python3
"""A server that puts a seccomp filter on itself, which ends it for every call that it does not make by itself
(tests/servers/server_sandboxed.c): it lives, limits hold, and so do new rules and a new agent. What would have to wait is
rejected; a rejection that no call known to be allowed can carry ends the connection. And a filter that was there before the
program, as `weir enable` extends it: the library makes no call that is not in it."""
import itertools
import os
import re
import signal
import subprocess
import time

import weirtest

SERVER = os.path.join(weirtest.BUILD, "tests", "servers", "server_sandboxed")
SILENCE = 3.5  # seconds without a heartbeat after which an agent would be asked for
LOOPS = ("block", "epoll", "fork")
CALLS = ("read", "readv", "recv", "recvfrom", "recvmsg", "recvmmsg")
OWN = {"flow": [{"resource": "GET:/blocked", "count": 0},
                {"resource": "GET:/queued", "count": 1, "controlBehavior": "queue", "maxQueueingTimeMs": 20000}],
       "blockActions": [], "options": {}}
COMPAT = {"flow": [{"resource": "GET:/blocked", "count": 0},
                   {"resource": "GET:/queued", "count": 1, "controlBehavior": 2, "maxQueueingTimeMs": 20000}],
          "options": {"compat": "sentinel"}}


class Server:
    def __init__(self, box, loop, calls, way="list", rules=OWN, preload=False):
        self.address = ("127.0.0.1", weirtest.free_port())
        command = [SERVER, str(self.address[1]), loop, calls, way]
        name = "%s-%s-%s" % (loop, calls, way)
        if preload:
            environment = box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)
            self.program = box.start(name, command, environment)
        else:
            self.program = box.weir_run(name, box.rules(rules), command, box.environment())
        weirtest.until(lambda: weirtest.listening(self.address) or not self.program.running(), "it to listen")
        self.alive()

    def alive(self):
        assert self.program.running(), "it ended: " + self.program.output()

    def ask(self, *targets):
        """These, one after the other on a connection of their own each. 0: the connection was ended without an answer."""
        statuses = []
        for target in targets:
            with weirtest.Connection(self.address) as connection:
                connection.send(weirtest.request("GET", target))
                try:
                    statuses.append(connection.response().status)
                except (weirtest.Closed, ConnectionResetError):
                    statuses.append(0)
            self.alive()
        return statuses

    def on_one(self, *targets):
        """On one connection, as long as it stays."""
        statuses = []
        with weirtest.Connection(self.address) as connection:
            for target in targets:
                connection.send(weirtest.request("GET", target))
                response = connection.response()
                statuses.append(response.status)
                if response.closes:
                    break
        self.alive()
        return statuses


def holds(server, loop):
    first = server.ask("/blocked")
    assert first == [0], "no answer can be given before the server has written one: %s" % first
    assert server.on_one("/small", "/small", "/blocked") == [200, 200, 429]
    if loop != "fork":  # another process knows nothing yet, and another writes
        assert server.ask("/small", "/blocked", "/small") == [200, 429, 200]
    assert server.on_one("/queued", "/queued") == [200, 429], "a wait is a rejection"
    assert server.on_one("/small", "/small") == [200, 200]


def each_call(rules, pairs):
    for loop, calls in pairs:
        with weirtest.Sandbox() as box:
            server = Server(box, loop, calls, rules=rules)
            holds(server, loop)


def own_mode():
    each_call(OWN, itertools.product(LOOPS, CALLS))


def sentinel_mode():
    each_call(COMPAT, (("block", "read"), ("epoll", "recvmsg"), ("fork", "recv")))


def pieces():
    """A head in pieces, and several in one."""
    for loop in ("block", "epoll"):
        with weirtest.Sandbox() as box:
            server = Server(box, loop, "read")
            with weirtest.Connection(server.address) as connection:
                connection.send_slowly(weirtest.request("GET", "/small"), piece=9)
                assert connection.response().status == 200
                connection.send(weirtest.request("GET", "/small") + weirtest.request("GET", "/blocked"))
                assert [connection.response().status for _ in range(2)] == [200, 429]
            server.alive()


def agents_and_edits():
    """The agent is killed, another one comes, and the rules are edited: all of it is seen in the shared memory alone."""
    with weirtest.Sandbox() as box:
        rules = box.rules(OWN)
        agent = box.agent(rules)
        servers = [Server(box, "block", "read", "deny", preload=True), Server(box, "epoll", "readv", "list", preload=True)]
        for server in servers:
            assert server.on_one("/small", "/blocked") == [200, 429]
        os.kill(agent.pid, signal.SIGKILL)
        agent.wait()
        asked = time.monotonic() + SILENCE
        weirtest.until(lambda: all(server.ask("/small") == [200] for server in servers) and time.monotonic() > asked, "the time to pass",
                       pause=0.1)
        for server in servers:
            assert server.on_one("/small", "/blocked") == [200, 429], "the rules stay in force"
        box.agent(rules)
        box.edit(rules, {"flow": [{"resource": "GET:/other", "count": 0}]})
        for server in servers:
            weirtest.until(lambda server=server: server.on_one("/small", "/other") == [200, 429], "the new rules")
            assert server.on_one("/small", "/blocked") == [200, 200]


# What tests/servers/server.c and its loader call, and what systemd's @default allows in any case.
OF_THE_SERVER = """accept accept4 access arch_prctl bind brk clone clone3 close dup epoll_create1 epoll_ctl epoll_wait epoll_pwait execve exit
    exit_group fcntl fstat futex getrandom getsockname listen mmap mprotect munmap newfstatat open openat poll pread64 prlimit64 read recvfrom
    restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn select pselect6 sendto set_robust_list set_tid_address setsockopt
    socket write gettid getpid clock_gettime clock_nanosleep sched_yield membarrier""".split()
UNDER = """
import ctypes, os, struct, sys
numbers = [int(number) for number in sys.argv[1].split()]
code = [(0x20, 0, 0, 0)]
for number in numbers:
    code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x7fff0000)]
code.append((0x06, 0, 0, 0x80000000))  # the process is ended
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(77)
if sys.argv[2]:
    os.environ["LD_PRELOAD"] = sys.argv[2]
os.execv(sys.argv[3], sys.argv[3:])
"""


def added_by_enable(box):
    """To a unit whose filter lists next to nothing."""
    root = os.path.join(box.path, "root")
    folder = os.path.join(root, "etc/systemd/system")
    os.makedirs(folder)
    with open(os.path.join(folder, "web.service"), "w") as file:
        file.write("[Service]\nExecStart=/bin/true\nSystemCallFilter=exit\n")
    box.weir("enable", "--root", root, "web", check=0)
    with open(os.path.join(folder, "web.service.d/50-weir.conf")) as file:
        return re.search(r"^SystemCallFilter=(.*)$", file.read(), re.M).group(1).split()


def there_before_the_program():
    weirtest.need("gcc")
    macros = subprocess.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout
    number_of = dict(re.findall(r"#define __NR_(\w+) (\d+)", macros))
    with weirtest.Sandbox() as box:
        added = added_by_enable(box)
        box.agent(box.rules({"flow": OWN["flow"], "blockActions": []}))
        server = os.path.join(weirtest.BUILD, "tests/servers/server")

        def start(name, calls, loop, library):
            numbers = " ".join(number_of[call] for call in calls if call in number_of)
            port = weirtest.free_port()
            program = box.start(name, ["/usr/bin/python3", "-c", UNDER, numbers, library, server, loop, str(port)],
                                box.environment(WEIR_APP=box.app))
            weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not program.running(), "it to listen or to end")
            return program, port

        for loop in ("poll", "epoll", "select"):
            program, _ = start(loop + "-bare", OF_THE_SERVER, loop, "")
            assert program.running(), "without the library it needs more: " + program.output()
            program, port = start(loop, OF_THE_SERVER + added, loop, weirtest.LIBWEIR)
            assert program.running(), program.output()
            for target, status in (("/small", 200), ("/blocked", 429), ("/queued", 200), ("/queued", 200)):
                with weirtest.Connection(("127.0.0.1", port)) as connection:
                    connection.send(weirtest.request("GET", target))
                    assert connection.response().status == status, target
            assert program.running(), program.output()
        program, _ = start("short", OF_THE_SERVER, "poll", weirtest.LIBWEIR)
        assert not program.running(), "nothing had to be added"


if __name__ == "__main__":
    weirtest.main(own_mode, sentinel_mode, pieces, agents_and_edits, there_before_the_program)
