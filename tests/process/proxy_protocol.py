#!/usr/bin/python3
"""Listeners that expect a header of the PROXY protocol: rules about requests hold behind it, however it comes; the client that it
names counts from a trusted peer only; and one that a listener does not expect is no way around its rules."""
import concurrent.futures
import socket
import struct
import subprocess

import weirtest

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TLVS = b"\x01\0\x08http/1.1" + b"\x02\0\x09weir.test" + b"\x05\0\x10" + b"0123456789abcdef"


def v1(last):
    return b"PROXY TCP4 192.0.2.%d 198.51.100.1 40000 80\r\n" % last


def v2(last, command=1, tlvs=TLVS):
    addresses = socket.inet_aton("192.0.2.%d" % last) + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 40000, 80) + tlvs
    return SIGNATURE + bytes([0x20 | command, 0x11]) + struct.pack("!H", len(addresses)) + addresses


def v2_six(last):
    addresses = (socket.inet_pton(socket.AF_INET6, "2001:db8::%d" % last) + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
                 + struct.pack("!HH", 40000, 80) + TLVS)
    return SIGNATURE + b"\x21\x21" + struct.pack("!H", len(addresses)) + addresses


def local():
    return SIGNATURE + b"\x20\0\0\0"


ONES = (v1(1), b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 80\r\n", b"PROXY UNKNOWN\r\n")
TWOS = (v2(2), v2_six(2), local())
EXTFORWARD = 'server.modules += ( "mod_extforward" )\nextforward.forwarder = ( "127.0.0.1" => "trust" )\n' \
             'extforward.hap-PROXY = "enable"'
REMOTEIP = "LoadModule remoteip_module /usr/lib/apache2/modules/mod_remoteip.so\nRemoteIPProxyProtocol On"


def nginx(box, rules):
    port = weirtest.free_port()
    server = box.serve("nginx", rules, server="listen 127.0.0.1:%d proxy_protocol; add_header X-Client $proxy_protocol_addr;" % port)
    return ("127.0.0.1", port), server


def haproxy(box, rules):
    server = box.serve("haproxy", rules, bind="accept-proxy")
    return server.address, server


def lighttpd(box, rules):
    server = box.serve("lighttpd", rules, more=EXTFORWARD)
    return server.address, server


def apache(box, rules):
    server = box.serve("apache-event", rules, more=REMOTEIP)
    return server.address, server


def varnish(box, rules):
    origin = box.serve("asyncio", weir=False)
    server = box.serve("varnish", rules, origin=origin.address, wire="PROXY")
    return server.address, server


def judged(address, header, piece=None, whole=False):
    """Behind this header one request passes, and one that a rule of count 0 is about is rejected.  `piece`: so many bytes at a time,
    with `whole` those of the request only."""
    data = header + weirtest.request("GET", "/small")
    first = len(data) if not piece else len(header) if whole else 0
    with weirtest.Connection(address) as connection:
        connection.send(data[:first])
        connection.send_slowly(data[first:], pause=0.0005, piece=piece or 1)
        response = connection.response()
        assert (response.status, response.body) == (200, b"small\n"), (header, piece, response)
        connection.send(weirtest.request("GET", "/blocked"))
        assert connection.response().status == 429, (header, piece)
    with weirtest.Connection(address) as connection:  # as the very first request, too
        connection.send(header)
        connection.send(weirtest.request("GET", "/blocked"))
        assert connection.response().status == 429, (header, piece)
    return response


IN_ONE_PIECE = (nginx, haproxy, lighttpd)  # these take a header of which a part is missing for a broken one


def behind_a_header():
    for start, headers in ((nginx, ONES + TWOS), (haproxy, ONES + TWOS), (lighttpd, ONES + TWOS), (apache, ONES[:2] + TWOS),
                           (varnish, ONES[:2] + TWOS)):
        whole = start in IN_ONE_PIECE
        with weirtest.Sandbox() as box:
            rules = box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}]})
            address, _ = start(box, rules)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                for done in [pool.submit(judged, address, header, piece, whole) for header in headers for piece in (None, 1, 13)]:
                    done.result()
            if start == nginx:  # the application has the header as it was sent
                assert judged(address, v1(7)).header("x-client") == "192.0.2.7"
                assert judged(address, v2(8), 1, True).header("x-client") == "192.0.2.8"


def real_senders():
    """curl, HAProxy and nginx as they send it."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}]})
        address, _ = nginx(box, rules)
        ports = {name: weirtest.free_port() for name in ("send-proxy", "send-proxy-v2", "nginx")}
        config = "defaults\n  mode tcp\n  timeout connect 9s\n  timeout client 9s\n  timeout server 9s\n"
        for number, (option, more) in enumerate((("send-proxy", ""), ("send-proxy-v2", " proxy-v2-options crc32c,unique-id"))):
            config += "listen l%d\n  bind 127.0.0.1:%d\n  server s 127.0.0.1:%d %s%s\n" % (number, ports[option], address[1], option, more)
        path = box.path + "/sender.cfg"
        with open(path, "w") as file:
            file.write(config)
        box.start("haproxy-sender", ["haproxy", "-f", path])
        main = "load_module %s;\nstream { server { listen 127.0.0.1:%d; proxy_pass 127.0.0.1:%d; proxy_protocol on; } }" % (
            weirtest.servers.STREAM_MODULE, ports["nginx"], address[1])
        box.serve("nginx", weir=False, main=main)
        for name, port in ports.items():
            weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)), name)
            for target, status in (("/small", 200), ("/blocked", 429), ("/small", 200)):
                response = weirtest.ask(("127.0.0.1", port), target=target)
                assert response.status == status, (name, target, response)
        done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} ", "--haproxy-protocol",
                               "http://127.0.0.1:%d/small" % address[1], "-o", "/dev/null", "http://127.0.0.1:%d/blocked" % address[1]],
                              stdout=subprocess.PIPE, check=True)
        assert done.stdout.split() == [b"200", b"429"], done.stdout


def once_each(address, header):
    with weirtest.Connection(address) as connection:
        connection.send(header + weirtest.request("GET", "/small"))
        return connection.response().status


def whose_address():
    by_client = {"paramFlow": [{"resource": "GET:/small", "count": 1, "durationInSec": 3600,
                                "param": {"parseStrategy": "clientIp"}}]}
    for trusted, other in ((["127.0.0.1"], 200), (["203.0.113.1"], 429)):
        with weirtest.Sandbox() as box:
            rules = box.rules(dict(by_client, options={"trustedProxies": trusted}))
            address, _ = nginx(box, rules)
            assert once_each(address, v1(1)) == 200
            assert once_each(address, v1(1)) == 429
            assert once_each(address, v2(1)) == 429
            assert once_each(address, v1(2)) == other
            assert once_each(address, v2(3)) == other
            assert once_each(address, v2_six(4)) == other
            if other == 200:  # what names none is the peer's
                assert once_each(address, local()) == 200
                assert once_each(address, b"PROXY UNKNOWN\r\n") == 429


def statuses(address, data):
    """Every status that is answered to this until the server closes or goes on waiting for more."""
    with weirtest.Connection(address, timeout=5) as connection:
        connection.send(data)
        connection.half_close()
        seen = []
        try:
            while True:
                seen.append(connection.response().status)
        except (weirtest.Closed, OSError, AssertionError, ValueError):
            return seen


def not_expected():
    """Servers that know no such header answer 400; and what is behind is still judged."""
    lines = (v1(1), v2(2), b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN HTTP/1.1\r\n", b"PROXY UNKNOWN HTTP/1.1\r\nHost: x\r\n\r\n",
             b"PROXY UNKNOWN\n", b"PROXY TCP4 HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY /other HTTP/1.1\r\nHost: x\r\n\r\n")
    for kind in ("nginx", "node", "http.server"):
        with weirtest.Sandbox() as box:
            rules = box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}]})
            server = box.serve(kind, rules)
            for line in lines:
                assert 200 not in statuses(server.address, line + weirtest.request("GET", "/blocked")), (kind, line)


def as_the_listener_says():
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        rules = box.rules({"resources": [{"kind": "listener", "name": "front", "port": port, "proxyProtocol": "on"}],
                           "flow": [{"resource": "GET:/blocked", "count": 0}]})
        box.serve("nginx", rules, server="listen 127.0.0.1:%d proxy_protocol;" % port)
        judged(("127.0.0.1", port), v1(1))
        assert weirtest.ask(("127.0.0.1", port), target="/small").status == 400
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        rules = box.rules({"resources": [{"kind": "listener", "name": "front", "port": port, "proxyProtocol": "off", "protocol": "http"}],
                           "flow": [{"resource": "GET:/blocked", "count": 0}]})
        server = box.serve("nginx", rules, address=("127.0.0.1", port))
        assert statuses(server.address, v1(1) + weirtest.request("GET", "/small")) == [400]


def in_compat():
    """Nothing of it depends on who decides."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}], "options": {"compat": "sentinel"}})
        address, _ = nginx(box, rules)
        for header in (v1(1), v2(2)):
            judged(address, header, 1, True)


weirtest.main(behind_a_header, in_compat, real_senders, whose_address, not_expected, as_the_listener_says)
