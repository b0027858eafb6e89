#!/usr/bin/python3
"""Our own small server in every style of waiting, plain and fortified, reading in small and large pieces: what is
refused is refused, in order, and everything else is untouched."""
import os

import weirtest
from weirtest import Connection, request

RULES = {"flow": [{"resource": "GET:/blocked", "count": 0}]}
BLOCKING = {"threads", "fork", "prefork"}  # a refusal ends the connection there


def ask_all(address, targets, ends):
    """On one connection where it lasts: pipelined at once, then one by one. `ends`: a rejection ends it, since a thread would
    wait for the next request, or the server has had a piece of this one."""
    left = list(targets)
    while left:
        with Connection(address) as connection:
            connection.send(b"".join(request("GET", target) for target in left))
            while left:
                target = left.pop(0)
                response = connection.response()
                if target.startswith("/blocked"):
                    assert response.status == 429, (target, response)
                else:
                    assert response.status == 200, (target, response)
                    assert response.body == target.encode() + b"\n", (target, response.body)
                if response.closes:
                    assert ends and response.status == 429, (target, response)
                    break


def style(program, name, read_size):
    path = os.path.join(weirtest.BUILD, "tests", "servers", program)
    assert os.path.exists(path), "run `make servers`"
    with weirtest.Sandbox() as box:
        address = ("127.0.0.1", weirtest.free_port())
        server = box.weir_run(name, box.rules(RULES), [path, name, str(address[1]), str(read_size)])
        weirtest.until(lambda: weirtest.listening(address) or not server.running(), "the server to listen")
        ends = name in BLOCKING or read_size < len(request("GET", "/blocked"))
        for _ in range(10):
            ask_all(address, ["/a", "/blocked", "/b", "/blocked", "/blocked", "/c"], ends)
            ask_all(address, ["/blocked"] * 3 + ["/a"] * 30, ends)
        weirtest.until(lambda: (box.resource("GET:/a") or {}).get("total_pass") == 310, "every request to be counted")
        figures = lambda: box.control(cmd="figures")["apps"][0]["resources"]
        weirtest.until(lambda: all(entry["in_flight"] == 0 for entry in figures()),
                       "nothing to be in flight any more")
        blocked, passed = box.resource("GET:/blocked"), box.resource("GET:/a")
        assert blocked["total_block"] == 60 and blocked["total_pass"] == 0, blocked
        assert passed["total_pass"] == 310 and passed["total_exception"] == 0, passed


def every_style():
    for name in ("epoll", "edge", "poll", "select", "threads", "fork", "prefork"):
        for program, read_size in (("server", 7), ("server", 4096), ("server_fortified", 300)):
            style(program, name, read_size)
            print("ok   %s %s, %d bytes at a time" % (program, name, read_size), flush=True)


if __name__ == "__main__":
    weirtest.main(every_style)
