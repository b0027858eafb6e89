#!/usr/bin/python3
"""HTTP/2 without TLS, which lighttpd speaks by prior knowledge and by Upgrade: where rules about requests hold, no request passes
unseen by it; an event says so; and a listener that says so has it. What is not HTTP on a listener that serves it is refused, TLS
passes, and no client decides what becomes of the others."""
import base64
import contextlib
import os
import ssl
import subprocess
import time

import weirtest

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BLOCKED = {"flow": [{"resource": "GET:/blocked", "count": 0}]}
SETTINGS = base64.urlsafe_b64encode(b"\0\3\0\0\0\x64").rstrip(b"=")
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: " + SETTINGS + b"\r\n"


def curl(address, *arguments, targets=("/small", "/blocked")):
    """(exit status, [version and status of each])"""
    line = ["curl", "-s", "-m", "10", "-w", "%{http_version}=%{http_code} "] + list(arguments)
    for target in targets:
        line += ["-o", "/dev/null", "http://127.0.0.1:%d%s" % (address[1], target)]
    done = subprocess.run(line, stdout=subprocess.PIPE)
    return done.returncode, done.stdout.decode().split()


def said(server, text):
    weirtest.until(lambda: text in server.program.output(), "an event: " + text)


def offer(target, more=OFFER):
    return b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n"


def by_prior_knowledge():
    with weirtest.Sandbox() as box:
        server = box.serve("lighttpd", box.rules(BLOCKED))
        code, _ = curl(server.address, "--http2-prior-knowledge")
        assert code != 0
        said(server, "HTTP/2 by prior knowledge")
        for pieces in ((PREFACE,), (PREFACE[:1], PREFACE[1:]), (PREFACE[:18], PREFACE[18:])):
            with weirtest.Connection(server.address) as connection:
                for piece in pieces:
                    connection.send(piece)
                data = b""
                while True:
                    try:
                        more = connection.socket.recv(4096)
                    except ConnectionResetError:
                        break
                    data += more
                    if not more:
                        break
                assert data[:9] == b"\0\0\0\4\0\0\0\0\0" and data[12:13] == b"\7", data  # settings, and GOAWAY
        assert curl(server.address) == (0, ["1.1=200", "1.1=429"])
        weirtest.until(lambda: any(row.get("refused", 0) >= 4 for row in box.app_status()["connections"]), "the refused ones in status")
        doctor = box.weir("doctor", "--json", str(server.processes()[0]))
        assert "HTTP/2" in doctor.stdout, doctor.stdout
        with weirtest.Connection(server.address) as connection:  # what only begins so is HTTP/1
            connection.send(b"PRI")
            connection.send(b" /blocked HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.response().status >= 400
            if not connection.received:
                connection.send(weirtest.request("GET", "/blocked"))


def in_compat():
    with weirtest.Sandbox() as box:
        server = box.serve("lighttpd", box.rules(dict(BLOCKED, options={"compat": "sentinel"})))
        assert curl(server.address, "--http2-prior-knowledge")[0] != 0
        assert curl(server.address, "--http2") == (0, ["1.1=200", "1.1=429"])


def by_upgrade():
    with weirtest.Sandbox() as box:
        server = box.serve("lighttpd", box.rules(BLOCKED))
        assert curl(server.address, "--http2") == (0, ["1.1=200", "1.1=429"])
        said(server, "upgrade to HTTP/2")
        with weirtest.Connection(server.address) as connection:  # the offer within a list, and on from there
            for more in (OFFER, OFFER.replace(b"h2c", b"websocket, H2C"), OFFER.replace(b"h2c\r\n", b"h2c\r\nUpgrade: h2c\r\n")):
                connection.send(offer(b"/small", more))
                response = connection.response()
                assert (response.status, response.body) == (200, b"small\n"), response
            connection.send(offer(b"/blocked"))
            assert connection.response().status == 429
        # The server has the offer before its request is whole: it agrees, and the client gets 503 in its place.
        data = offer(b"/small")
        at = data.index(b"h2c") + 5
        with weirtest.Connection(server.address) as connection:
            connection.send(data[:at])
            time.sleep(0.1)  # (so that it is likely to be read alone)
            connection.send(data[at:])
            response = connection.response()
            assert response.status in (200, 503), response


def as_said():
    """The listener says "h2", or "tcp"; or no rule could reject a request there."""
    for content in ({"resources": [{"kind": "listener", "name": "front", "port": 0, "protocol": "h2"}]},
                    {"resources": [{"kind": "listener", "name": "front", "port": 0, "protocol": "tcp"}]},
                    {"flow": [{"resource": "GET:/blocked", "count": 0, "mode": "simulate"}, {"resource": "http::1", "count": 0}],
                     "isolation": [{"resource": "tcp::1", "count": 1}]}):
        with weirtest.Sandbox() as box:
            address = ("127.0.0.1", weirtest.free_port())
            rules = dict(BLOCKED)
            rules.update(content)
            for resource in rules.get("resources", []):
                resource["port"] = address[1]
            server = box.serve("lighttpd", box.rules(rules), address=address)
            got = curl(server.address, "--http2-prior-knowledge", targets=("/blocked",))
            assert got == (0, ["2=200"]), (content, got)
            code, answers = curl(server.address, "--http2")
            assert (code, answers[0]) == (0, "2=200"), (content, code, answers)


def answer_to(address, data):
    """All that comes back until the connection ends."""
    with weirtest.Connection(address, timeout=10) as connection:
        connection.send(data)
        connection.half_close()
        answer = b""
        with contextlib.suppress(OSError):
            while more := connection.socket.recv(4096):
                answer += more
        return answer


def what_is_not_http():
    """On a listener that serves HTTP it gets 400; junk before the first request decides nothing."""
    with weirtest.Sandbox() as box:
        rules = box.rules(BLOCKED)
        server = box.serve("threading", rules)
        junk = (b"\0\1\2\3", b"\x80junk\r\n\r\n", b"EHLO x\r\n", b"SSH-2.0-x\r\n")
        for data in junk:
            answer_to(server.address, data)
        assert weirtest.ask(server.address, target="/blocked").status == 429
        assert weirtest.ask(server.address, target="/small").status == 200
        for data in junk:
            assert answer_to(server.address, data).startswith(b"HTTP/1.1 400 "), data
        said(server, "not HTTP")
        box.edit(rules, {"flow": [{"resource": "tcp::1", "count": 0}]})  # no rule about requests: it is the server's again
        for data in junk:
            weirtest.until(lambda: not answer_to(server.address, data).startswith(b"HTTP/1.1 400 Bad Request\r\nConnection: close"), data)


def each_in_a_child():
    """A server that forks for each connection: what one child has seen to be HTTP is HTTP for the next."""
    with weirtest.Sandbox() as box:
        server = box.serve("forking", box.rules(BLOCKED))
        assert weirtest.ask(server.address, target="/small").status == 200
        for data in (b"\0\1\2\3", b"EHLO x\r\n", b"\1GET /blocked HTTP/1.1\r\n\r\n", b"\x16\3\1\0\5\1GET /blocked HTTP/1.1\r\n\r\n"):
            assert answer_to(server.address, data).startswith(b"HTTP/1.1 400 Bad Request\r\nConnection: close"), data


ODD = (b"\xa0GET /blocked HTTP/1.1", b"\x1cGET /blocked HTTP/1.1", b"GET\x85/blocked HTTP/1.1", b"GET\x1f/blocked", b"GET\xa0/blocked\xa0HTTP/1.1",
       b"GET\x0b/blocked\x0cHTTP/1.1\xa0")


def odd_blanks_first_of_all():
    """Python's own server takes whatever Unicode has for a blank: not even the first connections of all get past a rule so."""
    with weirtest.Sandbox() as box:
        server = box.serve("http.server", box.rules(BLOCKED))
        for line in ODD:
            assert b"blocked\n" not in answer_to(server.address, line + b"\r\n\r\n"), line
        bare = box.serve("http.server", weir=False)
        assert any(b"blocked\n" in answer_to(bare.address, line + b"\r\n\r\n") for line in ODD)  # else it proves nothing


def tls_beside():
    """TLS passes on every listener; a plain request to its port changes nothing for others."""
    weirtest.need("openssl")
    with weirtest.Sandbox() as box:
        key, port = os.path.join(box.path, "key.pem"), weirtest.free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", key, "-days", "2",
                        "-subj", "/CN=weir.test"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = box.serve("nginx", box.rules(BLOCKED),
                           server="listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s;" % (port, key, key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for _ in range(3):
            assert weirtest.ask(("127.0.0.1", port), target="/small").status == 400
            for address in (("127.0.0.1", port), server.address):
                with weirtest.Connection(address) as connection:
                    try:
                        with context.wrap_socket(connection.socket) as secured:
                            secured.sendall(weirtest.request("GET", "/small"))
                            assert secured.recv(100).startswith(b"HTTP/1.1 200"), address
                            assert address != server.address
                    except ssl.SSLError as error:  # nginx itself says 400, in plain text
                        assert address == server.address and "WRONG_VERSION" in str(error).upper(), (address, error)
            assert weirtest.ask(server.address, target="/small").status == 200


weirtest.main(by_prior_knowledge, in_compat, by_upgrade, as_said, what_is_not_http, each_in_a_child, odd_blanks_first_of_all, tls_beside)
