"""A server of lines, as finger and its like are: line_server.py FOLDER HOST PORT. It answers each line with what it was, in quotes,
and ends the connection behind `quit`."""
import socketserver
import sys


class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(b"%r\r\n" % line)
            if line.strip() == b"quit":
                return


class Server(socketserver.ThreadingTCPServer):
    request_queue_size, allow_reuse_address, daemon_threads = 64, True, True


Server((sys.argv[2], int(sys.argv[3])), Lines).serve_forever(0.05)
