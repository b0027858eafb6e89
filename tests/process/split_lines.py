#!/usr/bin/python3
"""What is not HTTP, or no longer: every byte is with the program at once, however little it is and however much it looks like the
beginning of a request. Each conversation is held with the bare server, too, in the same words."""
import sys
import time

import weirtest
from harness import watched
from harness.client import Connection, request
from queue_servers import at_once

FREE = request("GET", "/other")
DELAY_S = 0.03  # what takes as long every time is delayed on purpose


def quoted(line):
    """What programs/line_server.py says to a line."""
    return b"%r\r\n" % line


QUIT = [(b"quit\n", quoted(b"quit\n")), None]  # the end is to come
LINES = [[(line, quoted(line)) for line in lines] + QUIT for lines in (
    [b"\r\n", b" \n", b"GET / HTTP/1.0\r\n"], [b"GET /other HTTP/1.0\r\n"], [b"GET /other\r\n"], [b"/W user\r\n"], [b"\n", b"\n"],
    [b"POST / HTTP/1.1\r\n", b"Host: x\r\n"], [b"PRI * \r\n"], [b"SET /key x\r\n"])]
LINES += [[(b" ", b""), (b"\n", quoted(b" \n")), (b"user", b""), (b"@host\r\n", quoted(b"user@host\r\n"))] + QUIT,
          [(b"G", b""), (b"ET\r", b""), (b"\n", quoted(b"GET\r\n"))] + QUIT]

ERROR, VERSION = b"ERROR\r\n", b"VERSION "
MEMCACHED = [[(b" \n", ERROR), (b"\r\n", ERROR), (b"version\r", b""), (b"\n", VERSION)],
             [(b"\r\n", ERROR), (b"get", b""), (b" x\r\n", b"END\r\n"), (b"set a 0 0 3\r\n", b""), (b"abc", b""),
              (b"\r\n", b"STORED\r\n"), (b"get a\r\n", b"VALUE a 0 3\r\nabc\r\nEND\r\n")],
             [(b"GET / HTTP/1.0\r\n", b""), None],
             [(b"set b 0 0 18\r\n", b""), (b"GET / HTTP/1.0\r\n\r\n", b""), (b"\r\n", b"STORED\r\n"),
              (b"get b\r\n", b"VALUE b 0 18\r\nGET / HTTP/1.0\r\n\r\n\r\nEND\r\n")]]

PONG, NONE = b"+PONG\r\n", b"$-1\r\n"
WRONG = b"-ERR wrong number of arguments for 'get' command\r\n"
REDIS = [[(b"PING\r\n", PONG), (b"PI", b""), (b"NG\r", b""), (b"\n", PONG), (b"\r\n", b""), (b"PING\n", PONG)],
         [(b"\r\n", b""), (b" \n", b""), (b"GET k\r\n", NONE), (b"GET / HTTP/1.0\r\n", WRONG)],
         [(b"GET / HTTP/1.0\r\n", WRONG), (b"Host: x\r\n", b""), None],
         [(b"*1\r\n", b""), (b"$4\r\nPI", b""), (b"NG\r\n", PONG)],
         [(b"GET k\r\nGET", NONE), (b" k\r\n", NONE)]]

UPGRADE = request("GET", "/upgrade", [("Connection", "Upgrade"), ("Upgrade", "echo")])
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
ECHO = [(UPGRADE, SWITCHED)] + [(data, data) for data in (b"G", b"ET /blocked HT", b"TP/1.1\r\n", b"\r\n", b" \n", b"PRI *", b"\x00")]
EARLY = [(UPGRADE + b"GET /bl", SWITCHED + b"GET /bl"), (b"ocked", b"ocked")]  # with the request that asks for the change

NO_REQUEST = [[(FREE, b"HTTP/1.1 200 "), (data, b"HTTP/1.1 400 "), None]
              for data in (b"\x01\x02\x03 /other HTTP/1.1\r\n\r\n", b"GET /other HTTP/1.1\r\n: x\r\nHost: x\r\n\r\n")]

CASES = [("lines", LINES), ("nginx-stream", LINES), ("memcached", MEMCACHED), ("redis", REDIS),
         ("threading", [ECHO]), ("asyncio", [ECHO, EARLY]), ("node", [ECHO, EARLY]), ("node", NO_REQUEST), ("nginx", NO_REQUEST),
         ("haproxy", NO_REQUEST), ("apache-event", NO_REQUEST)]


def talk(address, conversation):
    """Each piece is sent when the answer to the one before it has come; the longest that an answer took, in seconds. Of an answer
    that is given up to a blank the rest may be anything."""
    longest = 0
    with Connection(address, timeout=20) as connection:
        for turn in conversation:
            if turn is None:
                assert_end(connection)
                break
            data, answer = turn
            begin = time.monotonic()
            connection.send(data)
            while len(connection.received) < len(answer):
                try:
                    connection._more()
                except TimeoutError:
                    raise AssertionError("no answer to %r" % data)
            longest = max(longest, time.monotonic() - begin)
            assert connection.received.startswith(answer), (data, connection.received, answer)
            connection.received = b"" if answer.endswith(b" ") else connection.received[len(answer):]
            if not data.endswith(b"\n") and not answer:
                time.sleep(0.005)  # pieces are to be pieces
    return longest


def assert_end(connection):
    try:
        while connection.socket.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        raise AssertionError("the connection goes on")


def converse(name, conversations):
    rules = {"flow": [{"resource": "GET:/blocked", "count": 0}, {"resource": "GET:/other", "count": 1e9}]}
    for weir in (False, True):
        with weirtest.Sandbox() as box:
            server = watched.start(box, name, rules, weir=weir)
            failures = []
            for conversation in conversations:
                try:
                    assert any(talk(server.address, conversation) < DELAY_S for _ in range(30)), "an answer is delayed every time"
                except Exception as error:
                    failures.append("%s %s: %s: %s" % (name, "under weir" if weir else "bare", type(error).__name__, error))
            assert not failures, "\n".join(["%d of %d:" % (len(failures), len(conversations))] + failures)


if __name__ == "__main__":
    chosen = [case for case in CASES if case[0] in sys.argv[1:]] or CASES
    sys.argv = [sys.argv[0]]
    weirtest.main(at_once(converse, chosen, most=3))
