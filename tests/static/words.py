#!/usr/bin/python3
"""Messages, comments and documents use the trade's words: none of the idioms below, which a reader has to guess at. (Comments of
tests: only the worst.)

words.py [FILE…]   --count: how many of each there are"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("agent", "rules", "shim", "tools", "ebpf", "docs", "man", "demo", "completion", "tests")
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "Makefile")
KINDS = (".c", ".h", ".md", ".py", ".sh", ".toml", ".json", ".service", ".1", ".5", ".8")
LEFT_OUT = ("tests/static/words.py", "tests/vectors/", "tests/fuzz/corpus", "tests/compat/", "tests/bench/RESULTS.md", "build/")

# what not to write: what to write instead
IDIOMS = {
    r"\bwhoever\b": "the subject itself (the thread that …, a client that …)",
    r"\b(nobody|somebody|anybody|everybody)\b": "the subject itself (no process, a client, all users)",
    r"\btold\b": "reported, given, shown, distinguished",
    r"\bfor good\b": "permanently",
    r"\bof ours\b": "weir's, the shim's; 'an answer of ours' is an injected response",
    r"\b(bury|buries|buried|burial)\b": "reclaim",
    r"\bhot values?\b": "hot keys",
    r"\ba slip\b": "a typo, a mistake",
    r"\bin vain\b": "without effect, unsuccessfully",
    r"\blest\b": "so that … not",
    r"\ball else\b": "everything else",
    r"\banew\b": "again; starts from zero",
    r"\bquirk for quirk\b": "exactly",
    r"\b(librar(y|ies)|rulesets?|versions?) of before\b": "older",
    r"\blive figures\b": "live metrics",
    r"\b(its|their|whose|the app's|keeps?) figures\b": "metrics, counters, measurements",
    r"\bwhosoever\b|\bthereof\b|\bwhereof\b|\btherein\b": "plain words",
    r"had a chance\b": "a retry was possible",
    r"\bhas no meaning\b": "is not used with …",
    r"\bbehind the slash\b": "the prefix length",
    r"\bwrong rules\b": "invalid rules",
    r"\bwrong use\b": "usage error",
    r"\bmean RT\b|\bno-load RT\b": "latency",
}
ANY = re.compile("|".join(IDIOMS), re.I)
EVERYWHERE = re.compile(r"\bwhoever\b|\bfor good\b|\bhot values?\b|\bwrong (rules|use)\b|\b(bury|buries|buried)\b", re.I)  # in tests, too
UNIX_USER = re.compile(r"user (is )?`?nobody|[\"'(]nobody[\"')]|nogroup|uid 65534|nobody's uid|-u nobody|User=nobody|as nobody")


def files():
    for name in PAGES:
        yield name
    for folder in FOLDERS:
        for place, folders, names in os.walk(os.path.join(ROOT, folder)):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in sorted(names):
                path = os.path.relpath(os.path.join(place, name), ROOT)
                if name.endswith(KINDS) and not name.endswith((".zh.md", ".zh.toml")) and not path.startswith(LEFT_OUT):
                    yield path


def idioms_in(text, any_of=ANY):
    """(line, what was found, what to write)"""
    for found in any_of.finditer(text):
        line = text.count("\n", 0, found.start())
        if found[0].lower() == "nobody" and UNIX_USER.search(text.splitlines()[line]):
            continue
        yield line + 1, found[0], next(instead for idiom, instead in IDIOMS.items() if re.fullmatch(idiom, found[0], re.I))


def planted_faults_are_found():
    planted = '/* Whoever comes is told. */\nlog("%s: wrong rules");\nNobody reads hot values; it is gone for good.\nuser nobody\n'
    assert sorted(found[1].lower() for found in idioms_in(planted)) == \
        sorted(["for good", "hot values", "told", "nobody", "whoever", "wrong rules"]), list(idioms_in(planted))


def main():
    planted_faults_are_found()
    arguments = [argument for argument in sys.argv[1:] if argument != "--count"]
    count, counts = 0, {}
    for path in arguments or files():
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            for line, found, instead in sorted(idioms_in(file.read(), EVERYWHERE if path.startswith("tests/") else ANY)):
                count += 1
                counts[found.lower()] = counts.get(found.lower(), 0) + 1
                if "--count" not in sys.argv:
                    print("%s:%d: '%s': write %s" % (path, line, found, instead))
    if "--count" in sys.argv:
        print("\n".join("%5d %s" % (number, found) for found, number in sorted(counts.items(), key=lambda item: -item[1])))
    if not count:
        print("no idiom")
    return 1 if count else 0


sys.exit(main())
