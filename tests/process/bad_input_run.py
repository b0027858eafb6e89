#!/usr/bin/python3
"""`weir run` and the shim in wrong surroundings: a clear message, or a harmless pass-through. Command not found, no command, port in
use, static and 32-bit programs, set-uid, no agent, a run directory that is nonsense, an unwritable one."""
import os
import shutil
import subprocess

import weirtest


def commands():
    with weirtest.Sandbox() as box:
        rules = box.rules({})

        def run(*command, **more):
            program = box.weir_run("weir-run", rules, list(command), **more)
            return program.wait(), program.output()
        status, output = run("no-such-command-anywhere")
        assert status == 127 and "no-such-command-anywhere" in output and "not found" in output, (status, output)
        status, output = run(box.path)
        assert status == 126 and box.path in output, (status, output)
        status, output = run(rules.path)
        assert status == 126 and rules.path in output, (status, output)
        program = box.start("weir-run", [weirtest.WEIR, "run", "-r", rules.path])
        assert program.wait() == 2 and "command" in program.output(), program.output()
        status, output = run("/bin/true", options=["--no-such-option"])
        assert status == 2 and "no-such-option" in output, (status, output)
        status, output = run("/bin/true", app="a/b")
        assert status == 2 and "a/b" in output, (status, output)
        for wrong in (["chek", rules.path], ["--nonsense"], []):
            done = box.weir(*wrong)
            assert done.returncode == 2 and done.stderr, (wrong, done)
        assert "check" in box.weir("chek", rules.path).stderr, "no suggestion for a near miss"
        for command in ("run", "check", "status", "top", "off", "on", "explain"):
            assert "Usage" in box.weir(command, "--help", check=0).stdout, command


def port_in_use():
    """The server's own failure stays the server's own: its message, its exit status."""
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        server = box.serve("nginx", rules)
        code = "import socket; socket.create_server(('127.0.0.1', %d))" % server.port
        with weirtest.Sandbox() as other:
            program = other.weir_run("python", rules, ["/usr/bin/python3", "-c", code])
            assert program.wait() == 1 and "Address already in use" in program.output(), program.output()


def no_agent():
    """The shim alone: nothing to attach to, a run directory that does not exist, is a file, is full of nonsense."""
    with weirtest.Sandbox() as box:
        nonsense = os.path.join(box.path, "nonsense")
        os.mkdir(nonsense)
        for name in ("agent.sock", "control.sock", "t.rules", "t.counters"):
            with open(os.path.join(nonsense, name), "w") as file:
                file.write("nonsense " * 10000)
        loop = os.path.join(box.path, "loop")
        os.symlink(loop, loop)
        for run_dir in (box.run_dir, "/dev/null", nonsense, loop, "", "relative/dir", "/" + "x" * 5000):
            server = box.serve("nginx", preload=True, env={"WEIR_RUN_DIR": run_dir})
            assert weirtest.ask(server.address).body == b"small\n", run_dir
        for app in ("", "x" * 1000, "../../etc", "a\nb"):
            server = box.serve("asyncio", preload=True)
            assert weirtest.ask(server.address).body == b"small\n", app
        done = subprocess.run(["/bin/echo", "hello"], env=dict(box.environment(), LD_PRELOAD=weirtest.LIBWEIR),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert (done.stdout, done.stderr, done.returncode) == ("hello\n", "", 0), done
        for command in ("status", "top", "off"):
            done = box.weir(command, *(["t"] if command == "off" else ["--once"] if command == "top" else []))
            assert done.returncode == 69 and done.stderr, (command, done)


def silent_agent():
    """Something listens on the agent's socket and says nothing, or nonsense, or hangs up: the program starts and serves."""
    import socket
    import threading
    with weirtest.Sandbox() as box:
        os.mkdir(box.run_dir)
        os.chmod(box.run_dir, 0o755)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(os.path.join(box.run_dir, "agent.sock"))
        os.chmod(os.path.join(box.run_dir, "agent.sock"), 0o777)
        listener.listen(50)
        held, answers = [], [None, b"", b"x" * 80, b"\0" * 80, b"weir" + b"\xff" * 76, b"y" * 5000]

        def play():
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                answer = answers[len(held) % len(answers)]
                held.append(peer)
                try:
                    if answer:
                        peer.recv(1000)
                        peer.send(answer)
                    elif answer is not None:
                        peer.close()
                except OSError:
                    pass
        threading.Thread(target=play, daemon=True).start()
        for _ in answers:
            server = box.serve("threading", preload=True)
            for _ in range(3):
                assert weirtest.ask(server.address).body == b"small\n"
        assert held, "nobody asked this agent"
        listener.close()


STATIC = "int main(void){return 42;}"


def static_program():
    """A static program runs unprotected, and weir run says so."""
    weirtest.need("gcc")
    with weirtest.Sandbox() as box:
        source, program = os.path.join(box.path, "s.c"), os.path.join(box.path, "s")
        with open(source, "w") as file:
            file.write(STATIC)
        subprocess.run(["gcc", "-static", "-o", program, source], check=True)
        run = box.weir_run("static", box.rules({}), [program])
        assert run.wait() == 42
        assert "static" in run.output().lower(), "no word of it:\n" + run.output()


def program_of_32_bits():
    """The loader of a 32-bit program cannot use a 64-bit library: it says so and goes on."""
    weirtest.need("gcc")
    with weirtest.Sandbox() as box:
        source, program = os.path.join(box.path, "s.c"), os.path.join(box.path, "s32")
        with open(source, "w") as file:
            file.write(STATIC)
        done = subprocess.run(["gcc", "-m32", "-o", program, source], stderr=subprocess.PIPE, text=True)
        if done.returncode == 0 and os.path.exists("/lib/ld-linux.so.2"):
            run = box.weir_run("32-bit", box.rules({}), [program])
            assert run.wait() == 42, run.output()
            assert "32" in run.output(), "no word of it:\n" + run.output()
            return
        with open(source, "w") as file:  # without a 32-bit libc at least a program that needs none
            file.write('void _start(void){__asm__("mov $1,%eax; mov $42,%ebx; int $0x80");}')
        done = subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-o", program, source], stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise weirtest.Skip("gcc -m32 cannot link here (no gcc-multilib): " + done.stderr.strip().splitlines()[-1])
        try:
            subprocess.run([program])
        except OSError as error:
            raise weirtest.Skip("this kernel runs no 32-bit programs: %s" % error)
        run = box.weir_run("32-bit", box.rules({}), [program])
        assert run.wait() == 42, run.output()
        raise weirtest.Skip("only a static 32-bit program was tried: no 32-bit libc here (libc6-i386)")


def set_uid():
    """A set-uid program ignores the preload and its environment; it runs as ever."""
    if os.getuid() != 0:
        raise weirtest.Skip("needs root to make a set-uid program")
    weirtest.need("setpriv")
    with weirtest.Sandbox() as box:
        program = os.path.join(box.path, "id")
        shutil.copy("/usr/bin/id", program)
        os.chmod(program, 0o4755)
        environment = box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP="t")
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "-u"],
                              env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0 and done.stdout.strip() in ("0", "65534"), done


weirtest.main(commands, port_in_use, no_agent, silent_agent, static_program, program_of_32_bits, set_uid)
