"""What `weir doctor` says of a server that a test has started."""
import json
import os

import weirtest

SERVER = os.path.join(weirtest.BUILD, "tests/servers/server")
RULES = {"flow": [{"resource": "GET:/x", "count": 5}]}


def doctor(box, *arguments, check=None):
    """What it says of the processes, by pid, and the whole of it."""
    done = box.weir("doctor", "--json", "--run-dir", box.run_dir, *map(str, arguments), check=check)
    whole = json.loads(done.stdout)
    return {entry["pid"]: entry for entry in whole["processes"]}, whole


def finding(box, pid, check):
    return doctor(box, pid, check=check)[0][pid]


def expect(box, pid, cause, *words):
    """That cause, exit status 1, and a remedy with these words; the text for people has them, too."""
    entry = finding(box, pid, 1)
    assert (entry["cause"], entry["protected"], entry["wanted"]) == (cause, False, True), entry
    text = box.weir("doctor", "--run-dir", box.run_dir, str(pid), check=1).stdout
    flat = " ".join(text.split())
    for word in words:
        assert word in entry["remedy"], (word, entry)
        assert word in flat, (word, text)
    assert entry["why"] in flat and "UNPROTECTED" in flat, text
    return entry


def listen(box, command, env=None, run=None):
    """Starts a server of the form COMMAND… PORT and waits for it. `run`: under `weir run` with these rules."""
    port = weirtest.free_port()
    command = [part.replace("PORT", str(port)) for part in command]
    name = os.path.basename(command[0])
    program = box.weir_run(name, run, command, env) if run else box.start(name, command, env)
    weirtest.until(lambda: weirtest.listening(("127.0.0.1", port)) or not program.running(), "%s to listen" % name)
    if program.popen.poll() == weirtest.SKIPPED:
        raise weirtest.Skip("this kernel does not let %s do what it is about" % name)
    assert program.running(), program.output()
    program.port = port
    return program


def server_below(program):
    return weirtest.until(lambda: weirtest.descendants(program.pid), "the server's process")[0]
