#!/usr/bin/python3
"""What real clients send, ordinary or not (tests/clients/captured, byte for byte from named versions), is served by a protected server just as
by the bare one, with default options, and each request is decided upon.
# timeout: 600"""
import glob
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import weirtest
from queue_servers import at_once

SERVERS = ["nginx", "lighttpd", "apache-event", "node", "threading", "http.server", "asyncio", "java", "gunicorn-gthread", "gunicorn-sync", "puma",
           "tomcat-nio", "uvicorn", "aiohttp", "php"]
CAPTURED = os.path.join(weirtest.ROOT, "tests", "clients", "captured")
AT_A_TIME = 4


def requests():
    """(client, bytes), each different one once."""
    found = {}
    for path in sorted(glob.glob(os.path.join(CAPTURED, "*.json"))):
        with open(path) as file:
            client = json.load(file)
        for text in client["requests"]:
            found.setdefault(text.encode("latin-1"), "%s (%s)" % (client["client"], client["version"]))
    return [(client, data) for data, client in found.items()]


def status_of(address, data, patience=30):
    """The first final status that comes back (101, too), or what ended it instead."""
    try:
        with socket.create_connection(address, timeout=patience) as sock:
            sock.sendall(data)
            received = b""
            while True:
                lines = received.split(b"\r\n\r\n")
                heads = [head for head in lines[:-1] if not head.startswith((b"HTTP/1.1 100", b"HTTP/1.1 103"))]
                if heads:
                    return heads[0].split(b" ", 2)[1].decode("latin-1")
                more = sock.recv(65536)
                if not more:
                    return "closed"
                received += more
    except TimeoutError:
        return "silence"
    except ConnectionError:
        return "reset"


def statuses(server, chosen, patience=30):
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(lambda request: status_of(server.address, request[1], patience), chosen))


def declined(data, before, now):
    """The offer of HTTP/2 without TLS is not consented to under weir: the request is served in HTTP/1."""
    return before == "101" and now == "200" and b"\r\nUpgrade: h2c\r\n" in data


def served_alike(kind):
    chosen = requests()
    assert len({client for client, _ in chosen}) >= 25, "captured from too few clients"
    with weirtest.Sandbox() as box:
        bare = box.serve(kind, weir=False)
        answers = statuses(bare, chosen, patience=3)
        bare.program.kill()
        assert answers.count("200") >= len(chosen) / 3, "%s serves hardly any of these: %s" % (kind, sorted(answers))
        assert answers.count("silence") <= 5, "%s leaves many unanswered" % kind
        chosen, wanted = zip(*[(request, answer) for request, answer in zip(chosen, answers) if answer != "silence"])
        server = box.serve(kind, box.rules({"flow": [{"resource": "http::*", "resourceMatch": "glob", "count": 1e9}]}))
        got = statuses(server, chosen)
        wrong = ["%s: %s instead of %s: %r" % (client, now, before, data[:300])
                 for (client, data), now, before in zip(chosen, got, wanted) if now != before and not declined(data, before, now)]
        assert not wrong, "%s, %d of %d:\n%s" % (kind, len(wrong), len(chosen), "\n".join(wrong))
        weirtest.until(lambda: (box.resource("http::%d" % server.port, now=True) or {}).get("total_pass", 0) >= len(chosen),
                       "all %d requests to be decided upon, not %s" % (len(chosen), box.resource("http::%d" % server.port, now=True)))
        print("%s: %d requests of %d clients" % (kind, len(chosen), len({client for client, _ in chosen})))


if __name__ == "__main__":
    names = [name for name in sys.argv[1:] if name in SERVERS] or SERVERS
    sys.argv[1:] = [name for name in sys.argv[1:] if name not in SERVERS]
    weirtest.main(at_once(served_alike, [(name,) for name in names], most=3))
