#!/usr/bin/python3
"""harness/evasion.py on servers written in Python."""
import weirtest
from harness import evasion
from queue_servers import at_once


def nobody_gets_in(name, least):
    evasion.on(name, least)


SERVERS = [("http.server", 1), ("threading", 1), ("gunicorn-gthread", 1), ("aiohttp", 1), ("uvicorn", 1), ("waitress", 1)]

weirtest.main(at_once(nobody_gets_in, SERVERS, most=2))
