"""An agent that is made up: it answers on a control socket from a table, and keeps the questions."""
import json
import os
import socket
import threading
import time

NOW = time.time()


def resource(name, **more):
    figures = {"resource": name, "side": "inbound", "pass": 10, "block": 3, "exception": 1, "success": 9, "simulated": 0, "queued": 0,
               "rt_ms": 1.25, "rt_p99_ms": 7.5, "in_flight": 2, "circuit": "closed", "total_pass": 100, "total_block": 30}
    figures.update(more)
    return figures


class FakeAgent:
    """Answers on control.sock from a table; keeps the questions."""

    def __init__(self, run_dir, app, resources=(), errors=(), answers=None):
        os.makedirs(run_dir, exist_ok=True)
        self.run_dir, self.questions, self.off, self.state = run_dir, [], False, {}
        self.hot = []
        self.app, self.resources, self.errors, self.answers = app, list(resources), list(errors), answers or {}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(run_dir, "control.sock"))
        self.listener.listen(20)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                try:
                    question = json.loads(peer.makefile().readline())
                    self.questions.append(question)
                    cmd = question["cmd"]
                    answer = self.answers[cmd] if cmd in self.answers else getattr(self, "answer_" + cmd)(question)
                    peer.sendall((answer if isinstance(answer, str) else json.dumps(answer)).encode() + b"\n")
                except (OSError, ValueError):
                    pass

    def answer_status(self, _):
        process = {"pid": 4242, "exe": "/usr/sbin/nginx", "since": NOW - 93700, "rules_version": 6, "current": False, "undecided": 5}
        return {"agent": {"pid": 4711, "version": "9.9", "since": NOW - 7300, "run_dir": self.run_dir, "embedded": False},
                "apps": [{"app": self.app, "rules_version": 7, "off": self.off, "processes": [process]}],
                "files": [{"path": "/etc/weir/rules.d/%s.json" % self.app, "app": self.app, "loaded": NOW - 63,
                           "state": "error" if self.errors else "ok", "errors": self.errors}],
                "bpf": {"available": False, "why": "no privileges",
                        "features": [{"feature": "count", "what": "counts per port", "on": False, "why": "no privileges"}]}}

    def answer_figures(self, _):
        return {"second": int(time.time()), "apps": [dict({"app": self.app, "off": self.off, "resources": self.resources}, **self.state)]}

    def answer_hot(self, _):
        values = [{"value": value, "per_second": rate, "blocked_per_second": 0, "in_flight": 0} for value, rate in self.hot]
        lists = [{"rule": "per-user", "resource": "GET:/a", "param": "header x-user", "grade": "qps", "values": values}]
        return {"second": int(time.time()), "apps": [{"app": self.app, "off": self.off, "hot": lists if values else []}]}

    def answer_off(self, question):
        self.off = question["cmd"] == "off"
        return {"ok": True}

    answer_on = answer_off

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
