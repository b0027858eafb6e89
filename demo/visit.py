#!/usr/bin/python3
"""Visitors for the demo: visit.py URL METHOD COUNT [FROM]. A GET asks COUNT times on one connection; a POST comes from COUNT customers at
once, each with a session. One line: how often each status came, and how many seconds the last one took."""
import collections
import re
import socket
import sys
import time
from urllib.parse import urlparse


def connect(url, source):
    return socket.create_connection((url.hostname, url.port), 20, (source, 0) if source else None)


def send(connection, method, path, session, count):
    head = "%s %s HTTP/1.1\r\nHost: demo\r\nCookie: session=%d\r\nContent-Length: 0\r\n\r\n" % (method, path, session)
    connection.sendall(head.encode() * count)


def statuses(connection, count):
    """Reads as many responses; fewer if the connection ends before."""
    have = b""
    for _ in range(count):
        while b"\r\n\r\n" not in have or len(have) < have.index(b"\r\n\r\n") + 4 + length(have):
            more = connection.recv(65536)
            if not more:
                return
            have += more
        yield int(have[9:12])
        have = have[have.index(b"\r\n\r\n") + 4 + length(have):]


def length(have):
    return int(re.search(rb"\r\ncontent-length: *(\d+)", have.lower()).group(1))


url, method, count, source = urlparse(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else None
customers, each = (count, 1) if method == "POST" else (1, count)
begun, seen = time.monotonic(), collections.Counter()
connections = [connect(url, source) for _ in range(customers)]
for number, connection in enumerate(connections):
    send(connection, method, url.path, number, each)
for connection in connections:
    seen.update(statuses(connection, each))
print(" ".join("%d:%d" % pair for pair in sorted(seen.items())), "%.1f" % (time.monotonic() - begun))
