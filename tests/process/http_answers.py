#!/usr/bin/python3
"""What a rejected client gets, from real servers on non-blocking descriptors (nginx, node, Python's threading server with a timeout) and
on blocking ones (Python's http.server): the default answers, block actions of every kind, RateLimit headers in each dialect, what clients send repeated without harm;
and what is admitted, byte for byte."""
import email.utils
import gzip
import json
import re
import select
import subprocess
import time

import weirtest

KEPT = {"nginx": True, "node": True, "threading": True, "http.server": False}  # blocking descriptors: a rejection ends the connection
NASTY = "/q/%22%3Cscript%3E%0d%0aX-Evil:%201?\"<b>"

ACTIONS = [
    {"name": "json", "status": 503, "headers": {"X-Reason": "busy", "Cache-Control": "max-age=1"}, "contentType": "application/json",
     "body": '{"resource":"{resource}","rule":"{rule}","reason":"{reason}","after":{retryAfter},"origin":"{origin}","trace":"{traceId}","id":"{id}","own":"{braces}"}'},
    {"name": "html", "status": 200, "contentType": "text/html", "body": "<p title=\"{traceId}\">{resource} {id}</p>"},
    {"name": "text", "body": "slow down: {traceId}"},
    {"name": "redirect", "redirect": "https://www.example.org/wait?from={resource}&trace={traceId}"},
    {"name": "moved", "status": 307, "redirect": "/elsewhere"},
    {"name": "empty", "status": 204},
    {"name": "close", "close": True},
]


def rules(**options):
    flow = [{"id": "plain", "resource": "GET:/blocked", "count": 0}, {"resource": "HEAD:/blocked", "count": 0},
            {"id": "body", "resource": "POST:/body", "count": 0}, {"resource": "PUT:/body", "count": 0},
            {"id": "nasty \"rule\"", "resource": "GET:/q/", "resourceMatch": "prefix", "count": 0}]
    flow += [{"id": "by-" + action["name"], "resource": "GET:/" + action["name"], "count": 0, "blockAction": action["name"]} for action in ACTIONS]
    return {"flow": flow, "blockActions": ACTIONS, "options": dict({"strictHttp": "reject"}, **options)}


def get(server, target, method="GET", **more):
    return weirtest.ask(server.address, method, target, **more)


def is_well_formed(response):
    sent = email.utils.parsedate_to_datetime(response.header("date"))
    assert abs(sent.timestamp() - time.time()) < 60, response
    assert int(response.header("retry-after")) >= 1, response
    assert re.fullmatch("[0-9A-Z]+-[0-9A-Z]{4}", response.header("x-weir-id")), response
    assert response.header("content-encoding") is None and response.header("transfer-encoding") is None, response


def defaults(server):
    response = get(server, "/blocked")
    is_well_formed(response)
    assert (response.status, response.header("content-type"), response.header("cache-control")) == (429, "application/json", "no-store"), response
    body = json.loads(response.body)
    assert {"error": "blocked by weir", "resource": "GET:/blocked", "reason": "flow", "rule": "plain", "id": response.header("x-weir-id")} == body, body
    assert response.header("ratelimit-policy") == '"plain";q=0;w=1' and response.header("ratelimit") == '"plain";r=0;t=1', response

    head = get(server, "/blocked", "HEAD")
    assert head.status == 429 and int(head.header("content-length")) > 0, head

    page = get(server, "/blocked", headers=[("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), ("Accept-Encoding", "gzip, br")])
    assert page.header("content-type").startswith("text/html") and page.body.startswith(b"<!doctype html>"), page
    assert b"Please try again in 1 second." in page.body and page.header("x-weir-id").encode() in page.body, page.body
    is_well_formed(page)


def trace_ids(server):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = ("traceparent", "00-%s-00f067aa0ba902b7-01" % trace)
    for headers, expected in (([parent], trace), ([("X-Request-Id", "r-17")], "r-17"), ([("X-Request-ID", "r"), parent], trace), ([], None)):
        assert json.loads(get(server, "/blocked", headers=headers).body).get("traceId") == expected, headers
    evil = 'x"}<script>{id}'
    response = get(server, "/blocked", headers=[("X-Request-Id", evil)])
    assert json.loads(response.body)["traceId"] == evil and b"<script>" not in response.body, response.body
    page = get(server, "/blocked", headers=[("X-Request-Id", evil), ("Accept", "text/html")])
    assert b"<script>" not in page.body and b"&lt;script&gt;" in page.body, page.body


def block_actions(server):
    def action(name, **more):
        response = get(server, "/" + name, **more)
        is_well_formed(response)
        return response
    headers = [("X-Request-Id", '<"&')]
    response = action("json", headers=headers)
    assert (response.status, response.header("x-reason"), response.header("cache-control")) == (503, "busy", "max-age=1"), response
    assert json.loads(response.body) == {"resource": "GET:/json", "rule": "by-json", "reason": "flow", "after": 1, "origin": "127.0.0.1",
                                         "trace": '<"&', "id": response.header("x-weir-id"), "own": "{braces}"}, response.body
    response = action("html", headers=headers)
    assert response.status == 200 and response.body == b'<p title="&lt;&quot;&amp;">GET:/html %s</p>' % response.header("x-weir-id").encode(), response.body
    response = action("text", headers=headers)
    assert response.status == 429 and response.header("content-type") == "text/plain; charset=utf-8" and response.body == b'slow down: <"&', response.body
    response = action("redirect", headers=headers)
    assert response.status == 302 and response.header("location") == "https://www.example.org/wait?from=GET%3A/redirect&trace=%3C%22%26", response
    response = action("moved")
    assert response.status == 307 and response.header("location") == "/elsewhere", response
    response = action("empty")
    assert response.status == 204 and response.header("content-length") is None, response


def what_names_can_hold(server):
    """The path of the request is in the answer: it ends no header, no string, no element."""
    with weirtest.Connection(server.address) as connection:
        connection.send(b"GET /q/%22%3Cscript%3E%0d%0aX-Evil:%201%7F HTTP/1.1\r\nHost: a\r\n\r\n")
        response = connection.response()
    assert response.status == 429 and response.header("x-evil") is None, response
    assert json.loads(response.body)["rule"] == 'nasty "rule"' and b"<script>" not in response.body, response.body
    assert '"nasty \\"rule\\"";q=0' in response.header("ratelimit-policy"), response


def connections(server, kept):
    """kept: the descriptors do not block, so a rejection leaves the connection open."""
    with weirtest.Connection(server.address) as connection:
        connection.send(weirtest.request("GET", "/close"))
        response = connection.response()
        assert response.status == 429 and response.closes and connection.ended(), response
    with weirtest.Connection(server.address) as connection:  # a small body is drained
        connection.send(weirtest.request("POST", "/body", body=b"x" * 65536))
        response = connection.response("POST")
        assert response.status == 429 and response.closes != kept, response
        if kept:
            connection.send(weirtest.request("GET", "/small"))
            assert connection.response().status == 200
        else:
            assert connection.ended()
    with weirtest.Connection(server.address) as connection:  # a long one ends the connection, and the answer arrives all the same
        connection.send(weirtest.request("POST", "/body", headers=[("Content-Length", "5000000")]) + b"x" * 300000)
        response = connection.response("POST")
        assert response.status == 429 and response.closes, response
        assert connection.ended(), "an end, not a reset"
    with weirtest.Connection(server.address) as connection:  # instead of 100 comes the final status, and no body is waited for
        connection.send(weirtest.request("PUT", "/body", headers=[("Expect", "100-continue"), ("Content-Length", "10")]))
        response = connection.response("PUT")
        assert response.status == 429 and response.informational == [] and response.closes and connection.ended(), response


def old_clients(server, kept):
    with weirtest.Connection(server.address) as connection:
        connection.send(weirtest.request("GET", "/blocked", version="HTTP/1.0"))
        assert connection.response().closes and connection.ended()
    with weirtest.Connection(server.address) as connection:
        connection.send(weirtest.request("GET", "/blocked", version="HTTP/1.0", headers=[("Connection", "keep-alive")]))
        response = connection.response()
        if kept:
            assert response.header("connection") == "keep-alive", response
            connection.send(weirtest.request("GET", "/small"))
            assert connection.response().status == 200
        else:
            assert response.header("connection") == "close" and connection.ended(), response


def malformed(server):
    with weirtest.Connection(server.address) as connection:
        connection.send(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        response = connection.response("POST")
        assert response.status == 400 and response.closes and connection.ended(), response


def on(kind):
    def test():
        with weirtest.Sandbox() as box:
            server = box.serve(kind, box.rules(rules()))
            kept = KEPT[kind]
            defaults(server)
            trace_ids(server)
            block_actions(server)
            what_names_can_hold(server)
            connections(server, kept)
            old_clients(server, kept)
            malformed(server)
    test.__name__ = kind
    return test


DIALECTS = {
    "draft": {"ratelimit-policy": '"plain";q=2;w=60', "ratelimit": '"plain";r=0;t=%s'},
    "legacy": {"ratelimit-limit": "2", "ratelimit-remaining": "0", "ratelimit-reset": "%s"},
    "envoy": {"x-ratelimit-limit": "2", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "%s"},
    "off": {},
}


def rate_limit_dialects():
    """Each dialect, exactly its headers; and a concurrency limit has no window."""
    with weirtest.Sandbox() as box:
        def of(dialect):
            return {"flow": [{"id": "plain", "resource": "GET:/blocked", "count": 2, "intervalSec": 60}],
                    "isolation": [{"id": "few", "resource": "GET:/other", "count": 0}], "options": {"rateLimitHeaders": dialect}}
        file = box.rules(of("draft"))
        server = box.serve("nginx", file)
        assert [get(server, "/blocked").status for _ in range(2)] == [200, 200]
        for dialect, expected in DIALECTS.items():
            if dialect != "draft":
                box.edit(file, of(dialect))
            weirtest.until(lambda: set(seen(server)) == set(expected), "the headers of " + dialect)
            response = get(server, "/blocked")
            after = response.header("retry-after")
            assert 1 <= int(after) <= 60, response
            assert {name: value for name, value in response.headers if "ratelimit" in name} == \
                {name: value.replace("%s", after) for name, value in expected.items()}, response
            if dialect == "draft":
                assert get(server, "/other").header("ratelimit-policy") == '"few";q=0;qu="concurrent-requests"'


def seen(server):
    response = get(server, "/blocked")
    assert response.status == 429
    return [name for name, _ in response.headers if "ratelimit" in name]


def overload():
    """503 for a circuit, system and adaptive rules, without RateLimit headers; 403 for authority, without Retry-After."""
    with weirtest.Sandbox() as box:
        file = box.rules({"degrade": [{"id": "broken", "resource": "GET:/fails", "grade": "exceptionCount", "count": 1, "minRequestAmount": 1,
                                       "timeWindow": 600}],
                          "authority": [{"id": "nobody", "resource": "GET:/other", "limitApp": "10.1.2.3"}]})
        server = box.serve("nginx", file, server="location = /fails { return 500; }")
        rejected = weirtest.until(lambda: next((r for r in [get(server, "/fails")] if r.status == 503), None), "the circuit to open")
        assert json.loads(rejected.body)["reason"] == "degrade" and json.loads(rejected.body)["rule"] == "broken", rejected.body
        assert 500 < int(rejected.header("retry-after")) <= 600 and rejected.header("ratelimit") is None, rejected
        other = get(server, "/other")
        assert other.status == 403 and json.loads(other.body)["reason"] == "authority" and other.header("ratelimit") is None, other
        assert other.header("retry-after") is None and b"try again" not in get(server, "/other", headers=[("Accept", "text/html")]).body, other
        box.edit(file, {"system": {"id": "whole", "maxThread": 0}})
        rejected = weirtest.until(lambda: next((r for r in [get(server, "/small")] if r.status == 503), None), "the system rule")
        assert json.loads(rejected.body)["reason"] == "system" and int(rejected.header("retry-after")) >= 1, rejected.body
        page = get(server, "/small", headers=[("Accept", "text/html")])
        assert b"Temporarily unavailable" in page.body, page.body


TARPIT = {"flow": [{"id": "tar", "resource": "GET:/blocked", "count": 0, "blockAction": "tar"},
                   {"id": "soon", "resource": "POST:/soon", "count": 0, "blockAction": "soon"}],
          "blockActions": [{"name": "tar", "delayMs": 600000, "body": "late"}, {"name": "soon", "delayMs": 1000, "body": "soon"}]}


def silent(connection):
    return not select.select([connection.socket], [], [], 0)[0]


def delayed(kind):
    """An answer that comes later holds up nobody else, comes all the same, and whole; and there are not too many of them."""
    def test():
        with weirtest.Sandbox() as box:
            server = box.serve(kind, box.rules(TARPIT))
            assert get(server, "/small").status == 200
            with weirtest.Connection(server.address) as soon, weirtest.Connection(server.address) as never:
                never.send(weirtest.request("GET", "/blocked") + weirtest.request("GET", "/small"))
                begun = time.monotonic()
                soon.send(weirtest.request("POST", "/soon", body=b"x" * 5000) + weirtest.request("GET", "/small"))
                for _ in range(20):
                    assert get(server, "/small").status == 200
                response = soon.response("POST")
                assert response.body == b"soon" and time.monotonic() - begun > 0.5, "it came at once"
                if not response.closes:
                    assert soon.response().status == 200, "what follows is served"
                assert silent(never), "ten minutes are not over"
            assert get(server, "/small").status == 200
            if kind == "nginx":
                at_once(server)
    test.__name__ = "delayed_" + kind.replace(".", "_")
    return test


def at_once(server):
    """What cannot wait any more, because so many do, is answered now."""
    crowd = [weirtest.Connection(server.address) for _ in range(300)]
    for connection in crowd:
        connection.send(weirtest.request("GET", "/blocked"))
    weirtest.until(lambda: sum(not silent(connection) for connection in crowd) >= 170, "the answers of those that need not wait")
    assert sum(silent(connection) for connection in crowd) >= 100
    loud = next(connection for connection in crowd if not silent(connection))
    assert loud.response().status == 429
    for connection in crowd:
        connection.close()
    assert get(server, "/small").status == 200


def admitted_bytes_are_nobodys_business():
    """nginx compresses what it answers: with weir and without the same bytes; and a client that takes gzip gets a rejection plain."""
    weirtest.need("nginx")
    http = "gzip on; gzip_min_length 1; gzip_types *; gzip_comp_level 9;"
    accepts = [("Accept-Encoding", "gzip")]
    with weirtest.Sandbox() as box:
        bare = box.serve("nginx", weir=False, http=http)
        server = box.serve("nginx", box.rules(rules()), http=http)
        bodies = []
        for one in (bare, server):
            response = get(one, "/big", headers=accepts)
            assert response.status == 200 and response.header("content-encoding") == "gzip", response
            bodies.append(response.body)
        assert bodies[0] == bodies[1] and gzip.decompress(bodies[1]) == weirtest.servers.BIG
        response = get(server, "/blocked", headers=accepts)
        assert response.status == 429 and response.header("content-encoding") is None and json.loads(response.body), response


def curl():
    """As a client of its own mind sees it: HEAD, a redirect, a body that is refused."""
    weirtest.need("curl")
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules(rules()))

        def run(*words):
            done = subprocess.run(["curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}", *words], capture_output=True, text=True)
            assert done.returncode == 0, (words, done)
            return done.stdout
        assert run("-I", server.url + "/blocked") == "429 0"
        assert run("-L", server.url + "/moved").endswith(" 1")
        assert run("-X", "POST", "--data-binary", "@/dev/null", server.url + "/body") == "429 0"
        assert run("-T", weirtest.WEIR, "-H", "Expect: 100-continue", server.url + "/body") == "429 0"
        assert run("--http1.0", server.url + "/blocked") == "429 0"


weirtest.main(*map(on, KEPT), *map(delayed, list(KEPT) + ["asyncio", "lighttpd"]), rate_limit_dialects, overload, admitted_bytes_are_nobodys_business, curl)
