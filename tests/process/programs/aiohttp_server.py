"""aiohttp's own server: aiohttp_server.py FOLDER HOST PORT. As wsgi_app.py does, it answers /NAME with the name, and a POST with its
body."""
import asyncio
import sys

from aiohttp import web
from wsgi_app import note


async def answer(request):
    note(request.method, request.path_qs)
    if request.path == "/slow":
        await asyncio.sleep(0.3)
    body = await request.read() if request.method == "POST" else request.path[1:].encode("latin-1") + b"\n"
    return web.Response(body=body)


application = web.Application(client_max_size=1 << 26)
application.router.add_route("*", "/{name:.*}", answer)
web.run_app(application, host=sys.argv[2], port=int(sys.argv[3]), print=None, access_log=None, handle_signals=True)
