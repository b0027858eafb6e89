#!/usr/bin/python3
"""Connections and listeners that a process did not make itself: by exec, as inetd and socket activation hand them
over, and by fork, with a request read before it. They are under the rules, and nothing is counted twice."""
import os
import socket
import subprocess
import sys

import weirtest
from weirtest import Connection, request

RULES = {"flow": [{"resource": "GET:/blocked", "count": 0}]}
SERVER = os.path.join(weirtest.BUILD, "tests", "servers", "server")

FORKING = r"""
import os, socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    head = b''
    while b'\r\n\r\n' not in head:
        part = connection.recv(65536)
        if not part:
            break
        head += part
    if not head:
        connection.close()
        continue
    child = os.fork()
    if child == 0:  # answers what its parent has read, then reads on by itself
        while head:
            body = head.split()[1] + b'\n'
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
            head = b''
            while b'\r\n\r\n' not in head:
                part = connection.recv(65536)
                if not part:
                    break
                head += part
        os._exit(0)
    connection.close()
    os.waitpid(child, 0)
"""


def settled(box, **expected):
    """The figures of GET:/a once they are as expected, and nothing in flight."""
    def look():
        resource = box.resource("GET:/a") or {}
        return all(resource.get(name) == value for name, value in expected.items()) and resource.get("in_flight") == 0
    weirtest.until(look, "GET:/a to show %r; it shows %r" % (expected, box.resource("GET:/a")))


def environment(box):
    return box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)


def standard_input_and_output():
    with weirtest.Sandbox() as box, socket.create_server(("127.0.0.1", 0)) as listener:
        box.agent(box.rules(RULES))
        for _ in range(5):
            with Connection(listener.getsockname()) as client:
                server, _ = listener.accept()
                child = subprocess.Popen([SERVER, "standard", "0"], env=environment(box), stdin=server, stdout=server)
                server.close()
                client.send(request("GET", "/a") * 2 + request("GET", "/blocked") + request("GET", "/a"))
                assert [client.response().status for _ in range(2)] == [200, 200]
                refused = client.response()
                assert refused.status == 429 and refused.closes and client.ended(), refused
                assert child.wait(20) == 0
        settled(box, total_pass=10, total_success=10, total_exception=0)
        assert box.resource("GET:/blocked")["total_block"] == 5


def socket_activation():
    with weirtest.Sandbox() as box, socket.create_server(("127.0.0.1", 0)) as listener:
        box.agent(box.rules(RULES))
        child = subprocess.Popen(["/bin/sh", "-c", 'exec "$0" activated 0 3<&%d' % listener.fileno(), SERVER],
                                 env=environment(box), pass_fds=[listener.fileno()])
        try:
            with Connection(listener.getsockname()) as client:
                for target, status in (("/a", 200), ("/blocked", 429), ("/a", 200)):
                    client.send(request("GET", target))
                    assert client.response().status == status, target
            settled(box, total_pass=2, total_success=2, total_exception=0)
            weirtest.until(lambda: box.resource("http::%d" % listener.getsockname()[1]), "the listener's own resource")
        finally:
            child.kill()
            child.wait()


def read_before_fork():
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        server = box.weir_run("forking", box.rules(RULES), ["/usr/bin/python3", "-c", FORKING, str(port)])
        address = ("127.0.0.1", port)
        weirtest.until(lambda: weirtest.listening(address) or not server.running(), "the server to listen")
        for _ in range(10):
            with Connection(address) as client:
                for _ in range(3):
                    client.send(request("GET", "/a"))
                    response = client.response()
                    assert response.status == 200 and response.body == b"/a\n", response
        # The first of each three was admitted in the parent, where its end was not seen: an end all the same, and one.
        weirtest.until(lambda: (box.resource("GET:/a") or {}).get("total_pass") == 30, "thirty to have passed")
        weirtest.until(lambda: box.resource("GET:/a")["in_flight"] == 0, "none to be in flight")
        figures = box.resource("GET:/a")
        assert figures["total_success"] == 30, figures
        with Connection(address) as client:
            client.send(request("GET", "/a"))
            assert client.response().status == 200
            client.send(request("GET", "/blocked"))
            assert client.response().status == 429


if __name__ == "__main__":
    if not os.path.exists(SERVER):
        sys.exit("run `make servers`")
    weirtest.main(standard_input_and_output, socket_activation, read_before_fork)
