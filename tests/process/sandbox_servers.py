#!/usr/bin/python3
"""Programs that put a seccomp filter or a limit of address space on themselves work as without weir, under HTTP rules and under
rules about connections, and these hold: sshd and vsftpd (memcached -k: memory_address_space.py)."""
import ftplib
import os
import pwd
import subprocess

import weirtest



def rules(port, count):
    return {"flow": [{"resource": "GET:/x", "count": 1}, {"resource": "tcp::%d" % port, "count": count, "per": "hour"}]}


def as_root():
    if os.geteuid() != 0:
        raise weirtest.Skip("not root")


def started(box, name, command, port, content=None):
    program = box.weir_run(name, box.rules(content), command) if content else box.start(name, command)
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not program.running(), name + " to listen")
    assert program.running(), program.output()
    return program


# -------------------------------------------------------------------------------------------------------------- sshd

def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def sshd_command(box, port):
    host, key = os.path.join(box.path, "host"), os.path.join(box.path, "key")
    for path in (host, key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    os.makedirs("/run/sshd", exist_ok=True)
    configuration = write(os.path.join(box.path, "sshd_config"), "\n".join((
        "Port %d" % port, "ListenAddress 127.0.0.1", "HostKey " + host, "PidFile none", "AuthorizedKeysFile %s.pub" % key,
        "StrictModes no", "PermitRootLogin yes", "UsePAM no", "")))
    client = ["ssh", "-i", key, "-F", "none", "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
              "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "root@127.0.0.1"]
    return ["/usr/sbin/sshd", "-D", "-e", "-f", configuration], client


def sshd():
    """Each login has a process that lists, for the kernel, what it calls; the third is one too many for the rule."""
    as_root()
    weirtest.need("/usr/sbin/sshd", "ssh", "ssh-keygen")
    with weirtest.Sandbox() as box:
        port = weirtest.free_port()
        command, client = sshd_command(box, port)
        server = started(box, "sshd", command, port, rules(port, 3))
        results = [subprocess.run(client + ["echo", "hello"], capture_output=True, text=True, timeout=60) for _ in range(4)]
        assert [done.stdout for done in results] == ["hello\n"] * 3 + [""], (results, server.output())
        assert "signal" not in server.output(), server.output()
        assert box.resource("tcp::%d" % port, now=True)["total_block"] == 1


# ------------------------------------------------------------------------------------------------------------ vsftpd

def vsftpd_command(box, port, sandbox):
    root, empty = os.path.join(box.path, "ftp"), os.path.join(box.path, "empty")
    for folder in (root, empty):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o555)
    write(os.path.join(root, "file"), "hello\n")
    return ["/usr/sbin/vsftpd", write(os.path.join(box.path, "vsftpd.conf"), "\n".join((
        "listen=YES", "listen_address=127.0.0.1", "listen_port=%d" % port, "background=NO", "anonymous_enable=YES", "no_anon_password=YES",
        "anon_root=" + root, "ftp_username=ftp", "secure_chroot_dir=" + empty, "pasv_address=127.0.0.1",
        "seccomp_sandbox=" + sandbox, "")))]


def ftp_session(port):
    """What a client sees, step by step; a filter of vsftpd's that does not fit the C library may end the session: so it is bare, too."""
    seen, client = [], ftplib.FTP()

    def step(call):
        try:
            seen.append(call())
        except (EOFError, ConnectionError, AttributeError):  # (the last: never connected)
            seen.append("ended")
        except (ftplib.Error, OSError) as error:
            seen.append(type(error).__name__)

    for call in (lambda: client.connect("127.0.0.1", port, timeout=20), client.login, client.pwd, lambda: client.size("file"),
                 client.nlst, lambda: client.retrlines("RETR file", seen.append)):
        step(call)
    client.close()
    return seen


def vsftpd():
    as_root()
    weirtest.need("/usr/sbin/vsftpd")
    pwd.getpwnam("ftp")  # the package makes it
    for sandbox in ("YES", "NO"):
        with weirtest.Sandbox() as box:
            os.chmod(box.path, 0o755)
            port = weirtest.free_port()
            bare = started(box, "vsftpd", vsftpd_command(box, port, sandbox), port)
            expected = ftp_session(port)
            assert len(expected) >= 6 and "230" in expected[1], expected
            bare.kill()
            port = weirtest.free_port()
            server = started(box, "vsftpd-weir", vsftpd_command(box, port, sandbox), port, rules(port, 2))
            assert ftp_session(port) == expected, (expected, server.output())
            assert ftp_session(port) == expected, (expected, server.output())
            assert ftp_session(port)[0] == "ended", server.output()


if __name__ == "__main__":
    weirtest.main(sshd, vsftpd)
