#!/usr/bin/python3
"""The JSON Schema of rules files and `weir check` agree: every example is valid for both, and every one of a list of mistakes
for neither.  The schema itself is valid.  (Its fields come from the parser's tables: tests/static/reference.py.)"""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.path.join(os.path.abspath(os.environ.get("WEIR_BUILD") or os.path.join(ROOT, "build")), "weir")

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(77)


def without_comments(text):
    return re.sub(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', lambda m: m.group() if m.group()[0] == '"' else " ", text, flags=re.S)


def rule(kind, **fields):
    needed = {"flow": {"count": 1}, "isolation": {"count": 1}, "degrade": {"count": 1, "timeWindow": 1},
              "paramFlow": {"count": 1, "paramIdx": 0}, "gateway": {"count": 1}, "authority": {"limitApp": "a"}}[kind]
    merged = {"resource": "x", **needed, **fields}
    return {kind: [{key: value for key, value in merged.items() if value != "-"}]}  # "-": left out


def route(**fields):
    return {"resources": [{"kind": "route", "name": "r", "pattern": "/a", **fields}]}


def action(**fields):
    return {"blockActions": [{"name": "a", **fields}]}


KINDS = ("flow", "isolation", "degrade", "paramFlow", "gateway", "authority")
BAD = [
    [], 1, "x", {"flwo": []}, {"app": ""}, {"app": "a/b"}, {"app": ".a"}, {"app": "a" * 64}, {"app": 1}, {"flow": {}}, {"flow": [1]},
    {"match": {}}, {"match": {"exe": "nginx"}}, {"match": {"uid": -1}}, {"match": {"uid": "root"}}, {"match": {"comm": "a" * 16}},
    {"cluster": {}}, {"tokenServer": {}},
    rule("flow", count="abc"), rule("flow", count=-1), rule("flow", count=True), rule("flow", count=None), rule("flow", count="-"),
    rule("flow", grade=2), rule("flow", grade="QPS"), rule("flow", strategy=3), rule("flow", strategy=1.5), rule("flow", controlBehavior=4),
    rule("flow", controlBehavior="fast"), rule("flow", intervalSec=0), rule("flow", per="week"), rule("flow", burst=-1),
    rule("flow", maxQueueingTimeMs=-1), rule("flow", warmUpPeriodSec=0), rule("flow", clusterMode=True), rule("flow", clusterMode=0),
    rule("flow", clusterConfig={"flowID": 1}), rule("flow", clusterConfig={"sampleCount": 0}), rule("flow", ttlMs=1), rule("flow", refResource=1),
    rule("isolation", ttlMs=0), rule("isolation", grade=0),
    rule("degrade", timeWindow="-"), rule("degrade", timeWindow=-1), rule("degrade", grade=4), rule("degrade", slowRatioThreshold=1.1),
    rule("degrade", minRequestAmount=0), rule("degrade", minRequestAmount=1.5), rule("degrade", statIntervalMs=7200001),
    rule("degrade", recovery="slow"), rule("degrade", recovery="gradual", recoverySteps=0), rule("degrade", exceptions="a"),
    rule("paramFlow", paramIdx="-"), rule("paramFlow", paramIdx=101), rule("paramFlow", paramIdx=0.5),
    rule("paramFlow", param={"parseStrategy": 0}), rule("paramFlow", paramIdx="-", param={}), rule("paramFlow", paramIdx="-", param=[]),
    rule("paramFlow", paramIdx="-", param={"parseStrategy": 6}), rule("paramFlow", controlBehavior=1), rule("paramFlow", durationInSec=0),
    rule("paramFlow", capacity=0), rule("paramFlow", paramFlowItemList=[{"object": "a"}]), rule("paramFlow", paramFlowItemList={}),
    rule("paramFlow", paramFlowItemList=[{"object": {}, "count": 1}]), rule("paramFlow", paramFlowItemList=[{"object": "a", "count": 1, "classType": "Foo"}]),
    rule("gateway", resourceMode=2), rule("gateway", controlBehavior=3), rule("gateway", maxQueueingTimeMs=1), rule("gateway", paramItem={"parseStrategy": "ip"}),
    rule("authority", limitApp="-"), rule("authority", limitApp=""), rule("authority", strategy=2), rule("authority", count=1),
    {"system": 1}, {"system": {"qps": -2}}, {"system": {"qps": "1"}}, {"system": {"highestCpuUsage": 1.5}}, {"system": {"exceptions": [1]}},
    {"system": {"resource": "x"}}, {"system": [{"maxThreads": 1}]}, {"system": {"regex": True}},
    {"adaptive": []}, {"adaptive": {"cpu": 0}}, {"adaptive": {"algorithm": "pid"}}, {"adaptive": {"count": 1}}, {"adaptive": {"mode": "on"}},
    {"adaptive": {"targetMs": 0}}, {"adaptive": {"minPass": 0.5}}, {"options": {"healthChecks": ["/a?b"]}}, {"options": {"healthChecks": "/a"}},
    route(kind="rout"), route(kind="listener"), route(pattern="a"), route(pattern="/a#b"), route(matchStrategy=4), route(matchStrategy="re"), route(host="a b"),
    {"resources": [{"kind": "route", "pattern": "/a+", "matchStrategy": "regex"}]}, route(host="a/b"), route(host=1), route(priority="high"),
    {"resources": [{"kind": "listener", "name": "l"}]}, {"resources": [{"kind": "listener", "port": 80}]},
    {"resources": [{"kind": "listener", "name": "l", "port": 0}]}, {"resources": [{"kind": "listener", "name": "l", "port": 80, "protocol": "h3"}]},
    {"resources": [{"kind": "downstream", "name": "d"}]}, {"resources": [{"kind": "downstream", "name": "d", "pattern": "db:3306"}]},
    {"resources": [{"kind": "origin"}]}, {"resources": [{"kind": "origin", "name": "o"}]}, {"resources": [{"kind": "origin", "header": "a b"}]},
    {"resources": [{"kind": "origin", "name": "o", "addresses": []}]}, {"resources": [{"kind": "origin", "name": "o", "addresses": ["x"]}]},
    {"resources": [{"kind": "origin", "name": "other", "addresses": ["::1"]}]}, {"resources": [{"kind": "origin", "name": "uid:0", "addresses": ["::1"]}]},
    {"resources": [{"kind": "origin", "header": "X-App", "name": "o"}]}, {"options": {"maxSiblings": 0}},
    route(method="get"), route(port=80), {"resources": {}}, {"resources": [{"kind": "api", "name": "a"}]},
    {"resources": [{"kind": "api", "name": "a", "predicateItems": []}]}, {"resources": [{"kind": "api", "predicateItems": [{"pattern": "/"}]}]},
    {"resources": [{"kind": "route", "name": "r"}]},
    action(status=100), action(status="429"), action(delayMs=-1), action(redirect="javascript:x"), action(errno="EFOO"), action(headers=[]),
    action(headers={"a b": "c"}), action(headers={"Content-Length": "1"}), action(headers={"A": "b\r\nC: d"}), action(body=1), action(colour="red"),
    {"blockActions": [{}]},
    {"options": {"compat": "sentinal"}}, {"options": {"coldFactor": 1}}, {"options": {"maxRt": 0}}, {"options": {"maxResources": 6144}},
    {"options": {"mark": True}}, {"options": {"trustedProxies": "10.0.0.0/8"}}, {"options": {"ipv6Prefix": 0}}, {"options": {"ipv4Prefix": 33}}, {"options": {"clientIpHeader": "a b"}}, {"options": {"rateLimitHeaders": True}}, {"options": {"foo": 1}},
] + [rule(kind, **fields) for kind in KINDS for fields in (
    {"resource": "-"}, {"resource": ""}, {"resource": 1}, {"resource": "a" * 216}, {"resource": "a\nb"}, {"resourceMatch": "regexp"}, {"mode": "simulat"},
    {"mode": 1}, {"scope": "cluster"}, {"scope": "host"}, {"side": "in"}, {"priority": "high"}, {"penalty": "yes"}, {"id": ""}, {"id": 1.5}, {"id": []},
    {"cost": 0}, {"cost": "byte"}, {"cost": {"header": "a b"}}, {"cost": {}}, {"canary": {}}, {"canary": {"percent": 101}}, {"canary": {"pids": []}},
    {"canary": {"hosts": ["a"]}}, {"canary": {"percent": 1, "pids": [1]}}, {"blockAction": 1}, {"limitApp": 1}, {"regex": 1}, {"recuorse": "y"})]


def weir_accepts(path):
    done = subprocess.run([WEIR, "check", path], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 2), "exit status %d: %s" % (done.returncode, done.stderr)
    errors = [line for line in done.stderr.splitlines() if ": warning: " not in line]
    assert (done.returncode == 0) == (not errors), done.stderr
    return done.returncode == 0, done.stderr


def check_mistakes(validator):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rules.json")
        for kind in KINDS:  # the plain rule of each kind is right, so what is wrong below is the mistake
            assert validator.is_valid(rule(kind)), kind
        for mistake in BAD:
            with open(path, "w") as file:
                json.dump(mistake, file)
            accepted, errors = weir_accepts(path)
            assert not accepted, "weir check accepts %r" % (mistake,)
            assert path in errors, errors
            assert not validator.is_valid(mistake), "the schema accepts %r (weir: %s)" % (mistake, errors)


def main():
    with open(os.path.join(ROOT, "rules/weir-rules.schema.json")) as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    examples = sorted(glob.glob(os.path.join(ROOT, "rules/examples/*.json")))
    assert len(examples) >= 10, examples
    for path in examples:
        with open(path) as file:
            text = file.read()
        assert "//" in text, "%s has no comment" % path
        problems = [error.message for error in validator.iter_errors(json.loads(without_comments(text)))]
        assert not problems, "%s: %s" % (path, problems)
        accepted, errors = weir_accepts(path)
        assert accepted, errors
    accepted, errors = weir_accepts(os.path.join(ROOT, "rules/examples"))
    assert accepted, "together: " + errors
    check_mistakes(validator)


main()
