#!/usr/bin/python3
"""Speed and cost, as ratios of paired runs: weir against bare nginx, nginx's own limit_req, and HAProxy as a sidecar.

    tests/bench/bench.py [s1 s6 s7 s8 s9 engine a2 a5]        (make bench; all of them without arguments)

CPU time per request is the kernel's own accounting of the server's processes (/proc/PID/task/*/schedstat): requests per second
are too noisy on a shared machine. All variants stand at once; each round loads every one of them for a moment, in an order that
turns; a ratio is taken within its round; median and quartiles over the rounds. `bare again` is a second bare nginx: how far
its ratio is from 1 is what this machine cannot resolve. WEIR_BENCH_SECONDS (default 240) bounds the rounds.

The table goes to stdout and, with date, machine and commit, to the end of RESULTS.md beside this file. Bars: ≤ means better
when smaller. Nothing here fails because something is slow; it fails when something breaks."""
import datetime
import glob
import os
import re
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "process"), HERE]
import accuracy  # noqa: E402
import queueing  # noqa: E402
import weirtest  # noqa: E402
from harness import bpf  # noqa: E402
from weirtest import Connection, request  # noqa: E402

SECONDS = float(os.environ.get("WEIR_BENCH_SECONDS") or 240)
SLICE_S = 1
CONNECTIONS = 64
MANY = 1000000000


# ------------------------------------------------------------------------------------------------------------ measuring

def cpu_ns(pids):
    """CPU time of all threads of these processes."""
    total = 0
    for pid in pids:
        for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
            with open(path) as file:
                total += int(file.read().split()[0])
    return total


def counters_bytes(agent):
    """Memory of the counters of an agent's one app, through its descriptor: they have no name."""
    folder = "/proc/%d/fd" % agent
    for fd in os.listdir(folder):
        if "memfd:weir:" in os.readlink(os.path.join(folder, fd)):
            return os.stat(os.path.join(folder, fd)).st_blocks * 512
    raise AssertionError("process %d has no counters" % agent)


def pin(pids, cpus):
    if (os.cpu_count() or 1) > 1:
        for pid in pids:
            for task in os.listdir("/proc/%d/task" % pid):
                os.sched_setaffinity(int(task), cpus)


class Slice:
    """One moment of load on one variant."""

    def __init__(self, pids, url, seconds=SLICE_S, options=()):
        cpus = ["taskset", "-c", "1"] if (os.cpu_count() or 1) > 1 else []
        before = cpu_ns(pids)
        out = subprocess.run(cpus + ["wrk", "-t1", "-c%d" % CONNECTIONS, "-d%ds" % seconds, *options, url], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout
        cpu = cpu_ns(pids) - before
        assert cpu > 0, "no CPU time: these are not the processes that served"
        self.requests = int(re.search(r"(\d+) requests in", out).group(1))
        other = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        self.rejected = int(other.group(1)) if other else 0
        self.per_second = float(re.search(r"Requests/sec: +([\d.]+)", out).group(1))
        self.cpu_per_request = cpu / max(1, self.requests)
        assert "Socket errors" not in out, out


class Variant:
    def __init__(self, key, title, server, rejecting, more_pids=(), url=None, options=()):
        self.key, self.title, self.rejecting, self.options = key, title, rejecting, options
        self.url = (url or server.url) + "/small"
        weirtest.until(server.workers, "a worker of " + title)  # the master listens before it has one
        self.pids = server.processes() + list(more_pids)
        self.slices = []

    def measure(self):
        slice_ = Slice(self.pids, self.url, options=self.options)
        wrong = slice_.requests - slice_.rejected if self.rejecting else slice_.rejected
        assert wrong <= slice_.requests // 1000 + 2, "%s: %d of %d answers are not what this variant is about" % (
            self.title, wrong, slice_.requests)
        return slice_


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return "%.3f [%.3f %.3f]" % (middle, low, high)


class Report:
    def __init__(self):
        self.lines = []

    def section(self, title, columns):
        self.lines += ["", "### " + title, "", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
        self.row_width = len(columns)

    def row(self, *cells):
        assert len(cells) == self.row_width
        self.lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
        print("  " + "  ".join(str(cell) for cell in cells), flush=True)

    def text(self, *lines):
        self.lines += [""] + list(lines)


# -------------------------------------------------------------------------------------- S1, S2, S3, S11: CPU per request

LIMIT = "limit_req_zone $server_name zone=z:1m rate=%s;"

HAPROXY = """global
    nbthread 1
    maxconn 2000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option http-keep-alive
frontend f
    bind 127.0.0.1:{port}
    stick-table type ip size 10k expire 10s store http_req_rate(1s)
    http-request track-sc0 src
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {limit} }}
    default_backend b
backend b
    server s 127.0.0.1:{upstream}
"""


def haproxy(box, limit):
    """HAProxy with a stick table in front of an nginx of its own."""
    upstream = box.serve("nginx", weir=False)
    port = weirtest.free_port()
    path = os.path.join(box.path, "haproxy.%d.cfg" % port)
    with open(path, "w") as file:
        file.write(HAPROXY.format(port=port, upstream=upstream.port, limit=limit))
    program = box.start("haproxy", ["haproxy", "-db", "-f", path])
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)), "haproxy to listen")
    return upstream, [program.pid], "http://127.0.0.1:%d" % port


def many_rules(count, applying):
    """`count` rules of which one, `applying`, is about what is requested."""
    rules = [dict(applying, id="the-one", resource="GET:/small")]
    rules += [{"id": "r%d" % number, "resource": "GET:/api/r%s" % letters(number), "count": MANY} for number in range(count - 1)]
    return {"flow": rules}


def mixed_rules(count, applying):
    """`count` rules about HTTP in full: routes by glob and regular expression, groups, hot parameters by address and header."""
    rules = many_rules(count - 5, applying)
    rules["resources"] = [
        {"kind": "route", "name": "assets", "pattern": "/assets/**", "matchStrategy": "glob"},
        {"kind": "route", "name": "item", "pattern": "/item/{id}"},
        {"kind": "route", "name": "report", "pattern": "/report-[0-9]+(/.*)?", "matchStrategy": "regex"},
        {"kind": "api", "name": "small things", "predicateItems": [{"pattern": "/small"}, {"pattern": "/tiny/**", "matchStrategy": "glob"}]},
        {"kind": "api", "name": "pictures", "predicateItems": [{"pattern": ".*[.](png|jpg)", "matchStrategy": "regex"}]}]
    rules["flow"] += [{"id": "group", "resource": "small things", "count": MANY}, {"id": "other group", "resource": "pictures", "count": MANY},
                      {"id": "reports", "resource": "GET:/report-[0-9]+(/.*)?", "resourceMatch": "regex", "count": MANY}]
    rules["paramFlow"] = [{"id": "address", "resource": "GET:/small", "param": {"parseStrategy": "clientIp"}, "count": MANY},
                          {"id": "user", "resource": "GET:/small", "param": {"parseStrategy": "header", "fieldName": "X-User"}, "count": MANY}]
    return rules


USER = ("-H", "X-User: somebody")  # what the rule about a header counts


def letters(number):
    """A path segment that no rule of learning takes for a number or an id."""
    text = ""
    for _ in range(4):
        text, number = text + "abcdefghijklmnop"[number % 16], number // 16
    return text


def under_weir(box, key, rules):
    """Each in a run directory of its own: one agent a program."""
    address = ("127.0.0.1", weirtest.free_port())
    folder = os.path.join(box.path, key)
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    command = weirtest.servers.nginx(folder, address)
    program = box.weir_run(key, rules, command, run_dir=os.path.join(box.path, "run." + key))
    weirtest.until(lambda: weirtest.listening(address), key + " to listen")
    return weirtest.Server(program, weirtest.servers.SERVERS["nginx"], address, True)


def touch(server, names):
    """Makes resources of these paths."""
    with Connection(server.address) as connection:
        for at in range(0, len(names), 50):
            connection.send(b"".join(request("GET", name) for name in names[at:at + 50]))
            for _ in names[at:at + 50]:
                connection.response()


def cpu(report):
    weirtest.need("nginx", "wrk", "haproxy")
    with weirtest.Sandbox() as box:
        variants = []

        def add(key, title, server, rejecting=False, more_pids=(), url=None, options=()):
            variants.append(Variant(key, title, server, rejecting, more_pids, url, options))
            if key not in ("haproxy", "haproxy-reject"):
                pin(variants[-1].pids, {0})
        add("bare", "bare nginx", box.serve("nginx", weir=False))
        add("again", "bare nginx again (noise)", box.serve("nginx", weir=False))
        add("loaded", "weir, no rule for this app", under_weir(box, "loaded", box.rules({})))
        add("rules", "weir, 100 rules, 1 applies", under_weir(box, "rules", box.rules(many_rules(100, {"count": MANY}))))
        add("mixed", "weir, 100 rules: hot parameters by address and by header, a group, routes by glob and regex",
            under_weir(box, "mixed", box.rules(mixed_rules(100, {"count": MANY}))), options=USER)
        big = under_weir(box, "big", box.rules(many_rules(5000, {"count": MANY})))
        touch(big, ["/api/r" + letters(number) for number in range(5900)])
        add("big", "weir, 5000 rules, 6000 resources", big)
        both = under_weir(box, "both", box.rules(mixed_rules(5000, {"count": MANY})))
        touch(both, ["/api/r" + letters(number) for number in range(5900)])
        add("both", "weir, 5000 rules, 6000 resources, of them hot parameters, groups and routes as above", both, options=USER)
        add("limit", "nginx limit_req", box.serve("nginx", weir=False, http=LIMIT % "1000000r/s",
                                                  server="limit_req zone=z burst=1000000 nodelay;"))
        server, pids, url = haproxy(box, MANY)
        add("haproxy", "HAProxy sidecar", server, False, pids, url)
        add("weir-reject", "weir, rejecting", under_weir(box, "reject", box.rules(many_rules(100, {"count": 0}))), True)
        add("limit-reject", "nginx limit_req, rejecting", box.serve(
            "nginx", weir=False, http=LIMIT % "1r/m", server="limit_req zone=z; limit_req_status 429; limit_req_log_level info;"), True)
        add("limit-log", "nginx limit_req, rejecting, logging as it does by default", box.serve(
            "nginx", weir=False, http=LIMIT % "1r/m", server="limit_req zone=z; limit_req_status 429;"), True)
        server, pids, url = haproxy(box, 0)
        add("haproxy-reject", "HAProxy, rejecting", server, True, pids, url)

        for variant in variants:
            Slice(variant.pids, variant.url, options=variant.options)  # warm
        end, rounds = time.monotonic() + SECONDS, 0
        while time.monotonic() < end or rounds < 3:
            for variant in variants if rounds % 2 == 0 else reversed(variants):
                variant.slices.append(variant.measure())
            rounds += 1
            print("  round %d" % rounds, end="\r", flush=True)
        by_key = {variant.key: variant for variant in variants}

        def ratios(key, base, figure):
            return [getattr(mine, figure) / getattr(theirs, figure)
                    for mine, theirs in zip(by_key[key].slices, by_key[base].slices)]
        bars = {"loaded": ("S3", 1.005, None), "rules": ("S1", 1.03, 0.97), "big": ("S11", 1.05, None)}
        report.section("S1, S3, S11: nginx, small static file, keep-alive, %d connections, %d rounds of %d s; against bare nginx"
                       % (CONNECTIONS, rounds, SLICE_S), ["variant", "CPU per request", "requests/s", "µs CPU", "bar", "met"])
        for variant in variants:
            if variant.rejecting or variant.key == "bare":
                continue
            cost, rate = ratios(variant.key, "bare", "cpu_per_request"), ratios(variant.key, "bare", "per_second")
            name, bar, least = bars.get(variant.key, ("", None, None))
            met = "" if bar is None else "yes" if statistics.median(cost) <= bar and (
                least is None or statistics.median(rate) >= least) else "NO"
            report.row(variant.title, quartiles(cost), quartiles(rate),
                       "%.2f" % (statistics.median(s.cpu_per_request for s in variant.slices) / 1000),
                       bar and "%s: ≤ %s%s" % (name, bar, ", ≥ %s" % least if least else "") or "", met)
        report.section("S2: every request rejected; against nginx's limit_req rejecting",
                       ["variant", "CPU per request", "requests/s", "µs CPU", "bar", "met"])
        for key, bar in (("weir-reject", 0.6), ("limit-log", None), ("haproxy-reject", None)):
            cost = ratios(key, "limit-reject", "cpu_per_request")
            report.row(by_key[key].title, quartiles(cost), quartiles(ratios(key, "limit-reject", "per_second")),
                       "%.2f" % (statistics.median(s.cpu_per_request for s in by_key[key].slices) / 1000),
                       "S2: ≤ %s" % bar if bar else "", ("yes" if statistics.median(cost) <= bar else "NO") if bar else "")


# --------------------------------------------------------------------------------------------------- S6: system calls

def ask_again(server, connection, requests):
    """So many requests one after the other; a new connection where the server ends one."""
    for _ in range(requests):
        connection.send(request("GET", "/small"))
        if connection.response().closes:
            connection.close()
            connection = Connection(server.address)
    return connection


def system_calls(pids, server, requests=1000):
    """{name: calls} of `requests` keep-alive requests."""
    connection = ask_again(server, Connection(server.address), 50)
    strace = subprocess.Popen(["strace", "-f", "-c", "-q"] + sum([["-p", str(pid)] for pid in pids], []),
                              stderr=subprocess.PIPE, text=True)
    time.sleep(1.0)
    ask_again(server, connection, requests).close()
    strace.send_signal(signal.SIGINT)
    out = strace.communicate(timeout=30)[1]
    calls = {}
    for line in out.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = int(fields[3])
    if not calls:
        raise weirtest.Skip("strace saw nothing: " + out[-300:])
    return calls


def s6(report):
    weirtest.need("strace")
    requests = 1000
    report.section("S6, S3: system calls of the server in %d keep-alive requests" % requests,
                   ["variant", "system calls", "more than bare, per request", "bar", "met"])
    with weirtest.Sandbox() as box:
        found = {}
        for key, server in (("bare", box.serve("nginx", weir=False)), ("no rule", under_weir(box, "none", box.rules({}))),
                            ("100 rules", under_weir(box, "rules", box.rules(many_rules(100, {"count": MANY}))))):
            found[key] = system_calls(server.workers() or server.processes(), server, requests)
            more = (sum(found[key].values()) - sum(found["bare"].values())) / requests
            detail = ", ".join("%s %d" % pair for pair in sorted(found[key].items(), key=lambda pair: -pair[1]))
            report.row(key, detail, "%.3f" % more, "" if key == "bare" else "S6: 0",
                       "" if key == "bare" else "yes" if more < 0.01 else "NO")


# -------------------------------------------------------------------------------- S7: from saved to enforced, 64 processes

def by_worker(server, count):
    """A connection to each worker, which says its pid in a header."""
    found, spare = {}, []
    for _ in range(6000):
        connection = Connection(server.address)
        connection.send(request("GET", "/small"))
        pid = connection.response().header("x-pid")
        if pid in found:
            spare.append(connection)
        else:
            found[pid] = connection
        if len(found) == count:
            break
    for connection in spare:
        connection.close()
    return found


def s7(report):
    edits, processes = 12, 64
    with weirtest.Sandbox() as box:
        rule = lambda count: {"flow": [{"id": "e", "resource": "GET:/edited", "count": count}]}
        rules = box.rules(rule(MANY))
        server = box.serve("nginx", rules, workers=processes, server="add_header X-Pid $pid always;")
        config = os.path.join(server.folder, "nginx.conf")
        with open(config) as file:  # spread connections by the kernel's hash, or a few workers would take them all
            text = file.read()
        with open(config, "w") as file:
            file.write(text.replace("listen 127.0.0.1:%d;" % server.port, "listen 127.0.0.1:%d reuseport;" % server.port))
        before = set(server.workers())
        os.kill(server.main_pid(), signal.SIGHUP)
        weirtest.until(lambda: len(set(server.workers()) - before) >= processes and not before & set(server.workers()),
                       "workers that share the port", 30)
        connections = by_worker(server, processes)
        assert len(connections) == processes, "only %d of %d workers could be reached" % (len(connections), processes)
        ask = request("GET", "/edited")
        delays = []
        for number in range(edits):
            wanted, waiting = (429 if number % 2 == 0 else 404), dict(connections)
            time.sleep(0.3)
            begin = time.monotonic()
            rules.save(rule(0 if wanted == 429 else MANY))
            while waiting and time.monotonic() < begin + 10:
                for pid, connection in list(waiting.items()):
                    connection.send(ask)
                    if connection.response().status == wanted:
                        delays.append(time.monotonic() - begin)
                        del waiting[pid]
            assert not waiting, "%d processes have not taken up the edit after 10 s" % len(waiting)
        delays.sort()
        p99 = delays[int(len(delays) * 0.99)] * 1000
        report.section("S7: a rules file is saved → enforced; %d processes asked in turn, %d edits" % (processes, edits),
                       ["median ms", "p90 ms", "p99 ms", "most ms", "bar", "met"])
        report.row("%.1f" % (statistics.median(delays) * 1000), "%.1f" % (delays[int(len(delays) * 0.9)] * 1000), "%.1f" % p99,
                   "%.1f" % (delays[-1] * 1000), "S7: p99 ≤ 20 ms", "yes" if p99 <= 20 else "NO")


# ------------------------------------------------------------------------------------------------------- S8: memory

def private_kb(pid):
    """Anonymous memory: all that is not a file's or shared by design; pages still shared with the parent count in full."""
    with open("/proc/%d/smaps_rollup" % pid) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))


def worker_kb(server, connections=0):
    """Private memory of the worker after some requests, and with so many connections open."""
    pid = weirtest.until(server.workers, "a worker")[0]
    touch(server, ["/small"] * 200)
    empty = private_kb(pid)
    held = []
    for _ in range(connections):
        connection = Connection(server.address)
        connection.send(request("GET", "/small"))
        connection.response()
        held.append(connection)
    full = private_kb(pid)
    for connection in held:
        connection.close()
    return empty, full - empty


def s8(report):
    connections, apps, resources = 3000, 100, 4000
    report.section("S8: memory", ["what", "measured", "bar", "met"])
    verdict = lambda value, bar: "yes" if value <= bar else "NO"
    with weirtest.Sandbox() as box:
        bare, bare_open = worker_kb(box.serve("nginx", weir=False), connections)
        server = under_weir(box, "memory", box.rules(many_rules(1000, {"count": MANY})))
        mine, mine_open = worker_kb(server, connections)
        report.row("private memory of a process with 1000 rules, more than bare", "%d KiB" % (mine - bare), "≤ 1024 KiB",
                   verdict(mine - bare, 1024))
        each = (mine_open - bare_open) * 1024 / connections
        report.row("private memory of an open connection, more than bare", "%d bytes" % each, "≤ 512", verdict(each, 512))
        before = private_kb(server.workers()[0])
        touch(server, ["/api/r" + letters(number) for number in range(resources)])
        private = (private_kb(server.workers()[0]) - before) * 1024 / resources
        shared = counters_bytes(server.program.pid)
        report.row("private memory of a resource in a process, after its first request (%d of them)" % resources,
                   "%d bytes" % private, "", "")
        report.row("a resource: shared memory of the app, all of it, by its %d resources, 1000 with a rule" % resources,
                   "%d bytes" % (shared / resources), "≤ 2048", verdict(shared / resources + private, 2048))
    with weirtest.Sandbox() as box:
        folder = os.path.join(box.path, "rules.d")
        os.mkdir(folder)
        for number in range(apps):
            weirtest.Rules(os.path.join(folder, "%d.json" % number), many_rules(20, {"count": 1}), "app%d" % number)
        agent = box.agent(folder)
        weirtest.until(lambda: len(box.status()["apps"]) == apps, "%d apps" % apps)
        with open("/proc/%d/status" % agent.pid) as file:
            rss = {line.split(":")[0]: int(line.split()[1]) for line in file if line.startswith(("VmRSS", "RssAnon", "RssShmem"))}
        own = (rss["VmRSS"] - rss["RssShmem"]) / 1024
        report.row("agent with %d apps, without the shared memory of the apps (%.0f MiB touched)" % (apps, rss["RssShmem"] / 1024),
                   "%.1f MiB" % own, "≤ 32 MiB", verdict(own, 32))


def in_cgroup(box, cgroup):
    """nginx in a cgroup from its first instruction on: a socket belongs where it was made."""
    address = ("127.0.0.1", weirtest.free_port())
    folder = os.path.join(box.path, "nginx.%d" % address[1])
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    program = box.start("nginx", ["/bin/sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', cgroup] + weirtest.servers.nginx(folder, address))
    weirtest.until(lambda: weirtest.listening(address), "nginx to listen")
    return weirtest.Server(program, weirtest.servers.SERVERS["nginx"], address, False)


def s9(report):
    """S9: what it costs a server that the kernel counts its connections."""
    weirtest.need("nginx", "wrk")
    with weirtest.Sandbox() as box:
        counted = os.path.join(bpf.cgroup2(), "weirbench.%d" % os.getpid())
        pins = "/sys/fs/bpf/weirbench-%d" % os.getpid()
        try:
            os.mkdir(counted)
        except OSError as error:
            raise weirtest.Skip("no cgroup of our own: %s" % error)
        try:
            box.agent(box.rules({}), options=["--bpf", "auto", "--bpf-dir", pins, "--bpf-cgroup", counted])
            feature = box.status()["bpf"]["features"][0]
            if not feature["on"]:
                raise weirtest.Skip("nothing is counted: " + feature["why"])
            variants = [Variant("bare", "bare", box.serve("nginx", weir=False), False),
                        Variant("again", "bare nginx again (noise)", box.serve("nginx", weir=False), False),
                        Variant("counted", "nginx whose connections are counted", in_cgroup(box, counted), False)]
            for variant in variants:
                pin(variant.pids, {0})
            for kind, options in (("keep-alive", ()), ("a connection for each request", ("-H", "Connection: close"))):
                compare_counted(report, variants, kind, options)
            rows = [row for row in box.control(cmd="ports")["rows"] if row["opened"] > CONNECTIONS]
            assert rows, "nothing was counted: this would have measured nothing"
        finally:
            box.end()
            subprocess.run([weirtest.WEIR_AGENT, "--uninstall", "--bpf-dir", pins], env=box.environment())
            os.rmdir(counted)


def compare_counted(report, variants, kind, options):
    for variant in variants:
        variant.slices = []
        Slice(variant.pids, variant.url, options=options)  # warm
    end, rounds = time.monotonic() + SECONDS / 6, 0
    while time.monotonic() < end or rounds < 3:
        for variant in variants if rounds % 2 == 0 else reversed(variants):
            variant.slices.append(Slice(variant.pids, variant.url, options=options))
        rounds += 1
    report.section("S9: nginx, small static file, %s, %d connections, %d rounds of %d s; against bare nginx"
                   % (kind, CONNECTIONS, rounds, SLICE_S), ["variant", "CPU per request", "requests/s", "bar", "met"])
    for variant in variants[1:]:
        cost, rate = ([getattr(mine, figure) / getattr(bare, figure) for mine, bare in zip(variant.slices, variants[0].slices)]
                      for figure in ("cpu_per_request", "per_second"))
        bar = variant.key == "counted"
        report.row(variant.title, quartiles(cost), quartiles(rate), "S9: ≤ 1.02" if bar else "",
                   ("yes" if statistics.median(cost) <= 1.02 else "NO") if bar else "")


def engine(report):
    """S4, S5: the engine alone."""
    program = os.path.join(weirtest.BUILD, "tests", "bench", "engine_bench")
    if not os.path.exists(program):
        raise weirtest.Skip("%s is not built (make benches)" % program)
    out = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    print(out.stdout)
    assert out.returncode == 0, "engine_bench: exit status %d" % out.returncode
    report.lines += ["", "### S4, S5: the engine alone", "", "```", out.stdout.rstrip(), "```"]


def headline():
    text = lambda *command: subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    with open("/proc/cpuinfo") as file:
        model = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")] or ["unknown CPU"]
    commit = text("git", "rev-parse", "--short", "HEAD") or "no commit"
    if text("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    return "%s, %d × %s, Linux %s, commit %s" % (datetime.datetime.now().strftime("%Y-%m-%d %H:%M"), os.cpu_count(), model[0],
                                                 os.uname().release, commit)


def main():
    weirtest.need_build(weirtest.WEIR, weirtest.WEIR_AGENT, weirtest.LIBWEIR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    parts = {"s1": cpu, "s6": s6, "s7": s7, "s8": s8, "s9": s9, "engine": engine, "a2": accuracy.a2, "a5": queueing.a5}
    wrong = set(sys.argv[1:]) - set(parts)
    if wrong:
        sys.exit("unknown: %s; there are %s" % (", ".join(wrong), ", ".join(parts)))
    report, failed = Report(), []
    report.lines = ["", "## " + headline(), "", "Load at the end: %s" % os.getloadavg()[0]]
    for name, part in parts.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        print("%s: %s" % (name, (part.__doc__ or "").strip()), flush=True)
        try:
            part(report)
        except weirtest.Skip as why:
            print("SKIP %s: %s" % (name, why))
            report.text("Skipped: %s: %s" % (name, why))
        except Exception as error:
            import traceback
            traceback.print_exc()
            failed.append(name)
            report.text("Failed: %s: %s" % (name, str(error).splitlines()[0] if str(error) else type(error).__name__))
    report.lines[3] = "Load average at the end: %.1f" % os.getloadavg()[0]
    text = "\n".join(report.lines) + "\n"
    print(text)
    results = os.path.join(HERE, "RESULTS.md")
    with open(results, "a") as file:
        if file.tell() == 0:
            file.write("# Results of `make bench`\n\nEach run adds a section. Ratios: median [quartiles] over paired, interleaved rounds.\n")
        file.write(text)
    if failed:
        sys.exit("failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
