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


weirtest.main(check_names_the_fix)
