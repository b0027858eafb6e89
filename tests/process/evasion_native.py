#!/usr/bin/python3
"""harness/evasion.py on servers written in C, and on node's parser."""
import weirtest
from harness import evasion
from queue_servers import at_once


def nobody_gets_in(name, least):
    evasion.on(name, least)


SERVERS = [("nginx", 100), ("lighttpd", 100), ("apache-event", 100), ("node", 80)]

weirtest.main(at_once(nobody_gets_in, SERVERS, most=2))
