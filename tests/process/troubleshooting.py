#!/usr/bin/python3
"""docs/troubleshooting.md: every command that it shows, run where its symptom is, prints what the page says. Numbers, ids and blanks may
differ, "…" stands for anything, and lines for lines of the output in that order."""
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile

import weirtest
from harness import claims

PAGE = os.path.join(weirtest.ROOT, "docs", "troubleshooting.md")
BLOCK = re.compile(r"^( *)<!-- shown: (\w+) -->\n *```\n(.*?)^ *```$", re.S | re.M)
FOLDER = "/etc/weir/rules.d/"
RULES = """{ "app": "shop", "flow": [
    { "id": "search", "resource": "GET:/search", "count": 20, "mode": "simulate" } ],
  "paramFlow": [
    { "id": "per-client", "resource": "http::8080", "count": 3, "per": "minute", "param": { "parseStrategy": "clientIp" } } ],
  "isolation": [ { "id": "chat", "resource": "GET:/chat", "count": 2 } ] }
"""
UPGRADE = [("Upgrade", "websocket"), ("Connection", "Upgrade")]


def blocks(text):
    """(scene, command, lines) of each."""
    for indent, scene, body in BLOCK.findall(text):
        command, *lines = [line[len(indent):] for line in body.splitlines()]
        assert command.startswith("$ weir "), command
        yield scene, command[2:], [line for line in lines if line.strip() and line.strip() != "…"]


def pattern(line):
    parts = []
    for word in line.split():
        word = re.escape(word).replace("…", ".*")
        word = re.sub(r"\b[0-9A-Z]{2}\\-[0-9A-Z]{4}\b", lambda _: r"\S+", word)
        parts.append(re.sub(r"\d+", lambda _: r"\d+", word))
    return re.compile(r"\s*" + r"\s+".join(parts))


def missing(lines, output):
    """The first line that the output does not have behind those before it; None: all are there."""
    rest = iter(output.splitlines())
    for line in lines:
        if not any(pattern(line).fullmatch(have.rstrip()) for have in rest):
            return line
    return None


class Scene:
    def __init__(self, box, server, folder):
        self.box, self.server, self.folder, self.ids = box, server, folder, {}
        self.rules = os.path.join(folder, "shop.json")
        self.run_dir, self.user = box.run_dir, ()

    def printed(self, command):
        words = [word.replace(FOLDER, self.folder + "/") for word in shlex.split(command)[1:]]
        words = [self.ids.get(words[0], word) if len(words) == 2 and number == 1 else word for number, word in enumerate(words)]
        words = [self.run_dir if word == "/run/weir" else word for word in words]
        done = subprocess.run([*self.user, weirtest.WEIR, *words], cwd=self.folder, env=self.box.environment(), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return done.stdout.replace(self.folder + "/", FOLDER).replace(self.run_dir, "/run/weir")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)


@contextlib.contextmanager
def as_it_is(scene):
    yield


@contextlib.contextmanager
def off(scene):
    weirtest.ask(scene.server.address, target="/search")
    weirtest.until(lambda: scene.box.resource("http::8080"), "figures")
    yield
    scene.box.weir("on", "shop", check=0)


@contextlib.contextmanager
def why(scene):
    got = [weirtest.ask(scene.server.address, target="/search") for _ in range(5)]
    assert got[-1].status == 429, got[-1]
    scene.ids["why"] = got[-1].header("x-weir-id")
    weirtest.until(lambda: scene.box.weir("why", scene.ids["why"]).returncode == 0, "the rejection to be known")
    yield


@contextlib.contextmanager
def never(scene):
    scene.write("never.json", '{ "app": "shop", "flow": [ { "id": "order", "resource": "/order", "count": 5 },\n'
                              '  { "id": "cart", "resource": "GET:/Cart", "count": 5 } ] }\n')
    yield


@contextlib.contextmanager
def times(scene):
    scene.write("times.json", '{ "app": "shop", "flow": [\n  { "id": "night", "resource": "GET:/a", "count": 5,\n'
                              '    "when": { "from": "22:00", "to": "06:00", "tz": "Europe/Berlin" } } ] }\n')
    yield


@contextlib.contextmanager
def mistake(scene):
    scene.write("shop.json", RULES.replace('"count": 20', '"cout": 20'))
    weirtest.until(lambda: scene.box.status()["files"][0]["state"] == "error", "the mistake to be found")
    yield
    scene.write("shop.json", RULES)
    weirtest.until(lambda: scene.box.status()["files"][0]["state"] == "ok", "the file to be right again")


@contextlib.contextmanager
def unreadable(scene):
    if os.getuid() != 0:
        raise weirtest.Skip("becoming another user takes root")
    scene.write("secret.json", RULES)
    os.chmod(os.path.join(scene.folder, "secret.json"), 0o600)
    scene.user = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    yield
    scene.user = ()


@contextlib.contextmanager
def websockets(scene):
    connections = []
    for number in range(3):
        connections.append(weirtest.Connection(scene.server.address))
        connections[-1].send(weirtest.request("GET", "/chat", headers=UPGRADE + [("X-Forwarded-For", "203.0.113.%d" % number)]))
        assert connections[-1].response().status == (101 if number < 2 else 429)
    weirtest.until(lambda: box_flight(scene) == 2, "two in flight")
    yield
    for connection in connections:
        connection.close()


def box_flight(scene):
    return (scene.box.resource("GET:/chat") or {}).get("in_flight")


@contextlib.contextmanager
def bare(scene):
    server = scene.box.serve("nginx", weir=False, address=(weirtest.own_loopback(), 8081))
    scene.ids["doctor"] = str(server.program.pid)
    yield


SCENES = {"status": as_it_is, "explain": as_it_is, "off": off, "why": why, "never": never, "times": times, "mistake": mistake,
          "unreadable": unreadable, "websockets": websockets, "bare": bare}


def what_differs_is_found():
    output = "a  1 b\nc 22 id 0K-WWD2\n"
    assert missing(["a 7 b", "c 1 id 00-75C9"], output) is None and missing(["a … b"], output) is None
    for wrong in (["a 1 c"], ["c 1 id 00-75C9", "a 1 b"], ["a 1 b more"], ["a b"]):
        assert missing(wrong, output), wrong


def the_page():
    with open(PAGE) as file:
        shown = list(blocks(file.read()))
    assert {scene for scene, _, _ in shown} == set(SCENES), sorted({scene for scene, _, _ in shown} ^ set(SCENES))
    origin = claims.Origin()
    origin.step = claims.Step("1 × GET /chat, answered 101 → 1 passes", "the page")
    folder = tempfile.mkdtemp(prefix="troubleshooting.", dir="/tmp")
    os.chmod(folder, 0o755)
    try:
        with weirtest.Sandbox(app="shop") as box:
            os.chmod(box.path, 0o755)
            with open(os.path.join(folder, "shop.json"), "w") as file:
                file.write(RULES)
            where = "location / { return 200 ok; } " + claims.PROXY.replace("location /", "location /chat") % origin.server_port
            server = box.serve("nginx", os.path.join(folder, "shop.json"), address=(weirtest.own_loopback(), 8080), server=where)
            scene = Scene(box, server, folder)
            for name, command, lines in shown:
                with SCENES[name](scene):
                    if name == "off" and "off" not in command:
                        box.weir("off", "shop", check=0)
                    output = scene.printed(command)
                line = missing(lines, output)
                assert line is None, "%s does not print %r:\n%s" % (command, line, output)
    finally:
        origin.end()
        shutil.rmtree(folder)


weirtest.main(what_differs_is_found, the_page)
