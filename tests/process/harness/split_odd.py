"""A rejected request by other words than usual, and clients that end in the middle of it: cases of harness/split.py. What the
client gets is up to the server; it never executes the request."""
import contextlib
import socket
import struct
import time

import weirtest
from harness.client import Connection, request
from harness.watched import all_read

FREE, REJECTED, STUCK = "/other", "/blocked", "/index.html"

ODD = ([b"\r\n", b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"], [b"\r\n", b"GET %s HTTP/1.1\r\n", b"Host: x\r\n\r", b"\n"],
       [b"\r", b"\nGET %s HTTP/1.1\r\nHost: x\r\n\r\n"], [b"GET %s HTTP/1.0\r\n", b"\r\n"], [b"GET %s HTTP/1.0\r\n\r", b"\n"],
       [b"GET %s HTTP/1.1\r", b"\nHost: x\r", b"\n\r", b"\n"],
       [b"GET /other HTTP/1.1\r\nHost: x\r\n\r\nGET %s HT", b"TP/1.1\r\nHost: x\r\n\r", b"\n"],
       [b"GET %s HTTP/1.1\r\nHost: x\r\nX: ", b"x" * 9000, b"\r\n\r\n"],
       [b"GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r", b"\nab", b"cde"])


class OddHeads:
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
            beginnings = (b"GET %s HTTP/1.1\r\nHost: x\r\n", b"GET %s HTTP/1.1\r\n", b"GET %s HTTP/1.1", b"GET %s",
                          b"GET %s HTTP/1.1\r\nHost: x\r\n\r", b"GET %s HTTP/1.0\r\n", b"GET %s HTTP/1.1\r\nHost: x")
            self.in_parallel([(self.ends_inside, beginning, again) for beginning in beginnings for again in (False, True)])

    def leaves(self, way):
        """A client that does not wait to the end for its turn: reset, closed, or with its own side ended."""
        connection = Connection(self.address, timeout=40)
        target = self.target(STUCK, "leaves")
        self.rejected.add(target)
        connection.send(request("GET", target))
        weirtest.until(lambda: all_read([connection]), "the head to be read")
        if way == "half":
            self.everything(connection, True)
        elif way == "reset":
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def case_leaves_while_waiting(self):
        if self.protected:
            with Connection(self.address) as first:  # has the only turn
                target = self.target(STUCK, "first")
                first.send(request("GET", target))
                self.expect_success(first, target)
            self.in_parallel([(self.leaves, way) for way in ("half", "close", "reset") * 3])

    def case_rejected_clients_stay(self):
        """Their connections are over for the server, and numbers of descriptors are used again: what they still send is no one
        else's."""
        if not self.protected:
            return
        staying = []
        try:
            for _ in range(min(self.kind.lanes, 12)):
                staying.append(Connection(self.address, timeout=40))
                target = self.target(REJECTED, "stays")
                self.rejected.add(target)
                head = request("GET", target)
                staying[-1].send(head[:30])
                weirtest.until(lambda: all_read(staying[-1:]), "a piece to be read")
                staying[-1].send(head[30:])
                assert staying[-1].response().status == 429
                for old in staying:
                    with contextlib.suppress(OSError):
                        old.send(b"junk\r\n\r\n")
                for _ in range(3):
                    with Connection(self.address, timeout=40) as innocent:
                        self.ask(innocent, FREE, "innocent")
        finally:
            for connection in staying:
                connection.close()

    def odd(self, pieces):
        with Connection(self.address, timeout=40) as connection:
            target = self.target(REJECTED, "odd")
            self.rejected.add(target)
            try:
                for piece in pieces:
                    time.sleep(0.03)
                    connection.send(piece.replace(b"%s", target.encode()))
            except OSError:
                pass  # ended by the server, or by weir
            self.everything(connection, True)

    def case_odd_heads(self):
        """The same request in other words, and in pieces where they hurt."""
        if self.protected:
            self.in_parallel([(self.odd, pieces) for pieces in ODD])

    def without_version(self, path, pieces, again=False):
        with Connection(self.address, timeout=40) as connection:
            if again and not self.ask(connection, FREE, "before"):
                return
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
        self.in_parallel([(self.without_version, path, pieces) for pieces in cases for path in (FREE, REJECTED)] +
                         [(self.without_version, REJECTED, pieces, True) for pieces in cases])
