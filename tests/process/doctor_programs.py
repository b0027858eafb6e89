#!/usr/bin/python3
"""`weir doctor` names the right cause for real programs that a preload cannot reach, and says what to do."""
import os
import shutil
import subprocess

import weirtest
from harness.doctor import RULES, SERVER, expect, listen, server_below

IO_URING = os.path.join(weirtest.BUILD, "tests/servers/server_io_uring")
SOURCE = os.path.join(weirtest.ROOT, "tests/servers/server.c")
GO_SOURCE = """package main
import ("net"; "os")
func main() {
    listener, err := net.Listen("tcp", os.Args[1])
    if err != nil { panic(err) }
    for {
        peer, err := listener.Accept()
        if err != nil { return }
        peer.Close()
    }
}
"""


def compiled(box, name, *flags):
    weirtest.need("gcc")
    path = os.path.join(box.path, name)
    done = subprocess.run(["gcc", "-w", "-D_GNU_SOURCE", "-o", path, SOURCE, "-lpthread"] + list(flags), stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise weirtest.Skip("gcc cannot make it here: " + done.stderr[-200:])
    return path


def test_static():
    with weirtest.Sandbox() as box:
        program = compiled(box, "static_server", "-static")
        running = listen(box, [program, "poll", "PORT"], run=box.rules(RULES))
        expect(box, server_below(running), "static", "linked dynamically", '"match": {"comm": "static_server"}', "tcp::%d" % running.port)


def test_go():
    weirtest.need("go")
    with weirtest.Sandbox() as box:
        source = os.path.join(box.path, "main.go")
        with open(source, "w") as file:
            file.write(GO_SOURCE)
        env = box.environment(GOCACHE=os.path.join(box.path, "cache"), GO111MODULE="off", GOFLAGS="", HOME=box.path)
        kinds = {"static": ("0", []), "dynamic": ("1", ["-ldflags", "-s -w -buildid="])}  # with all that names it left out
        for kind, (libraries, flags) in kinds.items():
            path = os.path.join(box.path, "go_" + kind)
            subprocess.run(["go", "build"] + flags + ["-o", path, source], env=dict(env, CGO_ENABLED=libraries), check=True)
        rules = box.rules(RULES)
        for kind in kinds:  # the dynamic one has the shim in it, and goes past it
            running = listen(box, [os.path.join(box.path, "go_" + kind), "127.0.0.1:PORT"], run=rules)
            words = ["take libweir.so out"] if kind == "dynamic" else []
            expect(box, server_below(running), "go", "does not call libc", "tcp::%d" % running.port, *words)
            running.popen.terminate()
            running.wait()


def test_set_uid():
    with weirtest.Sandbox() as box:
        if os.geteuid() != 0:
            raise weirtest.Skip("only root can make a set-uid program of another user")
        program = os.path.join(box.path, "raised_server")
        shutil.copy(SERVER, program)
        os.chown(program, 65534, 65534)
        os.chmod(program, 0o4755)
        running = listen(box, [program, "poll", "PORT"], run=box.rules(RULES))
        expect(box, server_below(running), "set-uid", "AmbientCapabilities=")


def test_other_libc():
    """A program whose loader has musl's name: what tells it from a glibc program is that name."""
    with weirtest.Sandbox() as box:
        loader = os.path.join(box.path, "ld-musl-x86_64.so.1")
        os.symlink(os.path.realpath("/lib64/ld-linux-x86-64.so.2"), loader)
        if not os.path.exists(loader):
            raise weirtest.Skip("the loader of this machine is elsewhere")
        program = compiled(box, "musl_server", "-Wl,--dynamic-linker=" + loader)
        running = listen(box, [program, "poll", "PORT"], run=box.rules(RULES))
        expect(box, server_below(running), "other-libc", "glibc")


def test_other_width():
    with weirtest.Sandbox() as box:
        program = compiled(box, "narrow_server", "-m32")
        running = listen(box, [program, "poll", "PORT"], run=box.rules(RULES))
        expect(box, server_below(running), "other-width", "word size")


def test_io_uring():
    with weirtest.Sandbox() as box:
        running = listen(box, [IO_URING, "PORT"], run=box.rules(RULES))
        assert weirtest.ask(("127.0.0.1", running.port)).status == 200
        expect(box, server_below(running), "io_uring", "kernel.io_uring_disabled", "tcp::%d" % running.port)


weirtest.main(test_static, test_go, test_set_uid, test_other_libc, test_other_width, test_io_uring)
