"""ThreadingHTTPServer, a thread for each connection: threading_work.py HOST PORT MS"""
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from compute import compute

MS = float(sys.argv[3])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the head and the body are two writes

    def do_GET(self):
        body = b"%d\n" % compute(MS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that have gone are part of an overload."""


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
