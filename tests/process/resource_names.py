#!/usr/bin/python3
"""Names for listeners and for what outbound connections go to; a protocol that is said instead of recognised; priorities of routes."""
import socket

import weirtest


def listeners():
    """A listener's name stands for its requests, beside http::PORT, and for nobody else's."""
    with weirtest.Sandbox() as box:
        public, admin = weirtest.free_port(), weirtest.free_port()
        resources = [{"kind": "listener", "name": "admin", "port": admin}, {"kind": "listener", "name": "public", "port": public, "protocol": "http"}]
        rules = box.rules({"resources": resources, "flow": [{"resource": "admin", "count": 0}]})
        server = box.serve("nginx", rules, address=("127.0.0.1", public), server="listen 127.0.0.1:%d;" % admin)
        got = lambda: [weirtest.ask(("127.0.0.1", port)).status for port in (public, admin)]
        assert got() == [200, 429]
        for resource, expected in (("public", [429, 200]), ("http::%d" % admin, [200, 429]), ("nobody", [200, 200])):
            box.edit(rules, {"resources": resources, "flow": [{"resource": resource, "count": 0}]})
            assert got() == expected, resource
        with weirtest.Connection(server.address) as connection:  # a connection that is open meanwhile follows
            connection.send(weirtest.request("GET", "/small"))
            assert connection.response().status == 200
            box.edit(rules, {"resources": [dict(resources[0], port=public, name="renamed")], "flow": [{"resource": "renamed", "count": 0}]})
            connection.send(weirtest.request("GET", "/small"))
            assert connection.response().status == 429


def protocols():
    """tcp: nothing is looked at, and the name stands for connections.  http: what does not look like it is malformed."""
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        listener = {"kind": "listener", "name": "raw", "port": port}
        blocked = [{"resource": "GET:/small", "count": 0}]
        rules = box.rules({"resources": [dict(listener, protocol="tcp")], "flow": blocked})
        server = box.serve("nginx", rules, address=("127.0.0.1", port))
        assert weirtest.ask(server.address).status == 200, "a request was recognised where nothing is to be looked at"
        box.edit(rules, {"resources": [dict(listener, protocol="tcp")], "flow": [{"resource": "raw", "count": 0}]})
        try:
            response = weirtest.ask(server.address)
        except OSError:
            response = None
        assert not response, response
        box.edit(rules, {"resources": [listener], "flow": blocked})
        assert weirtest.ask(server.address).status == 429

        def answer_to(data):
            with weirtest.Connection(server.address) as connection:
                connection.send(data)
                return connection.response().status
        rubbish = b"\x01\x02 is not HTTP\r\n\r\n"
        strict = {"strictHttp": "reject"}
        for protocol, ours in (("auto", False), ("http", True)):
            box.edit(rules, {"resources": [dict(listener, protocol=protocol)], "flow": blocked, "options": strict})
            with weirtest.Connection(server.address) as connection:
                connection.send(rubbish)
                response = connection.response()
                assert response.status == 400, response
                assert ("nginx" in str(response.headers)) != ours, (protocol, response.headers)


CLIENT = """
import socket, sys
for port in map(int, sys.argv[1:]):
    s = socket.socket()
    print(port, s.connect_ex(("127.0.0.1", port)))
    s.close()
"""


def downstreams():
    """Outbound connections count for the names of address and port; the address itself stays a name, too."""
    with weirtest.Sandbox() as box:
        one, two = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [s.getsockname()[1] for s in (one, two)]
        cases = ((["tcp:127.0.0.0/8:%d" % ports[0]], [True, False]), (["127.0.0.1"], [True, True]), (["*:%d" % ports[1]], [False, True]),
                 (["10.0.0.0/8", "[::1]:%d" % ports[0]], [False, False]), (["10.0.0.0/8", "127.0.0.1:%d" % ports[1]], [False, True]))
        for patterns, refused in cases:
            resources = [{"kind": "downstream", "name": "database" if pattern is patterns[-1] else "elsewhere", "pattern": pattern} for pattern in patterns]
            rules = box.rules({"resources": resources, "flow": [{"resource": "database", "count": 0, "side": "outbound"}]})
            program = box.weir_run("client", rules, ["/usr/bin/python3", "-c", CLIENT] + [str(port) for port in ports])
            assert program.wait(60) == 0, program.output()
            output = program.output()
            assert [("%d 111" % port) in output for port in ports] == refused, (patterns, output)
        rules = box.rules({"resources": [{"kind": "downstream", "name": "database", "pattern": "127.0.0.1"}],
                           "flow": [{"resource": "tcp:127.0.0.1:%d" % ports[0], "count": 0, "side": "outbound"}]})
        program = box.weir_run("client", rules, ["/usr/bin/python3", "-c", CLIENT] + [str(port) for port in ports])
        assert program.wait(60) == 0 and "%d 111" % ports[0] in program.output() and "%d 0" % ports[1] in program.output(), program.output()
        one.close()
        two.close()


weirtest.main(listeners, protocols, downstreams)
