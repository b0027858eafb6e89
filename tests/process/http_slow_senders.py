#!/usr/bin/python3
"""Ten thousand clients that send slowly, heads that never end, heads of 64 KiB, ten thousand requests in one pipeline: memory
stays bounded and is used again, and everybody else is served meanwhile. (Fewer where the limit of open files says so.)
# timeout: 600"""
import resource
import selectors
import socket

import weirtest

MOST, KIB = 10000, 1024
BEGINNING = b"GET /small HTTP/1.1\r\nHost: weir.test\r\nX-Filler: " + b"x" * 150
REST = b"\r\n\r\n"


def clients_possible():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, MOST + 2500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))  # the servers inherit it
    return min(MOST, wanted - 2500)


def memory_kib(server):
    """Of all of its processes: what they have of their own (not shared memory, not files)."""
    total = 0
    for pid in server.processes():
        with open("/proc/%d/status" % pid) as status:
            total += sum(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))
    return total


def others_are_served(server, steady):
    assert weirtest.ask(server.address).status == 200
    steady.send(weirtest.request("GET", "/small"))
    assert steady.response().status == 200


def receive_all(sockets):
    """The first bytes that come on each, b"" where it ended."""
    answers = {}
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            selector.register(sock, selectors.EVENT_READ)
        while len(answers) < len(sockets):
            ready = selector.select(60)
            assert ready, "%d of %d clients were answered" % (len(answers), len(sockets))
            for key, _ in ready:
                try:
                    answers[key.fileobj] = key.fileobj.recv(65536)
                except ConnectionResetError:
                    answers[key.fileobj] = b""
                selector.unregister(key.fileobj)
    return [answers[sock] for sock in sockets]


def slow_clients(server, count):
    """All at once in the middle of a head, then a byte more each, then the end. Returns the memory when all of them wait."""
    with weirtest.Connection(server.address, timeout=60) as steady:
        others_are_served(server, steady)
        clients = []
        try:
            for number in range(count):
                clients.append(socket.create_connection(server.address))
                clients[-1].sendall(BEGINNING)
                if number % 2000 == 0:
                    others_are_served(server, steady)
            for _ in range(2):
                for client in clients:
                    client.sendall(b"x")
                others_are_served(server, steady)
            memory = memory_kib(server)
            for client in clients:
                client.sendall(REST)
            answers = receive_all(clients)
        finally:
            for client in clients:
                client.close()
        wrong = [answer for answer in answers if not answer.startswith(b"HTTP/1.1 200")]
        assert not wrong, "%d of %d: %r" % (len(wrong), count, wrong[:3])
        others_are_served(server, steady)
    return memory


def long_heads(server, lengths):
    """A head of that many bytes each, and no end to it: the server is asked to decide, or weir gives up; nobody waits."""
    with weirtest.Connection(server.address, timeout=60) as steady:
        clients = []
        for length in lengths:
            clients.append(socket.create_connection(server.address))
            clients[-1].settimeout(60)
            line = b"X-Filler: " + b"x" * 1000 + b"\r\n"
            head = (b"GET /small HTTP/1.1\r\nHost: weir.test\r\n" + line * (length // len(line) + 1))[:length]
            try:
                clients[-1].sendall(head)
            except OSError:
                pass  # the server has had enough of it
        others_are_served(server, steady)
        memory = memory_kib(server)
        for client in clients:
            client.close()
        others_are_served(server, steady)
    return memory


def pipeline(server, count, filler, refused=0):
    """Answers to all of them, in order; the number of them. `refused`: one of so many is answered by weir, and ends the
    connection if the server had a piece of it before."""
    with weirtest.Connection(server.address, timeout=120) as connection, weirtest.Connection(server.address, timeout=60) as steady:
        def is_refused(number):
            return refused and number % refused == refused - 1
        more = [("X-Filler", "x" * filler)] if filler else []
        data = b"".join(weirtest.request("GET", "/blocked" if is_refused(number) else "/small", headers=more) for number in range(count))
        connection.socket.setblocking(False)
        sent, seen = 0, []
        with selectors.DefaultSelector() as selector:
            selector.register(connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while sent < len(data):
                events = selector.select(60)
                assert events, "nothing moves any more: %d of %d bytes were taken" % (sent, len(data))
                try:
                    if events[0][1] & selectors.EVENT_READ:
                        connection.received += connection.socket.recv(262144)
                    if events[0][1] & selectors.EVENT_WRITE:
                        sent += connection.socket.send(data[sent:sent + 262144])
                except (BrokenPipeError, ConnectionResetError):
                    break
        others_are_served(server, steady)
        connection.socket.settimeout(60)
        for _ in range(count):
            response = connection.response()
            seen.append(response.status)
            if response.closes:
                assert response.status == 429, response
                break
        wrong = [number for number, status in enumerate(seen) if status != (429 if is_refused(number) else 200)]
        assert not wrong, "out of order from %d on" % wrong[0]
    return len(seen)


def on(kind, count, **options):
    count = min(count, clients_possible())
    with weirtest.Sandbox() as box:
        bare = slow_clients(box.serve(kind, weir=False, **options), count)
    with weirtest.Sandbox() as box:
        server = box.serve(kind, box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}, {"resource": "GET:/small", "count": 1e9}]}),
                           **options)
        first = slow_clients(server, count)
        assert first - bare <= count * 4 + 16 * KIB, "%d KiB for %d slow clients, bare %d" % (first, count, bare)
        second = slow_clients(server, count)
        assert second <= first + 8 * KIB, "%d KiB the second time, %d the first" % (second, first)
        long = long_heads(server, [60 * KIB] * 100 + [65 * KIB] * 100 + [300 * KIB] * 20)
        assert long <= first + 220 * 130 + 16 * KIB, "%d KiB with long heads" % long
        assert pipeline(server, 10000, 300) == 10000
        assert pipeline(server, 10000, 0) == 10000
        assert pipeline(server, 10000, 0, refused=10) >= 10
        pipelined = memory_kib(server)
        assert pipelined <= first + 220 * 130 + 24 * KIB, "%d KiB after a pipeline" % pipelined
        names = ("GET:/small", "GET:/blocked")
        weirtest.until(lambda: box.in_flight(*names) == 0, "nothing in flight any more")
        print("result: %s: %d slow clients: %.1f MiB bare, %.1f under weir, %.1f the second time; %.1f with long heads, "
              "%.1f after 10000 pipelined requests" % ((kind, count) + tuple(n / KIB for n in (bare, first, second, long, pipelined))))


def nginx():
    on("nginx", MOST, connections=MOST + 2000, main="worker_rlimit_nofile %d;" % (MOST + 2500))


def asyncio():
    on("asyncio", 1000)


weirtest.main(nginx, asyncio)
