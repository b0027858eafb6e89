#!/usr/bin/python3
"""Every way in which a rules file is edited: rename over, in place, symlink swap (as kubectl and ConfigMaps do), half-written and
completed later, deleted and created again, a directory of fragments. In force at once, and never less than before."""
import json
import os

import weirtest


def answers(server, target="/small"):
    return weirtest.ask(server.address, target=target).status


def block(*names):
    return {"flow": [{"resource": "GET:/" + name, "count": 0} for name in names]}


def file_edits():
    with weirtest.Sandbox() as box:
        rules = box.rules(block())
        server = box.serve("nginx", rules)
        assert answers(server) == 200
        for how in ("save", "overwrite"):
            box.edit(rules, block("small"), how)
            assert answers(server) == 429, how
            box.edit(rules, block(), how)
            assert answers(server) == 200, how

        text = rules.text(block("small"))
        box.spoil(rules, text[:len(text) // 2], "overwrite")  # a writer that has not finished
        assert answers(server) == 200
        version = box.version()
        with open(rules.path, "a") as file:
            file.write(text[len(text) // 2:])
        weirtest.until(lambda: box.version() != version, "the completed file to be read")
        assert answers(server) == 429
        assert box.file_state(rules)["state"] == "ok", box.file_state(rules)

        version = box.version()  # an editor that moves the old file out of the way first
        os.rename(rules.path, rules.path + "~")
        rules.overwrite(block("small", "big"))
        weirtest.until(lambda: box.version() != version, "the new file to be read")
        assert (answers(server), answers(server, "/big")) == (429, 429)

        os.unlink(rules.path)  # gone permanently: reported, and what was in force stays
        weirtest.until(lambda: box.file_state(rules)["state"] == "error", "the deletion to be noticed")
        assert "o such file" in box.file_state(rules)["errors"][0]["message"], box.file_state(rules)
        assert (answers(server), answers(server, "/big")) == (429, 429), "the rules went with the file"
        version = box.version()
        rules.save(block("other"))
        weirtest.until(lambda: box.version() != version, "the new file to be read")
        assert (answers(server), answers(server, "/other")) == (200, 429)

        os.chmod(rules.path, 0o600)
        os.utime(rules.path)  # touched, with the same content: nothing to publish, nothing to complain about
        assert (answers(server), answers(server, "/other")) == (200, 429)


def symlink_swap():
    """DIR/rules.json -> ..data/rules.json, ..data -> ..1: the swap renames only ..data."""
    with weirtest.Sandbox() as box:
        folder = os.path.join(box.path, "config")
        os.mkdir(folder)

        def version(number, rules):
            os.mkdir(os.path.join(folder, "..%d" % number))
            with open(os.path.join(folder, "..%d" % number, "rules.json"), "w") as file:
                json.dump(dict(rules, app=box.app), file)
            os.symlink("..%d" % number, os.path.join(folder, "..data.new"))
            os.rename(os.path.join(folder, "..data.new"), os.path.join(folder, "..data"))
        version(1, block("small"))
        os.symlink("..data/rules.json", os.path.join(folder, "rules.json"))
        server = box.serve("nginx", folder)
        assert (answers(server), answers(server, "/other")) == (429, 200)
        assert len([entry for entry in box.status()["files"]]) == 1, box.status()["files"]  # ..data is no second one
        for number, names, expected in ((2, ["other"], (200, 429)), (3, [], (200, 200)), (4, ["small"], (429, 200))):
            before = box.version()
            version(number, block(*names))
            weirtest.until(lambda: box.version() != before, "swap number %d to be published" % number)
            assert (answers(server), answers(server, "/other")) == expected


def directory():
    """Fragments add up; a broken one keeps its last good self; one that goes takes its rules along."""
    with weirtest.Sandbox() as box:
        folder = os.path.join(box.path, "rules.d")
        os.mkdir(folder)
        a = weirtest.Rules(os.path.join(folder, "10-a.json"), block("small"), box.app)
        server = box.serve("nginx", folder)
        assert (answers(server), answers(server, "/other")) == (429, 200)
        before = box.version()
        b = weirtest.Rules(os.path.join(folder, "20-b.json"), block("other"), box.app)
        weirtest.until(lambda: box.version() != before, "the new fragment to be published")
        assert (answers(server), answers(server, "/other")) == (429, 429)
        box.spoil(b, "{ this is no JSON")
        assert (answers(server), answers(server, "/other")) == (429, 429)
        box.edit(a, block())
        assert (answers(server), answers(server, "/other")) == (200, 429), "a good fragment waits for a broken one"
        for name in ("notes.txt", ".hidden.json", "30-c.json~", "#30-c.json#", ".30-c.json.swp"):
            with open(os.path.join(folder, name), "w") as file:
                file.write("{ not a rules file")
        box.edit(a, block("index.html"))
        assert len(box.status()["files"]) == 2, box.status()["files"]
        before = box.version()
        os.unlink(b.path)
        weirtest.until(lambda: box.version() != before, "the deletion to be published")
        assert (answers(server), answers(server, "/other"), answers(server, "/index.html")) == (200, 200, 429)


weirtest.main(file_edits, symlink_swap, directory)
