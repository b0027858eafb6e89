#!/usr/bin/python3
"""tests/clients/capture.py [NAME…]

Captures what real HTTP clients send, byte for byte, into tests/clients/captured/NAME.json: each client of CLIENTS that is installed here
runs its commands against a small server on loopback, which keeps the bytes of every request. tests/process/clients_ordinary.py
sends them to protected servers; nothing of this is needed for that. Boundaries vary from run to run and are kept; the port becomes 8080,
the host's name localhost, and what is PUT gets a target of its own, so that what a server answers does not hang on the order."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from clients import CLIENTS  # noqa: E402

PATIENCE = 40
BODY = b"ordinary\n"


class Recorder:
    """Answers every request with a few bytes, and keeps what it was sent."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.requests = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.settimeout(PATIENCE)
        data = b""
        try:
            while True:
                data, request = self.one(connection, data)
                if request is None:
                    return
                self.requests.append(request)
                head = request.split(b"\r\n\r\n")[0].lower()
                connection.sendall(self.answer(request))
                if b"http/1.0" in head.split(b"\r\n")[0] and b"keep-alive" not in head or b"connection: close" in head:
                    return
        except OSError:
            return
        finally:
            connection.close()

    @staticmethod
    def answer(request):
        body = b"" if request.startswith(b"HEAD") else BODY
        keep = b"keep-alive" if b"keep-alive" in request.lower() or b"HTTP/1.1" in request.split(b"\n")[0] else b"close"
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: %s\r\nContent-Length: %d\r\n\r\n" % (keep, len(BODY)) + body

    def one(self, connection, data):
        """The next request whole, and what came behind it."""
        end = None
        while end is None:
            found = re.search(rb"\r?\n\r?\n", data)
            if found:
                end = found.end()
                break
            more = connection.recv(65536)
            if not more:
                return data, None
            data += more
        head = data[:end].lower()
        if b"100-continue" in head:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = re.search(rb"content-length:\s*(\d+)", head)
        if b"transfer-encoding" in head:
            while not re.search(rb"(^|\r\n)0[^\r\n]*\r\n([^\r\n]+\r\n)*\r\n", data[end:]):
                data += connection.recv(65536)
            end += re.search(rb"(^|\r\n)0[^\r\n]*\r\n([^\r\n]+\r\n)*\r\n", data[end:]).end()
        elif length:
            while len(data) < end + int(length[1]):
                data += connection.recv(65536)
            end += int(length[1])
        return data[end:], data[:end]


def version_of(client):
    done = subprocess.run(client["version"], shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE,
                          stdin=subprocess.DEVNULL)
    lines = [line.strip() for line in done.stdout.splitlines() if re.search(r"\d", line)]
    return lines[0][:80] if lines else "unknown"


def capture(name, client):
    found, recorder = [], Recorder()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "upload.txt"), "w") as file:
            file.write("line\n" * 20)
        for command in client["commands"]:
            before = len(recorder.requests)
            text = re.sub(r"\bURL(?=[/'\"?\s]|$)", "http://127.0.0.1:%d" % recorder.port, command).replace("PORT", str(recorder.port))
            with open(os.path.join(folder, "script"), "w") as file:
                file.write(text)
            run = client.get("run", "sh script")
            try:
                subprocess.run(run, shell=True, cwd=folder, timeout=PATIENCE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=dict(os.environ, HOME=folder, LC_ALL="C.UTF-8", http_proxy="", no_proxy="*"))
            except subprocess.TimeoutExpired:
                pass
            sent = recorder.requests[before:]
            if not sent:
                print("%s: nothing came of: %s" % (name, command.splitlines()[0]), file=sys.stderr)
            found += [request.replace(str(recorder.port).encode(), b"8080").replace(socket.gethostname().encode(), b"localhost").decode("latin-1")
                      for request in sent[:4]]
    return found


def with_own_targets(name, requests):
    return [re.sub(r"^PUT (\S*)/small ", r"PUT \1/put-%s-%d " % (name, number), request) for number, request in enumerate(requests)]


def main():
    os.makedirs(os.path.join(HERE, "captured"), exist_ok=True)
    for name, client in CLIENTS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        if not shutil.which(client["version"].split()[0]):
            print("%s: not installed here" % name, file=sys.stderr)
            continue
        requests = capture(name, client)
        if not requests:
            continue
        with open(os.path.join(HERE, "captured", name + ".json"), "w") as file:
            json.dump({"client": name, "version": version_of(client), "requests": with_own_targets(name, sorted(set(requests), key=requests.index))}, file, indent=1)
            file.write("\n")
        print("%s: %d requests" % (name, len(set(requests))))


if __name__ == "__main__":
    main()
