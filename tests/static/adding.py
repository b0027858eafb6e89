#!/usr/bin/python3
# timeout: 900
"""CONTRIBUTING's table 'Adding things' is true: in a copy of the tree one of each is added by its steps and no more; it is
compiled, linked and used, and the structure still holds."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from structure_planted import BUILD, ROOT, Copy  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tests", "process"))
import weirtest  # noqa: E402

FLAGS = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wvla",
         "-fno-strict-aliasing", "-fPIC", "-I.", "-D_GNU_SOURCE", '-DWEIR_VERSION="x"']


def libraries(package):
    return subprocess.run(["pkg-config", "--libs", *package.split()], check=True, capture_output=True, text=True).stdout.split()


class Place(Copy):
    """The tree that something is added to; what is added stands in tests/static/adding."""

    def add(self, file, name):
        os.makedirs(os.path.dirname(os.path.join(self.path, name)), exist_ok=True)
        self.write(name, self.read("tests/static/adding/" + file))

    def line(self, name, after, line):
        """One line more, behind the one that it is like."""
        text = self.read(name)
        assert text.count(after) == 1, "%s: %d times '%s'" % (name, text.count(after), after)
        self.write(name, text.replace(after, after + line))

    def compile(self, *names):
        objects = []
        for name in names:
            objects.append(os.path.join(self.path, name.replace("/", "_") + ".o"))
            subprocess.run(["gcc", *FLAGS, "-c", "-o", objects[-1], name], cwd=self.path, check=True)
        return objects

    def link(self, objects, archives, more=()):
        program = os.path.join(self.path, "added")
        subprocess.run(["gcc", "-o", program, *objects, *[os.path.join(BUILD, name) for name in archives],
                        *libraries("libcjson libpcre2-8"), "-lm", "-lpthread", *more], check=True)
        return program

    def says(self, program):
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout

    def holds(self):
        result = self.structure()
        assert result.returncode == 0, result.stdout + result.stderr


def protocol():
    """A folder with its table, its part in structure.table and on the page, a fuzzer, a line in the list."""
    with Place() as place:
        place.add("protocol.c", "shim/protocol/line/line.c")
        place.add("protocol_fuzz.c", "tests/fuzz/line_fuzz.c")
        place.line("shim/protocol/list.h", "X(http1)", " X(line)")
        table, page = "tests/static/structure.table", "ARCHITECTURE.md"
        before = next(line for line in place.read(table).splitlines() if line.startswith("shim/channel/channel.h ;"))
        place.write(table, place.read(table).replace(before, "shim/protocol/line/ ; shim/protocol/line/*.[ch] ; * ; rules/naming/ "
                                                     "shim/protocol/ ; lines\n" + before))
        row = next(line for line in place.read(page).splitlines() if line.startswith("| `shim/protocol/http1/` |"))
        place.line(page, row, "\n| `shim/protocol/line/` | lines | `rules/naming/`, `shim/protocol/` |")
        place.holds()
        objects = place.compile("shim/protocol/line/line.c", "shim/protocol/list.c", "tests/static/adding/protocol_main.c")
        said = place.says(place.link(objects, ["libstreams.a", "librules.a"]))
        assert said == "line:SAY flow\n", said
        subprocess.run(["clang", *FLAGS, "-fsanitize=fuzzer,address", "-o", os.path.join(place.path, "fuzzer"),
                        "tests/fuzz/line_fuzz.c", "shim/protocol/line/line.c", "shim/protocol/refusal.c"],
                       cwd=place.path, check=True)
        subprocess.run([os.path.join(place.path, "fuzzer"), "-runs=1000"], check=True, capture_output=True)


def limiter():
    """A file, and a line in the list."""
    with Place() as place:
        place.add("limiter.c", "rules/engine/limiters/other.c")
        last = re.findall(r"X\([A-Z_]+, \w+\)", place.read("rules/engine/limiters/list.h"))[-1]
        place.line("rules/engine/limiters/list.h", last, " X(OTHER, other)")
        place.holds()
        objects = place.compile("rules/engine/limiters/other.c", "rules/engine/limiters/limiters.c",
                                "tests/static/adding/limiter_main.c")
        said = place.says(place.link(objects, ["librules.a"]))
        assert said.startswith("1: "), said


def channel():
    """A file with its table of operations, and what it is called by."""
    with Place() as place:
        place.add("channel.c", "shim/channel/memory.c")
        place.add("channel.h", "shim/channel/memory.h")
        place.holds()
        objects = place.compile("shim/channel/memory.c", "tests/static/adding/channel_main.c")
        said = place.says(place.link(objects, ["libstreams.a", "librules.a"]))
        assert said == "/a 28\n", said


def subscriber():
    """A file, and a line in the agent's table of subscribers."""
    with Place() as place:
        place.add("subscriber.c", "agent/metrics/seen.c")
        place.add("subscriber.h", "agent/metrics/seen.h")
        place.line("agent/agent.c", '    {"log", event_log_take, offsetof(struct agent, event_log)},',
                   '\n    {"seen", seen_take, offsetof(struct agent, log)},')
        place.include("agent/agent.c", "agent/metrics/seen.h")
        place.holds()
        objects = place.compile("agent/agent.c", "agent/metrics/seen.c", "agent/main.c")
        program = place.link(objects, ["libagent.a", "libebpf.a", "librules.a"], ebpf())
        with weirtest.Sandbox() as box:
            rules = box.rules({"flow": [{"resource": "GET:/", "count": 1}]})
            agent = box.start("agent", [program, "--run-dir", box.run_dir, "-r", rules.path])
            weirtest.until(lambda: "seen: rules.published" in agent.output() or not agent.running(), "the event")
            assert agent.running(), agent.output()


def ebpf():
    """As the Makefile has it: libbpf itself goes in where it is to be had."""
    folder = subprocess.run(["pkg-config", "--variable=libdir", "libbpf"], check=True, capture_output=True, text=True).stdout.strip()
    archive = os.path.join(folder, "libbpf.a")
    return [archive if os.path.exists(archive) else "-lbpf", "-lelf", "-lz", *libraries("libsystemd")]


def main():
    for test in [protocol, limiter, channel, subscriber]:
        if not sys.argv[1:] or test.__name__ in sys.argv[1:]:
            test()
            print("ok   %s" % test.__name__, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
