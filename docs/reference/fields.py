"""The fields of rules files: the parser's tables (build/weir-tables) joined with what fields.toml says of them."""
import json
import os
import re
import subprocess
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# the parser's name of a table: the name in fields.toml and in the documents
NAMES = {"file_table": "file", "match_table": "match", "options_table": "options", "action_table": "blockAction", "route_table": "resource",
         "predicate_table": "predicate", "param_table": "param", "range_file_table": "rangeFile", "item_table": "item",
         "cluster_table": "clusterConfig", "canary_table": "canary", "when_table": "when"}
NO_MAX = 1e15
UNITS = {1e6: "ms", 1e9: "s"}


def number(value):
    return "%d" % value if value == int(value) else "%.15g" % value


def is_literal(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class Field:
    def __init__(self, row, said, phrase):
        self.name, self.type = row["name"], row["type"]
        self.required, self.nullable = row["required"], row["nullable"]
        self.min, self.max, self.unit = row["min"], row["max"], row["unit"]
        self.words = row.get("words", [])
        self.code = row.get("default")  # what a rule starts with, if the parser's tables say so
        said = {"text": said} if isinstance(said, str) else said
        self.said, self.text = said, said["text"]
        self.schema_name, self.later, self.phrase = said.get("schema"), said.get("later", False), phrase

    def word_of(self, code):
        return next(word for word, value in self.words if value == code)

    def default(self):
        """As (text, literal): a word, number or true/false of the file, or words about it; None: there is none."""
        if self.required:
            return self.phrase("required"), False
        if "default" in self.said:
            text = self.said["default"]
            if text.startswith("`"):
                return text.strip("`"), True
            known = is_literal(text) or text in [word for word, _ in self.words]
            return text, known
        if self.code is None or (self.nullable and not self.code) or (self.type == "time" and not self.code and self.min > 0):
            return None, False
        if self.words:
            return self.word_of(self.code), True
        return json.dumps(self.code) if isinstance(self.code, bool) else number(self.code), True

    def default_shown(self):
        text, literal = self.default()
        if text is None:
            return "–"
        if not literal:
            return self.phrase(text)
        code = [value for word, value in self.words if word == text]
        return "`%s` (%d)" % (text, code[0]) if code and self.numbered() else "`%s`" % text

    def numbered(self):
        """The file may give the number instead of the word."""
        return self.type == "code" or self.name == "matchStrategy"

    def words_shown(self):
        """`direct` (0), `relate` (1); a word that repeats a number is another spelling of the first."""
        shown = {}
        for word, code in self.words:
            shown.setdefault(code, []).append("`%s`" % word)
        for code, words in shown.items():
            notes = ([str(code)] if self.numbered() else []) + ([self.phrase("also") + " " + ", ".join(words[1:])] if words[1:] else [])
            yield words[0] + (" (%s)" % ", ".join(notes) if notes else "")

    def range_shown(self):
        unit = " " + UNITS[self.unit] if self.unit else ""
        if self.max >= NO_MAX:
            return "≥ %s%s" % (number(self.min), unit)
        return "%s %s %s%s" % (number(self.min), self.phrase("to"), number(self.max), unit)

    def values(self):
        if "values" in self.said:
            return self.phrase(self.said["values"])
        if self.words:
            return ", ".join(self.words_shown())
        if self.type == "boolean":
            return "`true`, `false`"
        if self.type == "text":
            return self.phrase("text up to {} bytes").format(number(self.max)) if self.max < 4000 else self.phrase("text")
        if self.type == "custom" and self.max:
            return self.range_shown() + self.phrase(", or -1 (not in force)")
        return self.range_shown()


class Reference:
    def __init__(self, program, language=None):
        dump = json.loads(subprocess.run([program], capture_output=True, check=True, text=True).stdout)
        self.said = self.read("fields.toml")
        self.other = self.read("fields.%s.toml" % language) if language else {}
        self.untranslated = set()
        self.route_fields = dump["routeFields"]
        self.tables, self.problems, used = {}, [], set()
        rows = {NAMES[name]: fields for name, fields in dump["tables"].items()}
        rows["common"] = dump["kinds"]["flow"]["common"]
        rows |= {kind: tables["own"] for kind, tables in dump["kinds"].items()}
        self.kinds = {kind: [row["name"] for row in tables["common"]] for kind, tables in dump["kinds"].items()}
        self.general = self.kinds["system"]
        for table, fields in rows.items():
            order = list(self.said.get(table, {}))
            self.tables[table] = sorted((self.field(table, row, used) for row in fields), key=lambda field: order.index(field.name) if field.name in order else 0)
        self.add_differing_defaults(dump["kinds"], used)
        self.problems += ["fields.toml: [%s] %s: no such field in the parser's tables" % key for key in sorted(
            {(table, name) for table, fields in self.said.items() for name in fields} - used)]

    @staticmethod
    def read(name):
        with open(os.path.join(HERE, name), "rb") as file:
            return tomllib.load(file)

    def phrase(self, text):
        if self.other and text not in self.other["phrases"] and re.search(r"[A-Za-z]{2}", re.sub(r"`[^`]*`", "", text)):
            self.untranslated.add(text)
        return self.other.get("phrases", {}).get(text, text)

    def meaning(self, table, name):
        """What fields.toml says; "flow" stands for what it says of flow's field of that name."""
        said = self.said.get(table, {}).get(name)
        return (said, table) if said != "flow" else (self.said["flow"].get(name), "flow")

    def field(self, table, row, used):
        said, where = self.meaning(table, row["name"])
        if said is None:
            self.problems.append("fields.toml: [%s] has no entry for \"%s\"" % (table, row["name"]))
            said = "?"
        used.add((table, row["name"]))
        if self.other:
            said = self.translated(where, row["name"], said)
        return Field(row, said, self.phrase)

    def translated(self, table, name, said):
        text = self.other.get(table, {}).get(name)
        if text is None:
            self.problems.append("fields of the other language: [%s] has no entry for \"%s\"" % (table, name))
            return said
        original = said if isinstance(said, str) else said["text"]
        lost = set(re.findall(r"`[^`]+`", original)) - set(re.findall(r"`[^`]+`", text))
        if lost:
            self.problems.append("fields of the other language: [%s] %s does not mention %s" % (table, name, ", ".join(sorted(lost))))
        return dict({} if isinstance(said, str) else said, text=text)

    def add_differing_defaults(self, kinds, used):
        """A common field with another default in some kind stands in that kind's own table, too (adaptive's mode); and one
        of which fields.toml says something there (authority's limitApp)."""
        usual = {row["name"]: row.get("default") for row in kinds["flow"]["common"]}
        for kind, tables in kinds.items():
            rows = [row for row in tables["common"] if row.get("default") != usual[row["name"]] or row["name"] in self.said.get(kind, {})]
            for row in reversed(rows):
                table = kind if row["name"] in self.said.get(kind, {}) else "common"
                self.tables[kind].insert(0, self.field(table, row, used))

    def kinds_of(self, field):
        return list(self.route_fields.get(field, {"route": True, "api": True, "listener": True, "downstream": True, "origin": True}))
