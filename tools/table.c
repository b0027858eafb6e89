#include "tools/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum { GAP = 2, NARROWEST = 6, FAIR = 24, COLUMNS_MAX = 32 };

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

/* -------------------------------------------------------------------------------------------------- text */

/* The character at `text`: its length in bytes, 0 if it is broken (or a longer spelling than need be, or a surrogate).
 */
static size_t decode(const unsigned char *text, uint32_t *ret_code) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = *text < 0x80 ? 1 : *text < 0xc2 ? 0 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : *text < 0xf5 ? 4 : 0;
    uint32_t code = length == 1 ? *text : length ? *text & (0x7f >> length) : 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0; /* the end of the text is one of these */
        code = code << 6 | (text[i] & 0x3f);
    }
    if (length > 1 && (code < smallest[length] || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff))
        return 0;
    *ret_code = code;
    return length;
}

static size_t columns_of(uint32_t code) {
    int width = wcwidth((wchar_t)code); /* -1 in a locale that does not know it */
    return width < 0 ? 1 : (size_t)width;
}

/* Turns direction, hides or joins text: nothing that a name from outside may do to a person's terminal. */
static bool is_harmful(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

size_t table_clean(char *text) {
    size_t width = 0;
    char *to = text;
    for (char *at = text; *at;) {
        uint32_t code = 0;
        size_t length = decode((unsigned char *)at, &code);
        if (length == 0 || is_harmful(code)) {
            *to++ = '?';
            width++;
            at += length ? length : 1;
            continue;
        }
        memmove(to, at, length);
        to += length;
        at += length;
        width += columns_of(code);
    }
    *to = '\0';
    return width;
}

/* Bytes of `text` that fit into `width` columns. */
static size_t bytes_within(const char *text, size_t width, size_t *ret_used) {
    size_t at = 0, used = 0;
    while (text[at]) {
        uint32_t code = 0;
        size_t length = decode((const unsigned char *)text + at, &code);
        size_t columns = columns_of(code);
        if (length == 0 || used + columns > width)
            break;
        used += columns;
        at += length;
    }
    *ret_used = used;
    return at;
}

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
        cell.width = table_clean(cell.text);
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
    return column->fit >> 4;
}

static void measure(const struct table *table, size_t rows, size_t widths[static COLUMNS_MAX]) {
    for (size_t c = 0; c < table->columns_count; c++) {
        uint32_t code;
        for (const char *at = table->columns[c].title; *at; at += larger(decode((const unsigned char *)at, &code), 1))
            widths[c]++;
        for (size_t r = 0; r < rows; r++)
            widths[c] = larger(widths[c], table->cells[r * table->columns_count + c].width);
    }
}

static size_t total_of(const struct table *table, const size_t *widths, size_t elastic_most) {
    size_t total = 0;
    for (size_t c = 0; c < table->columns_count; c++) {
        bool capped = fit_of(&table->columns[c]) == TABLE_ELASTIC && widths[c] > elastic_most;
        if (widths[c] > 0)
            total += (capped ? elastic_most : widths[c]) + GAP;
    }
    return total > 0 ? total - GAP : 0;
}

/* Leaves out spare columns (their width becomes 0) until the elastic ones have a fair share. */
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

/* Takes what is too much from the elastic columns, always from the widest of them. */
static void shrink(const struct table *table, size_t width, size_t widths[static COLUMNS_MAX]) {
    for (size_t total = total_of(table, widths, SIZE_MAX); total > width; total--) {
        size_t widest = COLUMNS_MAX;
        for (size_t c = 0; c < table->columns_count; c++) {
            if (fit_of(&table->columns[c]) != TABLE_ELASTIC || widths[c] <= NARROWEST)
                continue;
            if (widest == COLUMNS_MAX || widths[c] > widths[widest])
                widest = c;
        }
        if (widest == COLUMNS_MAX)
            return; /* as narrow as it gets: the terminal will cut or wrap */
        widths[widest]--;
    }
}

static void print_text(FILE *stream, const char *text, size_t text_width, size_t width, bool right, bool last) {
    size_t used = text_width, bytes = strlen(text);
    bool cut = text_width > width;
    if (cut) {
        bytes = bytes_within(text, width - 1, &used);
        used++;
    }
    int pad = used < width ? (int)(width - used) : 0;
    fprintf(stream, "%*s%.*s%s%*s", right ? pad : 0, "", (int)bytes, text, cut ? "…" : "", right || last ? 0 : pad, "");
}

static void print_row(const struct table *table, FILE *stream, const size_t *widths, const struct cell *cells,
                      bool colour) {
    for (size_t c = 0; c < table->columns_count; c++) {
        const struct table_column *column = &table->columns[c];
        if (widths[c] == 0)
            continue;
        enum table_style style = cells ? cells[c].style : TABLE_BOLD;
        const char *text = cells ? cells[c].text : column->title;
        bool painted = colour && style != TABLE_PLAIN;
        if (!text)
            text = "";
        size_t used, width = cells ? cells[c].width : (bytes_within(text, SIZE_MAX, &used), used);
        if (painted)
            fputs(styles[style], stream);
        print_text(stream, text, width, widths[c], fit_of(column) == TABLE_RIGHT, c + 1 == table->columns_count);
        if (painted)
            fputs("\33[0m", stream);
        if (c + 1 < table->columns_count)
            fprintf(stream, "%*s", GAP, "");
    }
    fputc('\n', stream);
}

void table_print(const struct table *table, FILE *stream, int width, size_t rows, bool colour) {
    size_t widths[COLUMNS_MAX] = {0}, count = table_rows(table);
    if (rows > 0 && rows < count)
        count = rows;
    measure(table, count, widths);
    if (width > 0)
        drop_spare(table, (size_t)width, widths);
    if (width > 0)
        shrink(table, (size_t)width, widths);
    print_row(table, stream, widths, NULL, colour);
    for (size_t r = 0; r < count; r++)
        print_row(table, stream, widths, table->cells + r * table->columns_count, colour);
}
