#!/usr/bin/python3
"""Connections as requests: rules on tcp::PORT in front of redis, which weir does not understand. By rate and by concurrency,
and the three ways of refusing: a reset, a close, and leaving the connection in the backlog until there is room."""
import os
import socket

import weirtest


def rules_of(port, reject=None, **rule):
    rules = {"flow": [dict({"id": "c", "resource": "tcp::%d" % port}, **rule)]}
    if reject:
        rules["options"] = {"reject": reject}
    return rules


def ping(connection):
    """'pong', 'reset' or 'closed'."""
    try:
        connection.send(b"PING\r\n")
        return "pong" if connection.bytes(7) == b"+PONG\r\n" else "?"
    except ConnectionResetError:
        return "reset"
    except BrokenPipeError:
        return "reset"
    except weirtest.Closed:
        return "closed"


def look(connection):
    """'pong', or how the connection was refused. Says nothing first: what is closed with bytes unread is reset."""
    try:
        connection.socket.settimeout(0.3)
        return "closed" if not connection.socket.recv(1) else "?"
    except ConnectionResetError:
        return "reset"
    except socket.timeout:
        connection.socket.settimeout(20)
        return ping(connection)


def try_connect(address):
    try:
        with weirtest.Connection(address) as connection:
            return ping(connection)
    except ConnectionResetError:
        return "reset"  # refused before connect() had returned


def connect_all(box, address, count, refused):
    """How each of them fared, once the last of those that are refused has been."""
    connections, results = [], []
    for _ in range(count):
        try:
            connections.append(weirtest.Connection(address))
        except ConnectionResetError:
            results.append("reset")
    weirtest.until(lambda: box.resource("tcp::%d" % address[1], now=True)["total_block"] >= refused, "the refusals")
    results += [look(connection) for connection in connections]
    for connection in connections:
        connection.close()
    return results


class Redis(weirtest.Sandbox):
    def redis(self, **rule):
        port = weirtest.free_port()
        self.file = self.rules(rules_of(port, **rule))
        return self.serve("redis", self.file, address=("127.0.0.1", port))


def by_rate():
    for reject, seen in ((None, "reset"), ("reset", "reset"), ("close", "closed")):
        with Redis() as box:
            server = box.redis(count=4, intervalSec=3600, reject=reject)
            results = connect_all(box, server.address, 12, 8)
            assert results.count("pong") == 4, "reject %s: %r" % (reject, results)
            assert results.count(seen) == 8, "reject %s: %r" % (reject, results)


def by_concurrency():
    with Redis() as box:
        server = box.redis(count=3, grade="thread")
        for _ in range(3):
            held = [weirtest.Connection(server.address) for _ in range(3)]
            assert [ping(connection) for connection in held] == ["pong"] * 3
            assert try_connect(server.address) == "reset"
            for connection in held:
                connection.close()
            weirtest.until(lambda: box.resource("tcp::%d" % server.port, now=True)["in_flight"] == 0, "the connections to have ended")


def deferred():
    """What is not accepted stays in the backlog, and is served when a place becomes free."""
    with Redis() as box:
        server = box.redis(count=2, grade="thread", reject="defer")
        held = [weirtest.Connection(server.address) for _ in range(2)]
        assert [ping(connection) for connection in held] == ["pong"] * 2
        with weirtest.Connection(server.address, timeout=1) as waiting:
            waiting.send(b"PING\r\n")
            try:
                assert not waiting.socket.recv(7), "served although both places are taken"
                raise AssertionError("closed instead of deferred")
            except socket.timeout:
                pass
            held.pop().close()
            waiting.socket.settimeout(20)
            assert waiting.bytes(7) == b"+PONG\r\n"
        assert ping(held[0]) == "pong", "a connection that had been served was disturbed"


def commands_are_untouched():
    """Under a rule that passes, every byte arrives: a pipeline of large values, both ways."""
    with Redis() as box:
        server = box.redis(count=1000)
        value = bytes(range(256)) * 2000
        with weirtest.Connection(server.address) as connection:
            for round in range(20):
                connection.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" % (len(value), value))
                assert connection.bytes(5) == b"+OK\r\n"
                assert connection.bytes(len(b"$512000\r\n")) == b"$512000\r\n"
                assert connection.bytes(len(value) + 2) == value + b"\r\n"


def refusals_do_not_hurt_the_server():
    """An accept that finds only refused connections: no spinning, no end of the loop, no leaked descriptor."""
    with Redis() as box:
        server = box.redis(count=0)
        pid = server.main_pid()
        before = len(os.listdir("/proc/%d/fd" % pid))
        assert {try_connect(server.address) for _ in range(300)} == {"reset"}
        assert len(os.listdir("/proc/%d/fd" % pid)) <= before, "descriptors leaked"
        box.edit(box.file, rules_of(server.port, count=10))
        weirtest.until(lambda: try_connect(server.address) == "pong", "redis to serve again")


weirtest.main(by_rate, by_concurrency, deferred, commands_are_untouched, refusals_do_not_hurt_the_server)
