#!/usr/bin/python3
"""Rules about the connections of a static server, enforced in the kernel: counts over IPv4 and IPv6, edits while it runs,
simulate, off, the kill switch, SYN cookies; a port without rules is left alone, and so is a server that has the shim.
Thresholds are per hour, so that no count hangs on a clock."""
import weirtest
from harness import bpf
from harness.guard import PER_HOUR, nearly, passed, serve, total, until_guarded


def rates(box, place):
    binary = bpf.static_program(box, "hold")
    port, other = weirtest.free_port(), weirtest.free_port()
    resource, match = "tcp::%d" % port, {"exe": binary}

    def rule(count, **more):
        return {"match": match, "flow": [dict({"resource": resource, "count": count, "id": "r"}, **PER_HOUR, **more)]}
    rules = box.rules(rule(50))
    place.agent(rules, needs=("guard",))
    serve(box, binary, port)
    serve(box, binary, other)
    until_guarded(box, resource)
    first = passed(port, 40)
    nearly(first, 40)
    second = passed(port, 30, "::1")
    nearly(first + second, 50)  # IPv4 and IPv6 together
    assert passed(other, 100) == 100, "no rule names that port"
    nearly(70, total(box, resource, "pass") + total(box, resource, "block"))
    nearly(total(box, resource, "pass"), 50)

    box.edit(rules, rule(80))
    nearly(first + second + passed(port, 60), 80)  # an edit neither refills nor forgets
    box.edit(rules, rule(10))
    assert passed(port, 10) == 0
    blocked = total(box, resource, "block")
    box.edit(rules, rule(10, mode="simulate"))
    assert passed(port, 25) == 25
    simulated = total(box, resource, "simulated")
    nearly(25, simulated)
    assert total(box, resource, "block") == blocked
    box.edit(rules, rule(10, mode="off"))
    assert passed(port, 10) == 10
    nearly(simulated, total(box, resource, "simulated"))
    box.edit(rules, rule(10))
    until_guarded(box, resource)
    box.weir("off", box.app, check=0)
    assert passed(port, 30) == 30, "switched off"
    box.weir("on", box.app, check=0)
    assert passed(port, 30) <= 10
    assert passed(port, 30) == 0
    status = box.weir("status", check=0).stdout
    assert resource in status and "kernel" in status, status



def cookies(box, place):
    """With SYN cookies the kernel looks for the listener twice for each connection, and it is charged once."""
    binary = bpf.static_program(box, "hold")
    try:
        with open("/proc/sys/net/ipv4/tcp_syncookies", "w") as file:
            file.write("2")
    except OSError as error:
        print("SYN cookies are not tested: %s" % error)
        return
    port = weirtest.free_port()
    rules = box.rules({"match": {"exe": binary}, "flow": [dict({"resource": "tcp::%d" % port, "count": 50}, **PER_HOUR)],
                       "isolation": [{"resource": "tcp::%d" % port, "count": 1000}]})
    place.agent(rules, needs=("guard",))
    serve(box, binary, port)
    until_guarded(box, "tcp::%d" % port)
    nearly(passed(port, 60), 50)
    with open("/proc/sys/net/ipv4/tcp_syncookies", "w") as file:
        file.write("1")



def the_shim_alone(box, place):
    """The same rule in the same app: the static server's port is the kernel's, the shimmed server's is its shim's."""
    binary = bpf.static_program(box, "hold")
    port, shimmed = weirtest.free_port(), weirtest.free_port()
    rule = dict({"resource": "tcp::*", "resourceMatch": "glob", "count": 20, "scope": "app", "id": "all"}, **PER_HOUR)
    rules = box.rules({"match": {"uid": 0}, "flow": [rule]})
    place.agent(rules, needs=("guard",))
    server = box.serve("threading", preload=True, address=("127.0.0.1", shimmed))
    serve(box, binary, port)
    until_guarded(box, "tcp::%d" % port)
    until_guarded(box, "tcp::%d" % shimmed, "shim")
    refused = answered = reset = 0
    for _ in range(50):
        try:
            answered += weirtest.ask(server.address, target="/").status > 0
        except ConnectionRefusedError:
            refused += 1
        except OSError:
            reset += 1
        except weirtest.Closed:
            reset += 1
    assert (refused, answered, reset) == (0, 20, 30), (refused, answered, reset)
    nearly(passed(port, 50), 20)
    assert (total(box, "tcp::%d" % shimmed, "pass"), total(box, "tcp::%d" % shimmed, "block")) == (20, 30)
    nearly(total(box, "tcp::%d" % port, "pass"), 20)



def not_in_the_kernel(box, place):
    """What the kernel cannot enforce is named."""
    binary = bpf.static_program(box, "hold")
    port = weirtest.free_port()
    resource = "tcp::%d" % port
    rules = box.rules({"match": {"exe": binary}, "flow": [{"resource": resource, "count": 1000, "id": "ok"},
                                                          {"resource": resource, "count": 1, "id": "waits", "controlBehavior": "queue"},
                                                          {"resource": "GET:/x", "count": 1, "id": "route"}]})
    place.agent(rules, needs=("guard",))
    serve(box, binary, port)
    until_guarded(box, resource)
    assert {(one["rule"], one["why"]) for one in box.app_status()["unenforced"]} == {("waits", "queueing"), ("route", "not about connections (tcp:)")}
    assert "rule waits is not enforced for programs without a shim: queueing" in box.weir("status", check=0).stdout
    assert passed(port, 20) == 20


bpf.main(rates, cookies, the_shim_alone, not_in_the_kernel)
