#!/usr/bin/python3
"""Heads in pieces, and requests that wait, on servers in Ruby, JavaScript, Java, Erlang and PHP (harness/split.py)."""
from harness import split

split.main("puma", "thin", "node", "node-cluster", "java", "tomcat-nio", "tomcat-nio2", "inets", "php")
