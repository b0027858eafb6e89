"""What is filled into Markdown pages: tables of fields between <!-- fields: TABLE --> and <!-- /fields -->, files of rules/examples/
between <!-- example: NAME --> and <!-- /example -->."""
import re

EXAMPLE = re.compile(r"(<!-- example: ([\w-]+) -->\n)(.*?)(<!-- /example -->\n)", re.S)
REGION = re.compile(r"(<!-- fields: (\w+) -->\n)(.*?)(<!-- /fields -->\n)", re.S)


def cell(text):
    return text.replace("|", "\\|")


def row(cells):
    return "| %s |\n" % " | ".join(cells)


def table(reference, name):
    fields = [field for field in reference.tables[name] if not field.later]
    head = ["field", "values", "default", "meaning"]
    if name == "resource":
        head.insert(1, "of")
    yield row(map(reference.phrase, head)) + row(["---"] * len(head))
    for field in fields:
        mark = " •" if name == "common" and field.name in reference.general else ""
        cells = ["`%s`%s" % (field.name, mark), field.values(), field.default_shown(), field.text]
        if name == "resource":
            kinds = reference.kinds_of(field.name)
            cells.insert(1, ", ".join(kinds) if len(kinds) < 5 else reference.phrase("all"))
        yield row(map(cell, cells))


def filled(reference, text, problems, name):
    shown = {found[2] for found in REGION.finditer(text)}
    problems += ["%s: no region <!-- fields: %s -->" % (name, table) for table in reference.tables if table not in shown]
    problems += ["%s: <!-- fields: %s -->: there is no such table" % (name, table) for table in shown if table not in reference.tables]
    return REGION.sub(lambda found: found[1] + ("".join(table(reference, found[2])) if found[2] in reference.tables else "") + found[4], text)


def with_examples(text, read):
    """Each a whole file, as it stands."""
    return EXAMPLE.sub(lambda found: "%s```jsonc\n%s```\n%s" % (found[1], read("rules/examples/%s.json" % found[2]), found[4]), text)
