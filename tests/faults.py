#!/usr/bin/python3
"""tests/faults.py [FAULT…]

Shows that the tests of tests/faults.md see the faults that they are named for: builds the commit before they were mended
(BEFORE), runs each process test of the table against that build, and says which fail there, with the reason, and which
pass. Unit tests are listed as such: they are compiled against today's headers. FAULT: these rows only, such as 2.5.
Exit status: 0 when every process test fails there, 1 otherwise."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("WEIR_BUILD") or os.path.join(ROOT, "build"))
TABLE = os.path.join(ROOT, "tests", "faults.md")
BEFORE = "76cc676"
TEST = re.compile(r"tests/[\w/]+\.(?:py|c|sh)(?::\w+)?")


def rows():
    """(fault, [test, …]) for each row of the table."""
    with open(TABLE) as file:
        for line in file:
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if line.startswith("|") and len(cells) >= 2 and re.match(r"\d", cells[0]):
                yield cells[0], TEST.findall(cells[1])


def built():
    """A folder with the build of BEFORE, made once."""
    folder = os.path.join(BUILD, "faults", BEFORE)
    build = os.path.join(folder, "build")
    if not os.path.exists(os.path.join(build, "libweir.so")):
        os.makedirs(folder, exist_ok=True)
        archive = subprocess.run(["git", "-c", "safe.directory=*", "-C", ROOT, "archive", BEFORE], capture_output=True)
        if archive.returncode != 0:
            sys.exit("no git history here with %s: nothing to compare with" % BEFORE)
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        subprocess.run(["make", "-s", "-C", folder, "-j2", "O=build", "CFLAGS=-O1 -g1", "all", "servers"], check=True)
    return build


def reason(output):
    """The line that says most of why a test failed."""
    lines = [line for line in output.splitlines() if re.match(r"(\w+(\.\w+)*(Error|Exception|Exit|Closed)\b|FAIL|skip)", line)]
    return (lines[0] if lines else "no reason given")[:150]


def verdict(test, build):
    """What the test says of that build: (it fails there, text)."""
    name, _, function = test.partition(":")
    done = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, name)] + ([function] if function else []), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, WEIR_BUILD=build), timeout=900)
    if done.returncode == 77:
        return True, "skipped: " + done.stdout.strip().splitlines()[-1][:150]
    return done.returncode != 0, "PASSES before the change" if done.returncode == 0 else reason(done.stdout)


def main():
    build, bad = built(), 0
    for fault, tests in rows():
        if sys.argv[1:] and fault.split()[0].strip(",") not in sys.argv[1:]:
            continue
        for test in tests:
            if not test.startswith("tests/process/"):
                print("%-6.6s %-60s of today's headers" % (fault, test), flush=True)
                continue
            fails, text = verdict(test, build)
            bad += not fails
            print("%-6.6s %-60s %s" % (fault, test, text), flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
