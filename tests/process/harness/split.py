"""Request heads in pieces, and requests that wait with more behind them, on real servers: one set of cases for all of them.

Rules: GET /blocked is rejected (count 0), GET /late is, too, and is answered later, GET /small and uploads wait for their turn, GET
/index.html waits for a turn that does not come while the test lasts, all else passes. Every request has a number in its query. What
the server took for a request is read from its own log at the end, when its processes are gone: no rejected request is among it, and
none twice.

The cases can be run on the bare server, too (`--bare`), where nothing is rejected and nothing waits: so that what they ask of a
server is known to be the server's own habit."""
import concurrent.futures
import contextlib
import itertools
import os
import re
import sys
import time
import traceback

import weirtest
from harness.battery import check_429
from harness.client import Closed, Connection, request
from harness.servers import BIG, SERVERS
from harness.split_odd import FREE, REJECTED, STUCK, OddHeads
from harness.split_soak import AnyMixture
from harness.watched import all_read, cpu_s, executed, in_flight, start, stop

QUEUED, LATE = "/small", "/late"
TURN_S, LONG_S, LATE_S = 0.025, 100, 0.15
MANY = 24  # requests that wait at a time
PAUSES_MS = (5, 60, 500)
BODY = bytes(range(97, 123)) * 4000  # 104 000 bytes of text: haproxy's answer is one


def upload_of(kind):
    """The method and target of an upload that all requests for it share. The body of a PUT is stored, that of a POST comes back."""
    if kind.echo in ("/up/", "/store/"):
        return "PUT", kind.echo + "body"
    return "POST", kind.echo or "/"


def rules(kind):
    method, target = upload_of(kind)
    turns = dict(controlBehavior="queue", scope="app", side="inbound")
    return {"blockActions": [{"name": "late", "delayMs": int(LATE_S * 1000), "body": "late"}],
            "flow": [{"id": "no", "resource": "GET:" + REJECTED, "count": 0, "side": "inbound"},
                     {"id": "no-upload", "resource": "%s:%s" % (method, REJECTED), "count": 0, "side": "inbound"},
                     {"id": "late", "resource": "GET:" + LATE, "count": 0, "side": "inbound", "blockAction": "late"},
                     dict(turns, id="turns", resource="GET:" + QUEUED, count=1 / TURN_S, maxQueueingTimeMs=60000),
                     dict(turns, id="stuck", resource="GET:" + STUCK, count=1 / LONG_S, maxQueueingTimeMs=100 * LONG_S * 1000),
                     dict(turns, id="uploads", resource="%s:%s" % (method, target), count=10, maxQueueingTimeMs=60000)]}


def ways(head):
    """How a head may come: a name, its pieces, the pause between them in ms (None: until the server has read what came)."""
    found = [("half, %d ms" % pause, [head[:len(head) // 2], head[len(head) // 2:]], pause) for pause in PAUSES_MS]
    return found + [("half, read", [head[:len(head) // 2], head[len(head) // 2:]], None),
                    ("in its first line", [head[:7], head[7:]], 60),
                    ("bytes", [head[at:at + 1] for at in range(len(head))], 1),
                    ("last byte", [head[:-1], head[-1:]], 60),
                    ("last two", [head[:-2], head[-2:]], 60)]


IN_THE_LINE = ("in its first line", "bytes")


class Cases(OddHeads, AnyMixture):
    queued, upload_of = QUEUED, staticmethod(upload_of)

    def __init__(self, server, protected):
        self.server, self.kind, self.address, self.protected = server, server.kind, server.address, protected
        self.numbers = itertools.count()
        self.rejected, self.answered = set(), set()

    def connections(self, count):
        """Listen queues are short: the server is to accept meanwhile."""
        found = []
        for _ in range(count):
            found.append(Connection(self.address, timeout=40))
            time.sleep(0.002)
        return found

    def target(self, path, what):
        return "%s?%s.%d" % (path, re.sub(r"[^a-z0-9]+", "-", what), next(self.numbers))

    def ask(self, connection, path, what="behind"):
        target = self.target(path, what)
        connection.send(request("GET", target))
        return self.expect_success(connection, target)

    def expect_success(self, connection, target, may_reject=False):
        """Whether the connection goes on."""
        response = connection.response()
        if may_reject and response.status == 429:
            self.rejected.add(target)
        else:
            assert response.status == 200, (target, response, response.body)
            assert response.body == target[1:].partition("?")[0].encode() + b"\n", (target, response.body)
            self.answered.add(target)
        return self.goes_on(connection, response)

    @staticmethod
    def goes_on(connection, response):
        if response.closes:
            assert connection.ended(), "said to close, and went on: %r" % response
        return not response.closes

    def become_known(self):
        """A program that gives up a connection when nothing is left of what came is known by that after it has done so a few
        times; from then on rejections end connections, and what cannot wait is rejected."""
        for _ in range(30):
            with Connection(self.address) as connection:
                target = self.target(REJECTED, "unknown")
                self.rejected.add(target)
                connection.send(request("GET", target))
                if connection.response().closes:
                    return
                with contextlib.suppress(Closed, ConnectionError):
                    self.ask(connection, FREE)
        raise AssertionError("it does not become known")

    def go_on_after(self, connection, response):
        if self.goes_on(connection, response):
            self.ask(connection, FREE)

    def in_parallel(self, work):
        """Functions and their arguments, on as many connections as the server has lanes; all that failed."""
        failures = []
        with concurrent.futures.ThreadPoolExecutor(min(self.kind.lanes, 24)) as pool:
            futures = [(pool.submit(function, *arguments), arguments) for function, *arguments in work]
            for future, arguments in futures:
                error = future.exception()
                if error:
                    failures.append("%r: %s: %s" % (arguments, type(error).__name__, error))
        assert not failures, "\n".join(["%d of %d:" % (len(failures), len(futures))] + failures)

    # ------------------------------------------------------------------------------------------------- heads in pieces

    def in_pieces(self, path, way, again):
        """One head in pieces, on a new connection or behind a whole one; then a whole request on the same connection."""
        with Connection(self.address, timeout=40) as connection:
            if again and not self.ask(connection, FREE, "before"):
                return
            target = self.target(path, "piece")
            name, pieces, pause = next(entry for entry in ways(request("GET", target)) if entry[0] == way)
            for piece in pieces:
                if piece is not pieces[0]:
                    if pause is None:
                        weirtest.until(lambda: all_read([connection]), "the server to read a piece")
                    else:
                        time.sleep(pause / 1000)  # the input's own time
                connection.send(piece)
            if path == REJECTED and self.protected:
                self.rejected.add(target)
                response = connection.response()
                check_429(response, "GET:" + REJECTED)
                assert response.closes or pause is not None, "a part was handed over, and the connection goes on"
                self.go_on_after(connection, response)
            else:
                goes_on = self.expect_success(connection, target, self.kind.gives_up and path == QUEUED)
                assert goes_on or not self.kind.keeps_alive or self.kind.gives_up, "an admitted request ended the connection"
                if goes_on:
                    self.ask(connection, FREE)

    def case_heads_in_pieces(self):
        names = [name for name, _, _ in ways(b"GET /x HTTP/1.1\r\n\r\n") if self.kind.split_line or name not in IN_THE_LINE]
        again = (False, True) if self.kind.keeps_alive else (False,)
        self.in_parallel([(self.in_pieces, path, way, on) for way in names for path in (FREE, REJECTED, QUEUED) for on in again])

    def whole_heads(self):
        with Connection(self.address) as connection:
            for _ in range(3):
                target = self.target(REJECTED, "whole")
                connection.send(request("GET", target))
                if not self.protected:
                    if not self.expect_success(connection, target):
                        return
                    continue
                self.rejected.add(target)
                response = connection.response()
                check_429(response, "GET:" + REJECTED)
                assert not response.closes or not self.kind.keeps_alive_when_blocked or self.kind.gives_up, response
                if not self.goes_on(connection, response):
                    return
            self.ask(connection, FREE)

    def case_whole_heads(self):
        for _ in range(3):
            self.whole_heads()

    # ------------------------------------------------------------------------------------------------- requests that wait

    def case_many_wait(self):
        """All at once: every one has its turn, none is lost, and none comes before its time."""
        connections = self.connections(MANY)
        try:
            targets = [self.target(QUEUED, "many") for _ in connections]
            begin = time.monotonic()
            for connection, target in zip(connections, targets):
                connection.send(request("GET", target))
            times = []

            def wait(connection, target):
                goes_on = self.expect_success(connection, target, self.kind.gives_up)
                times.append(time.monotonic() - begin)
                if goes_on:
                    self.ask(connection, FREE)
            with concurrent.futures.ThreadPoolExecutor(MANY) as pool:
                for future in [pool.submit(wait, *pair) for pair in zip(connections, targets)]:
                    future.result()
            early = [(place, at) for place, at in enumerate(sorted(times)) if at < place * TURN_S - 0.001]
            assert not early or not self.protected or self.kind.gives_up, early
        finally:
            for connection in connections:
                connection.close()

    def pipeline(self, paths):
        """All sent at once, on one connection if that lasts; answered in order."""
        left = [self.target(path, "pipeline") for path in paths]
        while left:
            with Connection(self.address, timeout=40) as connection:
                connection.send(b"".join(request("GET", target) for target in left))
                while left:
                    if not self.expect_success(connection, left.pop(0), self.kind.gives_up):
                        break

    def case_pipelines(self):
        if self.kind.pipelines and self.kind.keeps_alive:
            order = [FREE, QUEUED, FREE, QUEUED, QUEUED, FREE, FREE, QUEUED, QUEUED, FREE]
            self.in_parallel([(self.pipeline, order)] * 4)

    def behind(self, pause_ms):
        """A request that waits, and the next one right behind it, in one piece or two."""
        with Connection(self.address, timeout=40) as connection:
            targets = [self.target(path, "behind") for path in (QUEUED, FREE)]
            data = [request("GET", target) for target in targets]
            if pause_ms is None:
                connection.send(b"".join(data))
            else:
                connection.send(data[0] + data[1][:9])
                time.sleep(pause_ms / 1000)
                connection.send(data[1][9:])
            for target in targets:
                if not self.expect_success(connection, target, self.kind.gives_up):
                    break

    def case_bytes_behind(self):
        if self.kind.pipelines and self.kind.keeps_alive:
            self.in_parallel([(self.behind, pause) for pause in (None, 5, 60) for _ in range(4)])

    def rejected_behind(self, whole):
        """A rejected head, in pieces or not, while the answer to another request is still to come: that one is not lost."""
        with Connection(self.address, timeout=40) as connection:
            targets = ["/slow?ms=300", self.target(REJECTED, "behind-slow")]
            data = b"".join(request("GET", target) for target in targets)
            connection.send(data if whole else data[:-20])
            if not whole:
                time.sleep(0.06)
                connection.send(data[-20:])
            response = connection.response()
            assert (response.status, response.body) == (200, b"slow\n"), (response, response.body)
            if not self.goes_on(connection, response):
                return
            if not self.protected:
                self.expect_success(connection, targets[1])
                return
            self.rejected.add(targets[1])
            response = connection.response()
            check_429(response, "GET:" + REJECTED)
            self.go_on_after(connection, response)

    def rejected_behind_much(self):
        """The same, behind an answer that the client is slow to take."""
        with Connection(self.address, timeout=40, receive_buffer=32768) as connection:
            target = self.target(REJECTED, "behind-much")
            self.rejected.add(target)
            data = request("GET", "/big") + request("GET", target)
            connection.send(data[:-20])
            time.sleep(0.06)
            connection.send(data[-20:])
            response = connection.response()
            assert response.status == 200 and response.body == BIG, (response, len(response.body))
            if self.goes_on(connection, response):
                response = connection.response()
                check_429(response, "GET:" + REJECTED)
                self.go_on_after(connection, response)

    def case_rejected_behind_an_answer(self):
        if self.protected and self.kind.pipelines and self.kind.keeps_alive and self.kind.big:
            self.in_parallel([(self.rejected_behind_much,)] * 3)
        if self.kind.slow and self.kind.pipelines and self.kind.keeps_alive:
            self.in_parallel([(self.rejected_behind, whole) for whole in (False, True) for _ in range(3)])

    def upload(self, number):
        method, target = upload_of(self.kind)
        body = b"%04d" % number + BODY
        with Connection(self.address, timeout=40) as connection:
            connection.send(request(method, target, body=body))
            response = connection.response(method)
            if self.kind.gives_up and response.status == 429:
                return
            assert response.status in (200, 201, 204), response
            if method == "POST":
                assert response.body == body, "another body came back: %d bytes for %d" % (len(response.body), len(body))
            if self.goes_on(connection, response):
                self.ask(connection, FREE)
        return body

    def case_large_body_behind(self):
        """The second waits, with all of its body there."""
        if not self.kind.echo:
            return
        method, target = upload_of(self.kind)
        bodies = []

        def upload(number):
            bodies.append(self.upload(number))
        self.in_parallel([(upload, number) for number in range(3)])
        if method == "PUT":
            root = "store" if target.startswith("/up/") else "root"
            with open(os.path.join(self.server.folder, root, target[1:]), "rb") as file:
                assert file.read() in bodies, "another body was stored"

    def late(self, pieces):
        with Connection(self.address, timeout=40) as connection:
            target = self.target(LATE, "late")
            self.rejected.add(target)
            begin = time.monotonic()
            head = request("GET", target)
            for piece in (head[:20], head[20:]) if pieces else (head,):
                time.sleep(0.03)
                connection.send(piece)
            response = connection.response()
            assert (response.status, response.body) == (429, b"late"), response
            assert time.monotonic() - begin >= LATE_S or self.kind.gives_up, "it came at once"
            self.go_on_after(connection, response)

    def case_rejected_later(self):
        if self.protected:
            self.in_parallel([(self.late, pieces) for pieces in (False, True) for _ in range(3)])

    # ------------------------------------------------------------------------------------------------- and it costs nothing

    def case_idle_at_last(self):
        """Requests that wait, and heads that do not go on, cost no time of the processor."""
        lanes = min(self.kind.lanes, 40)
        connections = self.connections(lanes)
        try:
            for number, connection in enumerate(connections):
                whole = request("GET", self.target(STUCK, "stuck"))
                connection.send(whole if number % 2 == 0 and self.protected else whole[:20 + number])
            if self.protected:
                weirtest.until(lambda: all_read(connections), "all of them to be read")
                for connection in connections[:lanes // 2 * 2:2]:  # and much behind those that wait
                    connection.socket.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        connection.socket.send(BODY)
                time.sleep(0.2)
            before, at = cpu_s(self.server), time.monotonic()
            time.sleep(1.2)
            used, seconds = cpu_s(self.server) - before, time.monotonic() - at
            assert used < 0.3 * seconds, "%.3f s of the processor in %.3f s of waiting" % (used, seconds)
            return used / seconds
        finally:
            for connection in connections:
                connection.close()

    def check_log(self):
        """What the server took for requests, when nothing can be added any more."""
        if self.protected:
            box = self.server.box
            weirtest.until(lambda: not in_flight(box), "nothing to be in flight")
        stop(self.server)
        counts = executed(self.server)
        wrong = sorted(target for target in self.rejected if counts[target])
        assert not wrong, "rejected, and executed: %s" % wrong
        lost = sorted(target for target in self.answered if counts[target] != 1)
        assert not lost, "answered, but not executed once: %s" % [(target, counts[target]) for target in lost]
        twice = sorted(target for target, count in counts.items() if count > 1 and "?" in target and not target.startswith("/slow"))
        assert not twice, "executed more than once: %s" % twice

    def run(self, only=()):
        """Every case, even after one has failed: which ones fail together says what is wrong."""
        failed = []
        if self.kind.gives_up and self.protected:
            self.become_known()
        names = [name for name in dir(self) if name.startswith("case_") and (not only or name in only)]
        for name in sorted(names, key=lambda name: (name.endswith("_at_last"), name)) + ["check_log"]:
            begin = time.monotonic()
            try:
                getattr(self, name)()
                print("ok   %s (%.1f s)" % (name, time.monotonic() - begin), flush=True)
            except Exception as error:
                traceback.print_exc(file=sys.stdout)
                print("FAIL %s: %s" % (name, error), flush=True)
                failed.append(name)
        return failed


def try_server(name, bare=False, only=()):
    with weirtest.Sandbox() as box:
        server = start(box, name, rules(SERVERS[name]), weir=not bare)
        begin = time.monotonic()
        failed = Cases(server, not bare).run(only)
        print("result: %s: %.1f s" % (name, time.monotonic() - begin), flush=True)
        assert not failed, "%s failed: %s" % (name, ", ".join(failed))


def main(*names):
    """The test script of a family of servers. Arguments: --bare, names of servers and of cases to run only these."""
    from queue_servers import at_once
    bare = "--bare" in sys.argv
    cases = [argument for argument in sys.argv if argument.startswith("case_")]
    chosen = [name for name in names if name in sys.argv] or names
    sys.argv = [sys.argv[0]]
    weirtest.main(at_once(try_server, [(name, bare, cases) for name in chosen], most=3))
