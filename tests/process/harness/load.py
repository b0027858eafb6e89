"""Load with a record of every request, so that what was admitted in a second can be *proved*, not estimated.

A request sent at `sent` and answered at `answered` was decided somewhere between. Only requests that lie wholly inside an
interval are counted for it: whatever the scheduler does to this client, a count above the threshold is a real one."""
import bisect
import multiprocessing
import os
import select
import socket
import subprocess
import re
import time


def _connect(address):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.connect(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


class _Client:
    def __init__(self, address, data):
        self.address, self.data = address, data
        self.socket, self.buffer, self.sent = _connect(address), b"", 0.0

    def ask(self):
        self.sent = time.monotonic()
        self.socket.send(self.data)

    def answer(self):
        """None while incomplete, else (status, closes)."""
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        lower = head.lower()
        found = re.search(rb"\r\ncontent-length: *(\d+)", lower)
        length = int(found.group(1)) if found else 0
        if len(rest) < length:
            return None
        self.buffer = rest[length:]
        return int(head[9:12]), b"\r\nconnection: close" in lower or head.startswith(b"HTTP/1.0")


def _drive(address, data, connections, seconds, pause, out):
    """Closed loop: each connection asks again `pause` seconds after its answer."""
    records, errors = [], 0
    poll, clients = select.epoll(), {}

    def add():
        client = _Client(address, data)
        clients[client.socket.fileno()] = client
        poll.register(client.socket, select.EPOLLIN)
        return client

    def drop(client):
        poll.unregister(client.socket)
        del clients[client.socket.fileno()]
        client.socket.close()

    end = time.monotonic() + seconds
    due = []
    for _ in range(connections):
        add().ask()
    while time.monotonic() < end:
        wait = 0.05
        if due:
            wait = max(0.0, min(wait, due[0][0] - time.monotonic()))
        for fd, _ in poll.poll(wait):
            client = clients.get(fd)
            if client is None:
                continue
            try:
                received = client.socket.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                received = b""
            if not received:
                errors += 1
                drop(client)
                add().ask()
                continue
            client.buffer += received
            answer = client.answer()
            if answer is None:
                continue
            records.append((client.sent, time.monotonic(), answer[0]))
            if answer[1]:
                drop(client)
                client = add()
            if pause:
                due.append((time.monotonic() + pause, client))
            else:
                client.ask()
        now = time.monotonic()
        while due and due[0][0] <= now:
            _, client = due.pop(0)
            if client.socket.fileno() in clients:
                client.ask()
    for client in list(clients.values()):
        drop(client)
    out.send((records, errors))
    out.close()


class Load:
    """Runs in a process of its own. `pause` bounds the rate: connections / (pause + response time)."""

    def __init__(self, address, data, connections=16, seconds=5.0, pause=0.0):
        receive, send = multiprocessing.Pipe(False)
        self.pipe = receive
        self.process = multiprocessing.Process(target=_drive, daemon=True,
                                               args=(address, data, connections, seconds, pause, send))
        self.process.start()
        send.close()

    def result(self):
        try:
            self.records, self.errors = self.pipe.recv()
        except EOFError:
            raise AssertionError("the load generator died (status %s)" % self.process.exitcode)
        self.process.join()
        return self

    def count(self, status):
        return sum(1 for record in self.records if record[2] == status)

    def most_in_a_second(self, status=200, seconds=1.0):
        """The largest number of requests with this status that provably fell into one interval of `seconds`."""
        chosen = sorted(record for record in self.records if record[2] == status)
        best = 0
        answered = []  # of those sent at or after the start being looked at, sorted
        for sent, done, _ in reversed(chosen):
            bisect.insort(answered, done)
            best = max(best, bisect.bisect_left(answered, sent + seconds))
        return best

    def active_seconds(self):
        """For how long there were answers at all: a machine that stood still meanwhile let nothing through, nor asked."""
        return len({int(done * 10) for _, done, _ in self.records}) / 10

    def spread(self, status=200):
        chosen = [record for record in self.records if record[2] == status]
        return (max(r[1] for r in chosen) - min(r[0] for r in chosen)) if chosen else 0.0


class Wrk:
    """wrk in the background; its figures as attributes after result()."""

    def __init__(self, url, seconds, connections=32, threads=1, headers=()):
        command = ["wrk", "-t%d" % threads, "-c%d" % connections, "-d%ds" % seconds, "--timeout", "10s"]
        for header in headers:
            command += ["-H", header]
        self.process = subprocess.Popen(command + [url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=dict(os.environ, LC_ALL="C"))
        self.seconds = seconds

    def running(self):
        return self.process.poll() is None

    def result(self):
        self.text = self.process.communicate(timeout=self.seconds + 60)[0]
        assert self.process.returncode == 0, "wrk failed: " + self.text
        self.requests = int(re.search(r"(\d+) requests in", self.text).group(1))
        other = re.search(r"Non-2xx or 3xx responses: (\d+)", self.text)
        self.not_2xx = int(other.group(1)) if other else 0
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", self.text)
        self.socket_errors = sum(map(int, errors.groups())) if errors else 0
        self.per_second = float(re.search(r"Requests/sec: +([\d.]+)", self.text).group(1))
        return self
