#!/usr/bin/python3
"""libweir.so exports the interposed names and nothing else: the table (shim/libc/calls.h) plus syscall() and vfork(), the
version script and the library itself say the same. And it needs libc alone."""
import os
import platform
import re
import subprocess

import weirtest


def table():
    with open(os.path.join(weirtest.ROOT, "shim", "libc", "calls.h")) as file:
        rows = re.findall(r"^    (?:READS|WRITES|OTHER)\((?:[^,]+), (\w+),", file.read(), re.M)
    assert len(rows) > 30 and len(set(rows)) == len(rows), rows
    return set(rows) | ({"syscall", "vfork"} if platform.machine() == "x86_64" else set())


def version_script():
    with open(os.path.join(weirtest.ROOT, "shim", "shim.map")) as file:
        text = file.read()
    assert re.search(r"local:\s*\*;", text), "everything else must be local"
    assert text.lstrip().startswith("{"), "a named version would not stand in for libc's symbols"
    return set(re.findall(r"(\w+);", text.split("global:")[1].split("local:")[0]))


def exported():
    done = subprocess.run(["nm", "-D", "--defined-only", weirtest.LIBWEIR], text=True, check=True,
                          stdout=subprocess.PIPE)
    return {line.split()[-1] for line in done.stdout.splitlines()}


def the_same_everywhere():
    assert exported() == table(), "the library and the table differ: %s" % sorted(exported() ^ table())
    if platform.machine() == "x86_64":
        differ = sorted(version_script() ^ table())
        assert not differ, "the version script and the table differ: %s" % differ


def needs_libc_alone():
    output = subprocess.run(["readelf", "-d", weirtest.LIBWEIR], text=True, check=True, stdout=subprocess.PIPE).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", output)
    assert needed == ["libc.so.6"], needed
    assert "TEXTREL" not in output, "code that is changed at load time"


if __name__ == "__main__":
    weirtest.main(the_same_everywhere, needs_libc_alone)
