"""A server whose doings can be read from outside: what it took for a request, what it has not read yet, what time it uses."""
import collections
import contextlib
import errno
import glob
import os
import re
import signal
import time

import weirtest
from harness import sock_diag
from harness.servers import SERVERS


def start(box, name, rules, weir=True, **options):
    """The server, with its log and the server behind it."""
    kind, log = SERVERS[name], os.path.join(box.path, "requests.log")
    env = {"REQUEST_LOG": log}
    if name == "nginx":
        options.update(http="log_format seen '$request_method $request_uri $status';", server="access_log %s seen;" % log)
    elif name == "lighttpd":
        options.update(more='accesslog.filename = "%s"\naccesslog.format = "%%r %%s"' % log)
    elif name == "java":
        options.update(threads=50)
    elif kind.origin:
        options.update(origin=box.serve(kind.origin, weir=False, env=env).address)
    server = box.serve(name, box.rules(rules) if weir else None, weir=weir, env=env, **options)
    server.box = box
    server.requests_log = os.path.join(server.folder, "requests.log") if kind.log == "file" else \
        server.program.log if kind.log == "output" else log
    return server


def executed(server):
    """How often the server took each target for a request that it answered with success (0.9 is nginx's word for a response
    without a status)."""
    counts = collections.Counter()
    if os.path.exists(server.requests_log):
        with open(server.requests_log, errors="replace") as file:
            for line in file:
                found = re.search(r'(?:^|")(GET|POST|PUT) (\S+)(?: HTTP/\d\.\d)?"?(?: (\d+))?(?: -)?$', line)
                if found and (found.group(3) or "200") in ("200", "201", "204", "009"):
                    counts[found.group(2)] += 1
    return counts


def stop(server):
    """Ends all processes of the server, so that nothing that it does can come later."""
    pids = server.processes()
    for number, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 20)):
        for pid in filter(weirtest.alive, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        end = time.monotonic() + seconds
        while any(map(weirtest.alive, pids)) and time.monotonic() < end:
            time.sleep(0.01)
    assert not any(map(weirtest.alive, pids)), "processes of the server stay"


def cpu_s(server):
    total = 0
    for pid in server.processes():
        for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
            try:
                with open(path) as file:
                    total += int(file.read().split()[0])
            except OSError:
                pass  # a thread that has just ended
    return total / 1e9


def all_read(connections):
    """Has the server's program read every byte that came on them? (A connection that the server has closed counts as read.)"""
    for connection in connections:
        try:
            left = sock_diag.unread(connection.socket.getpeername(), connection.socket.getsockname())
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            continue
        assert left is not None or sock_diag.works(), "this kernel does not tell what a socket holds"
        if left:
            return False
    return True


def in_flight(box):
    """How many requests of clients are in the server, as weir counts them. (Connections to a server behind it may stay.)"""
    resources = box.figures(time.time())["apps"][0]["resources"]
    return sum(entry["in_flight"] for entry in resources if entry["resource"].partition(":")[0] in ("GET", "PUT", "POST"))
