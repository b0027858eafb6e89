#!/usr/bin/python3
"""`weir why ID`: a blocked client names the id it was told, and the operator learns the rule, its version and author, the caller and
the figures; an id that nobody knows says so."""
import json
import os
import pwd
import subprocess

import weirtest

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = [("traceparent", "00-%s-00f067aa0ba902b7-01" % TRACE)]
FIRST = {"flow": [{"id": "first", "resource": "GET:/blocked", "count": 0}, {"resource": "GET:/other", "count": 0}]}


def why(box, *words, status=0):
    done = subprocess.run([weirtest.WEIR, "why", *words], env=box.environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode == status, (words, done)
    return done.stdout if status == 0 else done.stderr


def known(box, rejection):
    return json.loads(why(box, "--json", rejection))


def blocked(server, target="/blocked", **more):
    response = weirtest.ask(server.address, target=target, **more)
    assert response.status == 429, response
    return response


def asked_at_once(box, server, rules):
    response = blocked(server, headers=PARENT)
    name = response.header("x-weir-id")
    assert json.loads(response.body)["id"] == name and json.loads(response.body)["traceId"] == TRACE
    got = known(box, name)
    assert (got["rule"], got["reason"], got["resource"]) == ("first", "flow", "GET:/blocked"), got
    assert got["caller"] == {"origin": "127.0.0.1", "address": "127.0.0.1"} and got["trace"] == TRACE, got
    assert got["rules_version"] == got["rules_version_now"] == got["changed_in_version"] == box.version(), got
    assert os.path.realpath(got["file"]) == os.path.realpath(rules.path) and got["line"] > 1, got
    assert got["changed_by_uid"] == os.getuid() and got["limit"] == 0 and got["pid"] in server.processes(), got
    text = why(box, name.lower().replace("-", ""))
    for word in ("first (flow)", "127.0.0.1", TRACE, rules.path, pwd.getpwuid(os.getuid()).pw_name, "GET:/blocked"):
        assert word in text, (word, text)
    return name


def after_an_edit(box, server, rules, name):
    """The version that was in force then; and a rule that did not change keeps the version that it came with."""
    before = box.version()
    other = blocked(server, "/other").header("x-weir-id")
    box.edit(rules, {"flow": [{"id": "first", "resource": "GET:/blocked", "count": 0, "burst": 0, "limitApp": "127.0.0.1"}, FIRST["flow"][1]]})
    got = known(box, name)
    assert got["rules_version"] == before and got["rules_version_now"] == before + 1 and got["changed_in_version"] == before, got
    assert "no longer in force" in why(box, name)
    weirtest.until(lambda: known(box, blocked(server).header("x-weir-id"))["changed_in_version"] == before + 1, "the new version")
    got = known(box, blocked(server, "/other").header("x-weir-id"))
    assert got["rules_version"] == before + 1 and got["changed_in_version"] == before, got
    assert known(box, other)["rules_version"] == before


def figures_of_that_second(box, name):
    got = weirtest.until(lambda: known(box, name).get("figures"), "the second to end")
    assert got["block"] >= 1 and got["pass"] == 0, got


def unknown(box, name):
    assert "no app here gave that id" in why(box, "7Z" + name[2:], status=1)
    assert "no id" in why(box, "xyz", status=2)
    assert "no id" in box.control(cmd="why", id="\x01\"")["error"]
    assert "no id" in box.control(cmd="why")["error"]


def under_weir_run():
    with weirtest.Sandbox() as box:
        rules = box.rules(FIRST)
        server = box.serve("nginx", rules)
        name = asked_at_once(box, server, rules)
        figures_of_that_second(box, name)
        after_an_edit(box, server, rules, name)
        unknown(box, name)


def under_the_agent():
    """And with an agent that comes later: what is in the shared memory still is told."""
    with weirtest.Sandbox() as box:
        rules = box.rules(FIRST)
        agent = box.agent(rules)
        server = box.serve("threading", preload=True)
        weirtest.until(lambda: weirtest.ask(server.address, target="/blocked").status == 429, "the rules in force")
        name = blocked(server).header("x-weir-id")
        assert known(box, name)["rule"] == "first"
        agent.kill()
        later = blocked(server).header("x-weir-id")
        box.agent(rules)
        for given in (name, later):
            got = known(box, given)
            assert got["rule"] == "first" and os.path.realpath(got["file"]) == os.path.realpath(rules.path), got
            assert "changed" not in got, "nobody knows when that was"
        assert "before this agent began" in why(box, name)


def in_a_flood():
    """Every answer has an id, few of them are different, and all of them are known."""
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(FIRST))
        names = set()
        with weirtest.Connection(server.address) as connection:
            connection.send(weirtest.request("GET", "/blocked") * 900)
            for _ in range(900):
                names.add(connection.response().header("x-weir-id"))
        assert None not in names and 2 <= len(names) < 300, len(names)
        assert {known(box, name)["rule"] for name in sorted(names)[:20]} == {"first"}
        weirtest.until(lambda: sum(known(box, name)["more"] for name in sorted(names)[-20:]) > 100, "the others to be counted")


def in_the_block_log():
    """An id and a trace id stand beside what was rejected in a second."""
    with weirtest.Sandbox() as box:
        logs = os.path.join(box.path, "logs")
        os.mkdir(logs)
        box.agent(box.rules(FIRST), options=("--log-dir", logs))
        server = box.serve("nginx", preload=True)
        weirtest.until(lambda: weirtest.ask(server.address, target="/blocked").status == 429, "the rules in force")
        name = blocked(server, headers=PARENT).header("x-weir-id")

        def line():
            with open(os.path.join(logs, "weir-block.log")) as file:
                return [line for line in file if TRACE in line]
        found = weirtest.until(lambda: os.path.exists(os.path.join(logs, "weir-block.log")) and line(), "a line with the trace")
        fields = found[0].split("|")[2].split(",")
        assert fields[:2] == ["GET:/blocked", "FlowException"] and fields[4:] == ["first", name, TRACE], found


weirtest.main(under_weir_run, under_the_agent, in_a_flood, in_the_block_log)
