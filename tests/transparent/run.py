#!/usr/bin/python3
"""No harm, said by third parties: CPython's own suites (Debian's libpython3.11-testsuite), Tornado's and Twisted's (their packages
bring them), each run bare and under `weir run` with rules that watch everything and admit everything. Test by test, nothing may fail that passes without.

    tests/transparent/run.py [SUITE…]        (make check-transparent)

What failed under weir only is run again, bare and protected, up to twice: what then agrees was flaky and is listed as such.
WEIR_TRANSPARENT=all adds the long suites, =quick leaves the quick ones (make check). The compared tests, one a line, go to WEIR_BUILD/transparent/compared.txt.
Exit status: 0 nothing lost, 77 the suites are not installed, 1 something lost.
# timeout: 2400"""
import concurrent.futures
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "process"))
import weirtest  # noqa: E402

PYTHON = "/usr/bin/python3.11"
SUITES = ["test_asyncio", "test_multiprocessing_fork", "test_ssl", "test_socket", "test_subprocess", "test_selectors",
          "test_ftplib", "test_urllib2_localnet", "test_httpservers", "test_httplib", "test_socketserver", "test_select",
          "test_epoll", "test_poll", "test_poplib", "test_imaplib", "test_smtplib", "test_xmlrpc"]
QUICK = ["test_selectors", "test_httpservers", "test_httplib", "test_socketserver", "test_select", "test_epoll", "test_poll"]
LONG = ["test_multiprocessing_forkserver", "test_multiprocessing_spawn", "test_multiprocessing_main_handling", "test_os",
        "test_signal", "test_threading", "test_concurrent_futures", "test_urllib2", "test_wsgiref", "test_logging",
        "test_pty", "test_fork1", "test_posix", "test_mailbox", "test_telnetlib", "test_nntplib", "test_docxmlrpc"]
# Suites that packages bring with their code, run by pytest: modules of Debian's python3-tornado and python3-twisted.
PACKAGES = {
    "tornado": ["tornado.test." + name + "_test" for name in (
        "httpserver", "simple_httpclient", "iostream", "websocket", "tcpserver", "web", "http1connection", "httpclient", "netutil", "process")],
    "twisted": ["twisted.test.test_" + name for name in ("tcp", "protocols", "ftp", "unix", "process")] +
               ["twisted.internet.test.test_" + name for name in ("tcp", "unix", "endpoints")],
}
# vsock needs a hypervisor that loops back; where the guest has the device but not that, the bare test waits for ever
IGNORE = ["ThreadedVSOCKSocketStreamTest"]
NETWORK = {"test_socketserver"}  # asks for the resource "network", and means loopback
PATIENCE_S = 420  # with one suite
EVERYTHING = {"resource": ".*", "resourceMatch": "regex", "count": 1000000000}
RULES = {"flow": [dict(EVERYTHING, id="qps"), dict(EVERYTHING, id="thread", grade="thread"), dict(EVERYTHING, id="app", scope="app")],
         "isolation": [dict(EVERYTHING, id="in-flight")],
         "degrade": [{"id": "errors", "resource": ".*", "resourceMatch": "regex", "grade": "exceptionCount",
                      "count": 1000000000, "timeWindow": 1}]}

def say(*words):
    print(*words, flush=True)


def outcomes(path):
    """{test: 'passed' | 'failed' | 'skipped'} of a JUnit file."""
    found = {}
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        tags = {child.tag for child in case}
        result = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        name = case.get("name")
        found[name] = "failed" if "failed" in (result, found.get(name)) else result
    return found


def command_of(suite, report, temporary, only):
    if suite in PACKAGES:
        command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml=" + report, "--basetemp=" + os.path.join(temporary, "t")]
        return command + (["-k", " or ".join(only)] if only else []) + ["--pyargs"] + PACKAGES[suite]
    command = [PYTHON, "-m", "test", "--timeout=%d" % (PATIENCE_S - 20), "--junit-xml", report, "--tempdir", temporary]
    for name in IGNORE:
        command += ["-i", name]
    for name in only:
        command += ["-m", name]
    return command + (["-u", "network"] if suite in NETWORK else []) + [suite]


class Run:
    """One suite, bare or protected. `outcome` None: it did not come to its end."""

    def __init__(self, suite, protected, only=()):
        with weirtest.Sandbox(app="transparent") as box:
            report = os.path.join(box.path, "report.xml")
            temporary = os.path.join(box.path, "tmp")
            os.mkdir(temporary)
            os.chmod(temporary, 0o777)
            command = command_of(suite, report, temporary, only)
            environment = box.environment(TMPDIR=temporary, PYTHONDONTWRITEBYTECODE="1")
            begin = time.monotonic()
            if protected:
                program = box.weir_run(suite, box.rules(RULES), command, environment)
            else:
                program = box.start(suite, command, environment)
            try:
                self.status = program.popen.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.status = "timeout"
            self.seconds = time.monotonic() - begin
            self.output = program.output()
            try:
                self.outcome = outcomes(report)
            except (OSError, xml.etree.ElementTree.ParseError):
                self.outcome = None
            if protected and "attached (" not in self.output:  # as the agent logs it of every process
                self.outcome, self.output = None, "the suite ran unprotected:\n" + self.output


def lost(bare, protected):
    return sorted(name for name, result in bare.items()
                  if result == "passed" and protected.get(name, "missing") != "passed")


class Comparison:
    def __init__(self, suite):
        self.suite, self.lost, self.flaky, self.compared = suite, [], [], []
        bare = Run(suite, False)
        if bare.outcome is None:
            self.note = "not compared: bare it ended with %s after %.0f s" % (bare.status, bare.seconds)
            say("SKIP %-32s %s\n%s" % (suite, self.note, weirtest.shown(bare.output)[-1500:]))
            return
        protected = Run(suite, True)
        if protected.outcome is None:
            self.lost, self.note = [suite], "under weir it ended with %s after %.0f s" % (protected.status, protected.seconds)
            say("FAIL %-32s %s\n%s" % (suite, self.note, weirtest.shown(protected.output)))
            return
        self.compared = sorted(name for name, result in bare.outcome.items() if result == "passed")
        self.lost = lost(bare.outcome, protected.outcome)
        gone = self.lost and protected
        for _ in range(2):
            if self.lost:
                self.again()
        self.note = "%d tests compared, %d lost, %d flaky (bare %.0f s, under weir %.0f s)" % (
            len(self.compared), len(self.lost), len(self.flaky), bare.seconds, protected.seconds)
        say("%s %-32s %s" % ("FAIL" if self.lost else "ok  ", suite, self.note))
        for name in self.lost:
            say("     lost: " + name)
        if self.lost:
            say(weirtest.shown(gone.output))

    def again(self):
        """The suspects once more: bare they must pass to be held against weir."""
        bare, protected = Run(self.suite, False, self.lost), Run(self.suite, True, self.lost)
        if bare.outcome is None or protected.outcome is None:
            return
        still = [name for name in self.lost if bare.outcome.get(name) == "passed" and
                 protected.outcome.get(name, "missing") != "passed"]
        self.flaky += [name for name in self.lost if name not in still]
        self.lost = still


def main():
    weirtest.need_build()
    if not os.path.exists(PYTHON) or subprocess.run([PYTHON, "-c", "import test.test_socket"], stderr=subprocess.DEVNULL).returncode:
        print("CPython's suites are not installed (libpython3.11-testsuite)")
        sys.exit(weirtest.SKIPPED)
    extent = os.environ.get("WEIR_TRANSPARENT")
    suites = sys.argv[1:] or (QUICK if extent == "quick" else SUITES + list(PACKAGES) + (LONG if extent == "all" else []))
    # processes, not threads: a sandbox ends every process below its own, and nobody else's
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        done = list(pool.map(Comparison, suites))
    folder = os.path.join(weirtest.BUILD, "transparent")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(folder, "compared.txt"), "w") as file:
        for one in done:
            for name in one.compared:
                word = "lost" if name in one.lost else "flaky" if name in one.flaky else "same"
                file.write("%s %s\n" % (word, name))
    compared, gone = sum(len(one.compared) for one in done), sum(len(one.lost) for one in done)
    not_compared = [one.suite for one in done if not one.compared and not one.lost]
    print("result: %d tests of %d suites pass bare; under weir %d of them are lost, %d flaky; the list: %s" % (
        compared, len(suites), gone, sum(len(one.flaky) for one in done), os.path.join(folder, "compared.txt")))
    if not_compared:
        print("result: NOT COMPARED: " + ", ".join(not_compared))
    sys.exit(1 if gone or not compared else 0)


if __name__ == "__main__":
    main()
