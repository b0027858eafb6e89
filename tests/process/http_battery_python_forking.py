#!/usr/bin/python3
"""Python's ForkingMixIn (a process for each connection) under weir: every case of harness/battery.py."""
from harness import battery

battery.main("forking")
