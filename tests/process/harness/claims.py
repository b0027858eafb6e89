"""What rules files claim in their comments, done on a real server: the very file, in force as it stands.

    // try: 25 × GET /search → 20 pass, 5 get 429
    // then: 1 × GET /product/1 → all pass

A chain begins with "try" on a server of its own; each "then" follows at once. Behind the request, with commas between them:

    from 10.0.0.7             who sends it: an address of loopback itself, any other as a trusted proxy says (X-Forwarded-For)
    with X-App: shop          a header; {n} is the request's number, 1 to N, in targets and addresses, too
    for shop.example.com      the host
    together                  each on a connection of its own, all at the same time; otherwise one behind the other on one connection
    answered 500              the application's answer; "answered after 400 ms"; "not answered" before the chain ends
    after 1 s                 so much later than the step before
    on sat at 23:30 in Europe/Berlin     the time of day

and behind the arrow: "all pass", "20 pass", "5 get 429", "5 wait" (without an answer), each also with "or more" behind the number;
"in 0.1 s or more"; "with BODY" in quotes: what each rejection says.  A request passes if the answer is not weir's.

A rule that no claim is about is an error, unless "// untried: why" stands with it."""
import contextlib
import datetime
import http.server
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import threading
import time
import zoneinfo

import weirtest

LINE = re.compile(r"^\s*//\s*(try|then|untried):\s*(.*?)\s*$")
REQUEST = re.compile(r"^(\d+) × ([A-Z]+) (/\S*)$")
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WALL_AT = 512 + 12 * 256  # of layout_rules_header.wall_ns
SLOW = 0.4  # seconds: longer than that, a burst says nothing about a limit per second, and is done again
ATTEMPTS = 6
PROXY = """location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection $http_connection; }"""


class Step:
    def __init__(self, text, where):
        self.text, self.where, self.headers, self.count = text, where, [], 0
        self.source = self.host = self.status = self.when = None
        self.together = self.held = False
        self.delay = self.pause = 0.0
        left, arrow, right = text.partition(" → ")
        assert arrow, "%s: no arrow (→)" % where
        request, *rest = left.split(", ")
        found = REQUEST.match(request)
        assert found, "%s: expected N × METHOD /TARGET, got %r" % (where, request)
        self.count, self.method, self.target = int(found[1]), found[2], found[3]
        for part in rest:
            self.modify(part)
        self.expected = [self.outcome(part) for part in right.split(", ")]

    def modify(self, part):
        word, _, rest = part.partition(" ")
        if word == "from":
            if rest.startswith("127."):
                self.source = rest
            else:
                self.headers.append(("X-Forwarded-For", rest))
        elif word == "with":
            name, _, value = rest.partition(": ")
            self.headers.append((name, value))
        elif word == "for":
            self.host = rest
        elif part == "together":
            self.together = True
        elif part == "not answered":
            self.held = self.together = True
        elif re.match(r"^answered after \d+ ms$", part):
            self.delay = int(part.split()[2]) / 1000
        elif re.match(r"^answered \d+$", part):
            self.status = int(rest)
        elif re.match(r"^after [\d.]+ s$", part):
            self.pause = float(part.split()[1])
        elif re.match(r"^on (%s) at \d\d:\d\d in \S+$" % "|".join(DAYS), part):
            self.when = part.split()[1::2]
        else:
            raise AssertionError("%s: what is %r?" % (self.where, part))

    def outcome(self, part):
        for pattern, kind in ((r"^(all|\d+)( or more)? (?:pass|passes)$", "pass"), (r"^(all|\d+)( or more)? (?:get|gets) (\d+)$", "get"),
                              (r"^(all|\d+)( or more)? (?:wait|waits)$", "wait"), (r"^in ([\d.]+) s or more$", "seconds"),
                              (r'^with "(.*)"$', "body")):
            found = re.match(pattern, part)
            if found:
                return kind, found
        raise AssertionError("%s: what is %r?" % (self.where, part))

    def needs_origin(self):
        return bool(self.status or self.delay or self.held)

    def request(self, number):
        headers = [(name, value.replace("{n}", str(number))) for name, value in self.headers]
        body = b"x=1" if self.method in ("POST", "PUT", "PATCH") else None
        return weirtest.request(self.method, self.target.replace("{n}", str(number)), headers=headers, body=body,
                                host=self.host or "www.example.com")

    def check(self, got, seconds):
        """`got`: (status, by weir, body) of each request; None: no answer."""
        counts = {"wait": got.count(None), "pass": sum(1 for one in got if one and not one[1])}
        rejected = [one for one in got if one and one[1]]
        expected = {}
        for kind, found in self.expected:
            if kind == "seconds":
                assert seconds >= float(found[1]), "%s: %s: it took %.3f s" % (self.where, self.text, seconds)
                continue
            if kind == "body":
                assert rejected and all(found[1] in one[2] for one in rejected), "%s: %s: %r" % (self.where, self.text, rejected[:2])
                continue
            have = counts[kind] if kind != "get" else sum(1 for one in rejected if one[0] == int(found[3]))
            want = self.count if found[1] == "all" else int(found[1])
            expected[found[0]] = have
            assert have >= want if found[2] else have == want, "%s: %s: got %s in %.3f s" % (
                self.where, self.text, summary(got), seconds)
        if not any(found[2] for kind, found in self.expected if kind in ("pass", "get", "wait")):
            assert sum(expected.values()) == self.count, "%s: %s does not say what becomes of all %d: %s" % (
                self.where, self.text, self.count, summary(got))


def summary(got):
    counts = {}
    for one in got:
        key = "no answer" if one is None else ("%d by weir" if one[1] else "%d passed") % one[0]
        counts[key] = counts.get(key, 0) + 1
    return counts


def read(path):
    """The chains of a file, and how many rules it says are not tried."""
    chains, untried = [], 0
    with open(path) as file:
        for number, line in enumerate(file, 1):
            found = LINE.match(line)
            if not found:
                assert "×" not in line and "→" not in line, "%s:%d: a claim that does not begin with try: or then:" % (path, number)
                continue
            if found[1] == "untried":
                untried += 1
                continue
            step = Step(found[2], "%s:%d" % (os.path.basename(path), number))
            if found[1] == "try":
                chains.append([])
            assert chains, "%s: then: before any try:" % step.where
            chains[-1].append(step)
    return chains, untried


# ------------------------------------------------------------------------------------------------------------ the application

class Origin(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """What the server passes requests on to where a claim says how they are answered."""
    daemon_threads, request_queue_size = True, 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.step, self.over, self.arrived = None, threading.Event(), 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # the client was not interested any more

    def end(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class Answer(http.server.BaseHTTPRequestHandler):
    def answer(self):
        step = self.server.step
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.arrived += 1
        if step.status == 101:
            self.send_response_only(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.flush()
            self.server.over.wait(60)
            return
        if step.held:
            self.server.over.wait(60)
        time.sleep(step.delay)
        self.send_response(step.status or 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


# ------------------------------------------------------------------------------------------------------------------ requests

def as_seen(response):
    return response.status, response.header("x-weir-id") is not None, response.body.decode("utf-8", "replace")


def in_a_row(step, address):
    """On one connection, without waiting for answers; where that ends with one, the rest on further ones."""
    got = []
    while len(got) < step.count:
        left = range(len(got) + 1, step.count + 1)
        with weirtest.Connection(address, source=(step.source, 0) if step.source else None) as connection:
            try:
                connection.send(b"".join(step.request(number) for number in left))
                for _ in left:
                    response = connection.response(step.method)
                    got.append(as_seen(response))
                    if response.closes:
                        break
            except (ConnectionError, weirtest.Closed) as error:
                assert got, "%s: %s" % (step.where, error)
    return got


def at_once(step, address, held):
    connections = []
    for number in range(1, step.count + 1):
        source = step.source.replace("{n}", str(number)) if step.source else None
        connection = weirtest.Connection(address, source=(source, 0) if source else None)
        connections.append(connection)
        connection.send(step.request(number))
    held += connections
    if not step.held:
        return [as_seen(connection.response(step.method)) for connection in connections]
    got = [None] * step.count
    expected = sum(int(found[1]) if found[1] != "all" else step.count for kind, found in step.expected if kind == "get")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and sum(1 for one in got if one) < expected:
        for number, connection in enumerate(connections):
            connection.socket.settimeout(0.02)
            with contextlib.suppress(socket.timeout, TimeoutError):
                if got[number] is None:
                    got[number] = as_seen(connection.response(step.method))
            connection.socket.settimeout(20)
    return got


def send(step, address, held):
    start = time.monotonic()
    one_source = not (step.source and "{n}" in step.source)
    got = at_once(step, address, held) if step.together or not one_source else in_a_row(step, address)
    return got, time.monotonic() - start


# ------------------------------------------------------------------------------------------------------------------ the clock

def set_clock(box, day, clock, zone):
    """As an agent whose clock has been set would write it down; the agent itself is stopped."""
    now = datetime.datetime.now(zoneinfo.ZoneInfo(zone))
    hour, minute = (int(part) for part in clock.split(":"))
    at = (now + datetime.timedelta(days=(DAYS.index(day) - now.weekday()) % 7)).replace(hour=hour, minute=minute, second=30)
    with open(os.path.join(box.run_dir, box.app + ".rules"), "r+b") as file:
        file.seek(WALL_AT)
        file.write(struct.pack("<Q", int((at.timestamp() - time.monotonic()) * 1e9)))


def serve_with_clock(box, path, kind, address, options):
    agent = box.agent(path)
    box.serve(kind, preload=True, address=address, **options)
    weirtest.until(lambda: box.app_status()["processes"], "the server's processes")
    os.kill(agent.pid, signal.SIGSTOP)
    return agent


# ------------------------------------------------------------------------------------------------------------------- running

def app_of(path):
    with open(path) as file:
        return re.search(r'"app":\s*"([^"]+)"', file.read())[1]


def port_of(path):
    with open(path) as file:
        found = re.search(r'"http::(\d+)"', file.read())
    return int(found[1]) if found else 8080


def run_chain(chain, path, kind):
    origin = Origin() if any(step.needs_origin() for step in chain) else None
    where = PROXY % origin.server_port if origin else "location / { return 200 ok; }"
    options, held = ({"server": where} if kind == "nginx" else {}), []
    address = (weirtest.own_loopback(), port_of(path))
    with weirtest.Sandbox(app=app_of(path)) as box:
        rules = weirtest.Rules.__new__(weirtest.Rules)
        rules.path, rules.app = os.path.join(box.path, os.path.basename(path)), None
        shutil.copy(path, rules.path)
        agent = None
        if any(step.when for step in chain):
            agent = serve_with_clock(box, rules, kind, address, options)
        else:
            box.serve(kind, rules, address=address, **options)
        seconds = 0.0
        try:
            for step in chain:
                if origin:
                    origin.step = step
                if step.when:
                    set_clock(box, *step.when)
                    time.sleep(0.25)  # processes look every tenth of a second
                    weirtest.ask(address, target="/not-limited")
                time.sleep(step.pause)
                got, took = send(step, address, held)
                seconds += 0 if step.held else took
                step.check(got, took)
        except AssertionError as error:
            return error, seconds
        finally:
            if origin:
                origin.end()
            for connection in held:
                connection.close()
            if agent and agent.running():
                os.kill(agent.pid, signal.SIGCONT)
    return None, seconds


def run(path, kind="nginx", chains=None):
    """Every claim of the file, on that server."""
    for chain in chains or read(path)[0]:
        for _ in range(ATTEMPTS):
            error, seconds = run_chain(chain, path, kind)
            if not error or seconds < SLOW:
                break
        if error:
            raise error


# ------------------------------------------------------------------------------------------------------------------- coverage

def explained(path, step):
    """The lines of the rules that the step's requests meet."""
    line = [weirtest.WEIR, "explain", "--json", "-r", path, "-P", str(port_of(path))]
    line += ["--peer", step.source.replace("{n}", "1") if step.source else "127.0.0.1"]
    for name, value in step.headers + [("Host", step.host or "www.example.com")]:
        line += ["-H", "%s: %s" % (name, value.replace("{n}", "1"))]
    done = subprocess.run(line + ["--", "%s %s HTTP/1.1" % (step.method, step.target.replace("{n}", "1"))], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    met = [rule for resource in result["resources"] for rule in resource["rules"] if rule["applies"]]
    return {entry["line"] for entry in met} | {entry["line"] for entry in result["near_misses"] if step.when}


def check_coverage(path):
    chains, untried = read(path)
    met = set()
    for step in [step for chain in chains for step in chain]:
        met |= explained(path, step)
    checked = json.loads(subprocess.run([weirtest.WEIR, "check", "--json", path], stdout=subprocess.PIPE, text=True).stdout)
    rules = checked["files"][0]["rules"]
    assert len(met) + untried == rules, "%s: %d rules; claims are about those of lines %s, and %d are untried" % (
        path, rules, sorted(met), untried)
