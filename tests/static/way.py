#!/usr/bin/python3
# timeout: 900
"""The way of one request can be read: functions and files of libweir.so that a warm GET visits, counted at -O0.

The server keeps the connection, a rule is in force for the request, and its target was never seen before. Counted is what
the application's read and its write come to; static inline functions count, and headers that hold them count as files.
More than FUNCTIONS_MAX or FILES_MAX, or more than ARCHITECTURE.md says, is a failure.
--list shows them; -o FOLDER builds there (default: build/way).

The compiler itself notes each function that is entered (way.c); valgrind would do, but for a call that it does not know:
the shim maps more of a shared file by mremap() from a size of 0."""
import argparse
import collections
import fcntl
import functools
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "process"))
import weirtest  # noqa: E402

FUNCTIONS_MAX, FILES_MAX = 100, 20
WARM = 20     # requests before those that are counted
MEASURED = 4  # of these the shortest way counts: now and then one also does what is due once a second
CALLS = ("read", "write")  # of the application, for a request
PAGE = os.path.join(ROOT, "ARCHITECTURE.md")
FIGURE = re.compile(r"(\d+) functions in (\d+) files")


def build(folder):
    """Two tests may want it at a time."""
    os.makedirs(folder, exist_ok=True)
    counter, library = os.path.join(folder, "way.o"), os.path.join(folder, "libweir.so")
    flags = ["O=" + folder, "CFLAGS=-O0 -g -finstrument-functions", "LDFLAGS=" + counter]
    server = os.path.join(weirtest.BUILD, "tests/servers/server")
    with open(os.path.join(folder, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["gcc", "-O2", "-fPIC", "-c", "-o", counter, os.path.join(ROOT, "tests/static/way.c")],
                        ["make", "-s", "-C", ROOT, *flags, library], ["make", "-s", "-C", ROOT, "O=" + weirtest.BUILD, server]):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return library


class Call:
    """One call of the application: what it visits, as (depth, offset) in order."""

    def __init__(self, line):
        self.visits = [tuple(int(part, 16) for part in visit.split(":")) for visit in line.split()]


def requests(library):
    """The calls of some requests; those before them have warmed everything up."""
    rules = {"flow": [{"id": "way", "resource": "GET:/way/{id}", "count": WARM + MEASURED, "intervalSec": 3600}]}
    address = ("127.0.0.1", weirtest.free_port())
    with weirtest.Sandbox() as box:
        box.agent(box.rules(rules))
        out = os.path.join(box.path, "way")
        open(out, "w").close()
        environment = box.environment(LD_PRELOAD=library, WEIR_APP=box.app, WAY_OUT=out)
        box.start("server", [os.path.join(weirtest.BUILD, "tests/servers/server"), "epoll", str(address[1])], environment)
        weirtest.until(lambda: weirtest.listening(address), "the server", 60)
        weirtest.until(lambda: box.app_status()["processes"], "the server to be attached")

        def lines():
            with open(out) as file:
                return file.read().splitlines()

        def ask(number):
            """When the response is here, the server's write need not have returned yet."""
            connection.send(b"GET /way/%d HTTP/1.1\r\nHost: weir.test\r\nAccept: */*\r\n\r\n" % number)
            statuses.append(connection.response().status)
            weirtest.until(lambda: sum(line.startswith(end) for line in lines()) == len(statuses), "the end of the write")
            return len(lines())
        statuses, end = [], "0:%x " % offset_of("write", library)
        with weirtest.Connection(address, timeout=60) as connection:
            warm = [ask(number) for number in range(WARM)]
            marks = warm[-1:] + [ask(4711 + number) for number in range(MEASURED)]
            connection.send(b"GET /way/0 HTTP/1.1\r\nHost: weir.test\r\n\r\n")
            statuses.append(connection.response().status)
            assert statuses == [200] * (WARM + MEASURED) + [429], "the rule was not in force: %s" % statuses
        return [[Call(line) for line in lines()[begin:end]] for begin, end in zip(marks, marks[1:])]


def offset_of(function, library):
    symbols = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    return int(re.search(r"^(\w+) . %s(@|$)" % function, symbols, re.M).group(1), 16)


def place(file, name):
    """Where the function is written: what is inline stands in a header, whatever the table of lines says."""
    defined = re.compile(r"^[a-z][\w *]*\b%s\(" % re.escape(name), re.M)
    headers = glob.glob(os.path.join(ROOT, "rules", "**", "*.h"), recursive=True)
    headers += glob.glob(os.path.join(ROOT, "shim", "**", "*.h"), recursive=True)
    for path in [os.path.join(ROOT, file)] + sorted(headers):
        if os.path.exists(path) and defined.search(read(path)):
            return os.path.relpath(path, ROOT), name
    for path in headers:  # made by a macro: of the header that it is called after
        if name.startswith(os.path.basename(path)[:-2] + "_"):
            return os.path.relpath(path, ROOT), name
    return file, name


@functools.lru_cache(maxsize=None)
def read(path):
    with open(path) as file:
        return file.read()


def names(library, offsets):
    """{offset: (file, function)}"""
    ordered = sorted(offsets)
    text = subprocess.run(["addr2line", "-f", "-e", library], input="".join("%x\n" % offset for offset in ordered), check=True,
                          capture_output=True, text=True).stdout.splitlines()
    return {offset: place(os.path.relpath(text[2 * i + 1].rpartition(":")[0], ROOT), text[2 * i])
            for i, offset in enumerate(ordered)}


class Way:
    """Functions that the calls of one request visit, and how often the file changes on the way."""

    def __init__(self, calls, named):
        self.functions, self.changes = set(), 0
        for call in calls:
            places = [(depth, named[offset]) for depth, offset in call.visits]
            if not places or places[0][1][1] not in CALLS:
                continue
            above = {}
            for depth, function in places:
                self.functions.add(function)
                self.changes += depth > 0 and above[depth - 1][0] != function[0]
                above[depth] = function

    def files(self):
        found = collections.defaultdict(list)
        for file, name in sorted(self.functions):
            found[file].append(name)
        return found


def stated(path):
    found = FIGURE.search(read(path))
    assert found, "ARCHITECTURE.md does not say how many functions in how many files"
    return tuple(map(int, found.groups()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--page", default=PAGE)
    parser.add_argument("-o", default=os.path.join(weirtest.BUILD, "way"))
    options = parser.parse_args()
    weirtest.need("addr2line")
    library = build(os.path.abspath(options.o))
    counted = requests(library)
    named = names(library, {offset for calls in counted for call in calls for _, offset in call.visits})
    way = min((Way(calls, named) for calls in counted), key=lambda way: len(way.functions))
    files = way.files()
    if options.list:
        for file, found in files.items():
            print("%-40s %3d  %s" % (file, len(found), " ".join(found)))
    print("result: %d functions in %d files, %d calls from one file to another" % (len(way.functions), len(files), way.changes))
    assert way.functions, "nothing was counted"
    count = len(way.functions), len(files)
    limits, said = (FUNCTIONS_MAX, FILES_MAX), stated(options.page)
    assert all(is_ <= most for is_, most in zip(count, limits)), "%d in %d is more than %d in %d" % (count + limits)
    assert all(is_ <= was for is_, was in zip(count, said)), "%d in %d is more than ARCHITECTURE.md says: %d in %d" % (count + said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
