#!/usr/bin/python3
"""The limits of a real HAProxy, and the same HAProxy without them under the rules that `weir import` makes of its configuration:
the same requests get the same answers."""
import contextlib
import re

import weirtest
from harness import imported

CONFIG = """global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tarpit 300ms

frontend web
    bind 127.0.0.1:PORT
    maxconn 200
    stick-table type ip size 1m expire 10m store http_req_rate(5m),conn_cur,conn_rate(5m)
    acl office src 127.0.0.2 127.0.8.0/24
    acl listed src -f "FOLDER/friends.lst"
    acl static path_beg /static/
    acl static path_end .css .js
    acl login path -i /login
    acl private path_beg /private
    acl private path_end .key
    acl office src 127.0.7.0/24
    http-request deny if { src 127.0.0.66 }
    tcp-request connection track-sc0 src
    tcp-request connection reject if { sc_conn_cur(0) gt 4 } !office !listed
    tcp-request connection reject if { sc0_conn_rate gt 30 } !office !listed
    http-request track-sc1 hdr(X-API-Key) table keys if { path_beg /api/ }
    http-request track-sc2 src table pages if !static !login !{ path_beg /api/ /admin /old/ }
    http-request deny deny_status 429 if { sc1_http_req_rate ge 4 } { path_beg /api/ }
    http-request tarpit deny_status 429 if login METH_POST
    http-request deny if { path_beg /admin } !office !listed
    http-request deny deny_status 401 if private
    http-request deny deny_status 404 if { path_reg ^/old/[a-z]+\\.php$ }
    http-request deny deny_status 429 if { sc_http_req_rate(2) gt 5 } !office !listed
    http-request return status 200 content-type text/plain string ok

backend keys
    stick-table type string len 64 size 1m expire 10m store http_req_rate(5m)
backend pages
    stick-table type ip size 1m expire 10m store http_req_rate(5m)
"""
LIMIT = re.compile(r"^ *(?:stick-table|acl|tcp-request|http-request (?:track|deny|tarpit)).*\n", re.M)


def started(box, text, rules):
    port = int(re.search(r"bind 127.0.0.1:(\d+)", text).group(1))
    command = ["haproxy", "-f", imported.written(box, "haproxy.%d.cfg" % port, text)]
    program = box.weir_run("haproxy", rules, command) if rules else box.start("haproxy", command)
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not program.running(), "haproxy to listen")
    assert program.running(), program.output()
    return "127.0.0.1", port


def statuses(address, target, count, source="127.0.0.1", method="GET", **more):
    found = []
    while len(found) < count:
        with weirtest.Connection(address, source=(source, 0)) as connection:
            closes = False
            while len(found) < count and not closes:
                connection.send(weirtest.request(method, target, **more))
                response = connection.response(method)
                found.append(response.status)
                closes = response.closes
    return found


def answered(address, count, source):
    """How many of so many connections at a time get an answer."""
    with contextlib.ExitStack() as held:
        served = 0
        for _ in range(count):
            with contextlib.suppress(OSError, weirtest.Closed):
                connection = held.enter_context(weirtest.Connection(address, source=(source, 0)))
                connection.send(weirtest.request("GET", "/static/x"))
                served += connection.response().status == 200
        return served


def one_by_one(address, count, source):
    """How many of so many connections, one after the other, get an answer."""
    served = 0
    for _ in range(count):
        with contextlib.suppress(OSError, weirtest.Closed), weirtest.Connection(address, source=(source, 0)) as connection:
            connection.send(weirtest.request("GET", "/static/x"))
            served += connection.response().status == 200
    return served


def decided_alike():
    weirtest.need("haproxy")
    with weirtest.Sandbox() as box:
        imported.written(box, "friends.lst", "# those that we know\n127.0.0.4\n127.0.9.0/24\n")
        text = CONFIG.replace("FOLDER", box.path)
        bare, mine = (text.replace("PORT", str(weirtest.free_port())) for _ in range(2))
        rules, content = imported.rules_of(box, "haproxy", imported.written(box, "limits.cfg", mine), left_out=1)
        both = [started(box, bare, None), started(box, LIMIT.sub("", mine), rules)]
        key = [("X-API-Key", "k")]
        for target, count, wanted, more in (
                ("/x", 7, [200] * 5 + [429] * 2, {}),
                ("/static/x", 7, [200] * 7, {}),
                ("/y.css", 2, [200] * 2, {}),
                ("/z", 2, [429] * 2, {}),
                ("/z", 3, [200] * 3, {"source": "127.0.0.3"}),
                ("/x", 7, [200] * 7, {"source": "127.0.8.200"}),
                ("/x", 7, [200] * 7, {"source": "127.0.9.9"}),
                ("/api/x", 5, [200] * 3 + [429] * 2, {"headers": key, "source": "127.0.0.10"}),
                ("/api/x", 1, [429], {"headers": key, "source": "127.0.0.11"}),
                ("/api/x", 7, [200] * 7, {"source": "127.0.0.12"}),
                ("/Login", 2, [429] * 2, {"method": "POST", "source": "127.0.0.13"}),
                ("/login", 2, [200] * 2, {"source": "127.0.0.13"}),
                ("/admin/x", 1, [403], {"source": "127.0.0.14"}),
                ("/admin/x", 1, [200], {"source": "127.0.0.4"}),
                ("/private/x", 1, [401], {"source": "127.0.0.16"}),
                ("/x.key", 1, [401], {"source": "127.0.0.16"}),
                ("/x.keys", 1, [200], {"source": "127.0.0.16"}),
                ("/x", 7, [200] * 7, {"source": "127.0.7.7"}),
                ("/old/a.php", 1, [404], {"source": "127.0.0.15"}),
                ("/old/aXphp", 1, [200], {"source": "127.0.0.15"}),
                ("/static/x", 1, [403], {"source": "127.0.0.66"})):
            for address in both:
                got = statuses(address, target, count, **more)
                assert got == wanted, (target, more, "haproxy" if address is both[0] else "weir", got, wanted)
        for address in both:
            assert answered(address, 6, "127.0.0.20") == 4, address
            assert answered(address, 6, "127.0.0.2") == 6, address
            assert one_by_one(address, 33, "127.0.0.21") == 30, address
            assert one_by_one(address, 33, "127.0.0.2") == 33, address
        assert imported.by_id(content, "isolation", "maxconn tcp::%d" % both[1][1])["count"] == 200


def left_out_and_refused():
    with weirtest.Sandbox() as box:
        path = imported.written(box, "more.cfg", """frontend web
    bind :80
    bind :443 ssl crt x.pem
    stick-table type ip size 1m store gpc0,bytes_out_rate(1m)
    http-request track-sc0 src
    http-request deny if { sc_get_gpc0(0) gt 0 }
    http-request deny if { sc_bytes_out_rate(0) gt 1000000 }
    http-request deny if { src -f nowhere.lst }
    http-request deny if { hdr_sub(user-agent) curl }
    http-request deny if nothing
    http-request deny if { path /only }
backend app
    server a 10.0.0.1:80 maxconn 30
""")
        rules, content = imported.rules_of(box, "haproxy", path, left_out=7)
        for line, words in ((3, "TLS"), (6, "not get_gpc0"), (7, "not bytes_out_rate"), (8, "nowhere.lst"), (9, "hdr_sub"),
                            (10, 'no ACL "nothing"'), (13, '"count": 30')):
            assert re.search(r"more.cfg:%d: .*%s" % (line, re.escape(words)), rules.said), (line, words, rules.said)
        assert [rule["count"] for rule in content["flow"]] == [0] and set(content) & {"paramFlow", "isolation", "authority"} == set()
        for name, text, *words in (("quote.cfg", 'frontend a\n bind "x\n', "quote.cfg:2:7", "does not end"),
                                   ("zero.cfg", "frontend a\n b\0c\n", "zero.cfg:2", "NUL"),
                                   ("none.cfg", "bind :80\n", "none.cfg:1:1", "expected a section"),
                                   ("status.cfg", "frontend a\n bind :80\n http-request deny deny_status 9 if TRUE\n",
                                    "status.cfg:3", "200 to 599")):
            imported.refused(box, "haproxy", imported.written(box, name, text), *words)


def let_past():
    """What a line above lets past is exempt from a deny, or the deny is left out; another set of rules does not heed it."""
    addresses = ["10.1.%d.1" % i for i in range(160)]
    with weirtest.Sandbox() as box:
        path = imported.written(box, "past.cfg", """frontend a
    bind :80
    tcp-request connection accept if { src 192.168.0.0/16 }
    http-request allow if { src 10.0.0.0/8 }
    http-request deny if { path_beg /x }
    http-request deny if { method DELETE } !{ src 127.0.0.1 }
    http-request deny if { src 192.0.2.1 }
frontend b
    bind :81
    http-request allow if { path_beg /x }
    http-request deny
frontend c
    bind :8000-8200
    acl bad src %s
    acl bad src %s
    http-request deny if { hdr_sub(a) x } { foo }
    http-request deny if { path /z } bad
""" % (" ".join(addresses[:80]), " ".join(addresses[80:])))
        rules, content = imported.rules_of(box, "haproxy", path, left_out=5)
        for line, words in ((7, "lets addresses past it"), (10, "exempt addresses only"), (11, "line 10 lets requests past it"),
                            (13, "more than 64 ports"), (16, 'know "hdr_sub(a)"; rules do not know "foo"')):
            assert re.search(r"past.cfg:%d: .*%s" % (line, re.escape(words)), rules.said), (line, words, rules.said)
        found = [(rule["strategy"], rule["resource"], rule["limitApp"]) for rule in content["authority"]]
        assert found[:2] == [("white", "a /x", "10.0.0.0/8"), ("white", "DELETE a", "127.0.0.1,10.0.0.0/8")], found
        assert found[2:] == [("black", "c /z", ",".join(addresses))] or \
            [group["addresses"] for group in content["resources"] if group["kind"] == "origin"] == [addresses], found
        assert "flow" not in content, content


weirtest.main(decided_alike, left_out_and_refused, let_past)
