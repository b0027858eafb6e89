"""Request heads in pieces, and requests that wait with more behind them, on real servers: one set of cases for all of them.

Rules: GET /blocked is rejected (count 0), GET /small and uploads wait for their turn, GET /index.html waits for a turn that does not
come while the test lasts, all else passes. Every request has a number in its query. What the server took for a request is read from
its own log at the end, when its processes are gone: no rejected request is among it, and none twice.

The cases can be run on the bare server, too (`--bare`), where nothing is rejected and nothing waits: so that what they ask of a
server is known to be the server's own habit."""
import collections
import concurrent.futures
import glob
import itertools
import os
import re
import signal
import sys
import time
import traceback

import weirtest
from harness.battery import check_429
from harness.client import Closed, Connection, request
from harness.servers import SERVERS

FREE, REJECTED, QUEUED, STUCK = "/other", "/blocked", "/small", "/index.html"
TURN_S, LONG_S = 0.025, 100
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
    return {"flow": [{"id": "no", "resource": "GET:" + REJECTED, "count": 0, "side": "inbound"},
                     dict(turns, id="turns", resource="GET:" + QUEUED, count=1 / TURN_S, maxQueueingTimeMs=60000),
                     dict(turns, id="stuck", resource="GET:" + STUCK, count=1 / LONG_S, maxQueueingTimeMs=100 * LONG_S * 1000),
                     dict(turns, id="uploads", resource="%s:%s" % (method, target), count=5, maxQueueingTimeMs=60000)]}


def start(box, name, weir=True, kind_rules=None, **options):
    """The server, with its log and the server behind it."""
    kind, log = SERVERS[name], os.path.join(box.path, "requests.log")
    env = {"REQUEST_LOG": log}
    if name == "nginx":
        options.update(http="log_format seen '$request_method $request_uri $status';", server="access_log %s seen;" % log)
    elif name == "lighttpd":
        options.update(more='accesslog.filename = "%s"\naccesslog.format = "%%r %%s"' % log)
    elif kind.origin:
        options.update(origin=box.serve(kind.origin, weir=False, env=env).address)
    server = box.serve(name, box.rules(kind_rules or rules(kind)) if weir else None, weir=weir, env=env, **options)
    server.requests_log = os.path.join(server.folder, "requests.log") if kind.log == "file" else \
        server.program.log if kind.log == "output" else log
    return server


def executed(server):
    """How often the server took each target for a request that it answered with success (0.9 is nginx's word for a response
    without a status)."""
    counts = collections.Counter()
    if os.path.exists(server.requests_log):
        with open(server.requests_log, errors="replace") as file:
            for line in file:
                found = re.search(r'(?:^|")(GET|POST|PUT) (\S+)(?: HTTP/\d\.\d)?"?(?: (\d+))?(?: -)?$', line)
                if found and (found.group(3) or "200") in ("200", "201", "204", "009"):
                    counts[found.group(2)] += 1
    return counts


def stop(server):
    """Ends all processes of the server, so that nothing that it does can come later."""
    pids = server.processes()
    for number, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 20)):
        for pid in filter(weirtest.alive, pids):
            os.kill(pid, number)
        end = time.monotonic() + seconds
        while any(map(weirtest.alive, pids)) and time.monotonic() < end:
            time.sleep(0.01)
    assert not any(map(weirtest.alive, pids)), "processes of the server stay"


def cpu_s(server):
    total = 0
    for pid in server.processes():
        for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
            try:
                with open(path) as file:
                    total += int(file.read().split()[0])
            except OSError:
                pass  # a thread that has just ended
    return total / 1e9


def unread(connection):
    """Bytes that lie in the server's socket, not read by its program yet; None when there is no such socket (any more)."""
    mine, theirs = ("%04X" % connection.socket.getsockname()[1], "%04X" % connection.socket.getpeername()[1])
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(name) as table:
            for line in table:
                fields = line.split()
                if fields[1].endswith(":" + theirs) and fields[2].endswith(":" + mine):
                    return int(fields[4].partition(":")[2], 16)
    return None


def ways(head):
    """How a head may come: a name, its pieces, the pause between them in ms (None: until the server has read what came)."""
    found = [("half, %d ms" % pause, [head[:len(head) // 2], head[len(head) // 2:]], pause) for pause in PAUSES_MS]
    return found + [("half, read", [head[:len(head) // 2], head[len(head) // 2:]], None),
                    ("in its first line", [head[:7], head[7:]], 60),
                    ("bytes", [head[at:at + 1] for at in range(len(head))], 1),
                    ("last byte", [head[:-1], head[-1:]], 60),
                    ("last two", [head[:-2], head[-2:]], 60)]


IN_THE_LINE = ("in its first line", "bytes")


class Cases:
    def __init__(self, server, protected):
        self.server, self.kind, self.address, self.protected = server, server.kind, server.address, protected
        self.numbers = itertools.count()
        self.rejected, self.answered = set(), set()

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
                        weirtest.until(lambda: unread(connection) == 0, "the server to read a piece")
                    else:
                        time.sleep(pause / 1000)  # the input's own time
                connection.send(piece)
            if path == REJECTED and self.protected:
                self.rejected.add(target)
                response = connection.response()
                check_429(response, "GET:" + REJECTED)
                assert response.closes or pause is not None, "a part was handed over, and the connection goes on"
                if self.goes_on(connection, response):
                    self.ask(connection, FREE)
            else:
                goes_on = self.expect_success(connection, target, self.kind.gives_up and path == QUEUED)
                assert goes_on or not self.kind.keeps_alive or self.kind.gives_up, "an admitted request ended the connection"
                if goes_on:
                    self.ask(connection, FREE)

    def case_heads_in_pieces(self):
        names = [name for name, _, _ in ways(b"GET /x HTTP/1.1\r\n\r\n") if self.kind.split_line or name not in IN_THE_LINE]
        again = (False, True) if self.kind.keeps_alive else (False,)
        self.in_parallel([(self.in_pieces, path, way, on) for way in names for path in (FREE, REJECTED, QUEUED) for on in again])

    def case_whole_heads(self):
        for _ in range(2):
            with Connection(self.address) as connection:
                for _ in range(3):
                    target = self.target(REJECTED, "whole")
                    connection.send(request("GET", target))
                    if not self.protected:
                        if not self.expect_success(connection, target):
                            break
                        continue
                    self.rejected.add(target)
                    response = connection.response()
                    check_429(response, "GET:" + REJECTED)
                    assert response.closes or self.kind.keeps_alive_when_blocked
                    assert not response.closes or not self.kind.keeps_alive_when_blocked or self.kind.gives_up, response
                    if not self.goes_on(connection, response):
                        break
                else:
                    self.ask(connection, FREE)

    # ------------------------------------------------------------------------------------------------- requests that wait

    def case_many_wait(self):
        """All at once: every one has its turn, none is lost, and none comes before its time."""
        connections = [Connection(self.address, timeout=60) for _ in range(MANY)]
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

    # ------------------------------------------------------------------------------------------------- odd ends

    @staticmethod
    def everything(connection, half_close):
        """All that comes until the end, which the client may say first."""
        try:
            if half_close:
                connection.half_close()
            connection.received = connection._until_end()
        except OSError as error:
            assert not isinstance(error, TimeoutError), "the connection hangs"
        return connection.received

    def ends_inside(self, beginning, again):
        with Connection(self.address, timeout=40) as connection:
            if again and not self.ask(connection, FREE, "before"):
                return
            target = self.target(REJECTED, "end")
            self.rejected.add(target)
            connection.send(beginning % target.encode())
            self.everything(connection, True)

    def case_ends_inside_a_head(self):
        if self.protected:
            beginnings = (b"GET %s HTTP/1.1\r\nHost: x\r\n", b"GET %s HTTP/1.1\r\n", b"GET %s HTTP/1.1", b"GET %s", b"GET %s HTTP/1.1\r\nHost: x\r\n\r",
                          b"GET %s HTTP/1.0\r\n", b"GET %s HTTP/1.1\r\nHost: x")
            self.in_parallel([(self.ends_inside, beginning, again) for beginning in beginnings for again in (False, True)])

    def without_version(self, path, pieces):
        with Connection(self.address, timeout=40) as connection:
            target = self.target(path, "zero-nine")
            if path == REJECTED and self.protected:
                self.rejected.add(target)
            connection.send(pieces[0] % target.encode())
            for piece in pieces[1:]:
                time.sleep(0.03)
                connection.send(piece)
            answer = self.everything(connection, not self.kind.http09)
            if path == FREE and self.kind.http09 and pieces[-1].endswith(b"\r\n"):
                assert answer.endswith(b"other\n"), (target, answer)

    def case_without_version(self):
        cases = ([b"GET %s\r\n"], [b"GET %s", b"\r\n"], [b"GET %s\r", b"\n"], [b"GET %s\n"])
        self.in_parallel([(self.without_version, path, pieces) for pieces in cases for path in (FREE, REJECTED)])

    # ------------------------------------------------------------------------------------------------- and it costs nothing

    def case_idle_at_last(self):
        """Requests that wait, and heads that do not go on, cost no time of the processor."""
        lanes = min(self.kind.lanes, 40)
        connections = [Connection(self.address, timeout=40) for _ in range(lanes)]
        try:
            for number, connection in enumerate(connections):
                whole = request("GET", self.target(STUCK, "stuck"))
                connection.send(whole if number % 2 == 0 and self.protected else whole[:20 + number])
            if self.protected:
                weirtest.until(lambda: all(unread(connection) in (0, None) for connection in connections), "all of them to be read")
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
        stop(self.server)
        counts = executed(self.server)
        wrong = sorted(target for target in self.rejected if counts[target])
        assert not wrong, "rejected, and executed: %s" % wrong
        lost = sorted(target for target in self.answered if counts[target] != 1)
        assert not lost, "answered, but not executed once: %s" % [(target, counts[target]) for target in lost]
        twice = sorted(target for target, count in counts.items() if count > 1 and "?" in target)
        assert not twice, "executed more than once: %s" % twice

    def run(self, only=()):
        """Every case, even after one has failed: which ones fail together says what is wrong."""
        failed = []
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
        server = start(box, name, weir=not bare)
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
