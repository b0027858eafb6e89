#!/usr/bin/python3
"""Values as servers read them: one user, written in the ways in which that server reads the same, has one limit. First the server
itself says, without rules, that it reads the user so; then the limit holds for each of these ways after it was reached by the plain
one. Python's WSGI (SimpleCookie, parse_qs), PHP, and CGI behind lighttpd."""
import os

import weirtest

YEAR = 365 * 24 * 3600
PLAIN = {"url": ("/p/url?user=alice", []), "cookie": ("/p/cookie", [("Cookie", "user=alice")]), "header": ("/p/header", [("X-User", "alice")])}


def url(*queries):
    return [("/p/url" + query, []) for query in queries]


def cookies(*values):
    return [("/p/cookie", [("Cookie", value)]) for value in values]


def headers(*fields):
    return [("/p/header", list(some)) for some in fields]


WAYS = {
    "seen-wsgi": url("#?user=alice", "?user=%61lice", "?%75ser=alice", "?a=1&user=alice&b", "?user=bob&user=alice")
                 + cookies('user="\\141lice"', "x=1, user=alice", "x=1 user=alice", 'user="alice"; y=1', "user=alice z=1", "user=bob; user=alice", 'user="al\\ice"')
                 + headers([("X_User", "alice")], [("x-user", "alice")], [("X-User", "alice\xa0")], [("X-User", "alice\x85\xa0 ")]),
    "seen-php": url("?user=%61lice", "?%75ser=alice", "?+user=alice", "?user[]=alice", "?user=bob&user=alice", "?user%00x=alice")
                + cookies("user=%61lice", "user=alice; user=bob", "a=b;user=alice"),
    "lighttpd": headers([("X_User", "alice")], [("x-USER", "alice")], [("X-User", "alice")]),
}
CGI = "printf 'Content-Type: text/plain\\r\\n\\r\\n%s' \"$HTTP_X_USER\"\n"


def start(box, kind, rules):
    server = box.serve(kind, rules)
    if kind == "lighttpd":  # /p/header is a folder whose index is a script
        folder = os.path.join(server.folder, "root", "p")
        os.makedirs(folder)
        with open(os.path.join(folder, "header.sh"), "w") as file:
            file.write(CGI)
    return server


def answer(server, kind, way):
    target, fields = way
    if kind == "lighttpd":
        target += ".sh"
    return weirtest.ask(server.address, target=target, headers=fields)


def limited_however_spelt(kind):
    def test():
        suffix = ".sh" if kind == "lighttpd" else ""
        sources = {"url": {"parseStrategy": "urlParam", "fieldName": "user"}, "cookie": {"parseStrategy": "cookie", "fieldName": "user"},
                   "header": {"parseStrategy": "header", "fieldName": "X-User"}}
        limits = {"paramFlow": [{"id": name, "resource": "GET:/p/" + name + suffix, "param": param, "count": 2, "durationInSec": YEAR}
                                for name, param in sources.items()]}
        with weirtest.Sandbox() as box:
            rules = box.rules({})
            server = start(box, kind, rules)
            said = {str(way): answer(server, kind, way).body.decode("latin-1") for way in WAYS[kind]}
            wrong = {way: text for way, text in said.items() if text.strip("\x85\xa0 ") != "alice"}
            assert not wrong, "another user to the server itself: %r" % wrong
            box.edit(rules, limits)
            names = {way[0].split("?")[0].split("#")[0] for way in WAYS[kind]}
            for name, plain in PLAIN.items():
                if "/p/" + name in names:
                    assert [answer(server, kind, plain).status for _ in range(3)] == [200, 200, 429], name
            passed = [way for way in WAYS[kind] if answer(server, kind, way).status != 429]
            assert not passed, passed
            others = [("/p/url?user=carol", []), ("/p/cookie", [("Cookie", "user=carol")]), ("/p/header", [("X-User", "carol")])]
            for other in others:
                assert answer(server, kind, other).status in (200, 404), other
    test.__name__ = kind.replace("-", "_")
    return test


weirtest.main(*[limited_however_spelt(kind) for kind in WAYS])
