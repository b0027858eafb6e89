#!/usr/bin/python3
"""Who calls: limitApp of flow rules (default, a name, several, other) and of authority rules (white and black lists of names, addresses,
ranges), with callers told by a header, by a group of addresses, by their address behind trusted proxies, on nginx and a Python server."""
import weirtest

HEADER = {"kind": "origin", "header": "X-App"}
OFFICE = {"kind": "origin", "name": "office", "addresses": ["192.0.2.0/24", "2001:db8::/32"]}
HOUR = {"intervalSec": 3600}


def answers(server, count=1, target="/small", **headers):
    """How many of so many requests of one caller passed; X_App stands for X-App."""
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    with weirtest.Connection(server.address) as connection:
        connection.send(weirtest.request("GET", target, headers=fields) * count)
        statuses = [connection.response().status for _ in range(count)]
    assert set(statuses) <= {200, 404, 403, 429}, statuses
    return sum(status in (200, 404) for status in statuses)


def flow(*rules):
    return [dict({"id": "%s-%d" % (rule.get("limitApp", "default"), number), "resource": "GET:/small"}, **HOUR, **rule) for number, rule in enumerate(rules)]


def limit_app():
    """A named caller has a limit of its own, `other` holds for each that no rule names, and all that apply must pass."""
    for kind in ("nginx", "threading"):
        with weirtest.Sandbox() as box:
            rules = box.rules({"resources": [HEADER], "flow": flow({"limitApp": "shop", "count": 3}, {"limitApp": "other", "count": 2})})
            server = box.serve(kind, rules)
            assert answers(server, 9, X_App="shop") == 3, kind
            assert answers(server, 9, X_App="crawler") == 2, kind
            assert answers(server, 9, X_App="mailer") == 2, kind  # each of the others on its own
            assert answers(server, 9) == 2, kind                  # 127.0.0.1
            assert answers(server, 1, X_App="shop") == 0, kind
            assert answers(server, 9, X_App="Shop") == 2, kind    # names have case
            box.edit(rules, {"resources": [HEADER], "flow": flow({"limitApp": "a, b", "count": 3}, {"count": 7})})
            assert answers(server, 5, X_App="a") == 3, kind
            assert answers(server, 5, X_App="b") == 3, kind       # 6 of the 7 of everybody
            assert answers(server, 5, X_App="c") == 1, kind


def authority_lists():
    """White and black lists by name, address and range, each against callers of every sort."""
    callers = {"shop": {"X_App": "shop"}, "bot": {"X_App": "bot"}, "office": {"X_Forwarded_For": "192.0.2.9"},
               "office6": {"X_Forwarded_For": "2001:db8::9"}, "far": {"X_Forwarded_For": "198.51.100.7"}, "peer": {}}
    lists = {
        "shop": {"shop"},
        "shop,office": {"shop", "office", "office6"},
        "office": {"office", "office6"},
        "198.51.100.7": {"far"},
        "198.51.100.0/24, 2001:db8::/32": {"far", "office6"},
        "127.0.0.0/8": {"shop", "bot", "peer"},  # a client without a proxy's word: by the peer's address
        "127.0.0.1": {"shop", "bot", "peer"},
    }
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        server = box.serve("nginx", rules)
        for listed, named in lists.items():
            for strategy in ("white", "black"):
                box.edit(rules, {"resources": [HEADER, OFFICE],
                                 "authority": [{"id": "who", "resource": "GET:/small", "limitApp": listed, "strategy": strategy}]})
                for name, headers in callers.items():
                    expected = (name in named) == (strategy == "white")
                    assert answers(server, **headers) == expected, (listed, strategy, name)


def several_names():
    """A caller is what the header says, and its group, and its address: a rule may name any of these."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"resources": [OFFICE, HEADER, {"kind": "origin", "header": "X-User"}],
                           "flow": flow({"limitApp": "office", "count": 4}, {"limitApp": "shop", "count": 3}, {"limitApp": "u1", "count": 2},
                                        {"limitApp": "192.0.2.77", "count": 1})})
        server = box.serve("nginx", rules)
        assert answers(server, 3, X_App="shop", X_User="u1") == 2
        assert answers(server, 3, X_App="shop", X_User="u2") == 1              # one was left to shop
        assert answers(server, 3, X_Forwarded_For="192.0.2.77", X_User="u3") == 1
        assert answers(server, 5, X_Forwarded_For="192.0.2.78") == 3           # the office as a whole
        response = weirtest.ask(server.address, headers=[("X-App", "shop"), ("X-User", "u2")])
        assert response.status == 429, response
        box.edit(rules, {"resources": [OFFICE, HEADER], "flow": flow({"limitApp": "shop", "count": 0, "blockAction": "who"}),
                         "blockActions": [{"name": "who", "body": "you are {origin}"}]})
        response = weirtest.ask(server.address, headers=[("X-App", "shop"), ("X-Forwarded-For", "192.0.2.1")])
        assert (response.status, response.body) == (429, b"you are shop"), response


def however_an_address_is_spelt():
    """A rule may spell a caller's address in any way."""
    spelt = {"2001:DB8:0::7": "2001:db8::7", "::ffff:192.0.2.7": "192.0.2.7", "::ffff:c000:207": "192.0.2.7", "a, 2001:db8::1:1:1:1:1, b": "2001:db8:0:1:1:1:1:1"}
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        server = box.serve("nginx", rules)
        for name, address in spelt.items():
            for section in ({"flow": flow({"limitApp": name, "count": 0})}, {"authority": [{"resource": "GET:/small", "limitApp": name, "strategy": "black"}]}):
                box.edit(rules, section)
                assert answers(server, X_Forwarded_For=address) == 0, (name, section)
                assert answers(server, X_Forwarded_For="192.0.2.8") == 1, (name, section)


def who_is_believed():
    """Headers of strangers are nobody's word, unless an entry says so; and even then some names are not theirs to take."""
    limits = flow({"limitApp": "shop", "count": 0}, {"limitApp": "office", "count": 0}, {"limitApp": "192.0.2.1", "count": 0},
                  {"limitApp": "uid:0", "count": 0})
    with weirtest.Sandbox() as box:
        nobody = {"trustedProxies": []}
        rules = box.rules({"resources": [HEADER, OFFICE], "flow": limits, "options": nobody})
        server = box.serve("nginx", rules)
        assert answers(server, X_App="shop") == 1 and answers(server, X_Forwarded_For="192.0.2.1") == 1
        anybody = dict(HEADER, anyPeer=True)
        box.edit(rules, {"resources": [anybody, OFFICE], "flow": limits, "options": nobody})
        assert answers(server, X_App="shop") == 0
        for name in ("office", "192.0.2.1", "uid:0"):
            assert answers(server, X_App=name) == 1, name
        box.edit(rules, {"resources": [HEADER, OFFICE], "flow": limits})
        assert answers(server, X_App="shop") == 0 and answers(server, X_App="192.0.2.1") == 0  # loopback is trusted
        assert answers(server, X_App="uid:0") == 1
        # The last address that is not a proxy's of ours: what is before it its owner may have made up.
        for chain, pass_ in (("192.0.2.1", 0), ("192.0.2.1, 127.0.0.5", 0), ("192.0.2.1, 10.0.0.1", 1), ("192.0.2.1, 198.51.100.1", 1), ("198.51.100.1, 192.0.2.1, 127.0.0.1", 0),
                             ("192.0.2.1:4711", 0), ("[2001:db8::1]:443", 0), ("192.0.2.1, rubbish", 1), ("10.9.9.9", 1), ("", 1)):
            assert answers(server, X_Forwarded_For=chain) == pass_, chain
        assert answers(server, X_Real_IP="192.0.2.1") == 0
        assert answers(server, X_Forwarded_For="10.9.9.9", X_Real_IP="192.0.2.1") == 1
        with weirtest.Connection(server.address) as connection:  # two lines are one list
            connection.send(weirtest.request("GET", "/small", headers=[("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "198.51.100.1")]))
            connection.send(weirtest.request("GET", "/small", headers=[("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "192.0.2.1")]))
            assert [connection.response().status for _ in range(2)] == [200, 429]


weirtest.main(limit_app, authority_lists, several_names, however_an_address_is_spelt, who_is_believed)
