#!/usr/bin/python3
"""Every file of rules/examples/ in force on a real nginx, as it stands, and some on another server, too: what its comments claim
happens (harness/claims.py), each rule is what some claim is about, and none of them draws a warning."""
import glob
import os
import tempfile

import weirtest
from harness import claims

FILES = sorted(glob.glob(os.path.join(weirtest.ROOT, "rules", "examples", "*.json")))
ELSEWHERE = ["admin-only", "api-quota", "crawler", "per-client"]  # on Python's server, a thread for each connection


def scenario(path, kind):
    def run():
        claims.check_coverage(path)
        claims.run(path, kind)
    run.__name__ = "%s_on_%s" % (os.path.basename(path)[:-5].replace("-", "_"), kind)
    return run


PLANTED = """{ "app": "shop", "flow": [
    %s
    { "resource": "GET:/a", "count": 3 } ] }
"""


def what_is_not_so_is_found():
    """Claims that are false, unfinished or missing fail."""
    with tempfile.TemporaryDirectory() as folder:
        for lines, wrong in (("// try: 5 × GET /a → all pass", "429 by weir"), ("// try: 5 × GET /a → 3 pass", "what becomes of all 5"),
                             ("// try: 5 × GET /a → 3 pass, 2 get 503", "429 by weir"), ("// at most 3", "claims are about"),
                             ("// try: 5 × GET /b → all pass", "claims are about"), ("// 5 × GET /a → 3 pass", "does not begin"),
                             ("// try: 5 times GET /a → 3 pass", "expected N × METHOD"), ("// try: 5 × GET /a, quickly → 3 pass", "what is")):
            path = os.path.join(folder, "planted.json")
            with open(path, "w") as file:
                file.write(PLANTED % lines)
            try:
                claims.check_coverage(path)
                claims.run(path)
            except AssertionError as error:
                assert wrong in str(error), (lines, error)
            else:
                raise AssertionError("%s passes" % lines)


weirtest.main(what_is_not_so_is_found, *[scenario(path, "nginx") for path in FILES],
              *[scenario(path, "threading") for path in FILES if os.path.basename(path)[:-5] in ELSEWHERE])
