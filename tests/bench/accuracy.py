"""A2, A3: what a QPS rule lets through in every second, at whatever offset, under many times its threshold."""
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "process"))
import weirtest  # noqa: E402

SECONDS = float(os.environ.get("WEIR_BENCH_ACCURACY_SECONDS") or 30)
COUNT = 100
CONNECTIONS = 48
PAUSE_S = 0.01


def _aligned(records, status):
    """Admissions in each whole second of the load, by the time they were answered."""
    seconds = {}
    for _, done, answered in records:
        if answered == status:
            seconds[int(done)] = seconds.get(int(done), 0) + 1
    whole = sorted(seconds)[1:-1]
    return [seconds[second] for second in whole]


def _measure(workers, scope):
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"id": "q", "resource": "GET:/small", "count": COUNT, "scope": scope}]})
        server = box.serve("nginx", rules, workers=workers)
        load = weirtest.Load(server.address, weirtest.request("GET", "/small"), CONNECTIONS, SECONDS, PAUSE_S).result()
        assert load.errors == 0 and load.count(200) + load.count(429) == len(load.records)
        return load


def a2(report):
    """A2, A3: admissions a second, aligned and sliding; the total"""
    report.section("A2, A3: %d/s on a real nginx, %d connections, %.0f s" % (COUNT, CONNECTIONS, SECONDS),
                   ["variant", "asked", "aligned second: median, most", "any second: most", "total", "bar", "met"])
    for title, workers, scope in (("A2: one worker", 1, "process"), ("A3: 8 workers, scope app", 8, "app")):
        load = _measure(workers, scope)
        aligned, most = _aligned(load.records, 200), load.most_in_a_second()
        total = load.count(200) / (COUNT * SECONDS)
        report.row(title, "%.0f ×" % (len(load.records) / (COUNT * SECONDS)), "%.0f, %d" % (statistics.median(aligned), max(aligned)),
                   most, "%.1f %%" % (100 * total), "≤ %d, ≥ 98 %%" % COUNT, "yes" if most <= COUNT and total >= 0.98 else "NO")
