#!/usr/bin/python3
"""harness/evasion.py on servers written in C, and on node's parser."""
import weirtest
from harness import evasion
from queue_servers import at_once


def nobody_gets_in(name, least, options=None):
    evasion.on(name, least, options)


SERVERS = [("nginx", 150), ("lighttpd", 80), ("apache-event", 140), ("node", 130),
           ("nginx", 150, {"compat": "sentinel"})]

weirtest.main(at_once(nobody_gets_in, SERVERS, most=2))
