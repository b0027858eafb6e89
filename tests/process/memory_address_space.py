#!/usr/bin/python3
"""What the shim takes of a process's address space: little without rules, by the rules in force with them, and nothing that the
program runs out of. Programs that lock all their memory, that limit their address space, before or after their start."""
import os
import resource
import shutil
import socket

import weirtest

MB = 1 << 20
RULES = 1000
ONE_ARENA = {"MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.pthread.stack_cache_size=0"}  # or glibc takes 64 MB for a thread, or does not


def size_of(pid, what="VmSize"):
    with open("/proc/%d/status" % pid) as file:
        for line in file:
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024
    return 0


def rules_content(count):
    return {"flow": [{"resource": "GET:/small?%d" % i if i % 2 else "GET:/p/%d" % i, "count": 1e6, "scope": ("app", "process")[i % 3 == 0]}
                     for i in range(count - 4)] if count else [],
            "isolation": [{"resource": "GET:/p/*", "resourceMatch": "glob", "count": 1000, "scope": "app"}] if count else [],
            "paramFlow": [{"resource": "GET:/small", "count": 1e6, "param": {"parseStrategy": "urlParam", "fieldName": "u"}}] if count else [],
            "degrade": [{"resource": "/p/[0-9]+", "resourceMatch": "regex", "grade": 1, "count": 0.5, "timeWindow": 1},
                        {"resource": "GET:/small", "grade": 0, "count": 1000, "timeWindow": 1}] if count else []}


def attached(box):
    return weirtest.until(lambda: (box.app_status() or {}).get("processes"), "a process to be attached")


def extra(kind, rules, ask):
    """Bytes of address space that a server has more than bare, in its largest process."""
    def largest(server):
        for number in range(ask):
            weirtest.ask(server.address, target="/p/%d" % number)
            weirtest.ask(server.address, target="/small?u=%d" % number)
        for pid in server.processes():  # a thread that ends has its stack for a moment still
            weirtest.until(lambda: len(os.listdir("/proc/%d/task" % pid)) == 1, "its threads to end")
        return max(size_of(pid) for pid in server.processes())
    with weirtest.Sandbox() as box:
        bare = largest(box.serve(kind, weir=False, env=ONE_ARENA))
        box.agent(box.rules(rules_content(rules)))
        server = box.serve(kind, preload=True, env=ONE_ARENA)
        attached(box)
        more = largest(server) - bare
        print("%s, %d rules: %.1f MB of address space more than bare" % (kind, rules, more / MB))
        return more


def without_rules():
    assert extra("nginx", 0, 20) <= 8 * MB
    assert extra("threading", 0, 20) <= 8 * MB


def program_that_serves_nothing():
    """A program that only sleeps, and whose app has no rules."""
    line = ["/usr/bin/python3", "-c", "import time; print(flush=True); time.sleep(600)"]
    with weirtest.Sandbox() as box:
        box.agent(box.rules({}))
        sizes = []
        for more in ({}, {"LD_PRELOAD": weirtest.LIBWEIR, "WEIR_APP": box.app}):
            program = box.start("sleeper", line, box.environment(**more))
            weirtest.until(lambda: program.output().strip("\n ") == "" and "\n" in program.output(), "it to run")
            if more:
                attached(box)
            sizes.append(size_of(program.pid))
        print("a sleeping program: %.1f MB more" % ((sizes[1] - sizes[0]) / MB))
        assert 0 < sizes[1] - sizes[0] <= 8 * MB, sizes


def with_many_rules():
    assert extra("nginx", RULES, 300) <= 64 * MB
    assert extra("threading", RULES, 300) <= 64 * MB


LIMITED = """
import http.server, mmap, resource, sys
def size():
    return int(open("/proc/self/statm").read().split()[0]) * 4096
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"x"
        try:
            if self.path.startswith("/take"):
                mmap.mmap(-1, int(self.path[5:]) << 20).close()
        except OSError:
            body = b"no memory"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
limit = size() + (int(sys.argv[2]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
print("limited", flush=True)
server.serve_forever()
"""


def limited(box, room, preload=True):
    """A server that limits its own address space to what it has and `room` MB, as vsftpd does; and its address."""
    port = weirtest.free_port()
    more = {"LD_PRELOAD": weirtest.LIBWEIR, "WEIR_APP": box.app} if preload else {}
    program = box.start("limited", ["/usr/bin/python3", "-c", LIMITED, str(port), str(room)], box.environment(**more))
    weirtest.until(lambda: "limited" in program.output() or not program.running(), "the server to be up")
    assert program.running(), program.output()
    return program, ("127.0.0.1", port)


def limits_itself_after_its_start():
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        box.agent(rules)
        program, address = limited(box, 100)
        attached(box)
        assert weirtest.ask(address, target="/take80").body == b"x", "the shim took the program's address space"
        box.edit(rules, {"flow": [{"resource": "GET:/small", "count": 0}]})
        weirtest.until(lambda: weirtest.ask(address, target="/small").status == 429, "the rule to be in force")
        assert weirtest.ask(address, target="/take80").body == b"x", "the shim took the program's address space"
        assert program.running()


def no_room_for_the_rules():
    """With too little left the program goes on without rules; the status and the doctor say why."""
    with weirtest.Sandbox() as box:
        rules = box.rules({})
        box.agent(rules)
        program, address = limited(box, 4)
        pid = attached(box)[0]["pid"]
        box.edit(rules, {"flow": [{"resource": "GET:/small", "count": 0}]})
        weirtest.until(lambda: weirtest.ask(address, target="/small").status == 200 and
                       box.app_status()["processes"][0].get("short_of_memory"), "it to say that it has no memory")
        done = box.weir("status")
        assert "process %d has no memory for the rules" % pid in done.stdout, done.stdout
        done = box.weir("doctor", "--json", str(pid))
        assert '"address-space"' in done.stdout, done.stdout
        assert program.running()
        hard = resource.prlimit(pid, resource.RLIMIT_AS)[1]
        resource.prlimit(pid, resource.RLIMIT_AS, (hard, hard))
        weirtest.until(lambda: weirtest.ask(address, target="/small").status == 429, "the rule to be in force with room for it")
        assert not box.app_status()["processes"][0]["short_of_memory"]


def no_room_at_its_start():
    """Under `ulimit -v` the program runs, whether there is room for the shim's part or not."""
    line = ["/bin/sh", "-c", "ulimit -v %d; exec \"$@\"", "sh"]
    server = [os.path.join(weirtest.BUILD, "tests", "servers", "server"), "epoll"]
    weirtest.need_build(server[0])
    with weirtest.Sandbox() as box:
        box.agent(box.rules({"flow": [{"resource": "GET:/a", "count": 0}]}))
        environment = box.environment(LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=box.app)
        for limit, status in ((9000, 200), (64000, 429)):
            address = ("127.0.0.1", weirtest.free_port())
            command = [line[0], line[1], line[2] % limit, line[3]] + server + [str(address[1]), "4096"]
            program = box.start("ulimit %d" % limit, command, environment)
            weirtest.until(lambda: weirtest.listening(address) or not program.running(), "the server to listen")
            assert program.running(), program.output()
            assert weirtest.ask(address, target="/a").status == status, "with %d KB" % limit
            if status == 200:
                done = box.weir("doctor", "--json", str(program.pid))
                assert '"address-space"' in done.stdout, done.stdout


def memory_that_is_locked():
    """memcached -k locks what it has and what it will have: little of it is the shim's."""
    memcached = shutil.which("memcached")
    if not memcached:
        raise weirtest.Skip("memcached is not installed")
    sizes = []
    with weirtest.Sandbox() as box:
        box.agent(box.rules(rules_content(RULES)))
        for more in ({}, {"LD_PRELOAD": weirtest.LIBWEIR, "WEIR_APP": box.app}):
            address = ("127.0.0.1", weirtest.free_port())
            user = ["-u", "root"] if os.geteuid() == 0 else []
            program = box.start("memcached", [memcached, "-k", "-m", "64", "-p", str(address[1]), "-l", address[0]] + user,
                                box.environment(**more))
            weirtest.until(lambda: weirtest.listening(address) or not program.running(), "memcached to listen")
            if not program.running() or "mlockall" in program.output():
                raise weirtest.Skip("memcached may not lock its memory here: " + program.output())
            with socket.create_connection(address) as peer:
                for number in range(20):
                    peer.sendall(b"set a%d 0 0 1\r\nx\r\n" % number)
                    assert peer.recv(100) == b"STORED\r\n"
            if more:
                attached(box)
                weirtest.until(lambda: box.app_status()["processes"][0]["rules_version"] > 0, "the rules to be in force")
            assert size_of(program.pid, "VmLck") > 0
            sizes.append(size_of(program.pid, "VmRSS"))
    print("memcached -k: %.1f MB, and %.1f MB more with %d rules" % (sizes[0] / MB, (sizes[1] - sizes[0]) / MB, RULES))
    assert sizes[1] - sizes[0] <= 24 * MB, sizes


weirtest.main(without_rules, program_that_serves_nothing, with_many_rules, limits_itself_after_its_start, no_room_for_the_rules,
              no_room_at_its_start, memory_that_is_locked)
