#!/usr/bin/python3
"""What a program can see of the shim in itself: nothing. Environment, descriptors, threads, signal dispositions and
masks, locale, output, exit status; with and without an agent. And the log, which is written only where
WEIR_LOG says so."""
import os
import subprocess
import sys

import weirtest

LOOK = r"""
import locale, os, random, re, signal, sys
with open('/proc/self/status') as file:
    status = dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)
print({name: status[name].strip() for name in ('Threads', 'SigBlk', 'SigIgn', 'SigCgt', 'SigPnd', 'Seccomp')})
print(sorted(os.listdir('/proc/self/fd')))
ours = ('LD_PRELOAD', 'WEIR_APP', 'WEIR_RUN_DIR', 'WEIR_LOG')
print(sorted((key, value) for key, value in os.environ.items() if key not in ours))
print(locale.setlocale(locale.LC_ALL), os.umask(0), os.getpriority(os.PRIO_PROCESS, 0))
import ctypes
libc = ctypes.CDLL(None)
print([libc.rand() for _ in range(3)], [libc.random() for _ in range(3)])
print(os.open('/dev/null', os.O_RDONLY))
sys.exit(42)
"""


def look(box, **environment):
    done = subprocess.run([sys.executable, "-c", LOOK], env=box.environment(**environment), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 42 and done.stderr == "", (done.returncode, done.stderr)
    return done.stdout


def nothing_to_see():
    with weirtest.Sandbox() as box:
        bare = look(box)
        preload = dict(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)
        assert look(box, **preload) == bare, "without an agent:\n%s\nbare:\n%s" % (look(box, **preload), bare)
        box.agent(box.rules({"flow": [{"resource": "GET:/", "count": 1}]}))
        assert look(box, **preload) == bare, "attached:\n%s\nbare:\n%s" % (look(box, **preload), bare)


def the_log():
    with weirtest.Sandbox() as box:
        log = os.path.join(box.run_dir, "shim.log")
        box.agent(box.rules({"flow": [{"resource": "GET:/", "count": 1}]}))
        preload = dict(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)
        for level in ({}, {"WEIR_LOG": "off"}, {"WEIR_LOG": "nonsense"}):
            look(box, **preload, **level)
            assert not os.path.exists(log), "a log that nobody asked for: %r" % level
        look(box, **preload, WEIR_LOG="debug")
        with open(log) as file:
            lines = file.read().splitlines()
        assert any("attached" in line for line in lines), lines
        assert all(line.split()[0].isdigit() and line.split()[1].isdigit() for line in lines), lines
        look(box, LD_PRELOAD=weirtest.LIBWEIR, WEIR_LOG="debug", WEIR_RUN_DIR="/nowhere/at/all")  # harmless


if __name__ == "__main__":
    weirtest.main(nothing_to_see, the_log)
