#!/usr/bin/python3
"""What `weir import` makes of configurations of Envoy, its rate limit service, and Kong: from input to rules, and what these rules
do on a real server."""
import json

import weirtest
from harness import imported

SERVICE = """domain: shop
descriptors:
  - key: remote_address
    rate_limit: { unit: minute, requests_per_unit: 4 }
  - key: remote_address
    value: 127.0.0.5
    rate_limit: { unlimited: true }
  - key: remote_address
    value: 127.0.0.6
    rate_limit: { unit: hour, requests_per_unit: 120 }
  - key: generic_key
    value: checkout
    descriptors:
      - key: user
        detailed_metric: true
        rate_limit: { unit: hour, requests_per_unit: 2 }
      - key: user
        value: tester
        rate_limit: { unit: hour, requests_per_unit: 9 }
  - key: header_match
    value: bots
    shadow_mode: true
    rate_limit: { unit: second, requests_per_unit: 1 }
  - key: plan
    rate_limit: { unit: day, requests_per_unit: 1000 }
"""
ENVOY = """static_resources:
  listeners:
  - address: { socket_address: { address: 0.0.0.0, port_value: 10000 } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          http_filters:
          - name: envoy.filters.http.adaptive_concurrency
            typed_config: { gradient_controller_config: { sample_aggregate_percentile: { value: 90 } } }
          route_config:
            virtual_hosts:
            - name: shop
              domains: ["*"]
              routes:
              - match: { prefix: "/checkout" }
                route:
                  rate_limits:
                  - actions:
                    - generic_key: { descriptor_value: checkout }
                    - request_headers: { header_name: x-user, descriptor_key: user }
                  - actions:
                    - header_value_match:
                        descriptor_value: bots
                        headers: [ { name: user-agent, string_match: { contains: bot } } ]
              - match: { path: "/burst" }
                route: { cluster: app }
                typed_per_filter_config:
                  envoy.filters.http.local_ratelimit:
                    token_bucket: { max_tokens: 3, tokens_per_fill: 1, fill_interval: 600s }
                    filter_enabled: { default_value: { numerator: 100, denominator: HUNDRED } }
                    filter_enforced: { default_value: { numerator: 100 } }
                    status: { code: 503 }
              - match: { prefix: "/" }
                route:
                  rate_limits: [ { actions: [ { remote_address: {} } ] } ]
  clusters:
  - name: app
    circuit_breakers: { thresholds: [ { max_requests: 100 } ] }
    outlier_detection: { consecutive_5xx: 5 }
"""
KONG = """_format_version: "3.0"
services:
- name: shop
  routes:
  - name: cart
    paths: [ /cart ]
    methods: [ GET ]
  - name: product
    paths: [ "~/product/(?<id>[0-9]+)$" ]
    plugins:
    - { name: rate-limiting, config: { hour: 3, limit_by: ip, policy: local } }
  plugins:
  - name: rate-limiting
    config: { day: 5, policy: redis, error_code: 503, error_message: slow down }
- name: old
  routes: [ { name: old, hosts: [ old.test ] } ]
  plugins: [ { name: request-termination, config: { status_code: 410, message: gone } } ]
consumers:
- username: ann
  keyauth_credentials: [ { key: k-ann } ]
  plugins: [ { name: rate-limiting, config: { hour: 2 } } ]
plugins:
- { name: key-auth, config: { key_names: [ x-api-key ] } }
- { name: ip-restriction, config: { deny: [ 127.0.0.66 ] } }
- { name: proxy-cache, config: { strategy: memory } }
- { name: response-ratelimiting, config: { limits: { sms: { minute: 3 } } } }
"""
ANSWERS = "location / { return 200 ok; }"


def statuses(server, target, count, source="127.0.0.1", **more):
    with weirtest.Connection(server.address, source=(source, 0)) as connection:
        connection.send(weirtest.request("GET", target, **more) * count)
        return [connection.response().status for _ in range(count)]


def expect(server, *cases):
    for target, wanted, more in cases:
        got = statuses(server, target, len(wanted), **more)
        assert got == wanted, (target, more, got, wanted)


def envoy():
    with weirtest.Sandbox() as box:
        files = [imported.written(box, "service.yaml", SERVICE), imported.written(box, "envoy.yaml", ENVOY)]
        rules, content = imported.rules_of(box, "envoy-ratelimit", *files, left_out=4)
        for words in ("service.yaml:24: not carried over: plan", "circuit_breakers", "outlier_detection", "adaptive_concurrency: where the service"):
            assert words in rules.said, (words, rules.said)
        local = imported.by_id(content, "flow", "route /burst")
        assert (local["count"], local["intervalSec"], local["burst"], local["blockAction"]) == (1, 600, 2, "envoy-503"), local
        bots = imported.by_id(content, "paramFlow", "header_match route /checkout")
        assert bots["mode"] == "simulate" and bots["param"] == {"parseStrategy": "header", "fieldName": "user-agent",
                                                                  "pattern": "bot", "matchStrategy": "contains"}, bots
        server = box.serve("nginx", rules, server=ANSWERS)
        expect(server,
               ("/x", [200] * 4 + [429], {}),
               ("/burst", [200] * 3 + [503], {}),
               ("/x", [200] * 6, {"source": "127.0.0.5"}),
               ("/x", [200] * 2 + [429], {"source": "127.0.0.6"}),
               ("/checkout/1", [200] * 2 + [429], {"headers": [("X-User", "ann")]}),
               ("/checkout/1", [200] * 9 + [429], {"headers": [("X-User", "tester")]}),
               ("/checkout/1", [200] * 5, {"headers": [("User-Agent", "a bot")]}))


def service_alone():
    """Without Envoy's configuration it is not known which requests have a descriptor, but for the address."""
    with weirtest.Sandbox() as box:
        rules, content = imported.rules_of(box, "envoy-ratelimit", imported.written(box, "service.yaml", SERVICE), left_out=4)
        assert "import it together with this file" in rules.said, rules.said
        assert [rule["id"] for rule in content["paramFlow"]] == ["remote_address all requests"] and "flow" not in content, content


def kong():
    with weirtest.Sandbox() as box:
        rules, content = imported.rules_of(box, "kong", imported.written(box, "kong.yaml", KONG), left_out=2)
        assert [rule["resource"] for rule in content["authority"]] == ["all requests"], content
        server = box.serve("nginx", rules, server=ANSWERS)
        key, ann = {"headers": [("X-API-Key", "k")]}, {"headers": [("X-API-Key", "k-ann")]}
        expect(server,
               ("/product/42", [200] * 3 + [429], key),
               ("/product/42x", [200] * 5, key),
               ("/cart/1", [200] * 5 + [503], key),
               ("/other", [200] * 2 + [429], ann),
               ("/other", [403], {"source": "127.0.0.66"}),
               ("/any", [410], {"host": "old.test"}))
        refused = weirtest.ask(server.address, target="/cart/2", **key)
        assert json.loads(refused.body) == {"message": "slow down"}, refused.body
        admin = imported.written(box, "admin.json", json.dumps({"next": None, "data": [
            {"id": "1", "name": "rate-limiting", "enabled": True, "route": None, "service": None, "consumer": None,
             "config": {"second": 7, "minute": None, "limit_by": "ip", "error_code": 429}},
            {"id": "2", "name": "rate-limiting", "enabled": False, "config": {"second": 1}}]}))
        _, content = imported.rules_of(box, "kong", admin)
        assert [(rule["count"], rule["per"], rule["param"]) for rule in content["paramFlow"]] == \
            [(7, "second", {"parseStrategy": "clientIp"})], content


def many_alike():
    """Of rules about one resource 1000 are carried over and the others listed, at once; each has an id of its own."""
    with weirtest.Sandbox() as box:
        text = "domain: d\ndescriptors:\n" + "".join(
            "- { key: remote_address, rate_limit: { unit: minute, requests_per_unit: %d } }\n" % (i + 1) for i in range(3000))
        _, content = imported.rules_of(box, "envoy-ratelimit", imported.written(box, "many.yaml", text), left_out=2000)
        ids = [rule["id"] for rule in content["paramFlow"]]
        assert len(set(ids)) == 1000 and ids[-1] == "remote_address all requests #1000", ids[-3:]


def goes_with_its_resource():
    """A rule whose group of paths cannot be carried over is not, either."""
    with weirtest.Sandbox() as box:
        text = """services: [ { name: a, host: a, routes: [ { name: r, paths: [ /a ], methods: [ get ] }, { name: s, paths: [ /b ] } ],
            plugins: [ { name: rate-limiting, config: { hour: 3, limit_by: ip } } ] } ]
consumer_groups: [ { name: gold, plugins: [ { name: rate-limiting-advanced, config: { limit: [ 9 ], window_size: [ 60 ] } } ] } ]
plugins: [ { name: rate-limiting, consumer_group: gold, config: { hour: 9, limit_by: ip } } ]
"""
        rules, content = imported.rules_of(box, "kong", imported.written(box, "method.yaml", text), left_out=4)
        for line, name in ((3, "rate-limiting-advanced"), (4, "rate-limiting")):
            assert "method.yaml:%d: not carried over: %s: it is about a group of consumers" % (line, name) in rules.said, rules.said
        assert 'its resource "get a" is not carried over' in rules.said, rules.said
        assert [rule["resource"] for rule in content["paramFlow"]] == ["a"], content


def bad_input():
    with weirtest.Sandbox() as box:
        for product, name, text, *words in (
                ("kong", "brace.yaml", "services: [ { name: a\n", "brace.yaml:2:1"),
                ("kong", "list.yaml", "- a\n", "list.yaml:1:1", "declarative configuration"),
                ("kong", "number.yaml", "plugins:\n- name: rate-limiting\n  config: { second: x, limit_by: ip }\n", "number.yaml:3:21",
                 "expected a number"),
                ("envoy-ratelimit", "unit.yaml", "domain: a\ndescriptors:\n- key: remote_address\n  rate_limit: { unit: fortnight }\n",
                 "unit.yaml:4:15", "expected a unit"),
                ("envoy-ratelimit", "alias.yaml", "a: &a [" + "x," * 500 + "x]\nb: &b [" + "*a," * 500 + "*a]\nc: [" + "*b," * 500 + "*b]\n",
                 "alias.yaml:3:", "300000 values"),
                ("envoy-ratelimit", "deep.yaml", "[" * 200, "deep.yaml:1:", "64 levels"),
                ("envoy-ratelimit", "empty.yaml", "", "empty.yaml")):
            imported.refused(box, product, imported.written(box, name, text), *words)


weirtest.main(envoy, service_alone, kong, many_alike, goes_with_its_resource, bad_input)
