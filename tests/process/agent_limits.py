#!/usr/bin/python3
"""The shim's tie to the agent in programs that are short of something, or that live oddly: no descriptors, little address space, exec, low
descriptor numbers, no agent at all. Nothing of the application's may change."""
import subprocess

import weirtest

PYTHON = "/usr/bin/python3"


def run(box, script, limits="", timeout=60, **env):
    """A python program under the shim, with limits set by the shell before it."""
    environment = box.environment(WEIR_APP=box.app, SCRIPT=script, LD_PRELOAD="", **env)
    line = "%s LD_PRELOAD=%s exec %s -c \"$SCRIPT\"" % (limits + ";" if limits else "", weirtest.LIBWEIR, PYTHON)
    done = subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (script, done)
    return done.stdout.strip()


# A request to itself, through the shim: a server thread and a client.
SERVE = """
import http.server, threading, urllib.request, urllib.error
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
def ask():
    try: return urllib.request.urlopen("http://127.0.0.1:%d/small" % server.server_address[1], timeout=20).status
    except urllib.error.HTTPError as error: return error.code
"""


def block():
    return {"flow": [{"resource": "GET:/small", "count": 0}]}


def protected_by_default():
    with weirtest.Sandbox() as box:
        box.agent(box.rules(block()))
        assert run(box, SERVE + "print(ask())") == "429"


def little_address_space():
    """What is mapped is little, so that a program is protected that may not have much; where even that would be a good part
    of what it has left, it goes without."""
    with weirtest.Sandbox() as box:
        box.agent(box.rules(block()))
        assert run(box, SERVE + "print(ask())", "ulimit -v 700000") == "429"
        small = "import resource; resource.setrlimit(resource.RLIMIT_AS, (int(open('/proc/self/statm').read().split()[0]) * 4096 + (2 << 20),) * 2)"
        assert subprocess.run(["/usr/bin/python3", "-c", small + "; print('alive')"], capture_output=True, text=True,
                              env=box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)).stdout == "alive\n"


def no_descriptors():
    """No descriptor is free when the program starts: it passes; and its own errors are its own."""
    with weirtest.Sandbox() as box:
        box.agent(box.rules(block()))
        for number in range(4, 9):
            done = subprocess.run(["/bin/sh", "-c", "ulimit -n %d; LD_PRELOAD=%s exec /bin/echo alive" % (number, weirtest.LIBWEIR)],
                                  env=box.environment(WEIR_APP=box.app), capture_output=True, text=True)
            assert done.stdout == "alive\n", (number, done)
        full = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
held = []
try:
    while True: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error: print(error.errno)
pid = os.fork()
if pid == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
        assert run(box, full) == "24\n7"


def descriptor_numbers_are_the_applications():
    """The lowest free number is what a program gets, with the shim attached and after it looked for an agent in vain."""
    numbers = "import os, time\n%stime.sleep(0.3)\nprint(sorted(int(n) for n in os.listdir('/proc/self/fd')))"
    once, twice = SERVE + "ask()\n", SERVE + "ask()\ntime.sleep(1.2)\nask()\n"
    with weirtest.Sandbox() as box:
        def bare(script):
            return subprocess.run([PYTHON, "-c", numbers % script], env=box.environment(), capture_output=True, text=True).stdout.strip()
        agent = box.agent(box.rules({"flow": []}))
        for script in ("", once, twice):
            assert run(box, numbers % script) == bare(script), script
        agent.kill()
        for script in ("", twice):
            assert run(box, numbers % script) == bare(script), script


def exec_gives_its_slot_up():
    """Each new image of a process takes a slot; the one before has gone with its image."""
    with weirtest.Sandbox() as box:
        box.agent(box.rules(block()))
        script = """
import os, sys, time
left = int(os.environ.get("LEFT", "30"))
os.environ["LEFT"] = str(left - 1)
if left: os.execv("/usr/bin/python3", ["python3", "-c", os.environ["SCRIPT"]])
print(os.getpid(), flush=True)
time.sleep(60)
"""
        environment = box.environment(WEIR_APP=box.app, SCRIPT=script, LD_PRELOAD=weirtest.LIBWEIR)
        program = box.start("exec", [PYTHON, "-c", script], environment)
        weirtest.until(lambda: program.output().strip(), "the last image")
        weirtest.until(lambda: [entry["pid"] for entry in box.app_status()["processes"]] == [program.pid], "one slot for one process")


def more_processes_than_slots():
    """300 processes at once for 256 slots: all serve, and the slots of the dead come back."""
    with weirtest.Sandbox() as box:
        box.agent(box.rules(block()))
        script = """
import os, sys
pids, (ready, told), (go, held) = [], os.pipe(), os.pipe()
for _ in range(300):
    pid = os.fork()
    if pid == 0:
        import socket
        a = socket.create_server(("127.0.0.1", 0)); b = socket.create_connection(a.getsockname()); a.accept()
        os.write(told, b"."); os.close(held); os.read(go, 1); os._exit(0)
    pids.append(pid)
count = 0
while count < 300: count += len(os.read(ready, 300))
os.close(held)
print(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
"""
        assert run(box, script) == "0"
        weirtest.until(lambda: box.app_status()["processes"] == [], "all slots to be free")


def switched_off_by_environment():
    with weirtest.Sandbox() as box:
        box.agent(box.rules(block()))
        assert run(box, SERVE + "print(ask())", WEIR_DISABLE="1") == "200"
        assert box.app_status()["processes"] == []
        assert run(box, SERVE + "print(ask())", WEIR_RUN_DIR="/" + "x" * 200) == "200"
        assert run(box, "import os; print(len(os.environ['WEIR_APP']))", "export WEIR_APP=%s" % ("a" * 500)) == "500"


weirtest.main(protected_by_default, little_address_space, no_descriptors, descriptor_numbers_are_the_applications, exec_gives_its_slot_up,
              more_processes_than_slots, switched_off_by_environment)
