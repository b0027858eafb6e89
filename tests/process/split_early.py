#!/usr/bin/python3
"""A program that answers whatever one read brings acts on half a head. That cannot be decided upon: it is counted, and
`weir doctor` and `weir status` say so; an error response to half a head is no such thing."""
import json
import os
import sys

import weirtest

PROGRAM = r'''
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
while True:
    client, _ = listener.accept()
    data = client.recv(65536)
    status = b"400 Bad Request" if data.startswith(b"GET /error") else b"200 OK"
    client.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(data), data))
    client.close()
'''


def acted_early():
    with weirtest.Sandbox() as box:
        path, port = os.path.join(box.path, "early.py"), weirtest.free_port()
        with open(path, "w") as file:
            file.write(PROGRAM)
        rules = box.rules({"flow": [{"resource": "GET:/refused", "count": 0}]})
        program = box.weir_run("early", rules, [sys.executable, path, str(port)])
        weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not program.running(), "the program to listen")

        def counts():
            process = box.app_status()["processes"][0]
            report = json.loads(box.weir("doctor", "--json", str(process["pid"])).stdout)
            return process["acted_early"], report["processes"][0]["acted_early"]

        def ask(*pieces):
            with weirtest.Connection(("127.0.0.1", port)) as connection:
                connection.send(pieces[0])
                response = connection.response()
                return response.status

        assert ask(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n") == 200
        assert ask(b"GET /refused HTTP/1.1\r\nHost: x\r\n\r\n") == 429
        assert ask(b"GET /error HTTP/1.1\r\nHost") == 400
        assert counts() == (0, 0), counts()
        assert ask(b"GET /refused HTTP/1.1\r\nHost") == 200
        weirtest.until(lambda: counts() == (1, 1), "the early answer to be counted")  # after it has been sent
        said = box.weir("doctor", str(box.app_status()["processes"][0]["pid"])).stdout
        assert "answers requests" in " ".join(said.split()), said
        assert "complete, 1 so far" in " ".join(box.weir("status", "--run-dir", box.run_dir).stdout.split())


weirtest.main(acted_early)
