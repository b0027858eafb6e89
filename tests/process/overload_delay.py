#!/usr/bin/python3
"""Overload protection by queueing delay, by what makes it act and what must not: requests that wait in the accept queue, of TCP and of
unix sockets; not those of a client that sends several at once, nor what comes while the server stands still for a moment."""
import contextlib
import os
import select
import signal
import sys
import threading

import weirtest
from harness.crowd import Crowd
from weirtest import Connection, request

RULES = {"adaptive": {"mode": "enforce"}}
CLIENTS = 60


def of_adaptive(response):
    return response.status == 503 and b'"reason":"adaptive"' in response.body


def sheds(path=None):
    """Six workers, each busy for 0.3 s with a request: twenty a second."""
    with weirtest.Sandbox() as box:
        address = path and os.path.join(box.path, path)
        server = box.serve("gunicorn-sync", box.rules(RULES), address=address)
        assert weirtest.ask(server.address).status == 200
        with Crowd(server.address, CLIENTS, "/slow") as crowd:
            weirtest.until(lambda: crowd.count(of_adaptive) >= CLIENTS, "requests to be rejected")
            weirtest.until(lambda: crowd.count(lambda response: response.status == 200) >= 40, "others to be served")
        assert all(response.status == 200 or of_adaptive(response) for response in crowd.responses), crowd.responses
        first = next(response for response in crowd.responses if of_adaptive(response))
        assert int(first.header("retry-after")) >= 1, first
        weirtest.until(lambda: weirtest.ask(server.address).status == 200, "the overload to be over")
        assert weirtest.statuses([weirtest.ask(server.address) for _ in range(20)]) == {200: 20}
        assert box.resource("GET:/slow", now=True)["total_block"] == crowd.count(of_adaptive)
        seen, = box.status()["apps"][0]["connections"]  # those that were rejected at the door, too
        assert seen["judged"] >= len(crowd.responses), (seen, len(crowd.responses))


def tcp():
    sheds()


def unix_socket():
    sheds("socket")


class Trickling(Crowd):
    """They send a byte of a next request again and again, so that what they sent last is never old."""

    def once(self):
        with Connection(self.address) as connection:
            connection.send(request("GET", self.target))
            while not select.select([connection.socket], [], [], 0.005)[0]:
                connection.send(b"\r\n")
            self.responses.append(connection.response())


def trickling():
    with weirtest.Sandbox() as box:
        server = box.serve("gunicorn-sync", box.rules(RULES))
        with Crowd(server.address, CLIENTS, "/slow") as crowd:
            weirtest.until(lambda: crowd.count(of_adaptive) >= CLIENTS, "requests to be rejected")
            with Trickling(server.address, 10, "/slow") as trickling:
                before = len(crowd.responses), crowd.count(of_adaptive)
                weirtest.until(lambda: len(trickling.responses) >= 200, "those of clients that send on to be answered")
                others = (crowd.count(of_adaptive) - before[1]) / (len(crowd.responses) - before[0])
                share = trickling.count(of_adaptive) / len(trickling.responses)
        assert share > others / 2, (share, others)


class Holding(Crowd):
    """They begin a request, and keep a worker waiting for the rest of it."""
    begun = b"GET /small HT"

    def once(self):
        with Connection(self.address) as connection:
            connection.send(self.begun)
            self.ends.wait(0.4)


class Uploading(Holding):
    begun = request("POST", "/small", [("Content-Length", "5")]) + b"ab"


def wait_for_connections(server, workers):
    """All of them do, in poll or select. (What comes while a worker starts does have to wait for it.)"""
    def waits(pid):
        with contextlib.suppress(OSError), open("/proc/%d/wchan" % pid) as file:
            return file.read().startswith(("poll_schedule_timeout", "do_select", "do_poll", "0"))
    weirtest.until(lambda: len(server.workers()) == workers and all(map(waits, server.workers())), "the workers to be ready")


def slow_clients():
    """They hold up the workers, who have nothing to do: no overload."""
    for kind in Holding, Uploading:
        with weirtest.Sandbox() as box:
            server = box.serve("gunicorn-sync", box.rules(RULES))
            wait_for_connections(server, 6)
            with kind(server.address, 9, "/small"), Crowd(server.address, 8, "/other") as crowd:
                weirtest.until(lambda: len(crowd.responses) >= 200, "the others to be answered", 60)
            assert weirtest.statuses(crowd.responses) == {200: len(crowd.responses)}, weirtest.statuses(crowd.responses)


def several_at_once():
    """A client that does not wait for responses makes its own requests wait."""
    with weirtest.Sandbox() as box:
        server = box.serve("threading", box.rules(RULES))
        with Connection(server.address) as connection:
            connection.send(request("GET", "/slow?ms=200") * 6)
            assert [connection.response().status for _ in range(6)] == [200] * 6
        assert weirtest.ask(server.address).status == 200


def standing_still():
    """Stopped for a second and a half; what came meanwhile is served."""
    with weirtest.Sandbox() as box:
        server = box.serve("asyncio", box.rules(RULES))
        assert weirtest.ask(server.address).status == 200
        pids = server.processes()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        connections = [Connection(server.address) for _ in range(50)]
        try:
            for connection in connections:
                connection.send(request("GET", "/small"))
            threading.Event().wait(1.5)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert weirtest.statuses([connection.response() for connection in connections]) == {200: 50}
        for connection in connections:
            connection.close()


SLOW_LOOP = r"""
import select, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4000)
listener.setblocking(False)
while True:
    select.select([listener], [], [])
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    time.sleep(0.05)
    try:
        if connection.recv(4096):
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    except OSError:
        pass  # rejected
    connection.close()
"""


def many_at_the_door():
    """One call of accept rejects what has waited too long; it does not fail for it, however many there are."""
    with weirtest.Sandbox() as box, contextlib.ExitStack() as stack:
        address = "127.0.0.1", weirtest.free_port()
        program = box.weir_run("loop", box.rules(RULES), [sys.executable, "-c", SLOW_LOOP, str(address[1])])
        weirtest.until(lambda: weirtest.listening(address) or not program.running(), "the server to listen")
        connections = [stack.enter_context(Connection(address)) for _ in range(1500)]
        for connection in connections:
            connection.send(request("GET", "/a"))
        responses = [connection.response() for connection in connections]
        assert all(response.status == 200 or of_adaptive(response) for response in responses), responses
        assert sum(map(of_adaptive, responses)) > 1200, weirtest.statuses(responses)
        assert program.running(), program.output()


weirtest.main(tcp, unix_socket, trickling, slow_clients, several_at_once, standing_still, many_at_the_door)
