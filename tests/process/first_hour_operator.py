#!/usr/bin/python3
"""The first hour of an operator, on a host with systemd: the package installed, a server looked at, put under protection, rules with
mistakes, a rejection asked about, weir switched off and on, removed. Every command as a person types it, at 80 columns; what it prints
is read."""
# timeout: 600
import re

import weirtest
from harness.booted import RULES, Booted, a_root
from harness.deb import Package

ADDRESS = "http://127.0.0.1/"


def folded(text):
    """As one line: what is folded at the edge of the terminal."""
    return re.sub(r"\s+", " ", text)


def says(host, command, *wanted, check=0):
    shown = host.types(command, check)
    for pattern in wanted:
        assert re.search(pattern, folded(shown)), "%s: no %r in\n%s" % (command, pattern, shown)
    return shown


def installs_and_looks(host):
    says(host, "dpkg -i /srv/weir.deb", "Setting up weir")
    says(host, "systemctl is-active weir-agent", "active")
    says(host, "weir status", r"service /run/weir", "no apps", "no protected processes", "no rules files")
    says(host, "weir doctor nginx", "UNPROTECTED", "nothing preloads libweir.so", r"weir enable nginx.service && systemctl restart nginx.service", check=1)
    says(host, "weir ports", r" 80 .*no: nothing preloads")


def rules_and_what_is_wrong_with_them(host):
    host.root.save(RULES, '{ "app": "shop",\n  "flow": [ { "id": "all", "resource": "http::80", "cuont": 3 } ] }\n')
    says(host, "weir check " + RULES, r'shop\.json:2:\d+: error: .*cuont', 'did you mean "count"', check=2)
    host.root.save(RULES, '{ "app": "shop",\n  "flow": [ { "id": "all", "resource": "http::80", "count": 0, "scope": "app" } ] }\n')
    says(host, "weir check " + RULES)
    # Root's own mode for files, as careful people have it.
    host.root.run("chmod", "600", RULES)
    shown = weirtest.until(lambda: re.search("must read it: (chgrp .*640 .*shop.json)", folded(host.types("weir status"))), "what is wrong with the file")
    host.root.run("/bin/sh", "-c", shown.group(1))
    weirtest.until(lambda: re.search(r"ok +shop .*shop.json", host.types("weir status")), "the rules to be read")


def protects(host):
    says(host, "weir enable nginx -a shop", "from its next start on", "systemctl restart nginx.service")
    says(host, "systemctl restart nginx")
    host.answers(429)
    says(host, "weir doctor nginx", "shop .*protected")
    says(host, "weir ports", r" 80 .*shop")
    weirtest.until(lambda: re.search(r"shop +http::80", host.types("weir top --once")), "the metrics of a second")


def asks_about_a_rejection(host):
    line = weirtest.until(lambda: re.search(r"last id (\S+),", folded(host.types("weir events"))), "the rejection among the events", 30, 0.2)
    says(host, "weir why " + line.group(1), "rule +all", "caller +127.0.0.1", r"shop\.json:2")
    says(host, "journalctl -u weir-agent --no-pager -o cat", "rejected in .* by rule all")


def in_an_emergency(host):
    says(host, "weir off shop")
    host.answers(200)
    says(host, "weir status", r"shop +OFF")
    says(host, "weir on shop")
    host.answers(429)


def removes(host):
    says(host, "dpkg -r weir", "no longer protected from their next start on: nginx.service to protect it again: weir enable -a shop nginx.service")
    says(host, "systemctl restart nginx")
    host.answers(200)


def first_hour():
    package = Package.get()
    with weirtest.Sandbox() as box:
        host = Booted(box, a_root(box, package))
        for part in (installs_and_looks, rules_and_what_is_wrong_with_them, protects, asks_about_a_rejection, in_an_emergency, removes):
            part(host)
            print("     " + part.__name__.replace("_", " "))
        host.root.stop()


weirtest.main(first_hour)
