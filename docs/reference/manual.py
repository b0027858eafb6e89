"""weir-rules(5) from docs/rules.md: headings, paragraphs, lists, code and tables.  What stands between <!-- web --> and
<!-- /web --> is for readers of the page alone."""
import re
import textwrap

HEAD = '''.\\" Written by docs/reference/generate.py (make docs) from docs/rules.md: edit that.
.TH WEIR\\-RULES 5
.SH NAME
weir\\-rules \\- rules files of weir: every section, field, default and limit
.SH DESCRIPTION
'''
TAIL = '''.SH FILES
.TP
.I /etc/weir/rules.d/*.json
The rules that
.BR weir\\-agent (8)
publishes. It notices changes by itself.
.TP
.I /usr/share/weir/examples/
An example for each kind of rule, and for some situations.
.TP
.I /usr/share/weir/weir\\-rules.schema.json
The JSON Schema, for editors.
.SH SEE ALSO
.BR weir (1),
.BR weir\\-check (1),
.BR weir\\-explain (1),
.BR weir\\-run (1),
.BR weir.json (5),
.BR weir\\-agent (8)
'''


def escaped(text):
    return text.replace("\\", "\\e").replace("-", "\\-")


def inline(text):
    """One line of roff: code and strong words in bold, links as their text."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text.replace("\\|", "|"))
    parts = re.split(r"(`[^`]*`|\*\*[^*`]+\*\*|\*[^*` ][^*`]*\*)", text)
    shown = []
    for part in parts:
        if part.startswith("`"):
            shown.append("\\fB%s\\fR" % re.sub(r"(^| )(?=[^ ]*[A-Za-z])", r"\1\\%", escaped(part[1:-1])))
        elif part.startswith("**"):
            shown.append("\\fB%s\\fR" % escaped(part[2:-2]))
        elif part.startswith("*") and part.endswith("*") and len(part) > 2:
            shown.append("\\fI%s\\fR" % escaped(part[1:-1]))
        else:
            shown.append(part.replace("\\", "\\e"))
    return " ".join("\\%" + word.replace("\\%", "") if "\\%" in word else word for word in "".join(shown).split(" "))


def paragraph(text):
    """Lines of roff; none of them a request by accident."""
    lines = []
    for sentence in re.split(r"(?<=[.:;]) (?=[A-Z`])", inline(text)):
        lines += textwrap.wrap(sentence, 110, break_long_words=False, break_on_hyphens=False)
    return "".join(("\\&" if line[0] in ".'" else "") + line + "\n" for line in lines)


def cells(line):
    return [part.strip().replace("\\|", "|") for part in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def fields_entry(head, row):
    """An entry of a table of fields: its name, values and default stand in the term."""
    said = dict(zip(head, row))
    notes = [said["values"]] if said["values"] not in ("–", "") else []
    default = said["default"]
    if default == "required":
        notes.append("required")
    elif default not in ("–", ""):
        notes.append("default: " + default)
    if "of" in said:
        notes.insert(0, "of " + said["of"])
    return said["field"] + (" (%s)" % "; ".join(notes) if notes else ""), said["meaning"]


def plain_entry(head, row):
    if len(row) == 2:
        return row[0], row[1]
    return row[0], ". ".join("%s: %s" % (name, value) for name, value in zip(head[1:], row[1:]) if value)


def table(lines):
    head, rows = cells(lines[0]), [cells(line) for line in lines[2:]]
    entry = fields_entry if head[0] == "field" else plain_entry
    for row in rows:
        term, meaning = entry(head, row)
        yield ".TP\n" + inline(term) + "\n" + paragraph(meaning)


def code(lines):
    yield ".PP\n"
    yield ".RS 4\n.nf\n"
    for line in lines:
        line = escaped(line)
        yield ("\\&" if line[:1] in (".", "'") else "") + line + "\n"
    yield ".fi\n.RE\n"


def items(text):
    """A list, whose items may go on in further lines."""
    for item in re.split(r"^(?=- |\d+\. )", text, flags=re.M):
        found = re.match(r"(-|\d+\.) +(.*)", item, re.S)
        if found:
            mark = "\\(bu" if found[1] == "-" else found[1]
            yield ".IP %s 4\n%s" % (mark, paragraph(" ".join(found[2].split())))


def heading(line):
    level, title = re.match(r"(#+) (.*)", line).groups()
    if level == "##":
        return ".SH %s\n" % escaped(title.upper())
    return ".SS %s\n" % inline(title) if level == "###" else ""


def blocks(text):
    """Blank lines part the page, except within code."""
    block, fenced = [], False
    for line in text.splitlines() + [""]:
        fenced ^= line.startswith("```")
        if line.strip() or fenced:
            block.append(line)
        elif block:
            yield block
            block = []


def manual(page):
    page = re.sub(r"<!-- web -->.*?<!-- /web -->\n", "", page, flags=re.S)
    page = re.sub(r"^<!--.*?-->\n", "", page, flags=re.M)
    page = re.sub(r"^(#+ .*)\n(?!\n)", r"\1\n\n", page, flags=re.M)
    page = re.sub(r"^(?!- |\d+\. |\|| )(.+)\n(?=(- |\d+\. |\|))", r"\1\n\n", page, flags=re.M)
    page = re.sub(r"\n(```\w*\n.*?```\n)", r"\n\n\1\n", page, flags=re.S)
    out, after_heading = [HEAD], True
    for block in blocks(page):
        if block[0].startswith("#"):
            out.append(heading(block[0]))
        elif block[0].startswith("```"):
            out += list(code(block[1:-1]))[after_heading:]
        elif block[0].startswith("|"):
            out += table(block)
        elif re.match(r"- |\d+\. ", block[0]):
            out += items("\n".join(block))
        else:
            out.append(("" if after_heading else ".PP\n") + paragraph(" ".join(" ".join(block).split())))
        after_heading = block[0].startswith("#")
    return "".join(out) + TAIL
