"""Clients that ask again and again, each time on a connection of its own."""
import contextlib
import threading

from harness.client import Closed, ask


class Crowd:
    """`back_off_s`: so much later comes back who is rejected."""

    def __init__(self, address, clients, target="/small", back_off_s=0):
        self.address, self.target, self.back_off_s = address, target, back_off_s
        self.responses, self.ends = [], threading.Event()
        self.threads = [threading.Thread(target=self.go) for _ in range(clients)]

    def go(self):
        while not self.ends.is_set():
            with contextlib.suppress(Closed, OSError):  # the queue is full
                self.once()

    def once(self):
        response = ask(self.address, target=self.target)
        self.responses.append(response)
        if response.status != 200:
            self.ends.wait(self.back_off_s)

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
