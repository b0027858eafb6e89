#!/usr/bin/python3
"""`weir explain`: names, rules, parameters and origins of made-up requests; usage errors."""
import json
import os
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.path.join(os.path.abspath(os.environ.get("WEIR_BUILD") or os.path.join(ROOT, "build")), "weir")

RULES = """{ "app": "shop", // comment
  "options": {"trustedProxies": "private"}, "resources": [ {"kind": "route", "name": "product", "pattern": "/product/{sku}"},
                 {"kind": "api", "name": "group", "predicateItems": [{"pattern": "/product/**", "matchStrategy": 1}]} ],
  "flow": [ {"id": "p", "resource": "product", "count": 5, "per": "minute"},
            {"id": "named", "resource": "product", "count": 5, "limitApp": "10.0.0.7"},
            {"id": "rest", "resource": "product", "count": 5, "limitApp": "other"},
            {"id": "off", "resource": "product", "count": 5, "mode": "off"},
            {"id": "out", "resource": "product", "count": 5, "side": "outbound"},
            {"id": "listener", "resource": "http::8080", "count": 5},
            {"id": "glob", "resource": "GET:/a/**", "resourceMatch": "glob", "count": 5} ],
  "gateway": [ {"id": "g", "resource": "group", "resourceMode": 1, "count": 5, "paramItem": {"parseStrategy": 2, "fieldName": "X-User", "pattern": "test-", "matchStrategy": 1}} ],
  "paramFlow": [ {"id": "sku", "resource": "product", "count": 1, "param": [{"parseStrategy": "path", "fieldName": "sku"}, {"parseStrategy": "clientIp"}]} ],
  "authority": [ {"id": "who", "resource": "product", "limitApp": "10.0.0.0/8", "strategy": "black"} ],
  "system": {"qps": 100, "exceptions": ["GET:/state"]} }
"""


def weir(*arguments):
    return subprocess.run([WEIR, "explain", *arguments], capture_output=True, text=True, timeout=60)


def explain(path, request, *options):
    done = weir("-r", path, "--json", *options, "--", request)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    rules = {rule["id"]: rule for resource in result["resources"] for rule in resource["rules"]}
    return result, [resource["resource"] for resource in result["resources"]], rules


NEAR = """{ "resources": [ {"kind": "route", "name": "things", "pattern": "/things/**"} ],
  "blockActions": [ {"name": "later", "status": 503, "body": "later: {rule}", "close": true} ],
  "flow": [ {"id": "method", "resource": "POST:/order", "count": 5}, {"id": "slash", "resource": "GET:/order/", "count": 5},
            {"id": "capitals", "resource": "GET:/Order", "count": 5}, {"id": "slip", "resource": "GET:/ordre", "count": 5},
            {"id": "port", "resource": "http::8080", "count": 5}, {"id": "far", "resource": "GET:/something/else", "count": 5},
            {"id": "hidden", "resource": "GET:/things/1", "count": 5},
            {"id": "mine", "resource": "GET:/order", "count": 5, "priority": "low", "scope": "app", "mode": "simulate", "blockAction": "later"},
            {"id": "nobody", "resource": "GET:/order", "count": 5, "canary": {"pids": [1]}} ] }
"""


def near_misses(folder):
    """What was probably meant and is not met, and why; what a rule's own answer is."""
    path = os.path.join(folder, "near.json")
    with open(path, "w") as file:
        file.write(NEAR)
    result, _, rules = explain(path, "GET /order", "-H", "X-Request-Id: r1")
    whys = {near["id"]: near["why"] for near in result["near_misses"]}
    assert set(whys) == {"method", "slash", "capitals", "slip", "port", "nobody"}, whys
    several = [{"id": "n%d" % i, "resource": "GET:/item/a%d" % i, "count": 5} for i in range(10, 30)]
    several += [{"id": "slip%s" % c, "resource": "GET:/itme/a10" + c, "count": 5} for c in "bcdefg"]
    with open(path + ".json", "w") as file:
        json.dump({"app": "near", "flow": several}, file)
    result, _, _ = explain(path + ".json", "GET /item/a10")
    assert [near["id"] for near in result["near_misses"]] == ["slipb", "slipc", "slipd"], result["near_misses"]
    done = weir("-r", path + ".json", "-a", "zz", "--", "GET /ip")
    assert done.returncode == 2 and "no rules file given is of app zz; they are of near" in done.stderr, done
    for rule, word in (("method", "method"), ("slash", "slash"), ("capitals", "lower case"), ("slip", "nearly"), ("port", "port"), ("nobody", "canary")):
        assert word in whys[rule], (rule, whys)
    mine = rules["mine"]
    assert (mine["mode"], mine["scope"], mine["priority"], mine["applies"]) == ("simulate", "app", "low", True), mine
    assert mine["answer"]["blockAction"] == "later" and mine["answer"]["text"].endswith("Connection: close\r\n\r\nlater: mine"), mine
    result, names, _ = explain(path, "GET /things/1")
    assert names[0] == "things" and sorted(near["id"] for near in result["near_misses"]) == ["hidden", "port"], result["near_misses"]
    path = os.path.join(folder, "misspelt.json")
    with open(path, "w") as file:
        json.dump({"flow": [{"id": name, "resource": name, "count": 1} for name in ("/order", "GET /order", "GET:/order?x=1", "http:80", "/other")]}, file)
    result, _, _ = explain(path, "GET /order")
    fixes = {near["id"]: near["why"].rsplit("write ", 1)[1] for near in result["near_misses"]}
    assert fixes == dict.fromkeys(("/order", "GET /order", "GET:/order?x=1"), '"GET:/order"') | {"http:80": '"http::80"'}, result["near_misses"]
    path = os.path.join(folder, "near.json")
    done = weir("-r", path, "--", "GET /order")
    assert done.stdout.count("not met  ") == 6 and "503 later" in done.stdout and "near.json:8" in done.stdout, done.stdout


CALLERS = """{ "options": {"trustedProxies": ["10.0.0.0/8"]}, "resources": [ {"kind": "listener", "name": "public", "port": 8080}, {"kind": "origin", "header": "X-App"},
    {"kind": "origin", "name": "office", "addresses": ["10.0.0.0/8"]}, {"kind": "route", "name": "vip", "pattern": "/a/**", "host": "vip.test"} ],
  "flow": [ {"id": "listener", "resource": "public", "count": 5}, {"id": "office", "resource": "vip", "count": 5, "limitApp": "office"},
            {"id": "front", "resource": "vip", "count": 5, "limitApp": "front"} ] }
"""


def callers_and_hosts(folder):
    """Every name of the caller, as far as it is believed; the host's own route; the listener's name."""
    path = os.path.join(folder, "callers.json")
    with open(path, "w") as file:
        file.write(CALLERS)
    host, app = ["-H", "Host: VIP.test", "-P", "8080"], ["-H", "X-App: front"]
    result, names, rules = explain(path, "GET /a/b", *host, *app, "--peer", "10.0.0.7")
    assert result["origins"] == ["front", "office", "10.0.0.7"] and result["origin"] == "front", result
    assert names == ["vip", "public", "http::8080", "tcp::8080"] and "at host vip.test" in result["resources"][0]["why"], result
    assert all(rule["applies"] for rule in rules.values()) and len(rules) == 3, rules
    result, _, rules = explain(path, "GET /a/b", *host, *app, "--peer", "203.0.113.7")
    assert result["origins"] == ["203.0.113.7"] and {rule for rule in rules if rules[rule]["applies"]} == {"listener"}, (result, rules)
    _, names, _ = explain(path, "GET /a/b", "-P", "8080", "-H", "Host: other.test")
    assert names[0] == "GET:/a/b", names


def exempt_requests(folder):
    """Health checks and exceptions of rules about all traffic; the priority that a request has."""
    path = os.path.join(folder, "exempt.json")
    parts = {"system": {"qps": 1}, "adaptive": {"mode": "enforce", "exceptions": ["GET:/payment"]},
             "degrade": [{"id": "all", "resource": "GET:/.*", "resourceMatch": "regex", "grade": "exceptionCount", "count": 9, "timeWindow": 9, "exceptions": ["GET:/payment", "GET:/healthz"]}],
             "resources": [{"kind": "route", "name": "GET:/payment", "pattern": "/payment", "priority": "critical"}]}
    passes = "yes, except health checks: 5 a second pass (options.healthChecks)"
    for options, expected in (({}, {"system:qps": passes, "adaptive": passes}), ({"healthChecks": []}, {"system:qps": "yes", "adaptive": "yes"}),
                              ({"compat": "sentinel"}, {"system:qps": "yes", "adaptive": passes})):
        with open(path, "w") as file:
            json.dump({"app": "shop", "options": options} | parts, file)
        result, _, rules = explain(path, "GET /healthz?verbose")
        assert {rule: rules[rule]["why"] for rule in rules} == expected and all(rule["applies"] for rule in rules.values()), (options, rules)
        assert [(near["id"], near["near"]) for near in result["near_misses"]] == [("all", "GET:/healthz")] and result["priority"] == "normal", result
        result, _, rules = explain(path, "GET /payment")
        assert {rule: rules[rule]["why"] for rule in rules} == {"system:qps": "yes"} and result["priority"] == "critical", (options, result)
        assert {(near["id"], near["near"], near["why"]) for near in result["near_misses"]} == {
            (rule, "GET:/payment", "in its exceptions") for rule in ("all", "adaptive")}, result
    shown = weir("-r", path, "--", "GET /payment").stdout
    assert "priority   critical\n" in shown and "not met    adaptive (%s:1): GET:/payment is in its exceptions\n" % path in shown, shown
    assert "priority" not in weir("-r", path, "--", "GET /healthz").stdout


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rules.json")
        with open(path, "w") as file:
            file.write(RULES)

        result, names, rules = explain(path, "GET /x/../product/%61b?q=1 HTTP/1.1", "--port", "8080", "--peer", "10.0.0.7", "-H", "X-User: test-1")
        assert names == ["product", "group", "http::8080", "tcp::8080"], names
        assert result["app"] == "shop" and result["method"] == "GET" and result["origin"] == "10.0.0.7", result
        assert {rule for rule in rules if rules[rule]["applies"]} == {"p", "named", "listener", "g", "sku", "who", "system:qps"}, rules
        assert "off" not in rules and rules["p"]["limit"] == "at most 5 per minute" and rules["p"]["line"] == 4, rules["p"]
        assert "rejects" in rules["who"]["why"] and "outbound" in rules["out"]["why"] and "names 10.0.0.7" in rules["rest"]["why"], rules
        values = [entry["value"] for entry in rules["sku"]["parameters"]]
        assert values == ["ab", "10.0.0.7"], values
        result, _, rules = explain(path, "GET /product/ab", "--peer", "10.0.0.7", "-H", "X-Forwarded-For: 203.0.113.5, 10.0.0.1")
        assert result["origin"] == "203.0.113.5" and rules["sku"]["parameters"][1]["value"] == "203.0.113.5", result  # the proxy at 10.0.0.7 is believed
        assert not rules["named"]["applies"] and rules["rest"]["applies"] and "rejects" not in rules["who"]["why"], rules

        _, _, rules = explain(path, "GET /product/1", "--peer", "198.51.100.1", "-H", "X-User: real-1", "-H", "X-Forwarded-For: 203.0.113.5")
        assert rules["rest"]["applies"] and not rules["named"]["applies"] and not rules["g"]["applies"], rules
        assert rules["sku"]["parameters"][1]["value"] == "198.51.100.1"  # a stranger is not
        _, _, rules = explain(path, "GET /product/1")
        assert rules["g"]["why"] == "no; not: there is no header x-user (if it begins with test-)", rules["g"]

        with open(path, "w") as file: # as the shim reads them: all values of each name
            file.write('{"paramFlow": [{"id": "u", "resource": "GET:/c", "count": 1, "param": [{"parseStrategy": "cookie", "fieldName": "u"},'
                       '{"parseStrategy": "urlParam", "fieldName": "q"}, {"parseStrategy": "header", "fieldName": "X-A"}, {"parseStrategy": "host"}]}]}')
        read = "1, 1,2, 2, 2#x"  # two of them, their list, and what a server reads to which '#' is a byte like others
        for headers, values in ((["Cookie: a=1", "Cookie: b=2; u=3", "X-A:  x ", "Host: h"], ["3", read, "x", "h"]),
                                (["Cookie: u; u=5", "Cookie: u=6", "x-a:", "host:"], ["5, 6", read, "", ""]), ([], [None, read, None, None])):
            _, _, rules = explain(path, "GET /c?qq=0&q=1&q=2#x", *[word for header in headers for word in ("-H", header)])
            assert [entry["value"] for entry in rules["u"]["parameters"]] == values, (headers, rules["u"])
            assert rules["u"]["applies"] == (None not in values), rules["u"]
        for headers in (["Content-Length: 1", "Transfer-Encoding: chunked"], ["Content-Length: 1", "Content-Length: 2"], ["A : b"], ["A: b\nC: d"],
                        ["A: b\r\nC: d"], [""], [":"], ["A"], ["A: " + "x" * 70000]):
            done = weir("-r", path, *[word for header in headers for word in ("-H", header)], "--", "GET /c")
            assert done.returncode == 2 and not done.stdout and done.stderr.count("\n") == 1, (headers, done)
        _, names, _ = explain(path, "GET /c", *["-HX-%d: 1" % number for number in range(200)])
        assert names[0] == "GET:/c", names
        with open(path, "w") as file:
            file.write(RULES)

        result, _, rules = explain(path, "GET /product/1", "--peer", "10.0.0.7", "-P", "8080", "-H", "X-User: test-1")
        order = sorted((rule for rule in rules.values() if rule["applies"]), key=lambda rule: rule["order"])
        assert [rule["id"] for rule in order] == ["who", "sku", "p", "named", "g", "listener", "system:qps"], order
        assert all(rule["file"] == path and rule["scope"] == "process" and rule["mode"] == "enforce" for rule in order), order
        assert rules["p"]["answer"]["status"] == 429 and rules["system:qps"]["answer"]["status"] == 503, rules
        assert 'RateLimit-Policy: "p";q=5;w=60' in rules["p"]["answer"]["text"] and '"rule":"p"' in rules["p"]["answer"]["text"], rules["p"]["answer"]
        assert rules["system:qps"]["exceptions"] == ["GET:/state"], rules["system:qps"]
        assert [(near["id"], near["why"]) for near in result["near_misses"]] == [("off", "switched off (mode off)")], result["near_misses"]
        near_misses(folder)
        callers_and_hosts(folder)

        _, names, rules = explain(path, "/a/b/42", "-P", "9")
        assert names[0] == "GET:/a/b/{id}" and "glob" in rules, (names, rules)
        result, _, rules = explain(path, "GET /state HTTP/1.0")
        assert not rules and "system:qps" in [near["id"] for near in result["near_misses"]], result
        exempt_requests(folder)

        done = weir("-r", path, "--", "GET /product/1 HTTP/1.1")
        assert done.returncode == 0 and "product" in done.stdout and "LIMIT" in done.stdout and "\x1b" not in done.stdout, done
        done = weir("-r", path, "--", "GET /nothing")
        assert "http::80" in done.stdout, done.stdout
        for wrong in (["-r", path], [], ["--", "GET /"], ["-r", path, "--", "GET"], ["-r", path, "--", "GET /a b c"], ["-r", path, "-H", "x", "--", "/"],
                      ["-r", path, "--peer", "nobody", "--", "/"], ["-r", path, "--port", "0", "--", "/"], ["-r", path, "--port", "70000", "--", "/"],
                      ["-r", path + "x", "--", "/"], ["-r", path, "--", "/", "/"]):
            done = weir(*wrong)
            assert done.returncode == 2 and done.stderr and not done.stdout, (wrong, done)
        many = os.path.join(folder, "many")
        os.mkdir(many)
        for number in range(300):
            with open(os.path.join(many, "%d.json" % number), "w") as file:
                file.write('{"app": "shop", "flow": [{"id": "%d", "resource": "GET:/a", "count": 1}]}' % number)
        done = weir("-r", many, "--json", "--", "GET /a")
        assert len(json.loads(done.stdout)["resources"][0]["rules"]) == 300, done.stdout
        if os.geteuid() != 0: # root may read everything
            os.chmod(many, 0)
            done = weir("-r", many, "--", "GET /a")
            assert done.returncode == 2 and many in done.stderr and not done.stdout, done
            os.chmod(many, 0o700)
        with open(path, "w") as file:
            file.write('{"flow": [{"resource": "x"}]}')
        done = weir("-r", path, "--", "/")
        assert done.returncode == 2 and path + ":1:11: error: $.flow[0].count" in done.stderr, done.stderr


main()
