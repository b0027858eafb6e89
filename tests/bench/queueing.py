"""A5: how evenly a queueing rule spaces what it admits, on a real nginx, and what those who wait cost.  (The engine's own turns
are exact: tests/unit/engine_shape_test.c. What is measured here comes on top: timer, event loop, client.)"""
import glob
import os
import select
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "process"))
import weirtest  # noqa: E402

SECONDS = float(os.environ.get("WEIR_BENCH_QUEUEING_SECONDS") or 5)
PATIENCE_MS = 60000


def cpu_ns(server):
    total = 0
    for pid in server.processes():
        for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
            with open(path) as file:
                total += int(file.read().split()[0])
    return total


def rules(per_second):
    return {"flow": [{"resource": "GET:/small", "count": per_second, "controlBehavior": "queue",
                      "maxQueueingTimeMs": PATIENCE_MS}]}


def pinned(cpu):
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {cpu})


def arrivals(address, count):
    """`count` requests at once, a connection each; when each was answered, in ns."""
    connections = [weirtest.Connection(address) for _ in range(count)]
    poll = select.epoll()
    for connection in connections:
        poll.register(connection.socket.fileno(), select.EPOLLIN | select.EPOLLONESHOT)
    for connection in connections:
        connection.send(weirtest.request("GET", "/small"))
    late = len(poll.poll())  # answered while this client was still asking: it cannot say when
    times = []
    while late + len(times) < count:
        events = poll.poll()
        times += [time.monotonic_ns()] * len(events)
    answers = [connection.response().status for connection in connections]
    for connection in connections:
        connection.close()
    assert answers == [200] * count, "%d of %d were rejected" % (count - answers.count(200), count)
    return times


def spaced(report, per_second):
    """The spacing of answers, the CPU of the server for each, and what another client gets meanwhile."""
    count = max(20, min(int(per_second * SECONDS), 2000))
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(rules(per_second)), http="client_header_timeout 90s;")
        for pid in server.processes():
            os.sched_setaffinity(pid, {0})
        pinned(1)
        before = cpu_ns(server)
        times = arrivals(server.address, count)
        cpu_us = (cpu_ns(server) - before) / count / 1000
        served, stop = [0], threading.Event()

        def other():
            with weirtest.Connection(server.address) as connection:
                while not stop.is_set():
                    connection.send(weirtest.request("GET", "/other"))
                    assert connection.response().status == 200
                    served[0] += 1
        thread = threading.Thread(target=other)
        thread.start()
        shared = arrivals(server.address, count)
        stop.set()
        thread.join()
        unit = 1e9 / per_second
        gaps = [after - before for before, after in zip(times, times[1:])]
        mean = statistics.mean(gaps) / unit
        off = sorted(abs(gap - unit) / 1000 for gap in gaps)
        p99 = off[int(len(off) * 0.99)]
        met = abs(mean - 1) <= 0.01 and p99 <= 200
        report.row("%g/s" % per_second, count, "%+.3f %%" % (100 * (mean - 1)), "%.0f µs" % statistics.median(off), "%.0f µs" % p99,
                   "%.0f µs" % cpu_us, "%.0f/s" % (served[0] * 1e9 / (shared[-1] - shared[0])),
                   "mean ± 1 %, p99 ≤ 200 µs", "yes" if met else "NO")


def saturated(report, per_second):
    """More than this client could time one by one: how many get through in all, with more asked than that."""
    weirtest.need("wrk")
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(rules(per_second)))
        for pid in server.processes():
            os.sched_setaffinity(pid, {0})
        command = ["taskset", "-c", "1"] if (os.cpu_count() or 1) > 1 else []
        command += ["wrk", "-t1", "-c256", "-d%ds" % max(3, int(SECONDS)), server.url + "/small"]
        begin, before = time.monotonic(), cpu_ns(server)
        out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        busy = (cpu_ns(server) - before) / 1e9 / (time.monotonic() - begin)
        rate = [float(line.split()[1]) for line in out.splitlines() if line.startswith("Requests/sec")][0]
        assert "Non-2xx" not in out, out
        met = "yes" if abs(rate / per_second - 1) <= 0.01 else "NO"
        if rate < per_second and busy > 0.95:
            met = "the server is at its limit"
        report.row("%g/s" % per_second, "–", "%+.2f %% of the rate" % (100 * (rate / per_second - 1)), "–", "–",
                   "%.1f µs" % (busy * 1e6 / rate), "–", "mean ± 1 %", met)


def a5(report):
    """A5: spacing of admissions under a queueing rule"""
    report.section("A5: a queueing rule on a real nginx, one worker; answers as the client gets them",
                   ["rate", "requests at once", "mean spacing", "off by: median", "p99", "CPU for each", "others meanwhile", "bar", "met"])
    affinity = os.sched_getaffinity(0)
    try:
        for per_second in (10, 1000):
            spaced(report, per_second)
    finally:
        os.sched_setaffinity(0, affinity)
    saturated(report, 50000)
