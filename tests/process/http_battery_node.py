#!/usr/bin/python3
"""node's http under weir: every case of harness/battery.py."""
from harness import battery

battery.main("node")
