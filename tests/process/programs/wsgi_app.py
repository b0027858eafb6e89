"""A WSGI application for any server of that kind: wsgi_app:app. It answers /NAME with the name (/slow after 0.3 s), and a POST with
its body; what it was called with is noted where a test wants to know it (REQUEST_LOG)."""
import os
import time

LOG = os.environ.get("REQUEST_LOG")


def note(method, target):
    if LOG:
        with open(LOG, "ab", buffering=0) as log:
            log.write(("%s %s\n" % (method, target)).encode("latin-1", "replace"))


def app(environ, start_response):
    method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING")
    note(method, path + ("?" + query if query else ""))
    if path == "/slow":
        time.sleep(0.3)
    if method == "POST":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    else:
        body = path[1:].encode("latin-1") + b"\n"
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [b"" if method == "HEAD" else body]
