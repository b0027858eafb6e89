#!/usr/bin/python3
"""harness/smuggling.py on node."""
import weirtest
from harness import smuggling


def corpus():
    smuggling.on("node")


weirtest.main(corpus)
