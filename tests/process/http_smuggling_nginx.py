#!/usr/bin/python3
"""harness/smuggling.py on nginx."""
import weirtest
from harness import smuggling


def corpus():
    smuggling.on("nginx")


weirtest.main(corpus)
