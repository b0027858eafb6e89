#!/usr/bin/python3
"""harness/smuggling.py on lighttpd."""
import weirtest
from harness import smuggling


def corpus():
    smuggling.on("lighttpd")


weirtest.main(corpus)
