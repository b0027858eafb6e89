/* A table of text: aligned columns, as wide as its content or as the terminal, colour where it is wanted. */
#ifndef WEIR_TOOLS_TABLE_H
#define WEIR_TOOLS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum table_style { TABLE_PLAIN, TABLE_BOLD, TABLE_DIM, TABLE_GOOD, TABLE_WARN, TABLE_BAD };

enum {
    TABLE_LEFT,
    TABLE_RIGHT,   /* numbers: aligned at their end */
    TABLE_ELASTIC, /* left, and shortened with an ellipsis where the table is too wide */
};
/* Added to one of these: a column to leave out where the table is too wide, those of high `order` first, before names
 * get unreadable. */
#define TABLE_SPARE(order) ((order) << 4)

struct table_column {
    const char *title;
    int fit;
};
struct table;

/* Ends with a column without title; the columns must outlive the table.  NULL without memory. */
struct table *table_new(const struct table_column *columns);
void table_free(struct table *);
/* The next cell, row by row.  Bytes that could confuse a terminal are shown as '?'. */
void table_cell(struct table *, enum table_style, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t table_rows(const struct table *);
/* `width` in terminal columns, 0 = any; at most `rows` rows, 0 = all. */
void table_print(const struct table *, FILE *, int width, size_t rows, bool colour);

/* Text made fit for a terminal in place: control characters and broken UTF-8 become '?'.  Returns the columns it takes.
 */
size_t table_clean(char *text);

#endif
