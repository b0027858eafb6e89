#!/usr/bin/python3
"""`weir top --hot`: the values that come most often, of all processes of an app together, as a table and as JSON; nothing of a
value acts on a terminal, and what is somebody's secret is shown in part only."""
import weirtest

NGINX = {"server": "location /item/ { return 200 item; }"}


def hot(box, rule):
    """What stands there of a rule: value → figures."""
    apps = box.control(cmd="hot")["apps"]
    lists = [found for app in apps for found in app["hot"] if found["rule"] == rule]
    return {value["value"]: value for found in lists for value in found["values"]}


def load(server, requests):
    """Each on its own connection, so that all workers get some."""
    for data in requests:
        with weirtest.Connection(server.address) as connection:
            connection.send(data)
            connection.response()


def shown_when(box, server, requests, rule, condition):
    """Sends them again and again: values are written down about once a second, by a request of that moment."""
    def once():
        load(server, requests)
        return condition(hot(box, rule))
    weirtest.until(once, "the hot keys of %s" % rule)
    return hot(box, rule)


def of_all_processes():
    with weirtest.Sandbox() as box:
        rules = box.rules({"paramFlow": [
            {"id": "caller", "resource": "GET:/small", "param": {"parseStrategy": "clientIp"}, "count": 3, "durationInSec": 3600,
             "scope": "app"},
            {"id": "item", "resource": "GET:/item/{id}", "param": {"parseStrategy": "path", "fieldName": "id"}, "count": 1000000}]})
        server = box.serve("nginx", rules, workers=2, **NGINX)
        callers = ["192.0.2.1"] * 5 + ["2001:DB8:0::7"] * 3 + ["192.0.2.9"]
        asks = [weirtest.request("GET", "/small", headers=[("X-Forwarded-For", caller)]) for caller in callers]
        asks += [weirtest.request("GET", "/item/%d" % number) for number in (7, 7, 7, 7, 8)]
        callers = shown_when(box, server, asks, "caller", lambda shown: len(shown) == 3 and shown["192.0.2.1"]["blocked_per_second"])
        assert list(callers) == ["192.0.2.1", "2001:db8::/64", "192.0.2.9"], callers
        items = shown_when(box, server, asks, "item", lambda shown: {"7", "8"} <= set(shown)
                           and shown["7"]["per_second"] > shown["8"]["per_second"])
        assert items["7"]["blocked_per_second"] == 0, items
        table = box.weir("top", "--hot", "--once", check=0).stdout
        lines = [line.split() for line in table.splitlines()]
        assert lines[0] == ["APP", "RULE", "RESOURCE", "WHAT", "VALUE", "QPS", "BLOCK", "FLIGHT"], table
        assert any(line[1:5] == ["caller", "GET:/small", "clientIp", "192.0.2.1"] for line in lines[1:]), table
        assert "path 1" in table and "GET:/item/{id}" in table, table
        answer = box.weir("top", "--hot", "--json", check=0).stdout
        assert '"2001:db8::/64"' in answer and '"param": "path 1"' in answer.replace('":"', '": "'), answer


def what_clients_send():
    with weirtest.Sandbox() as box:
        rules = box.rules({"paramFlow": [
            {"id": "word", "resource": "GET:/small", "param": {"parseStrategy": "urlParam", "fieldName": "q"}, "count": 1000000},
            {"id": "session", "resource": "GET:/small", "param": {"parseStrategy": "cookie", "fieldName": "sid"}, "count": 1000000}]})
        server = box.serve("nginx", rules)
        asks = [weirtest.request("GET", "/small?q=x%1b%5b2Jevil%0d%0az", headers=[("Cookie", "sid=0123456789abcdefsecret")]),
                weirtest.request("GET", "/small?q=%ff%fe", headers=[("Cookie", "sid=0123another")]),
                weirtest.request("GET", "/small?q=" + "long" * 20)]
        words = shown_when(box, server, asks, "word", lambda shown: len(shown) == 3)
        assert "x\\x1b[2Jevil\\x0d\\x0az" in words and "??" in words, words
        assert any(word.startswith("longlonglonglonglo…~") for word in words), words
        sessions = shown_when(box, server, asks, "session", lambda shown: len(shown) == 2)
        assert all(value.startswith("0123…~") and len(value) == 10 for value in sessions), sessions
        table = box.weir("top", "--hot", "--once", check=0).stdout
        assert all(character.isprintable() or character == "\n" for character in table), repr(table)


def nothing_to_show():
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        box.serve("nginx", rules)
        assert "no hot keys" in box.weir("top", "--hot", "--once", check=0).stdout
        assert box.weir("top", "--hot", "nobody", check=1).stderr


weirtest.main(of_all_processes, what_clients_send, nothing_to_show)
