#!/usr/bin/python3
"""A client that asks for more names than there is room for does not escape the rules: neither before the agent has made
more room, nor when the budget is used up."""
import weirtest


def ask_for(server, names):
    """On one connection, as long as it lasts: after some seconds of nothing but rejections weir ends it."""
    statuses, connection = [], None
    for name in names:
        connection = connection or weirtest.Connection(server.address)
        connection.send(weirtest.request("GET", "/" + name))
        response = connection.response()
        statuses.append(response.status)
        if response.closes:
            connection.close()
            connection = None
    return statuses


def rules_outlive_a_scan():
    with weirtest.Sandbox() as box:
        flow = [{"resource": "GET:/named%d" % i, "count": 0} for i in range(600)]
        flow.append({"resource": "GET:/pre*", "resourceMatch": "glob", "count": 0})
        rules = box.rules({"flow": flow, "options": {"maxResources": 1000, "maxSiblings": 10000}})
        server = box.serve("nginx", rules)
        assert set(ask_for(server, ["named%d" % i for i in range(500)])) == {429}  # all at once, and at first sight
        assert set(ask_for(server, ["scan%d" % i for i in range(3000)])) == {404}
        assert set(ask_for(server, ["named%d" % i for i in range(600)])) == {429}
        assert ask_for(server, ["pretty", "scan1"]) == [429, 404]
        rules.save({"flow": [{"resource": "GET:/later", "count": 0}], "options": {"maxResources": 1000, "maxSiblings": 10000}})
        weirtest.until(lambda: weirtest.ask(server.address, target="/later").status == 429, "the edit to be in force")


weirtest.main(rules_outlive_a_scan)
