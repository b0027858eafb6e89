"""Odd requests for a forbidden resource, on real servers with weir's default options: what reaches the bare server must
not reach the protected one. Each case carries a nonce of its own, which is looked for in the server's own record and in its
answers; what the bare server does not take for a request for /blocked proves nothing, and is not counted. Beside them ordinary
requests that are only unusual: what the bare server serves is served by the protected one, too."""
import contextlib
import os
import re
import select
import socket
import time

import weirtest
from harness import odd_requests, watched

FORBIDDEN = {"flow": [{"resource": "GET:/blocked", "count": 0}]}
QUIET_S, PATIENCE_S, MOST = 0.1, 5, 120
STATUS = ("nginx", "lighttpd", "apache", "tomcat", "http.server", "haproxy")  # whose records say how a request ended
SERVED = re.compile(rb"(?:^|\n)blocked\n")
ANSWER = re.compile(rb"(?:^|\n|\r)HTTP/1\.[01] (\d\d\d)")


class Case:
    """One text on one connection: its pieces, then the end; what comes back until the server ends it."""

    def __init__(self, number, name, text, path):
        self.name, self.nonce = name, "n%dx" % number
        query = b"?n=" + self.nonce.encode()
        text = text.replace(b"@T", path + query).replace(b"@Q", query)
        self.pieces, self.answer, self.ended, self.socket = text.split(b"@|"), b"", False, None

    def connect(self, address):
        self.socket = socket.create_connection(address, timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self):
        with contextlib.suppress(OSError):  # the other side may have ended it
            if self.pieces:
                self.socket.sendall(self.pieces.pop(0))

    def end(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        self.answer += data
        self.ended = not data

    def is_answered(self):
        return any(status >= 200 for status in self.statuses())

    def statuses(self):
        return [int(status) for status in ANSWER.findall(self.answer)]


def listen(cases, seconds, answers=False):
    """Until all are ended (or `answers`: answered), or nothing comes for so long."""
    while True:
        waiting = {case.socket: case for case in cases if not case.ended and not (answers and case.is_answered())}
        ready = select.select(waiting, [], [], seconds)[0] if waiting else []
        if not ready:
            return
        for each in ready:
            waiting[each].receive()


def hold(address, cases, lanes, answers=False):
    """All conversations, so many at a time. A server that is slow costs cases that count, and makes none fail. `answers`: none ends
    before it is answered."""
    for first in range(0, len(cases), lanes):
        wave = cases[first:first + lanes]
        for case in wave:
            case.connect(address)
        while any(case.pieces for case in wave):
            for case in wave:
                case.send()
            listen(wave, QUIET_S)
        if answers:
            listen(wave, PATIENCE_S, True)
        for case in wave:
            case.end()
        listen(wave, PATIENCE_S)
        for case in wave:
            case.socket.close()


def recorded(server, name):
    """The nonces of requests that the server took for such ones for /blocked, as its record has it."""
    found = set()
    if not os.path.exists(server.requests_log):
        return found
    with open(server.requests_log, errors="replace") as file:
        for line in file:
            nonce = re.search(r"[?]n=(n\d+x)", line)
            if not nonce:
                continue
            if name.startswith(STATUS):
                status = re.findall(r" (\d\d\d)\b", line[nonce.end():])
                if status and status[-1] in ("200", "009"):
                    found.add(nonce.group(1))
            elif re.search(r"\w+ /blocked[?]n=", line):
                found.add(nonce.group(1))
    return found


def phase(box, name, weir, options=None):
    """Returns the odd cases' nonces that reached the server, and the ordinary ones' statuses."""
    server = watched.start(box, name, dict(FORBIDDEN, options=options or {}), weir=weir)
    lanes = server.kind.lanes if server.kind.lanes < 40 else MOST  # beyond its backlog connections come late
    odd = [Case(number, case, text, b"/blocked") for number, (case, text) in enumerate(odd_requests.odd())]
    ordinary = [Case(10000 + number, case, text, b"/small") for number, (case, text) in enumerate(odd_requests.ORDINARY.items())]
    assert weirtest.ask(server.address, target="/other").status == 200
    hold(server.address, ordinary, lanes, True)
    hold(server.address, odd, lanes)
    counts = {what: sum(process[what] for process in box.app_status()["processes"])
              for what in ("undecided", "malformed")} if weir else {}
    watched.stop(server)
    reached = recorded(server, name) | {case.nonce for case in odd if SERVED.search(case.answer)}
    return {case.name for case in odd if case.nonce in reached}, {case.name: case.statuses() for case in ordinary}, counts


def on(name, least, options=None):
    """`least`: so many of the odd requests must reach the bare server. `options`: of the rules file, by default all defaults."""
    begin = time.monotonic()
    with weirtest.Sandbox() as box:
        bare, served, _ = phase(box, name, False)
    with weirtest.Sandbox() as box:
        protected, still_served, counts = phase(box, name, True, options)
    total = len(odd_requests.odd())
    print("result: %s: of %d odd requests %d reach the bare server, %d the protected one (%d refused as malformed, %d undecided), %.0f s"
          % (name, total, len(bare), len(protected), counts["malformed"], counts["undecided"], time.monotonic() - begin), flush=True)
    refused = {case: (answers, still_served[case]) for case, answers in served.items()
               if any(200 <= status < 300 for status in answers) and still_served[case] != answers}
    problems = ["reached %s under a rule of count 0: %s" % (name, sorted(protected))] if protected else []
    problems += ["%s served these bare, and not under weir: %s" % (name, refused)] if refused else []
    problems += ["only %d of %d odd requests reach %s" % (len(bare), total, name)] if len(bare) < least else []
    assert not problems, "\n".join(problems)
