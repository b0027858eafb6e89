#!/usr/bin/python3
"""Rules about what programs without a shim connect to, enforced in the kernel: exact counts over IPv4 and IPv6, for the
programs that the rules file is about and no others, found by program and by unit; concurrency; simulate; and a program that has
the shim is left to it. Thresholds are per hour, so that no count hangs on a clock."""
import os
import shutil
import socket
import subprocess
import threading

import weirtest
from harness import bpf


class Caller:
    """A process that made `times` connections and holds them until it is told to end."""

    def __init__(self, box, program, address, times, cgroup=None, env=None):
        def become():
            if cgroup:
                with open(os.path.join(cgroup, "cgroup.procs"), "w") as file:
                    file.write(str(os.getpid()))
        command = program if isinstance(program, list) else [program]
        self.popen = subprocess.Popen(command + [address[0], str(address[1]), str(times)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True, preexec_fn=become, env=env or box.environment())
        self.made, self.refused = map(int, self.popen.stdout.readline().split())

    def end(self):
        self.popen.communicate(timeout=30)


def call(box, program, address, times, **more):
    caller = Caller(box, program, address, times, **more)
    caller.end()
    assert caller.made + caller.refused == times, (caller.made, caller.refused)
    return caller.made


class Target:
    """Listens and keeps whatever comes."""

    def __init__(self, host):
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512)
        self.address = self.listener.getsockname()[:2]
        self.resource = ("tcp:[%s]:%d" if ":" in host else "tcp:%s:%d") % self.address
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.drain, args=(sock,), daemon=True).start()

    @staticmethod
    def drain(sock):
        with sock:
            while sock.recv(512):
                pass


def until_guarded(box, *resources):
    def ready():
        return {line["resource"] for line in box.app_status().get("guard", []) if line["by"] == "kernel"} >= set(resources)
    weirtest.until(ready, "the destinations to be limited by the kernel")


def total(box, resource, figure):
    return (box.resource(resource, now=True) or {}).get("total_" + figure, 0)


def rule(target, count, **more):
    return dict({"resource": target.resource, "count": count, "per": "hour", "scope": "app"}, **more)


def rates(box, place):
    four, six, other = Target("127.0.0.1"), Target("::1"), Target("127.0.0.1")
    hold = bpf.static_program(box, "hold")
    stranger = os.path.join(box.path, "stranger")
    shutil.copy(hold, stranger)
    rules = box.rules({"match": {"exe": hold}, "flow": [rule(four, 20, id="r"), rule(six, 7)]})
    place.agent(rules, needs=("guard",))
    until_guarded(box, four.resource, six.resource)
    assert call(box, hold, four.address, 30) == 20
    assert call(box, hold, six.address, 10) == 7
    assert call(box, hold, other.address, 30) == 30, "no rule names that destination"
    assert call(box, stranger, four.address, 30) == 30, "another program"
    assert (total(box, four.resource, "pass"), total(box, four.resource, "block")) == (20, 10)
    box.edit(rules, {"match": {"exe": hold}, "flow": [rule(four, 25, id="r")]})
    assert call(box, hold, four.address, 10) == 5
    assert call(box, hold, six.address, 10) == 10
    box.edit(rules, {"match": {"exe": hold}, "flow": [rule(four, 25, id="r", mode="simulate")]})
    assert call(box, hold, four.address, 10) == 10
    assert total(box, four.resource, "simulated") == 10


def concurrency(box, place):
    target = Target("127.0.0.1")
    hold = bpf.static_program(box, "hold")
    rules = box.rules({"match": {"comm": "hold"}, "isolation": [{"resource": target.resource, "count": 5}]})
    place.agent(rules, needs=("guard",))
    until_guarded(box, target.resource)
    first = Caller(box, hold, target.address, 3)
    second = Caller(box, hold, target.address, 8)
    assert (first.made, second.made, second.refused) == (3, 2, 6)
    first.end()
    third = Caller(box, hold, target.address, 8)
    assert third.made == 3, third.made
    second.end()
    third.end()
    assert call(box, hold, target.address, 9) == 5


def by_unit(box, place):
    target = Target("127.0.0.1")
    hold = bpf.static_program(box, "hold")
    unit = os.path.join(place.cgroup, "weirtest-%d.service" % os.getpid())
    os.mkdir(unit)
    try:
        place.agent(box.rules({"match": {"unit": os.path.basename(unit)}, "flow": [rule(target, 4)]}), needs=("guard",))
        until_guarded(box, target.resource)
        assert call(box, hold, target.address, 9) == 9, "not of that unit"
        assert call(box, hold, target.address, 9, cgroup=unit) == 4
    finally:
        box.end()
        os.rmdir(unit)


PYTHON_CALLER = """
import socket, sys
made = refused = 0
kept = []
for _ in range(int(sys.argv[3])):
    try:
        kept.append(socket.create_connection((sys.argv[1], int(sys.argv[2]))))
        made += 1
    except ConnectionRefusedError:
        refused += 1
print(made, refused, flush=True)
sys.stdin.read()
"""


def the_shim_alone(box, place):
    """Two programs of one app and one rule: what the shim has let pass or refused the kernel does not count again."""
    target = Target("127.0.0.1")
    hold = bpf.static_program(box, "hold")
    place.agent(box.rules({"match": {"uid": 0}, "flow": [rule(target, 10)]}), needs=("guard",))
    until_guarded(box, target.resource)
    shimmed = box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)
    assert call(box, ["/usr/bin/python3", "-c", PYTHON_CALLER], target.address, 15, env=shimmed) == 10
    assert (total(box, target.resource, "pass"), total(box, target.resource, "block")) == (10, 5)
    assert call(box, hold, target.address, 15) == 10
    assert (total(box, target.resource, "pass"), total(box, target.resource, "block")) == (20, 10)


bpf.main(rates, concurrency, by_unit, the_shim_alone)
