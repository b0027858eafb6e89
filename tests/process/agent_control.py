#!/usr/bin/python3
"""control.sock: silent, slow, oversized and senseless clients; who may give orders; off and on over a restart of the agent."""
import json
import os
import socket
import subprocess
import time

import weirtest


def ask_raw(box, request, end=True):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(os.path.join(box.run_dir, "control.sock"))
        sock.sendall(request)
        if end:
            sock.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            part = sock.recv(65536)
            if not part:
                return answer
            answer += part


def senseless_questions():
    with weirtest.Sandbox() as box:
        agent = box.agent(box.rules({"flow": []}))
        for request in (b"x\n", b"{}\n", b"[]\n", b"null\n", b"{\"cmd\":7}\n", b"{\"cmd\":\"dance\"}\n", b"\xff\xfe\n", b"{" * 3000 + b"\n",
                        b"{\"cmd\":\"off\"}\n", b"{\"cmd\":\"off\",\"app\":\"nobody's\"}\n", b"y" * 5000, b"{\"cmd\":\"off\",\"app\":[]}\n"):
            answer = json.loads(ask_raw(box, request, len(request) < 4000))
            assert list(answer) == ["error"] and answer["error"], (request, answer)
        assert "dance" in json.loads(ask_raw(box, b"{\"cmd\":\"dance\"}\n"))["error"]
        assert "nobody's" in json.loads(ask_raw(box, b"{\"cmd\":\"on\",\"app\":\"nobody's\"}\n"))["error"]
        assert "agent" in json.loads(ask_raw(box, b"{\"cmd\":\"status\"}")), "a question without a line end"
        assert ask_raw(box, b"") == b""
        assert agent.running()


def silent_clients_block_nobody():
    with weirtest.Sandbox() as box:
        agent = box.agent(box.rules({"flow": []}))
        silent = []
        for _ in range(60):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(os.path.join(box.run_dir, "control.sock"))
            sock.sendall(b"{\"cmd\"")
            silent.append(sock)
        for _ in range(50):
            assert "agent" in box.status()
        weirtest.until(lambda: len(os.listdir("/proc/%d/fd" % agent.pid)) < 40, "silent clients to be sent away")
        for sock in silent:
            sock.close()


def slow_reader_blocks_nobody():
    """Thousands of files make an answer that does not fit into a socket's buffer; its reader does not read."""
    with weirtest.Sandbox() as box:
        folder = os.path.join(box.path, "many")
        os.mkdir(folder)
        for number in range(1500):
            with open(os.path.join(folder, "%04d.json" % number), "w") as file:
                json.dump({"app": "t", "flow": [{"resource": "GET:/%d" % number, "count": 1}]}, file)
        box.agent(folder)
        slow = socket.socket(socket.AF_UNIX)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(os.path.join(box.run_dir, "control.sock"))
        slow.sendall(b"{\"cmd\":\"status\"}\n")
        time.sleep(0.3)
        assert len(box.status()["files"]) == 1500
        answer = b""
        slow.settimeout(10)
        while True:
            part = slow.recv(65536)
            if not part:
                break
            answer += part
        assert len(json.loads(answer)["files"]) == 1500
        slow.close()


def who_may_give_orders():
    if os.geteuid() != 0:
        raise weirtest.Skip("needs root to become somebody else")
    script = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(10)\ns.connect(sys.argv[1])\n"
              "s.sendall(b'{\"cmd\":\"off\",\"app\":\"t\"}\\n')\nprint(s.makefile().read())")

    def off(box, uid, gid, groups=()):
        done = subprocess.run(["/usr/bin/python3", "-c", script, os.path.join(box.run_dir, "control.sock")], user=uid, group=gid,
                              extra_groups=list(groups), capture_output=True, text=True, timeout=30)
        return done.stdout or done.stderr
    with weirtest.Sandbox() as box:
        box.agent(box.rules({"flow": []}), options=["--group", "daemon"])
        assert "PermissionError" in off(box, 65534, 65534), "strangers reach the control socket"
        assert "ok" in off(box, 65534, 1), "the group's members do not"
        assert "ok" in off(box, 65534, 65534, [1])
        os.chmod(os.path.join(box.run_dir, "control.sock"), 0o666)  # an administrator's mistake
        assert "only root" in off(box, 65534, 65534)


def off_lasts():
    """Switched off stays off, over edits and restarts, until it is switched on."""
    with weirtest.Sandbox() as box:
        rules = box.rules({"flow": [{"resource": "GET:/small", "count": 0}]})
        agent = box.agent(rules)
        server = box.serve("nginx", preload=True, workers=2)
        assert [weirtest.ask(server.address).status for _ in range(4)] == [429] * 4
        assert box.control(cmd="off", app=box.app) == {"ok": True}
        assert [weirtest.ask(server.address).status for _ in range(6)] == [200] * 6
        shown = weirtest.until(lambda: (lambda lines: lines if any(" GET:/small " in line for line in lines) else None)(
            box.weir("top", "--once").stdout.splitlines()), "its resource in weir top")
        assert shown[0] == "%s is OFF: all its traffic passes and is not counted; `weir on %s` switches it on" % (box.app, box.app), shown
        row = [line.split() for line in shown if " GET:/small " in line][0]
        assert set(row[2:]) <= {"in", "-", "OFF"} and row[-1] == "OFF", "zeros would say that there is no traffic: %s" % shown
        assert [app["off"] for app in json.loads(box.weir("top", "--json").stdout)["apps"]] == [True]
        box.edit(rules, {"flow": [{"resource": "GET:/small", "count": 0}, {"resource": "GET:/other", "count": 0}]})
        agent.kill()
        box.agent(rules)
        assert box.app_status()["off"] is True
        assert [weirtest.ask(server.address).status for _ in range(6)] == [200] * 6
        assert box.control(cmd="on", app=box.app) == {"ok": True}
        assert [weirtest.ask(server.address).status for _ in range(6)] == [429] * 6
        assert "OFF" not in box.weir("top", "--once").stdout

        def state():
            app = box.control(cmd="figures")["apps"][0]
            return app["stale"], app["rules"], app["rules_simulated"]
        assert state() == (False, 2, 0), state()
        box.spoil(rules, "{")  # the last good rules are in force
        assert state() == (True, 2, 0) and box.app_status()["stale"] is True, state()
        box.edit(rules, {"flow": [{"resource": "GET:/small", "count": 0, "mode": "simulate"}]})
        assert state() == (False, 1, 1), state()


weirtest.main(senseless_questions, silent_clients_block_nobody, slow_reader_blocks_nobody, who_may_give_orders, off_lasts)
