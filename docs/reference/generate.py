#!/usr/bin/python3
"""Writes the reference of rules files from the tables that the parser reads by, and fields.toml: the JSON Schema, the tables of
docs/rules.md (and of its translation), and the manual page weir-rules(5); and the examples into docs/recipes.md.

generate.py [--check] [--tables PROGRAM]   --check: writes nothing, and fails if a file is not what it would write"""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import manual  # noqa: E402
import page  # noqa: E402
from fields import HERE, ROOT, Reference  # noqa: E402
from schema import schema  # noqa: E402

PAGES = {"docs/rules.md": None, "docs/rules.zh.md": "zh"}


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


RECIPES = "docs/recipes.md"


def unlisted_tables():
    """Tables of fields in the parser that tables.c does not print."""
    listed = read("docs/reference/tables.c")
    folder = os.path.join(ROOT, "rules/text")
    for name in sorted(os.listdir(folder)):
        for line in read(os.path.join("rules/text", name)).splitlines() if name.endswith(".c") else ():
            if "struct field_table " in line and "= {" in line:
                table = line.split("struct field_table ")[1].split(" ")[0]
                if "static" in line or "&%s}" % table not in listed:
                    yield "rules/text/%s: %s is not in docs/reference/tables.c (it has to be a global table)" % (name, table)


def outputs(program, problems):
    problems += unlisted_tables()
    for name, language in PAGES.items():
        if not os.path.exists(os.path.join(ROOT, name)):
            continue
        reference = Reference(program, language)
        text = page.filled(reference, read(name), problems, name)
        problems += reference.problems
        problems += ["%s: not translated: %s" % (name, phrase) for phrase in sorted(reference.untranslated)]
        yield name, text
        if language is None:
            yield "rules/weir-rules.schema.json", schema(reference)
            yield "man/weir-rules.5", manual.manual(text)
    yield RECIPES, page.with_examples(read(RECIPES), read)


def main():
    arguments = sys.argv[1:]
    program = arguments[arguments.index("--tables") + 1] if "--tables" in arguments else os.path.join(ROOT, "build/weir-tables")
    problems, stale = [], []
    for name, text in outputs(program, problems):
        path = os.path.join(ROOT, name)
        if os.path.exists(path) and read(name) == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    if "--check" in arguments:
        problems += ["%s is not what `make docs` writes: run it" % name for name in stale]
    print("\n".join(problems) or "%s: %s" % (os.path.relpath(HERE, ROOT), "up to date" if not stale else "wrote " + ", ".join(stale)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
