#!/usr/bin/python3
"""`weir enable` and `disable` on a system below a folder: the drop-in is there, is right, and goes without a trace."""
import os
import re
import shutil
import subprocess

import weirtest

PLACE = "etc/systemd/system"


class System:
    def __init__(self, box):
        self.box, self.root = box, os.path.join(box.path, "root")
        os.makedirs(os.path.join(self.root, PLACE))
        self.put("lib/systemd/system/web.service", "[Service]\nExecStart=/bin/true\n")

    def put(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as file:
            file.write(text)
        return full

    def weir(self, *arguments, check=0):
        return self.box.weir(arguments[0], "--root", self.root, *arguments[1:], check=check)

    def drop_in(self, unit):
        with open(os.path.join(self.root, PLACE, unit + ".d", "50-weir.conf")) as file:
            return file.read()

    def tree(self):
        return sorted(os.path.join(folder, name) for folder, folders, files in os.walk(self.root) for name in folders + files)


def there_and_gone():
    with weirtest.Sandbox() as box:
        system = System(box)
        before = system.tree()
        done = system.weir("enable", "web")
        assert "web.service" in done.stdout and "systemctl restart web.service" in done.stdout and done.stderr == "", done
        text = system.drop_in("web.service")
        assert 'Environment="LD_PRELOAD=%s"\nEnvironment="WEIR_APP=web"\n' % weirtest.LIBWEIR in text, text
        assert os.stat(os.path.join(system.root, PLACE, "web.service.d/50-weir.conf")).st_mode & 0o777 == 0o644
        system.weir("enable", "web.service", "-a", "shop")
        assert 'WEIR_APP=shop"' in system.drop_in("web.service")
        assert "no longer" in system.weir("disable", "web").stdout
        assert system.tree() == before, system.tree()
        assert "was not enabled" in system.weir("disable", "web").stdout
        assert "was not enabled" in system.weir("disable", "no-such-unit").stdout

        other = system.put(PLACE + "/web.service.d/90-other.conf", "[Service]\nNice=5\n")
        system.weir("enable", "web")
        system.weir("disable", "web")
        assert os.listdir(os.path.dirname(other)) == ["90-other.conf"]
        system.weir("enable", "web")
        os.unlink(os.path.join(system.root, "lib/systemd/system/web.service"))
        system.weir("disable", "web")  # the package has gone in the meantime
        assert os.listdir(os.path.dirname(other)) == ["90-other.conf"]


def names_of_units():
    with weirtest.Sandbox() as box:
        system = System(box)
        system.put("usr/lib/systemd/system/worker@.service", "[Service]\nExecStart=/bin/true\n")
        os.symlink("/lib/systemd/system/web.service", os.path.join(system.root, PLACE, "alias.service"))
        os.symlink("/dev/null", os.path.join(system.root, PLACE, "masked.service"))
        before = system.tree()
        system.weir("enable", "worker@7")
        assert 'WEIR_APP=worker-7"' in system.drop_in("worker@7.service")
        system.weir("disable", "worker@7")
        system.weir("enable", "alias")
        assert 'WEIR_APP=web"' in system.drop_in("web.service")
        system.weir("disable", "alias")
        assert system.tree() == before
        for unit, word in (("nothing", "no such unit"), ("masked", "masked")):
            done = system.weir("enable", unit, check=1)
            assert word in done.stderr and done.stdout == "", done
        for unit in ("../../etc/passwd", "a b", "web.timer", "", ".service", "x" * 300):
            system.weir("enable", unit, check=2)
            system.weir("disable", unit, check=2)
        assert system.tree() == before


def what_the_unit_sets_itself():
    with weirtest.Sandbox() as box:
        system = System(box)
        system.put("lib/systemd/system/full.service", "[Service]\nExecStart=/bin/true\nRootDirectory=/srv/full\n"
                   'Environment=A=1 "LD_PRELOAD=/usr/lib/libjemalloc.so.2"\nRestrictAddressFamilies=AF_INET AF_INET6\n')
        system.weir("enable", "full")
        text = system.drop_in("full.service")
        for line in ('Environment="LD_PRELOAD=%s:/usr/lib/libjemalloc.so.2"' % weirtest.LIBWEIR, "BindPaths=-/run/weir",
                     "BindReadOnlyPaths=%s" % weirtest.LIBWEIR, "RestrictAddressFamilies=AF_UNIX"):
            assert line in text.splitlines(), (line, text)
        system.weir("enable", "full")
        assert system.drop_in("full.service") == text, "our own drop-in is taken for the unit's"

        system.put("etc/default/other", "LD_PRELOAD=/x.so\n")
        system.put("lib/systemd/system/other.service", "[Service]\nExecStart=/bin/prog\nEnvironmentFile=-/etc/default/other\n"
                   "RestrictAddressFamilies=~AF_UNIX\n")
        weirtest.need("gcc")
        system.put("prog.c", "int main(void) { return 0; }\n")
        os.makedirs(os.path.join(system.root, "bin"), exist_ok=True)
        subprocess.run(["gcc", "-static", "-o", system.root + "/bin/prog", system.root + "/prog.c"], check=True)
        warnings = system.weir("enable", "other").stderr
        for word in ("EnvironmentFile", "AF_UNIX", "statically linked", "UNPROTECTED"):
            assert word in warnings, (word, warnings)


MOST = "@basic-io @file-system @io-event @network-io @signal @timer"
DEFAULT = {"clock_gettime", "clock_nanosleep", "getpid", "mmap", "mprotect", "munmap", "prlimit64"}  # of @default


def calls_that_a_filter_allows():
    with weirtest.Sandbox() as box:
        system = System(box)

        def enable(lines, check=0):
            system.put("lib/systemd/system/web.service", "[Service]\nExecStart=/bin/true\n" + lines)
            done = system.weir("enable", "web", check=check)
            return done, system.drop_in("web.service") if check == 0 else ""

        for fine in ("", "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\n", "SystemCallFilter=~@mount\n"):
            done, text = enable(fine)
            assert "SystemCallFilter" not in text and done.stderr == "", (fine, done)
        done, text = enable("SystemCallFilter=%s\n" % MOST)
        assert "\nSystemCallFilter=kill madvise mremap\n" in text and "adds: kill madvise mremap" in done.stderr, (text, done)
        assert enable("SystemCallFilter=%s\n" % MOST)[1] == text, "our own drop-in is taken for the unit's"
        done, text = enable("SystemCallFilter=~kill\nSystemCallErrorNumber=EPERM\n")
        assert "UNPROTECTED" in done.stderr and "SystemCallFilter=kill" in done.stderr and "SystemCallFilter" not in text, done
        system.weir("disable", "web")
        for deadly in ("SystemCallFilter=~@timer kill\n", "SystemCallFilter=@system-service\nSystemCallFilter=~@timer kill\n"):
            before = system.tree()
            done, _ = enable(deadly, check=1)
            assert "killed" in done.stderr and "SystemCallFilter=kill timerfd_create timerfd_settime" in done.stderr, done
            assert system.tree() == before, "it would not start again"
        enable("")
        system.put("lib/systemd/system/web.service", "[Service]\nExecStart=/bin/true\nSystemCallFilter=~kill\n")  # an upgrade
        done = system.weir("doctor", "web", check=1)
        assert "no process of that unit runs" in done.stderr and done.stderr.endswith(": kill\n"), done


def every_call_of_the_library_is_asked_for():
    """The list is the sources': what the shim calls for itself (OWNn)."""
    shim = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shim")
    texts = [open(os.path.join(folder, name)).read() for folder, _, names in os.walk(shim) for name in names if name.endswith((".c", ".h"))]
    wanted = set(re.findall(r"OWN[1-6]\(\s*SYS_(\w+)", "".join(texts)))
    assert len(wanted) > 30 and DEFAULT & wanted, wanted
    with weirtest.Sandbox() as box:
        system = System(box)
        system.put("lib/systemd/system/web.service", "[Service]\nExecStart=/bin/true\nSystemCallFilter=exit\n")
        system.weir("enable", "web")
        line, = (line for line in system.drop_in("web.service").splitlines() if line.startswith("SystemCallFilter="))
        names = set(line.partition("=")[2].split())
    assert wanted - DEFAULT <= names, wanted - DEFAULT - names
    assert names - wanted <= {"sendmsg", "writev"}, "nothing that it does not call: %s" % (names - wanted)


def systemd_reads_it():
    """systemd's own check of the unit with its drop-in."""
    if not shutil.which("systemd-analyze"):
        raise weirtest.Skip("no systemd-analyze")
    with weirtest.Sandbox() as box:
        system = System(box)
        system.put("lib/systemd/system/basic.target", "[Unit]\n")
        system.put("lib/systemd/system/sysinit.target", "[Unit]\n")
        system.put("lib/systemd/system/shutdown.target", "[Unit]\n")
        system.put("lib/systemd/system/system.slice", "[Unit]\n")
        system.put("lib/systemd/system/web.service", "[Unit]\nDescription=web\n[Service]\nExecStart=/bin/true\nRootDirectory=/srv\n"
                   "RestrictAddressFamilies=AF_INET\nSystemCallFilter=@basic-io\n")
        os.makedirs(system.root + "/bin")
        shutil.copy("/bin/true", system.root + "/bin/true")
        line = ["systemd-analyze", "verify", "--root=" + system.root, "--man=no", "web.service"]
        def verify():
            done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            return [said for said in done.stdout.splitlines() if "web.service" in said]
        before = verify()
        system.weir("enable", "web")
        assert verify() == before, verify()
        system.put(PLACE + "/web.service.d/50-weir.conf", "[Service]\nEnvironmentt=x\n")
        assert any("Environmentt" in said for said in verify()), "systemd-analyze does not read the drop-in at all: %r" % verify()


def what_cannot_be_written():
    with weirtest.Sandbox() as box:
        system = System(box)
        system.put(PLACE + "/web.service.d", "a file in the way")
        done = system.weir("enable", "web", check=1)
        assert "50-weir.conf" in done.stderr and done.stdout == "", done
        os.unlink(os.path.join(system.root, PLACE, "web.service.d"))
        if os.getuid() != 0:
            return
        weirtest.need("setpriv")
        line = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
        if subprocess.run(line + ["test", "-x", weirtest.WEIR]).returncode != 0:
            raise weirtest.Skip("the build is where other users may not go")
        done = subprocess.run(line + [weirtest.WEIR, "enable", "--root", system.root, "web"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1 and "be root" in done.stderr, done


weirtest.main(there_and_gone, names_of_units, what_the_unit_sets_itself, calls_that_a_filter_allows,
              every_call_of_the_library_is_asked_for, systemd_reads_it, what_cannot_be_written)
