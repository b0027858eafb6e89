#!/usr/bin/python3
"""python -m http.server (HTTP/1.0, blocking descriptors) under weir: every case of harness/battery.py."""
from harness import battery

battery.main("http.server")
