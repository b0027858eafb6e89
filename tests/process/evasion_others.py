#!/usr/bin/python3
"""harness/evasion.py on servers in Java, Ruby and PHP, and on proxies."""
import weirtest
from harness import evasion
from queue_servers import at_once


def nobody_gets_in(name, least):
    evasion.on(name, least)


SERVERS = [("java", 1), ("tomcat-nio", 1), ("puma", 1), ("php", 1), ("haproxy", 1)]

weirtest.main(at_once(nobody_gets_in, SERVERS, most=2))
