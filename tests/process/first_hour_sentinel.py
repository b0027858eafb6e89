#!/usr/bin/python3
"""The first hour of a user of Sentinel: rules out of the dashboard, import, check, explain, run in front of nginx and of a Python
server, why, top, a hot edit, a bad edit, off and on. Every command as a person types it; what it prints is read."""
import json
import os
import re

import weirtest

SERVERS = {"nginx": {}, "threading": {}}
MACHINE = {"app": "shop", "ip": "10.0.0.5", "port": 8719, "gmtCreate": 1700000000000, "gmtModified": 1700000000000}

# GET /v1/flow/rules?app=shop&ip=10.0.0.5&port=8719, and so on, saved from the browser
FLOW = {"success": True, "code": 0, "msg": None, "data": [
    dict(MACHINE, id=17, limitApp="default", resource="/blocked", count=0.0, grade=1, strategy=0, refResource=None, controlBehavior=0,
         warmUpPeriodSec=None, maxQueueingTimeMs=None, clusterMode=False, clusterConfig=None),
    dict(MACHINE, id=18, limitApp="default", resource="com.shop.OrderService:place(java.lang.Long)", count=20.0, grade=0, strategy=0,
         refResource=None, controlBehavior=0, warmUpPeriodSec=None, maxQueueingTimeMs=None, clusterMode=True,
         clusterConfig={"flowId": 9, "thresholdType": 0})]}
DEGRADE = {"success": True, "code": 0, "msg": None, "data": [
    dict(MACHINE, id=3, limitApp="default", resource="GET:/small", count=200.0, timeWindow=5, grade=0, minRequestAmount=5,
         slowRatioThreshold=0.5, statIntervalMs=1000)]}
PARAM = {"success": True, "code": 0, "msg": None, "data": [
    dict(MACHINE, id=4, rule={"resource": "/other", "limitApp": "default", "grade": 1, "paramIdx": 0, "count": 5.0, "durationInSec": 1,
                              "burstCount": 0, "controlBehavior": 0, "maxQueueingTimeMs": 0, "clusterMode": False, "clusterConfig": None,
                              "paramFlowItemList": [{"object": "42", "classType": "int", "count": 100}]})]}


def saved(box):
    paths = []
    for name, content in (("flow.json", FLOW), ("degrade.json", DEGRADE), ("param-flow.json", PARAM)):
        paths.append(os.path.join(box.path, name))
        with open(paths[-1], "w") as file:
            json.dump(content, file, indent=1)
    return paths


def import_them(box, result):
    flow, degrade, param = saved(box)
    done = box.weir("import", flow, degrade, param, "-o", result, check=0)
    for words in ("%s:25: warning: com.shop.OrderService:place(java.lang.Long): nothing on the wire has this name" % flow,
                  "%s:25: not carried over: com.shop.OrderService:place(java.lang.Long): clusterMode" % flow,
                  "%s:6: not carried over: /other: paramIdx 0" % param, "3 rules imported, 1 warning, 2 not carried over"):
        assert words in done.stderr, (words, done.stderr)
    with open(result) as file:
        text = file.read()
    assert '"app": "shop"' in text and "// from %s:6\n" % flow in text and "// Not carried over:" in text, text
    return text


def check_and_explain(box, result):
    done = box.weir("check", result, check=0)
    assert "ok, app shop, 3 rules" in done.stdout, done.stdout
    assert done.stderr.count("warning") == 1 and "com.shop.OrderService" in done.stderr, done.stderr
    shown = box.weir("explain", "-r", result, "--", "POST /blocked HTTP/1.1", check=0).stdout
    assert re.search(r"/blocked +17 +flow", shown) and "429" in shown, shown


def without_the_warned_one(text):
    """What the import said is followed: the rule about a Java method goes, the hot parameter is named."""
    text = re.sub(r",\n    // from [^\n]*\n    \{ \"id\": 18,.*?\}(?=\n)", "", text, flags=re.S)
    hot = '{ "id": "sku", "resource": "GET:/other", "count": 0, "param": { "parseStrategy": "urlParam", "fieldName": "sku" } }'
    return text.replace('\n  "options"', '\n  "paramFlow": [\n    %s\n  ],\n  "options"' % hot)


def ask(server, target):
    return weirtest.ask(server.address, target=target)


def in_front_of(kind):
    with weirtest.Sandbox(app="shop") as box:
        result = os.path.join(box.path, "rules.json")
        text = import_them(box, result)
        check_and_explain(box, result)
        text = without_the_warned_one(text)
        rules = box.rules(text, name="rules.json")
        done = box.weir("check", result, check=0)
        assert done.stderr == "", done.stderr

        server = box.serve(kind, rules, **SERVERS[kind])
        rejected = ask(server, "/blocked")
        assert rejected.status == 429 and ask(server, "/small").status == 200, rejected
        assert (ask(server, "/other").status, ask(server, "/other?sku=42").status) == (200, 429)

        why = box.weir("why", rejected.header("x-weir-id"), check=0).stdout
        assert "17 (flow)" in why and "/blocked" in why and "rules.json:" in why, why
        weirtest.until(lambda: ask(server, "/blocked") and
                       re.search(r"/blocked .*\d", box.weir("top", "--once", "--sort", "block", "shop", check=0).stdout), "the resource in top")

        # the rule is opened by an edit, a bad edit changes nothing
        box.edit(rules, text.replace('"resource": "/blocked", "count": 0', '"resource": "/blocked", "count": 1000000'))
        assert ask(server, "/blocked").status == 200
        errors = box.spoil(rules, text.replace('"count": 0,', '"count": "none",', 1))
        assert "expected a number" in errors[0]["message"] and errors[0]["line"] > 1, errors
        assert ask(server, "/blocked").status == 200
        box.edit(rules, text)
        assert ask(server, "/blocked").status == 429

        box.weir("off", "shop", check=0)
        assert ask(server, "/blocked").status == 200
        box.weir("on", "shop", check=0)
        assert ask(server, "/blocked").status == 429


def nginx():
    in_front_of("nginx")


def python():
    in_front_of("threading")


weirtest.main(nginx, python)
