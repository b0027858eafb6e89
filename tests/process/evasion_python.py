#!/usr/bin/python3
"""harness/evasion.py on servers written in Python."""
import weirtest
from harness import evasion
from queue_servers import at_once


def nobody_gets_in(name, least):
    evasion.on(name, least)


SERVERS = [("gunicorn-gthread", 150), ("http.server", 150), ("threading", 250), ("aiohttp", 130), ("uvicorn", 120), ("waitress", 180)]

weirtest.main(at_once(nobody_gets_in, SERVERS, most=2))
