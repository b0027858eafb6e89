#!/usr/bin/python3
"""harness/smuggling.py on threading."""
import weirtest
from harness import smuggling


def corpus():
    smuggling.on("threading")


weirtest.main(corpus)
