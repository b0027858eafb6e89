#!/usr/bin/python3
"""The shared memory is the same for programs of 32 and of 64 bit: builds layout.c for both and compares what it prints.
Exit status 0 the same, 77 skipped (no compiler for 32 bit), else failed."""
import difflib
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def printed(folder, bits):
    program = os.path.join(folder, "layout%d" % bits)
    build = [os.environ.get("CC", "gcc"), "-m%d" % bits, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I" + ROOT,
             "-o", program, os.path.join(HERE, "layout.c")]
    compiled = subprocess.run(build, capture_output=True, text=True)
    if compiled.returncode:
        print(compiled.stderr, file=sys.stderr)
        return None
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines(True)


def can_build_32(folder):
    """A program of nothing: fails only where gcc-multilib is not installed."""
    source = os.path.join(folder, "nothing.c")
    with open(source, "w") as file:
        file.write("#include <stdio.h>\nint main(void) { return 0; }\n")
    build = [os.environ.get("CC", "gcc"), "-m32", "-o", os.path.join(folder, "nothing"), source]
    return subprocess.run(build, capture_output=True).returncode == 0


def main():
    with tempfile.TemporaryDirectory() as folder:
        wide = printed(folder, 64)
        if wide is None:
            return 1
        if not can_build_32(folder):
            print("skipped: %s builds nothing for 32 bit (package gcc-multilib)" % os.environ.get("CC", "gcc"))
            return 77
        narrow = printed(folder, 32)
    if narrow is None:
        return 1
    different = list(difflib.unified_diff(wide, narrow, "64 bit", "32 bit", n=0))
    sys.stdout.writelines(different or ["%d sizes and offsets are the same for 32 and 64 bit\n" % len(wide)])
    return 1 if different else 0


sys.exit(main())
