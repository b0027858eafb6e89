#!/usr/bin/python3
"""More processes of an app than there are slots: nobody is harmed, the rest count on their own, and `weir status` says so."""
import subprocess

import weirtest

PROGRAM = r"""
import os, signal, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
for number in range(300):
    if os.fork() == 0:
        with socket.create_connection((host, port)):
            pass
        signal.pause()
print("all there", flush=True)
signal.pause()
"""


def said_and_harmless():
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"id": "in", "resource": "GET:/small", "count": 5}]})
        server = box.serve("nginx", rules)
        rules_out = box.rules({"flow": [{"resource": "tcp:127.0.0.1:%d" % server.port, "count": 1000000}]})
        command = [weirtest.WEIR, "run", "-a", "many", "--run-dir", box.path + "/many", "-r", rules_out.path, "--",
                   "/usr/bin/python3", "-c", PROGRAM, server.address[0], str(server.port)]
        program = box.start("many", command)
        weirtest.until(lambda: "all there" in program.output(), "three hundred processes", 60)

        def refused():
            out = subprocess.run([weirtest.WEIR, "status", "--run-dir", box.path + "/many"], stdout=subprocess.PIPE, text=True).stdout
            return "more processes than there is room for" in out
        weirtest.until(refused, "word of it", 60)
        assert program.running()


weirtest.main(said_and_harmless)
