#!/usr/bin/python3
"""node's cluster (accepted sockets passed between processes) under weir: every case of harness/battery.py."""
from harness import battery

battery.main("node-cluster")
