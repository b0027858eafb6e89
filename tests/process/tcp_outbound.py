#!/usr/bin/python3
"""Outbound connections: rules on tcp:HOST:PORT in front of curl, a Python client and node, against a server without weir.
A refused one fails at once with ECONNREFUSED, as if nobody listened; blocking and non-blocking alike."""
import textwrap
import time

import weirtest


def rules_of(port, **rule):
    return {"flow": [dict({"id": "out", "resource": "tcp:127.0.0.1:%d" % port, "side": "outbound"}, **rule)]}


def client(box, rules, *command):
    """The client under weir run, in a run directory of its own: (exit status, output)."""
    program = box.weir_run("client", rules, list(command))
    status = program.wait(60)
    return status, program.output()


def curl():
    weirtest.need("curl")
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", weir=False)
        other = box.serve("nginx", weir=False)
        rules = box.rules(rules_of(server.port, count=0))
        status, output = client(box, rules, "curl", "-sS", "--max-time", "10", server.url + "/small")
        assert status == 7 and "onnect" in output, (status, output)  # 7: failed to connect
        status, output = client(box, rules, "curl", "-sS", "--max-time", "10", other.url + "/small")
        assert status == 0 and "small\n" in output, (status, output)
        rules.save(rules_of(server.port, count=100))
        status, output = client(box, rules, "curl", "-sS", "--max-time", "10", server.url + "/small")
        assert status == 0 and "small\n" in output, (status, output)


CLIENT = """
import asyncio, errno, socket, sys, urllib.request
port = int(sys.argv[1])

def blocking():
    s = socket.socket()
    try:
        return s.connect_ex(("127.0.0.1", port))
    finally:
        s.close()

async def nonblocking():
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return 0
    except OSError as error:
        return error.errno

def by_select():
    s = socket.socket()
    s.settimeout(10)
    try:
        return s.connect_ex(("127.0.0.1", port))
    finally:
        s.close()

results = [blocking() for _ in range(10)]
assert results == [0] * 4 + [errno.ECONNREFUSED] * 6, results
assert asyncio.run(nonblocking()) == errno.ECONNREFUSED
assert by_select() == errno.ECONNREFUSED
try:
    urllib.request.urlopen("http://127.0.0.1:%d/small" % port, timeout=10)
    raise SystemExit("urlopen went through")
except OSError as error:
    assert error.reason.errno == errno.ECONNREFUSED, error
print("done")
"""


def python():
    """By rate (per minute, so that no second ends in between)."""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", weir=False)
        rules = box.rules(rules_of(server.port, count=4, intervalSec=60))
        status, output = client(box, rules, "/usr/bin/python3", "-c", CLIENT, str(server.port))
        assert status == 0 and "done" in output, (status, output)


def by_an_error_of_choice():
    """blockActions.errno, as each of the clients' languages reports it."""
    probe = """import errno, socket, asyncio
address = ("127.0.0.1", %d)
s = socket.socket()
assert s.connect_ex(address) == errno.EHOSTUNREACH
s.settimeout(10)
assert s.connect_ex(address) == errno.EHOSTUNREACH
async def go():
    try:
        await asyncio.open_connection(*address)
    except OSError as error:
        return error.errno
assert asyncio.run(go()) == errno.EHOSTUNREACH
print("done")"""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", weir=False)
        rules = box.rules(dict(rules_of(server.port, count=0, blockAction="gone"),
                               blockActions=[{"name": "gone", "errno": "EHOSTUNREACH"}]))
        status, output = client(box, rules, "/usr/bin/python3", "-c", probe % server.port)
        assert status == 0 and "done" in output, (status, output)


POOL = """
import socket, sys, errno
address = ("127.0.0.1", int(sys.argv[1]))
held = []
for _ in range(3):
    s = socket.socket(); s.connect(address); held.append(s)
s = socket.socket()
assert s.connect_ex(address) == errno.ECONNREFUSED
s.close()
held.pop().close()
s = socket.socket()
assert s.connect_ex(address) == 0
d = s.dup(); s.close()
s = socket.socket()
assert s.connect_ex(address) == errno.ECONNREFUSED, "a dup was forgotten"
s.close(); d.close()
s = socket.socket()
assert s.connect_ex(address) == 0
print("done")
"""


def by_concurrency():
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", weir=False)
        rules = box.rules(rules_of(server.port, count=3, grade="thread"))
        status, output = client(box, rules, "/usr/bin/python3", "-c", textwrap.dedent(POOL), str(server.port))
        assert status == 0 and "done" in output, (status, output)


def node():
    weirtest.need("node")
    script = """const net = require('net');
      const s = net.connect(%d, '127.0.0.1', () => { console.log('through'); s.destroy(); });
      s.on('error', (error) => console.log(error.code));"""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", weir=False)
        rules = box.rules(rules_of(server.port, count=0))
        status, output = client(box, rules, "node", "-e", script % server.port)
        assert status == 0 and "ECONNREFUSED" in output and "through" not in output, (status, output)
        rules.save(rules_of(server.port, count=9))
        status, output = client(box, rules, "node", "-e", script % server.port)
        assert status == 0 and "through" in output, (status, output)


def nginx_as_a_proxy():
    """nginx answers 502 for an upstream that a rule refuses, and goes on when the rule is gone."""
    with weirtest.Sandbox() as box:
        upstream = box.serve("nginx", weir=False)
        rules = box.rules(rules_of(upstream.port, count=0))
        proxy = box.serve("nginx", rules, server="location /p/ { proxy_pass %s/; }" % upstream.url)
        assert weirtest.ask(proxy.address, target="/p/small").status == 502
        assert weirtest.ask(proxy.address, target="/small").status == 200
        box.edit(rules, rules_of(upstream.port, count=1000))
        time.sleep(0.1)
        weirtest.until(lambda: weirtest.ask(proxy.address, target="/p/small").body == b"small\n",
                       "the upstream to be used again", 30)


weirtest.main(curl, python, by_an_error_of_choice, by_concurrency, node, nginx_as_a_proxy)
