"""http.server with a handler of its own: python_server.py FOLDER HOST PORT threading|forking
HOST may be the path of a unix socket (then PORT is 0)."""
import os
import socket
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlparse

FOLDER, HOST, PORT, MODE = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
LOG = os.environ.get("REQUEST_LOG")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    timeout = 60

    def address_string(self):
        return "-"

    def log_message(self, *_):
        pass

    def parse_request(self):
        """What this server takes for a request is noted where a test wants to know it."""
        taken = super().parse_request()
        if taken and LOG:
            with open(LOG, "ab") as log:
                log.write(("%s %s\n" % (self.command, self.path)).encode("latin-1", "replace"))
        return taken

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            body += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return body

    def chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(7):
            piece = bytes([65 + number]) * 9000
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def events(self, ms):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"9\r\ndata: a\n\n\r\n")
        time.sleep(ms / 1000)
        self.wfile.write(b"9\r\ndata: z\n\n\r\n0\r\n\r\n")

    def upgraded(self):
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        self.wfile.flush()
        self.close_connection = True
        while True:
            data = self.connection.recv(65536)
            if not data:
                return
            self.connection.sendall(data)

    def do_GET(self):
        url = urlparse(self.path)
        if self.headers.get("Upgrade"):
            return self.upgraded()
        if url.path == "/chunked":
            return self.chunked()
        if url.path == "/events":
            return self.events(int(parse_qs(url.query)["ms"][0]))
        if url.path == "/drop":
            self.close_connection = True
            return None
        if url.path == "/slow":
            time.sleep(int(parse_qs(url.query)["ms"][0]) / 1000)
            return self.answer(b"slow\n")
        if url.path == "/held":
            while not os.path.exists(os.path.join(FOLDER, "release." + url.query)):
                time.sleep(0.01)
            return self.answer(b"held\n")
        if url.path == "/error":
            return self.answer(b"error\n", 500)
        path = os.path.join(FOLDER, url.path[1:].replace("/", "_"))
        if not os.path.isfile(path):
            return self.answer(b"nothing\n", 404)
        with open(path, "rb") as file:
            self.answer(file.read())

    do_HEAD = do_GET

    def do_POST(self):
        self.answer(self.body())


class Tcp:
    request_queue_size, allow_reuse_address, daemon_threads = 128, True, True
    block_on_close = False
    max_children = 200


class Threading(Tcp, socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_UNIX if HOST.startswith("/") else socket.AF_INET6 if ":" in HOST else socket.AF_INET


class Forking(Tcp, socketserver.ForkingMixIn, socketserver.TCPServer):
    pass


where = HOST if HOST.startswith("/") else (HOST, PORT)
{"threading": Threading, "forking": Forking}[MODE](where, Handler).serve_forever(0.05)
