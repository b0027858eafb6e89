#!/usr/bin/python3
"""The threads of a program may have stacks of 16 KiB: requests are decided by all kinds of rules in one of these, and new rules
are taken over by it, while the shim needs less than half of it (tests/servers/snippet_stack.c)."""
import os
import subprocess

import weirtest

SNIPPET = os.path.join(weirtest.BUILD, "tests", "servers", "snippet_stack")
SHIM_MOST = 8 << 10


def param(source, **more):
    return dict({"parseStrategy": source}, **more)


def rules(number):
    """Every way through names and limits that takes room; `number`: other regular expressions each time."""
    regexes = [{"id": "r%d" % i, "resource": "(GET|HEAD):/(h(e|x)*llo|[a-z]+%d)/?.{0,%d}" % (i, number + 1), "resourceMatch": "regex",
                "count": 100000} for i in range(40)]
    return {
        "resources": [{"kind": "route", "name": "reports", "pattern": "/report/(daily|weekly)-[0-9]+", "matchStrategy": "regex"},
                      {"kind": "route", "name": "shop", "pattern": "/long/**", "host": "*.example.com"},
                      {"kind": "api", "name": "numbers", "predicateItems": [{"pattern": ".*/[0-9]+", "matchStrategy": "regex"}]}],
        "flow": regexes + [{"resource": "GET:/rejected/{id}", "count": 0},
                           {"resource": "GET:/rejected/x0", "count": 0, "blockAction": "page"},
                           {"resource": "GET:/delayed0", "count": 0, "blockAction": "late"},
                           {"resource": "GET:/queued0", "count": 200, "controlBehavior": "queue", "maxQueueingTimeMs": 60000}],
        "degrade": [{"resource": "*", "grade": "errorRatio", "count": 1, "timeWindow": 1}],
        "paramFlow": [{"resource": "GET:/.*", "resourceMatch": "regex", "count": 100000, "param": source} for source in (
            param("urlParam", fieldName="u"), param("cookie", fieldName="c"), param("clientIp"), param("host"), param(
                "header", fieldName="X-User", pattern="(a+)+(b+)+[0-9]+", matchStrategy="regex"))],
        "blockActions": [{"name": "late", "delayMs": 5},
                         {"name": "page", "status": 503, "contentType": "text/html", "body": "{resource} {rule} {id}" * 20}],
        "options": {"rateLimitHeaders": "draft"}}


def used(box, work=lambda: None, **environment):
    with subprocess.Popen([SNIPPET, "used"], env=box.environment(**environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as program:
        try:
            work()
            out, err = program.communicate("", timeout=60)
        finally:
            program.kill()
    assert program.returncode == 0, (program.returncode, out, err)
    return int(out.split()[1])


def serves_and_adopts():
    with weirtest.Sandbox() as box:
        bare = used(box)
        content = box.rules(rules(0))
        box.agent(content)

        def edit():
            for number in range(1, 3):
                box.edit(content, rules(number))
                before = box.resource("GET:/queued0", now=True)["total_pass"]
                weirtest.until(lambda: box.resource("GET:/queued0", now=True)["total_pass"] > before + 5, "requests under new rules")

        most = used(box, edit, LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)
        assert box.resource("GET:/queued0", now=True)["total_pass"] and box.resource("GET:/delayed0", now=True)["total_block"]
        print("stack of a thread: %d bytes bare, %d with the shim" % (bare, most))
        assert most - bare <= SHIM_MOST, "%d bytes of stack, %d without the shim" % (most, bare)


if __name__ == "__main__":
    weirtest.main(serves_and_adopts)
