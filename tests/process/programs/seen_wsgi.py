"""wsgiref with an application that says what it reads: seen_wsgi.py FOLDER HOST PORT
Of /p/NAME: the parameter, cookie, header or host that NAME stands for, as programs of Python read them."""
import sys
from http.cookies import SimpleCookie
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 100


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        pass

    def address_string(self):
        return "-"


def cookie(environ):
    found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("user")
    return found.value if found else ""


READ = {
    "url": lambda environ: parse_qs(environ["QUERY_STRING"]).get("user", [""])[-1],
    "cookie": cookie,
    "header": lambda environ: environ.get("HTTP_X_USER", ""),
}


def app(environ, start_response):
    said = READ.get(environ["PATH_INFO"].split("/")[2].split("#")[0], lambda _: "")(environ).encode("latin-1", "replace")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(said)))])
    return [said]


make_server(sys.argv[2], int(sys.argv[3]), app, Server, Handler).serve_forever()
