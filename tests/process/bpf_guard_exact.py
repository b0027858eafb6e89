#!/usr/bin/python3
"""Limits in the kernel are exact: so many connections at a time and no more, however many race for the last place; places of those
who never came are given back; and a thousand a second is a thousand in any second."""
import bisect
import concurrent.futures
import socket
import struct
import time

import weirtest
from harness import bpf
from harness.guard import in_flight, nearly, passed, serve, total, try_connect, until_guarded


def concurrency(box, place):
    binary = bpf.static_program(box, "hold")
    port = weirtest.free_port()
    resource = "tcp::%d" % port
    rules = box.rules({"match": {"exe": binary}, "isolation": [{"resource": resource, "count": 5}]})
    place.agent(rules, needs=("guard",))
    serve(box, binary, port)
    until_guarded(box, resource)
    held = []
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(lambda _: try_connect(port, "127.0.0.1", held), range(60))) == 5
    assert passed(port, 5, "::1") == 0
    weirtest.until(lambda: in_flight(box, resource) == 5, "five in flight in the figures")
    for sock in (held.pop(), held.pop()):
        sock.close()
    again = []
    weirtest.until(lambda: try_connect(port, "::1", again) and len(again) == 2, "two places to become free")
    assert passed(port, 5) == 0
    box.edit(rules, {"match": {"exe": binary}, "flow": [{"resource": resource, "grade": "thread", "count": 7, "id": "x"}]})
    for sock in held + again:
        sock.close()
    weirtest.until(lambda: in_flight(box, resource) == 0, "all of them to be closed")
    nearly(passed(port, 10, hold=held), 7)
    for sock in held:
        sock.close()



def syn(port, source_port):
    """The first packet of a connection that nobody goes on with: what the server answers is met by a reset."""
    source, target = socket.inet_aton("127.0.0.5"), socket.inet_aton("127.0.0.1")

    def header(checksum):
        return struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 1024, checksum, 0)
    words = struct.unpack("!16H", source + target + struct.pack("!HH", 6, 20) + header(0))
    total = sum(words)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.5", 0))
        sock.sendto(header(~total & 0xffff), ("127.0.0.1", 0))



def never_established(box, place):
    """A client that is let in and never comes takes no place permanently."""
    binary = bpf.static_program(box, "hold")
    port = weirtest.free_port()
    resource = "tcp::%d" % port
    place.agent(box.rules({"match": {"exe": binary}, "isolation": [{"resource": resource, "count": 4}]}), needs=("guard",))
    serve(box, binary, port)
    until_guarded(box, resource)
    for source_port in range(4):
        syn(port, 40000 + source_port)
    assert (total(box, resource, "pass"), passed(port, 1)) in ((4, 0), (4, 1)), "four were let in"

    def all_places():
        held = []
        try:
            return passed(port, 6, hold=held) == 4
        finally:
            for sock in held:
                sock.close()
            weirtest.until(lambda: in_flight(box, resource) == 0, "all of them to be closed")
    weirtest.until(all_places, "the places to be free again", 30, 0.2)



def a_thousand_a_second(box, place):
    """No second admits more than 1000, but for the odd one: a packet that is late for a connection which is over takes a permit,
    and if its address and port come back within four seconds, they come in on that. And whenever one is refused, the second before it had at least 98 % of that. Each
    attempt is known to lie between two readings of the clock, so that no pause of this machine matters."""
    binary = bpf.static_program(box, "hold")
    port = weirtest.free_port()
    resource = "tcp::%d" % port
    rules = box.rules({"match": {"exe": binary}, "flow": [{"resource": resource, "count": 1000}]})
    place.agent(rules, needs=("guard",))
    serve(box, binary, port)
    until_guarded(box, resource)

    def attempts(_):
        found, end = [], time.monotonic() + 4
        while time.monotonic() < end:
            began = time.monotonic()
            ok = try_connect(port)
            found.append((began, time.monotonic(), ok))
        return found
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        events = sorted(event for part in pool.map(attempts, range(2)) for event in part)
    let_in = [event for event in events if event[2]]
    refusals = [event for event in events if not event[2]]
    begins, ends = sorted(event[0] for event in let_in), sorted(event[1] for event in let_in)
    for begin in begins:
        within = bisect.bisect_right(ends, begin + 1.0) - bisect.bisect_left(begins, begin)  # begun and ended in that second
        assert within <= 1005, "%d in a second" % within
    for began, ended, _ in refusals[::97]:
        before = sum(1 for event in let_in if event[1] > began - 1.0 and event[0] < ended)
        assert before >= 980, "refused when only %d had been let in" % before
    assert refusals, "this machine made fewer than 1000 connections a second: %d" % len(events)
    print("result: %d of %d connections let in at 1000/s in 4 s" % (len(let_in), len(events)))


bpf.main(concurrency, never_established, a_thousand_a_second)
