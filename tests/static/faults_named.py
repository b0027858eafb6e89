#!/usr/bin/python3
"""Every test that tests/faults.md or SECURITY.md names is there, and so is the function of it that it names."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import faults  # noqa: E402



def promises():
    """(promise, [test, …]) for each row of SECURITY.md's tables of promises."""
    with open(os.path.join(ROOT, "SECURITY.md")) as page:
        for line in page:
            if re.match(r"\| [^-]", line) and not line.startswith("| promise"):
                yield line.split("|")[1].strip(), re.findall(r"`(tests/[^`*]+)`", line)


missing, named = [], 0
for fault, tests in list(faults.rows()) + list(promises()):
    if not tests:
        missing.append("%s names no test" % fault)
    for test in tests:
        named += 1
        path, _, function = test.partition(":")
        if not os.path.exists(os.path.join(ROOT, path)):
            missing.append("%s: there is no %s" % (fault, path))
        elif function:
            with open(os.path.join(ROOT, path)) as file:
                if function not in file.read():
                    missing.append("%s: there is no %s in %s" % (fault, function, path))
print("\n".join(missing) or "%d tests named" % named)
sys.exit(1 if missing or not named else 0)
