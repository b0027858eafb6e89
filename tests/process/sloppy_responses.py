#!/usr/bin/python3
"""Servers that answer what cannot be followed (a body for HEAD, a body with 204, more than they said, no head), or with 200 to a
CONNECT that they do not understand, and go on with HTTP: what comes next on such a connection is judged all the same."""
import os
import sys

import weirtest
from harness import watched
from harness.client import Connection

SLOPPY = """
import socket, sys, threading
SAYS = {b"/head": b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello", b"/none": b"HTTP/1.1 204 No\\r\\n\\r\\nhello",
        b"/more": b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhello", b"/bare": b"hello\\n\\n",
        b"x:80": b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello", b"y:80": b"HTTP/1.1 200 OK\\r\\n\\r\\nhello"}
def serve(client):
    file = client.makefile("rb")
    while True:
        line = file.readline()
        if not line:
            return client.close()
        while file.readline().strip():
            pass
        target = line.split()[1]
        sys.stdout.write("took %s\\n" % target.decode())
        says = SAYS.get(target, b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello")
        head = says.find(b"hello") if sys.argv[2] == "apart" else len(says)
        client.sendall(says[:head])
        client.sendall(says[head:])
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=50)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
BLOCKED = {"flow": [{"resource": "GET:/blocked", "count": 0}]}
FIRST = [b"HEAD /head", b"GET /none", b"GET /more", b"GET /bare", b"CONNECT x:80", b"CONNECT y:80"]


def took(program, target):
    return program.output().count("took %s\n" % target)


def ends_or_takes(connection, data, program):
    """Until the connection ends, or the program took what is forbidden."""
    try:
        connection.send(data)
        while connection.socket.recv(65536):
            if took(program, "/blocked"):
                return
    except ConnectionError:
        pass


def converse(address, first, program):
    """The first request, one that is free, then one that is not, each when the one before it was answered."""
    with Connection(address) as connection:
        for number, line in enumerate([first, b"GET /other", b"GET /other"]):
            before = took(program, "/other")
            connection.send(line + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.socket.recv(65536), (first, "no answer to request %d" % number)
            if number:
                weirtest.until(lambda: took(program, "/other") > before, "the free request behind %r" % first)
        ends_or_takes(connection, b"GET /blocked HTTP/1.1\r\nHost: x\r\n\r\n", program)


def half_behind(address, first, program):
    """The first request with half of one that is not free; the rest of that when the first one was answered."""
    head, half = first + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /blocked HTTP/1.1\r\nHo"
    with Connection(address) as connection:
        connection.send(head + half)
        answer = b""
        while b"hello" not in answer:
            answer += connection.socket.recv(65536)
        ends_or_takes(connection, b"st: x\r\n\r\n", program)


def halves_are_judged():
    """Also where a response comes in several writes, so that its end could be taken for an answer to the half; and where odd
    requests are rejected, none of which there is here."""
    for weir, strict in ((False, ""), (True, "defend"), (True, "reject")):
        with weirtest.Sandbox() as box:
            program, address = started(box, weir, "apart", strict)
            for first in FIRST:
                half_behind(address, first, program)
            weirtest.until(lambda: weir or took(program, "/blocked") == len(FIRST), "all of them where nothing protects")
            assert took(program, "/blocked") == 0 or not weir, program.output()
            if weir:
                figures = box.resource("GET:/blocked", now=True)
                assert figures["total_block"] == len(FIRST) and figures["in_flight"] == 0, figures


def started(box, weir, how, strict="defend", rules=BLOCKED, text=SLOPPY):
    path, port = os.path.join(box.path, "sloppy.py"), weirtest.free_port()
    with open(path, "w") as file:
        file.write(text)
    rules = box.rules(dict(rules, options={"strictHttp": strict}))
    command = [sys.executable, "-u", path, str(port), how]
    program = box.weir_run("sloppy", rules, command) if weir else box.start("sloppy", command)
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)), "the server")
    return program, ("127.0.0.1", port)


def judged_all_the_same():
    for weir in (False, True):
        with weirtest.Sandbox() as box:
            program, address = started(box, weir, "whole")
            for first in FIRST:
                converse(address, first, program)
            assert took(program, "/blocked") == (0 if weir else len(FIRST)), program.output()
            if weir:
                figures = box.resource("GET:/other", now=True)
                assert figures["total_pass"] == 2 * len(FIRST) and figures["in_flight"] == 0, figures
                assert box.resource("GET:/blocked")["total_block"] == len(FIRST)
                assert sum(process["undecided"] for process in box.app_status()["processes"]) == 0


LAX = """
import sys
from wsgiref.simple_server import make_server
def app(environ, start_response):
    sys.stdout.write("took %s\\n" % environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "6")])
    return [b"hello\\n"]
make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"""
LIKE_TLS = b"\x16\x03\x01\x00\x05\x01GET /blocked HTTP/1.1\r\nHost: x\r\n\r\n"


def any_method(address, at):
    with Connection(address) as connection:
        connection.send(LIKE_TLS[:at])
        weirtest.until(lambda: watched.all_read([connection]), "the server to read it")
        try:
            connection.send(LIKE_TLS[at:])
            connection.half_close()
            while connection.socket.recv(65536):
                pass
        except ConnectionError:
            pass


def what_begins_as_tls():
    """wsgiref takes any bytes for a method: whole, and in two pieces."""
    blocked = {"flow": [{"resource": ".*:/blocked", "resourceMatch": "regex", "count": 0}]}
    for weir in (False, True):
        with weirtest.Sandbox() as box:
            program, address = started(box, weir, "", rules=blocked, text=LAX)
            assert weirtest.ask(address, target="/other").status == 200
            cuts = [6, 10, LIKE_TLS.index(b"HTTP") + 3, len(LIKE_TLS) - 1, len(LIKE_TLS)]
            for at in cuts:
                any_method(address, at)
            assert took(program, "/blocked") == (0 if weir else len(cuts)), program.output()


weirtest.main(judged_all_the_same, halves_are_judged, what_begins_as_tls)
