#!/usr/bin/python3
"""Rules edited again and again under load: wrk sees no socket error, every answer is a whole one, the last edit is in force, and
an edit does not refill a window: 20 edits in a second admit no more than one threshold does."""
import time

import weirtest


def rule(count, **more):
    return {"flow": [dict({"id": "hot", "resource": "GET:/small", "count": count}, **more)]}


def edits_under_load():
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(100, scope="app"))
        server = box.serve("nginx", rules, workers=4)
        load = weirtest.Wrk(server.url + "/small", 5, 32)
        edits, broken = 0, 0
        while load.running():
            if edits % 10 == 9:
                rules.save("{ broken")
                broken += 1
            else:
                rules.save(rule(50 + edits % 7 * 50, scope="app")) if edits % 2 else rules.overwrite(rule(75, scope="app"))
            edits += 1
            time.sleep(0.002)
        load.result()
        print("%d edits, %d of them broken; %d requests, %d of them not 2xx" % (edits, broken, load.requests, load.not_2xx))
        assert load.socket_errors == 0, load.text
        assert edits > 50 and load.not_2xx > 0 and load.requests > load.not_2xx, load.text
        box.spoil(rules, "{ broken at last")
        box.edit(rules, rule(0, scope="app"))
        responses = [weirtest.ask(server.address) for _ in range(8)]
        assert weirtest.statuses(responses) == {429: 8}, weirtest.statuses(responses)


def edits_do_not_refill():
    """The window goes on over edits of its rule's count: by the client's own clock, exactly."""
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(100))
        server = box.serve("nginx", rules)
        load = weirtest.Load(server.address, weirtest.request("GET", "/small"), 8, 4.0, 0.002)
        for number in range(60):
            rules.save(rule(100 if number % 2 else 99))
            time.sleep(0.05)
        load.result()
        most = load.most_in_a_second()
        print("%d of %d passed, at most %d in a second" % (load.count(200), len(load.records), most))
        assert load.errors == 0
        assert most <= 100, "%d in one second: edits refill the window" % most
        assert load.count(200) >= 99 * load.active_seconds() * 0.5, load.count(200)


def many_processes():
    """64 processes, one edit: all of them answer by the new rules from their next request on."""
    with weirtest.Sandbox() as box:
        rules = box.rules(rule(1000))
        server = box.serve("nginx", rules, workers=64)

        def ask_all():
            responses, _ = weirtest.burst(server.address, 200, weirtest.request("GET", "/small"))
            return weirtest.statuses(responses)
        assert ask_all() == {200: 200}
        box.edit(rules, rule(0))
        assert ask_all() == {429: 200}
        box.edit(rules, rule(1000))
        assert ask_all() == {200: 200}


weirtest.main(edits_under_load, edits_do_not_refill, many_processes)
