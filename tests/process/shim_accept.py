#!/usr/bin/python3
"""Refused connections and the ways in which servers accept: nobody is held up, no loop ends, no wake-up is lost."""
import contextlib
import os

import weirtest
from weirtest import Connection, request

SERVER = os.path.join(weirtest.BUILD, "tests", "servers", "server")


class Small(weirtest.Sandbox):
    """Our small server with room for `count` connections."""

    def server(self, style, count, reject, *under):
        self.address = ("127.0.0.1", weirtest.free_port())
        self.resource_name = "tcp::%d" % self.address[1]
        rules = {"flow": [{"resource": self.resource_name, "count": count, "grade": "thread"}],
                 "options": {"reject": reject}}
        program = self.weir_run(style, self.rules(rules), [*under, SERVER, style, str(self.address[1])])
        weirtest.until(lambda: weirtest.listening(self.address) or not program.running(), "the server to listen")
        return program

    def connect(self):
        return Connection(self.address, timeout=10)

    def served(self, connection):
        connection.send(request("GET", "/a"))
        response = connection.response()
        assert response.status == 200 and response.body == b"/a\n", response

    def refused(self):
        try:
            with self.connect() as connection:
                connection.send(request("GET", "/a"))
                connection.response()
        except (weirtest.Closed, ConnectionResetError, BrokenPipeError):
            return
        raise AssertionError("one too many was served")

    def room_again(self):
        weirtest.until(lambda: (self.resource(self.resource_name) or {}).get("in_flight") == 0,
                       "the connections to have ended")
        with self.connect() as connection:
            self.served(connection)


def refusals():
    """One that is served goes on being served while others are refused, also where a blocking accept follows a poll."""
    for style in ("epoll", "edge", "poll", "select", "threads"):
        for reject in ("reset", "close"):
            with Small() as box:
                program = box.server(style, 2, reject)
                with box.connect() as one, box.connect() as two:
                    box.served(one)
                    box.served(two)
                    for _ in range(10):
                        box.refused()
                        box.served(one)
                        box.served(two)
                box.room_again()
                assert program.running(), program.output()
        print("ok   %s" % style, flush=True)


def deferred():
    """Left in the backlog until there is room. An edge-triggered loop would not be told again: there it is a reset."""
    for style in ("epoll", "poll", "select", "threads"):
        with Small() as box:
            program = box.server(style, 1, "defer")
            one = box.connect()
            box.served(one)
            with box.connect() as waiting:
                waiting.send(request("GET", "/a"))
                for _ in range(5):
                    box.served(one)  # nobody is held up
                one.close()
                response = waiting.response()
                assert response.status == 200, response
            box.room_again()
            assert program.running(), program.output()
        print("ok   %s" % style, flush=True)


def preempted():
    """An accept after a poll takes long although a connection is there: it is not taken for a loop that only accepts."""
    weirtest.need("strace")
    slow = ("strace", "-f", "-o", "/dev/null", "-e", "trace=accept", "-e", "inject=accept:delay_exit=3000")
    for style in ("poll", "poll-copy", "select"):
        with Small() as box:
            box.server(style, 1, "reset", *slow)
            with box.connect() as one:
                for _ in range(3):
                    box.served(one)
                    box.refused()
                box.served(one)
        print("ok   %s" % style, flush=True)


def limited():
    """SO_RCVTIMEO is the limit of the call, however many connections are refused meanwhile."""
    for reject in ("reset", "defer"):
        with Small() as box:
            program = box.server("timed", 1, reject)
            weirtest.until(lambda: "timed out" in program.output(), "the accept to end")
            with box.connect() as one:
                box.served(one)
                before = program.output().count("timed out")

                def comes():
                    with contextlib.suppress(OSError), box.connect():
                        pass
                    return program.output().count("timed out") > before + 1
                weirtest.until(comes, "the accept to end while connections are refused")
                box.served(one)
        print("ok   %s" % reject, flush=True)


def edges_are_not_lost():
    with Small() as box:
        box.server("edge", 1, "defer")
        with box.connect() as one:
            box.served(one)
            box.refused()
            box.served(one)
        box.room_again()


if __name__ == "__main__":
    weirtest.main(refusals, deferred, preempted, limited, edges_are_not_lost)
