#!/usr/bin/python3
"""Event loops: three thousand requests sent at once are all answered, in order, where the server reads them all at once
and answers them one by one; and a loop that reads from blocking sockets is not held up by a head that does not end.
# timeout: 300"""
import os
import socket
import sys
import threading

import weirtest

RULES = {"flow": [{"resource": "GET:/blocked", "count": 0}]}
REQUESTS = 3000

SELECT_LOOP = r'''
import select, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
heads = {}
while True:
    readable, _, _ = select.select([listener] + list(heads), [], [])
    for sock in readable:
        if sock is listener:
            heads[listener.accept()[0]] = b""
            continue
        try:
            data = sock.recv(4096)
        except ConnectionResetError:
            data = b""
        heads[sock] += data
        if b"\r\n\r\n" in heads[sock]:
            body = heads[sock].split()[1]
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            heads[sock] = b""
        elif not data:
            del heads[sock]
            sock.close()
'''


def all_at_once(kind):
    with weirtest.Sandbox() as box:
        server = box.serve(kind, box.rules(RULES))
        data = b"".join(weirtest.request("GET", "/small") for _ in range(REQUESTS))
        with weirtest.Connection(server.address, timeout=60) as connection:
            sender = threading.Thread(target=connection.socket.sendall, args=(data,))
            sender.start()
            for number in range(REQUESTS):
                response = connection.response()
                assert (response.status, response.body) == (200, b"small\n"), (number, response)
                assert number == REQUESTS - 1 or not response.closes, "closed after %d" % (number + 1)
            sender.join()
        weirtest.until(lambda: box.in_flight("GET:/small") == 0, "nothing in flight any more")
        metrics = box.resource("GET:/small", now=True)
        assert metrics["total_pass"] == REQUESTS and metrics["total_success"] == REQUESTS, metrics


def thousands_at_once():
    for kind in ("node", "aiohttp", "uvicorn"):
        all_at_once(kind)


def a_loop_on_blocking_sockets():
    with weirtest.Sandbox() as box:
        path, address = os.path.join(box.path, "loop.py"), ("127.0.0.1", weirtest.free_port())
        with open(path, "w") as file:
            file.write(SELECT_LOOP)
        rules = box.rules(dict(RULES, flow=RULES["flow"] + [{"resource": "GET:/queued", "count": 1, "controlBehavior": 2,
                                                             "maxQueueingTimeMs": 60000}]))
        program = box.weir_run("loop", rules, [sys.executable, path, str(address[1])])
        weirtest.until(lambda: weirtest.listening(address) or not program.running(), "the loop to listen")
        with socket.create_connection(address) as unfinished, weirtest.Connection(address) as waiting:
            unfinished.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\nX-")
            assert weirtest.ask(address, target="/queued").status == 200
            waiting.send(weirtest.request("GET", "/queued"))  # for a second
            for _ in range(20):
                assert weirtest.ask(address, target="/small").body == b"/small"
            assert weirtest.ask(address, target="/blocked").status == 429
            unfinished.sendall(b"Filler: x\r\n\r\n")
            assert unfinished.recv(100).startswith(b"HTTP/1.1 200 ")
            response = waiting.response()
            assert (response.status, response.body) == (200, b"/queued"), response
        with socket.create_connection(address) as refused:  # in two pieces
            refused.sendall(b"GET /blocked HTTP/1.1\r\nHost: x\r\n\r")
            assert weirtest.ask(address, target="/small").body == b"/small"
            refused.sendall(b"\n")
            assert refused.recv(100).startswith(b"HTTP/1.1 429 ")
        assert weirtest.ask(address, target="/small").body == b"/small"
        assert program.running(), program.output()


weirtest.main(thousands_at_once, a_loop_on_blocking_sockets)
