#!/usr/bin/python3
"""A limit of scope app is of all processes together, also of those that see another time: in a namespace of clocks (unshare -T),
before the agent's time or behind it, and under a library that changes it, as libfaketime does."""
import os
import subprocess

import weirtest

SERVER = os.path.join(weirtest.BUILD, "tests", "servers", "server_sandboxed")
LIMIT, EACH = 10, 8
FASTER = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static long first;
    if (syscall(SYS_clock_gettime, clock, now) != 0)
        return -1;
    if (!first)
        first = now->tv_sec;
    now->tv_sec = first + (now->tv_sec - first) * 10000 + now->tv_nsec / 100000;
    return 0;
}
"""


def faster_time(box):
    source, library = os.path.join(box.path, "faster.c"), os.path.join(box.path, "faster.so")
    with open(source, "w") as file:
        file.write(FASTER)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


def namespaces():
    """What may be put before a command, or nothing where that may not be done here."""
    ways = [["unshare", "--time", "--monotonic", "86400", "--fork"], ["unshare", "--time", "--monotonic", "-30", "--fork"]]
    return [way for way in ways if subprocess.run(way + ["true"], capture_output=True).returncode == 0]


def serve(box, before=(), preload=weirtest.LIBWEIR):
    address = ("127.0.0.1", weirtest.free_port())
    program = box.start("server", list(before) + [SERVER, str(address[1]), "block", "read", "off"],
                        box.environment(LD_PRELOAD=preload, WEIR_APP=box.app))
    weirtest.until(lambda: weirtest.listening(address) or not program.running(), "it to listen")
    assert program.running(), program.output()
    return address


def passed(addresses):
    return [sum(weirtest.ask(address).status == 200 for _ in range(EACH)) for address in addresses]


def one_limit(per, starts):
    with weirtest.Sandbox() as box:
        box.agent(box.rules({"flow": [{"resource": "GET:/small", "count": LIMIT, "scope": "app", "per": per}]}))
        counts = passed([start(box) for start in starts])
        assert sum(counts) == LIMIT, "of %d for all of them passed %s" % (LIMIT, counts)


def in_namespaces():
    ways = namespaces()
    if not ways:
        raise weirtest.Skip("no namespace of clocks can be made here")
    one_limit("hour", [serve] + [lambda box, way=way: serve(box, way) for way in ways])


def in_the_agents_own_namespace():
    """Agent and server in the same one, and a server outside."""
    ways = namespaces()
    if not ways:
        raise weirtest.Skip("no namespace of clocks can be made here")
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/small", "count": LIMIT, "scope": "app", "per": "hour"}]})
        address = ("127.0.0.1", weirtest.free_port())
        box.start("weir-run", ways[0] + [weirtest.WEIR, "run", "-a", box.app, "--run-dir", box.run_dir, "-r", rules.path, "--", SERVER,
                                         str(address[1]), "block", "read", "off"], box.environment())
        weirtest.until(lambda: weirtest.listening(address), "it to listen")
        counts = passed([address])
        assert counts == [EACH], counts
        counts += passed([serve(box)])
        assert LIMIT <= sum(counts) <= LIMIT + 1, counts  # to a second's accuracy


def faster():
    """A minute is as long where the clock runs ten thousand times as fast: whichever library comes first."""
    def first(box):
        return serve(box, preload=faster_time(box) + ":" + weirtest.LIBWEIR)

    def second(box):
        return serve(box, preload=weirtest.LIBWEIR + ":" + faster_time(box))

    one_limit("hour", [serve, first, second])


if __name__ == "__main__":
    weirtest.main(in_namespaces, in_the_agents_own_namespace, faster)
