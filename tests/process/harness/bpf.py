"""A place of its own for tests of the kernel programs: a network namespace and a cgroup v2 folder that this process and
all it starts are in, and a folder for pins. What else goes on on the host is neither seen nor touched.

Where BPF is refused the test is skipped, and says so; with WEIR_REQUIRE_BPF=1 that is a failure."""
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess

import weirtest

CLONE_NEWNET = 0x40000000
FIELDS = ("attempts", "opened", "closed", "active", "refused", "failed", "bytes_in", "bytes_out", "segments_in", "segments_out",
          "retransmits")


def missing(why):
    """Not here: a skip, or a failure where somebody insists."""
    if os.environ.get("WEIR_REQUIRE_BPF") == "1":
        raise AssertionError("WEIR_REQUIRE_BPF=1, but " + why)
    raise weirtest.Skip("NOTHING IS TESTED of the kernel programs: " + why)


def cgroup2():
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            if after.startswith("cgroup2 "):
                return before.split()[4]
    return missing("no cgroup v2 is mounted")


def _own_cgroup(root):
    with open("/proc/self/cgroup") as table:
        for line in table:
            if line.startswith("0::"):
                return root + line.strip()[3:].rstrip("/")
    return root


def _loopback_up():
    with socket.socket() as sock:
        name = b"lo".ljust(16, b"\0")
        flags = struct.unpack_from("H", fcntl.ioctl(sock, 0x8913, name + bytes(24)), 16)[0]  # SIOCGIFFLAGS
        fcntl.ioctl(sock, 0x8914, name + struct.pack("H", flags | 1) + bytes(22))  # SIOCSIFFLAGS, IFF_UP


def bpftool(*arguments):
    program = shutil.which("bpftool") or "/usr/sbin/bpftool"
    if not os.path.exists(program):
        missing("bpftool is not installed")
    done = subprocess.run([program, "-j", *arguments], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:  # nothing is not always told as JSON
        return None


class Place:
    """`with Place(box) as place:`; once for each process, which does not come back from its namespace."""
    entered = False

    def __init__(self, box):
        self.box = box
        if os.geteuid() != 0:
            missing("only root may load them")
        root = cgroup2()
        self.home = _own_cgroup(root)
        self.cgroup = os.path.join(root, "weirtest.%d" % os.getpid())
        self.pins = "/sys/fs/bpf/weirtest-%d" % os.getpid()

    def __enter__(self):
        if not Place.entered:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                missing("no network namespace of our own: %s" % os.strerror(ctypes.get_errno()))
            Place.entered = True
            _loopback_up()
        try:
            os.makedirs(self.cgroup, exist_ok=True)
            self._move(self.cgroup)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rmdir(self.cgroup)
            missing("no cgroup of our own: %s" % error)
        return self

    def __exit__(self, *_):
        self.box.end()
        self.uninstall()
        self._move(self.home)
        with contextlib.suppress(OSError):
            os.rmdir(self.cgroup)

    def uninstall(self):
        return subprocess.run([weirtest.WEIR_AGENT, "--uninstall", "--bpf-dir", self.pins], env=self.box.environment(),
                              capture_output=True, text=True)

    @staticmethod
    def _move(cgroup):
        with open(os.path.join(cgroup, "cgroup.procs"), "w") as file:
            file.write(str(os.getpid()))

    def agent(self, *rules, options=(), needs=("count", "open")):
        """An agent that counts this place, and nothing else; with these features."""
        agent = self.box.agent(*rules, options=["--bpf", "auto", "--bpf-dir", self.pins, "--bpf-cgroup", self.cgroup, *options])
        off = [feature for feature in self.box.status()["bpf"]["features"] if not feature["on"] and feature["feature"] in needs]
        if off:
            missing("; ".join("%(what)s: %(why)s" % feature for feature in off))
        return agent

    def rows(self):
        """Of each (direction, port, family), the sums over cgroups and namespaces."""
        answer, sums = self.box.control(cmd="ports"), {}
        assert answer["why"] == "", answer["why"]
        for row in answer["rows"]:
            into = sums.setdefault((row["direction"], row["port"], row["ip"]), dict.fromkeys(FIELDS, 0))
            for field in FIELDS:
                into[field] += row[field]
        return sums

    def row(self, direction, port, family=4):
        return self.rows().get((direction, port, family), dict.fromkeys(FIELDS, 0))

    def expect(self, direction, port, family=4, **wanted):
        """These counts, exactly; the kernel may still be closing what the test has left."""
        def right():
            row = self.row(direction, port, family)
            return all(row[field] == value for field, value in wanted.items())
        try:
            weirtest.until(right, "the counts", 10, 0.05)
        except AssertionError:
            row = self.row(direction, port, family)
            raise AssertionError("%s %d IPv%d: expected %r, counted %r" % (direction, port, family, wanted,
                                                                            {field: row[field] for field in wanted}))


def static_program(box, name):
    """The program of programs/NAME.c as a static binary, which no preload reaches."""
    weirtest.need("gcc")
    source, binary = os.path.join(weirtest.ROOT, "tests", "process", "programs", name + ".c"), os.path.join(box.path, name)
    done = subprocess.run(["gcc", "-static", "-O1", "-D_GNU_SOURCE", "-o", binary, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return binary


def go_program(box, name, source):
    """A program in Go, which makes its system calls itself."""
    path, binary = os.path.join(box.path, name + ".go"), os.path.join(box.path, name)
    with open(path, "w") as file:
        file.write(source)
    done = subprocess.run(["go", "build", "-o", binary, path], capture_output=True, text=True, timeout=240,
                          env=dict(box.environment(), CGO_ENABLED="0", GOFLAGS="-p=1", GO111MODULE="off",
                                   HOME=os.environ.get("HOME", box.path)))
    assert done.returncode == 0, done.stderr
    return binary


def main(*tests):
    """Runs functions of a sandbox and its place, as weirtest.main does."""
    def in_place(test):
        def case():
            with weirtest.Sandbox() as box, Place(box) as place:
                test(box, place)
        case.__name__ = test.__name__
        return case
    weirtest.main(*map(in_place, tests))
