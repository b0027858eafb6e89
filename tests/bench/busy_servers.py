"""The servers that tests/bench/overload.py overloads: about WORK_MS of CPU a request, all of a server's processes on one core.

Each is a function (folder, address) -> what to start: [Part], of which the first one is asked. A Part runs under weir; its
environment may say how much work there is."""
import contextlib
import fcntl
import os
import random
import shutil
import string
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "process")]
import weirtest  # noqa: E402
from harness import frameworks, frontends, reach  # noqa: E402
from harness.kind import PYTHON, write  # noqa: E402
from harness.servers import nginx  # noqa: E402

WORK_MS = float(os.environ.get("WEIR_OVERLOAD_WORK_MS") or 5)
WORK = reach.for_all([os.path.join(HERE, "work")])[0]

Part = namedtuple("Part", "name command where env", defaults=({},))  # where: the address or path that it listens on
Kind = namedtuple("Kind", "title parts path keeps_alive needs header warm_s", defaults=("/work", True, (), None, 1.0))


def _program(*command):
    def parts(folder, address):
        line = [os.path.join(WORK, word) if word.endswith((".js", ".py")) else word for word in command]
        at = next(number for number, word in enumerate(line) if word.startswith(WORK)) + 1
        return [Part("server", line[:at] + [address[0], str(address[1]), str(WORK_MS)] + line[at:], address)]
    return parts


def _gunicorn(worker, workers, threads):
    def parts(folder, address):
        return [Part("server", ["gunicorn", "--worker-class", worker, "--workers", str(workers), "--threads", str(threads), "--bind",
                                "%s:%d" % address, "--keep-alive", "60", "--timeout", "120", "--pythonpath", WORK, "web_app:wsgi"],
                     address, {"WORK_MS": str(WORK_MS)})]
    return parts


def _uvicorn(folder, address):
    return [Part("server", [PYTHON, "-m", "uvicorn", "--loop", "asyncio", "--app-dir", WORK, "--host", address[0], "--port",
                            str(address[1]), "--no-access-log", "--timeout-keep-alive", "60", "web_app:asgi"],
                 address, {"WORK_MS": str(WORK_MS)})]


def _php_script(root):
    with open(os.path.join(WORK, "work.php")) as file:
        text = file.read()
    path = os.path.join(root, "work.php")
    write(path, text.replace("compute(WORK_MS)", "compute(%g)" % WORK_MS))
    os.chmod(path, 0o644)


APACHE_PHP = """LoadModule php_module /usr/lib/apache2/modules/libphp8.2.so
<FilesMatch "[.]php$">
    SetHandler application/x-httpd-php
</FilesMatch>
"""


def _apache(folder, address):
    command = frontends.apache("prefork")(folder, address, more=APACHE_PHP)
    _php_script(os.path.join(folder, "root"))
    return [Part("server", command, address)]


FPM = """[global]
error_log = {folder}/fpm.log
daemonize = no
[work]
{user}
listen = {socket}
listen.mode = 0666
listen.backlog = 511
pm = static
pm.max_children = 8
"""
FASTCGI = """location ~ [.]php$ {{
    fastcgi_pass unix:{socket};
    fastcgi_param SCRIPT_FILENAME {script};
    fastcgi_param REQUEST_METHOD $request_method;
    fastcgi_param QUERY_STRING $query_string;
    fastcgi_param SERVER_PROTOCOL $server_protocol;
    fastcgi_param REMOTE_ADDR $remote_addr;
}}"""


def _php_fpm(folder, address):
    socket, config = os.path.join(folder, "fpm.sock"), os.path.join(folder, "fpm.conf")
    front = nginx(folder, address, server=FASTCGI.format(socket=socket, script=os.path.join(folder, "root", "work.php")))
    _php_script(os.path.join(folder, "root"))
    user = "user = www-data\ngroup = www-data" if os.getuid() == 0 else ""
    write(config, FPM.format(folder=folder, socket=socket, user=user))
    root = ["--allow-to-run-as-root"] if os.getuid() == 0 else []
    return [Part("server", front, address), Part("fpm", ["php-fpm8.2", "-n", "-F", "-y", config] + root, socket)]


TOMCAT_WEB = frameworks.TOMCAT_WEB.replace("  <servlet-mapping>", """  <servlet>
    <servlet-name>work</servlet-name><servlet-class>Work</servlet-class><load-on-startup>1</load-on-startup>
  </servlet>
  <servlet-mapping><servlet-name>work</servlet-name><url-pattern>/work</url-pattern></servlet-mapping>
  <servlet-mapping>""")


def _tomcat(folder, address):
    command = frameworks.tomcat("Http11NioProtocol")(folder, address)
    write(os.path.join(folder, "conf", "web.xml"), TOMCAT_WEB)
    classes = os.path.join(folder, "root", "WEB-INF", "classes")
    os.makedirs(classes)
    path = ":".join(frameworks.JAVA + jar for jar in frameworks.JARS)
    subprocess.run(["javac", "-cp", path, "-d", classes, os.path.join(WORK, "Work.java")], check=True)
    return [Part("server", command, address, {"WORK_MS": str(WORK_MS)})]


def _nginx_gzip(folder, address):
    command = nginx(folder, address, http="gzip on; gzip_comp_level 6; gzip_types *;")
    words = random.Random(1)
    text = " ".join("".join(words.choices(string.ascii_lowercase, k=words.randint(2, 9))) for _ in range(1 << 15))
    write(os.path.join(folder, "root", "work"), text[:int(23000 * WORK_MS)])  # what takes about so long
    return [Part("server", command, address)]


FPM_PROGRAM = "/usr/sbin/php-fpm8.2"
SERVERS = {
    "node": Kind("node http", _program("node", "node_work.js"), needs=("node",)),
    "node-cluster": Kind("node cluster, 2 workers", _program("node", "node_work.js", "2"), needs=("node",)),
    "threading": Kind("Python ThreadingHTTPServer", _program(PYTHON, "threading_work.py")),
    "gunicorn-sync": Kind("gunicorn sync, 2 workers", _gunicorn("sync", 2, 1), keeps_alive=False, needs=("gunicorn",)),
    "gunicorn-gthread": Kind("gunicorn gthread, 2 × 8 threads", _gunicorn("gthread", 2, 8), needs=("gunicorn",)),
    "uvicorn": Kind("uvicorn", _uvicorn, needs=(frameworks.MODULES + "uvicorn",)),
    "apache-php": Kind("Apache prefork, PHP", _apache, "/work.php", needs=("apache2", "php", "/usr/lib/apache2/modules/libphp8.2.so")),
    "php-fpm": Kind("php-fpm behind nginx", _php_fpm, "/work.php", needs=("nginx", "php", FPM_PROGRAM)),
    "tomcat": Kind("Tomcat (NIO)", _tomcat, needs=("java", "javac", frameworks.JAVA + frameworks.JARS[0]), warm_s=5.0),
    "nginx-gzip": Kind("nginx, gzip", _nginx_gzip, needs=("nginx",), header="Accept-Encoding: gzip"),
}
MODES = {"none": {},
         "delay": {"adaptive": {"mode": "enforce", "algorithm": "delay"}},
         "cpu": {"adaptive": {"mode": "enforce", "algorithm": "cpu"}}}


def cores():
    """(the server's, the clients') core: two different ones where there are two."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def placed(core):
    """The beginning of a command that runs on this core."""
    return [shutil.which("taskset"), "-c", str(core)]


def prefer(pid):
    """Before what other programs do on this machine, where that is allowed. (A session's own weight: nice counts within it.)"""
    with contextlib.suppress(OSError), open("/proc/%d/autogroup" % pid, "w") as file:
        file.write("-20")


@contextlib.contextmanager
def alone(seconds=1800):
    """One measurement at a time on this machine, as far as they all ask for it; without, when that takes longer."""
    with open(os.path.join(tempfile.gettempdir(), "weir-overload.lock"), "a") as file:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.2)
        yield


class Core:
    """How much of a core others than these programs use while the programs need all of it: what spoils a measurement."""

    def __init__(self, core, programs):
        self.core, self.programs, self.others, self.all = core, programs, 0, 0

    def watch(self, spans):
        """Counts in these spans of seconds from now, in the background."""
        self.thread = threading.Thread(target=self._watch, args=(time.monotonic(), spans), daemon=True)
        self.thread.start()

    def _watch(self, began, spans):
        for begin, end in spans:
            time.sleep(max(0.0, began + begin - time.monotonic()))
            used, total = self._used()
            time.sleep(max(0.0, began + end - time.monotonic()))
            used_then, total_then = self._used()
            self.others, self.all = self.others + used_then - used, self.all + total_then - total

    def _used(self):
        """(CPU of the core less that of the programs, all of the core's time), in ticks"""
        with open("/proc/stat") as file:
            fields = [int(word) for word in next(line for line in file if line.startswith("cpu%d " % self.core)).split()[1:9]]
        theirs = 0
        for pid in {pid for program in self.programs for pid in [program.pid] + weirtest.descendants(program.pid)}:
            with contextlib.suppress(OSError), open("/proc/%d/stat" % pid) as file:
                theirs += sum(int(word) for word in file.read().rpartition(")")[2].split()[11:13])
        return sum(fields) - fields[3] - fields[4] - theirs, sum(fields)

    def by_others(self):
        self.thread.join()
        return self.others / max(1, self.all)


def start(box, kind, rules=None, app=None, core=None):
    """Starts the parts of a server in `box`, under `weir run` with these rules; `app`: as that app of the agent that runs in `box`.
    Returns its address and the programs."""
    weirtest.need(*SERVERS[kind].needs)
    box.count += 1
    folder, address = os.path.join(box.path, "%s.%d" % (kind, box.count)), ("127.0.0.1", weirtest.free_port())
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    pinned, programs = placed(cores()[0] if core is None else core), []
    for part in reversed(SERVERS[kind].parts(folder, address)):
        env = box.environment(**part.env)
        if app:
            program = box.start(part.name, pinned + part.command, dict(env, LD_PRELOAD=weirtest.LIBWEIR, WEIR_APP=app))
        else:
            box.run_dir = os.path.join(folder, "run." + part.name)  # in the end that of the first part: what the box is asked about
            program = box.weir_run(part.name, rules, pinned + part.command, env)
        weirtest.until(lambda: weirtest.listening(part.where) or not program.running(), "%s to listen" % kind, 60)
        assert program.running(), "%s ended at start: %s" % (kind, program.output())
        prefer(program.pid)
        programs.insert(0, program)
    return address, programs
