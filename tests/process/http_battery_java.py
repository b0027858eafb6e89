#!/usr/bin/python3
"""the JDK's HttpServer (blocking descriptors, eight threads) under weir: every case of harness/battery.py."""
from harness import battery

battery.main("java", threads=8)
