#!/usr/bin/python3
"""`weir import` of what Sentinel's dashboard, API, data sources, other languages, Nacos, Apollo and MSE hold: the result passes
`weir check`, and a rule of each kind rejects on a real server. Bare arrays are read as they are."""
import json
import os
import re
import zipfile

import weirtest
from weirtest import expect

NGINX = {"server": "location / { return 200 ok; } location /bad { return 500; }"}
DASHBOARD = {"app": "t", "ip": "10.0.0.5", "port": 8719, "gmtCreate": "2023-11-14T08:00:00.000+0000", "gmtModified": 1700000000000}


def entity(number, **rule):
    return dict(DASHBOARD, id=number, **rule)


def wrapped(number, **rule):
    return dict(DASHBOARD, id=number, rule=rule)


def answer(*rules):
    return {"success": True, "code": 0, "msg": None, "data": list(rules)}


def go_flow(**more):
    return dict({"resource": "GET:/go", "tokenCalculateStrategy": 0, "controlBehavior": 0, "threshold": 0, "relationStrategy": 0,
                 "refResource": "", "maxQueueingTimeMs": 0, "warmUpPeriodSec": 0, "warmUpColdFactor": 0, "statIntervalInMs": 1000}, **more)


def mse(**more):
    rule = dict({"Namespace": "default", "RuleId": 2, "AppName": "t", "RegionId": "cn-hangzhou", "Enable": True}, **more)
    return {"Code": 200, "Message": "ok", "RequestId": "316F", "Success": True, "Data": {"PageNumber": 1, "Result": [rule]}}


# name of the file, what it holds, and what a section of the result holds of it
FORMS = [
    ("flow.json", [entity(1, resource="/order", limitApp="default", grade=1, count=0, strategy=0, refResource=None, controlBehavior=0,
                          warmUpPeriodSec=None, maxQueueingTimeMs=None, clusterMode=False, clusterConfig=None)],
     "flow", {"id": 1, "resource": "/order", "count": 0, "scope": "app"}),
    ("t-flow-rules", [{"resource": "POST:/order/{id}", "count": 0}], "flow", {"resource": "POST:/order/{id}", "count": 0}),
    ("queue.json", [{"clusterMode": False, "controlBehavior": 2, "count": 5.0, "grade": 1, "id": 7, "limitApp": "default",
                     "maxQueueingTimeMs": 300, "regex": False, "resource": "GET:/queue", "strategy": 0, "warmUpPeriodSec": 10}],
     "flow", {"id": 7, "controlBehavior": "queue", "maxQueueingTimeMs": 300, "count": 5}),
    ("answer.json", answer(entity(3, resource="/bad", limitApp="default", count=0.0, timeWindow=600, grade=1, minRequestAmount=1,
                                  slowRatioThreshold=None, statIntervalMs=60000)),
     "degrade", {"id": 3, "grade": "errorRatio", "count": 0, "timeWindow": 600, "statIntervalMs": 60000}),
    ("authority.json", [wrapped(4, resource="/who", limitApp="127.0.0.1", strategy=1)],
     "authority", {"resource": "/who", "limitApp": "127.0.0.1", "strategy": "black"}),
    ("gateway.json", [entity(5, resource="catalogue", resourceMode=1, grade=1, count=0, interval=2, intervalUnit=1, controlBehavior=0,
                             burst=0, maxQueueingTimeoutMs=500,
                             paramItem={"parseStrategy": 2, "fieldName": "X-Key", "pattern": "bot", "matchStrategy": 3})],
     "gateway", {"resource": "catalogue", "resourceMode": "api", "intervalSec": 120,
                 "paramItem": {"parseStrategy": "header", "fieldName": "X-Key", "pattern": "bot", "matchStrategy": "contains"}}),
    ("groups.json", [entity(6, apiName="catalogue", predicateItems=[{"pattern": "/cat/**", "matchStrategy": 1}])],
     "resources", {"kind": "api", "name": "catalogue", "predicateItems": [{"pattern": "/cat/**", "matchStrategy": "prefix"}]}),
    ("param.json", [{"resource": "GET:/hot", "count": 0, "grade": 1, "durationInSec": 1, "burstCount": 0, "paramIdx": 0,
                     "param": {"parseStrategy": "urlParam", "fieldName": "sku"},
                     "paramFlowItemList": [{"object": "vip", "classType": "java.lang.String", "count": 100}]}],
     "paramFlow", {"param": {"parseStrategy": "urlParam", "fieldName": "sku"}, "paramFlowItemList": [{"object": "vip", "count": 100}]}),
    ("system.json", [{"avgRt": -1, "highestCpuUsage": -1.0, "highestSystemLoad": -1.0, "maxThread": 50, "qps": 1000.0, "regex": False}],
     "system", {"qps": 1000, "maxThread": 50}),
    ("go-flow.json", [go_flow()], "flow", {"resource": "GET:/go", "count": 0}),
    ("go-warm.json", [go_flow(resource="GET:/w", tokenCalculateStrategy="WarmUp", controlBehavior="Throttling", threshold=9, warmUpPeriodSec=5)],
     "flow", {"controlBehavior": "warmUpQueue", "warmUpPeriodSec": 5, "count": 9}),
    ("go-breaker.json", [{"resource": "GET:/go", "strategy": 0, "retryTimeoutMs": 3000, "minRequestAmount": 10, "statIntervalMs": 5000,
                          "maxAllowedRtMs": 50, "threshold": 0.5}],
     "degrade", {"grade": "slow", "count": 50, "slowRatioThreshold": 0.5, "timeWindow": 3, "minRequestAmount": 10}),
    ("go-isolation.json", [{"resource": "GET:/alone", "metricType": 0, "threshold": 0}], "isolation", {"resource": "GET:/alone", "count": 0}),
    ("go-system.json", [{"metricType": 4, "triggerCount": 0.9, "strategy": 1}], "system", {"highestCpuUsage": 0.9}),
    ("rust.json", [{"id": "r", "resource": "GET:/r", "ref_resource": "", "calculate_strategy": "Direct", "control_strategy": "Reject",
                    "relation_strategy": "Current", "threshold": 3.0, "warm_up_period_sec": 0, "max_queueing_time_ms": 0,
                    "stat_interval_ms": 10000}], "flow", {"id": "r", "count": 3, "intervalSec": 10}),
    ("nacos.json", {"totalCount": 1, "pageItems": [
        {"id": "9", "dataId": "t-flow-rules", "group": "SENTINEL_GROUP", "content": '[\n{"resource": "GET:/nacos",\n "count": 0}]'},
        {"id": "8", "dataId": "t.yaml", "group": "DEFAULT_GROUP", "content": "server:\n  port: 80"}]}, "flow", {"resource": "GET:/nacos"}),
    ("apollo.json", {"appId": "t", "configurations": {"flowRules": '[{"resource": "GET:/apollo", "count": 4}]'}}, "flow", {"count": 4}),
    ("mse-flow.json", mse(Resource="/mse", ResourceType=1, ControlBehavior=2, MaxQueueingTimeMs=200, Threshold=10, FallbackObject=""),
     "flow", {"id": 2, "resource": "/mse", "count": 10, "controlBehavior": "queue", "maxQueueingTimeMs": 200}),
    ("mse-off.json", mse(Resource="/mse-off", ControlBehavior=0, Threshold=10, Enable=False), "flow", {"mode": "off"}),
    ("mse-isolation.json", mse(Resource="/mse", Threshold=8, LimitApp="default"), "isolation", {"count": 8}),
    ("mse-breaker.json", mse(Resource="/mse", Strategy=0, MaxAllowedRtMs=200, Threshold=0.8, RetryTimeoutMs=10000, MinRequestAmount=5,
                             StatIntervalMs=20000, HalfOpenRecoveryStepNum=3, HalfOpenBaseAmountPerStep=5),
     "degrade", {"timeWindow": 10, "recovery": "gradual", "recoverySteps": 3, "stepMinPass": 5}),
    ("mse-web.json", mse(Resource="/mse", ResourceMode=0, MetricType=1, Threshold=8, Burst=2, StatIntervalMs=60000, ControlBehavior=0,
                         ParamItem='{"fieldName": "k", "parseStrategy": 2}'),
     "paramFlow", {"param": {"parseStrategy": "header", "fieldName": "k"}, "durationInSec": 60, "burstCount": 2}),
]

# what cannot be carried over, or not do anything: the file, its content, words on stderr
LISTED = [
    ("p.json", [{"resource": "hot", "paramIdx": 0, "count": 1}], ["p.json:1: not carried over: hot: paramIdx 0", "urlParam"]),
    ("c.json", [{"resource": "/a", "count": 9, "controlBehavior": 0, "clusterMode": True, "clusterConfig": {"thresholdType": 1}}],
     ["not carried over: /a: clusterMode", "divide it by their number"]),
    ("u.json", [{"resource": "/a", "count": 9, "controlBehavior": 0, "shiny": 1}], ["not carried over: /a: shiny"]),
    ("b.json", [{"resource": "/a", "count": -9, "controlBehavior": 0}, {"resource": "/b", "count": 9}], ["/a: count: expected a number"]),
    ("j.json", [{"resource": "com.foo.Bar:hello(int)", "count": 9, "controlBehavior": 0}],
     ["j.json:1: warning: com.foo.Bar:hello(int): nothing on the wire has this name"]),
    ("h.json", [{"resource": "httpclient:GET:http://pay/x", "count": 9, "controlBehavior": 0}], ["request that the program makes"]),
    ("g.json", [{"resource": "product-route", "resourceMode": 0, "count": 9}], ["warning: product-route: is the id of a route", '"kind": "route"']),
    ("l.json", [{"resource": "/a", "limitApp": "cart", "count": 9, "controlBehavior": 0}], ["warning: /a: limitApp cart", '"header": "X-App"']),
    ("s.json", [{"resource": "/a", "count": 9, "timeWindow": 1, "statIntervalMs": 500}], ["statIntervalMs 500 becomes 1000"]),
    ("x-flow.json", [{"resource": "/a", "count": 9, "qps": 4}], ["not carried over: /a: qps: no field of a flow rule"]),
    ("frag.json", [{"resource": name, "count": 9, "controlBehavior": 0} for name in ("/x#y", "GET:/x?y=1", "/a?c")],
     ["not carried over: /x#y: no request has this name", "GET:/x?y=1: no request"]),
    ("page.json", {"totalCount": 9, "pageNumber": 1, "pagesAvailable": 3, "pageItems": [
        {"dataId": "t-flow-rules", "content": '[{"resource": "/a", "count": 9}]'}]}, ["page.json:1: warning: pageItems: this is page 1 of 3"]),
]

# what is no input at all: text, options, words on stderr, status
REFUSED = [
    ('[{"resource": "/a", "count": 1}]', [], "could be of several kinds: say which with --kind", 2),
    ('[{"resource": "/a", "count": 1, "timeWindow": 1}, {"qps": 1}]', [], "of another kind (system)", 2),
    ('[{"app": "a", "qps": 1}, {"app": "b", "qps": 2}]', [], "is for the app 'b'", 2),
    ('{"success": false, "msg": "machine is down", "data": null}', [], "reports a failure, and has no rules: machine is down", 2),
    ('{"app": "a", "flow": []}', ["--from", "sentinel"], "a rules file of weir already", 2),
    ('[{"resource": "/a", "count": 1,]', [], "<stdin>:1:32: error: expected", 2),
    ("nothing of that", [], "cannot tell what this is", 2),
    ('{"success": true, "data": []}', [], "no rules in what was read", 1),
    ('[{"resource": "hot", "paramIdx": 0, "count": 1}]', [], "none of the rules could be carried over", 1),
    ('[{"resource": "/a", "count": 1, "controlBehavior": 0, "shiny": 1}]', ["--strict"], "nothing was written, because of --strict", 1),
]


def save(box, name, content):
    path = os.path.join(box.path, name)
    with open(path, "w") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))
    return path


def read(text):
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M))


def clean(box, path):
    """`weir check` has nothing to say, not even a warning."""
    done = box.weir("check", path, check=0)
    assert done.stderr == "", done.stderr


def every_form():
    with weirtest.Sandbox() as box:
        for name, content, section, wanted in FORMS:
            result = os.path.join(box.path, "result.json")
            source = save(box, name, content)
            more = [save(box, *FORMS[[form[0] for form in FORMS].index("groups.json")][:2])] if name == "gateway.json" else []
            done = box.weir("import", source, *more, "-a", "t", "-o", result, "--force", check=0)
            assert "1 rule imported" in done.stderr or section == "resources" or more, done.stderr
            with open(result) as file:
                text = file.read()
            assert "// from %s:" % source in text, text
            found = read(text)[section]
            assert any(wanted.items() <= rule.items() for rule in found), (name, found)
            if name != "groups.json":
                clean(box, result)


def exported_archive():
    """Nacos exports a zip of all its configuration: of that, Sentinel's rules."""
    with weirtest.Sandbox() as box:
        path = os.path.join(box.path, "nacos_config_export.zip")
        for packing in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            with zipfile.ZipFile(path, "w", packing) as archive:
                archive.writestr(".meta.yml", "DEFAULT_GROUP.shop.yaml.app=")
                archive.writestr("SENTINEL_GROUP/", "")
                archive.writestr("SENTINEL_GROUP/shop-flow-rules", '[\n {"resource": "/order", "count": 3}\n]')
                archive.writestr("SENTINEL_GROUP/shop-param-flow-rules", "[]")
                archive.writestr("DEFAULT_GROUP/shop.yaml", "server:\n  port: 8080")
            done = box.weir("import", path, check=0)
            assert "// from %s/SENTINEL_GROUP/shop-flow-rules:2" % path in done.stdout and read(done.stdout)["app"] == "shop", done.stdout
        with open(path, "rb+") as file:
            file.truncate(100)
        assert "damaged" in box.weir("import", path, check=2).stderr


def what_is_listed():
    with weirtest.Sandbox() as box:
        for name, content, words in LISTED:
            done = box.weir("import", "-a", "t", save(box, name, content))
            for word in words:
                assert word in done.stderr, (name, done.stderr)
                if done.returncode == 0:
                    assert word.split(": ")[-1] in done.stdout, "it stands in the result, too"
        for text, options, words, status in REFUSED:
            done = box.weir("import", *options, "-", text=text, check=status)
            assert words in done.stderr and done.stdout == "", done


def names_that_act_on_terminals():
    with weirtest.Sandbox() as box:
        name = "GET:/a\x9b31m\u202ered\u2028\u5546"
        done = box.weir("import", "-a", "t", save(box, "x-flow.json", [{"resource": name, "count": 1}]), check=0)
        assert "\\u009b31m\\u202ered\\u2028\u5546" in done.stdout and not set("\x9b\u202e\u2028") & set(done.stdout + done.stderr), done
        assert read(done.stdout)["flow"][0]["resource"] == name


def several_apps():
    """Rules that name no app are for that of the file's name: those of two are not put together unasked."""
    with weirtest.Sandbox() as box:
        one, other = [save(box, name, '[{"resource": "/a", "count": 1}]') for name in ("a-flow-rules.json", "b-flow-rules.json")]
        named = save(box, "named.json", [{"app": "b", "qps": 3}])
        for pair in ((one, other), (one, named)):
            done = box.weir("import", *pair, check=2)
            assert "for the app '" in done.stderr and "is for '" in done.stderr and "-a" in done.stderr and not done.stdout, done.stderr
        assert read(box.weir("import", one, other, "-a", "joined", check=0).stdout)["app"] == "joined"
        assert read(box.weir("import", other, named, check=0).stdout)["app"] == "b"
        archive = os.path.join(box.path, "two.zip")
        with zipfile.ZipFile(archive, "w") as file:
            file.write(one, "G/a-flow-rules")
            file.write(other, "G/b-flow-rules")
            file.writestr("G/c-flow-rules", "[]")
        assert "G/b-flow-rules:1: error: is by its name for the app 'b'" in box.weir("import", archive, check=2).stderr


def files_that_exist():
    with weirtest.Sandbox() as box:
        source, result = save(box, "a.json", FORMS[0][1]), save(box, "mine.json", "precious")
        done = box.weir("import", source, "-o", result, check=1)
        assert "exists; nothing was written" in done.stderr, done.stderr
        with open(result) as file:
            assert file.read() == "precious"
        os.chmod(result, 0o640)
        box.weir("import", source, "-o", result, "--force", check=0)
        assert os.stat(result).st_mode & 0o777 == 0o640
        clean(box, result)
        box.weir("import", source, "-o", os.path.join(box.path, "none", "x.json"), check=1)
        assert sorted(os.listdir(box.path)) == sorted(set(os.listdir(box.path)) - {"none"}), "nothing half-written is left"
        assert not [name for name in os.listdir(box.path) if name.endswith(".new")]
        for path in ("/dev/stdout", "/dev/full"):
            assert "not a regular file" in box.weir("import", source, "-o", path, "--force", check=1).stderr
        assert read(box.weir("import", source, "-o", "-", check=0).stdout)["flow"] and not os.path.exists("-")
        twice = box.weir("import", source, source, "-a", "t", check=0)
        assert len(read(twice.stdout)["flow"]) == 1, "of two machines with the same rules one is enough"


def ask(target, *headers, method="GET"):
    return weirtest.request(method, target, headers=list(headers))


def imported_rules_reject():
    """All forms at once: each kind on a real server; Sentinel's own behaviour, too."""
    with weirtest.Sandbox() as box:
        for options in ([], ["--compat"]):
            sources = [save(box, name, content) for name, content, section, _ in FORMS if section != "system"]
            if options:
                sources = [path for path in sources if not re.search(r"(go|rust|mse|nacos|apollo|param)[^/]*$", path)]
            result = os.path.join(box.path, "all%d.json" % len(options))
            box.weir("import", *sources, "-a", "t", "-o", result, *options, check=0)
            clean(box, result)
            server = box.serve("nginx", result, **NGINX)
            expect(server, [ask("/order"), ask("/order", method="POST"), ask("/order/7"), ask("/free")], [429, 429, 200, 200])
            expect(server, [ask("/who"), ask("/cat/x", ("X-Key", "robots")), ask("/cat/x", ("X-Key", "me"))], [403, 429, 200])
            expect(server, [ask("/bad")], [500])
            weirtest.until(lambda: weirtest.ask(server.address, target="/bad").status == 503, "the circuit")
            if not options:
                expect(server, [ask("/order/7", method="POST"), ask("/go"), ask("/alone"), ask("/nacos")], [429] * 4)
                expect(server, [ask("/hot?sku=1"), ask("/hot?sku=vip"), ask("/hot")], [429, 200, 200])
            server.program.kill()
        result = os.path.join(box.path, "system.json.weir")
        box.weir("import", save(box, "s.json", [{"qps": 0, "highestSystemLoad": -1}]), "-a", "t", "-o", result, check=0)
        server = box.serve("nginx", result, **NGINX)
        assert weirtest.ask(server.address).status in (429, 503)


def bare_arrays():
    """A folder of arrays as data sources leave them: kind and app by content and name; edits are in force at once."""
    with weirtest.Sandbox() as box:
        folder = os.path.join(box.path, "rules.d")
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        flow = box.rules(json.dumps([{"resource": "/order", "count": 0}, {"resource": "GET:/order", "count": 100}]),
                         name="rules.d/t-flow-rules.json")
        box.rules(json.dumps([wrapped(4, resource="/who", limitApp="127.0.0.1", strategy=1)]), name="rules.d/anything.json")
        box.rules(json.dumps([{"apiName": "g", "predicateItems": [{"pattern": "/cat/**", "matchStrategy": 1}]}]),
                  name="rules.d/t-gateway-api-groups.json")
        box.rules(json.dumps([{"resource": "g", "resourceMode": 1, "count": 0}]), name="rules.d/t-gateway-flow.json")
        box.agent(folder)
        server = box.serve("nginx", preload=True, **NGINX)
        expect(server, [ask("/order"), ask("/order", method="POST"), ask("/who"), ask("/cat/a"), ask("/free")], [429, 429, 403, 429, 200])
        box.edit(flow, json.dumps([{"resource": "/free", "count": 0}]))
        expect(server, [ask("/order"), ask("/free")], [200, 429])
        errors = box.spoil(flow, json.dumps([{"resource": "/a", "count": 1, "timeWindow": 5}, {"qps": 1}]))
        assert "of another kind" in errors[0]["message"], errors
        expect(server, [ask("/free")], [429])


weirtest.main(every_form, exported_archive, what_is_listed, names_that_act_on_terminals, several_apps, files_that_exist, imported_rules_reject, bare_arrays)
