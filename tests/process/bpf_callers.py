#!/usr/bin/python3
"""Who calls, of this host: rules of a server under the shim tell callers apart by process name, user and unit, also static
ones and those of other users, over IPv4 and IPv6. The kernel is asked only while a rule wants to know."""
import os
import shutil
import subprocess

import weirtest
from harness import bpf

NOBODY = 65534


def call(program, server, target, times=1, uid=None, cgroup=None, host=None):
    """How many of its requests a process of its own gets through."""
    def become():
        if cgroup:
            with open(os.path.join(cgroup, "cgroup.procs"), "w") as file:
                file.write(str(os.getpid()))
        if uid is not None:
            os.setgid(uid)
            os.setuid(uid)
    done = subprocess.run([program, host or server.address[0], str(server.port), target, str(times)], capture_output=True,
                          text=True, timeout=60, preexec_fn=become)
    assert done.returncode == 0, done.stderr
    codes = [int(word) for word in done.stdout.split()]
    assert len(codes) == times and set(codes) <= {200, 404, 403, 429}, codes
    return sum(code not in (403, 429) for code in codes)


def attached(place):
    """What hangs on our cgroup and answers getsockopt."""
    number = os.stat(place.cgroup).st_ino
    return [link for link in bpf.bpftool("link", "show") or []
            if link.get("cgroup_id") == number and link.get("attach_type") == "cgroup_getsockopt"]


def server_and_clients(box, place, content):
    ask = bpf.static_program(box, "ask")
    other = os.path.join(box.path, "other")
    shutil.copy(ask, other)
    rules = box.rules(content)
    place.agent(rules, needs=("caller",))
    server = box.serve("threading", preload=True)
    weirtest.until(lambda: box.app_status()["processes"], "the server to attach")
    return ask, other, rules, server


def black_and_white(box, place):
    unit = os.path.join(place.cgroup, "weirtest-%d.service" % os.getpid())
    os.mkdir(unit)
    try:
        ask, other, rules, server = server_and_clients(box, place, {"authority": [
            {"resource": "GET:/name", "limitApp": "comm:ask", "strategy": "black"},
            {"resource": "GET:/user", "limitApp": "uid:%d" % NOBODY, "strategy": "black"},
            {"resource": "GET:/unit", "limitApp": "unit:" + os.path.basename(unit), "strategy": "white"}]})
        assert box.app_status()["callers"] == "known"
        assert call(ask, server, "/name", 3) == 0
        assert call(other, server, "/name", 3) == 3
        assert call(ask, server, "/user") == 1
        assert call(ask, server, "/user", uid=NOBODY) == 0
        assert call(other, server, "/unit", 2, cgroup=unit) == 2
        assert call(other, server, "/unit", 2) == 0
        assert call(other, server, "/else", uid=NOBODY) == 1

        assert attached(place)
        box.edit(rules, {"authority": [{"resource": "GET:/name", "limitApp": "10.0.0.1", "strategy": "black"}]})
        weirtest.until(lambda: not attached(place), "nothing to be asked any more")
        assert call(ask, server, "/name") == 1
        box.edit(rules, {"authority": [{"resource": "GET:/name", "limitApp": "comm:ask,comm:curl", "strategy": "black"}]})
        weirtest.until(lambda: attached(place), "the kernel to be asked again")
        assert call(ask, server, "/name") == 0
    finally:
        box.end()
        os.rmdir(unit)


def limits(box, place):
    """Each with a threshold of its own; "other" is who is not named."""
    ask, other, _, server = server_and_clients(box, place, {"flow": [
        {"resource": "GET:/x", "limitApp": "uid:%d" % NOBODY, "count": 2, "per": "hour", "scope": "app"},
        {"resource": "GET:/x", "limitApp": "other", "count": 4, "per": "hour", "scope": "app"},
        {"resource": "GET:/y", "limitApp": "comm:ask", "count": 3, "per": "hour", "scope": "app"}]})
    assert call(ask, server, "/x", 5, uid=NOBODY) == 2
    assert call(ask, server, "/x", 6) == 4
    assert call(ask, server, "/y", 5) == 3
    assert call(other, server, "/y", 5) == 5


def six(box, place):
    ask = bpf.static_program(box, "ask")
    place.agent(box.rules({"authority": [{"resource": "GET:/name", "limitApp": "comm:ask", "strategy": "black"}]}),
                needs=("caller",))
    server = box.serve("nginx", preload=True, address=("::1", weirtest.free_port()))
    assert call(ask, server, "/name", 2) == 0
    assert call(ask, server, "/other", 2) == 2


bpf.main(black_and_white, limits, six)
