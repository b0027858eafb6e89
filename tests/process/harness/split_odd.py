"""A rejected request by other words than usual, and clients that end in the middle of it: cases of harness/split.py. What the
client gets is up to the server; it never executes the request."""
import time

from harness.client import Connection

FREE, REJECTED = "/other", "/blocked"

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
