"""Requests that their server keeps until the test lets them go: who is in and who is not is then no matter of time."""
import itertools
import os
import select
import time

from harness.client import Connection, request

_numbers = itertools.count()


class Held:
    """`count` requests for /held, each on a connection of its own (programs of ../programs serve it). Those that get in
    stay in; what was answered meanwhile was answered by weir.

        with weirtest.Held(server, 10) as held:
            held.wait_answered(7)
            assert weirtest.statuses(held.release()) == {200: 3, 429: 7}
    """

    def __init__(self, server, count, **more):
        number = next(_numbers)
        self.file = os.path.join(server.folder, "root", "release.%d" % number)
        data = request("GET", "/held?%d" % number, **more)
        self.connections = []
        for _ in range(count):
            self.connections.append(Connection(server.address, timeout=60))
            time.sleep(0.002)  # listen queues are short: let the server accept
        for connection in self.connections:
            connection.send(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_go()
        for connection in self.connections:
            connection.close()

    def answered(self):
        """The connections on which something has come."""
        poll = select.poll()
        for connection in self.connections:
            poll.register(connection.socket, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(0)}
        return [connection for connection in self.connections if connection.socket.fileno() in ready]

    def wait_answered(self, count, seconds=60.0):
        end = time.monotonic() + seconds
        while len(self.answered()) < count:
            assert time.monotonic() < end, "%d of %d were answered, not %d" % (len(self.answered()), len(self.connections), count)
            time.sleep(0.01)

    def let_go(self):
        with open(self.file, "w"):
            pass

    def release(self):
        """Lets all of them go; the responses, in the order of the requests."""
        self.let_go()
        return [connection.response() for connection in self.connections]
