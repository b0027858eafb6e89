#include "tools/top_rows.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/control.h"

size_t top_columns_count(const struct top_kind *kind) {
    size_t count = 0;
    while (kind->columns[count].name)
        count++;
    return count;
}

int top_column_find(const struct top_kind *kind, const char *name) {
    for (size_t i = 0; kind->columns[i].name; i++)
        if (strcasecmp(kind->columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

static bool is_number(const struct top_kind *kind, const struct top_column *column) {
    return (kind->shown[column - kind->columns].fit & 15) == TABLE_RIGHT;
}

static const char *text_of(const struct top_row *row, const struct top_column *column) {
    switch (column->source) {
    case TOP_OF_APP: return row->app;
    case TOP_OF_VALUE: return control_text(row->value, column->member);
    default: return control_text(row->item, column->member);
    }
}

static double number_of(const struct top_row *row, const struct top_column *column) {
    switch (column->source) {
    case TOP_OF_BOTH: return control_number(row->item, "pass") + control_number(row->item, "block");
    case TOP_OF_VALUE: return control_number(row->value, column->member);
    default: return control_number(row->item, column->member);
    }
}

/* ------------------------------------------------------------------------------------------------------ sorting */

struct order {
    const struct top_column *column; /* NULL: the usual one */
    bool numbers;
    bool reverse;
};

static int compare(const void *left, const void *right, void *context) {
    const struct top_row *a = left, *b = right;
    const struct order *order = context;
    int result = 0;
    if (order->numbers) {
        double x = number_of(a, order->column), y = number_of(b, order->column);
        result = (x < y) - (x > y);
    } else if (order->column) {
        result = strcmp(text_of(a, order->column), text_of(b, order->column));
    }
    if (result == 0)
        result = a->order < b->order ? -1 : a->order > b->order;
    return order->reverse ? -result : result;
}

void top_rows_sort(const struct top_kind *kind, struct top_row *rows, size_t count, int column, bool reverse) {
    struct order order = {.reverse = reverse};
    if (column >= 0)
        order.column = &kind->columns[column];
    order.numbers = order.column && is_number(kind, order.column);
    if (count)
        qsort_r(rows, count, sizeof *rows, compare, &order);
}

/* ---------------------------------------------------------------------------------------------------- filtering */

static bool contains(const struct top_kind *kind, const struct top_row *row, const char *filter) {
    for (const struct top_column *column = kind->columns; column->name; column++)
        if (!is_number(kind, column) && strcasestr(text_of(row, column), filter))
            return true;
    return false;
}

size_t top_rows_filter(const struct top_kind *kind, struct top_row *rows, size_t count, const char *filter) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (contains(kind, &rows[i], filter))
            rows[kept++] = rows[i];
    return kept;
}

/* ------------------------------------------------------------------------------------------------------ showing */

struct table *top_rows_table(const struct top_kind *kind, const struct top_row *rows, size_t count) {
    struct table *table = table_new(kind->shown);
    for (size_t i = 0; table && i < count; i++)
        kind->add(table, &rows[i]);
    return table;
}

void top_add_count(struct table *table, double value, enum table_style style_if_any) {
    table_cell(table, value > 0 ? style_if_any : TABLE_DIM, "%.0f", value);
}
