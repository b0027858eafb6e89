#!/usr/bin/python3
"""nginx with four unprivileged workers under weir: every case of harness/battery.py."""
from harness import battery

battery.main("nginx", workers=4)
