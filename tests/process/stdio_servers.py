#!/usr/bin/python3
"""Servers that read and write by libc's streams (stdio), whose system calls cannot be interposed: programs that inetd, xinetd
and socat start on a connection, and servers that put a stream on what they accepted. Under the rules as any other: whole
heads, heads in pieces, bodies of some length."""
import os

import weirtest
from weirtest import Connection, ask

RULES = {"flow": [{"resource": "GET:/blocked", "count": 0}]}
SIZE = 100000  # of a body: more than any buffer of stdio's

XINETD = """service weirtest
{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    wait = no
    user = %s
    bind = 127.0.0.1
    port = %d
    server = %s
    server_args = %s
    flags = KEEPALIVE
    instances = UNLIMITED
    cps = 1000 1
}
"""

# The descriptor's own stream; then, as a server may, the standard ones, put over by dup2() without another program.
OWN_STREAMS = r"""
import ctypes, os, socket, sys
libc = ctypes.CDLL(None)
for name in ("fdopen", "fgets"):
    getattr(libc, name).restype = ctypes.c_void_p
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
line = ctypes.create_string_buffer(4096)

def serve(source, target, close):
    target_of = None
    while libc.fgets(line, len(line), ctypes.c_void_p(source)) and line.value.strip():
        target_of = target_of or line.value.split()[1]
    if target_of:
        body = b"x" * %d
        answer = b'HTTP/1.0 200 OK\r\nContent-Length: %%d\r\n\r\n' %% len(body) + body
        libc.fwrite(answer, 1, len(answer), ctypes.c_void_p(target))
    close()

while True:
    connection, _ = listener.accept()
    fd = connection.detach()
    if sys.argv[2] == "fdopen":
        stream = libc.fdopen(fd, b"r+")
        assert libc.fileno(ctypes.c_void_p(stream)) == fd
        serve(stream, stream, lambda: libc.fclose(ctypes.c_void_p(stream)))
        continue
    if os.fork() == 0:
        libc.dup2(fd, 0)
        libc.dup2(fd, 1)
        libc.close(fd)
        streams = [ctypes.c_void_p.in_dll(libc, name).value for name in ("stdin", "stdout")]
        serve(*streams, lambda: libc.exit(0))
    libc.close(fd)
    os.wait()
""" % SIZE


def folder(box):
    path = os.path.join(box.path, "www")
    os.makedirs(path)
    os.chmod(path, 0o755)
    for name in ("a", "blocked"):
        with open(os.path.join(path, name), "w") as file:
            file.write("x" * SIZE)
    return path


def drive(box, name, port, command):
    server = box.weir_run(name, box.rules(RULES), command)
    address = ("127.0.0.1", port)
    weirtest.until(lambda: weirtest.listening(address) or not server.running(), "%s to listen" % name)
    for _ in range(2):
        for target, status in (("/a", 200), ("/blocked", 429)):
            response = ask(address, target=target)
            assert response.status == status, "%s: %s: %r" % (name, target, response.status)
            assert status != 200 or len(response.body) == SIZE, "%s: %d bytes" % (name, len(response.body))
    for pieces in ((b"GET /blocked HTTP/1.0\r\nHo", b"st: x\r\n\r\n"), (b"G", b"ET /blocked HTTP/1.0\r\n\r", b"\n")):
        with Connection(address) as client:
            for piece in pieces:
                client.send(piece)
            assert client.response().status == 429, "%s: a head in pieces" % name
    figures = box.resource("GET:/blocked", now=True)
    assert (figures["total_pass"], figures["total_block"]) == (0, 4), figures
    weirtest.until(lambda: box.in_flight("GET:/a") == 0, "nothing to be in flight")
    assert box.resource("GET:/a")["total_success"] == 2


def xinetd():
    weirtest.need("/usr/sbin/xinetd", "/usr/sbin/micro-httpd")
    with weirtest.Sandbox() as box:
        port, config = weirtest.free_port(), os.path.join(box.path, "xinetd.conf")
        with open(config, "w") as file:
            file.write(XINETD % ("root" if os.getuid() == 0 else os.environ.get("USER", "nobody"), port,
                                 "/usr/sbin/micro-httpd", folder(box)))
        drive(box, "xinetd", port, ["/usr/sbin/xinetd", "-dontfork", "-f", config,
                                    "-pidfile", os.path.join(box.path, "pid")])


def socat():
    weirtest.need("socat", "/usr/sbin/micro-httpd")
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        drive(box, "socat", port, ["/usr/bin/socat", "TCP-LISTEN:%d,fork,reuseaddr,bind=127.0.0.1" % port,
                                   "EXEC:/usr/sbin/micro-httpd %s,nofork" % folder(box)])


def own_streams():
    for how in ("fdopen", "dup2"):
        with weirtest.Sandbox() as box:
            port = weirtest.free_port()
            drive(box, how, port, ["/usr/bin/python3", "-c", OWN_STREAMS, str(port), how])


weirtest.main(xinetd, socat, own_streams)
