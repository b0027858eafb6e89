#!/usr/bin/python3
"""Heads in pieces, and requests that wait, on Python's servers (harness/split.py)."""
from harness import split

split.main("threading", "forking", "http.server", "gunicorn-sync", "gunicorn-gthread", "waitress", "uvicorn", "uvicorn-uvloop",
           "uwsgi", "aiohttp", "asyncio")
