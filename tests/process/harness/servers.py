"""The servers that weir is tried on, as they come with Debian, and small programs on the usual frameworks. Here those that every
battery runs on; frameworks.py and frontends.py have more."""
import os
import pwd
import shutil
import subprocess

from harness.frameworks import FRAMEWORKS
from harness.frontends import FRONTENDS
from harness.kind import BIG, BLOCKING, PROGRAMS, PYTHON, Kind, files, listen_text, program, write  # noqa: F401

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
    root = files(folder)
    for name in ("tmp", "store"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        os.chmod(os.path.join(folder, name), 0o777)
    user = ""
    if os.getuid() == 0:  # workers without privileges, as everywhere
        pwd.getpwnam("www-data")
        user = "user www-data;"
    path = os.path.join(folder, "nginx.conf")
    write(path, NGINX.format(workers=workers, user=user, folder=folder, root=root, listen=listen_text(address), events=events,
                              http=http, server=server, access_log=access_log, daemon=daemon,
                              main=main, connections=connections))
    return path


def nginx(folder, address, **options):
    # stderr is nginx's log until it has read its configuration; the compiled-in path belongs to the system
    # (a binary upgrade runs argv[0] again, and does not look in PATH)
    return [shutil.which("nginx"), "-e", "stderr", "-p", folder, "-c", nginx_config(folder, address, **options)]


def nginx_proxy(folder, address, origin=None):
    server = "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}"
    return nginx(folder, address, server=server.format(listen_text(origin)))


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
    root = files(folder)
    write(os.path.join(root, "echo.sh"), "printf 'Content-Type: application/octet-stream\\r\\n\\r\\n'\nexec cat\n")
    path = os.path.join(folder, "lighttpd.conf")
    write(path, LIGHTTPD.format(root=root, host=address[0], port=address[1], folder=folder, more=more))
    return ["lighttpd", "-D", "-f", path]


def http_server(folder, address):
    """Python's own `-m http.server`: HTTP/1.0, a thread for each connection."""
    return [PYTHON, "-u", "-m", "http.server", "--bind", address[0], "--directory", files(folder), str(address[1])]


def java(folder, address, threads=0):
    """Compiled once into the sandbox: the shim then sees the server, not the compiler."""
    subprocess.run(["javac", "-d", folder, os.path.join(PROGRAMS, "JavaServer.java")], check=True)
    return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", folder, "JavaServer", files(folder), address[0],
            str(address[1]), str(threads)]


def redis(folder, address):
    if isinstance(address, str):
        where = ["--port", "0", "--unixsocket", address]
    else:
        where = ["--bind", address[0], "--port", str(address[1])]
    return ["redis-server"] + where + ["--save", "", "--appendonly", "no", "--dir", folder, "--protected-mode", "no"]


def memcached(folder, address):
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    return ["memcached", "-l", address[0], "-p", str(address[1]), "-U", "0", "-m", "8"] + user


STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
STREAM = "load_module " + STREAM_MODULE + ";\nstream {{ server {{ listen {}; proxy_pass {}; }} }}"


def nginx_stream(folder, address, origin=None):
    """Not as a server of HTTP (that listens on a socket in its folder), but in front of any protocol."""
    return nginx(folder, os.path.join(folder, "http.sock"), main=STREAM.format(listen_text(address), listen_text(origin)))


SERVERS = {
    "nginx": Kind(nginx, ["nginx"], big=True, echo="/up/", continues=False, http09=True),
    "lighttpd": Kind(lighttpd, ["lighttpd"], big=True, echo="/echo.sh", continues=False),
    "http.server": Kind(http_server, [PYTHON], big=True, keeps_alive=False, lanes=5, log="output", **BLOCKING),
    "threading": Kind(program([PYTHON, "-u"], "python_server.py", "threading"), [PYTHON], big=True, echo="/echo", chunked=True,
                      slow=True, upgrade=True, **BLOCKING),
    "forking": Kind(program([PYTHON, "-u"], "python_server.py", "forking"), [PYTHON], echo="/echo", chunked=True,
                    slow=True, upgrade=True, **BLOCKING),
    "asyncio": Kind(program([PYTHON, "-u"], "asyncio_server.py"), [PYTHON], big=True, echo="/echo", chunked=True, slow=True,
                    upgrade=True),
    "node": Kind(program(["node"], "node_server.js"), ["node"], big=True, echo="/echo", chunked=True, slow=True, upgrade=True,
                 half_close=False),
    "node-cluster": Kind(program(["node"], "node_server.js", "2"), ["node"], echo="/echo", chunked=True, slow=True,
                         upgrade=True, half_close=False),
    "java": Kind(java, ["java", "javac"], big=True, echo="/echo", chunked=True, slow=True, **BLOCKING),
    "redis": Kind(redis, ["redis-server"]),
    "memcached": Kind(memcached, ["memcached"]),
    "lines": Kind(program([PYTHON, "-u"], "line_server.py"), [PYTHON]),
    "nginx-proxy": Kind(nginx_proxy, ["nginx"], big=True, echo="/echo", slow=True, origin="asyncio", http09=True),
    "nginx-stream": Kind(nginx_stream, ["nginx", STREAM_MODULE], origin="lines"),
}
SERVERS.update(FRAMEWORKS)
SERVERS.update(FRONTENDS)
