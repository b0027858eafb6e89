#!/usr/bin/python3
"""The parts of weir include each other as structure.table says, and ARCHITECTURE.md shows the same table.

No circles (the table is in order), private headers private, no .c file included by another. --table prints what stands in
ARCHITECTURE.md; a folder as argument is checked instead of this tree."""
import fnmatch
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = ("rules", "shim", "ebpf", "agent", "tools")
PAGE = "ARCHITECTURE.md"


class Part:
    def __init__(self, line):
        self.name, files, headers, uses, self.what = [field.strip() for field in line.split(" ;", 4)]
        self.files, self.headers = files.split(), headers.split()
        self.uses = {use.rstrip("+"): use.endswith("+") for use in uses.split()}

    def row(self):
        uses = ", ".join("`%s`" % use for use in self.uses) or "–"
        return "| `%s` | %s | %s |" % (self.name, self.what, uses)

    def offers(self, header):
        return any(fnmatch.fnmatch(header, offer) for offer in self.headers) and not header.endswith("_private.h")


def parts_of(table):
    with open(table) as file:
        return [Part(line) for line in file if line.strip() and not line.startswith("#")]


def pattern_length(part, path):
    """Of the part's longest pattern that the file is of; 0: none. A pattern's * stays within a folder."""
    return max([len(pattern) for pattern in part.files
                if pattern.count("/") == path.count("/") and fnmatch.fnmatch(path, pattern)], default=0)


def part_of(parts, path):
    found = max(parts, key=lambda part: pattern_length(part, path))
    return found if pattern_length(found, path) else None


def sources(root):
    for folder in FOLDERS:
        for place, _, files in os.walk(os.path.join(root, folder)):
            for file in files:
                if file.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(place, file), root)


def includes(root, path):
    """Files of the tree that it includes, and how it writes them."""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        for written in re.findall(r'^\s*#\s*include\s*["<]([^">]+)[">]', file.read(), re.M):
            for candidate in (written, os.path.normpath(os.path.join(os.path.dirname(path), written))):
                if candidate.split("/")[0] in FOLDERS and os.path.exists(os.path.join(root, candidate)):
                    yield candidate
                    break


def order_errors(parts):
    seen = set()
    for part in parts:
        for use in part.uses:
            if use not in seen:
                yield "structure.table: %s uses %s, which does not stand above it: a circle" % (part.name, use)
        seen.add(part.name)


def include_errors(root, parts):
    for path in sorted(sources(root)):
        part = part_of(parts, path)
        if part is None:
            yield "%s: of no part in structure.table" % path
            continue
        for header in includes(root, path):
            other, name = part_of(parts, header), os.path.basename(header)
            if header.endswith(".c"):
                yield "%s includes %s" % (path, header)
            elif other is None or other is part:
                continue
            elif other.name not in part.uses:
                yield "%s includes %s: %s may not use %s" % (path, header, part.name, other.name)
            elif not other.offers(name) and not part.uses[other.name]:
                yield "%s includes %s, which is private to %s" % (path, header, other.name)


def unused_errors(root, parts):
    """What is allowed and not needed is a hole."""
    used = set()
    for path in sources(root):
        part = part_of(parts, path)
        used |= {(part, part_of(parts, header)) for header in includes(root, path)}
    for part in parts:
        for use in part.uses:
            if not any(a is part and b and b.name == use for a, b in used):
                yield "structure.table: %s does not use %s (any more)" % (part.name, use)


def rows(root):
    """The table that ARCHITECTURE.md shows: the first whose rows begin with a name in `rules/`."""
    with open(os.path.join(root, PAGE), encoding="utf-8") as page:
        lines = page.read().splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("| `rules/` |")), len(lines))
    found = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        found.append(line)
    return found


def page_errors(root, parts):
    shown, wanted = rows(root), [part.row() for part in parts]
    for row in wanted:
        if row not in shown:
            yield "%s lacks the row: %s" % (PAGE, row)
    for row in shown:
        if row not in wanted:
            yield "%s has a row that is not in structure.table: %s" % (PAGE, row)


def name_errors(root):
    """Files that the page names are there."""
    with open(os.path.join(root, PAGE), encoding="utf-8") as page:
        for name in sorted(set(re.findall(r"`((?:%s)/[\w./]+\.[chS])`" % "|".join(FOLDERS), page.read()))):
            if not os.path.exists(os.path.join(root, name)):
                yield "%s names %s, which is not there" % (PAGE, name)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--table"]
    root = os.path.abspath(arguments[0]) if arguments else os.path.dirname(os.path.dirname(HERE))
    parts = parts_of(os.path.join(root, "tests/static/structure.table"))
    if "--table" in sys.argv:
        print("\n".join(part.row() for part in parts))
        return 0
    errors = [*order_errors(parts), *include_errors(root, parts), *unused_errors(root, parts), *page_errors(root, parts),
              *name_errors(root)]
    print("\n".join(errors) if errors else "%d parts, no circle" % len(parts))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
