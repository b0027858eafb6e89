"""What the tests know about a kind of server, and the files that all of them serve.

All of them serve /small, /blocked, /other, /index.html. What more each one can do is in its description: `big` (/big, 3 MB),
`echo` (a POST or PUT comes back), `chunked` (a chunked response), `slow` (/slow?ms=N, and /held?NAME: until the file release.NAME is
in its folder), `upgrade`.
`keeps_alive_when_blocked`: the descriptors are non-blocking, so a rejection leaves the connection open. `half_close`:
answers a client that has ended its side (node does not). `pipelines`: takes a request that comes behind another one;
`behind_bodies`: behind one with a body, too. `lanes`: so many connections it serves at a time.
`http09`: takes a request line without a version for a whole request. `split_line`: takes a request line that comes in pieces.
`gives_up`: takes EAGAIN after a readiness report for the end of the connection, so that a request which would have to wait may be
rejected there. `origin`: the kind of server that it hands requests on to. `log`: how a test comes to know what it took for a
request."""
import os

from harness import reach

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = reach.for_all([os.path.join(os.path.dirname(HERE), "programs")])[0]
PYTHON = "/usr/bin/python3"
BIG = bytes(range(256)) * (3 * 4096)  # 3 MiB
BLOCKING = dict(keeps_alive_when_blocked=False)


class Kind:
    def __init__(self, command, programs, echo=None, chunked=False, slow=False, upgrade=False,
                 keeps_alive_when_blocked=True, keeps_alive=True, continues=True, half_close=True,
                 pipelines=True, lanes=40, http09=False, gives_up=False, origin=None, log="environment",
                 split_line=True, behind_bodies=True, big=False):
        self.command, self.programs, self.echo = command, programs, echo
        self.chunked, self.slow, self.upgrade = chunked, slow, upgrade
        self.keeps_alive_when_blocked, self.keeps_alive = keeps_alive_when_blocked, keeps_alive
        self.continues, self.half_close = continues, half_close
        self.pipelines, self.lanes, self.http09, self.gives_up = pipelines, lanes, http09, gives_up
        self.origin, self.log, self.split_line = origin, log, split_line
        self.behind_bodies, self.big = behind_bodies, big


def write(path, content):
    with open(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def files(folder, big=True):
    root = os.path.join(folder, "root")
    os.makedirs(root)
    os.chmod(root, 0o777)
    for name in ("small", "blocked", "other", "index.html"):
        write(os.path.join(root, name), name + "\n")
    if big:
        write(os.path.join(root, "big"), BIG)
    return root


def listen_text(address):
    if isinstance(address, str):
        return "unix:" + address
    return "[%s]:%d" % address if ":" in address[0] else "%s:%d" % address


def program(interpreter, file, *arguments):
    def command(folder, address, **options):
        host, port = (address, 0) if isinstance(address, str) else address
        more = [str(value) for value in options.values()]
        return interpreter + [os.path.join(PROGRAMS, file), files(folder), host, str(port)] + list(arguments) + more
    return command
