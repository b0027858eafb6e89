#!/usr/bin/python3
"""Listeners that are not IPv4: a unix socket and an IPv6 address, nginx and Python; two listeners of one server each have
their own http::PORT."""
import os
import time

import weirtest


def check(box, server, rules, listener):
    with weirtest.Connection(server.address) as connection:
        connection.send(weirtest.request("GET", "/small") + weirtest.request("GET", "/blocked"))
        assert connection.response().body == b"small\n"
        assert connection.response().status == 429
    box.edit(rules, {"flow": [{"resource": listener, "count": 0}]})
    response = weirtest.ask(server.address, target="/other")
    assert response.status == 429, response


def blocked_rules(box):
    return box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}]})


def unix_socket():
    for kind in ("nginx", "threading"):
        with weirtest.Sandbox() as box:
            path, rules = os.path.join(box.path, "s"), blocked_rules(box)
            server = box.serve(kind, rules, address=path)
            check(box, server, rules, "http:unix:" + path)


def ipv6():
    try:
        weirtest.socket.socket(weirtest.socket.AF_INET6).bind(("::1", 0))
    except OSError as error:
        raise weirtest.Skip("no IPv6 here: %s" % error)
    for kind in ("nginx", "node", "threading"):
        with weirtest.Sandbox() as box:
            rules = blocked_rules(box)
            server = box.serve(kind, rules, address=("::1", weirtest.free_port()))
            check(box, server, rules, "http::%d" % server.port)


def two_listeners():
    with weirtest.Sandbox() as box:
        one, two = weirtest.free_port(), weirtest.free_port()
        rules = box.rules({"flow": [{"resource": "http::%d" % two, "count": 0}]})
        server = box.serve("nginx", rules, address=("127.0.0.1", one), server="listen 127.0.0.1:%d;" % two)
        for _ in range(3):
            assert weirtest.ask(("127.0.0.1", one)).status == 200
            assert weirtest.ask(("127.0.0.1", two)).status == 429
        assert server.port == one


FIRST_REQUESTS = ([b"FOO / HTTP/1.1"], [b"F", b"OO / HTTP/1.1"], [b"A" * 40, b" / HTTP/1.1"], [b"G!T / HTTP/1.1"], [b"GET /", b"x HTTP/1.1"],
                  [b"GET ft", b"p://weir.test/ HTTP/1.1"], [b"GET small", b" HTTP/1.1"], [b"G", b"ET x://weir.test/blocked HTTP/1.1"])


def whatever_comes_first():
    """An unknown method, another scheme, no slash, each byte by itself: a connection that begins in an odd way is no way around its rules."""
    for kind in ("nginx", "asyncio", "java"):
        with weirtest.Sandbox() as box:
            rules = blocked_rules(box)
            server = box.serve(kind, rules)
            assert weirtest.ask(server.address, target="/small").status == 200  # it speaks HTTP
            for parts in FIRST_REQUESTS:
                with weirtest.Connection(server.address) as connection:
                    for part in parts[:-1]:
                        connection.send(part)
                        time.sleep(0.05)  # (so that it is likely to be read alone)
                    connection.send(parts[-1] + b"\r\nHost: h\r\n\r\n")
                    if connection.response().closes:
                        continue
                    connection.send(weirtest.request("GET", "/blocked"))
                    assert connection.response().status == 429, (kind, parts)


weirtest.main(unix_socket, ipv6, two_listeners, whatever_comes_first)
