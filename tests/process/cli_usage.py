#!/usr/bin/python3
"""The command line itself: help, version, suggestions, exit statuses, and output that cannot be written."""
import os
import subprocess

import weirtest

COMMANDS = ["run", "check", "import", "explain", "replay", "status", "top", "events", "why", "ports", "off", "on", "enable", "disable", "doctor"]


def help_everywhere():
    with weirtest.Sandbox() as box:
        general = box.weir("--help", check=0)
        assert general.stderr == "" and "Exit status" in general.stdout, general
        assert box.weir("-h", check=0).stdout == box.weir("help", check=0).stdout == general.stdout
        for command in COMMANDS:
            assert "\n  %s " % command in general.stdout, command
            shown = box.weir(command, "--help", check=0)
            assert "Usage: weir %s" % command in shown.stdout and "Examples:" in shown.stdout, shown.stdout
            assert shown.stderr == "", shown.stderr
            assert box.weir("help", command, check=0).stdout == shown.stdout
        with open(os.path.join(weirtest.ROOT, "VERSION")) as file:
            assert box.weir("--version", check=0).stdout == "weir %s\n" % file.read().strip()


def manuals():
    """Every command has a page, and the page names its options."""
    with weirtest.Sandbox() as box:
        for command in COMMANDS:
            path = os.path.join(weirtest.ROOT, "man", "weir-%s.1" % command)
            with open(path) as file:
                page = file.read().replace("\\-", "-")
            for word in box.weir(command, "--help").stdout.split():
                if word.startswith("--") and len(word) > 2:
                    assert word.strip(",.;)`") in page, "%s does not tell of %s" % (path, word)


WRONG = [
    # command line, words of the message
    (["rnu", "--", "true"], ["rnu", "'run'"]),
    (["statsu"], ["status"]),
    (["--versoin"], ["--versoin"]),
    (["frobnicate"], ["frobnicate", "--help"]),
    (["help", "frobnicate"], ["frobnicate"]),
    (["run"], ["no command", "Usage".lower()]),
    (["run", "--"], ["no command"]),
    (["run", "--rulse", "x", "--", "true"], ["--rulse", "--rules"]),
    (["run", "-r"], ["-r", "argument"]),
    (["run", "-x", "--", "true"], ["-x"]),
    (["run", "--verbose=3", "--", "true"], ["--verbose", "no argument"]),
    (["run", "--port", "8719", "--", "true"], ["--port", "not supported yet"]),
    (["run", "-a", "a b", "--", "true"], ["a b"]),
    (["run", "-a", "", "--", "true"], ["app"]),
    (["run", "-a", "x" * 64, "--", "true"], ["63"]),
    (["run", "-r", "/no/such/file.json", "--", "true"], ["/no/such/file.json", "No such file"]),
    (["import"], ["which files"]),
    (["import", "--from", "sentinal", "x"], ["sentinal", "'sentinel'"]),
    (["import", "--from", "xyzzy", "x"], ["xyzzy", "nacos"]),
    (["import", "-a", "a b", "x"], ["a b"]),
    (["top", "a", "b"], ["one APP"]),
    (["top", "--jsn"], ["--json"]),
    (["status", "shop"], ["shop"]),
    (["off"], ["which APP"]),
    (["events", "x"], ["unexpected", "'x'"]), (["events", "--since", "yesterday"], ["30m", "yesterday"]), (["events", "--since", "2026-02-30"], ["30m", "2026-02-30"]), (["events", "-n", "-1"], ["number of lines"]),
    (["why"], ["which ID"]), (["why", "a", "b"], ["one ID"]), (["why", "hello!"], ["no id"]),
    (["on", "a", "b"], ["one APP"]),
    (["enable"], ["which UNIT"]),
    (["enable", "a", "b"], ["one UNIT"]),
    (["enable", "../x"], ["path"]),
    (["enable", "-a", "a/b", "nginx"], ["a/b"]),
    (["disable", "x.socket"], ["x.socket", "service"]),
]


def wrong_use():
    with weirtest.Sandbox() as box:
        for line, words in WRONG:
            done = box.weir(*line, check=2)
            assert done.stdout == "" and done.stderr.count("\n") == 1, (line, done)
            assert all(word in done.stderr for word in words), (line, done.stderr)
        assert box.weir(check=2).stderr


def output_that_cannot_be_written():
    with weirtest.Sandbox() as box:
        def run(line, **more):
            return subprocess.run([weirtest.WEIR] + line, env=box.environment(), stderr=subprocess.PIPE, text=True, timeout=30,
                                  **more)
        for line in (["--help"], ["--version"], ["run", "--help"], ["status", "--help"]):
            with open("/dev/full", "w") as full:
                done = run(line, stdout=full)
            assert done.returncode == 1 and "No space left" in done.stderr, (line, done)
            for disposition in (True, False):  # SIGPIPE deadly, and ignored as some parents leave it
                reader, writer = os.pipe()
                os.close(reader)
                done = run(line, stdout=writer, restore_signals=disposition)
                os.close(writer)
                assert done.returncode == 1 and done.stderr == "", (line, done)
            done = subprocess.run(["/bin/sh", "-c", "exec \"$@\" >&-", "sh", weirtest.WEIR] + line, env=box.environment(),
                                  stderr=subprocess.PIPE, text=True)
            assert done.returncode == 1 and "cannot write" in done.stderr, (line, done)
        done = subprocess.run(["/bin/sh", "-c", "exec \"$@\" 2>&-", "sh", weirtest.WEIR, "nonsense"], env=box.environment(),
                              stdout=subprocess.PIPE, text=True)
        assert done.returncode == 2 and done.stdout == "", done


def names_that_act_on_a_terminal():
    """Whatever files, folders and rules are called: what is printed moves no cursor, and each message is one line."""
    evil = "e\x1b[31m\x9b2J\u202e\n"
    with weirtest.Sandbox() as box:
        folder = os.path.join(box.path, evil)
        os.mkdir(folder)
        good, bad, trace = (os.path.join(folder, evil + name) for name in ("good.json", "bad.json", "t.csv"))
        for path, text in ((good, '{"app": "a", "flow": [{"resource": "x", "count": 1}]}'), (bad, "{"),
                           (trace, "t_ms,event,id,resource\n1,entry,1,r\u009b2J\u202e\n")):
            with open(path, "w") as file:
                file.write(text)
        for line in (["check", folder], ["check", good], ["check", folder + "x"], ["run", "-r", folder, "--", "true"],
                     ["run", "-r", good, "--", evil], ["run", "-r", good, "-a", evil, "--", "true"], [evil], ["check", "--" + evil],
                     ["explain", "-r", folder, "--", "/"], ["explain", "-r", good, "--", "GET /" + evil],
                     ["replay", "--rules", bad, trace], ["replay", "--rules", good, trace + "x"], ["replay", "--rules", good, bad],
                     ["replay", "--rules", good, "--summary", trace], ["replay", "--rules", good, "--check", trace],
                     ["off", evil], ["status", "--run-dir", folder], ["enable", evil]):
            done = box.weir(*line)
            for text in (done.stdout, done.stderr):
                assert all(char.isprintable() or char == "\n" for char in text), (line, text)
            for printed in (done.stdout + done.stderr).splitlines():
                assert not printed.startswith("bad.json") and not printed.startswith("good.json"), (line, printed)


def no_agent():
    with weirtest.Sandbox() as box:
        for line in (["status"], ["status", "--json"], ["top"], ["top", "--once"], ["top", "--json"], ["events"], ["events", "-f"], ["off", "a"], ["on", "a"]):
            done = box.weir(*line, check=69)
            assert done.stdout == "" and "no agent" in done.stderr, (line, done)
        done = box.weir("status", "--run-dir", "/no/such/place", check=69)
        assert "/no/such/place" in done.stderr, done
        done = box.weir("status", "--run-dir", "/" + "x" * 200, check=69)
        assert "too long" in done.stderr, done


weirtest.main(help_everywhere, manuals, wrong_use, output_that_cannot_be_written, names_that_act_on_a_terminal,
              no_agent)
