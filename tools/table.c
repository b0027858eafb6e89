#include "tools/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"

enum { GAP = 2, NARROWEST = 6, READABLE = 18, FAIR = 24, COLUMNS_MAX = 32 };

struct cell {
    char *text; /* NULL: no memory */
    size_t width;
    enum table_style style;
};
struct table {
    const struct table_column *columns;
    size_t columns_count;
    struct cell *cells;
    size_t count, room;
};

static const char *const styles[] = {
    [TABLE_PLAIN] = "",       [TABLE_BOLD] = "\33[1m",  [TABLE_DIM] = "\33[2m",
    [TABLE_GOOD] = "\33[32m", [TABLE_WARN] = "\33[33m", [TABLE_BAD] = "\33[31m",
};

/* ------------------------------------------------------------------------------------------------- cells */

struct table *table_new(const struct table_column *columns) {
    struct table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    table->columns = columns;
    while (table->columns_count < COLUMNS_MAX && columns[table->columns_count].title)
        table->columns_count++;
    return table;
}

void table_free(struct table *table) {
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

void table_cell(struct table *table, enum table_style style, const char *format, ...) {
    struct cell cell = {.style = style};
    va_list args;
    if (table->count == table->room) {
        size_t room = table->room ? table->room * 2 : 64;
        struct cell *cells = realloc(table->cells, room * sizeof *cells);
        if (!cells)
            return;
        table->cells = cells;
        table->room = room;
    }
    va_start(args, format);
    if (vasprintf(&cell.text, format, args) < 0)
        cell.text = NULL;
    va_end(args);
    if (cell.text)
        cell.width = text_clean(cell.text);
    table->cells[table->count++] = cell;
}

size_t table_rows(const struct table *table) {
    return table->count / table->columns_count;
}

/* ------------------------------------------------------------------------------------------------ printing */

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static int fit_of(const struct table_column *column) {
    return column->fit & 15;
}

static int spare_of(const struct table_column *column) {
    return column->fit >> 4 & 15;
}

/* How far a column can be narrowed: a title stays whole. */
static size_t least_of(const struct table *table, size_t column, size_t width) {
    size_t title = text_columns(table->columns[column].title);
    switch (fit_of(&table->columns[column])) {
    case TABLE_ELASTIC: return width < NARROWEST ? width : NARROWEST;
    case TABLE_FOLD: return width < READABLE ? width : larger(title, READABLE);
    default: return width;
    }
}

static bool holds_nothing(const struct table *table, size_t column, size_t rows) {
    for (size_t r = 0; r < rows; r++) {
        const struct cell *cell = &table->cells[r * table->columns_count + column];
        if (cell->width > 0 && strcmp(cell->text, "-") != 0)
            return false;
    }
    return true;
}

static void measure(const struct table *table, size_t rows, size_t widths[static COLUMNS_MAX]) {
    for (size_t c = 0; c < table->columns_count; c++) {
        widths[c] = text_columns(table->columns[c].title);
        for (size_t r = 0; r < rows; r++)
            widths[c] = larger(widths[c], table->cells[r * table->columns_count + c].width);
        if ((table->columns[c].fit & TABLE_IF_ANY) && rows > 0 && holds_nothing(table, c, rows))
            widths[c] = 0;
    }
}

static size_t total_of(const struct table *table, const size_t *widths, size_t soft_most) {
    size_t total = 0;
    for (size_t c = 0; c < table->columns_count; c++) {
        bool capped = fit_of(&table->columns[c]) >= TABLE_ELASTIC && widths[c] > soft_most;
        if (widths[c] > 0)
            total += (capped ? soft_most : widths[c]) + GAP;
    }
    return total > 0 ? total - GAP : 0;
}

/* Leaves out spare columns (their width becomes 0) until those that can be narrowed have a fair share. */
static void drop_spare(const struct table *table, size_t width, size_t widths[static COLUMNS_MAX]) {
    while (total_of(table, widths, FAIR) > width) {
        size_t least = COLUMNS_MAX;
        for (size_t c = 0; c < table->columns_count; c++) {
            if (spare_of(&table->columns[c]) == 0 || widths[c] == 0)
                continue;
            if (least == COLUMNS_MAX || spare_of(&table->columns[c]) > spare_of(&table->columns[least]))
                least = c;
        }
        if (least == COLUMNS_MAX)
            return;
        widths[least] = 0;
    }
}

/* Takes what is too much from the columns that can be narrowed, always from the widest of them.  False: it does not
 * fit all the same. */
static bool shrink(const struct table *table, size_t width, size_t widths[static COLUMNS_MAX]) {
    for (size_t total = total_of(table, widths, SIZE_MAX); total > width; total--) {
        size_t widest = COLUMNS_MAX;
        for (size_t c = 0; c < table->columns_count; c++) {
            if (widths[c] <= least_of(table, c, widths[c]))
                continue;
            if (widest == COLUMNS_MAX || widths[c] > widths[widest])
                widest = c;
        }
        if (widest == COLUMNS_MAX)
            return false;
        widths[widest]--;
    }
    return true;
}

/* Leaves out the last expendable column.  False: there is none any more. */
static bool drop_expendable(const struct table *table, size_t widths[static COLUMNS_MAX]) {
    for (size_t c = table->columns_count; c-- > 0;) {
        if ((table->columns[c].fit & TABLE_EXPENDABLE) && widths[c] > 0) {
            widths[c] = 0;
            return true;
        }
    }
    return false;
}

/* The columns' widths, 0 = left out.  False: they do not fit. */
static bool fit(const struct table *table, int width, size_t rows, size_t widths[static COLUMNS_MAX]) {
    bool fits = true;
    size_t natural[COLUMNS_MAX];
    measure(table, rows, widths);
    if (width <= 0)
        return true;
    drop_spare(table, (size_t)width, widths);
    memcpy(natural, widths, sizeof natural);
    do {
        memcpy(widths, natural, sizeof natural);
        fits = shrink(table, (size_t)width, widths);
    } while (!fits && drop_expendable(table, natural));
    return fits;
}

static bool folds(const struct table *table) {
    for (size_t c = 0; c < table->columns_count; c++)
        if (fit_of(&table->columns[c]) == TABLE_FOLD)
            return true;
    return false;
}

/* The beginning and the end of a name say more than its beginning alone. */
static void print_shortened(FILE *stream, const char *text, size_t width, bool right, bool last) {
    size_t columns = text_columns(text), head = columns, bytes = strlen(text), tail = 0, behind = 0;
    bool cut = columns > width;
    if (cut) {
        bytes = text_within(text, width - 1 - (width - 1) / 2, &head);
        behind = text_within_end(text, width - 1 - head, &tail);
    }
    size_t used = head + tail + cut;
    int pad = used < width ? (int)(width - used) : 0;
    fprintf(stream, "%*s%.*s%s%s%*s", right ? pad : 0, "", (int)bytes, text, cut ? "…" : "",
            cut ? text + strlen(text) - behind : "", right || last ? 0 : pad, "");
}

static void paint(FILE *stream, enum table_style style, bool colour) {
    if (colour && style != TABLE_PLAIN)
        fputs(styles[style], stream);
}

static void unpaint(FILE *stream, enum table_style style, bool colour) {
    if (colour && style != TABLE_PLAIN)
        fputs("\33[0m", stream);
}

struct rest { /* of a row's texts: what is still to be printed, "" in columns that are left out */
    const char *text[COLUMNS_MAX];
    size_t columns; /* of them up to the last one with something in it */
};

static void count_columns(const struct table *table, struct rest *rest) {
    rest->columns = 0;
    for (size_t c = 0; c < table->columns_count; c++)
        if (*rest->text[c])
            rest->columns = c + 1;
}

static struct rest rest_of(const struct table *table, const size_t *widths, const struct cell *cells) {
    struct rest rest;
    for (size_t c = 0; c < table->columns_count; c++) {
        const char *text = cells ? cells[c].text : table->columns[c].title;
        rest.text[c] = text && widths[c] ? text : "";
    }
    count_columns(table, &rest);
    return rest;
}

/* One line of the cell in column `c`; what does not fit into it stays in the rest. */
static void print_cell(const struct table *table, FILE *stream, size_t c, size_t width, struct rest *rest, bool last) {
    int fit = fit_of(&table->columns[c]);
    const char *text = rest->text[c];
    if (fit != TABLE_FOLD || text_columns(text) <= width) {
        print_shortened(stream, text, fit == TABLE_ELASTIC ? width : larger(width, text_columns(text)),
                        fit == TABLE_RIGHT, last);
        rest->text[c] = "";
        return;
    }
    size_t next, length = text_line(text, width, true, &next);
    char *line = strndup(text, length);
    if (line)
        print_shortened(stream, line, width, false, last);
    free(line);
    rest->text[c] = text + next;
}

static void print_row(const struct table *table, FILE *stream, const size_t *widths, const struct cell *cells,
                      bool colour) {
    struct rest rest = rest_of(table, widths, cells);
    do {
        size_t columns = rest.columns;
        for (size_t c = 0; c < columns; c++) {
            enum table_style style = cells ? cells[c].style : TABLE_BOLD;
            if (widths[c] == 0)
                continue;
            paint(stream, style, colour);
            print_cell(table, stream, c, widths[c], &rest, c + 1 == columns);
            unpaint(stream, style, colour);
            if (c + 1 < columns)
                fprintf(stream, "%*s", GAP, "");
        }
        fputc('\n', stream);
        count_columns(table, &rest);
    } while (rest.columns > 0);
}

/* The row's first cell as a title, the others below it, each behind the title of its column. */
static void print_paragraph(const struct table *table, FILE *stream, size_t width, const struct cell *cells,
                            bool colour) {
    size_t titles = 0;
    for (size_t c = 1; c < table->columns_count; c++)
        titles = larger(titles, text_columns(table->columns[c].title));
    paint(stream, TABLE_BOLD, colour);
    text_fold(stream, cells[0].text ? cells[0].text : "", width, 0, 2 * GAP);
    unpaint(stream, TABLE_BOLD, colour);
    for (size_t c = 1; c < table->columns_count; c++) {
        const char *title = table->columns[c].title;
        if (!cells[c].text || !*cells[c].text || strcmp(cells[c].text, "-") == 0)
            continue;
        fprintf(stream, "%*s%s%*s", GAP, "", title, (int)(titles - text_columns(title)) + GAP, "");
        paint(stream, cells[c].style, colour);
        text_fold(stream, cells[c].text, width, titles + 2 * GAP, titles + 2 * GAP);
        unpaint(stream, cells[c].style, colour);
    }
}

void table_print(const struct table *table, FILE *stream, int width, size_t rows, bool colour) {
    size_t widths[COLUMNS_MAX] = {0}, count = table_rows(table);
    if (rows > 0 && rows < count)
        count = rows;
    bool paragraphs = !fit(table, width, count, widths) && folds(table);
    if (!paragraphs)
        print_row(table, stream, widths, NULL, colour);
    for (size_t r = 0; r < count; r++) {
        const struct cell *cells = table->cells + r * table->columns_count;
        if (paragraphs && r > 0)
            fputc('\n', stream);
        if (paragraphs)
            print_paragraph(table, stream, (size_t)width, cells, colour);
        else
            print_row(table, stream, widths, cells, colour);
    }
}

void table_left_out(const struct table *table, int width, char *ret_titles, size_t size) {
    size_t widths[COLUMNS_MAX] = {0}, count = table_rows(table);
    bool fits = fit(table, width, count, widths);
    if (size > 0)
        *ret_titles = 0;
    for (size_t c = 0; c < table->columns_count && (fits || !folds(table)); c++) {
        size_t at = strlen(ret_titles);
        if (widths[c] == 0 && !holds_nothing(table, c, count))
            snprintf(ret_titles + at, size - at, "%s%s", at ? ", " : "", table->columns[c].title);
    }
}
