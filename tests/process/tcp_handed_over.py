#!/usr/bin/python3
"""A connection ends with its last descriptor, whichever process has that: servers that fork for each connection, that exec
another program on it, or that pass it to a worker over a socket keep to a limit of connections as any other does, with the
limit kept by each process or by the app. What a killed process held comes back; a program started besides holds nothing."""
import os
import pwd
import signal
import socket
import subprocess

import weirtest
from harness import frontends

LIMIT, CLIENTS = 5, 10

FORKING = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while (data := self.request.recv(100)):
            self.request.sendall(data)
class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True
    max_children = 100
Server(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()
"""

CLUSTER = """
const cluster = require('cluster'), net = require('net');
if (cluster.isPrimary) { cluster.fork(); cluster.fork(); }
else net.createServer(c => { c.on('data', d => c.write(d)); c.on('error', () => {}); }).listen(+process.argv[2], '127.0.0.1');
"""

# Passes each connection on to a worker, and runs another program besides.
PASSING = """
import os, socket, subprocess, sys, threading
ours, theirs = socket.socketpair()
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=100)
def serve(connection):
    while (data := connection.recv(100)):
        connection.sendall(data)
    connection.close()
def work():
    while True:
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        threading.Thread(target=serve, args=(socket.socket(fileno=fds[0]),), daemon=True).start()
if os.fork() == 0:
    listener.close()
    work()
while True:
    try:
        connection, _ = listener.accept()
    except ConnectionAbortedError:
        continue
    socket.send_fds(ours, [b'x'], [connection.fileno()])
    connection.close()
    if os.fork() == 0:
        os.execv('/bin/true', ['true'])
    os.wait()
"""

# Reads the head itself; what answers it is a child, or a worker that gets the connection.
AFTER_HEAD = """
import os, socket, sys, threading, time
port, how, go = int(sys.argv[1]), sys.argv[2], sys.argv[3]
listener = socket.create_server(('127.0.0.1', port), backlog=100)
ours, theirs = socket.socketpair()
def answer(connection):
    while not os.path.exists(go):
        time.sleep(0.02)
    connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok')
    connection.close()
def work():
    while True:
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        threading.Thread(target=answer, args=(socket.socket(fileno=fds[0]),), daemon=True).start()
if how == 'rights' and os.fork() == 0:
    listener.close()
    work()
while True:
    connection, _ = listener.accept()
    try:
        head = connection.recv(65536)
    except ConnectionError:
        head = b''
    if head and how == 'rights':
        socket.send_fds(ours, [b'x'], [connection.fileno()])
    elif head and os.fork() == 0:
        answer(connection)
        os._exit(0)
    connection.close()
"""


def python(text):
    return lambda port, folder: ["/usr/bin/python3", "-c", text, str(port)]


def node(port, folder):
    path = os.path.join(folder, "cluster.js")
    with open(path, "w") as file:
        file.write(CLUSTER)
    return ["/usr/bin/node", path, str(port)]


def socat(port, folder):
    return ["/usr/bin/socat", "TCP-LISTEN:%d,fork,reuseaddr,bind=127.0.0.1" % port, "EXEC:/bin/cat,nofork"]


class Clients:
    def __init__(self, address, ask=b"x", answer=b"x"):
        self.address, self.ask, self.answer, self.held = address, ask, answer, []

    def served(self):
        """Opens one connection; is it served? Then it is kept."""
        try:
            client = weirtest.Connection(self.address)
            client.send(self.ask)
            if client.bytes(len(self.answer)) == self.answer:
                self.held.append(client)
                return True
        except (ConnectionError, weirtest.Closed):
            pass
        return False

    def end(self, count=None):
        for _ in range(count or len(self.held)):
            self.held.pop().close()


def limited(box, clients, children):
    results = [clients.served() for _ in range(CLIENTS)]
    assert results.count(True) == LIMIT, "%d of %d, at a limit of %d" % (results.count(True), CLIENTS, LIMIT)
    for rounds in range(2):
        clients.end(2)
        for _ in range(2):  # both places come back, and only these
            weirtest.until(clients.served, "a place to come back")
        assert not clients.served() and len(clients.held) == LIMIT
    if children:
        victim = children()[0]
        os.kill(victim, signal.SIGKILL)
        gone = len([client for client in clients.held if ended(client)])
        clients.held = [client for client in clients.held if not client.gone]
        assert gone >= 1
        for _ in range(gone):
            weirtest.until(clients.served, "the place of a killed process to come back")
        assert not clients.served()
    clients.end()


def ended(client):
    """Was it its server's process that was killed? Then the kernel has closed it."""
    client.gone = False
    try:
        client.send(b"x")
        client.socket.settimeout(2)
        client.gone = client.socket.recv(1) == b""
    except ConnectionError:
        client.gone = True
    return client.gone


def run(name, command, scope, children=True):
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        rules = box.rules({"isolation": [{"id": "c", "resource": "tcp::%d" % port, "count": LIMIT, "scope": scope}]})
        server = box.weir_run(name, rules, command(port, box.path))
        address = ("127.0.0.1", port)
        weirtest.until(lambda: weirtest.listening(address) or not server.running(), "%s to listen" % name)
        main = min(weirtest.descendants(server.pid))
        limited(box, Clients(address), (lambda: weirtest.descendants(main)) if children else None)
        weirtest.until(lambda: Clients(address).served(), "the server to serve on")


def forking():
    for scope in ("process", "app"):
        run("forking", python(FORKING), scope)


def executing():
    weirtest.need("socat")
    for scope in ("process", "app"):
        run("socat", socat, scope)


def passing():
    for scope in ("process", "app"):
        run("passing", python(PASSING), scope, children=False)


def node_cluster():
    weirtest.need("node")
    for scope in ("process", "app"):
        run("cluster", node, scope, children=False)


def postgres():
    """Unmodified PostgreSQL: each connection is a process of its own from its first byte on."""
    tools = "/usr/lib/postgresql/15/bin"
    weirtest.need(tools + "/postgres")
    root = os.getuid() == 0
    user = pwd.getpwnam("postgres") if root else pwd.getpwuid(os.getuid())
    become = ["/usr/bin/setpriv", "--reuid=%d" % user.pw_uid, "--regid=%d" % user.pw_gid, "--clear-groups"] if root else []
    for scope in ("process", "app"):
        with weirtest.Sandbox() as box:
            port, data = weirtest.free_port(), os.path.join(box.path, "data")
            os.mkdir(data)
            os.chown(data, user.pw_uid, user.pw_gid)
            os.chmod(data, 0o700)
            subprocess.run(become + [tools + "/initdb", "-D", data, "-A", "trust", "--no-sync"], check=True, cwd="/",
                           stdout=subprocess.DEVNULL)
            rules = box.rules({"match": {"uid": user.pw_uid},
                               "isolation": [{"id": "c", "resource": "tcp::%d" % port, "count": LIMIT, "scope": scope}]})
            server = box.weir_run("postgres", rules, become + [
                tools + "/postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
                "-c", "unix_socket_directories="])
            address = ("127.0.0.1", port)
            weirtest.until(lambda: weirtest.listening(address) or not server.running(), "postgres to listen")
            question = b"\0\0\0\x08\x04\xd2\x16\x2f"  # is TLS spoken?
            limited(box, Clients(address, question, b"N"), None)
            server.kill(signal.SIGTERM)


def prefork():
    """Nothing is handed over here: each child accepts by itself, and together they keep to the app's limit."""
    kind = frontends.FRONTENDS["apache-prefork"]
    weirtest.need(*kind.programs)
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        rules = box.rules({"isolation": [{"id": "c", "resource": "tcp::%d" % port, "count": LIMIT, "scope": "app"}]})
        folder = os.path.join(box.path, "apache")
        os.mkdir(folder)
        server = box.weir_run("apache", rules, kind.command(folder, ("127.0.0.1", port), more="KeepAliveTimeout 60"))
        address = ("127.0.0.1", port)
        weirtest.until(lambda: weirtest.listening(address) or not server.running(), "apache to listen")
        limited(box, Clients(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 "), None)


def after_the_head():
    """A request whose head was read before the connection was handed over is in flight until the connection ends."""
    for how in ("fork", "rights"):
        for scope in ("process", "app"):
            with weirtest.Sandbox() as box:
                port, go = weirtest.free_port(), os.path.join(box.path, "go")
                rules = box.rules({"isolation": [{"id": "i", "resource": "GET:/x", "count": 2, "scope": scope}]})
                server = box.weir_run(how, rules, ["/usr/bin/python3", "-c", AFTER_HEAD, str(port), how, go])
                address = ("127.0.0.1", port)
                weirtest.until(lambda: weirtest.listening(address) or not server.running(), "the server to listen")
                for _ in range(2):
                    clients = [weirtest.Connection(address) for _ in range(6)]
                    for client in clients:
                        client.send(weirtest.request("GET", "/x"))
                    weirtest.until(lambda: sum(answered(client) for client in clients) >= 4, "four rejections")
                    waiting = [client for client in clients if not answered(client)]
                    assert len(waiting) == 2, "%s, scope %s: %d of 6 at a limit of 2" % (how, scope, len(waiting))
                    open(go, "w").close()
                    assert [client.response().status for client in waiting] == [200, 200]
                    for client in clients:
                        client.close()
                    os.unlink(go)


def answered(client):
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return False
    finally:
        client.socket.settimeout(20)


if __name__ == "__main__":
    weirtest.main(forking, executing, passing, node_cluster, postgres, prefork, after_the_head)
