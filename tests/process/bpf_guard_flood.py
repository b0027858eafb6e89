#!/usr/bin/python3
"""SYNs from addresses that do not answer, far more than the limit: those who do answer get in as without them, and never more than the
limit lets in."""
import os
import random
import socket
import struct
import threading
import time

import weirtest
from harness import bpf
from harness.guard import serve, try_connect, until_guarded

PER_SECOND, FLOOD = 5, 300


class Flood:
    """A SYN every few milliseconds, each from another address of a network that is only for documentation."""

    def __init__(self, port):
        self.port, self.over, self.sent = port, False, 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()
        self.sock.close()

    def _packet(self):
        source = socket.inet_aton("203.0.113.%d" % random.randrange(1, 255))
        target = socket.inet_aton("127.0.0.1")
        tcp = struct.pack("!HHIIBBHHH", random.randrange(1024, 65536), self.port, random.getrandbits(32), 0, 5 << 4, 2, 64240, 0, 0)
        words = struct.unpack("!%dH" % (len(tcp) // 2 + 6), source + target + struct.pack("!HH", 6, len(tcp)) + tcp)
        total = sum(words)
        total = (total & 0xffff) + (total >> 16)
        check = ~(total + (total >> 16)) & 0xffff
        tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:]
        return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), random.getrandbits(16), 0, 64, 6, 0, source, target) + tcp

    def _run(self):
        began = time.monotonic()
        while not self.over:
            if self.sent < (time.monotonic() - began) * FLOOD:
                self.sock.sendto(self._packet(), ("127.0.0.1", 0))
                self.sent += 1
            else:
                time.sleep(0.002)


def most_in_a_second(times):
    return max(sum(1 for other in times if then <= other < then + 1) for then in times)


def honest_clients_get_in(box, place):
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to send SYNs of its own")
    binary = bpf.static_program(box, "hold")
    port = weirtest.free_port()
    place.agent(box.rules({"match": {"exe": binary}, "flow": [{"resource": "tcp::%d" % port, "count": PER_SECOND}]}), needs=("guard",))
    serve(box, binary, port)
    until_guarded(box, "tcp::%d" % port)
    with Flood(port) as flood:
        weirtest.until(lambda: flood.sent >= FLOOD, "the flood")
        weirtest.until(lambda: try_connect(port), "one client to get in", 20, 0.5)
        came = []
        for _ in range(10):  # two in each second and a half: less than the limit
            time.sleep(0.7)
            came.append(try_connect(port))
        assert sum(came) >= 9, "%d of 10 got in" % sum(came)
        # Many at once: as many as the limit says, whatever the kernel reported to their callers of the handshake.
        served, begun = [], threading.Barrier(20)

        def client():
            begun.wait()
            for _ in range(6):
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
                        sock.settimeout(2)
                        if sock.recv(2) == b"hi":
                            served.append(time.monotonic())
                except OSError:
                    time.sleep(0.1)
        clients = [threading.Thread(target=client) for _ in range(20)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        assert served and most_in_a_second(served) <= 2 * PER_SECOND, sorted(served)  # two windows may meet in what a client sees
        assert flood.sent >= 5 * FLOOD
    status = box.weir("status", check=0).stdout
    assert "kernel" in status, status


bpf.main(honest_clients_get_in)
