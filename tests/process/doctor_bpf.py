#!/usr/bin/python3
"""`weir doctor` with the kernel's counts and the kernel's limits: who is guarded by them, and whose traffic goes past
the shim."""
import contextlib
import json
import os
import subprocess
import threading

import weirtest
from harness import bpf

SERVERS = os.path.join(weirtest.BUILD, "tests/servers")
RULES = {"flow": [{"resource": "GET:/x", "count": 5}]}


def doctor(box, pid, check):
    done = box.weir("doctor", "--json", "--run-dir", box.run_dir, str(pid), check=check)
    return {entry["pid"]: entry for entry in json.loads(done.stdout)["processes"]}[pid]


def start(box, command, **env):
    port = weirtest.free_port()
    program = box.start(os.path.basename(command[0]), command + [str(port)], env=box.environment(**env))
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not program.running(), "the server")
    assert program.running(), program.output()
    program.address = ("127.0.0.1", port)
    return program


@contextlib.contextmanager
def traffic(address):
    """One connection after another, until the end of the block."""
    done = threading.Event()

    def ask():
        while not done.is_set():
            with contextlib.suppress(OSError, weirtest.Closed):
                weirtest.ask(address)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def guarded():
    """A static server is protected while the kernel enforces rules on its port, and not a moment longer."""
    weirtest.need("gcc")
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        program = os.path.join(box.path, "static_server")
        subprocess.run(["gcc", "-w", "-static", "-D_GNU_SOURCE", "-o", program,
                        os.path.join(weirtest.ROOT, "tests/servers/server.c"), "-lpthread"], check=True)
        server = start(box, [program, "poll"])
        match = {"match": {"exe": program}}
        rules = box.rules(dict(match, flow=[{"resource": "tcp::%d" % server.address[1], "count": 100}]))
        place.agent(rules)
        if not [one for one in box.status()["bpf"]["features"] if one["feature"] == "guard"][0]["on"]:
            raise weirtest.Skip("NOTHING IS TESTED of the kernel's limits: they are off")

        def cause(wanted):
            return doctor(box, server.pid, None)["cause"] == wanted
        weirtest.until(lambda: cause("kernel"), "the kernel to guard it")
        entry = doctor(box, server.pid, 0)
        assert entry["protected"] and entry["wanted"] and entry["app"] == box.app, entry
        box.edit(rules, dict(match, flow=[]))
        weirtest.until(lambda: cause("static"), "the guard to be gone")
        assert "tcp::%d" % server.address[1] in doctor(box, server.pid, 1)["remedy"]


def past_the_shim():
    """The shim is in both; the connections of one go past it."""
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        place.agent(box.rules(RULES))
        preload = {"LD_PRELOAD": weirtest.LIBWEIR, "WEIR_APP": box.app}
        raw = start(box, [os.path.join(SERVERS, "server_raw")], **preload)
        plain = start(box, [os.path.join(SERVERS, "server"), "poll"], **preload)
        for server in (raw, plain):
            assert doctor(box, server.pid, 0)["cause"] == "protected"  # no traffic yet, and nothing that speaks against it
        with traffic(plain.address):
            weirtest.until(lambda: place.row("in", plain.address[1])["opened"] > 10, "traffic")
            assert doctor(box, plain.pid, 0)["cause"] == "protected"
        with traffic(raw.address):
            weirtest.until(lambda: place.row("in", raw.address[1])["opened"] > 10, "traffic")
            entry = weirtest.until(lambda: (lambda one: one if one["cause"] == "raw-system-calls" else None)(doctor(box, raw.pid, None)),
                                   "the doctor to see it")
            assert not entry["protected"] and "system calls itself" in entry["remedy"], entry


SHARING = """
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(64)
while True:
    peer, _ = listener.accept()
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    peer.close()
"""


def partly():
    """Two processes share a port, and one of them has no shim."""
    with weirtest.Sandbox() as box, bpf.Place(box) as place:
        place.agent(box.rules(RULES))
        protected = start(box, ["/usr/bin/python3", "-c", SHARING], LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)
        other = box.start("other", ["/usr/bin/python3", "-c", SHARING, str(protected.address[1])])
        with traffic(protected.address):
            entry = weirtest.until(lambda: (lambda one: one if one["cause"] == "partly-seen" else None)(doctor(box, protected.pid, None)),
                                   "the doctor to see it", 30)
        assert not entry["protected"] and 0 < entry["shim_connections"] < entry["kernel_connections"], entry
        assert "SO_REUSEPORT" in entry["remedy"], entry
        assert doctor(box, other.pid, 1)["cause"] == "not-preloaded"
        text = box.weir("doctor", "--run-dir", box.run_dir, str(protected.pid), check=1).stdout
        assert "SEEN" in text and "%" in text, text


weirtest.main(guarded, past_the_shim, partly)
