#!/usr/bin/python3
"""Counts per port against transfers whose bytes the test knows: nginx, redis, a static program, IPv6, thousands of short connections,
refused ones, resets, half-closed and unfinished ones, a full accept queue, segments sent again."""
import contextlib
import os
import select
import socket
import struct
import subprocess
import threading

import weirtest
from harness import bpf

TCP_INFO, TOTAL_RETRANS = 11, 100  # offset in struct tcp_info


def connect(address):
    return socket.create_connection(address, timeout=20)


def read_to_end(sock):
    total = 0
    while True:
        part = sock.recv(1 << 16)
        if not part:
            return total
        total += len(part)


def listen(host="127.0.0.1", backlog=64):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    sock.listen(backlog)
    return sock, sock.getsockname()[1]


def pair(host="127.0.0.1"):
    listener, port = listen(host)
    client = connect((host, port))
    server, _ = listener.accept()
    listener.close()
    return client, server, port


def opened_by_kernel():
    """What the kernel itself has counted in this namespace: connections begun, connections accepted."""
    with open("/proc/net/snmp") as table:
        names, values = [line.split() for line in table if line.startswith("Tcp:")]
    return int(values[names.index("ActiveOpens")]), int(values[names.index("PassiveOpens")])


def many_short_ones(place, server, total):
    """Against the kernel's own count: the client opens some that it does not need."""
    active, passive = opened_by_kernel()
    done = subprocess.run(["ab", "-q", "-n", str(total), "-c", "20", server.url + "/small"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    began, came = (now - before for now, before in zip(opened_by_kernel(), (active, passive)))
    assert came >= total, (came, total)
    place.expect("in", server.port, attempts=came, opened=came, closed=came, active=0)
    place.expect("out", server.port, attempts=began, opened=came, closed=came, active=0)


def http(place, address, family):
    """Kept alive and short, small and big: bytes in equal what was sent, bytes out what came back."""
    sent = received = 0
    for requests, path in ((1, b"/small"), (50, b"/small"), (3, b"/big"), (1, b"/nowhere")):
        with connect(address) as sock:
            for number in range(requests):
                last = number == requests - 1
                head = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n" % (path, b"close" if last else b"keep-alive")
                sock.sendall(head)
                sent += len(head)
            received += read_to_end(sock)
    port = address[1]
    place.expect("in", port, family, attempts=4, opened=4, closed=4, active=0, bytes_in=sent, bytes_out=received, refused=0, failed=0)
    place.expect("out", port, family, attempts=4, opened=4, closed=4, active=0, bytes_in=received, bytes_out=sent, refused=0, failed=0)


def counts(place):
    box = place.box

    def nginx():
        http(place, box.serve("nginx", weir=False).address, 4)

    def nginx_ipv6():
        http(place, box.serve("nginx", weir=False, address=("::1", weirtest.free_port())).address, 6)

    def both_on_one_socket():
        listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        port = listener.getsockname()[1]
        for host, family, times in (("127.0.0.1", 4, 3), ("::1", 6, 2)):
            for _ in range(times):
                with connect((host, port)) as client, listener.accept()[0] as server:
                    client.sendall(b"12345")
                    assert server.recv(10) == b"12345"
            place.expect("in", port, family, attempts=times, opened=times, closed=times, bytes_in=5 * times)
        listener.close()

    def redis():
        server = box.serve("redis", weir=False)
        with connect(server.address) as sock:
            command = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n"
            sock.sendall(command * 1000)
            got = 0
            while got < 5000:
                got += len(sock.recv(1 << 16))
        place.expect("in", server.port, opened=1, closed=1, bytes_in=1000 * len(command), bytes_out=5000)

    def static_program():
        binary = os.path.join(box.path, "static")
        source = os.path.join(weirtest.ROOT, "tests", "servers", "server.c")
        done = subprocess.run(["gcc", "-static", "-O1", "-D_GNU_SOURCE", "-I", weirtest.ROOT, "-o", binary, source, "-lpthread"],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        port = weirtest.free_port()
        program = box.start("static", [binary, "threads", str(port)])
        weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not program.running(), "the static server")
        with connect(("127.0.0.1", port)) as sock:
            head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            sock.sendall(head)
            sock.shutdown(socket.SHUT_WR)
            received = read_to_end(sock)
        assert received
        place.expect("in", port, opened=1, closed=1, bytes_in=len(head), bytes_out=received)

    def short_ones():
        many_short_ones(place, box.serve("nginx", weir=False, workers=2), 3000)

    def short_ones_steered():
        """Packets handed from CPU to CPU (RPS): events of one connection overlap, and none of them may be lost."""
        sys_folder = os.path.join(box.path, "sys")
        os.mkdir(sys_folder)
        subprocess.run(["mount", "-t", "sysfs", "sysfs", sys_folder], check=True)
        try:
            with open(sys_folder + "/class/net/lo/queues/rx-0/rps_cpus", "w") as file:
                file.write("%x" % ((1 << min(os.cpu_count(), 2)) - 1))
            many_short_ones(place, box.serve("nginx", weir=False, workers=2), 10000)
        finally:
            with open(sys_folder + "/class/net/lo/queues/rx-0/rps_cpus", "w") as file:
                file.write("0")
            subprocess.run(["umount", sys_folder], check=True)

    def read_while_it_counts():
        """Passes over the open connections while these come, talk and go: no byte is added twice, none is left out."""
        server, threads, each = box.serve("nginx", weir=False, workers=2), 4, 150
        head = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"
        last = head[:-2] + b"Connection: close\r\n\r\n"
        received, done = [0] * threads, threading.Event()

        def talk(number):
            for _ in range(each):
                with connect(server.address) as sock:
                    for text in (head, head, last):
                        sock.sendall(text)
                        if text is head:
                            received[number] += len(sock.recv(1 << 16))
                    received[number] += read_to_end(sock)

        def look():
            while not done.is_set():
                place.rows()
        looker = threading.Thread(target=look)
        talkers = [threading.Thread(target=talk, args=(number,)) for number in range(threads)]
        looker.start()
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join()
        done.set()
        looker.join()
        total = threads * each
        sent, got = total * (2 * len(head) + len(last)), sum(received)
        place.expect("in", server.port, attempts=total, opened=total, closed=total, active=0, bytes_in=sent, bytes_out=got)
        place.expect("out", server.port, attempts=total, opened=total, closed=total, active=0, bytes_in=got, bytes_out=sent)

    def refused():
        port = weirtest.free_port()
        for host, family in (("127.0.0.1", 4), ("::1", 6)):
            for _ in range(7):
                try:
                    connect((host, port))
                    raise AssertionError("somebody listens on %d" % port)
                except ConnectionRefusedError:
                    pass
            place.expect("out", port, family, attempts=7, opened=0, closed=0, refused=7, failed=0)
            assert place.row("in", port, family)["opened"] == 0

    def resets():
        client, server, port = pair()
        client.sendall(b"x" * 100)
        assert len(server.recv(100, socket.MSG_WAITALL)) == 100
        server.sendall(b"unread" * 10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        weirtest.until(lambda: client.recv(1000, socket.MSG_PEEK).__len__() == 60, "the bytes that nobody will read")
        client.close()
        select.select([server], [], [], 20)
        server.close()
        place.expect("in", port, opened=1, closed=1, bytes_in=100, bytes_out=60)
        place.expect("out", port, opened=1, closed=1, bytes_in=60, bytes_out=100)

    def half_closed():
        client, server, port = pair()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(server) == 8
        server.sendall(b"a" * 1000)
        place.expect("in", port, opened=1, closed=0, active=1, bytes_in=8, bytes_out=1000)
        server.sendall(b"b" * 1000)
        server.close()
        assert read_to_end(client) == 2000
        client.close()
        place.expect("in", port, opened=1, closed=1, active=0, bytes_in=8, bytes_out=2000)
        place.expect("out", port, opened=1, closed=1, active=0, bytes_in=2000, bytes_out=8)

    def open_ones_are_told_too():
        client, server, port = pair("::1")
        for number in range(1, 4):
            client.sendall(b"1234567890")
            assert len(server.recv(10, socket.MSG_WAITALL)) == 10
            place.expect("in", port, 6, opened=1, closed=0, active=1, bytes_in=10 * number, bytes_out=0)
            place.expect("out", port, 6, opened=1, closed=0, active=1, bytes_in=0, bytes_out=10 * number)
        client.close()
        server.close()
        place.expect("in", port, 6, opened=1, closed=1, active=0, bytes_in=30, bytes_out=0)

    def full_accept_queue():
        listener, port = listen(backlog=0)
        clients = [socket.socket() for _ in range(6)]
        for client in clients:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(("127.0.0.1", port))

        def dropped():
            found = [one for one in box.control(cmd="ports")["listeners"] if one["port"] == port]
            return found and found[0]["drops"] > 0 and found[0]["waiting"] == 1
        weirtest.until(dropped, "a connection that does not fit")
        place.expect("in", port, opened=1, active=1)
        for sock in clients + [listener]:
            sock.close()
        place.expect("in", port, opened=1, closed=1, active=0)

    def sent_again():
        """A full accept queue drops what would open a connection, and the client has to send it again."""
        listener, port = listen(backlog=0)
        first = connect(("127.0.0.1", port))
        second = socket.socket()
        second.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            second.connect(("127.0.0.1", port))

        def again():
            return struct.unpack_from("I", second.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 256), TOTAL_RETRANS)[0]
        weirtest.until(lambda: again() >= 1, "a repetition")
        servers = [listener.accept()[0]]
        second.setblocking(True)
        servers.append(listener.accept()[0])
        second.sendall(b"z" * 5000)
        assert len(servers[1].recv(5000, socket.MSG_WAITALL)) == 5000
        times = again()
        for sock in [first, second, listener] + servers:
            sock.close()
        place.expect("out", port, attempts=2, opened=2, closed=2, bytes_out=5000, retransmits=times)
        place.expect("in", port, opened=2, closed=2, bytes_in=5000)

    for case in (nginx, nginx_ipv6, both_on_one_socket, redis, static_program, short_ones, short_ones_steered, read_while_it_counts, refused, resets, half_closed,
                 open_ones_are_told_too, full_accept_queue, sent_again):
        case()
        print("     " + case.__name__, flush=True)


def everything():
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        place.agent(box.rules({"flow": []}))
        counts(place)


weirtest.main(everything)
