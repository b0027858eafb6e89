#!/usr/bin/python3
"""Overload protection by queueing delay, by what makes it act and what must not: requests that wait in the accept queue, of TCP and of
unix sockets; not those of a client that sends several at once, nor what comes while the server stands still for a moment."""
import os
import signal
import threading

import weirtest
from weirtest import Connection, request

RULES = {"adaptive": {"mode": "enforce"}}
CLIENTS = 60


def of_adaptive(response):
    return response.status == 503 and b'"reason":"adaptive"' in response.body


class Crowd:
    """Clients that ask again and again, each time on a connection of its own."""

    def __init__(self, address, target):
        self.address, self.target = address, target
        self.responses, self.ends = [], threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(CLIENTS)]

    def ask(self):
        while not self.ends.is_set():
            try:
                self.responses.append(weirtest.ask(self.address, target=self.target))
            except (weirtest.Closed, OSError):
                pass  # the queue is full

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        for thread in self.threads:
            thread.join()

    def count(self, condition):
        return sum(map(condition, list(self.responses)))


def sheds(path=None):
    """Six workers, each busy for 0.3 s with a request: twenty a second."""
    with weirtest.Sandbox() as box:
        address = path and os.path.join(box.path, path)
        server = box.serve("gunicorn-sync", box.rules(RULES), address=address)
        assert weirtest.ask(server.address).status == 200
        with Crowd(server.address, "/slow") as crowd:
            weirtest.until(lambda: crowd.count(of_adaptive) >= CLIENTS, "requests to be rejected")
            weirtest.until(lambda: crowd.count(lambda response: response.status == 200) >= 40, "others to be served")
        assert all(response.status == 200 or of_adaptive(response) for response in crowd.responses), crowd.responses
        first = next(response for response in crowd.responses if of_adaptive(response))
        assert int(first.header("retry-after")) >= 1, first
        weirtest.until(lambda: weirtest.ask(server.address).status == 200, "the overload to be over")
        assert weirtest.statuses([weirtest.ask(server.address) for _ in range(20)]) == {200: 20}
        assert box.resource("GET:/slow", now=True)["total_block"] == crowd.count(of_adaptive)


def tcp():
    sheds()


def unix_socket():
    sheds("socket")


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


weirtest.main(tcp, unix_socket, several_at_once, standing_still)
