"""The same work as an application of WSGI (`wsgi`) and of ASGI (`asgi`); WORK_MS says how much."""
import os

from compute import compute

MS = float(os.environ["WORK_MS"])


def wsgi(environ, start_response):
    body = b"%d\n" % compute(MS)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b"%d\n" % compute(MS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
