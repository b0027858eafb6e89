#!/usr/bin/python3
"""`weir check` and `weir explain` without rules on the command line: those of the service, said on stderr; the app is found by the port, or
chosen from a list; nothing there is an error that says what to do."""
import json
import os
import subprocess
import sys

import weirtest

# In a mount namespace of its own, /etc is a folder of the test's.
PLACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(None, b"/", None, 0x44000, None) != 0 or libc.mount(sys.argv[1].encode(), b"/etc", None, 0x1000, None) != 0:
    sys.exit(77)
os.execv(sys.argv[2], sys.argv[2:])
"""
SHOP = {"app": "shop", "flow": [{"id": "cart", "resource": "GET:/cart", "count": 5}, {"id": "all", "resource": "http::8080", "count": 50}]}
MAIL = {"app": "mail", "resources": [{"kind": "listener", "name": "post", "port": 2525}], "flow": [{"id": "inbox", "resource": "GET:/cart", "count": 7}]}


class Place:
    def __init__(self, box):
        self.box, self.etc = box, os.path.join(box.path, "etc")
        os.makedirs(os.path.join(self.etc, "weir"))

    def put(self, name, content):
        path = os.path.join(self.etc, "weir", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))

    def weir(self, *arguments, status=0):
        done = subprocess.run(["unshare", "-m", sys.executable, "-c", PLACE, self.etc, weirtest.WEIR, *arguments], env=self.box.environment(),
                              capture_output=True, text=True, timeout=60)
        if done.returncode == 77:
            raise weirtest.Skip("no mounts here")
        assert done.returncode == status, (arguments, done)
        return done


def explained(place, *options, app, rules):
    done = place.weir("explain", "--json", *options, "--", "GET /cart")
    result = json.loads(done.stdout)
    found = {rule["id"] for resource in result["resources"] for rule in resource["rules"]}
    assert result["app"] == app and rules <= found and "the installed rules, /etc/weir/rules.d" in done.stderr, (result, done.stderr)
    return done.stderr


def installed():
    if os.getuid() != 0:
        raise weirtest.Skip("a mount namespace of its own needs root")
    with weirtest.Sandbox() as box:
        place = Place(box)
        for command, words in ((["check"], ["/etc/weir/rules.d: No such file", "nothing to check"]),
                               (["explain", "--", "GET /cart"], ["/etc/weir/rules.d: No such file", "-r FILE"])):
            done = place.weir(*command, status=2)
            assert done.stdout == "" and all(word in done.stderr for word in words), done
        place.put("rules.d/README", "")
        assert "no *.json files" in place.weir("check", status=2).stderr

        place.put("rules.d/folder.json/README", "")
        assert "no *.json files" in place.weir("check", status=2).stderr, "the agent passes it over, too"

        place.put("rules.d/shop.json", SHOP)
        done = place.weir("check")
        assert "/etc/weir/rules.d/shop.json: ok, app shop, 2 rules" in done.stdout and "the installed rules, /etc/weir/rules.d" in done.stderr, done
        explained(place, app="shop", rules={"cart"})

        place.put("rules.d/mail.json", MAIL)
        done = place.weir("explain", "--", "GET /cart", status=2)
        assert "of 2 apps" in done.stderr and "-a APP" in done.stderr and "mail, shop" in done.stderr, done
        explained(place, "-a", "mail", app="mail", rules={"inbox"})
        assert "as its rules name port 8080" in explained(place, "-P", "8080", app="shop", rules={"cart", "all"})
        assert "as its rules name port 2525" in explained(place, "-P", "2525", app="mail", rules={"inbox"})

        place.put("rules.d/mail.json", "{ broken")
        assert "/etc/weir/rules.d/mail.json:1:3: error" in place.weir("check", status=2).stderr

        place.put("weir.json", '{ // the service\'s\n "rules": ["/etc/weir/other/mail.json"] }')
        place.put("other/mail.json", MAIL)
        done = place.weir("check")
        assert "/etc/weir/other/mail.json: ok, app mail" in done.stdout and "shop" not in done.stdout + done.stderr, done


weirtest.main(installed)
