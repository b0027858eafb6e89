#!/usr/bin/python3
"""README.zh.md says what README.md says, as far as that can be compared: the same code blocks, commands and other code, links,
headings, list items, rows of tables and figures, in the same order of sections."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FENCE = re.compile(r"^```.*?^```", re.S | re.M)
LANGUAGES = {"README.zh.md", "README.md"}  # a page links to its translation, not to itself


def sections(text):
    """The page in pieces that begin with a heading."""
    return re.split(r"^(?=## )", FENCE.sub(lambda block: block[0].replace("\n#", "\n\0#"), text), flags=re.M)


def features(section):
    """What a translation keeps."""
    blocks = FENCE.findall(section)
    prose = FENCE.sub("", section)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose) if link not in LANGUAGES]
    rest = re.sub(r"\]\([^)]+\)", "]", prose)
    return {
        "code blocks": blocks,
        "code": sorted(set(re.findall(r"`([^`]+)`", rest))),
        "links": sorted(set(links)),
        "list items": len(re.findall(r"^- ", prose, re.M)),
        "rows": len(re.findall(r"^\|", prose, re.M)),
        "figures": sorted(set(re.findall(r"\d+(?:\.\d+)+|\d\d\d+", re.sub(r"`[^`]*`", "", rest)))),
    }


def differences(original, translation, name):
    a, b = sections(original), sections(translation)
    if len(a) != len(b):
        yield "%s: %d sections, %d in the original" % (name, len(b), len(a))
    for one, other in zip(a, b):
        wanted, found = features(one), features(other)
        for what in wanted:
            missing = [part for part in wanted[what] if part not in found[what]] if isinstance(wanted[what], list) else wanted[what]
            if what in ("code", "figures", "links") and not missing:  # it may repeat some in explanations
                continue
            if wanted[what] != found[what]:
                yield "%s: section '%s': other %s: expected %s, got %s" % (name, other.splitlines()[0], what, missing, found[what])


def planted_faults_are_found():
    original = "# x\n\n## A\n- `weir check` 1.25\n```\nweir top\n```\n| a |\n"
    assert not list(differences(original, original.replace("A", "B"), "planted"))
    for change in (("weir top", "weir tpo"), ("`weir check`", "weir check"), ("1.25", "1.52"), ("- ", ""), ("| a |", ""), ("## A", "A")):
        assert list(differences(original, original.replace(*change), "planted")), change


planted_faults_are_found()
with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as first, open(os.path.join(ROOT, "README.zh.md"), encoding="utf-8") as second:
    found = list(differences(first.read(), second.read(), "README.zh.md"))
print("\n".join(found) or "alike")
sys.exit(1 if found else 0)
