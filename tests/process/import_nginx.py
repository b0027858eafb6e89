#!/usr/bin/python3
"""The limits of a real nginx, and the same nginx without them under the rules that `weir import` makes of its configuration: the
same requests get the same answers."""
import os
import re
import time

import weirtest
from harness import imported, servers

HTTP = """
    geo $free { default 1; 127.0.0.2 0; 127.0.8.0/24 0; }
    map $free $by_client { 0 ""; 1 $binary_remote_addr; }
    map $http_user_agent $robots { default ""; ~*(crawler|spider) $binary_remote_addr; "Fetch/1.0" $binary_remote_addr; }
    limit_req_zone $by_client zone=clients:1m rate=1r/m;
    limit_req_zone $binary_remote_addr zone=plain:1m rate=1r/m;
    limit_req_zone $http_x_api_key zone=keys:1m rate=1r/m;
    limit_req_zone $arg_user$cookie_shop zone=pairs:1m rate=1r/m;
    limit_req_zone $server_name zone=all:1m rate=1r/m;
    limit_req_zone $binary_remote_addr zone=slow:1m rate=2r/s;
    limit_req_zone $robots zone=robots:1m rate=1r/m;
    limit_conn_zone $binary_remote_addr zone=held:1m;
    limit_conn_zone $server_name zone=held_all:1m;
    limit_req_status 429;
"""
SERVER = """
    limit_req zone=plain burst=3 nodelay;
    location = /exact { limit_req zone=keys burst=1 nodelay; }
    location ^~ /stop/ { limit_req zone=all burst=4 nodelay; limit_req_status 503; }
    location ~ \\.php$ { limit_req zone=pairs; }
    location ~* ^/(?<part>white|list)/ { limit_req zone=clients burst=2 nodelay; }
    location /dry/ { limit_req zone=plain; limit_req_dry_run on; }
    location /waits/ { limit_req zone=slow burst=3 delay=1; }
    location /robots/ { limit_req zone=robots burst=1 nodelay; location /robots/free/ { limit_req zone=keys burst=9 nodelay; } }
    location = /held { limit_req zone=keys; limit_conn held 3; limit_conn_status 429; proxy_pass http://BACKEND; }
    location = /held/all { limit_req zone=keys; limit_conn held_all 2; proxy_pass http://BACKEND/held; }
    location @inner { limit_req zone=plain; }
"""
LIMIT = re.compile(r"\blimit_(?:req|conn)\w* [^;]*;")


class Both:
    """nginx with its limits, and nginx without them under weir."""

    def __init__(self, box, http, server, left_out=0, **options):
        address, folder = ("127.0.0.1", weirtest.free_port()), os.path.join(box.path, "configured.%d" % box.count)
        os.mkdir(folder)
        path = servers.nginx_config(folder, address, http=http, server=server, workers=2, **options)
        rules, self.content = imported.rules_of(box, "nginx", path, left_out=left_out)
        self.nginx = box.serve("nginx", weir=False, http=http, server=server, workers=2, **options)
        self.weir = box.serve("nginx", rules, http=LIMIT.sub("", http), server=LIMIT.sub("", server), workers=2, address=address,
                              **options)

    def same(self, ask, what=""):
        by_nginx, by_weir = ask(self.nginx), ask(self.weir)
        assert by_nginx == by_weir, "%s: nginx %r, weir %r" % (what, by_nginx, by_weir)
        return by_nginx


def statuses(target, count, source=None, **more):
    """On one connection, but for those that end it."""
    def ask(server):
        found = []
        while len(found) < count:
            with weirtest.Connection(server.address, source=source and (source, 0)) as connection:
                closes = False
                while len(found) < count and not closes:
                    connection.send(weirtest.request("GET", target, **more))
                    response = connection.response()
                    found.append(response.status)
                    closes = response.closes
        return found
    return ask


def decided_alike(box, both):
    served, busy = 404, 429  # there are no such files, and that is for nginx to say
    assert both.same(statuses("/other/x", 6)) == [served] * 4 + [busy] * 2
    assert both.same(statuses("/x.html", 2)) == [busy] * 2, "one zone for all that has no location of its own"
    assert both.same(statuses("/stop/x.php", 6)) == [served] * 5 + [503], "goes before regular expressions"
    assert both.same(statuses("/stop/y", 2, source="127.0.0.3")) == [503] * 2, "the key is the server, not the client"
    for key in "ab":
        headers = [("X-API-Key", key)]
        assert both.same(statuses("/exact", 3, headers=headers)) == [served] * 2 + [busy]
        assert both.same(statuses("/exact/", 2, headers=headers, source="127.0.0.4")) == [served] * 2, "another location"
    assert both.same(statuses("/exact", 4)) == [served] * 4, "an empty key is not limited"
    for user in "uv":
        headers = [("Cookie", "shop=s1")]
        assert both.same(statuses("/a.php?user=" + user, 2, headers=headers)) == [served, busy]
        assert both.same(statuses("/b/c.php?user=" + user, 1, headers=headers)) == [busy]
    assert both.same(statuses("/dry/x", 5, source="127.0.0.5")) == [served] * 5
    assert both.same(statuses("/WHITE/x", 4, source="127.0.0.6")) == [served] * 3 + [busy]
    assert both.same(statuses("/list/x", 4, source="127.0.0.2")) == [served] * 4
    assert both.same(statuses("/list/x", 4, source="127.0.8.9")) == [served] * 4
    for agent, limited in (("Mozilla", 0), ("a Spider", 1), ("fetch/1.0", 1), ("Fetch/1.0.1", 0)):
        got = both.same(statuses("/robots/x", 3, headers=[("User-Agent", agent)], source="127.0.0.%d" % (20 + len(agent))), agent)
        assert got == ([served] * 2 + [busy] if limited else [served] * 3), (agent, got)
    assert both.same(statuses("/robots/free/x", 3, headers=[("User-Agent", "spider")], source="127.0.0.9")) == [served] * 3
    assert both.same(statuses("//other/./x", 1)) == [busy], "however it is spelt"


def waits_alike(box, both):
    """Two go at once, two wait for their turns, the others are rejected."""
    def ask(server):
        responses, seconds = weirtest.burst(server.address, 6, weirtest.request("GET", "/waits/x"))
        assert seconds > 0.9, "the last one waited for its turn: %g s" % seconds
        return weirtest.statuses(responses)
    for _ in range(4):  # a burst that took long to send may find room that another does not
        by_nginx, by_weir = ask(both.nginx), ask(both.weir)
        if by_nginx == by_weir == {404: 4, 429: 2}:
            return
        time.sleep(2)
    raise AssertionError("nginx %r, weir %r" % (by_nginx, by_weir))


def in_flight_alike(box, both, backend):
    for target, room, busy in (("/held", 3, 429), ("/held/all", 2, 503)):
        for server in (both.nginx, both.weir):
            with weirtest.Held(backend, 0) as held:
                name = "%s?%s" % (target, os.path.basename(held.file).split(".")[1])
                held.connections = [weirtest.Connection(server.address, timeout=60) for _ in range(8)]
                for connection in held.connections:
                    connection.send(weirtest.request("GET", name))
                held.wait_answered(8 - room)
                got = weirtest.statuses(held.release())
            assert got == {200: room, busy: 8 - room}, (target, server.protected, got)


def one_server():
    with weirtest.Sandbox() as box:
        backend = box.serve("asyncio", weir=False)
        both = Both(box, HTTP, SERVER.replace("BACKEND", "127.0.0.1:%d" % backend.port), left_out=1)
        decided_alike(box, both)
        waits_alike(box, both)
        in_flight_alike(box, both, backend)
        rule = imported.by_id(both.content, "paramFlow", "plain location /dry/")
        assert rule["mode"] == "simulate" and rule["scope"] == "app", rule
        assert both.content["options"]["trustedProxies"] == [], both.content["options"]


def several_hosts():
    """Virtual hosts on one port, and a client's address from a header of a proxy that is trusted."""
    http = """limit_req_zone $binary_remote_addr zone=hosts:1m rate=1r/m;
        set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP;
        server { listen 127.0.0.1:PORT; server_name first.test; root /var/empty; }
        server { listen 127.0.0.1:PORT; server_name shop.test *.shop.test; root /var/empty; limit_req zone=hosts burst=1 nodelay; }"""
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        both = [None, None]
        folder = os.path.join(box.path, "configured")
        os.mkdir(folder)
        path = servers.nginx_config(folder, ("127.0.0.1", port), http=http.replace("PORT", str(port)))
        rules, _ = imported.rules_of(box, "nginx", path)
        for at, weir in enumerate((False, True)):
            address = ("127.0.0.1", port if weir else weirtest.free_port())
            text = http.replace("PORT", str(address[1]))
            both[at] = box.serve("nginx", rules if weir else None, weir=weir, http=LIMIT.sub("", text) if weir else text,
                                 address=address)
        for host, client, wanted in (("shop.test", "192.0.2.1", [404, 404, 503]), ("a.shop.test", "192.0.2.2", [404, 404, 503]),
                                     ("other.test", "192.0.2.1", [404, 404, 404])):
            for server in both:
                got = statuses("/x", 3, headers=[("X-Real-IP", client)], host=host)(server)
                assert got == wanted, (host, client, server.protected, got)


def by_path():
    """Each path on its own, and each client: of routes, as weir names them, of all servers."""
    with weirtest.Sandbox() as box:
        both = Both(box, "limit_req_zone $binary_remote_addr$uri zone=paths:1m rate=1r/m; limit_req zone=paths burst=1 nodelay;", "")
        for target in ("/a", "/b/c"):
            for source in ("127.0.0.1", "127.0.0.2"):
                assert both.same(statuses(target, 3, source=source)) == [404] * 2 + [503]
        text = "limit_req_zone $uri zone=u:1m rate=1r/s; server { location /a { limit_req zone=u; } }"
        done = box.weir("import", "--from", "nginx", imported.written(box, "part.conf", text), check=None)
        assert "counts by path in a part of the servers or locations" in done.stderr, done.stderr


def as_the_page_says():
    """The rule that docs/from-nginx.md shows is what is made of the directive in its comment."""
    with open(os.path.join(weirtest.ROOT, "docs", "from-nginx.md")) as page:
        shown = re.search(r"```jsonc\n(.*?)```", page.read(), re.S).group(1)
    limit, key, rate = re.search(r"nginx.conf:\d+: (limit_req .*); key (\S+) (rate=\S+)\.", shown).groups()
    with weirtest.Sandbox() as box:
        text = "limit_req_zone %s zone=perip:10m %s;\nserver { listen 80; %s; }" % (key, rate, limit)
        _, content = imported.rules_of(box, "nginx", imported.written(box, "page.conf", "http { %s }" % text))
        wanted = imported.content(shown)
        for section in ("paramFlow", "blockActions"):
            assert content[section] == wanted[section], (section, content[section], wanted[section])
        assert wanted["options"].items() <= content["options"].items(), content["options"]


def much_of_it():
    """Nothing is cut without a word: limits, names and ports beyond what configurations usually have; what no rule can be about is
    listed."""
    with weirtest.Sandbox() as box:
        zones = "".join("limit_req_zone $binary_remote_addr zone=z%d:1m rate=1r/s; " % i for i in range(600))
        places = "".join("location /l%d/ { limit_req zone=z%d; } " % (i, i) for i in range(600))
        names = " ".join("h%d.test" % i for i in range(70))
        path = imported.written(box, "much.conf", """http { %s set_real_ip_from 192.0.2.0/24;
            set_real_ip_from proxy.internal;
            server { listen 127.0.0.1:8100; %s }
            server { listen unix:/run/x; limit_req zone=z0; }
            server { listen 8000-8010; limit_req zone=z1; }
            server { listen 8200; server_name %s; limit_req zone=z2; }
            server { listen 8200; server_name other.test; } }""" % (zones, places, names))
        rules, content = imported.rules_of(box, "nginx", path, left_out=2)
        for line, words in ((2, "those of proxy.internal"), (4, "a Unix socket only")):
            assert re.search(r"much.conf:%d: .*%s" % (line, words), rules.said), (line, words, rules.said)
        found = [rule["resource"] for rule in content["paramFlow"]]
        assert len(found) == 600 + 11 + 70 and {"http::8000", "http::8010", "location /l599/", "server of h69.test"} < set(found), found
        assert content["options"]["trustedProxies"] == ["192.0.2.0/24"], content["options"]


def bad_input():
    """As nginx itself: the line, and what is wrong there. Nothing is written."""
    with weirtest.Sandbox() as box:
        for name, text, *words in (
                ("brace.conf", "http {\n server {\n  listen 80;\n }\n", "brace.conf:1:1", "'}' is missing"),
                ("many.conf", "http {\n}\n}\n", "many.conf:3", "unexpected '}'"),
                ("quote.conf", "http {\n server_name \"a;\n}", "quote.conf:2:14", "does not end"),
                ("include.conf", "http {\n include missing.conf;\n}", "include.conf:2:2", "missing.conf", "No such file"),
                ("loop.conf", "http {\n include loop.conf;\n}", "loop.conf:2:2", "includes itself"),
                ("zero.conf", "http {\n a\0b;\n}", "zero.conf:2", "NUL"),
                ("word.conf", "http { limit_reqs zone=a; }", "word.conf:1:8", "limit_reqs"),
                ("zone.conf", "http {\nserver { limit_req zone=none; } }", "zone.conf:2:10", "no limit_req_zone \"none\""),
                ("part.conf", "server { limit_req zone=none; }", "part.conf:1:10", "import the nginx.conf that includes it"),
                ("rate.conf", "http { limit_req_zone $uri zone=a:1m rate=1; }", "rate.conf:1:8", "rate=1"),
                ("status.conf", "http { limit_req_zone $host zone=a:1m rate=1r/s; limit_req_status 200; server { limit_req zone=a; } }",
                 "status.conf:1:", "400 to 599"),
                ("deep.conf", "a { " * 100, "deep.conf:1:", "more than 32 blocks"),
                ("limits.conf", "http {\nserver {\n%s} }" % ("limit_req zone=a;\n" * 17), "limits.conf:19:1", "more than 16 limits"),
                ("ports.conf", "http {\nserver { listen 1-999; } }", "ports.conf:2:10", "more than 255 ports"),
                ("semicolon.conf", "http { listen 80 }", "semicolon.conf:1:", "';' is missing")):
            imported.refused(box, "nginx", imported.written(box, name, text), *words)


weirtest.main(one_server, several_hosts, by_path, as_the_page_says, much_of_it, bad_input)
