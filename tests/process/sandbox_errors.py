#!/usr/bin/python3
"""What a call says of bad buffers and of limits of time is what it says without weir, also while a request waits for its turn."""
import json

import weirtest

SERVER = r'''
import ctypes, errno, json, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
class Head(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_size", ctypes.c_uint), ("parts", ctypes.c_void_p), ("count", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("control_size", ctypes.c_size_t), ("flags", ctypes.c_int), ("size", ctypes.c_uint)]
def said(result):
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
def head(fd):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += fd.recv(4096)
def answer(fd):
    fd.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
fd = listener.accept()[0]
room = ctypes.create_string_buffer(4096)
seen = {}
parts = (Part * 2)(Part(ctypes.addressof(room), 8), Part(1, 4096))
seen["the second buffer is bad"] = said(libc.readv(fd.fileno(), parts, 2))
head(fd)
answer(fd)
parts[0].size = 4096
message, limit = Head(parts=ctypes.addressof(parts), count=1), (ctypes.c_long * 2)(0, 100000000)
seen["messages with a limit of time"] = said(libc.recvmmsg(fd.fileno(), ctypes.byref(message), 1, 0, limit))
fd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50000))
seen["it takes too long"] = said(libc.recv(fd.fileno(), room, 4096, 0))
fd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
seen["the buffer is bad"] = said(libc.recv(fd.fileno(), ctypes.c_void_p(1), 4096, 0))
seen["nothing is asked for"] = said(libc.recv(fd.fileno(), room, 0, 0))
seen["its turn"] = said(libc.recv(fd.fileno(), room, 4096, 0))
answer(fd)
print(json.dumps(seen), flush=True)
fd.recv(1)
'''
EXPECTED = {"the second buffer is bad": 8, "it takes too long": "EAGAIN", "the buffer is bad": "EFAULT", "nothing is asked for": 0, "its turn": 1}


def while_a_request_waits():
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        rules = box.rules({"flow": [{"resource": "GET:/queued", "count": 1, "intervalSec": 3, "controlBehavior": "queue", "maxQueueingTimeMs": 20000}]})
        server = box.weir_run("server", rules, ["/usr/bin/python3", "-S", "-c", SERVER, str(port)])
        weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)), "it to listen")
        data = weirtest.request("GET", "/queued")
        with weirtest.Connection(("127.0.0.1", port)) as connection:
            connection.send(data)
            assert connection.response().status == 200
            connection.send(data)
            assert connection.response().status == 200, server.output()
            seen = weirtest.until(lambda: [json.loads(line) for line in server.output().splitlines() if line.startswith("{")], "its words")[0]
        messages = seen.pop("messages with a limit of time")
        assert messages == 1, messages
        assert seen == EXPECTED, seen


if __name__ == "__main__":
    weirtest.main(while_a_request_waits)
