"""A service manager's descriptor store: what an agent puts there with FDSTORE=1 comes back to the next one by LISTEN_FDS."""
import contextlib
import fcntl
import os
import socket
import threading

# LISTEN_PID has to be the agent's own pid, and its descriptors those from 3 on; descriptors that come from elsewhere are above 100.
START = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",")]
for at, fd in enumerate(fds):
    os.dup2(fd, 3 + at, True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class Store:
    def __init__(self, folder):
        self.path, self.kept, self.seen = os.path.join(folder, "notify.sock"), [], threading.Condition()
        self.syncs = self.met = 0
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o777)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                message, fds, _, _ = socket.recv_fds(self.sock, 4096, 16)
                with self.seen:
                    self._take(message.decode().split("\n"), fds)
                    self.seen.notify_all()

    def _take(self, lines, fds):
        name = next((line[7:] for line in lines if line.startswith("FDNAME=")), None)
        if "SYNC" in lines:
            self.met += 1
        if "FDSTOREREMOVE=1" in lines:
            for entry in [entry for entry in self.kept if entry[0] == name]:
                self.kept.remove(entry)
                os.close(entry[1])
        for fd in fds:
            if "FDSTORE=1" in lines and name:
                self.kept.append((name, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)))
            os.close(fd)

    def contents(self):
        """Names and descriptors, after all that was sent so far."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"SYNC", self.path)
        with self.seen:
            self.syncs += 1
            assert self.seen.wait_for(lambda: self.met >= self.syncs, 10), "the descriptor store hangs"
            return list(self.kept)

    def command(self, command):
        """The command as the manager starts it, and the descriptors to pass on."""
        kept = self.contents()
        if not kept:
            return command, []
        fds = [fd for _, fd in kept]
        return ["/usr/bin/python3", "-S", "-c", START, ",".join(map(str, fds)), ":".join(name for name, _ in kept)] + command, fds

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        for _, fd in self.kept:
            os.close(fd)
        self.kept = []
        self.sock.close()
