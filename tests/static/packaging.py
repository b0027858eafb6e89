#!/usr/bin/python3
"""The one list of packages: its sections name each package once, the build's own lists agree with it, and the scripts that read it say
what is missing and how much that is."""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPTS = ["install-packages", "packaging/build-needs", "packaging/on-this-host", "packaging/debian/weir.prerm", "packaging/debian/weir.postrm"]
# What each Debian has that builds packages.
ESSENTIAL = {"gcc", "make", "libc6-dev"}
APT = """#!/bin/sh
case "$*" in
*--assume-no*) printf '%s\\n' '3 upgraded, 12 newly installed, 0 to remove and 1 not upgraded.' 'Need to get 21.4 MB/30 MB of archives.' \\
  'After this operation, 112 MB of additional disk space will be used.'; exit 1 ;;
esac
"""


def read(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def sections():
    found, into = {}, None
    for line in read("packages.list").splitlines():
        line = re.sub(r"\s*#.*", "", line)
        if line.startswith("["):
            into = found.setdefault(line.strip("[]"), [])
        elif line:
            into.append(line)
    return found


def run(script, *arguments, **environment):
    return subprocess.run(["/bin/sh", os.path.join(ROOT, script), *arguments], capture_output=True, text=True, env=dict(os.environ, **environment))


def lists_agree(found):
    names = [name for section in found.values() for name in section]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, "twice in packages.list: " + " ".join(twice)
    build = set(found["build"])
    control = re.search(r"^Build-Depends:\n((?: .*\n)+)", read("packaging/debian/control"), re.M).group(1)
    depends = {name for name in re.findall(r"^ ([a-z0-9.+-]+)", control, re.M) if not re.match(r"debhelper|dh-", name)}
    assert depends == build - ESSENTIAL, "Build-Depends of packaging/debian/control and [build]: %s" % (depends ^ (build - ESSENTIAL))
    needs = set(re.findall(r"^(?:program|library) .* (\S+)$", read("packaging/build-needs"), re.M))
    needs |= set(re.findall(r"header \S+ ([a-z0-9.+-]+)", read("packaging/build-needs")))
    assert needs == build - {"make"}, "packaging/build-needs and [build]: %s" % (needs ^ (build - {"make"}))


def spec_agrees():
    """The RPM's version, and its BuildRequires: each library of the build by its pkg-config name."""
    spec = read("packaging/weir.spec")
    assert re.search(r"^Version: +%s$" % re.escape(read("VERSION").strip()), spec, re.M), "packaging/weir.spec has another Version than VERSION"
    libraries = re.findall(r"^library (\S+) ", read("packaging/build-needs"), re.M)
    missing = [name for name in libraries if "pkgconfig(%s)" % name not in spec]
    assert libraries and not missing, "packaging/weir.spec lacks pkgconfig() of " + " ".join(missing)


def missing_is_named():
    done = run("packaging/build-needs", "gcc", "no-clang", "no-strip", "no-bpftool", "no-pkg-config")
    assert done.returncode == 1 and not done.stdout, done
    for words in ("no-clang (Debian: clang)", "no-strip (Debian: llvm)", "no-bpftool (Debian: bpftool)", "no-pkg-config (Debian: pkg-config)", "make deps"):
        assert words in done.stderr, (words, done.stderr)


def cost_is_said():
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("apt-get", APT), ("dpkg-query", "#!/bin/sh\nexit 1\n"), ("id", "#!/bin/sh\necho 1000\n")):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
            os.chmod(os.path.join(folder, name), 0o755)
        done = run("install-packages", "demo", PATH=folder + ":" + os.environ["PATH"])
        assert done.returncode == 1 and "12 packages, 21.4 MB/30 MB to download, 112 MB of disk" in done.stderr, done
        assert "nginx curl procps python3" in done.stderr and "clang" not in done.stderr, done
    done = run("install-packages", "nonsense")
    assert done.returncode == 2 and "no section 'nonsense'" in done.stderr, done


def main():
    found = sections()
    for script in SCRIPTS:
        done = subprocess.run(["/bin/sh", "-n", os.path.join(ROOT, script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    lists_agree(found)
    spec_agrees()
    missing_is_named()
    cost_is_said()
    print("%d packages in %d sections" % (sum(map(len, found.values())), len(found)))


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(str(error))
