#!/usr/bin/python3
"""Other preloads, sanitizers, and programs that a preload does not reach: each works as it does without the shim."""
import glob
import os
import pwd
import shutil
import subprocess

import weirtest

RULES = {"flow": [{"resource": "GET:/hello", "count": 1000000}]}
SNIPPETS = ("errno", "copies", "fork", "leave", "early")


def snippet(name):
    return os.path.join(weirtest.BUILD, "tests", "servers", "snippet_" + name)


def run(box, command, wrong=(), **environment):
    done = subprocess.run(command, env=box.environment(WEIR_APP=box.app, **environment), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, cwd=box.path)
    assert done.returncode == 0, "%s: status %d\n%s" % (command, done.returncode, done.stdout)
    for text in wrong:
        assert text not in done.stdout, done.stdout
    return done.stdout


def build(box, name, *options, source=None):
    program = os.path.join(box.path, "program" + str(len(os.listdir(box.path))))
    done = subprocess.run(["cc", "-D_GNU_SOURCE", "-I", weirtest.ROOT, "-o", program, *options,
                           source or os.path.join(weirtest.ROOT, "tests", "servers", name + ".c"), "-lpthread"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return program if done.returncode == 0 else None


def jemalloc():
    found = glob.glob("/usr/lib/*/libjemalloc.so.2")
    if not found:
        raise weirtest.Skip("libjemalloc2 is not installed")
    with weirtest.Sandbox() as box:
        box.agent(box.rules(RULES))
        for order in ((found[0], weirtest.LIBWEIR), (weirtest.LIBWEIR, found[0])):
            for name in SNIPPETS:
                run(box, [snippet(name)], LD_PRELOAD=":".join(order))
            script = "import socket, subprocess; subprocess.run(['true'], check=True); print('fine')"
            out = run(box, ["/usr/bin/python3", "-c", script],
                      LD_PRELOAD=":".join(order))
            assert out == "fine\n", out


def address_sanitizer():
    """Its runtime insists on being the first, and says so where it is not: then it is put there."""
    weirtest.need("cc")
    with weirtest.Sandbox() as box:
        program = build(box, "snippet_copies", "-g", "-fsanitize=address")
        if not program:
            raise weirtest.Skip("no address sanitizer here")
        found = subprocess.run(["cc", "-print-file-name=libasan.so"], text=True, stdout=subprocess.PIPE).stdout
        runtime = os.path.realpath(found.strip())
        if not runtime.startswith("/") or os.path.getsize(runtime) < 10000:
            raise weirtest.Skip("libasan is not found")
        box.agent(box.rules(RULES))
        for name in ("copies", "fork", "rights"):
            program = build(box, "snippet_" + name, "-g", "-fsanitize=address")
            run(box, [program], wrong=("AddressSanitizer",), LD_PRELOAD=runtime + ":" + weirtest.LIBWEIR,
                ASAN_OPTIONS="detect_leaks=0")


def static_program():
    """No loader, no preload: untouched."""
    weirtest.need("cc")
    with weirtest.Sandbox() as box:
        program = build(box, "snippet_errno", "-static")
        if not program:
            raise weirtest.Skip("no static libc here")
        run(box, [program], LD_PRELOAD=weirtest.LIBWEIR)


HELLO32 = """
void _start(void) {
    static const char text[] = "hello\\n";
    __asm__ volatile("int $0x80" : : "a"(4), "b"(1), "c"(text), "d"(6) : "memory");
    __asm__ volatile("int $0x80" : : "a"(1), "b"(0));
    __builtin_unreachable();
}
"""


def program_of_32_bits():
    """The loader of 32-bit programs leaves a 64-bit library out, with a line of its own; nothing else happens."""
    loader = glob.glob("/lib/ld-linux.so.2") + glob.glob("/lib*/i386-linux-gnu/ld-linux.so.2")
    if not loader:
        raise weirtest.Skip("no loader for 32-bit programs here (libc6-i386)")
    with weirtest.Sandbox() as box:
        source = os.path.join(box.path, "hello32.c")
        with open(source, "w") as file:
            file.write(HELLO32)
        program = build(box, None, "-m32", "-nostdlib", "-fpie", "-pie", "-Wl,--dynamic-linker=" + loader[0], source=source)
        if not program:
            raise weirtest.Skip("this compiler makes no 32-bit programs")
        output = run(box, [program], LD_PRELOAD=weirtest.LIBWEIR)
        assert output.endswith("hello\n") and "ignored" in output, output


def set_user_id():
    """The loader of a set-uid program ignores a preload by path."""
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to make a set-uid program")
    nobody = pwd.getpwnam("nobody")
    with weirtest.Sandbox() as box:
        box.agent(box.rules(RULES))
        program = shutil.copy(snippet("errno"), os.path.join(box.path, "set-uid"))
        os.chmod(program, 0o4755)
        done = subprocess.run([program], env=box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app),
                              user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0 and done.stdout == "", done
        assert not box.app_status()["processes"], "a set-uid program attached"


def given_up_rights():
    """A server that becomes another user after it has attached goes on under its rules."""
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to give it up")
    weirtest.need("nginx")
    with weirtest.Sandbox() as box:
        server = box.serve("nginx", box.rules({"flow": [{"resource": "GET:/blocked", "count": 0}]}), workers=2)
        workers = {os.stat("/proc/%d" % pid).st_uid for pid in server.workers()}
        assert 0 not in workers or os.stat("/proc/%d" % server.workers()[0]).st_uid == 0, workers
        assert weirtest.ask(server.address, target="/blocked").status == 429
        assert weirtest.ask(server.address, target="/small").status == 200


if __name__ == "__main__":
    weirtest.main(jemalloc, address_sanitizer, static_program, program_of_32_bits, set_user_id, given_up_rights)
