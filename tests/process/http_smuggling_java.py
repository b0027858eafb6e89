#!/usr/bin/python3
"""harness/smuggling.py on java.
# timeout: 600"""
import weirtest
from harness import smuggling


def corpus():
    smuggling.on("java", threads=4)


weirtest.main(corpus)
