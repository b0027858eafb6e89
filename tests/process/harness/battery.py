"""What every HTTP server must survive under weir, and what its clients must see: one battery for all servers.

Rules: every target /blocked… is refused (count 0), everything else passes. Bytes of passed requests and responses must be
those of the bare server, in order; refused ones get their 429 exactly in their place. The battery can be run on the bare
server, too (`--bare`), where nothing is refused: so that what it asks of a server is known to be the server's own habit.

On blocking descriptors a refusal ends the connection ("Connection: close"), in good order; on others it stays."""
import hashlib
import json
import os
import random
import re
import select
import sys
import threading
import time
import traceback

import weirtest
from harness.client import Closed, Connection, ask, request
from harness.servers import BIG, SERVERS

RULES = {"flow": [{"id": "no-" + method.lower(), "resource": method + ":/blocked", "count": 0}
                  for method in ("GET", "HEAD", "POST", "PUT")]}
SEED = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 30))


def check_429(response, resource=None, rule=None, quota=None, window=1, head=False):
    """The answer of protocols.md, to the letter."""
    assert response.status == 429, response
    assert response.version == "HTTP/1.1", response
    assert int(response.header("retry-after")) >= 1, response
    assert response.header("content-type").startswith("application/json"), response
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", response.header("date")), response
    policy = re.fullmatch(r'"([^"]+)";q=(\d+);w=(\d+)', response.header("ratelimit-policy") or "")
    limit = re.fullmatch(r'"([^"]+)";r=(\d+);t=(\d+)', response.header("ratelimit") or "")
    assert policy and limit and policy.group(1) == limit.group(1), response
    if rule:
        assert policy.group(1) == rule, response
    if quota is not None:
        assert (int(policy.group(2)), int(policy.group(3))) == (quota, window), response
    assert int(limit.group(2)) == 0 or quota is None, response
    if head:
        return
    body = json.loads(response.body)
    assert body["error"] == "blocked by weir" and body["reason"] == "flow", body
    assert body["rule"] == policy.group(1), body
    assert resource is None or body["resource"] == resource, body


class Battery:
    def __init__(self, server, protected, scale=1.0):
        self.server, self.kind, self.protected, self.scale = server, server.kind, protected, scale
        self.address = server.address
        self.small = b"small\n"
        self.random = random.Random(SEED)
        self.refused = 0  # 429s seen for GET:/blocked, all told

    def is_blocked(self, target):
        return self.protected and target.startswith("/blocked")

    def expect(self, connection, method, target, body=None, pieces=False):
        """Reads the answer to one request. Returns whether the connection goes on. `pieces`: its head came in pieces, of
        which the server may have had one; then a refusal ends the connection."""
        response = connection.response(method)
        if self.is_blocked(target):
            check_429(response, "%s:/blocked" % method, head=method == "HEAD")
            self.refused += method == "GET"
            if self.kind.keeps_alive_when_blocked and body is None and not pieces:
                assert not response.closes, "a refusal ended a connection that could have stayed: %r" % response
        else:
            assert response.status in (200, 201, 204), "%s %s: %r" % (method, target, response)
            wanted = body if body is not None else {"/big": BIG}.get(target)
            if wanted is None:
                wanted = b"".join(bytes([65 + n]) * 9000 for n in range(7)) if target == "/chunked" else \
                    (target[1:] + "\n").encode()
            if method == "HEAD":
                assert response.header("content-length") in (None, str(len(wanted))), response
            elif method != "PUT":
                assert hashlib.sha256(response.body).digest() == hashlib.sha256(wanted).digest(), \
                    "%s %s: another body came: %d bytes instead of %d: %r" % (method, target, len(response.body),
                                                                            len(wanted), response.body[:100])
        if response.closes:
            assert connection.ended(), "%s %s: said to close, and went on" % (method, target)
        return not response.closes

    def sequence(self, targets, send=None, pipelined=True, receive_buffer=None, pieces=False, method="GET"):
        """Requests on as few connections as the server's habits allow; their answers in order."""
        send = send or (lambda connection, data: connection.send(data))
        left = list(targets)
        while left:
            batch = left if pipelined and self.kind.keeps_alive else left[:1]
            with Connection(self.address, receive_buffer=receive_buffer) as connection:
                if pipelined:
                    send(connection, b"".join(request(method, target) for target in batch))
                while batch:
                    if not pipelined:
                        send(connection, request(method, left[0]))
                    goes_on = self.expect(connection, method, left.pop(0), pieces=pieces)
                    if not goes_on:
                        break
                    batch = left if self.kind.keeps_alive else []

    # ------------------------------------------------------------------------------------------------- the cases

    def case_one_by_one(self):
        self.sequence(["/small", "/blocked", "/other", "/blocked", "/blocked", "/small", "/index.html"], pipelined=False)

    def case_pipelined(self):
        self.sequence(["/small", "/blocked", "/other", "/blocked", "/blocked", "/small"])
        self.sequence(["/blocked"] * 5 + ["/small"] * 3)
        self.sequence(["/small"] * 20 + ["/blocked"])

    def case_byte_by_byte(self):
        def slowly(connection, data):
            try:
                connection.send_slowly(data)
            except OSError:
                pass  # ended by the server after a refusal: the answers say so
        self.sequence(["/small", "/blocked", "/other"], slowly, pieces=True)
        self.sequence(["/blocked", "/small"], slowly, pipelined=False, pieces=True)

    def case_head(self):
        self.sequence(["/small", "/blocked", "/small"], method="HEAD")

    def case_big_answers(self):
        targets = ["/big", "/blocked", "/small", "/blocked", "/blocked", "/big", "/blocked", "/small"]
        self.sequence(targets)
        self.sequence(targets, receive_buffer=4096)
        if self.kind.chunked:
            self.sequence(["/chunked", "/blocked", "/chunked", "/small"])

    def case_bodies(self):
        if not self.kind.echo:
            return
        for chunked in (False, True):
            for size in (0, 10, 70000, 1000000):
                self.body(bytes(self.random.randbytes(size)), chunked)

    def body(self, body, chunked):
        """Upload; the same to /blocked; upload: on one connection where it stays open."""
        method = "PUT" if self.kind.echo == "/up/" else "POST"
        target = self.kind.echo + ("%d.%d" % (len(body), chunked) if method == "PUT" else "")
        connection = Connection(self.address)
        for at in (target, "/blocked", target):
            if at == "/blocked" and not self.protected:
                continue
            data = request(method, at, body=body, chunked=chunked)
            sender = threading.Thread(target=self.send_all, args=(connection, data))
            sender.start()  # the answer may come before all of the body has gone
            goes_on = self.expect(connection, method, at, body)
            sender.join()
            # a body beyond 64 KiB is not drained to the end; a chunked one says too late that it is that long
            if not goes_on or (at == "/blocked" and len(body) > 65536):
                connection.close()
                connection = Connection(self.address)
        connection.close()
        if method == "PUT":
            with open(os.path.join(self.server.folder, "store", "up", target[4:]), "rb") as stored:
                assert stored.read() == body, "another body arrived (%d bytes, chunked: %s)" % (len(body), chunked)

    @staticmethod
    def send_all(connection, data):
        try:
            connection.send(data)
        except OSError:
            pass  # a refusal may end the stream while the body still comes

    def case_expect_continue(self):
        if not self.kind.echo or not self.kind.continues:
            return
        body = b"x" * 5000
        with Connection(self.address) as connection:
            data = request("POST", self.kind.echo, [("Expect", "100-continue")], body)
            connection.send(data[:-len(body)])
            assert select.select([connection.socket], [], [], 10)[0], "no 100 Continue came"
            connection.send(body)
            response = connection.response("POST")
            assert response.informational == [100] and response.body == body, response
        if self.protected:
            with Connection(self.address) as connection:
                data = request("POST", "/blocked", [("Expect", "100-continue")], body)
                connection.send(data[:-len(body)])
                response = connection.response("POST")
                check_429(response, "POST:/blocked")
                assert response.informational == [], "100 Continue before a refusal"

    def case_upgrade(self):
        if not self.kind.upgrade:
            return
        with Connection(self.address) as connection:
            connection.send(request("GET", "/upgrade", [("Connection", "Upgrade"), ("Upgrade", "echo")]))
            response = connection.response()
            assert response.status == 101, response
            for data in (b"\x00\x01\xff", request("GET", "/blocked"), bytes(range(256)) * 300):
                connection.send(data)  # what looks like a request is none any more
                assert connection.bytes(len(data)) == data, "the upgraded stream was changed"

    def case_half_close(self):
        """The client says all it has to say and ends its side: it still gets every answer."""
        if not self.kind.keeps_alive_when_blocked or not self.kind.half_close:
            return
        with Connection(self.address) as connection:
            targets = ["/small", "/blocked", "/small"]
            connection.send(b"".join(request("GET", target) for target in targets))
            connection.half_close()
            for target in targets:
                self.expect(connection, "GET", target)

    def case_ambiguous_framing(self):
        """Two opinions about where a message ends: whatever the server does, nobody else notices."""
        for header in (("Transfer-Encoding", "chunked"), ("Content-Length", "7"), ("Transfer-Encoding", "xchunked")):
            with Connection(self.address, timeout=2) as connection:
                connection.send(request("POST", self.kind.echo or "/small", [header], b"0\r\n\r\n"))
                connection.send(request("GET", "/blocked"))
                try:
                    while True:
                        connection.response()
                except (Closed, OSError, AssertionError, ValueError):
                    pass
        assert ask(self.address, target="/small").body == self.small

    def case_any_mixture(self):
        """Random sequences in random pieces."""
        for _ in range(int(25 * self.scale)):
            targets = [self.random.choice(["/small", "/other", "/blocked", "/blocked", "/index.html"])
                       for _ in range(self.random.randint(1, 9))]

            def in_pieces(connection, data):
                while data:
                    size = self.random.choice([1, 2, 7, 40, 200, 5000])
                    try:
                        connection.send(data[:size])
                    except OSError:
                        return  # the server has ended it after a refusal: the answers say so
                    data = data[size:]
                    if self.random.random() < 0.2:
                        time.sleep(0.001)
            self.sequence(targets, in_pieces, pieces=True)

    def case_others_are_served(self):
        """A client that never completes its head, and one that was refused and now stays silent, hold up nobody."""
        with Connection(self.address) as silent, Connection(self.address) as unfinished:
            silent.send(request("GET", "/blocked"))
            self.expect(silent, "GET", "/blocked")
            unfinished.send(b"GET /small HTTP/1.1\r\nHost: x\r\nX-")
            for _ in range(5):
                assert ask(self.address, target="/small").body == self.small

    def run(self, only=()):
        """Every case, even after one has failed: which ones fail together says what is wrong."""
        failed = []
        for name in sorted(dir(self)):
            if not name.startswith("case_") or (only and name not in only):
                continue
            if not self.protected and name == "case_ambiguous_framing":
                continue
            try:
                getattr(self, name)()
                print("ok   %s" % name, flush=True)
            except Exception:
                traceback.print_exc(file=sys.stdout)
                print("FAIL %s" % name, flush=True)
                failed.append(name)
        assert not failed, "failed: " + ", ".join(failed)


def settled(box, server):
    """Nothing stays in flight, and the shim counted as many refusals as clients saw."""
    weirtest.until(lambda: all(entry["in_flight"] == 0 for entry in box.figures(time.time())["apps"][0]["resources"]),
                   "nothing in flight any more", 10)


def main(name, scope="process", **options):
    """The test script of one server. Arguments: --bare, and names of cases to run only these."""
    bare = "--bare" in sys.argv
    kind = SERVERS[name]

    def battery():
        print("WEIR_SEED=%d" % SEED)
        with weirtest.Sandbox() as box:
            rules = box.rules({"flow": [dict(rule, scope=scope) for rule in RULES["flow"]]})
            server = box.serve(name, rules, weir=not bare, **options)
            run = Battery(server, not bare)
            run.run(cases)
            if not bare:
                settled(box, server)
                figures = box.resource("GET:/blocked", now=True) or {"total_block": 0, "total_pass": 0}
                assert figures["total_block"] == run.refused or not kind.keeps_alive_when_blocked, \
                    "clients saw %d refusals of GET /blocked, weir says %r" % (run.refused, figures)
                assert figures["total_pass"] == 0 or not kind.keeps_alive_when_blocked, figures
            pids = server.processes()
            assert pids and all(weirtest.alive(pid) for pid in pids), "a process of the server died"

    cases = [argument for argument in sys.argv if argument.startswith("case_")]
    sys.argv = [sys.argv[0]]
    weirtest.main(battery)
