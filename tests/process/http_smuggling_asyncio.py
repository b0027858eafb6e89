#!/usr/bin/python3
"""harness/smuggling.py on asyncio."""
import weirtest
from harness import smuggling


def corpus():
    smuggling.on("asyncio")


weirtest.main(corpus)
