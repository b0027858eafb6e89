#!/usr/bin/python3
"""Rules about hot parameters, field by field, on real servers: where values come from and how they are spelt, patterns, joint keys,
thresholds of particular values, bursts, times. Everything is counted; nothing depends on how fast."""
import os

import weirtest
from weirtest import expect

NGINX = {"server": "location /p/ { return 200 ok; }"}
YEAR = 365 * 24 * 3600  # nothing comes back while a test runs


def rule(name, param, count=2, **more):
    """About GET:/p/NAME."""
    return dict({"id": name, "resource": "GET:/p/" + name, "param": param, "count": count, "durationInSec": YEAR}, **more)


def header(name, **more):
    return dict({"parseStrategy": "header", "fieldName": name}, **more)


def ask(path, headers=(), host="localhost"):
    return weirtest.request("GET", "/p/" + path, host=host, headers=list(headers))


def serve(box, rules, options=None, **more):
    return box.serve("nginx", box.rules(dict({"paramFlow": rules}, **({"options": options} if options else {}))), **dict(NGINX, **more))


def one_value_however_spelt():
    """The same value ten times, each time another way: two pass."""
    addresses = ["192.0.2.7", "192.0.2.7:4711", "192.0.2.7, 10.0.0.1", " 192.0.2.7 ", "::ffff:c000:207"]
    ways = {
        "url": [ask("url" + query) for query in ("?u=bob", "?u=%62ob", "?%75=bob", "?a=1&u=bo%62#x", "?u=bob&u=bob", "?v=x&u=%62%6f%62&v")],
        "plus": [ask("plus?q=" + value) for value in ("a+b", "a%20b", "%61+b", "a%20%62")],
        "cookie": [ask("cookie", [("Cookie", value)]) for value in ("u=bob", "a=b; u=bob", "u=\"bob\"", "u=%62ob", "a=b;u=bob;c=d", "a=b; u = bob", "u=\tbob ;")],
        "host": [ask("host", host=value) for value in ("shop.example", "SHOP.example", "shop.example.", "shop.example:80", "Shop.Example.:8080")],
        "header": [ask("header", [(name, "bob")]) for name in ("X-User", "x-user", "X-USER")],
        "address": [ask("address", [("X-Forwarded-For", value)]) for value in addresses],
    }
    params = {"url": {"parseStrategy": "urlParam", "fieldName": "u"}, "plus": {"parseStrategy": 3, "fieldName": "q"},
              "cookie": {"parseStrategy": "cookie", "fieldName": "u"}, "host": {"parseStrategy": "host"}, "header": header("X-User"),
              "address": {"parseStrategy": "clientIp"}}
    with weirtest.Sandbox() as box:
        server = serve(box, [rule(name, param) for name, param in params.items()], {"trustedProxies": "private"})
        for name, requests in ways.items():
            expect(server, requests, [200] * 2 + [429] * (len(requests) - 2))
        expect(server, [ask("url?u=bobby"), ask("url?u=%2562ob"), ask("url"), ask("url"), ask("url")], [200] * 5)


def every_value_that_is_said():
    """A value in front of the one that the application goes by hides nothing."""
    with weirtest.Sandbox() as box:
        server = serve(box, [rule("url", {"parseStrategy": "urlParam", "fieldName": "u"}), rule("head", header("X-User")),
                             rule("cookie", {"parseStrategy": "cookie", "fieldName": "u"}),
                             rule("joint", [header("X-User"), {"parseStrategy": "urlParam", "fieldName": "u"}])])
        expect(server, [ask("url?u=r1&u=bob"), ask("url?u=bob&u=r2"), ask("url?u=r3&u=bob"), ask("url?u=bob"), ask("url?u=r1"), ask("url?u=r1")],
               [200, 200, 429, 429, 200, 429])
        many = "&".join("u=s%d" % number for number in range(20))
        expect(server, [ask("url?%s&u=last" % many), ask("url?u=last"), ask("url?u=last")], [200, 200, 429])
        expect(server, [ask("head", [("X-User", str(number)), ("x-user", "bob")]) for number in range(4)], [200, 200, 429, 429])
        expect(server, [ask("cookie", [("Cookie", "u=%d; u=bob" % number)]) for number in range(4)], [200, 200, 429, 429])
        expect(server, [ask("joint?u=x%d&u=a" % number, [("X-User", "y%d" % number), ("X-User", "b")]) for number in range(4)],
               [200, 200, 429, 429])


def whose_headers_are_believed():
    """A header that any client can write does not choose its own bucket."""
    spoofed = [ask("address", [("X-Forwarded-For", "192.0.2.%d" % number)]) for number in range(5)]
    with weirtest.Sandbox() as box:
        server = serve(box, [rule("address", {"parseStrategy": "clientIp"})], {"trustedProxies": ["203.0.113.0/24"]})
        expect(server, spoofed, [200] * 2 + [429] * 3)
    with weirtest.Sandbox() as box:
        server = serve(box, [rule("address", {"parseStrategy": "clientIp"})], {"trustedProxies": ["127.0.0.0/8"]})
        expect(server, spoofed, [200] * 5)
        # The proxy appended whom it served: what stands in front of that, the client made up, on the same line or on one before.
        expect(server, [ask("address", [("X-Forwarded-For", "192.0.2.%d, 203.0.113.5, 127.0.0.9" % number)]) for number in range(4)], [200, 200, 429, 429])
        expect(server, [ask("address", [("X-Forwarded-For", "192.0.2.%d" % number), ("x-forwarded-for", "203.0.113.5")]) for number in range(2)], [429] * 2)
        expect(server, [ask("address", [("X-Forwarded-For", "::ffff:203.0.113.5")])], [429])
        for name in ("Proxy-Client-IP", "WL-Proxy-Client-IP", "X-Real-IP", "HTTP_CLIENT_IP"):
            if name != "HTTP_CLIENT_IP":  # (nginx drops headers with underscores from what it serves, not from what weir sees)
                expect(server, [ask("address", [(name, "198.51.100.%d" % len(name)), ("X-Forwarded-For", "unknown")])] * 3, [200, 200, 429])
        expect(server, [ask("address", [("X-Forwarded-For", "nonsense")])] * 3, [200, 200, 429])  # the peer's own address


def one_header_names_the_client():
    """A proxy that sets X-Real-IP passes X-Forwarded-For on as the client wrote it."""
    with weirtest.Sandbox() as box:
        server = serve(box, [rule("address", {"parseStrategy": "clientIp"})], {"clientIpHeader": "X-Real-IP"})
        expect(server, [ask("address", [("X-Forwarded-For", "192.0.2.%d" % number), ("X-Real-IP", "203.0.113.5")]) for number in range(4)], [200, 200, 429, 429])
        expect(server, [ask("address", [("Proxy-Client-IP", "192.0.2.%d" % number)]) for number in range(4)], [200, 200, 429, 429])  # the peer


def networks_count_together():
    """One customer has 2^64 addresses of IPv6; one with a threshold of its own is known by the whole of it."""
    rules = [rule("address", {"parseStrategy": "clientIp"}, paramFlowItemList=[{"object": "2001:db8:1:1::7", "count": 5}])]
    neighbours = ["2001:db8:1:1::%x" % number for number in range(16, 20)]

    def of(*addresses):
        return [ask("address", [("X-Forwarded-For", address)]) for address in addresses]
    with weirtest.Sandbox() as box:
        server = serve(box, rules)
        expect(server, of(*neighbours), [200, 200, 429, 429])
        expect(server, of(*["2001:db8:1:1::7"] * 7), [200] * 5 + [429] * 2)
        expect(server, of("2001:db8:1:2::1", "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.2", "192.0.2.2"), [200] * 4 + [429])
    for options, statuses in (({"ipv6Prefix": 128}, [200] * 4), ({"ipv6Prefix": 126}, [200, 200, 429, 429]), ({"ipv6Prefix": 127}, [200] * 4)):
        with weirtest.Sandbox() as box:
            server = serve(box, rules, options)
            expect(server, of(*neighbours), statuses)
    with weirtest.Sandbox() as box:
        server = serve(box, rules, {"ipv4Prefix": 24})
        expect(server, of("192.0.2.1", "192.0.2.200", "192.0.2.9", "192.0.3.9"), [200, 200, 429, 200])


def patterns():
    """Only what matches is counted, each value on its own."""
    cases = {"exact": ("bob", ["bob"], ["bobby", "Bob"]), "prefix": ("vip-", ["vip-1", "vip-"], ["a-vip-1", "vip"]),
             "regex": ("[a-c]+[0-9]{1,3}", ["abc12", "c999"], ["abc1234", "xabc12", "d1"]), "contains": ("bot", ["a robot", "bot"], ["b-o-t"])}
    with weirtest.Sandbox() as box:
        server = serve(box, [rule(match, header("X-User", pattern=pattern, matchStrategy=match)) for match, (pattern, _, _) in cases.items()])
        for match, (_, counted, free) in cases.items():
            for value in counted:
                expect(server, [ask(match, [("X-User", value)])] * 4, [200, 200, 429, 429])
            for value in free:
                expect(server, [ask(match, [("X-User", value)])] * 4, [200] * 4)


def no_pattern_takes_the_server_away():
    """A pattern that runs for ages on some inputs is given up, and these count; a long value is no way around a pattern."""
    with weirtest.Sandbox() as box:
        server = serve(box, [rule("bad", header("X-User", pattern="(a+)+(b+)+c", matchStrategy="regex")),
                             rule("long", header("X-User", pattern=".*bot.*", matchStrategy="regex"))])
        expect(server, [ask("bad", [("X-User", "a" * 2000 + "b" * 2000)])] * 20, [200] * 2 + [429] * 18)
        expect(server, [ask("long", [("X-User", "x" * 6000 + "bot")])] * 3, [200, 200, 429])
        expect(server, [ask("long", [("X-User", "x" * 1000)])] * 3, [200] * 3)
        expect(server, [ask("bad", [("X-User", "aabbc")])] * 4, [200, 200, 429, 429])


def joint_keys():
    with weirtest.Sandbox() as box:
        server = serve(box, [rule("joint", [header("X-User"), {"parseStrategy": "urlParam", "fieldName": "item", "pattern": "7", "matchStrategy": 1},
                                            {"parseStrategy": "path", "fieldName": "1"}])])
        expect(server, [ask("joint?item=7", [("X-User", "bob")])] * 3, [200, 200, 429])
        expect(server, [ask("joint?item=77", [("X-User", "bob")])] * 3, [200, 200, 429])
        expect(server, [ask("joint?item=7", [("X-User", "eve")])] * 3, [200, 200, 429])
        expect(server, [ask("joint?item=8", [("X-User", "bob")])] * 3, [200] * 3)  # not the pattern's
        expect(server, [ask("joint?item=7")] * 3, [200] * 3)  # one of them is missing


def path_segments():
    with weirtest.Sandbox() as box:
        server = serve(box, [
            {"id": "name", "resource": "GET:/p/user/{who}/{what}", "param": {"parseStrategy": "path", "fieldName": "what"}, "count": 2,
             "durationInSec": YEAR},
            {"id": "index", "resource": "GET:/p/index/*", "resourceMatch": "glob", "param": {"parseStrategy": "path", "fieldName": "2"},
             "count": 2, "durationInSec": YEAR}])
        expect(server, [ask("user/%s/%s" % pair) for pair in (("a", "x"), ("b", "x"), ("c", "%78"), ("a", "y"))], [200, 200, 429, 200])
        expect(server, [ask("index/" + path) for path in ("x", "x", "x", "y", "%79", "z/../y")], [200, 200, 429, 200, 200, 429])


def thresholds_of_their_own():
    with weirtest.Sandbox() as box:
        items = [{"object": "vip", "classType": "java.lang.String", "count": 5}, {"object": "banned", "count": 0}, {"object": "a b", "count": 1}]
        server = serve(box, [rule("items", {"parseStrategy": "urlParam", "fieldName": "u"}, paramFlowItemList=items)])
        for value, count in (("vip", 5), ("%76ip", 0), ("banned", 0), ("usual", 2), ("a+b", 1)):
            expect(server, [ask("items?u=" + value)] * 7, [200] * count + [429] * (7 - count))


def an_office_in_a_list():
    """Ranges of addresses with a threshold of their own, in the rules and in a list beside them, which is read again when it changes;
    an error in it leaves what was in force, and is named with its line."""
    with weirtest.Sandbox() as box:
        path = os.path.join(box.path, "office.txt")

        def office(text):
            with open(path, "w") as file:
                file.write(text)

        def passing(address):
            return weirtest.pipelined(server.address, [ask("items", [("X-Forwarded-For", address)])] * 5).count(200)
        office("# the office\n\n192.0.2.0/25\n198.51.100.7-198.51.100.9\n")
        items = [{"file": "office.txt", "count": 4}, {"object": "203.0.113.0/24", "count": 3}, {"object": "192.0.2.66", "count": 0},
                 {"object": "2001:db8::/48", "count": 4}]
        content = {"paramFlow": [rule("items", {"parseStrategy": "clientIp"}, paramFlowItemList=items)],
                   "resources": [{"kind": "origin", "name": "office", "addresses": [{"file": "office.txt"}]}],
                   "authority": [{"resource": "GET:/p/office", "limitApp": "office", "strategy": "white"}]}
        rules = box.rules(content)
        server = box.serve("nginx", rules, **NGINX)
        assert [passing(address) for address in ("192.0.2.1", "192.0.2.2", "198.51.100.8", "203.0.113.5", "192.0.2.66", "198.51.100.6",
                                                 "2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1")] == [4, 4, 4, 3, 0, 2, 4, 4, 2]
        expect(server, [ask("office", [("X-Forwarded-For", address)]) for address in ("192.0.2.1", "192.0.2.200")], [200, 403])
        before = box.version()
        office("192.0.2.128/25\n")
        weirtest.until(lambda: box.version() != before, "the list to be read again")
        expect(server, [ask("office", [("X-Forwarded-For", address)]) for address in ("192.0.2.1", "192.0.2.200")], [403, 200])
        assert passing("192.0.2.129") == 4 and passing("192.0.2.3") == 2
        office("192.0.2.128/25\nnobody\n")
        errors = weirtest.until(lambda: box.file_state(rules)["errors"], "the error to be noticed")
        assert "office.txt:2: expected an address" in errors[0]["message"], errors
        expect(server, [ask("office", [("X-Forwarded-For", "192.0.2.200")])], [200])
        checked = box.weir("check", rules.path, check=2)
        assert "office.txt:2" in checked.stderr, checked.stderr
        before = box.version()
        office("198.51.100.0/24\n")
        weirtest.until(lambda: box.version() != before and not box.file_state(rules)["errors"], "the list to be mended")
        expect(server, [ask("office", [("X-Forwarded-For", "198.51.100.1")])], [200])


def bursts_and_times():
    """`burstCount` is had once on top; `per` and `durationInSec` say how fast it comes back."""
    with weirtest.Sandbox() as box:
        server = serve(box, [rule("burst", header("X-User"), burstCount=3),
                             {"id": "per", "resource": "GET:/p/per", "param": header("X-User"), "count": 3, "per": "day"},
                             {"id": "second", "resource": "GET:/p/second", "param": header("X-User"), "count": 1}])
        bob = [("X-User", "bob")]
        expect(server, [ask("burst", bob)] * 7, [200] * 5 + [429] * 2)
        expect(server, [ask("per", bob)] * 5, [200] * 3 + [429] * 2)
        with weirtest.Connection(server.address) as connection:
            connection.send(ask("per", bob))
            left = int(connection.response().header("retry-after"))
        assert 3600 < left <= 25 * 3600, left  # a day, and a tick of it
        assert weirtest.pipelined(server.address, [ask("second", bob)] * 5).count(429) >= 1
        weirtest.until(lambda: weirtest.pipelined(server.address, [ask("second", bob)]) == [200], "a second to pass")


def capacity_is_bounded():
    """Five thousand other values, and the one that was rejected before stays so."""
    with weirtest.Sandbox() as box:
        server = serve(box, [rule("small", header("X-User"), capacity=100)])
        expect(server, [ask("small", [("X-User", "bob")])] * 3, [200, 200, 429])
        for chunk in range(50):
            weirtest.pipelined(server.address, [ask("small", [("X-User", "%d-%d" % (chunk, number))]) for number in range(100)])
        expect(server, [ask("small", [("X-User", "bob")])] * 2, [429] * 2)


def large_tables_have_room_at_once():
    """No value has a shared place first, and its own, unused one, a moment later."""
    with weirtest.Sandbox() as box:
        server = serve(box, [rule(str(number), header("X-User"), capacity=20000, scope="app")
                             for number in range(6)])
        for number in range(6):
            expect(server, [ask(str(number), [("X-User", "bob")])] * 3, [200, 200, 429])
        assert box.app_status()["resources_sharing"] == 0, box.app_status()


weirtest.main(one_value_however_spelt, every_value_that_is_said, whose_headers_are_believed,
              one_header_names_the_client, networks_count_together, patterns, no_pattern_takes_the_server_away,
              joint_keys, path_segments, thresholds_of_their_own, an_office_in_a_list, bursts_and_times, capacity_is_bounded,
              large_tables_have_room_at_once)
