#!/usr/bin/python3
"""Python's ThreadingMixIn (HTTP/1.1, blocking descriptors) under weir: every case of harness/battery.py."""
from harness import battery

battery.main("threading")
