#!/usr/bin/python3
"""docs/rules.md, line by line: what it says is accepted is, and what it says is refused is, with words of the reason."""
import json
import subprocess

import weirtest

RULE = {"resource": "r", "count": 1}
BASE = {
    "flow": RULE,
    "isolation": RULE,
    "degrade": dict(RULE, timeWindow=5),
    "paramFlow": dict(RULE, paramIdx=0),
    "gateway": RULE,
    "authority": {"resource": "r", "limitApp": "a,10.0.0.0/8"},
    "resources": {"kind": "route", "name": "p", "pattern": "/a"},
    "blockActions": {"name": "b"},
}
GROUP = {"kind": "api", "name": "r", "predicateItems": [{"pattern": "/a"}]}
LATER = "not supported yet"


def each(field, *values):
    return [{field: value} for value in values]


def header(count):
    return [{"parseStrategy": "header", "fieldName": "x%d" % number} for number in range(count)]


def parameters():
    for number, word in enumerate(["clientIp", "host", "header", "urlParam", "cookie", "path"]):
        name = {} if number < 2 else {"fieldName": "0" if word == "path" else "x"}
        for strategy in (number, word):
            yield dict(parseStrategy=strategy, **name)
        for match in (0, "exact", 1, "prefix", 2, "regex", 3, "contains"):
            yield dict(parseStrategy=word, pattern="a", matchStrategy=match, **name)


# section: fields that it accepts beside those of BASE
ACCEPTED = {
    "flow": each("resource", "x" * 215) + each("resourceMatch", "exact", "prefix", "glob", "regex") + each("regex", True) + each("id", "x" * 100, 55)
            + each("mode", "enforce", "simulate", "off") + each("scope", "process", "app") + each("limitApp", "default", "a, b", "10.0.0.1", "other")
            + each("side", "any", "inbound", "outbound") + each("priority", "low", "normal", "critical") + each("blockAction", "b")
            + each("cost", 3, "bytes", {"header": "X-Cost"}, "header:X-Cost") + each("penalty", True) + each("canary", {"percent": 10}, {"pids": [4711]})
            + each("grade", 0, 1, "qps", "thread", "concurrency") + each("count", 0) + each("controlBehavior", 0, 1, 2, 3, "reject", "warmUp", "queue", "warmUpQueue")
            + [{"strategy": code, "refResource": "x"} for code in (1, 2, "relate", "chain")] + each("intervalSec", 0.001, 31536000)
            + each("per", "second", "minute", "hour", "day") + each("burst", 5) + [{"clusterMode": False, "clusterConfig": {"flowId": 1, "thresholdType": 0}}]
            + [{"resource": "*", "resourceMatch": "glob"}, {"controlBehavior": 2, "maxQueueingTimeMs": 9}, {"controlBehavior": 1, "warmUpPeriodSec": 9}],
    "isolation": each("ttlMs", 5) + each("cost", 2) + [{"clusterMode": False}],
    "degrade": each("grade", 0, 1, 2, 3, "slow", "slowRatio", "exceptionRatio", "exceptionCount", "avgRt") + each("slowRatioThreshold", 0.5)
               + each("minRequestAmount", 1) + each("statIntervalMs", 1000, 7200000) + [{"recovery": "gradual", "recoverySteps": 4, "stepMinPass": 2}]
               + [{"grade": 3, "rtSlowRequestAmount": 5}, {"resource": "*", "exceptions": ["x"]}, {"resourceMatch": "prefix", "exceptions": ["x"]}],
    "paramFlow": each("paramIdx", 3, -1) + each("grade", 0, "qps") + each("durationInSec", 5) + each("per", "minute") + each("burstCount", 3)
                 + [{"controlBehavior": 2, "maxQueueingTimeMs": 5}] + each("capacity", 1048576) + each("cost", 2)
                 + each("paramFlowItemList", [{"object": "vip", "classType": "java.lang.String", "count": 50}], [{"object": "vip", "count": 50}]),
    "gateway": each("resourceMode", 0, "route") + each("grade", 0) + each("per", "minute") + [{"intervalSec": 5, "burst": 4}]
               + [{"controlBehavior": 2, "maxQueueingTimeoutMs": 5}] + each("paramItem", {"parseStrategy": 0}) + [{"paramItem": {"parseStrategy": 0}, "capacity": 5}],
    "authority": each("strategy", 0, 1, "white", "black"),
    "resources": each("name", "q") + each("method", "GET") + each("matchStrategy", "exact", 0, "prefix", 1, "regex", 2, "glob", 3)
                 + each("host", "shop.example.com", "*.example.com", "[::1]") + each("priority", "low", "normal", "critical"),
    "blockActions": each("status", 200, 599) + each("headers", {"A": "b"}) + each("body", "x" * 1000, "{resource}{rule}{reason}{retryAfter}{origin}{traceId}")
                    + each("contentType", "text/plain") + each("redirect", "/x", "http://a/x", "https://a/{resource}") + each("close", True) + each("delayMs", 0, 600000)
                    + each("errno", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPERM"),
}

# section: fields that it refuses beside those of BASE, and words of the message
REFUSED = {
    "flow": [({"scope": "cluster"}, LATER), ({"clusterMode": True}, LATER), ({"canary": {"hosts": ["x"]}}, LATER), ({"resource": "x" * 216}, "215"),
             ({"id": "x" * 101}, ""), ({"id": ""}, ""), ({"id": 5.5}, ""), ({"mode": 0}, ""), ({"cost": 0}, ""), ({"cost": 1.5}, ""), ({"count": -1}, ""),
             ({"limitApp": "10.0.0.0/8"}, ""), ({"limitApp": "a,default"}, ""), ({"blockAction": "gone"}, "gone"), ({"grade": 2}, ""),
             ({"strategy": 1}, "refResource"), ({"strategy": 2}, "refResource"), ({"refResource": "x"}, ""), ({"per": "minute", "intervalSec": 1}, ""),
             ({"intervalSec": 0.0009}, ""), ({"intervalSec": 367 * 86400}, ""), ({"resource": "*"}, ""), ({"controlBehavior": 1, "burst": 2}, ""),
             ({"controlBehavior": 1, "intervalSec": 2}, ""), ({"penalty": True, "controlBehavior": 2}, ""), ({"penalty": True, "burst": 2}, "")]
            + [(dict(grade=0, **more), "") for more in ({"controlBehavior": 1}, {"controlBehavior": 2}, {"intervalSec": 2}, {"burst": 2}, {"penalty": True})]
            + [(dict(strategy=1, refResource="x", **more), "") for more in ({"controlBehavior": 2}, {"burst": 2}, {"penalty": True})],
    "degrade": [({"cost": 2}, ""), ({"penalty": True}, ""), ({"grade": 1, "count": 1.1}, ""), ({"slowRatioThreshold": 1.5}, ""), ({"statIntervalMs": 999}, ""),
                ({"statIntervalMs": 7200001}, ""), ({"recoverySteps": 4}, "gradual"), ({"exceptions": ["x"]}, ""),
                ({"resource": "*", "exceptions": ["x"], "canary": {"percent": 1}}, "")],
    "paramFlow": [({"controlBehavior": 1}, ""), ({"penalty": True}, ""), ({"capacity": 1048577}, ""), ({"per": "minute", "durationInSec": 1}, "")],
    "gateway": [({"controlBehavior": 1}, ""), ({"resourceMode": 1}, "\"r\""), ({"resourceMode": "api"}, "\"r\"")],
    "authority": [({"cost": 2}, ""), ({"penalty": True}, ""), ({"limitApp": ""}, "")],
    "resources": [({"kind": "listener"}, "port"), ({"kind": "downstream"}, "10.0.0.0/8"), ({"matchStrategy": "regex", "pattern": "/a("}, "regular expression"),
                  ({"method": "get"}, ""), ({"host": "a:80"}, "without a port"), ({"priority": "high"}, ""), ({"addresses": ["::1"]}, "is not used")],
    "blockActions": [({"delayMs": 600001}, ""), ({"status": 199}, ""), ({"status": 600}, ""),
                     ({"headers": {"A": "b" * 500}}, ""), ({"headers": {"Content-Length": "5"}}, "weir itself"), ({"body": "x" * 1001}, ""),
                     ({"redirect": "javascript:1"}, ""), ({"body": "{resorce}"}, "{resource}")],
}

COMPAT_REFUSES = {
    "flow": each("scope", "app") + each("cost", 2) + each("penalty", True) + each("canary", {"percent": 1}) + each("burst", 2) + each("per", "minute")
            + each("intervalSec", 2) + each("resourceMatch", "prefix", "glob"),
    "isolation": each("ttlMs", 4), "degrade": each("recovery", "gradual"), "paramFlow": each("capacity", 5),
}

WHOLE_ACCEPTED = [
    {"options": {"compat": "sentinel", "healthChecks": ["/a"]}, "adaptive": {"mode": "enforce", "scope": "app"}}, {}, {"$schema": "x", "app": "a" * 63}, {"match": {"exe": "/x", "unit": "u", "cgroup": "c", "comm": "c" * 15, "uid": 3}},
    {"flow": [dict(RULE, id="x"), dict(RULE, id="x", canary={"percent": 10}, count=5)]}, {"flow": [dict(RULE, id="x")], "isolation": [dict(RULE, id="x")]},
    {"resources": [{"kind": "api", "apiName": "p", "predicateItems": [{"pattern": "/a"}]}]}, {"resources": [{"kind": "route", "pattern": "/a/{b}"}]},
    *[{"resources": [entry]} for entry in (
        {"kind": "listener", "name": "l", "port": 8081, "protocol": "http", "priority": "low"}, {"kind": "listener", "name": "l", "port": 1, "protocol": "tcp"},
        {"kind": "downstream", "name": "d", "pattern": "tcp:10.0.0.5:3306"}, {"kind": "downstream", "name": "d", "pattern": "10.0.0.0/8:3306"},
        {"kind": "downstream", "name": "d", "pattern": "[2001:db8::1]:443"}, {"kind": "downstream", "name": "d", "pattern": "*:443"},
        {"kind": "downstream", "name": "d", "pattern": "10.0.0.0/8", "port": 3306}, {"kind": "origin", "header": "X-App", "anyPeer": True},
        {"kind": "origin", "name": "office", "addresses": ["192.0.2.0/24", "2001:db8::/32", "10.0.0.1-10.0.0.99"]}, dict(GROUP, host="*.example.com", priority="low"),
        {"kind": "route", "name": "r", "pattern": "/(a|b)+", "matchStrategy": "regex"})],
    {"flow": [dict(RULE, resource="GET:http://shop.example.com/a/{b}")]},
    {"resources": [GROUP], "gateway": [dict(RULE, resourceMode=1)]}, {"resources": [GROUP], "gateway": [dict(RULE, resourceMode="api")]},
    {"system": {"qps": 1, "maxThread": 2, "avgRt": 3, "highestCpuUsage": 0.5, "highestSystemLoad": 3, "exceptions": ["a"], "mode": "simulate", "id": "x", "scope": "app"}},
    {"system": {"qps": 1, "canary": {"percent": 1}, "blockAction": "b"}, "blockActions": [{"name": "b"}]}, {"system": [{"qps": number} for number in range(64)]},
    {"system": {"qps": -1, "maxThread": -1, "avgRt": -1, "highestCpuUsage": -1, "highestSystemLoad": -1}},
    {"paramFlow": [dict(RULE, param=header(8))]}, {"paramFlow": [dict(RULE, resource="GET:/a/{b}", param={"parseStrategy": "path", "fieldName": "b"})]},
    {"flow": [dict(RULE, id=str(number)) for number in range(1000)]}, {"adaptive": {"cpu": 0.01, "exceptions": ["x"]}}, {"adaptive": {"cpu": 1}},
] + each("adaptive", *each("mode", "off", "simulate", "enforce"), *each("algorithm", "delay", "cpu", "gradient", "bbr"), *each("targetMs", 1, 100),
    *each("intervalMs", 20, 60000), *each("minPass", 0, 1000000), *each("scope", "process", "app")) + each("options", *(
    each("compat", "off", "sentinel") + each("strictHttp", "defend", "opaque", "reject") + each("reject", "reset", "close", "defer") + each("maxResources", 6143)
    + each("maxSiblings", 1, 10000) + each("coldFactor", 3) + each("maxRt", 4900) + each("trustedProxies", ["10.0.0.0/8", "1.2.3.4"], [], "private", ["private", "::1"])
    + each("clientIpHeader", "X-Real-IP") + each("ipv6Prefix", 1, 128) + each("ipv4Prefix", 32) + each("healthChecks", [], ["/healthz", "/a/b.c"]) + each("rateLimitHeaders", "off", "draft", "legacy", "envoy")))

WHOLE_REFUSED = [
    ({"app": "a" * 64}, "63"), ({"$schema": 5}, "string"), ({"match": {"comm": "c" * 16}}, "15"), ({"cluster": {}}, LATER), ({"tokenServer": {}}, LATER),
    ({"options": {"mark": True}}, LATER), ({"options": {"maxResources": 6144}}, ""), ({"options": {"trustedProxies": ["x"]}}, ""),
    ({"options": {"trustedProxies": "public"}}, "addresses"), ({"options": {"clientIpHeader": "X Real"}}, "header"), ({"options": {"ipv6Prefix": 129}}, "128"),
    ({"options": {"ipv6Prefix": 0}}, "1"), ({"options": {"ipv4Prefix": 33}}, "32"),
    ({"flow": [dict(RULE, id="x"), dict(RULE, id="x")]}, "id"), ({"flow": [dict(RULE, id=str(number)) for number in range(1001)]}, "1000"),
    ({"resources": [{"kind": "route", "pattern": "/a+", "matchStrategy": "regex"}]}, "name"), ({"options": {"maxSiblings": 10001}}, ""),
    ({"resources": [{"kind": "listener", "name": name, "port": 80} for name in "ab"]}, "port"),
    ({"resources": [{"kind": "downstream", "name": "d", "pattern": "10.0.0.1:80", "port": 81}]}, "once"),
    ({"resources": [{"kind": "downstream", "name": "d", "pattern": "tcp:db:3306"}]}, "10.0.0.0/8"),
    ({"resources": [{"kind": "listener", "name": "l", "port": 80, "method": "GET"}]}, "is not used"),
    ({"resources": [{"kind": "origin", "header": "X-App", "name": "a"}]}, "header"), ({"resources": [{"kind": "origin", "name": "a"}]}, "addresses"),
    ({"resources": [{"kind": "origin", "addresses": ["::1"]}]}, "name"), ({"resources": [{"kind": "origin", "name": "a", "addresses": ["::1"], "anyPeer": True}]}, "header"),
    ({"resources": [{"kind": "origin", "name": "unit:x", "addresses": ["::1"]}]}, "unit:"), ({"resources": [{"kind": "origin", "name": "10.0.0.1", "addresses": ["::1"]}]}, "address"),
    ({"resources": [GROUP, GROUP]}, "taken"), ({"resources": [{"kind": "api", "name": "x"}]}, "predicateItems"), ({"blockActions": [{"status": 429}]}, "name"),
    ({"resources": [{"kind": "api", "predicateItems": [{"pattern": "/a"}]}]}, "name"), ({"degrade": [RULE]}, "timeWindow"), ({"paramFlow": [RULE]}, "param"),
    ({"paramFlow": [dict(RULE, param=header(9))]}, "8"), ({"authority": [{"resource": "r"}]}, "limitApp"), ({"flow": [{"resource": "r"}]}, "count"),
    ({"paramFlow": [dict(RULE, resource="GET:/a/{b}", param={"parseStrategy": "path", "fieldName": "c"})]}, "{c}"),
    ({"system": {"highestCpuUsage": 1.1}}, ""), ({"system": {"qps": 1, "side": "any"}}, "side"), ({"system": [{"qps": number} for number in range(65)]}, "64"),
    ({"blockActions": [{"name": "e", "errno": "EPERM"}], "flow": [dict(RULE, resource="GET:/a", blockAction="e")]}, "errno"),
    ({"adaptive": {"cpu": 0.009}}, ""), ({"adaptive": {"cpu": 1.01}}, ""), ({"adaptive": [{}]}, ""),
    ({"adaptive": {"targetMs": 200}}, "intervalMs (100, the default)"),
    ({"adaptive": {"intervalMs": 9}}, "10"), ({"adaptive": {"minPass": -1}}, "0"), ({"adaptive": {"scope": "host"}}, "app"),
    ({"options": {"healthChecks": "/healthz"}}, "list"), ({"options": {"healthChecks": ["healthz"]}}, "whole path"),
    ({"options": {"healthChecks": ["/health*"]}}, "wildcards"), ({"options": {"healthChecks": ["/a"] * 65}}, "64"),
] + [({"paramFlow": [dict(RULE, param={"parseStrategy": strategy})]}, "fieldName") for strategy in ("header", "urlParam", "cookie", "path")]


def weir_check(document, *options):
    return subprocess.run([weirtest.WEIR, "check", *options, "-"], input=json.dumps(document), capture_output=True, text=True, timeout=60)


def accepts(document, *options):
    done = weir_check(document, *options)
    assert done.returncode == 0, "refused: %.300s\n%s" % (json.dumps(document), done.stderr)


def refuses(document, words):
    done = weir_check(document)
    assert done.returncode == 2 and words in done.stderr, "accepted, or for another reason (%s): %.300s\n%s" % (words, json.dumps(document), done.stderr)


def file_of(section, more, **others):
    whole = {section: [dict(BASE[section], **more)]}
    if "blockAction" in more and more["blockAction"] == "b":
        whole["blockActions"] = [BASE["blockActions"]]
    return dict(whole, **others)


def what_is_accepted():
    for section, fields in ACCEPTED.items():
        for more in fields:
            accepts(file_of(section, more))
    for param in parameters():
        accepts({"paramFlow": [dict(RULE, param=param)]})
    for document in WHOLE_ACCEPTED:
        accepts(document)


def what_is_refused():
    for section, fields in REFUSED.items():
        for more, words in fields:
            refuses(file_of(section, more), words)
    for document, words in WHOLE_REFUSED:
        refuses(document, words)
    for section, fields in COMPAT_REFUSES.items():
        for more in fields:
            refuses(file_of(section, more, options={"compat": "sentinel"}), "")


def bare_arrays():
    for kind in ("flow", "degrade", "authority", "paramFlow", "gateway", "isolation"):
        accepts([BASE[kind]], "--kind", kind)
    accepts([{"qps": 5}], "--kind", "system")
    accepts([{"apiName": "g", "predicateItems": [{"pattern": "/a"}]}], "--kind", "api")
    entity = {"app": "shop", "ip": "10.0.0.1", "port": 8719, "gmtCreate": 1, "gmtModified": None}  # of the dashboard
    for rule in (dict(BASE["flow"], controlBehavior=0), BASE["degrade"], dict(BASE["paramFlow"], clusterConfig=None),
                 dict(BASE["gateway"], resourceMode=0, interval=1, intervalUnit=1), BASE["authority"], {"qps": 1}):
        accepts([dict(entity, id=1, **rule)])
        accepts([dict(entity, id=1, rule=rule)])
    refuses([BASE["flow"]], "kind is not clear")
    assert weir_check([], "--kind", "rules").returncode == 2


weirtest.main(what_is_accepted, what_is_refused, bare_arrays)
