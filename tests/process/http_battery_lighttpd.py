#!/usr/bin/python3
"""lighttpd, files and a CGI program under weir: every case of harness/battery.py."""
from harness import battery

battery.main("lighttpd")
