/* A table of text: aligned columns, as wide as its content or as the terminal, colour where it is wanted. */
#ifndef WEIR_TOOLS_TABLE_H
#define WEIR_TOOLS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum table_style { TABLE_PLAIN, TABLE_BOLD, TABLE_DIM, TABLE_GOOD, TABLE_WARN, TABLE_BAD };

/* What becomes of a column where the table is too wide. */
enum {
    TABLE_LEFT,    /* nothing */
    TABLE_RIGHT,   /* nothing; numbers: aligned at their end */
    TABLE_ELASTIC, /* left, and shortened in the middle with an ellipsis: names in a picture that is redrawn */
    TABLE_FOLD,    /* left, and goes on in further lines: text to be read */
};
/* Added to one of these: a column to leave out where the table is too wide, those of high `order` first, before the
 * others get unreadable. */
#define TABLE_SPARE(order) ((order) << 4)
/* Added, too: a column to leave out only where the table would be too wide otherwise, the last one first. */
#define TABLE_EXPENDABLE (1 << 9)
/* Added, too: a column to leave out where it would hold nothing but blanks and "-". */
#define TABLE_IF_ANY (1 << 8)

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

/* `width` in terminal columns, 0 = any; at most `rows` rows, 0 = all.  Where the columns that fold would get too narrow
 * to be read, each row is a paragraph instead, with a line for each cell. */
void table_print(const struct table *, FILE *, int width, size_t rows, bool colour);
/* The titles of columns that table_print leaves out at that width though they hold something: "UNIT, APP", or "". */
void table_left_out(const struct table *, int width, char *ret_titles, size_t size);

#endif
