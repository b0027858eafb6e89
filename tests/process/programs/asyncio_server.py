"""A small HTTP server on asyncio's streams: asyncio_server.py FOLDER HOST PORT"""
import asyncio
import os
import sys
from urllib.parse import parse_qs, urlparse

FOLDER, HOST, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
LOG = os.environ.get("REQUEST_LOG")


def head(status, *headers):
    return ("HTTP/1.1 %s\r\n" % status + "".join(line + "\r\n" for line in headers) + "\r\n").encode()


async def read_body(reader, headers):
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        body += await reader.readexactly(size)
        await reader.readline()
        if size == 0:
            return body


def note(method, target):
    """What this server takes for a request, where a test wants to know it."""
    if LOG:
        with open(LOG, "ab") as log:
            log.write(("%s %s\n" % (method, target)).encode("latin-1", "replace"))


async def answer(writer, method, target, body):
    url = urlparse(target)
    if url.path == "/chunked":
        writer.write(head("200 OK", "Transfer-Encoding: chunked"))
        for number in range(7):
            writer.write(b"%x\r\n%s\r\n" % (9000, bytes([65 + number]) * 9000))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        return
    if url.path == "/events":
        writer.write(head("200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
        writer.write(b"9\r\ndata: a\n\n\r\n")
        await writer.drain()
        await asyncio.sleep(int(parse_qs(url.query)["ms"][0]) / 1000)
        writer.write(b"9\r\ndata: z\n\n\r\n0\r\n\r\n")
        return
    if url.path == "/drop":
        raise ConnectionError
    status = "200 OK"
    if url.path == "/slow":
        await asyncio.sleep(int(parse_qs(url.query)["ms"][0]) / 1000)
        body = b"slow\n"
    elif url.path == "/held":
        while not os.path.exists(os.path.join(FOLDER, "release." + url.query)):
            await asyncio.sleep(0.01)
        body = b"held\n"
    elif url.path == "/error":
        status, body = "500 Internal Server Error", b"error\n"
    elif method != "POST":
        path = os.path.join(FOLDER, url.path[1:].replace("/", "_"))
        status, body = ("200 OK", open(path, "rb").read()) if os.path.isfile(path) else ("404 Not Found", b"nothing\n")
    writer.write(head(status, "Content-Length: %d" % len(body)) + (b"" if method == "HEAD" else body))


async def serve(reader, writer):
    try:
        while True:
            line = (await reader.readline()).decode()
            if not line:
                break
            method, target, _ = line.split(" ", 2)
            headers = {}
            while True:
                field = (await reader.readline()).decode().strip()
                if not field:
                    break
                name, _, value = field.partition(":")
                headers[name.lower()] = value.strip()
            note(method, target)
            if "upgrade" in headers:
                writer.write(head("101 Switching Protocols", "Upgrade: echo", "Connection: Upgrade"))
                while True:
                    data = await reader.read(65536)
                    if not data:
                        return
                    writer.write(data)
            if headers.get("expect") == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await answer(writer, method, target, await read_body(reader, headers))
            await writer.drain()
            if headers.get("connection", "").lower() == "close":
                break
    except (ConnectionError, asyncio.IncompleteReadError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, HOST, PORT, backlog=256)
    async with server:
        await server.serve_forever()

asyncio.run(main())
