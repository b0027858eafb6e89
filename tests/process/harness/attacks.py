"""What a local attacker does to the agent's socket, as other users."""
import os
import re
import subprocess

import weirtest

PYTHON = "/usr/bin/python3"
with open(os.path.join(weirtest.ROOT, "rules", "layout.h")) as layout:
    VERSION = int(re.search(r"#define LAYOUT_VERSION (\d+)", layout.read()).group(1))
OK, NO_APP, OTHER_LAYOUT, REFUSED = 0, 1, 2, 3

HELLO = """
import os, random, socket, struct, sys
def hello(app, kind=1, slot=0, owner=0, version=%d):
    return struct.pack("<IIIIQ64sII", 0x72696577, version, kind, slot, owner, app.encode(), version, 0)
def connected():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    return s
""" % VERSION

ASK = HELLO + """
import time
end = time.monotonic() + 5
while True:  # as the shim does: it asks again until it has an answer
    try:
        s = connected()
        s.settimeout(5)
        s.send(hello(sys.argv[2]))
        print(struct.unpack("<III", s.recv(200)[:12])[2])
        break
    except (OSError, struct.error):
        if time.monotonic() > end:
            raise
        time.sleep(0.005)
"""

FLOOD = HELLO + """
source, held = random.Random(7), []
while True:
    try:
        s = connected()
        if sys.argv[2] == "silent":
            held.append(s)
            if len(held) > 900:
                held.pop(0).close()
            continue
        if sys.argv[2] == "garbage":
            s.send(source.randbytes(source.randrange(1, 900)))
        elif sys.argv[2] == "slots":
            s.send(hello("own", 2, source.randrange(300), source.getrandbits(64)))
        else:
            s.send(hello(source.choice(["own", "t", "", "x" * 63])))
        s.close()
    except OSError:
        pass
"""


def ask(box, app, uid):
    """The agent's answer to a process of that user."""
    done = subprocess.run([PYTHON, "-c", ASK, box.run_dir + "/agent.sock", app], user=uid, group=uid, extra_groups=[], cwd="/",
                          capture_output=True, text=True, timeout=30)
    assert done.stdout.strip(), done.stderr
    return int(done.stdout)


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
