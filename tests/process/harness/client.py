"""A client that sees every byte: requests are sent as given, responses are parsed strictly, nothing is retried."""
import contextlib
import socket
import time


class Closed(Exception):
    """The peer ended the stream before a whole response had come."""


class Response:
    def __init__(self, version, status, headers, body, informational):
        self.version, self.status, self.headers = version, status, headers
        self.body, self.informational = body, informational

    def header(self, name, default=None):
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1 or name.lower() == "set-cookie", "header %s came %d times" % (name, len(values))
        return values[0] if values else default

    @property
    def closes(self):
        tokens = (self.header("connection") or "").lower()
        if self.version == "HTTP/1.0":
            return "keep-alive" not in tokens
        return "close" in tokens

    def __repr__(self):
        return "<%s %d, %d bytes, %r>" % (self.version, self.status, len(self.body), self.headers)


class Connection:
    """`address` is (host, port) or the path of a unix socket."""

    def __init__(self, address, timeout=20.0, receive_buffer=None, source=None):
        family = socket.AF_UNIX if isinstance(address, str) else \
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind(source)
        self.socket.connect(address)
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_slowly(self, data, pause=0.001, piece=1):
        for at in range(0, len(data), piece):
            self.socket.sendall(data[at:at + piece])
            time.sleep(pause)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def _more(self):
        data = self.socket.recv(262144)
        if not data:
            raise Closed("end of stream with %d bytes of a response: %r" % (len(self.received), self.received[:200]))
        self.received += data

    def _line(self):
        while b"\r\n" not in self.received:
            self._more()
        line, self.received = self.received.split(b"\r\n", 1)
        return line.decode("latin-1")

    def bytes(self, count):
        parts, have = [], 0
        while have < count:
            if not self.received:
                self._more()
            part, self.received = self.received[:count - have], self.received[count - have:]
            parts.append(part)
            have += len(part)
        return b"".join(parts)

    def _head(self):
        version, status, _ = (self._line() + " ").split(" ", 2)
        assert version in ("HTTP/1.0", "HTTP/1.1"), "not a status line: %r" % version
        headers = []
        while True:
            line = self._line()
            if not line:
                return version, int(status), headers
            name, _, value = line.partition(":")
            headers.append((name.strip().lower(), value.strip()))

    def _chunked(self):
        body = b""
        while True:
            size = int(self._line().split(";")[0], 16)
            body += self.bytes(size)
            if size == 0:
                while self._line():
                    pass
                return body
            assert self._line() == "", "chunk without its end"

    def _until_end(self):
        try:
            while True:
                self._more()
        except Closed:
            body, self.received = self.received, b""
            return body

    def response(self, method="GET"):
        """The next response. 1xx are collected beside it, 101 is returned as final."""
        informational = []
        while True:
            version, status, headers = self._head()
            if status >= 200 or status == 101:
                break
            informational.append(status)
        response = Response(version, status, headers, b"", informational)
        if method == "HEAD" or status in (101, 204, 304):
            return response
        if "chunked" in (response.header("transfer-encoding") or "").lower():
            response.body = self._chunked()
        elif response.header("content-length") is not None:
            response.body = self.bytes(int(response.header("content-length")))
        else:
            response.body = self._until_end()
        return response

    def ended(self):
        """True when the peer has ended the stream in good order; anything else that comes is an error."""
        assert not self.received, "bytes nobody asked for: %r" % self.received[:200]
        return self.socket.recv(1) == b""


def request(method, target, headers=(), body=None, chunked=False, version="HTTP/1.1", host="weir.test"):
    """The bytes of one request."""
    lines = ["%s %s %s" % (method, target, version), "Host: %s" % host] + ["%s: %s" % pair for pair in headers]
    payload = body or b""
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        payload = b"".join(b"%x\r\n%s\r\n" % (len(payload[at:at + 1000]), payload[at:at + 1000])
                           for at in range(0, len(payload), 1000)) + b"0\r\n\r\n"
    elif body is not None:
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + payload


def ask(address, method="GET", target="/small", **more):
    """One request on a connection of its own."""
    with Connection(address) as connection:
        connection.send(request(method, target, **more))
        return connection.response(method)


def pipelined(address, requests):
    """All of these requests on one connection; the status of each, in order. Where an answer ends the connection (a rejection
    of what the server has a piece of does), those behind it are sent again, as clients do."""
    statuses, left = [], list(requests)
    while left:
        with Connection(address) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(b"".join(left))
            closes = False
            while left and not closes:
                response = connection.response()
                closes = response.closes
                statuses.append(response.status)
                left.pop(0)
    return statuses


def expect(server, requests, wanted):
    """Pipelined, they are answered with these statuses."""
    got = pipelined(server.address, requests)
    assert got == wanted, [(data[:300], *pair) for data, *pair in zip(requests, got, wanted)]


def burst(address, count, data, method="GET"):
    """`count` requests at once, each on a connection that stood before the first was sent.
    Returns the responses and the seconds from the first byte sent to the last received."""
    connections = []
    try:
        for _ in range(count):
            connections.append(Connection(address))
            time.sleep(0.002)  # listen queues are short: let the server accept
        begin = time.monotonic()
        for connection in connections:
            connection.send(data)
        return [connection.response(method) for connection in connections], time.monotonic() - begin
    finally:
        for connection in connections:
            connection.close()


def statuses(responses):
    counts = {}
    for response in responses:
        counts[response.status] = counts.get(response.status, 0) + 1
    return counts
