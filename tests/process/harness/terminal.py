"""A terminal with a program in it, as a person has it: a session and a process group of its own, keys, sizes."""
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time


class Terminal:
    def __init__(self, command, env, rows=24, columns=80):
        self.seen, self.at, self.status = b"", 0, None  # at: up to there of text() was waited for
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # not as Python has it
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))  # before the program looks
                os.execvpe(command[0], command, env)
            finally:
                os._exit(99)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if kind:
            print("--- the terminal:\n%s" % self.seen.decode(errors="replace")[-4000:], file=sys.stderr)
        if self.status is None:
            for number in (signal.SIGCONT, signal.SIGKILL):
                try:
                    os.killpg(self.pid, number)
                except OSError:
                    pass
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def read(self, seconds):
        """What comes within that time, at most one piece; False at the end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self.fd, 65536)
        except OSError as problem:
            if problem.errno == errno.EIO:  # nobody has the other end open any more
                return False
            raise
        self.seen += piece
        return bool(piece)

    def text(self):
        return re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", self.seen.decode(errors="replace")).replace("\r", "")

    def wait_for(self, text, seconds=40.0):
        """Until it is shown, after what was waited for before."""
        end = time.monotonic() + seconds
        while self.text().find(text, self.at) < 0:
            alive = self.read(0.1)
            if time.monotonic() > end or (not alive and self.text().find(text, self.at) < 0):
                raise AssertionError("the terminal does not show %r after %r" % (text, self.text()[:self.at][-200:]))
        self.at = self.text().find(text, self.at) + len(text)

    def wait_silent(self, seconds):
        """Takes in what comes until nothing does for so long."""
        before = None
        while before != len(self.seen):
            before = len(self.seen)
            if not self.read(seconds):
                return

    def wait(self, seconds=20.0):
        """The end of the program, as a shell shows it: 0 … 255."""
        end = time.monotonic() + seconds
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise AssertionError("the program in the terminal does not end")
            else:
                self.read(0.05)
        while self.read(0.05) and select.select([self.fd], [], [], 0)[0]:
            pass
        return self.status
