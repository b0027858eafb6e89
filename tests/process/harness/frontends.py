"""Servers written in C that are more than a library, beside those of servers.py: as web servers, and in front of another one. What
they took for a request is in requests.log of their folder, in their output, or in what reached the server behind them."""
import os

from harness.kind import BLOCKING, Kind, files, listen_text, write

HAPROXY = """global
    log stdout format raw local0
    tune.bufsize 300000
    maxconn 2000
    nbthread 1  # several would drop lines of the log when they write at once
    hard-stop-after 10s
    {main}
defaults
    mode http
    log global
    log-format "%HM %HU %ST"
    timeout connect 20s
    timeout client 60s
    timeout server 60s
    timeout http-request 60s
    timeout http-keep-alive 60s
frontend t
    bind {listen} {bind}
    http-request wait-for-body time 60s at-least 250000 if METH_POST
    http-request return status 200 content-type application/octet-stream lf-string "%[req.body]" if METH_POST
    {answers}
"""


def haproxy(folder, address, main="", options=(), bind=""):
    answers = ['http-request return status 200 content-type application/octet-stream lf-string "%s\\n" if { path /%s }' % (name, name)
               for name in ("small", "blocked", "other", "index.html")]
    path = os.path.join(folder, "haproxy.cfg")
    write(path, HAPROXY.format(listen=listen_text(address), bind=bind, main=main, answers="\n    ".join(answers)))
    return ["haproxy"] + list(options) + ["-f", path]


APACHE = """ServerRoot "{folder}"
ServerName weir.test
DefaultRuntimeDir "{folder}"
PidFile "{folder}/apache.pid"
{modules}
Listen {listen}
ErrorLog "{folder}/error.log"
LogFormat "%m %U%q %>s" seen
CustomLog "{folder}/requests.log" seen
{user}
DocumentRoot "{root}"
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
Timeout 60
{limits}
DavLockDB "{folder}/locks"
<Directory "{root}">
    Require all granted
    Options None
    AllowOverride None
</Directory>
<Location "/store">
    Dav On
</Location>
{more}
"""
APACHE_MODULES = ("authn_core", "authz_core", "dav", "dav_fs")
LIMITS = {"event": "StartServers 1\nServerLimit 2\nThreadsPerChild 50\nMaxRequestWorkers 100\nMinSpareThreads 1\nMaxSpareThreads 100",
          "prefork": "StartServers 30\nMinSpareServers 1\nMaxSpareServers 60\nMaxRequestWorkers 60"}


def apache(mpm):
    def command(folder, address, more=""):
        root = files(folder)
        os.makedirs(os.path.join(root, "store"))
        os.chmod(os.path.join(root, "store"), 0o777)
        os.chmod(folder, 0o777)  # its locks
        names = APACHE_MODULES + ("mpm_" + mpm,)
        modules = "\n".join("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so" % (name, name) for name in names)
        user = "User www-data\nGroup www-data" if os.getuid() == 0 else ""
        path = os.path.join(folder, "apache.conf")
        write(path, APACHE.format(folder=folder, listen=listen_text(address), modules=modules, user=user, root=root,
                                  limits=LIMITS[mpm], more=more))
        return ["apache2", "-D", "FOREGROUND", "-f", path]
    return command


VARNISH = """vcl 4.1;
backend origin {{ .host = "{host}"; .port = "{port}"; }}
sub vcl_recv {{ return (pass); }}
"""


def varnish(folder, address, origin=None, wire="HTTP"):
    path = os.path.join(folder, "t.vcl")
    write(path, VARNISH.format(host=origin[0], port=origin[1]))
    return ["varnishd", "-F", "-j", "none", "-n", os.path.join(folder, "work"), "-a", listen_text(address) + "," + wire, "-T", "none", "-f", path,
            "-s", "malloc,16m", "-p", "timeout_idle=60", "-p", "thread_pools=1", "-p", "thread_pool_min=50", "-p", "vsl_space=1M"]


SQUID = """http_port {host}:{port} accel defaultsite=weir.test no-vhost
cache_peer {origin_host} parent {origin_port} 0 no-query originserver name=origin
http_access allow all
cache deny all
cache_mem 8 MB
access_log none
cache_store_log none
cache_log {folder}/cache.log
pid_filename none
netdb_filename none
coredump_dir {folder}
pinger_enable off
shutdown_lifetime 1 seconds
client_idle_pconn_timeout 60 seconds
via off
"""


def squid(folder, address, origin=None):
    os.chmod(folder, 0o777)
    path = os.path.join(folder, "squid.conf")
    write(path, SQUID.format(host=address[0], port=address[1], origin_host=origin[0], origin_port=origin[1], folder=folder))
    return ["squid", "-N", "-f", path]


FRONTENDS = {
    "haproxy": Kind(haproxy, ["haproxy"], echo="/echo", log="output"),
    "apache-event": Kind(apache("event"), ["apache2"], big=True, echo="/store/", log="file", http09=True),
    "apache-prefork": Kind(apache("prefork"), ["apache2"], big=True, echo="/store/", log="file", http09=True),
    "varnish": Kind(varnish, ["varnishd"], echo="/echo", slow=True, big=True, origin="asyncio", **BLOCKING),
    "squid": Kind(squid, ["squid"], echo="/echo", slow=True, big=True, origin="asyncio", http09=True),
}
