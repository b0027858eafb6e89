#!/usr/bin/python3
# timeout: 900
"""The checks of the structure fail when it is violated: one violation of each is planted in a copy of the tree."""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("WEIR_BUILD") or os.path.join(ROOT, "build"))


class Copy:
    """Of the tree, by links: a file that is edited becomes one of its own."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="structure.", dir=BUILD)  # links are of one file system
        for name in sorted(os.listdir(ROOT)):
            if name != ".git" and os.path.join(ROOT, name) != BUILD and name != "build":
                subprocess.run(["cp", "-al", os.path.join(ROOT, name), self.path], check=True)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def read(self, name):
        with open(os.path.join(self.path, name)) as file:
            return file.read()

    def write(self, name, text):
        path = os.path.join(self.path, name)
        if os.path.exists(path):
            os.unlink(path)
        with open(path, "w") as file:
            file.write(text)

    def include(self, name, header):
        self.write(name, '#include "%s"\n' % header + self.read(name))

    def run(self, *command):
        return subprocess.run([*command, self.path], cwd=self.path, capture_output=True, text=True)

    def structure(self):
        return self.run(sys.executable, os.path.join(ROOT, "tests/static/structure.py"))


def expect(result, words):
    said = result.stdout + result.stderr
    assert result.returncode not in (0, 77), "nothing was found: " + said
    assert words in said, "not '%s', but: %s" % (words, said)


def untouched():
    with Copy() as copy:
        result = copy.structure()
        assert result.returncode == 0, result.stdout + result.stderr


def include():
    with Copy() as copy:
        copy.include("rules/engine/engine.h", "shim/protocol/protocol.h")
        expect(copy.structure(), "rules/engine/ may not use shim/protocol/")


def circle():
    """Between parts; the table itself does not hold one either."""
    with Copy() as copy:
        copy.include("shim/session/stream.h", "shim/admission/origin.h")
        expect(copy.structure(), "shim/session/ may not use shim/admission/")
        table = copy.read("tests/static/structure.table")
        copy.write("tests/static/structure.table", table.replace("stream.h ; rules/", "stream.h ; shim/admission/ rules/"))
        expect(copy.structure(), "shim/session/ uses shim/admission/, which does not stand above it: a circle")


def private_header():
    with Copy() as copy:
        copy.include("tools/explain/explain_near.c", "rules/engine/engine_private.h")
        expect(copy.structure(), "engine_private.h, which is private to rules/engine/")


def file_of_code():
    with Copy() as copy:
        copy.include("shim/admission/origin.c", "shim/admission/client.c")
        expect(copy.structure(), "shim/admission/origin.c includes shim/admission/client.c")


def page():
    with Copy() as copy:
        copy.write("ARCHITECTURE.md", copy.read("ARCHITECTURE.md").replace("| `rules/naming/` |", "| `rules/names/` |"))
        expect(copy.structure(), "ARCHITECTURE.md lacks the row: | `rules/naming/`")


def page_names():
    with Copy() as copy:
        copy.write("ARCHITECTURE.md", copy.read("ARCHITECTURE.md") + "See `shim/protocol/http2/frames.c`.\n")
        expect(copy.structure(), "ARCHITECTURE.md names shim/protocol/http2/frames.c, which is not there")


def file_without_a_part():
    with Copy() as copy:
        os.mkdir(os.path.join(copy.path, "shim/tls"))
        copy.write("shim/tls/tls.c", "")
        expect(copy.structure(), "shim/tls/tls.c: of no part")


def layout():
    with Copy() as copy:
        copy.write("shim/admission/client.c", copy.read("shim/admission/client.c").replace("    ", "  "))
        expect(copy.run("/bin/sh", os.path.join(ROOT, "tests/static/format.sh")), "should be clang-formatted")


def way():
    """A function more than the page says."""
    with Copy() as copy:
        copy.write("ARCHITECTURE.md", "A warm GET visits 7 functions in 3 files.\n")
        command = [sys.executable, os.path.join(ROOT, "tests/static/way.py"), "--page", os.path.join(copy.path, "ARCHITECTURE.md")]
        expect(subprocess.run(command, capture_output=True, text=True), "more than ARCHITECTURE.md says")


def main():
    tests = [untouched, include, circle, private_header, file_of_code, page, page_names, file_without_a_part, layout, way]
    for test in tests:
        if not sys.argv[1:] or test.__name__ in sys.argv[1:]:
            test()
            print("ok   %s" % test.__name__, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
