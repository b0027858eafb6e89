"""A small Debian of its own, made once a build folder from the package sources of this host, and thrown-away copies of it: entered
by chroot, or booted with systemd as its first process.

Everything is mounted in this process's own mount namespace, so nothing is left when it ends, however that comes."""
import contextlib
import ctypes
import fcntl
import hashlib
import os
import signal
import subprocess
import tempfile

import weirtest

CLONE_NEWNS = 0x00020000
# No perl behind usrmerge; and what is never read in a test.
EXTRA = ["usr-is-merged"]
EXCLUDED = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*"]


def need_root():
    if os.geteuid() != 0:
        raise weirtest.Skip("NOTHING IS TESTED of the package: it takes root to install it somewhere")


def own_mounts():
    """This process's mounts are seen by it and its children alone from here on."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise weirtest.Skip("NOTHING IS TESTED of the package: no mount namespace of its own to be had here")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


@contextlib.contextmanager
def alone():
    """One test at a time makes what all of them use."""
    with open(os.path.join(weirtest.BUILD, "fresh-root.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _codename():
    with open("/etc/os-release") as file:
        facts = dict(line.strip().split("=", 1) for line in file if "=" in line)
    if facts.get("ID", "").strip('"') != "debian":
        raise weirtest.Skip("NOTHING IS TESTED of the package: this is no Debian")
    return facts.get("VERSION_CODENAME", "sid").strip('"')


def _sources(codename):
    """Of this host's package sources those that are Debian's own, as lines of sources.list."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)", "Created-By: Packages"],
                            capture_output=True, text=True, check=True).stdout
    lines = []
    for site, release, component, origin in (line.split("|") for line in listed.splitlines()):
        if origin == "Debian" and release.startswith(codename):
            lines.append("deb %s %s %s" % (site, release, component))
    return sorted(set(lines))


def base(packages):
    """The folder of a Debian with these packages; made when it is not there."""
    with alone():
        return _base(packages)


def _base(packages):
    weirtest.need("mmdebstrap", "unshare")
    codename = _codename()
    name = hashlib.sha256(" ".join([codename] + packages).encode()).hexdigest()[:12]
    root = os.path.join(weirtest.BUILD, "fresh-root", name)
    if not os.path.exists(root):
        _make(codename, packages, root + ".new")
        os.rename(root + ".new", root)
    return root


def _make(codename, packages, root):
    """What mmdebstrap mounts meanwhile is seen by it alone, and so is gone with it, whenever it ends."""
    subprocess.run(["rm", "-rf", "--one-file-system", root], check=True)
    os.makedirs(os.path.dirname(root), exist_ok=True)
    command = ["unshare", "--mount", "--propagation", "private", "mmdebstrap", "--mode=root", "--variant=essential", "--dpkgopt=force-unsafe-io",
               '--aptopt=APT::Install-Recommends "false"', "--include=" + ",".join(EXTRA + packages)]
    command += ["--dpkgopt=path-exclude=" + path for path in EXCLUDED]
    made = subprocess.run(command + [codename, root, "-"], input="\n".join(_sources(codename)) + "\n", capture_output=True, text=True)
    if made.returncode:
        errors = [line for line in made.stderr.splitlines() if line.startswith("E: ")] or ["E: ?"]
        raise weirtest.Skip("NOTHING IS TESTED of the package: no fresh root (is a mirror reachable?): mmdebstrap: " + errors[0][3:])


class Root:
    """A copy of the base in which anything may be changed."""

    def __init__(self, box, lower):
        own_mounts()
        self.box, self.leader, self.nspawn = box, None, None
        # Not in the sandbox's folder, which is removed with all that is seen in it: this one is unmounted, and then it is empty.
        over = tempfile.mkdtemp(prefix="fresh-root.")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", over], check=True)
        box.at_end(lambda: (self.stop(), subprocess.run(["umount", "-l", over], check=True), os.rmdir(over)))
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(over, name))
        self.path = os.path.join(over, "root")
        made = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % (lower, over, over),
                               self.path], capture_output=True, text=True)
        if made.returncode:
            raise weirtest.Skip("NOTHING IS TESTED of the package: no overlay of a fresh root to be had: " + made.stderr.strip())

    def at(self, path):
        return os.path.join(self.path, path.lstrip("/"))

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        with open(self.at(path), "w") as file:
            file.write(text)
        os.chmod(self.at(path), mode)

    def save(self, path, text):
        """As editors do."""
        self.write(path + ".new", text)
        os.replace(self.at(path + ".new"), self.at(path))

    def command(self, *command):
        """What runs that command inside."""
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive"]
        if self.leader:
            return ["nsenter", "-t", str(self.leader), "-a", "--"] + environment + list(command)
        return ["chroot", self.path] + environment + list(command)

    def run(self, *command, check=0):
        done = subprocess.run(self.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120)
        if check is not None:
            assert done.returncode == check, "%s: exit status %d\n%s" % (" ".join(command), done.returncode, done.stdout)
        return done.stdout

    # ---------------------------------------------------------------------------------------------------- for chroot

    def chroot(self):
        """What programs expect of a host; what of it is this host's own cannot be written."""
        for kind, place, options in (("proc", "/proc", "rw"), ("sysfs", "/sys", "ro"), ("tmpfs", "/run", "mode=755"), ("tmpfs", "/dev", "mode=755")):
            subprocess.run(["mount", "-t", kind, "-o", options, kind, self.at(place)], check=True)
        for name, major, minor in (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)):
            os.mknod(self.at("/dev/" + name), 0o020666, os.makedev(major, minor))
            os.chmod(self.at("/dev/" + name), 0o666)
        os.symlink("/proc/self/fd", self.at("/dev/fd"))
        os.mkdir(self.at("/dev/shm"), 0o1777)

    # ------------------------------------------------------------------------------------------------------ for boot

    def boot(self):
        """systemd as pid 1 in namespaces of its own, network included; returns when it has started what it starts."""
        weirtest.need("systemd-nspawn", "nsenter")
        # Kernel programs are part of it, where the kernel lets them in.
        self.nspawn = self.box.start("systemd-nspawn", [
            "systemd-nspawn", "--quiet", "--directory", self.path, "--register=no", "--keep-unit", "--private-network", "--link-journal=no",
            "--console=pipe", "--kill-signal=SIGRTMIN+3", "--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN", "--system-call-filter=bpf", "--boot",
            "systemd.unit=multi-user.target"], self.box.environment(SYSTEMD_NSPAWN_API_VFS_WRITABLE="1"))
        try:
            weirtest.until(self._leads, "a first process", 20)
            weirtest.until(lambda: self.run("systemctl", "is-system-running", check=None).strip() in ("running", "degraded"), "systemd to be up", 90, 0.2)
        except AssertionError:
            raise weirtest.Skip("NOTHING IS TESTED of the package under systemd: it does not boot here: " +
                                (self.nspawn.output().strip().splitlines() or ["systemd-nspawn says nothing"])[-1])

    def _leads(self):
        with open("/proc/%d/task/%d/children" % (self.nspawn.pid, self.nspawn.pid)) as children:
            found = [int(pid) for pid in children.read().split()]
        for pid in found:
            with open("/proc/%d/comm" % pid) as comm:
                if comm.read().strip() == "systemd":
                    self.leader = pid
        return self.leader

    def stop(self):
        if self.leader and self.nspawn.running():
            os.kill(self.leader, signal.SIGRTMIN + 4)  # power off
            self.nspawn.wait(30)
        self.leader = None

    def load(self, url, rate):
        """Steady load from inside its network; a line a second: 200, 429, other answers, broken connections."""
        command = ["/usr/bin/python3", os.path.join(weirtest.ROOT, "demo", "load.py"), url, str(rate)]
        return self.box.start("load", ["nsenter", "-t", str(self.leader), "-n", "--"] + command)

    def ask(self, url):
        """The status of one request from inside its network."""
        program = ("import sys, urllib.error, urllib.request as r\n"
                   "try: print(r.urlopen(sys.argv[1], timeout=10).status)\n"
                   "except urllib.error.HTTPError as e: print(e.code)\n")
        done = subprocess.run(["nsenter", "-t", str(self.leader), "-n", "--", "/usr/bin/python3", "-c", program, url], capture_output=True, text=True)
        return int(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
