#!/usr/bin/python3
"""Bad rules files: each gets a clear message with file, line and column, at start (nothing is started, exit status 2), by
`weir check`, and as a hot edit (what was in force stays)."""
import os
import re

import weirtest

GOOD = '{"app": "t", "flow": [{"id": "g", "resource": "GET:/blocked", "count": 0}]}'

# text of the file, (line, column) or None when it is about the whole file, words that the message must have
CASES = {
    "unknown key": ('{"app": "t",\n "flow": [{"resource": "x", "cuont": 1, "count": 1}]}', (2, 29), ["cuont", "count"]),
    "wrong type": ('{"app": "t",\n "flow": [\n  {"resource": "x", "count": "abc"}]}', (3, 30), ["flow[0].count", "number", "abc"]),
    "negative count": ('{"app": "t", "flow": [{"resource": "x",\n "count": -1}]}', (2, 11), ["count", "-1"]),
    "missing count": ('{"app": "t",\n "flow": [{"resource": "x"}]}', (2, 11), ["count"]),
    "missing resource": ('{"app": "t",\n "isolation": [{"count": 1}]}', (2, 16), ["resource"]),
    "duplicate ids": ('{"app": "t", "flow": [{"id": "a", "resource": "x", "count": 1},\n'
                      ' {"id": "a", "resource": "y", "count": 1}]}', (2, None), ["a"]),
    "duplicate key": ('{"app": "t", "flow": [{"resource": "x", "count": 1,\n "count": 2}]}', (2, None), ["count"]),
    "unknown word": ('{"app": "t", "flow": [{"resource": "x", "count": 1,\n "mode": "simulte"}]}', (2, 10), ["simulte", "simulate"]),
    "bad regex": ('{"app": "t", "flow": [{"resource": "a(b",\n "resourceMatch": "regex", "count": 1}]}', (1, 36), ["regular expression"]),
    "not JSON": ('{"app": "t",\n "flow": [,]}', (2, None), []),
    "cut off": ('{"app": "t",\n "flow": [{"resource": "x", "co', (2, None), []),
    "empty file": ("", None, ["empty"]),
    "only blanks": (" \n\n ", None, ["empty"]),
    "binary file": (bytes(range(256)) * 40, (1, None), []),
    "NUL inside": (b'{"app": "t",\n "flow": [{"resource": "x\0y", "count": 1}]}', (2, None), []),
    "not UTF-8": (b'{"app": "t",\n "flow": [{"resource": "\xff\xfe", "count": 1}]}', (2, None), []),
    "10 MB file": (b'{"app": "t", "flow": [' + b" " * (10 << 20) + b"]}", None, ["4"]),
    "deeply nested": ('{"app": "t", "flow": ' + "[" * 100000 + "]" * 100000 + "}", (1, None), []),
    "array instead of object": ("[1, 2]", None, []),
    "not supported yet": ('{"app": "t", "flow": [{"resource": "x", "count": 1,\n "scope": "cluster"}]}', (2, None), ["not supported yet"]),
}


def write(path, content):
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def complaint(name, text, path, place, words):
    lines = [line for line in text.splitlines() if path in line]
    assert lines, "%s: no line names the file:\n%s" % (name, text)
    prefix = path + ":" + ("%d:" % place[0] if place else "") + ("%d:" % place[1] if place and place[1] else "")
    assert any(line.startswith(prefix) or prefix in line for line in lines), "%s: expected %s in:\n%s" % (name, prefix, text)
    for word in words:
        assert word in text, "%s: expected the word %r in:\n%s" % (name, word, text)
    assert len(text) < 100000, "%s: a message of %d bytes" % (name, len(text))
    assert all(char.isprintable() or char in "\n\t" for char in text), "%s: control characters in %r" % (name, text[:300])


def check():
    with weirtest.Sandbox() as box:
        path = os.path.join(box.path, "rules.json")
        wrong = []
        for name, (content, place, words) in CASES.items():
            write(path, content)
            done = box.weir("check", path)
            try:
                assert done.returncode == 2, "%s: exit status %d\n%s%s" % (name, done.returncode, done.stdout, done.stderr)
                complaint(name, done.stdout + done.stderr, path, place, words)
            except AssertionError as error:
                wrong.append(str(error))
        assert not wrong, "\n".join(wrong)
        write(path, GOOD)
        box.weir("check", path, check=0)


def all_at_once():
    """Every error of a file is told, not just the first."""
    with weirtest.Sandbox() as box:
        path = os.path.join(box.path, "rules.json")
        write(path, '{"app": "t",\n"flow": [{"resource": "x", "count": -1},\n{"resource": 7, "count": 1},\n'
                    '{"resource": "x", "cuont": 1}]}')
        text = (lambda done: done.stdout + done.stderr)(box.weir("check", path))
        for line in (2, 3, 4):
            assert "%s:%d:" % (path, line) in text, text


def run_starts_nothing():
    with weirtest.Sandbox() as box:
        path, mark = os.path.join(box.path, "rules.json"), os.path.join(box.path, "started")
        for name, (content, place, words) in CASES.items():
            write(path, content)
            program = box.weir_run("weir-run", path, ["/bin/touch", mark])
            status = program.wait(30)
            assert status == 2, "%s: exit status %d\n%s" % (name, status, program.output())
            complaint(name, program.output(), path, place, words)
            assert not os.path.exists(mark), "%s: the program was started" % name


def hot_edits():
    with weirtest.Sandbox() as box:
        rules = box.rules(GOOD)
        server = box.serve("nginx", rules)
        for name, (content, place, words) in CASES.items():
            if isinstance(content, bytes):
                write(rules.path, content)
                errors = weirtest.until(lambda: box.file_state(rules)["state"] == "error" and box.file_state(rules)["errors"],
                                        name + " to be noticed")
            else:
                errors = box.spoil(rules, content)
            if place:
                assert errors[0]["line"] == place[0], (name, errors)
            assert weirtest.ask(server.address, target="/blocked").status == 429, name
            assert weirtest.ask(server.address, target="/small").status == 200, name
            box.edit(rules, GOOD.replace('"g"', '"%s"' % name.replace(" ", "-")))
            weirtest.until(lambda: box.file_state(rules)["state"] == "ok", "the mended file")


def unreadable():
    """No right to read (tried without root's rights), a directory that is missing, a FIFO, a device."""
    with weirtest.Sandbox() as box:
        path = os.path.join(box.path, "rules.json")
        missing = os.path.join(box.path, "nowhere", "rules.json")
        for what in (missing, os.path.dirname(missing)):
            program = box.weir_run("weir-run", what, ["/bin/true"])
            assert program.wait() == 2 and what in program.output() and "No such file" in program.output(), program.output()
            done = box.weir("check", what)
            assert done.returncode in (1, 2) and what in done.stderr + done.stdout, done
        os.mkfifo(path)
        program = box.weir_run("weir-run", path, ["/bin/true"])  # (weir check reads pipes: of a process substitution)
        assert program.wait() == 2 and path in program.output(), program.output()
        done = box.weir("check", "/dev/zero")
        assert done.returncode in (1, 2) and "/dev/zero" in done.stderr + done.stdout, done
        os.unlink(path)
        write(path, GOOD)
        os.chmod(path, 0)
        said = without_rights(box, weirtest.WEIR, "check", path)
        assert re.search(re.escape(path) + r": error: cannot be opened: Permission denied: user \S+ must read it: chgrp \S+ %s && chmod 640 %s"
                         % (path, path), said), said
        # A directory of rules that cannot be read is an error, and no empty directory.
        folder = os.path.join(box.path, "rules.d")
        os.mkdir(folder, 0o700)
        write(os.path.join(folder, "a.json"), GOOD)
        said = without_rights(box, weirtest.WEIR_AGENT, "-n", "-r", folder)
        assert folder + ": error: cannot be opened: Permission denied: user " in said and "chmod 750 " + folder in said, said
        said = without_rights(box, weirtest.WEIR_AGENT, "-n", "-r", os.path.join(folder, "a.json"))
        assert "may not enter a directory above it" in said, said


def without_rights(box, *command):
    """What it says as a user who may read nothing of ours; it fails."""
    command = list(command)
    if os.getuid() == 0:
        weirtest.need("setpriv")
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] + command
    program = box.start("without-rights", command)
    status = program.wait()
    if "setpriv" in program.output() or "cannot execute" in program.output():
        raise weirtest.Skip("cannot give up root's rights: " + program.output())
    assert status in (1, 2), (status, program.output())
    return program.output()


weirtest.main(check, all_at_once, run_starts_nothing, hot_edits, unreadable)
