#!/usr/bin/python3
"""Heads in pieces, and requests that wait, on web servers and proxies written in C (harness/split.py)."""
from harness import split

split.main("nginx", "nginx-proxy", "lighttpd", "haproxy", "apache-event", "apache-prefork", "varnish", "squid")
