#!/usr/bin/python3
"""Every connection to a protected listener is counted: judged, opaque and why, empty, or never read by a call that was seen.
`weir status`, `weir doctor` and `weir ports` say so, and 'protected' is not said of a server whose requests were not seen."""
import json
import socket

import weirtest

RULES = {"flow": [{"resource": "GET:/blocked", "count": 0}]}
HELLO = bytes.fromhex("16030100310100002d0303") + bytes(32) + bytes.fromhex("000002009c0100000200")

# Accepts by libc, and reads by a call that is not interposed.
UNSEEN = """
import os, socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=100)
while True:
    connection, _ = listener.accept()
    bytes = bytearray(65536)
    if os.preadv(connection.fileno(), [bytes], -1) > 0:
        connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok')
    connection.close()
"""
ECHO = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while (data := self.request.recv(65536)):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 100
Server(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()
"""


def connections(box, port):
    for listener in box.app_status()["connections"]:
        if listener["port"] == port:
            return {name: listener[name] for name in ("judged", "empty", "unread", "opaque")}
    return None


def doctor(box, check):
    pid = box.app_status()["processes"][0]["pid"]
    report = json.loads(box.weir("doctor", "--json", "--run-dir", box.run_dir, str(pid), check=check).stdout)
    return report["processes"][0]


def start(box, name, text):
    port = weirtest.free_port()
    program = box.weir_run(name, box.rules(RULES), ["/usr/bin/python3", "-c", text, str(port)])
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not program.running(), "%s to listen" % name)
    return port


def send(port, data, answer=True):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(20)
        if data:
            client.sendall(data)
            if answer:
                client.recv(65536)


def each_is_counted():
    with weirtest.Sandbox() as box:
        server = box.serve("threading", box.rules(RULES))
        for target in ("/a", "/blocked", "/a"):
            assert (weirtest.ask(server.address, target=target).status == 429) == (target == "/blocked")
        send(server.port, b"")
        expected = {"judged": 3, "empty": 1, "unread": 0, "opaque": {}}
        weirtest.until(lambda: connections(box, server.port) == expected,
                       "%r; it is %r" % (expected, connections(box, server.port)))
        assert "not of" not in box.weir("status", "--run-dir", box.run_dir).stdout
        assert doctor(box, 0)["connections"] == {"judged": 3, "opaque": 0, "empty": 1, "unread": 0}


def opaque_and_why():
    with weirtest.Sandbox() as box:
        port = start(box, "echo", ECHO)
        for data in (HELLO, HELLO, b"SSH-2.0-x\r\n", b"\x00\x01\x02\x03"):
            send(port, data)

        def counted():
            found = connections(box, port) or {"opaque": {}}
            return sum(found["opaque"].values()) == 4 and found
        found = weirtest.until(counted, "four connections to be opaque")
        assert set(found["opaque"]) <= {"foreign", "tls"} and found["opaque"]["foreign"] >= 2, found
        assert (found["judged"], found["empty"], found["unread"]) == (0, 0, 0), found
        said = " ".join(box.weir("status", "--run-dir", box.run_dir).stdout.split())
        assert "listener :%d: rules about requests applied to 0 connections, not to: foreign" % port in said, said
        found = doctor(box, 0)
        assert found["connections"]["opaque"] == 4 and "connections only" in found["remark"], found
        ports = json.loads(box.weir("ports", "--json", "--run-dir", box.run_dir).stdout)["ports"]
        assert [entry["opaque"] for entry in ports if entry["port"] == port] == [4]
        assert "connections only" in box.weir("ports", "--run-dir", box.run_dir).stdout


def never_read():
    """The server works, its rules do not, and nothing says that it is protected."""
    with weirtest.Sandbox() as box:
        port = start(box, "unseen", UNSEEN)
        for _ in range(6):
            assert weirtest.ask(("127.0.0.1", port), target="/blocked").status == 200
        expected = {"judged": 0, "empty": 0, "unread": 6, "opaque": {}}
        weirtest.until(lambda: connections(box, port) == expected, "%r; it is %r" % (expected, connections(box, port)))
        found = doctor(box, 1)
        assert not found["protected"] and found["cause"] == "unread", found
        assert "unread 6" in box.weir("status", "--run-dir", box.run_dir).stdout


weirtest.main(each_is_counted, opaque_and_why, never_read)
