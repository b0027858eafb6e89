#!/usr/bin/python3
"""The main job in small: python's http.server, unmodified, limited by a rules file that is edited while it runs.

40 requests at once against `count: 10`: 10 pass, 30 get 429. Edited to 25: 25 pass. Spoilt: still 25, and `weir status` names
file, line and column. `weir run` killed with SIGKILL: the server goes on, and so does the limit."""
import json
import weirtest
from harness.battery import check_429

DATA = weirtest.request("GET", "/small")


def first_limit():
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        resource = "http::%d" % port
        rule = lambda count: {"flow": [{"id": "first", "resource": resource, "count": count}]}
        rules = box.rules(rule(10))
        server = box.serve("http.server", rules, address=("127.0.0.1", port))

        responses = weirtest.counted_burst(server.address, 40, DATA, 10)
        for response in responses:
            if response.status == 429:
                check_429(response, resource, "first", 10)
            else:
                assert response.body == b"small\n", response

        box.edit(rules, rule(25))
        weirtest.counted_burst(server.address, 40, DATA, 25)

        box.spoil(rules, '{"app": "t",\n "flow": [{"resource": "x",\n  "count": "abc"}]}')
        weirtest.counted_burst(server.address, 40, DATA, 25)
        shown = box.weir("status", check=0).stdout
        assert "%s:3:12" % rules.path in shown, "no file, line, column in:\n" + shown
        assert "abc" in shown and "count" in shown, shown
        error = json.loads(box.weir("status", "--json", check=0).stdout)["files"][0]["errors"][0]
        assert (error["line"], error["column"]) == (3, 12), error

        server_pid = server.main_pid()
        server.program.kill()
        assert weirtest.alive(server_pid), "the server went with weir run"
        weirtest.counted_burst(server.address, 40, DATA, 25)

        rules.save(rule(1))  # there is nobody any more to publish it: the last good rules stay in force
        weirtest.counted_burst(server.address, 40, DATA, 25)


weirtest.main(first_limit)
