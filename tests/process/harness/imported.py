"""Rules that `weir import` has made of another product's configuration."""
import json
import os
import re

import weirtest


def rules_of(box, product, *files, left_out=0):
    """The rules file that it makes of them, valid, and what is in it. `left_out`: so many things are listed as not carried over."""
    box.count += 1
    path = os.path.join(box.path, "imported%d.json" % box.count)
    done = box.weir("import", "--from", product, "-a", box.app, "-o", path, *files, check=0)
    assert done.stderr.count("not carried over: ") == left_out, done.stderr
    box.weir("check", path, check=0)
    with open(path) as file:
        text = file.read()
    rules = weirtest.Rules.__new__(weirtest.Rules)
    rules.path, rules.app, rules.said = path, None, done.stderr
    return rules, content(text)


def content(text):
    """Comments are lines of their own, or behind all else."""
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M))


def written(box, name, text):
    path = os.path.join(box.path, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def refused(box, product, path, *words):
    """Nothing is written, and the message says where and what."""
    target = os.path.join(box.path, "never.json")
    done = box.weir("import", "--from", product, "-o", target, path, check=2)
    for word in words:
        assert word in done.stderr, (word, done.stderr)
    assert not os.path.exists(target)


def by_id(content_, section, name):
    found = [rule for rule in content_.get(section, []) if rule["id"] == name]
    assert len(found) == 1, (section, name, content_.get(section))
    return found[0]
