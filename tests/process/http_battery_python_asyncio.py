#!/usr/bin/python3
"""Python's asyncio streams under weir: every case of harness/battery.py."""
from harness import battery

battery.main("asyncio")
