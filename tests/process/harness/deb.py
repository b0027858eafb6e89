"""The Debian package of the build that is tested, made once a test, and one of a later version with the same files."""
import os
import re
import shutil
import subprocess
import tempfile

import weirtest
from harness import fresh_root

NEXT = "9.9.9-1"  # of the package that is upgraded to


def make(*arguments):
    environment = dict(os.environ, DEB_BUILD_OPTIONS="noautodbgsym")
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "LD_PRELOAD"):
        environment.pop(name, None)
    done = subprocess.run(["make", "-C", weirtest.ROOT, "O=" + weirtest.BUILD, *arguments], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, weirtest.shown(done.stdout)
    return done.stdout


def _parts():
    """What goes into the package, as far as it can change: names, sizes and times."""
    for name in ("packaging", "agent", "man", "docs", "completion", "rules", "monitoring"):
        for folder, _, files in os.walk(os.path.join(weirtest.ROOT, name)):
            yield from (os.path.join(folder, file) for file in files if not file.endswith((".c", ".h")))
    for name in os.listdir(weirtest.ROOT):
        if name.endswith(".md") or name in ("Makefile", "VERSION"):
            yield os.path.join(weirtest.ROOT, name)
    for name in ("weir", "weir-agent", "libweir.so"):
        yield os.path.join(weirtest.BUILD, name)


def _built():
    """The package; made when something in it is not as it was."""
    mark = os.path.join(weirtest.BUILD, "deb", "made-of")
    parts = "".join("%s %d %d\n" % (path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in sorted(_parts()))
    if os.path.exists(mark):
        with open(mark) as file:
            path, _, before = file.read().partition("\n")
        if before == parts and os.path.exists(path):
            return path
    made = make("deb", "DEB_O=" + weirtest.BUILD)
    path = [line for line in made.splitlines() if re.fullmatch(r"/\S+/weir_\S+\.deb", line)][-1]
    with open(mark, "w") as file:
        file.write(path + "\n" + parts)
    return path


class Package:
    """The package of this build, of the objects that are there; and one of a later version with the same files."""
    built = None

    def __init__(self):
        fresh_root.need_root()
        weirtest.need("dpkg-buildpackage", "dh", "dpkg-deb")
        self.folder = tempfile.TemporaryDirectory()
        with fresh_root.alone():
            self.first = shutil.copy(_built(), self.folder.name)
        self.second = os.path.join(self.folder.name, "next.deb")
        subprocess.run(["dpkg-deb", "-R", self.first, self.folder.name + "/deb"], check=True)
        self.renamed(self.folder.name + "/deb")

    def renamed(self, folder):
        control = os.path.join(folder, "DEBIAN", "control")
        with open(control) as file:
            text = re.sub(r"(?m)^Version: .*", "Version: " + NEXT, file.read())
        with open(control, "w") as file:
            file.write(text)
        subprocess.run(["dpkg-deb", "-b", "--root-owner-group", "-Znone", folder, self.second], check=True, capture_output=True)

    @classmethod
    def get(cls):
        cls.built = cls.built or cls()
        return cls.built

    def needs(self):
        """What the package depends on: the first of each choice."""
        depends = subprocess.run(["dpkg-deb", "-f", self.first, "Depends"], capture_output=True, text=True, check=True).stdout
        return sorted({re.split(r"[ |(]", one.strip())[0] for one in depends.split(",")})


def base_of(package):
    """The base of a fresh root in which it can be installed, and servers to protect.  To be called before a test enters a network of
    its own, where there is no mirror."""
    return fresh_root.base(["systemd", "nginx"] + [name for name in package.needs() if name != "systemd"])
