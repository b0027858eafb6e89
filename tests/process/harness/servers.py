"""The servers that weir is tried on, as they come with Debian, and small programs on the usual frameworks.

All of them serve, from their own folder: /small, /big (3 MB), /blocked, /other, /index.html. What more each one can do is
in its description: `echo` (a POST or PUT comes back), `chunked` (a chunked response), `slow` (/slow?ms=N, and /held?NAME: until
the file release.NAME is in its folder), `upgrade`.
`keeps_alive_when_blocked`: the descriptors are non-blocking, so a rejection leaves the connection open. `half_close`:
answers a client that has ended its side (node does not)."""
import os
import pwd
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(os.path.dirname(HERE), "programs")
PYTHON = "/usr/bin/python3"
BIG = bytes(range(256)) * (3 * 4096)  # 3 MiB


class Kind:
    def __init__(self, command, programs, echo=None, chunked=False, slow=False, upgrade=False,
                 keeps_alive_when_blocked=True, keeps_alive=True, continues=True, half_close=True):
        self.command, self.programs, self.echo = command, programs, echo
        self.chunked, self.slow, self.upgrade = chunked, slow, upgrade
        self.keeps_alive_when_blocked, self.keeps_alive = keeps_alive_when_blocked, keeps_alive
        self.continues, self.half_close = continues, half_close


def _write(path, content):
    with open(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def _files(folder):
    root = os.path.join(folder, "root")
    os.makedirs(root)
    os.chmod(root, 0o777)
    for name in ("small", "blocked", "other", "index.html"):
        _write(os.path.join(root, name), name + "\n")
    _write(os.path.join(root, "big"), BIG)
    return root


def _listen(address):
    if isinstance(address, str):
        return "unix:" + address
    return "[%s]:%d" % address if ":" in address[0] else "%s:%d" % address


NGINX = """daemon {daemon};
{main}
worker_processes {workers};
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_shutdown_timeout 5s;
events {{ use epoll; worker_connections {connections}; {events} }}
http {{
    access_log {access_log};
    sendfile on; tcp_nopush on; keepalive_timeout 65; keepalive_requests 1000000000;
    default_type application/octet-stream; client_max_body_size 64m;
    client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
    open_file_cache max=100;
    {http}
    server {{
        listen {listen}; server_name _; root {root};
        location /up/ {{ root {folder}/store; dav_methods PUT; create_full_put_path on; open_file_cache off; }}
        {server}
    }}
}}
"""


def nginx_config(folder, address, workers=1, events="", http="", server="", access_log="off",
                 daemon="off", main="", connections=4096):
    root = _files(folder)
    for name in ("tmp", "store"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        os.chmod(os.path.join(folder, name), 0o777)
    user = ""
    if os.getuid() == 0:  # workers without privileges, as everywhere
        pwd.getpwnam("www-data")
        user = "user www-data;"
    path = os.path.join(folder, "nginx.conf")
    _write(path, NGINX.format(workers=workers, user=user, folder=folder, root=root, listen=_listen(address), events=events,
                              http=http, server=server, access_log=access_log, daemon=daemon,
                              main=main, connections=connections))
    return path


def nginx(folder, address, **options):
    # stderr is nginx's log until it has read its configuration; the compiled-in path belongs to the system
    # (a binary upgrade runs argv[0] again, and does not look in PATH)
    return [shutil.which("nginx"), "-e", "stderr", "-p", folder, "-c", nginx_config(folder, address, **options)]


LIGHTTPD = """server.modules = ( "mod_cgi", "mod_accesslog" )
server.document-root = "{root}"
server.port = {port}
server.bind = "{host}"
server.errorlog = "{folder}/error.log"
server.upload-dirs = ( "{folder}" )
server.max-keep-alive-requests = 100000
server.max-keep-alive-idle = 30
server.use-ipv6 = "disable"
index-file.names = ( "index.html" )
cgi.assign = ( ".sh" => "/bin/sh" )
{more}
"""


def lighttpd(folder, address, more=""):
    root = _files(folder)
    _write(os.path.join(root, "echo.sh"), "printf 'Content-Type: application/octet-stream\\r\\n\\r\\n'\nexec cat\n")
    path = os.path.join(folder, "lighttpd.conf")
    _write(path, LIGHTTPD.format(root=root, host=address[0], port=address[1], folder=folder, more=more))
    return ["lighttpd", "-D", "-f", path]


def http_server(folder, address):
    """Python's own `-m http.server`: HTTP/1.0, a thread for each connection."""
    return [PYTHON, "-u", "-m", "http.server", "--bind", address[0], "--directory", _files(folder), str(address[1])]


def _program(interpreter, file, *arguments):
    def command(folder, address, **options):
        host, port = (address, 0) if isinstance(address, str) else address
        more = [str(value) for value in options.values()]
        return interpreter + [os.path.join(PROGRAMS, file), _files(folder), host, str(port)] + list(arguments) + more
    return command


def java(folder, address, threads=0):
    """Compiled once into the sandbox: the shim then sees the server, not the compiler."""
    subprocess.run(["javac", "-d", folder, os.path.join(PROGRAMS, "JavaServer.java")], check=True)
    return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", folder, "JavaServer", _files(folder), address[0],
            str(address[1]), str(threads)]


def redis(folder, address):
    if isinstance(address, str):
        where = ["--port", "0", "--unixsocket", address]
    else:
        where = ["--bind", address[0], "--port", str(address[1])]
    return ["redis-server"] + where + ["--save", "", "--appendonly", "no", "--dir", folder, "--protected-mode", "no"]


_blocking = dict(keeps_alive_when_blocked=False)

SERVERS = {
    "nginx": Kind(nginx, ["nginx"], echo="/up/", continues=False),
    "lighttpd": Kind(lighttpd, ["lighttpd"], echo="/echo.sh", continues=False),
    "http.server": Kind(http_server, [PYTHON], keeps_alive=False, **_blocking),
    "threading": Kind(_program([PYTHON, "-u"], "python_server.py", "threading"), [PYTHON], echo="/echo", chunked=True,
                      slow=True, upgrade=True, **_blocking),
    "forking": Kind(_program([PYTHON, "-u"], "python_server.py", "forking"), [PYTHON], echo="/echo", chunked=True,
                    slow=True, upgrade=True, **_blocking),
    "asyncio": Kind(_program([PYTHON, "-u"], "asyncio_server.py"), [PYTHON], echo="/echo", chunked=True, slow=True,
                    upgrade=True),
    "node": Kind(_program(["node"], "node_server.js"), ["node"], echo="/echo", chunked=True, slow=True, upgrade=True,
                 half_close=False),
    "node-cluster": Kind(_program(["node"], "node_server.js", "2"), ["node"], echo="/echo", chunked=True, slow=True,
                         upgrade=True, half_close=False),
    "java": Kind(java, ["java", "javac"], echo="/echo", chunked=True, slow=True, **_blocking),
    "redis": Kind(redis, ["redis-server"]),
}
