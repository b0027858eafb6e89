#!/usr/bin/python3
"""Schema, manual page and the tables of docs/rules.md are what docs/reference/generate.py writes from the parser's own tables.
A field without a meaning, a meaning without a field and a table that the generator does not know are found."""
import os
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "docs/reference"))
import generate  # noqa: E402
import page  # noqa: E402
from fields import Reference  # noqa: E402

PROGRAM = os.path.join(os.path.abspath(os.environ.get("WEIR_BUILD") or os.path.join(ROOT, "build")), "weir-tables")


class Planted(Reference):
    """A description that is missing, and one of a field that does not exist."""

    @staticmethod
    def read(name):
        said = Reference.read(name)
        said["flow"]["made_up"] = said["flow"].pop("burst")
        return said


def planted_faults_are_found():
    found = "\n".join(Planted(PROGRAM).problems)
    assert 'no entry for "burst"' in found and "made_up" in found, found
    problems = []
    text = generate.read("docs/rules.md").replace("<!-- fields: flow -->", "<!-- fields: flwo -->")
    page.filled(Reference(PROGRAM), text, problems, "planted.md")
    assert len(problems) == 2, problems


planted_faults_are_found()
sys.argv = ["generate.py", "--check", "--tables", PROGRAM]
sys.exit(generate.main())
