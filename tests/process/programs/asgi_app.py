"""An ASGI application: asgi_app:app. As wsgi_app.py does, it answers /NAME with the name, and a POST with its body."""
import asyncio

from wsgi_app import note


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    method, path, query = scope["method"], scope["path"], scope["query_string"].decode("latin-1")
    note(method, path + ("?" + query if query else ""))
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if path == "/slow":
        await asyncio.sleep(0.3)
    if method != "POST":
        body = path[1:].encode("latin-1") + b"\n"
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
