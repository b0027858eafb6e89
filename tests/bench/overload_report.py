"""What tests/bench/overload.py measured, as tables of Markdown and as a picture."""
import html
import os
import re

from busy_servers import SERVERS
from openload import BIN_S

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
COLOURS = {"none": "#999999", "delay": "#107010", "cpu": "#0050b0", "simulated": "#c04000", "measured": "#107010"}


def _percent(value):
    return "%.0f %%" % (100 * value)


def _ms(value):
    return "–" if value is None else "%.0f ms" % value


def _both(row, cell):
    return " / ".join(cell(step) for step in row["steps"])


def _table(title, columns, rows):
    return ["", title, "", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)] + \
        ["| " + " | ".join(row) + " |" for row in rows]


def _name(row):
    return [SERVERS[row["server"]].title, "kept alive" if row["connections"] == "kept" else "new"]


def _last(row):
    times = [step["last_rejection_s"] for step in row["steps"] if step["last_rejection_s"] is not None]
    return "%.1f s" % max(times) if times else "–"


def _mode(rows, mode, without):
    found = []
    for row in rows:
        if row["mode"] == mode:
            bare = without.get((row["server"], row["connections"]))
            found.append(_name(row) + [
                "%.0f/s" % row["capacity"], _ms(row["unloaded_p99_ms"]),
                "%s; %s" % (_both(bare, lambda step: _percent(step["goodput"])), _both(bare, lambda step: _ms(step["p99_ms"]))) if bare else "",
                _both(row, lambda step: _percent(step["goodput"])), _both(row, lambda step: _ms(step["p99_ms"])),
                _both(row, lambda step: "%s ± %.1f" % (_percent(step["rejected"]), 100 * step["rejected_sd"])), _last(row),
                "yes" if not row["missed"] else "no: " + "; ".join(row["missed"])])
    return found


COLUMNS = ["server", "connections", "capacity", "p99 at a fifth of it", "without: goodput; p99", "goodput", "p99", "rejected", "last rejection",
           "bar met"]


def tables(result):
    """The lines of the section: a table for each mode."""
    without = {(row["server"], row["connections"]): row for row in result["rows"] if row["mode"] == "none"}
    lines = ["Measured %s on %d cores, by `make bench-overload`: 5 ms of CPU for each request, the server on one core, the clients on "
             "another; steps of %g s. Each cell: at 2 times / at 4 times the capacity." % (
                 result["date"][:10], result["cores"], result["seconds"])]
    for mode, when in (("delay", "1 s"), ("cpu", "5 s")):
        rows = _mode(result["rows"], mode, without)
        if rows:
            lines += _table("`%s`, from %s after the step on:" % (mode, when), COLUMNS, rows)
    return lines


def into_page(path, lines):
    """Replaces the page's section between the marks; a page without one is given it at its end."""
    with open(path) as file:
        text = file.read()
    section = BEGIN + "\n" + "\n".join(lines) + "\n" + END
    if BEGIN in text:
        text = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: section, text, flags=re.S)
    else:
        text = text.rstrip("\n") + "\n\n" + section + "\n"
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


# ------------------------------------------------------------------------------------------------------------ picture

WIDTH, HEIGHT, LEFT, GAP = 330, 130, 60, 60


class Picture:
    """Panels side by side and below each other, each with curves over the same seconds."""

    def __init__(self, columns, rows):
        self.lines = ["<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif' font-size='11'>" % (
            LEFT + columns * (WIDTH + GAP), rows * (HEIGHT + GAP) + 40), "<rect width='100%' height='100%' fill='white'/>"]

    def panel(self, column, row, title, seconds, most, ticks, curves):
        """`curves`: [(name, values of each BIN_S, None where there is none)]"""
        x0, y0 = LEFT + column * (WIDTH + GAP), 30 + row * (HEIGHT + GAP)
        self.text(x0, y0 - 8, title)
        for tick in ticks:
            y = y0 + HEIGHT - tick / most * HEIGHT
            self.lines.append("<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' stroke='#ddd'/>" % (x0, x0 + WIDTH, y, y))
            self.text(x0 - 6, y + 4, "%g" % tick, "end")
        for second in range(0, int(seconds) + 1, 5):
            self.text(x0 + second / seconds * WIDTH, y0 + HEIGHT + 14, "%d s" % second, "middle")
        for name, values in curves:
            points, pieces = [], []
            for number, value in enumerate(values):
                if value is None:
                    pieces, points = pieces + [points], []
                else:
                    points.append("%.1f,%.1f" % (x0 + (number + 0.5) * BIN_S / seconds * WIDTH, y0 + HEIGHT - min(value, most) / most * HEIGHT))
            for piece in pieces + [points]:
                if len(piece) > 1:
                    self.lines.append("<polyline fill='none' stroke='%s' stroke-width='1.5' points='%s'/>" % (COLOURS[name], " ".join(piece)))

    def text(self, x, y, words, anchor="start", colour="black"):
        self.lines.append("<text x='%.0f' y='%.0f' text-anchor='%s' fill='%s'>%s</text>" % (x, y, anchor, colour, html.escape(words)))

    def legend(self, row, names):
        for number, (name, words) in enumerate(names):
            self.text(LEFT + number * 190, 30 + row * (HEIGHT + GAP) - 12, "— " + words, colour=COLOURS[name])

    def save(self, path):
        with open(path + ".new", "w") as file:
            file.write("\n".join(self.lines + ["</svg>"]) + "\n")
        os.replace(path + ".new", path)


PICTURED = ("node", "threading")
NAMES = (("none", "without protection"), ("delay", "delay"), ("cpu", "cpu"))


def picture(result, path, kinds=PICTURED, connections="fresh"):
    """Goodput and p99 over time of two servers, with and without."""
    drawing = Picture(len(kinds), 2)
    for column, kind in enumerate(kinds):
        rows = [row for row in result["rows"] if (row["server"], row["connections"]) == (kind, connections)]
        if not rows:
            continue
        seconds = max(len(row["bins"]) for row in rows) * BIN_S
        rows = [row for row in rows if len(row["bins"]) * BIN_S == seconds]  # of the same profile
        parts = ["%.2g" % (rate / rows[0]["capacity"]) for _, rate, _ in rows[0]["profile"]]
        title = "%s: answered in time, of the capacity" % SERVERS[kind].title
        drawing.panel(column, 0, title, seconds, 1.2, (0, 0.5, 1), [(row["mode"], [served / row["capacity"] for served, _, _ in row["bins"]]) for row in rows])
        drawing.text(LEFT + column * (WIDTH + GAP), 30 + HEIGHT + 28, "load, times the capacity: " + ", ".join(parts))
        drawing.panel(column, 1, "p99 of what was served, ms", seconds, 1000, (0, 100, 500, 1000),
                      [(row["mode"], [p99 for _, p99, _ in row["bins"]]) for row in rows])
    drawing.legend(2, NAMES)
    drawing.save(path)
