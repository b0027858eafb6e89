"""The harness of the process tests: real programs under `weir run` on loopback, always ended.

    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}]})
        server = box.serve("nginx", rules, workers=4)
        assert weirtest.ask(server.address, target="/blocked").status == 429

A test is a script: exit status 0 passed, 77 skipped (the last line says why), anything else failed, with the logs of
every program it had started on stderr. WEIR_BUILD names the folder of the build (default: build/)."""
import contextlib
import ctypes
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("WEIR_BUILD") or os.path.join(ROOT, "build"))
WEIR = os.path.join(BUILD, "weir")
WEIR_AGENT = os.path.join(BUILD, "weir-agent")
LIBWEIR = os.path.join(BUILD, "libweir.so")
APP = "t"
SKIPPED = 77

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import fd_store, reach, servers  # noqa: E402
from harness.client import Closed, Connection, Response, ask, burst, expect, pipelined, request, statuses  # noqa: E402,F401
from harness.held import Held  # noqa: E402,F401
from harness.load import Load, Wrk  # noqa: E402,F401

WEIR, WEIR_AGENT, LIBWEIR = reach.for_all([WEIR, WEIR_AGENT, LIBWEIR])
PR_SET_CHILD_SUBREAPER = 36


class Skip(Exception):
    """Raised by a test that cannot be run here; says why."""


def need(*programs):
    """Programs by name, or anything by its full path."""
    for program in programs:
        if shutil.which(program) is None and not (program.startswith("/") and os.path.exists(program)):
            raise Skip("%s is not installed" % program)


def own_loopback():
    """A loopback address of this process alone, where ports that rules or manifests name are free."""
    return "127.%d.%d.1" % (64 + os.getpid() % 64, os.getpid() // 64 % 256)


def free_port():
    """A port below the ephemeral range, so that no client socket takes it in between."""
    for _ in range(200):
        port = random.randint(20000, 32000)
        with socket.socket() as four, socket.socket(socket.AF_INET6) as six:
            try:
                four.bind(("127.0.0.1", port))
                six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                six.bind(("::1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def until(condition, what, seconds=20.0, pause=0.01):
    """Waits for a condition; how long it took is nobody's business, that it comes is."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("in vain waited %g s for %s" % (seconds, what))
        time.sleep(pause)


def listening(address):
    """Is the address listened on? Reads the kernel's tables: a connection to find out would count as traffic."""
    if isinstance(address, str):
        with open("/proc/net/unix") as table:
            return any(line.rstrip().endswith(" " + address) and line.split()[3] == "00010000" for line in table)
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(name) as table:
            for line in table:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == address[1]:
                    return True
    return False


def descendants(pid):
    """Every process below `pid`."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                with open("/proc/%s/stat" % name) as stat:
                    fields = stat.read().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    children.setdefault(int(fields[1]), []).append(int(name))
    found, look = [], [pid]
    while look:
        below = children.get(look.pop(), [])
        found += below
        look += below
    return found


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def shown(text):
    return text if len(text) < 6000 else text[:3000] + "\n[…]\n" + text[-3000:]


class Rules:
    """A rules file that is edited as people and programs edit files."""

    def __init__(self, path, content, app):
        self.path, self.app = path, app
        self.save(content)

    def text(self, content):
        if isinstance(content, str):
            return content
        return json.dumps(dict({"app": self.app}, **content) if self.app else content, indent=1)

    def save(self, content):
        """As editors do: a new file, renamed over the old one."""
        new = self.path + ".new"
        with open(new, "w") as file:
            file.write(self.text(content))
        os.chmod(new, 0o644)
        os.replace(new, self.path)

    def overwrite(self, content):
        """As `echo > file` does: truncated, then written."""
        with open(self.path, "w") as file:
            file.write(self.text(content))


class Program:
    """A started process with its output in a file."""

    def __init__(self, box, name, command, env=None, cwd=None, pass_fds=()):
        self.name, self.command = name, command
        self.log = os.path.join(box.path, "%s.%d.log" % (name, len(box.programs)))
        with open(self.log, "wb") as out:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                          env=env, cwd=cwd or box.path, start_new_session=True, pass_fds=pass_fds)
        self.pid = self.popen.pid
        box.programs.append(self)

    def output(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def running(self):
        return self.popen.poll() is None

    def wait(self, seconds=20):
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("%s did not end in %d s: %s\n%s" % (self.name, seconds, " ".join(self.command),
                                                                    shown(self.output())))

    def kill(self, number=signal.SIGKILL):
        """The process itself, and it alone."""
        os.kill(self.pid, number)
        if number == signal.SIGKILL:
            self.popen.wait(10)


class Server:
    """A server of harness/servers.py, with or without weir around it."""

    def __init__(self, program, kind, address, protected):
        self.program, self.kind, self.address, self.protected = program, kind, address, protected
        self.port = address[1] if not isinstance(address, str) else 0

    @property
    def url(self):
        return "http://%s:%d" % (self.address[0], self.port)

    def processes(self):
        """The server's own processes: `weir run` is not one of them."""
        below = descendants(self.program.pid)
        return below if self.protected else [self.program.pid] + below

    def main_pid(self):
        return min(self.processes(), key=lambda pid: _started(pid))

    def workers(self):
        return [pid for pid in self.processes() if pid != self.main_pid()]


def _started(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return int(stat.read().rpartition(")")[2].split()[19]), pid
    except OSError:
        return 1 << 62, pid


def worker_user():
    """A match for workers that nginx starts as root and gives another user, where they never had an app's memory from their master."""
    with contextlib.suppress(KeyError):
        return {"uid": pwd.getpwnam("www-data").pw_uid}
    return {"uid": pwd.getpwnam("nobody").pw_uid}


class Sandbox:
    """A temporary folder with everything in it, and the programs started in it."""

    def __init__(self, app=APP):
        self.app, self.programs, self.count, self.endings, self.store = app, [], 0, [], None

    def __enter__(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what outlives its parent comes to us
        self.path = tempfile.mkdtemp(prefix="weirtest.")
        os.chmod(self.path, 0o755)  # servers change to unprivileged users
        self.run_dir = os.path.join(self.path, "run")
        self.mine = set(descendants(os.getpid()))
        return self

    def __exit__(self, kind, error, _):
        if kind not in (None, Skip):
            self.dump()
        self.end()
        for ending in self.endings:
            ending()
        shutil.rmtree(self.path, ignore_errors=True)

    def at_end(self, ending):
        """To be called when all programs have ended, before the folder goes."""
        self.endings.append(ending)

    def dump(self):
        for program in self.programs:
            state = "running" if program.running() else "exit status %d" % program.popen.returncode
            print("--- %s (%s): %s" % (program.name, state, " ".join(program.command)), file=sys.stderr)
            print(shown(program.output()), file=sys.stderr)
        with contextlib.suppress(Exception):
            print("--- status: %s" % json.dumps(self.status()), file=sys.stderr)

    def end(self):
        """First politely, then not; by pid, and only what came from here."""
        def ours():
            return [pid for pid in descendants(os.getpid()) if pid not in self.mine]
        for number, seconds in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)):
            for pid in ours():
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
            end = time.monotonic() + seconds
            while ours() and time.monotonic() < end:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(-1, os.WNOHANG)
                time.sleep(0.02)
        for program in self.programs:
            with contextlib.suppress(Exception):
                program.popen.wait(1)

    def environment(self, **more):
        env = {key: value for key, value in os.environ.items() if not key.startswith("WEIR_") and key != "LD_PRELOAD"}
        env["WEIR_RUN_DIR"] = self.run_dir
        env["WEIR_BPF"] = "off"  # tests of it say otherwise, and keep to a cgroup and pins of their own
        env.update(more)
        return env

    def rules(self, content, app=None, name=None):
        self.count += 1
        path = os.path.join(self.path, name or "rules%d.json" % self.count)
        return Rules(path, content, self.app if app is None else app)

    def start(self, name, command, env=None, cwd=None):
        return Program(self, name, command, env or self.environment(), cwd)

    def weir_run(self, name, rules, command, env=None, app=None, options=(), run_dir=None):
        """`weir run` around a command."""
        line = [WEIR, "run", "-v", "-a", app or self.app, "--run-dir", run_dir or self.run_dir]
        for path in rules if isinstance(rules, (list, tuple)) else [rules]:
            line += ["-r", path.path if isinstance(path, Rules) else path]
        return self.start(name, line + list(options) + ["--"] + command, env)

    def agent(self, *paths, options=(), keep=True):
        """A weir-agent of its own in this sandbox's run directory, under a service manager that keeps its descriptors; without, its
        counters end with it."""
        line = [WEIR_AGENT, "--run-dir", self.run_dir]
        for path in paths:
            line += ["-r", path.path if isinstance(path, Rules) else path]
        line, env, fds = line + list(options), self.environment(), ()
        if keep:
            if not self.store:
                self.store = fd_store.Store(self.path)
                self.at_end(self.store.close)
            env["NOTIFY_SOCKET"] = self.store.path
            line, fds = self.store.command(line)
        agent = Program(self, "weir-agent", line, env, pass_fds=fds)
        until(lambda: self.agent_answers() or not agent.running(), "the agent's control socket")
        assert agent.running(), "weir-agent ended: " + agent.output()
        return agent

    def serve(self, kind, rules=None, weir=True, preload=False, env=None, address=None, **options):
        """Starts a server and waits until it listens. `weir`: under `weir run`; `preload`: with libweir.so and the
        agent that runs in this sandbox; neither: bare."""
        description = servers.SERVERS[kind]
        need(*description.programs)
        address = address or ("127.0.0.1", free_port())
        folder = tempfile.mkdtemp(prefix=kind + ".", dir=self.path)
        os.chmod(folder, 0o755)
        command = description.command(folder, address, **options)
        environment = self.environment(**(env or {}))
        if preload:
            environment.update(LD_PRELOAD=LIBWEIR, WEIR_APP=self.app)
            program = self.start(kind, command, environment)
        elif weir:
            program = self.weir_run(kind, rules, command, environment)
        else:
            program = self.start(kind, command, environment)
        becomes_daemon = options.get("daemon") == "on"  # goes on without the program that was started
        until(lambda: listening(address) or not (becomes_daemon or program.running()), "%s to listen on %s" % (kind, address), 40)
        assert becomes_daemon or program.running(), "%s ended at start: %s" % (kind, program.output())
        server = Server(program, description, address, weir and not preload)
        server.folder = folder
        if kind == "nginx" and not becomes_daemon:  # the master listens before it has workers
            until(lambda: len(server.workers()) >= options.get("workers", 1), "the workers")
        return server

    # ------------------------------------------------------------------------------------------------- the agent

    def control(self, **question):
        """One question to the agent on its control socket."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(os.path.join(self.run_dir, "control.sock"))
            sock.sendall(json.dumps(question).encode() + b"\n")
            answer = b""
            while True:
                part = sock.recv(65536)
                if not part:
                    return json.loads(answer)
                answer += part

    def agent_answers(self):
        try:
            return "agent" in self.control(cmd="status")
        except (OSError, ValueError):
            return False

    def status(self):
        return self.control(cmd="status")

    def app_status(self, app=None):
        for entry in self.status()["apps"]:
            if entry["app"] == (app or self.app):
                return entry
        return None

    def version(self, app=None):
        entry = self.app_status(app)
        return entry["rules_version"] if entry else 0

    def figures(self, since=None):
        """The agent's figures. They are of the last complete second: with `since` (as time.time()) those that hold everything
        that had happened by then are waited for."""
        if since is None:
            return self.control(cmd="figures")

        def fresh():
            figures = self.control(cmd="figures")
            return figures if figures["second"] > since else None  # a second's figures are taken at its end
        return until(fresh, "the agent's figures of this moment")

    def resource(self, name, app=None, now=False):
        """The figures of one resource; None when the agent has not seen it. `now`: everything until now is in them."""
        for entry in self.figures(time.time() if now else None)["apps"]:
            if entry["app"] == (app or self.app):
                for resource in entry["resources"]:
                    if resource["resource"] == name:
                        return resource
        return None

    def in_flight(self, *names):
        """How many requests these resources have in flight now; None while the agent has not seen one of them."""
        figures = self.figures(time.time())
        found = {resource["resource"]: resource["in_flight"] for app in figures["apps"] for resource in app["resources"]}
        return sum(found[name] for name in names) if all(name in found for name in names) else None

    def file_state(self, rules):
        for entry in self.status()["files"]:
            if os.path.realpath(entry["path"]) == os.path.realpath(rules.path):
                return entry
        return {"state": "absent", "errors": []}

    def edit(self, rules, content, how="save"):
        """Edits the rules file and returns once the agent has published it."""
        before = self.version()
        getattr(rules, how)(content)
        until(lambda: self.version() != before, "the edit of the rules to be published")

    def spoil(self, rules, text, how="save"):
        """Breaks the rules file and returns the agent's errors about it."""
        getattr(rules, how)(text)
        return until(lambda: self.file_state(rules)["state"] == "error" and self.file_state(rules)["errors"],
                     "the agent to notice the broken file")

    def weir(self, *arguments, check=None, text=None):
        """Runs the command `weir`; returns the completed process."""
        done = subprocess.run([WEIR] + list(arguments), env=self.environment(), input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        if check is not None:
            assert done.returncode == check, "weir %s: exit status %d\n%s%s" % (
                " ".join(arguments), done.returncode, done.stdout, done.stderr)
        return done


def counted_burst(address, count, data, expected, method="GET", attempts=6):
    """`count` requests at once, of which `expected` must pass and the rest must be 429. On a busy machine the burst can
    take longer than the second the threshold speaks of: then it says nothing, and is done again after a pause."""
    for _ in range(attempts):
        time.sleep(1.1)
        responses, seconds = burst(address, count, data, method)
        if seconds < 0.95:
            counts = statuses(responses)
            assert counts == {200: expected, 429: count - expected}, \
                "expected %d of %d to pass, got %r in %.3f s" % (expected, count, counts, seconds)
            return responses
    raise Skip("this machine could not send %d requests in a second, %d times" % (count, attempts))


def need_build(*paths):
    for path in paths or (WEIR, LIBWEIR):
        if not os.path.exists(path):
            raise SystemExit("%s is missing: run `make` first (or set WEIR_BUILD)" % path)


def main(*tests):
    """Runs test functions in order; the first failure ends it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that every sandbox is cleaned up
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background has ignored
    need_build()
    chosen = [test for test in tests if not sys.argv[1:] or test.__name__ in sys.argv[1:]]
    skipped = []
    for test in chosen:
        try:
            test()
            print("ok   %s" % test.__name__, flush=True)
        except Skip as why:
            print("skip %s: %s" % (test.__name__, why), flush=True)
            skipped.append("%s: %s" % (test.__name__, why))
        except Exception:
            traceback.print_exc()
            print("FAIL %s" % test.__name__, flush=True)
            sys.exit(1)
    if skipped:
        print("skipped: " + "; ".join(skipped))
        sys.exit(SKIPPED)
