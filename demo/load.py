#!/usr/bin/python3
"""Steady load for the demo: load.py URL RATE. Each second one line: how many 200, 429, other answers, and broken connections."""
import http.client
import sys
import threading
import time
from urllib.parse import urlparse

CLIENTS = 12
url, rate = urlparse(sys.argv[1]), float(sys.argv[2])
lock, counts = threading.Lock(), [0, 0, 0, 0]


def client(number):
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=5)
    step, due = CLIENTS / rate, time.monotonic() + number / rate
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + step, time.monotonic() - 1)  # what was missed for longer than a second is not made up for
        try:
            connection.request("GET", url.path)
            answer = connection.getresponse()
            answer.read()
            at = {200: 0, 429: 1}.get(answer.status, 2)
        except (OSError, http.client.HTTPException):
            connection.close()
            at = 3
        with lock:
            counts[at] += 1


for number in range(CLIENTS):
    threading.Thread(target=client, args=(number,), daemon=True).start()
end = time.monotonic()
while True:
    end += 1
    time.sleep(max(0.0, end - time.monotonic()))
    with lock:
        line, counts[:] = "%d %d %d %d" % tuple(counts), [0, 0, 0, 0]
    try:
        print(line, flush=True)
    except BrokenPipeError:
        break
