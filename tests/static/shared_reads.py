#!/usr/bin/python3
"""A word of shared memory is read once, then checked, then used.

In each function: a field of a record that other processes write (a pointer to one of SHARED) is read plainly at most once, or by the
accessors of rules/atomic.h alone; a second read could bring another value than the one that was checked. Copies of records are values,
or pointers that are declared const next to a load_record() or publish_copy_slot() of the same function."""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("rules/*.[ch]", "rules/engine/*.[ch]", "rules/engine/limiters/*.[ch]", "rules/naming/*.[ch]", "agent/*/*.[ch]", "shim/process/*.[ch]")
SHARED = ("layout_process", "layout_resource", "layout_stats", "layout_stat_shard", "layout_second", "layout_hit", "layout_event",
          "layout_rejection", "layout_hot", "layout_area", "layout_cell_roots", "layout_counters_header", "limiter_state", "custody",
          "in_flight_shared", "window", "breaker", "hot", "set", "origins")
# Functions whose records are private: copies, or made by the caller alone before anything else can have them.
PRIVATE = {"counters_format", "make_other", "write_directory", "tame", "add_entry", "publish_one", "rejections_example", "note_metrics",
           "event_text_state", "take_state", "unseen_text", "hot_text", "retry_of", "add_limit", "says_the_same"}
# Fields that are arrays: what is passed on is their place.
ARRAYS = ("name", "address", "holders", "app", "rule_id", "origin", "trace", "values", "served_by")
FUNCTION = re.compile(r"^[A-Za-z_][^;{}#]*?\b(\w+)\(([^;{}]*)\)\s*\{\n(.*?)^\}", re.S | re.M)
ATOMIC = re.compile(r"(?:load_\w+|store_\w+|add_\w+|sub_\w+|atomic_\w+|__atomic_\w+|alone_\w+|LOAD|sizeof|offsetof|metrics_text)\s*\((?:[^()]|\([^()]*\))*\)")


def plain_reads(text, name):
    """Expressions NAME->FIELD that are read outside the accessors, with how often."""
    text = ATOMIC.sub("", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    counts = {}
    for found in re.finditer(r"(?<![\w.>&])%s->(\w+)((?:\[[^\]]*\])*)(\s*(?:=(?!=)|[-+|&^]=|\+\+|--))?" % re.escape(name), text):
        if not found.group(3):
            counts[found.group(1) + found.group(2)] = counts.get(found.group(1) + found.group(2), 0) + 1
    return counts


def faults(path):
    with open(path) as file:
        source = file.read()
    for function in FUNCTION.finditer(source):
        name, parameters, body = function.groups()
        if name in PRIVATE:
            continue
        pointers = re.findall(r"struct (?:%s) \*(?:const )?(\w+)" % "|".join(SHARED), parameters + ";" + body)
        for pointer in sorted(set(pointers)):
            for field, count in plain_reads(body, pointer).items():
                if count > 1 and field not in ARRAYS and not re.search(r"\b%s->%s\[" % (pointer, re.escape(field)), body):
                    yield "%s: %s(): %s->%s is read %d times" % (os.path.relpath(path, ROOT), name, pointer, field, count)


found, files = [], 0
for pattern in FOLDERS:
    for path in sorted(glob.glob(os.path.join(ROOT, pattern))):
        files += 1
        found += faults(path)
print("\n".join(found) or "%d files, no word of shared memory is read twice" % files)
sys.exit(1 if found or not files else 0)
