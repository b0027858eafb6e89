"""Two opinions about where a request ends, on real servers: the corpus of tests/smuggling.h, each case with a request behind
it that a rule forbids. By default no server ever sees that one: what leaves room for two opinions is refused, and what is only odd
is judged. With `strictHttp: opaque` a stream that leaves room for two opinions passes unseen, and is counted as such: a server
sees the forbidden one there only. And none sees more requests than weir has let through."""
import os
import re
import select
import socket
import subprocess
import time

import weirtest

FORBIDDEN = {"flow": [{"resource": "GET:/smuggled", "count": 0}]}
CORPUS = os.path.join(weirtest.BUILD, "tests", "servers", "smuggling_corpus")


def corpus(*groups):
    lines = subprocess.run([CORPUS], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    cases = [line.split("\t") for line in lines]
    return [(name, bytes.fromhex(case), bytes.fromhex(behind).replace(b"/smuggled ", b"/smuggled?%d " % number))
            for number, (group, name, case, behind) in enumerate(cases) if group in groups]


def options(kind, log):
    """Each server's own way to say what it took for a request."""
    if kind == "nginx":
        return {"http": "log_format seen '$request_method $request_uri $status';", "server": "access_log %s seen;" % log}
    if kind == "lighttpd":
        return {"more": 'accesslog.filename = "%s"\naccesslog.format = "%%m %%U %%s"' % log}
    return {"env": {"REQUEST_LOG": log}}


class Client:
    """One case: its bytes, then those of the request behind it, then the end; what comes back, until the server ends it."""

    def __init__(self, address, name, case, behind):
        self.name, self.pieces, self.answer, self.ended = name, [case, behind], b"", False
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self):
        try:
            if self.pieces:
                self.socket.sendall(self.pieces.pop(0))
            else:
                self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was told to go

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        self.answer += data
        self.ended = self.ended or not data


def converse(address, cases, whole):
    """All cases at once. `whole`: each in one piece."""
    clients = [Client(address, name, case + behind if whole else case, b"" if whole else behind) for name, case, behind in cases]
    for _ in range(3):
        for client in clients:
            client.send()
        time.sleep(0.05)  # most servers read them in pieces then; when they do not, that is a case as good
    end = time.monotonic() + 60
    while not all(client.ended for client in clients) and time.monotonic() < end:
        waiting = [client for client in clients if not client.ended]
        for ready in select.select([client.socket for client in waiting], [], [], 0.5)[0]:
            next(client for client in waiting if client.socket is ready).receive()
    for client in clients:
        client.socket.close()
    return clients


def seen_by(log):
    """(how many requests, the numbers of the forbidden ones); a server's own 400 is one that it did not take."""
    try:
        with open(log, errors="replace") as file:
            taken = [line for line in file if line.split() and line.split()[-1] not in ("400", "505")]
    except FileNotFoundError:
        return 0, []
    return len(taken), re.findall(r" /smuggled[?](\d+)", "".join(taken))


def names(numbers):
    """Of cases by the number in the forbidden request's target."""
    return sorted({name for name, _, behind in corpus("heads", "chunks", "odd", "valid") for number in numbers if b"?%s " % number.encode() in behind})


def counted(box, what):
    return sum(process[what] for process in box.app_status()["processes"])


class Trial(weirtest.Sandbox):
    def run(self, kind, rules, cases, **more):
        port = weirtest.free_port()
        log = os.path.join(self.path, "log", "requests")
        os.makedirs(os.path.dirname(log))
        os.chmod(os.path.dirname(log), 0o777)
        server = self.serve(kind, self.rules(rules), address=("127.0.0.1", port), **dict(options(kind, log), **more))
        clients = converse(server.address, cases, True)
        if server.kind.keeps_alive_when_blocked:  # on a blocking descriptor what comes too slowly passes undecided
            clients += converse(server.address, cases, False)
        self.count = len(clients)
        weirtest.ask(server.address)
        weirtest.until(lambda: seen_by(log)[0] > 0, "the server's log")
        figures = self.resource("http::%d" % port, now=True)
        self.passed, self.given_up = figures["total_pass"], counted(self, "undecided")
        self.malformed = counted(self, "malformed")
        server.program.kill(15)  # lighttpd writes its log when it ends
        server.program.wait()
        self.seen, self.smuggled = seen_by(log)
        return clients


def on(kind, **more):
    ambiguous, fine = corpus("heads", "chunks"), corpus("odd", "valid")
    with Trial() as box:  # ambiguous framing is refused
        clients = box.run(kind, FORBIDDEN, ambiguous + fine, **more)
        assert not box.smuggled, "%s took forbidden requests, behind: %s" % (kind, names(box.smuggled))
        assert box.seen <= box.passed, "%s took %d requests, weir let %d pass" % (kind, box.seen, box.passed)
        assert box.given_up == 0, box.given_up
        rounds = len(clients) // len(ambiguous + fine)
        assert box.malformed == rounds * len(ambiguous), (box.malformed, rounds, len(ambiguous))
        heads = {name for name, _, _ in corpus("heads")}
        for client in clients:
            assert client.name not in heads or client.answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 ")), (client.name, client.answer[:300])
    with Trial() as box:  # ambiguous framing passes, and is known to
        box.run(kind, dict(FORBIDDEN, options={"strictHttp": "opaque"}), ambiguous, **more)
        assert box.given_up == box.count, "%d of %d streams were given up" % (box.given_up, box.count)
        assert len(box.smuggled) <= box.given_up, (names(box.smuggled), box.given_up)
        print("result: %s: of %d ambiguous streams %d passed unseen, with %d requests behind them; none by default" % (
            kind, box.count, box.given_up, len(box.smuggled)))
    with Trial() as box:  # what is in order, or only odd, leaves no doubt
        box.run(kind, FORBIDDEN, fine, **more)
        assert not box.smuggled, "%s took forbidden requests, behind: %s" % (kind, names(box.smuggled))
        assert box.seen <= box.passed, "%s took %d requests, weir let %d pass" % (kind, box.seen, box.passed)
        assert box.given_up == box.malformed == 0, (box.given_up, box.malformed)
