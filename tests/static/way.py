#!/usr/bin/python3
# timeout: 900
"""The way of one request can be read: functions and files of libweir.so that a warm GET visits, counted at -O0 by callgrind.

The server keeps the connection, a rule is in force for the request, and its target was never seen before. Counted is what
runs between the application's read and its write; static inline functions count, and headers that hold them count as files.
More than FUNCTIONS_MAX or FILES_MAX, or more than ARCHITECTURE.md says, is a failure.
--list shows them; -o FOLDER builds there (default: build/way)."""
import argparse
import collections
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "process"))
import weirtest  # noqa: E402

FUNCTIONS_MAX, FILES_MAX = 100, 20
WARM = 20      # requests before those that are counted
MEASURED = 4  # of these the shortest way counts: now and then one also does what is due once a second
ROOTS = ("read", "write")  # the calls of the application that a request begins and ends with
PAGE = os.path.join(ROOT, "ARCHITECTURE.md")
FIGURE = re.compile(r"(\d+) functions in (\d+) files")


def build(folder):
    # valgrind takes one file for another in DWARF 5.
    command = ["make", "-s", "-C", ROOT, "O=" + folder, "CFLAGS=-O0 -gdwarf-4"]
    subprocess.run(command + [folder + "/libweir.so", folder + "/tests/servers/server"], check=True, stdout=subprocess.DEVNULL)


def control(option, pid):
    subprocess.run(["callgrind_control", option, str(pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def profiles(folder):
    """What callgrind has of some requests, each on its own; those before them have warmed everything up."""
    rules = {"flow": [{"id": "way", "resource": "GET:/way/{id}", "count": WARM + MEASURED, "intervalSec": 3600}]}
    address = ("127.0.0.1", weirtest.free_port())
    dumps, files = [], places(os.path.join(folder, "libweir.so"))
    with weirtest.Sandbox() as box:
        box.agent(box.rules(rules))
        out = os.path.join(box.path, "callgrind")
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, os.path.join(folder, "tests/servers/server")]
        environment = box.environment(LD_PRELOAD=os.path.join(folder, "libweir.so"), WEIR_APP=box.app)
        server = box.start("server", command + ["epoll", str(address[1])], environment)
        weirtest.until(lambda: weirtest.listening(address), "the server", 60)
        with weirtest.Connection(address, timeout=60) as connection:
            def ask(number):
                connection.send(b"GET /way/%d HTTP/1.1\r\nHost: weir.test\r\nAccept: */*\r\n\r\n" % number)
                return connection.response().status
            statuses = [ask(number) for number in range(WARM)]
            for number in range(MEASURED):
                control("-z", server.pid)
                statuses.append(ask(4711 + number))
                control("-d", server.pid)
                with open("%s.%d" % (out, number + 1)) as file:
                    dumps.append(Dump(file.read(), files))
            assert statuses == [200] * (WARM + MEASURED) and ask(0) == 429, "the rule was not in force"
    return dumps


def places(library):
    """In which files functions of that name stand. (callgrind takes the file of what lies before a function now and then.)"""
    found = collections.defaultdict(set)
    for line in subprocess.run(["nm", "-l", library], check=True, capture_output=True, text=True).stdout.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[1] in "tT":
            found[fields[2]].add(os.path.relpath(fields[3].rpartition(":")[0], ROOT))
    return found


class Dump:
    """Functions of libweir.so by callgrind's dump, each a (file, name), and who calls whom, how often."""

    def __init__(self, text, files):
        self.files, self.names, self.places, self.calls = files, {}, {}, collections.defaultdict(collections.Counter)
        here, callee = {}, None
        for line in text.splitlines():
            found = re.match(r"(c?)(ob|fl|fi|fe|fn)=\((\d+)\)(?: (.*))?$", line)
            if found:
                called, kind, number, text = found.groups()
                kind = "fl" if kind in ("fi", "fe") else kind  # the file changes within a function
                if text:
                    self.names[kind, number] = text
                if not called:
                    here[kind] = number
                if kind == "fn" and called:
                    callee = number
                elif kind == "fn":
                    self.places.setdefault(number, (here["ob"], here["fl"]))
            elif line.startswith("calls="):
                self.calls[here["fn"]][callee] += int(line[6:].split()[0])
        self.calls = self.named()

    def named(self):
        calls = collections.defaultdict(collections.Counter)
        for caller, counts in self.calls.items():
            for callee, count in counts.items():
                calls[self.function(caller)][self.function(callee)] += count
        return calls

    def function(self, number):
        """None: not libweir.so's."""
        ob, fl = self.places.get(number, ("", ""))
        if not self.names.get(("ob", ob), "").endswith("/libweir.so"):
            return None
        name = re.sub(r"'\d+$", "", self.names["fn", number])
        file = os.path.relpath(os.path.join(ROOT, self.names["fl", fl]), ROOT)
        known = self.files.get(name) or {file}
        return file if file in known else min(known), name

    def visited(self):
        """All that the application's calls came to."""
        look = [callee for callee in self.calls[None] if callee and callee[1] in ROOTS]
        found = set()
        while look:
            function = look.pop()
            if function not in found:
                found.add(function)
                look += [callee for callee in self.calls[function] if callee]
        return found

    def changes(self, functions):
        """How often a call goes to another file."""
        return sum(count for caller in functions for callee, count in self.calls[caller].items()
                   if callee in functions and caller[0] != callee[0])


def stated():
    with open(PAGE) as page:
        found = FIGURE.search(page.read())
    return tuple(map(int, found.groups())) if found else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-o", default=os.path.join(weirtest.BUILD, "way"))
    options = parser.parse_args()
    weirtest.need("valgrind", "callgrind_control")
    build(os.path.abspath(options.o))
    dump = min(profiles(os.path.abspath(options.o)), key=lambda dump: len(dump.visited()))
    functions = dump.visited()
    files = collections.defaultdict(list)
    for file, name in functions:
        files[file].append(name)
    if options.list:
        for file in sorted(files):
            print("%-40s %3d  %s" % (file, len(files[file]), " ".join(sorted(files[file]))))
    print("result: %d functions in %d files, %d calls from one file to another" %
          (len(functions), len(files), dump.changes(functions)))
    assert functions, "nothing was counted"
    return 0


if __name__ == "__main__":
    sys.exit(main())
