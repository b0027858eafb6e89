"""What the tests of limits in the kernel share: a static server that says "hi", and who was let in."""
import socket

import weirtest

PER_HOUR = {"per": "hour"}


def try_connect(port, host="127.0.0.1", hold=None):
    """Has the server said "hi"? (False: refused.)"""
    try:
        sock = socket.create_connection((host, port), timeout=30)
    except ConnectionRefusedError:
        return False
    assert sock.recv(2) == b"hi"
    if hold is None:
        sock.close()
    else:
        hold.append(sock)
    return True


def passed(port, times, host="127.0.0.1", hold=None):
    return sum(try_connect(port, host, hold) for _ in range(times))


def nearly(got, wanted):
    """Never more. A packet that comes late, to a connection that is over already, looks to the kernel like a new one and may
    take a place: on a machine that pauses for long, one or two fewer get in."""
    assert wanted - 2 <= got <= wanted, "%d instead of %d" % (got, wanted)


def guarded_by(box, resource):
    for line in box.app_status().get("guard", []):
        if line["resource"] == resource:
            return line["by"]
    return None


def until_guarded(box, resource, by="kernel"):
    weirtest.until(lambda: guarded_by(box, resource) == by, "%s to be limited by %s" % (resource, by), 30)


def serve(box, binary, port):
    server = box.start("hold", [binary, str(port)])
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not server.running(), "the static server")
    return server


def total(box, resource, figure):
    return (box.resource(resource, now=True) or {}).get("total_" + figure, 0)


def in_flight(box, resource):
    return (box.resource(resource) or {}).get("in_flight")
