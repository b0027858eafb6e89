#!/usr/bin/python3
"""The shim makes no system call of its own on the way of a request: the same conversation, counted by strace without
it, with it and no agent (bar S3), and with it under rules (bar S6)."""
import collections
import os
import re
import signal

import weirtest

REQUESTS = 500
IGNORED = {"rt_sigreturn", "restart_syscall"}
SAME = {"recvfrom": "read", "recvmsg": "read", "readv": "read",
        "sendto": "write", "sendmsg": "write", "writev": "write"}


def conversation(address):
    """One connection, so that what a connection costs is told from what a request costs."""
    with weirtest.Connection(address) as connection:
        for _ in range(REQUESTS):
            connection.send(weirtest.request("GET", "/a"))
            assert connection.response().status == 200


def counted(box, name, rules=None, preload=False):
    weirtest.need("strace")
    path = os.path.join(weirtest.BUILD, "tests", "servers", "server")
    port = weirtest.free_port()
    trace = os.path.join(box.path, "trace.%s.%d" % (name, port))
    environment = box.environment(**(dict(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app) if preload else {}))
    preloads = ["-E", "LD_PRELOAD=" + weirtest.LIBWEIR, "-E", "WEIR_APP=" + box.app] if preload else []
    environment.pop("LD_PRELOAD", None)  # strace itself is not to be protected
    server = box.start("strace", ["strace", "-f", "-qq", "-o", trace] + preloads + [path, name, str(port)], environment)
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not server.running(), "the server to listen")
    conversation(("127.0.0.1", port))
    first = calls_of(trace)
    conversation(("127.0.0.1", port))
    weirtest.until(lambda: sum(calls_of(trace).values()) >= sum(first.values()) + 2 * REQUESTS,
                   "the trace to be complete")
    after = calls_of(trace)
    for pid in weirtest.descendants(server.pid):
        os.kill(pid, signal.SIGTERM)
    return after - first


def calls_of(trace):
    with open(trace, errors="replace") as file:
        names = re.findall(r"^\d+ +(\w+)\(", file.read(), re.M)
    return collections.Counter(SAME.get(name, name) for name in names if name not in IGNORED)


def per_request(calls):
    """A poll more or less is the scheduler's doing, and a clock chore comes a few times a second: neither is
    per request."""
    return {name: round(count / REQUESTS, 1) for name, count in calls.items() if count >= REQUESTS / 10}


def compare(name):
    with weirtest.Sandbox() as box:
        bare = per_request(counted(box, name))
        assert bare.get("read", 0) >= 1 and bare.get("write") == 1, bare
        idle = per_request(counted(box, name, preload=True))
        assert idle == bare, "without an agent: %r, bare: %r" % (idle, bare)
    with weirtest.Sandbox() as box:
        box.agent(box.rules({"flow": [{"resource": "GET:/a", "count": 1000000},
                                      {"resource": "http:", "resourceMatch": "prefix", "count": 1000000,
                                       "grade": "thread"}]}))
        ruled = per_request(counted(box, name, preload=True))
        assert ruled == bare, "under rules: %r, bare: %r" % (ruled, bare)
        weirtest.until(lambda: (box.resource("GET:/a") or {}).get("total_pass") == 2 * REQUESTS,
                       "every request to be counted")


def no_call_of_ours():
    for name in ("epoll", "poll", "threads"):  # one read for each notice: the count does not depend on timing
        compare(name)


if __name__ == "__main__":
    weirtest.main(no_call_of_ours)
