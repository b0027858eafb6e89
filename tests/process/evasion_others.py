#!/usr/bin/python3
"""harness/evasion.py on servers in Java, Ruby and PHP, and on proxies."""
import weirtest
from harness import evasion
from queue_servers import at_once


def nobody_gets_in(name, least):
    evasion.on(name, least)


SERVERS = [("java", 180), ("tomcat-nio", 130), ("puma", 60), ("php", 80), ("haproxy", 150)]

weirtest.main(at_once(nobody_gets_in, SERVERS, most=2))
