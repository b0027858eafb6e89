#!/usr/bin/python3
"""What documents refer to exists: relative links and anchors of the Markdown pages, manual pages that manual pages name, and the
commands (`weir NAME`) that any of them shows.  Every page of docs/ can be reached from README.md."""
import functools
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FENCE = re.compile(r"^```.*?^```", re.S | re.M)
LINK = re.compile(r"\]\(([^()\s]+(?:\([^()]*\))?)\)")
OTHERS = {"less", "systemd", "systemctl", "journalctl", "ld.so", "bpftool", "ss", "nginx", "logrotate", "ip", "proc", "capabilities"}  # manual pages that other packages have
FOLDERS = ("man", "agent")


@functools.lru_cache(None)
def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def pages():
    folders = [""] + [os.path.relpath(place, ROOT) for place, _, _ in os.walk(os.path.join(ROOT, "docs"))] + ["tests", "tests/bench"]
    for folder in folders:
        for name in sorted(os.listdir(os.path.join(ROOT, folder))):
            if name.endswith(".md"):
                yield os.path.normpath(os.path.join(folder, name))


def manuals():
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(ROOT, folder))):
            if re.search(r"\.[1-8]$", name):
                yield "%s/%s" % (folder, name)


def anchor(title):
    """As GitHub makes it: lower case, blanks to '-', punctuation left out."""
    title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title.strip()).replace("`", "")
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def anchors(text):
    seen = {}
    for title in re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.M):
        name = anchor(title)
        seen[name] = seen.get(name, -1) + 1
        yield name if not seen[name] else "%s-%d" % (name, seen[name])
    yield from re.findall(r'<a (?:id|name)="([^"]+)"', text)


def targets(page, text):
    """(link, path in the tree or "", anchor) of each relative link."""
    for link in LINK.findall(re.sub(r"`[^`]*`", "", FENCE.sub("", text)) if "](" in text else ""):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, name = link.partition("#")
        yield link, os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page, name


def link_errors(page, text):
    for link, path, name in targets(page, text):
        if path != page and not os.path.exists(os.path.join(ROOT, path)):
            yield "%s: (%s): there is no %s" % (page, link, path)
        elif name and path.endswith(".md") and name not in set(anchors(text if path == page else read(path))):
            yield "%s: (%s): %s has no heading #%s" % (page, link, path, name)


def manual_errors(page, text, known):
    for name, section in re.findall(r"^\.BR ([\w.\\-]+) \((\d)\)", text, re.M):
        name = name.replace("\\", "")
        if name.split(".")[0] not in OTHERS and "%s.%s" % (name, section) not in known:
            yield "%s: there is no manual page %s(%s)" % (page, name, section)


def commands():
    table = re.search(r"commands\[\] = \{(.*?)\n\};", read("tools/weir.c"), re.S)
    return set(re.findall(r'^\s*\{"([\w-]+)", ', table[1], re.M))


def command_errors(page, text, known):
    """`weir NAME` in code; in manual pages in bold or in examples."""
    if page.endswith(".md"):
        shown = "\n".join(re.findall(r"`[^`\n]+`", FENCE.sub("", text)) + FENCE.findall(text))
    else:
        shown = "\n".join(re.findall(r'^\.BR? ("?weir .*)$', text, re.M) + re.findall(r"^\.nf$.*?^\.fi$", text, re.S | re.M))
    for name in re.findall(r"(?:^|[`\s(\"|&;])(?:\.B )?weir ([a-z][a-z-]*)(?=[\s`\"),;:.]|$)", shown, re.M):
        if name not in known:
            yield "%s: there is no command `weir %s`" % (page, name)


def reachable():
    found, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page not in found:
            found.add(page)
            waiting += [path for _, path, _ in targets(page, read(page)) if path.endswith(".md") and os.path.exists(os.path.join(ROOT, path))]
    return found


def errors():
    known, words = {os.path.basename(page) for page in manuals()}, commands()
    for page in pages():
        yield from link_errors(page, read(page))
        if page != "tests/bench/RESULTS.md":
            yield from command_errors(page, read(page), words)
    for page in manuals():
        yield from manual_errors(page, read(page), known)
        if re.search(r"\.[158]$", page) and "weir-rules" not in page:
            yield from command_errors(page, read(page).replace("\\-", "-"), words)
    for page in sorted(set(page for page in pages() if page.startswith("docs/") and not page.endswith(".zh.md")) - reachable()):
        yield "%s: cannot be reached from README.md by links" % page


def planted_faults_are_found():
    text = "[a](docs/none.md) [b](README.md#no-such) [c](#here) [d](https://example.com)\n# Here\n"
    assert len(list(link_errors("planted.md", text))) == 2, list(link_errors("planted.md", text))
    assert list(manual_errors("planted", ".BR weir\\-nothing (1)\n.BR weir (1)\n", {"weir.1"})) == ["planted: there is no manual page weir-nothing(1)"]
    assert list(command_errors("planted.md", "`weir chekc FILE` `weir check` weir does\n```\nweir tpo\n```\n", {"check"})) == \
        ["planted.md: there is no command `weir chekc`", "planted.md: there is no command `weir tpo`"]


planted_faults_are_found()
found = list(errors())
print("\n".join(found) or "%d pages, %d manual pages" % (len(list(pages())), len(list(manuals()))))
sys.exit(1 if found else 0)
