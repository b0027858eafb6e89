"""Servers that are libraries: each with the same small application of ../programs, which notes what it was called with in the file
that REQUEST_LOG names."""
import os
import subprocess

from harness.kind import BLOCKING, PROGRAMS, PYTHON, Kind, files, listen_text, program, write


MODULES, JAVA = "/usr/lib/python3/dist-packages/", "/usr/share/java/"


def _env(command, **variables):
    return ["env"] + ["%s=%s" % pair for pair in variables.items()] + command


def gunicorn(worker, workers):
    def command(folder, address):
        return ["gunicorn", "--worker-class", worker, "--workers", str(workers), "--threads", "1" if worker == "sync" else "20",
                "--bind", listen_text(address), "--keep-alive", "60", "--timeout", "120", "--graceful-timeout", "5",
                "--pythonpath", PROGRAMS, "wsgi_app:app"]
    return command


def waitress(folder, address):
    return _env(["waitress-serve", "--listen=%s:%d" % address, "--threads=8", "wsgi_app:app"], PYTHONPATH=PROGRAMS)


def uwsgi(folder, address):
    return ["uwsgi-core", "--plugins-dir", "/usr/lib/uwsgi/plugins", "--plugin", "http,python3", "--http", "%s:%d" % address,
            "--http-keepalive", "--master", "--die-on-term", "--need-app", "--processes", "2", "--threads", "20", "--pythonpath",
            PROGRAMS, "--module", "wsgi_app:app", "--disable-logging", "--buffer-size", "32768"]


def uvicorn(loop):
    def command(folder, address):
        return [PYTHON, "-m", "uvicorn", "--loop", loop, "--app-dir", PROGRAMS, "--host", address[0], "--port", str(address[1]),
                "--no-access-log", "--timeout-keep-alive", "60", "asgi_app:app"]
    return command


def puma(folder, address):
    return ["puma", "--environment", "production", "--threads", "8:8", "--bind", "tcp://%s:%d" % address,
            os.path.join(PROGRAMS, "answer.ru")]


def thin(folder, address):
    return ["thin", "--address", address[0], "--port", str(address[1]), "--rackup", os.path.join(PROGRAMS, "answer.ru"),
            "--environment", "production", "--log", os.path.join(folder, "thin.log"), "--pid", os.path.join(folder, "thin.pid"),
            "start"]


def php(folder, address):
    return ["php", "-S", "%s:%d" % address, "-t", files(folder, big=False), os.path.join(PROGRAMS, "answer.php")]


def seen_php(folder, address):
    return ["php", "-S", "%s:%d" % address, "-t", files(folder, big=False), os.path.join(PROGRAMS, "seen.php")]


def inets(folder, address):
    """Compiled into the sandbox first."""
    subprocess.run(["erlc", "-o", folder, os.path.join(PROGRAMS, "answer.erl")], check=True)
    return ["erl", "-noshell", "-noinput", "-pa", folder, "-s", "answer", "start", address[0], str(address[1]),
            files(folder, big=False)]


TOMCAT = """<Server port="-1">
  <Service name="t">
    <Connector address="{host}" port="{port}" protocol="org.apache.coyote.http11.{connector}" connectionTimeout="60000"
               keepAliveTimeout="60000" maxKeepAliveRequests="-1" maxThreads="40" minSpareThreads="4"/>
    <Engine name="t" defaultHost="localhost">
      <Host name="localhost" appBase="apps" autoDeploy="false" deployOnStartup="false">
        <Context path="" docBase="{root}" reloadable="false">
          <JarScanner scanClassPath="false"/>
        </Context>
        <Valve className="org.apache.catalina.valves.AccessLogValve" directory="{folder}" prefix="requests" suffix=".log"
               rotatable="false" buffered="false" pattern="%m %U%q %s"/>
      </Host>
    </Engine>
  </Service>
</Server>
"""
TOMCAT_WEB = """<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0" metadata-complete="true">
  <servlet>
    <servlet-name>default</servlet-name>
    <servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class>
    <init-param><param-name>readonly</param-name><param-value>false</param-value></init-param>
    <load-on-startup>1</load-on-startup>
  </servlet>
  <servlet-mapping><servlet-name>default</servlet-name><url-pattern>/</url-pattern></servlet-mapping>
</web-app>
"""
JARS = ["tomcat10-%s.jar" % name for name in (
    "catalina", "coyote", "juli", "util", "servlet-api", "annotations-api", "jni", "jaspic-api", "el-api", "jasper-el", "jsp-api",
    "jasper", "api", "util-scan")]


def tomcat(connector):
    """Its own start class over a configuration of the test's: one connector, the servlet that serves and stores files."""
    def command(folder, address):
        root = files(folder)
        for name in ("conf", "apps", "temp", "work", "logs", "lib", "root/store"):
            os.makedirs(os.path.join(folder, name))
        write(os.path.join(folder, "conf", "server.xml"),
              TOMCAT.format(host=address[0], port=address[1], connector=connector, root=root, folder=folder))
        write(os.path.join(folder, "conf", "web.xml"), TOMCAT_WEB)
        return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-Dcatalina.home=" + folder,
                "-Dcatalina.base=" + folder, "-Djava.io.tmpdir=" + os.path.join(folder, "temp"), "-cp",
                ":".join(JAVA + jar for jar in JARS), "org.apache.catalina.startup.Bootstrap", "start"]
    return command


FRAMEWORKS = {
    "gunicorn-sync": Kind(gunicorn("sync", 6), ["gunicorn"], echo="/echo", keeps_alive=False, lanes=6, **BLOCKING),
    "gunicorn-gthread": Kind(gunicorn("gthread", 2), ["gunicorn"], echo="/echo", pipelines=False, lanes=20, **BLOCKING),
    "waitress": Kind(waitress, ["waitress-serve"], echo="/echo", slow=True, gives_up=True),
    "uwsgi": Kind(uwsgi, ["uwsgi-core", "/usr/lib/uwsgi/plugins/python3_plugin.so"], echo="/echo", pipelines=False),
    "uvicorn": Kind(uvicorn("asyncio"), [PYTHON, MODULES + "uvicorn"], echo="/echo", slow=True),
    "uvicorn-uvloop": Kind(uvicorn("uvloop"), [PYTHON, MODULES + "uvicorn", MODULES + "uvloop"], echo="/echo", slow=True),
    "aiohttp": Kind(program([PYTHON, "-u"], "aiohttp_server.py"), [PYTHON, MODULES + "aiohttp"], echo="/echo", slow=True),
    "puma": Kind(puma, ["puma"], echo="/echo", slow=True, behind_bodies=False),
    "thin": Kind(thin, ["thin"], echo="/echo", pipelines=False, gives_up=True),
    "php": Kind(php, ["php"], echo="/echo", keeps_alive=False, split_line=False),
    "seen-php": Kind(seen_php, ["php"], keeps_alive=False),
    "seen-wsgi": Kind(program([PYTHON, "-u"], "seen_wsgi.py"), [PYTHON], keeps_alive=False, **BLOCKING),
    "inets": Kind(inets, ["erl", "erlc"], echo="/echo"),
    "tomcat-nio": Kind(tomcat("Http11NioProtocol"), ["java", JAVA + JARS[0]], big=True, echo="/store/", log="file", http09=True),
    "tomcat-nio2": Kind(tomcat("Http11Nio2Protocol"), ["java", JAVA + JARS[0]], big=True, echo="/store/", log="file", http09=True),
}
