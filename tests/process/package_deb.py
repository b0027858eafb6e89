#!/usr/bin/python3
"""The Debian package in a Debian of its own: what it holds; installed, upgraded under a server that runs protected, removed and
purged; in a folder without an init system, and with systemd as the first process."""
# timeout: 900
import json
import os
import re
import shutil
import subprocess
import tempfile

import weirtest
from harness import fresh_root
from harness.booted import NGINX, RULES, Booted, a_root
from harness.deb import NEXT, Package, make

DROP_IN = "/etc/systemd/system/nginx.service.d/50-weir.conf"


def state(root, package="weir"):
    return root.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", package, check=None).strip()


def library_of(root, pid):
    """The lines of a process's memory map that are the library's."""
    return [line for line in root.run("cat", "/proc/%s/maps" % pid).splitlines() if "libweir.so" in line]


def what_it_holds():
    package = Package.get()
    listed = subprocess.run(["dpkg-deb", "-c", package.first], capture_output=True, text=True, check=True).stdout
    paths = {line.split()[5].lstrip(".") for line in listed.splitlines()}
    wanted = ["/usr/bin/weir", "/usr/sbin/weir-agent", "/lib/systemd/system/weir-agent.service", "/usr/lib/sysusers.d/weir.conf", "/etc/weir/rules.d/",
              "/usr/share/bash-completion/completions/weir", "/usr/share/weir/weir-rules.schema.json", "/usr/share/doc/weir/CHANGELOG.md"]
    for folder, place in (("docs", "/usr/share/doc/weir/docs/"), ("rules/examples", "/usr/share/weir/examples/")):
        wanted += [place + name for name in os.listdir(os.path.join(weirtest.ROOT, folder)) if name.endswith((".md", ".json"))]
    wanted += ["/usr/share/man/man%s/%s.gz" % (name[-1], name) for name in os.listdir(os.path.join(weirtest.ROOT, "man")) if re.search(r"\.\d$", name)]
    wanted += ["/usr/share/doc/weir/" + name for name in os.listdir(weirtest.ROOT) if re.fullmatch(r"README.*\.md|SECURITY\.md", name)]
    missing = [path for path in wanted if path not in paths]
    assert not missing, missing
    assert [path for path in paths if re.fullmatch(r"/usr/lib/[^/]+/libweir\.so", path)], paths
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", package.first], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def plain(path):
    """A file's place without what distributions differ in: compression, where units and libraries are, changelogs and licences."""
    path = re.sub(r"(/man/.*)\.gz$", r"\1", re.sub(r"^(/usr)?/lib/systemd", "/lib/systemd", path))
    path = re.sub(r"^/usr/lib[^/]*/([^/]+-linux-gnu/)?(libweir\.so)", r"/lib/\2", path)
    return None if re.search(r"/changelog|/copyright|/licenses/|\.build-id|/lintian/|/$", path) else path


def the_rpm_holds_the_same():
    weirtest.need("rpmbuild")
    package = Package.get()
    with fresh_root.alone():
        made = make("rpm", "RPM_O=" + weirtest.BUILD).splitlines()
        rpm = [line for line in made if re.fullmatch(r"/\S+\.rpm", line)][-1]
        listed = subprocess.run(["rpm", "-qpl", "--noghost", rpm], capture_output=True, text=True, check=True).stdout.split()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", package.first, folder], check=True)
        wanted = {plain(os.path.join(path, name)[len(folder):]) for path, folders, names in os.walk(folder)
                  for name in names + [one for one in folders if os.path.islink(os.path.join(path, one))]}
    got = {plain(path) for path in listed}
    wanted.discard("/usr/share/doc/weir/examples")
    folders = {os.path.dirname(path) for path in wanted | got if path}
    assert wanted - got <= {None} and got - wanted - folders <= {None, "/etc/weir/rules.d"}, (wanted ^ got) - folders


def in_a_folder(box, root):
    root.chroot()
    root.run("dpkg", "-i", "/srv/weir.deb")
    assert state(root).startswith("ii"), state(root)
    assert root.run("id", "-un", "weir").strip() == "weir"
    port = weirtest.free_port()
    root.write("/etc/nginx/nginx.conf", NGINX % port)
    root.write("/srv/rules.json", json.dumps({"app": "shop", "flow": [{"resource": "GET:/none", "count": 0}]}))
    server = box.start("nginx", root.command("weir", "run", "-a", "shop", "-r", "/srv/rules.json", "--", "nginx", "-g", "daemon off;"))
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not server.running(), "nginx to listen")
    assert server.running(), server.output()

    def passes():
        assert weirtest.ask(("127.0.0.1", port), target="/any").status == 200
        assert weirtest.ask(("127.0.0.1", port), target="/none").status == 429
    passes()
    root.run("dpkg", "-i", "/srv/next.deb")
    assert state(root).endswith(NEXT), state(root)
    passes()
    root.write(RULES, "{}")
    root.write(DROP_IN, '[Service]\nEnvironment="LD_PRELOAD=/x/libweir.so"\nEnvironment="WEIR_APP=shop"\n')
    removed = root.run("dpkg", "-r", "weir")
    assert "no longer protected" in removed and "to protect it again: weir enable -a shop nginx.service" in removed, removed
    assert not os.path.exists(root.at(DROP_IN)) and os.path.exists(root.at(RULES))
    assert not os.path.exists(root.at("/usr/bin/weir"))
    passes()
    for folder in ("/var/lib/weir", "/var/log/weir", "/run/weir"):
        root.write(folder + "/file", "")
    root.run("dpkg", "-P", "weir")
    for folder in ("/var/lib/weir", "/var/log/weir", "/run/weir"):
        assert not os.path.exists(root.at(folder)), folder
    assert os.path.exists(root.at(RULES)), "rules are the administrator's"
    passes()


def without_an_init_system():
    package = Package.get()
    with weirtest.Sandbox() as box:
        in_a_folder(box, a_root(box, package))


def rows(load):
    return [[int(field) for field in line.split()] for line in load.output().splitlines()]


def more_rows(load, count):
    """Waits for so many more seconds of load."""
    goal = len(rows(load)) + count
    weirtest.until(lambda: len(rows(load)) >= goal or not load.running(), "the load to go on", 60, 0.1)
    assert load.running(), load.output()


def nothing_failed(load, limited=False):
    for passed, rejected, others, broken in rows(load):
        assert others == 0 and broken == 0, load.output()
    # (the first second begins somewhere, and a window of a second holds twice the limit in no case)
    assert not limited or all(passed <= 2 * 30 for passed, *_ in rows(load)[1:]), load.output()


def kernel_programs(host):
    """Pinned in a file system that is root's alone, by an agent that is not root."""
    features = {one["feature"]: one for one in host.status()["agents"][0]["bpf"]["features"]}
    print("result: kernel programs in there: %s" % ("on" if features["count"]["on"] else features["count"]["why"]))
    if not features["count"]["on"]:
        return
    assert features["count"]["on"] and "not pinned" not in features["count"]["why"], features
    assert host.root.run("stat", "-c", "%U %a", "/sys/fs/bpf/weir", "/sys/fs/bpf").split() in (["weir", "700", "root", "700"], ["weir", "700", "root", "1700"])


def installed(host):
    host.root.run("dpkg", "-i", "/srv/weir.deb")
    assert host.property("weir-agent", "ActiveState") == "active", host.root.run("journalctl", "-u", "weir-agent", check=None)
    assert host.root.run("systemctl", "is-enabled", "weir-agent").strip() == "enabled"
    kernel_programs(host)


def protects(host):
    host.limit(count=0)
    host.root.run("weir", "enable", "nginx")
    host.root.run("systemctl", "restart", "nginx")
    host.answers(429)
    host.limit(count=1000)
    host.answers(200)
    host.limit(count=30)


def upgraded(host):
    load = host.root.load("http://127.0.0.1/", 150)
    more_rows(load, 2)
    before, nginx = host.property("weir-agent", "MainPID"), host.property("nginx", "MainPID")
    host.root.run("dpkg", "-i", "/srv/next.deb")
    assert host.property("weir-agent", "ActiveState") == "active" and host.property("weir-agent", "MainPID") != before
    assert host.property("nginx", "MainPID") == nginx
    assert all("(deleted)" in line for line in library_of(host.root, nginx)) and library_of(host.root, nginx), "replaced, not written over"
    weirtest.until(lambda: any(app["processes"] for app in host.status()["apps"]), "the processes with the new agent")
    log = host.root.run("journalctl", "--quiet", "--unit", "weir-agent")
    assert "rules version" in log and "anew" not in log, "counters and rules outlive the agent: " + log
    host.limit(count=1000)  # and edits arrive
    weirtest.until(lambda: rows(load)[-1][1] == 0, "everything to pass", 20, 0.2)
    nothing_failed(load)
    host.limit(count=30)
    weirtest.until(lambda: rows(load)[-1][1] > 50, "the limit", 20, 0.2)
    return load


def removed(host, load):
    said = host.root.run("dpkg", "-r", "weir")
    assert "to protect it again: weir enable -a nginx nginx.service" in said, said
    assert host.root.run("systemctl", "is-active", "weir-agent", check=None).strip() in ("inactive", "unknown", "failed")
    assert not os.path.exists(host.root.at(DROP_IN)) and os.path.exists(host.root.at(RULES))
    assert not os.path.exists("/proc/%d/root/sys/fs/bpf/weir" % host.root.leader)
    more_rows(load, 2)
    nothing_failed(load)
    load.kill()
    host.root.run("systemctl", "restart", "nginx")
    host.answers(200)
    assert not library_of(host.root, host.property("nginx", "MainPID"))
    host.root.run("dpkg", "-P", "weir")
    assert not [path for path in ("/var/lib/weir", "/var/log/weir") if os.path.exists(host.root.at(path))]
    assert os.path.exists(host.root.at(RULES))


def by_hand(host):
    """`make install` and what follows it: the user is made, systemd knows the unit. `make uninstall` says what is still in use."""
    make("install", "DESTDIR=" + host.root.path)
    shutil.copy(os.path.join(weirtest.ROOT, "packaging", "on-this-host"), host.root.at("/srv/on-this-host"))
    here = make("-n", "install", "DESTDIR=")
    assert "packaging/on-this-host installed '/usr/lib/sysusers.d/weir.conf'" in here, here
    host.root.run("sed", "-i", "/^weir:/d", "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow")
    host.root.run("/srv/on-this-host", "installed", "/usr/lib/sysusers.d/weir.conf")
    host.root.run("systemctl", "enable", "--now", "weir-agent")
    assert host.property("weir-agent", "ActiveState") == "active", host.root.run("journalctl", "-u", "weir-agent", check=None)
    host.root.run("weir", "enable", "nginx")
    said = host.root.run("/srv/on-this-host", "uninstall", "/usr", check=1)
    assert "weir disable 'nginx.service'" in said and "systemctl disable --now weir-agent" in said, said
    host.root.run("weir", "disable", "nginx")
    host.root.run("systemctl", "disable", "--now", "weir-agent")
    host.root.run("weir-agent", "--uninstall")
    assert host.root.run("/srv/on-this-host", "uninstall", "/usr") == ""
    make("uninstall", "DESTDIR=" + host.root.path)
    left = host.root.run("find", "/etc", "/usr", "-name", "*weir*", "-not", "-path", "/etc/weir").split()
    assert not left, left


def with_systemd():
    package = Package.get()
    with weirtest.Sandbox() as box:
        root = a_root(box, package)
        try:
            host = Booted(box, root)
            installed(host)
            protects(host)
            removed(host, upgraded(host))
            by_hand(host)
        finally:
            root.stop()  # FINALLY


weirtest.main(what_it_holds, the_rpm_holds_the_same, without_an_init_system, with_systemd)
