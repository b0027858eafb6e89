#!/usr/bin/python3
"""nginx with one worker under weir: every case of harness/battery.py."""
from harness import battery

battery.main("nginx")
