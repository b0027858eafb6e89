/* Rows and columns of `weir top`: what an agent answers, as rows that can be sorted, filtered and put into a table.
 * Pure but for malloc. */
#ifndef WEIR_TOOLS_TOP_ROWS_H
#define WEIR_TOOLS_TOP_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/table.h"

struct cJSON;

struct top_row {
    const char *app;
    const struct cJSON *item;  /* the resource; of hot keys, the rule's list */
    const struct cJSON *value; /* of hot keys */
    bool off;                  /* its app's traffic passes, and is not counted */
    size_t order;              /* usual */
};

enum top_source { TOP_OF_APP, TOP_OF_ITEM, TOP_OF_VALUE, TOP_OF_BOTH /* passed and rejected */ };
struct top_column {
    const char *name; /* for --sort */
    enum top_source source;
    const char *member;  /* of the JSON object; a number where the column is aligned right, else a text */
    const char *meaning; /* for the help */
};

/* What `weir top` shows: resources, or hot keys. */
struct top_kind {
    const struct table_column *shown; /* as table_new takes them */
    const struct top_column *columns; /* where each one's content is; the last one has no name */
    size_t usual;                     /* the column that the usual order goes by */
    /* In the usual order; malloc'ed, their number in `ret_count`; NULL without memory. */
    struct top_row *(*rows)(const struct cJSON *apps, size_t *ret_count);
    void (*add)(struct table *, const struct top_row *);
    const char *nothing; /* to say where there are no rows */
};
extern const struct top_kind top_traffic, top_hot;

enum { TOP_USUAL = -1 };

/* The column of that name; -1: there is none. */
int top_column_find(const struct top_kind *, const char *name);
size_t top_columns_count(const struct top_kind *);

/* By a column (numbers from the largest on, texts from A on), or TOP_USUAL. */
void top_rows_sort(const struct top_kind *, struct top_row *, size_t count, int column, bool reverse);
/* Keeps the rows that contain `filter` in one of their texts, capitals or not.  Returns how many. */
size_t top_rows_filter(const struct top_kind *, struct top_row *, size_t count, const char *filter);
struct table *top_rows_table(const struct top_kind *, const struct top_row *, size_t count);

/* A count: dim where it is 0. */
void top_add_count(struct table *, double value, enum table_style style_if_any);

#endif
