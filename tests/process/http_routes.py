#!/usr/bin/python3
"""Names of requests on real servers: routes and groups by regular expression, a request in several groups, learned names and their
siblings, {other}, and spellings of a path that nginx takes for the same: none dodges its rule."""
import json
import time

import weirtest

NOTHING = {"count": 0}


def statuses(server, *targets, method="GET", **more):
    with weirtest.Connection(server.address) as connection:
        connection.send(b"".join(weirtest.request(method, target, **more) for target in targets))
        return [connection.response(method).status for _ in targets]


def blocked(server, *targets, **more):
    return [status == 429 for status in statuses(server, *targets, **more)]


def regular_expressions():
    """Routes and groups by expression, anchored at both ends; one that would take for ever neither does so nor lets anybody by."""
    resources = [{"kind": "route", "name": "reports", "pattern": "/report/(daily|weekly)-[0-9]+", "matchStrategy": "regex"},
                 {"kind": "route", "name": "slow", "pattern": "/slow/(a+)+[bd]", "matchStrategy": 2, "method": "GET"},
                 {"kind": "api", "name": "numbers", "predicateItems": [{"pattern": ".*/[0-9]+", "matchStrategy": "regex"}, {"pattern": "/exact"}]}]
    with weirtest.Sandbox() as box:
        rules = box.rules({"resources": resources, "flow": [dict(NOTHING, resource="reports"), dict(NOTHING, resource="slow")]})
        server = box.serve("nginx", rules)
        asked = ["/report/daily-7", "/report/daily-7?x", "/report/%64aily-7", "/report/daily-", "/report/daily-7/x", "/x/report/daily-7", "/report/weekly-12"]
        expected = [True, True, True, False, False, False, True]
        for _ in range(2):  # found, and remembered
            assert blocked(server, *asked) == expected
        assert blocked(server, "/slow/aab", "/slow/aac", "/slow/" + "a" * 60) == [True, False, True]  # 2^60 steps to find out: it counts
        assert blocked(server, "/slow/aab", method="DELETE") == [False]
        box.edit(rules, {"resources": resources, "gateway": [dict(NOTHING, resource="numbers", resourceMode="api")]})
        assert blocked(server, "/report/daily-7", "/a/b/12", "/a/b/12a", "/exact", "/exact/") == [False, True, False, True, False]


def route_and_every_group():
    """One request counts for its route, configured or learned, and for each group that it falls in."""
    resources = [{"kind": "route", "name": "product", "pattern": "/product/{sku}"}]
    resources += [{"kind": "api", "name": "group%d" % number, "predicateItems": [{"pattern": pattern, "matchStrategy": strategy}]}
                  for number, (pattern, strategy) in enumerate((("/product/**", 1), ("/product/.*", "regex"), ("/**", "glob"), ("/product/7", 0), ("/no", 0)))]
    with weirtest.Sandbox() as box:
        rules = box.rules({"resources": resources, "flow": [{"resource": "nobody", "count": 1}]})
        server = box.serve("nginx", rules)
        assert statuses(server, "/product/7", "/product/7", "/product/8", "/elsewhere/9") == [404] * 4
        passed = {}
        for app in box.figures(time.time())["apps"]:
            passed.update((entry["resource"], entry["total_pass"]) for entry in app["resources"])
        expected = {"product": 3, "group0": 3, "group1": 3, "group2": 4, "group3": 2, "GET:/elsewhere/{id}": 1, "http::%d" % server.port: 4}
        assert {name: passed.get(name) for name in expected} == expected and "group4" not in passed, passed
        for name in ("product", "group0", "group1", "group2", "group3"):
            box.edit(rules, {"resources": resources, "flow": [dict(NOTHING, resource=name)]})
            assert blocked(server, "/product/7", "/product/7") == [True, True], name
            assert blocked(server, "/elsewhere/9") == [name == "group2"], name


def more_groups_than_count():
    """A request counts for eight resources: what is left out is told, and never what another reading of its path comes to."""
    groups = [{"kind": "api", "name": "g%d" % number, "predicateItems": [{"pattern": "/**", "matchStrategy": "glob"}]} for number in range(9)]
    with weirtest.Sandbox() as box:
        rules = box.rules({"resources": groups, "flow": [{"resource": "nobody", "count": 1}]})
        server = box.serve("nginx", rules)
        assert blocked(server, "/x") == [False]
        told = "GET:/x is in more groups, the last ones are left out"
        weirtest.until(lambda: told in server.program.output(), "the event in the log")
        for number in (0, 4, 5, 8):
            box.edit(rules, {"resources": groups, "flow": [dict(NOTHING, resource="g%d" % number)]})
            assert blocked(server, "/x") == [number < 5], number
            explained = json.loads(box.weir("explain", "--json", "-P", str(server.port), "-r", rules.path, "--", "GET /x").stdout)
            assert [entry["resource"] for entry in explained["resources"]] == \
                ["GET:/x"] + ["g%d" % kept for kept in range(5)] + ["http::%d" % server.port, "tcp::%d" % server.port], explained
            assert explained["left_out"] == ["g5", "g6", "g7"], explained
        box.edit(rules, {"resources": groups, "flow": [dict(NOTHING, resource="GET:/admin/secret")]})
        assert blocked(server, "/admin/secret", "/admin%2Fsecret", "/admin;x/secret") == [True] * 3


SPELLINGS = ("/admin/secret", "/admin//secret", "//admin/secret", "/./admin/secret", "/admin/./secret", "/x/../admin/secret", "/admin/x/../secret",
             "/%61dmin/secret", "/admin/%73ecret", "/%61%64%6D%69%6e/secret", "/admin/%2e/secret", "/x/%2E%2e/admin/secret", "/admin/secret?a=b",
             "/admin/secret#a", "http://other.example.com/admin/secret", "/admin%2Fsecret", "/admin/x%2f..%2Fsecret",
             "/" + "a/" * 1500 + "../" * 1500 + "admin/secret", "/" + "b" * 3000 + "/../admin/secret", "/admin/%2F/secret")
OTHERS = ("/admin/secrets", "/admin/secret/", "/Admin/secret", "/admin/%2573ecret", "/adminsecret")


def spellings():
    """What nginx takes for /admin/secret meets the rule on it, and what it does not take for that does not."""
    config = "large_client_header_buffers 4 32k;", "location = /admin/secret { return 200 secret; }"
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "nobody", "count": 1}]})
        server = box.serve("nginx", rules, http=config[0], server=config[1])
        served = []
        for target in SPELLINGS + OTHERS:
            response = weirtest.ask(server.address, target=target)
            assert (response.status, target in SPELLINGS) in ((200, True), (404, False)), (target[:80], response)
            served.append(target)
        sections = [{"flow": [dict(NOTHING, resource="GET:/admin/secret")]},
                    {"resources": [{"kind": "route", "name": "r", "pattern": "/admin/secret"}], "flow": [dict(NOTHING, resource="r")]},
                    {"resources": [{"kind": "api", "name": "g", "predicateItems": [{"pattern": "/admin/secret"}]}], "flow": [dict(NOTHING, resource="g")]},
                    {"flow": [dict(NOTHING, resource="GET:/{area}/secret")]}]
        for section in sections:
            box.edit(rules, section)
            for _ in range(2):
                for target in SPELLINGS:
                    assert weirtest.ask(server.address, target=target).status == 429, (section, target[:80])
        box.edit(rules, sections[0])
        for target in OTHERS:
            assert weirtest.ask(server.address, target=target).status == 404, target
        box.edit(rules, {"flow": [dict(NOTHING, resource="GET:/admin/*", resourceMatch="glob"), dict(NOTHING, resource="GET:/pre", resourceMatch="prefix")]})
        for target in SPELLINGS:
            assert weirtest.ask(server.address, target=target).status == 429, target[:80]
        assert blocked(server, "/admin/%s" % ("x" * 60), "/admin/7", "/prefix", "/pre-%s" % ("x" * 60), "/pre7", "/pr") == [True] * 5 + [False]
        box.edit(rules, sections[0])
        # Java's servlets read this as the same path; so it counts for it, too.
        assert blocked(server, "/admin;x=y/secret;jsessionid=1", "/x/..;/admin/secret") == [True, True]


READINGS = {"node": ("//host/blocked", "///host/blocked?x", "/\\host/blocked", "/\\/host\\blocked", "http://x/./blocked"),
            "http.server": ("/blocked/.", "/blocked/x/..", "//blocked/.", "/blocked/%2e", "/x/..%2Fblocked", "blocked")}


def as_the_server_reads_it():
    """What node's URLs and Python's files take for /blocked meets the rule on it."""
    for kind, targets in READINGS.items():
        with weirtest.Sandbox() as box:
            rules = box.rules({"flow": [{"resource": "nobody", "count": 1}]})
            server = box.serve(kind, rules)
            for target in targets:
                assert weirtest.ask(server.address, target=target).body == b"blocked\n", (kind, target)
            box.edit(rules, {"flow": [dict(NOTHING, resource="GET:/blocked")]})
            for target in targets:
                assert weirtest.ask(server.address, target=target).status == 429, (kind, target)


def siblings():
    """Names that proliferate below a path collapse, for all processes of the app together; who was there before stays."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"options": {"maxSiblings": 5}, "flow": [{"resource": "GET:/blog/{", "resourceMatch": "prefix", "count": 3, "scope": "app", "intervalSec": 3600},
                                                                   dict(NOTHING, resource="GET:/blog/late")]})
        server = box.serve("nginx", rules, workers=2)
        words = ["alpha", "beta", "gamma", "delta", "epsilon"]
        for word in words:
            assert statuses(server, "/blog/" + word, "/blog/" + word + "/comments") == [404, 404]
        got = [blocked(server, "/blog/new-%s" % word)[0] for word in words]
        assert got == [False] * 3 + [True] * 2, got
        for word in words:
            assert blocked(server, "/blog/" + word) == [False], word
        assert blocked(server, "/blog/late") == [True]  # what a rule speaks of keeps its name
        names = [entry["resource"] for app in box.figures(time.time())["apps"] for entry in app["resources"]]
        assert "GET:/blog/{*}" in names and not [name for name in names if "/blog/new-" in name], names
        weirtest.until(lambda: "counted as GET:/blog/{*}" in server.program.output(), "the event in the log")


def other_is_limited():
    """Beyond the budget everything counts as {other}, and a rule on it holds for all of that together."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"options": {"maxResources": 40, "maxSiblings": 10000}, "flow": [{"resource": "{other}", "count": 5, "intervalSec": 3600}]})
        server = box.serve("threading", rules)
        got = statuses(server, *["/page-%s" % "".join(chr(97 + int(digit)) for digit in str(number)) for number in range(80)])
        passed = got.count(404)
        assert 35 <= passed <= 45 and got[-20:] == [429] * 20, got
        assert blocked(server, "/page-a") == [False]  # it had its name before


weirtest.main(regular_expressions, route_and_every_group, more_groups_than_count, spellings, as_the_server_reads_it, siblings, other_is_limited)
