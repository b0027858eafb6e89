#!/usr/bin/python3
"""Rules that can never match: said by `weir check`, with what would."""
import json
import os

import weirtest

SETTLED = {"strictHttp": "defend", "trustedProxies": [], "ipv6Prefix": 64, "rt": "head", "upgraded": "hold"}


def save(box, name, flow, app="shop"):
    path = os.path.join(box.path, name)
    with open(path, "w") as file:
        json.dump({"app": app, "options": SETTLED, "flow": flow}, file, indent=2)
    return path


def check_names_the_fix():
    with weirtest.Sandbox() as box:
        good = save(box, "good.json", [{"resource": "GET:/order", "count": 1}], app="good")
        bad = save(box, "bad.json", [{"resource": "/order", "count": 1}, {"resource": "http:8080", "count": 1}])
        done = box.weir("check", good, bad)
        assert done.stderr.count(": warning: ") == 2, done.stderr
        assert "%s:12:19: warning: $.flow[0].resource: never matches: " % bad in done.stderr, done.stderr
        assert '"GET:/order"' in done.stderr and '"http::8080"' in done.stderr, done.stderr
        assert box.weir("check", "--strict", good).stderr == ""
        assert box.weir("check", "--strict", good, bad, check=2).stderr == done.stderr
        shown = json.loads(box.weir("check", "--json", "--strict", good, bad, check=2).stdout)
        assert shown["ok"], "warnings are no errors"
        assert [len(file["warnings"]) for file in shown["files"]] == [0, 2], shown
        assert "GET:/order" in shown["files"][1]["warnings"][0]["message"] and shown["files"][1]["warnings"][0]["line"] == 12, shown


def arrays_of_paths():
    """As Sentinel's dashboards hold them: a path alone is all of its requests, a query is none of a path."""
    with weirtest.Sandbox() as box:
        path = os.path.join(box.path, "shop-flow-rules.json")
        with open(path, "w") as file:
            json.dump([{"resource": "/x", "count": 1}, {"resource": "/x?y=1", "count": 1}], file)
        warnings = [warning for warning in json.loads(box.weir("check", "--json", path, check=0).stdout)["files"][0]["warnings"]
                    if "meaning changed" not in warning["message"]]
        assert len(warnings) == 1 and warnings[0]["path"] == "$[1].resource" and 'write "/x"' in warnings[0]["message"], warnings


def examples_can_match():
    """But for what is Sentinel's as it is: names and arguments that Java gives."""
    folder = os.path.join(weirtest.ROOT, "rules", "examples")
    files = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".json") and name != "sentinel.json"]
    with weirtest.Sandbox() as box:
        for file in files:
            shown = json.loads(box.weir("check", "--json", file, check=0).stdout)["files"]
            never = [warning["message"] for warning in shown[0]["warnings"] if "meaning changed" not in warning["message"]]
            assert not never, (file, never)
            box.weir("check", "--strict", file, check=0)  # notes on an upgrade are no faults
        assert files
        box.weir("check", "--strict", os.path.join(folder, "sentinel.json"), check=2)


def traffic_that_a_rule_never_meets():
    """Said once there is traffic, with the name that was probably meant; not of an idle app, and no longer once it is met."""
    with weirtest.Sandbox() as box:
        header = {"parseStrategy": "header", "fieldName": "x-key"}
        rules = {"options": SETTLED,
                 "flow": [{"id": "slip", "resource": "GET:/smalx", "count": 5}, {"id": "met", "resource": "GET:/small", "count": 1000},
                          {"id": "pattern", "resource": "POST:/*", "resourceMatch": "glob", "count": 5},
                          {"id": "beside", "resource": "GET:/small", "count": 5, "strategy": "relate", "refResource": "GET:/otherx"},
                          {"id": "expression", "resource": "GET:/sm.*", "regex": True, "count": 1000},
                          {"id": "off", "resource": "GET:/never", "count": 5, "mode": "off"}],
                 "paramFlow": [{"id": "keys", "resource": "GET:/small", "param": header, "count": 5},
                               {"id": "addresses", "resource": "GET:/small", "param": {"parseStrategy": "clientIp"}, "count": 1000}]}
        file = box.rules(rules)
        box.agent(file)
        server = box.serve("nginx", preload=True)
        unmet = lambda: {rule["rule"]: rule for rule in box.app_status()["unmet"]}
        assert unmet() == {}, "an idle app has met nothing"

        def ask(*targets, **more):
            for target in targets:
                weirtest.ask(server.address, target=target, **more)
            return unmet()
        weirtest.until(lambda: set(ask("/small", "/other")) == {"slip", "pattern", "beside", "keys"}, "the rules that nothing meets", 60, 0.2)
        found = unmet()
        assert found["slip"]["nearest"] == "GET:/small" and found["slip"]["why"] == "resource" and found["slip"]["since"] > 0, found
        assert found["beside"]["nearest"] == "GET:/other" and found["beside"]["why"] == "reference", found
        assert found["keys"]["why"] == "value" and found["pattern"]["nearest"] == "", found
        shown = " ".join(box.weir("status", check=0).stdout.split())
        assert "rule slip: no traffic of GET:/smalx for " in shown and "there is traffic of GET:/small" in shown, shown
        assert "some rules of its app have met no traffic" in " ".join(box.weir("doctor", str(server.main_pid())).stdout.split())
        since = found["slip"]["since"]
        rules["flow"][0]["count"] = 6  # the same rule: it has met nothing for as long as before
        box.edit(file, rules)
        weirtest.until(lambda: ask("/small").get("slip", {}).get("since") == since, "what is known of it to be kept")
        weirtest.until(lambda: set(ask("/smalx", "/otherx", "/small", headers=[("X-Key", "a")])) == {"pattern"}, "what is met no longer to be said")


weirtest.main(check_names_the_fix, arrays_of_paths, examples_can_match, traffic_that_a_rule_never_meets)
