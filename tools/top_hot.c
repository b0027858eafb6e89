/* What `weir top --hot` shows: the most frequent values of hot parameter rules. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "tools/control.h"
#include "tools/top_rows.h"

static const struct table_column shown[] = {
    {"APP", TABLE_ELASTIC | TABLE_SPARE(4)},
    {"RULE", TABLE_ELASTIC},
    {"RESOURCE", TABLE_ELASTIC | TABLE_SPARE(3)},
    {"WHAT", TABLE_ELASTIC | TABLE_SPARE(2)},
    {"VALUE", TABLE_ELASTIC},
    {"QPS", TABLE_RIGHT},
    {"BLOCK", TABLE_RIGHT | TABLE_EXPENDABLE},
    {"FLIGHT", TABLE_RIGHT | TABLE_EXPENDABLE},
    {NULL, TABLE_LEFT},
};
static const struct top_column columns[] = {
    {"app", TOP_OF_APP, NULL, "which app"},
    {"rule", TOP_OF_ITEM, "rule", "the rule that counts the value"},
    {"resource", TOP_OF_ITEM, "resource", "of requests for what"},
    {"what", TOP_OF_ITEM, "param", "where the value comes from"},
    {"value", TOP_OF_VALUE, "value", "address, name, … (long ones are cut)"},
    {"qps", TOP_OF_VALUE, "per_second", "requests a second, over about ten seconds"},
    {"block", TOP_OF_VALUE, "blocked_per_second", "rejected of these"},
    {"flight", TOP_OF_VALUE, "in_flight", "requests in flight, for rules about that"},
    {NULL, TOP_OF_APP, NULL, NULL},
};
enum { USUAL = 5 };

static size_t count_rows(const cJSON *apps) {
    const cJSON *app, *list;
    size_t count = 0;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(list, cJSON_GetObjectItemCaseSensitive(app, "hot"))
        count += (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(list, "values"));
    return count;
}

static double most_frequent(const struct top_row *row) {
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(row->item, "values");
    return control_number(cJSON_GetArrayItem(values, 0), "per_second");
}

/* The busiest rule first; the values of each stay together, as the agent sorted them. */
static int busier(const void *left, const void *right) {
    const struct top_row *a = left, *b = right;
    if (a->item != b->item && most_frequent(a) != most_frequent(b))
        return most_frequent(a) < most_frequent(b) ? 1 : -1;
    return a->order < b->order ? -1 : 1;
}

static struct top_row *hot_rows(const cJSON *apps, size_t *ret_count) {
    const cJSON *app, *list, *value;
    struct top_row *rows = calloc(count_rows(apps) + 1, sizeof *rows);
    size_t count = 0;
    *ret_count = 0;
    if (!rows)
        return NULL;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(list, cJSON_GetObjectItemCaseSensitive(app, "hot"))
        cJSON_ArrayForEach(value, cJSON_GetObjectItemCaseSensitive(list, "values")) {
        rows[count] = (struct top_row){.app = control_text(app, "app"),
                                       .item = list,
                                       .value = value,
                                       .off = control_true(app, "off"),
                                       .order = count};
        count++;
    }
    qsort(rows, count, sizeof *rows, busier);
    for (size_t i = 0; i < count; i++)
        rows[i].order = i;
    *ret_count = count;
    return rows;
}

static void add_rate(struct table *table, double rate, enum table_style style_if_any) {
    table_cell(table, rate > 0 ? style_if_any : TABLE_DIM, rate < 10 ? "%.1f" : "%.0f", rate);
}

static void add_row(struct table *table, const struct top_row *row) {
    bool in_flight = strcmp(control_text(row->item, "grade"), "thread") == 0;
    table_cell(table, TABLE_PLAIN, "%s", row->app);
    table_cell(table, TABLE_PLAIN, "%s", control_text(row->item, "rule"));
    table_cell(table, TABLE_DIM, "%s", control_text(row->item, "resource"));
    table_cell(table, TABLE_DIM, "%s", control_text(row->item, "param"));
    table_cell(table, TABLE_BOLD, "%s", control_text(row->value, "value"));
    add_rate(table, control_number(row->value, "per_second"), TABLE_BOLD);
    add_rate(table, control_number(row->value, "blocked_per_second"), TABLE_WARN);
    if (in_flight)
        table_cell(table, TABLE_PLAIN, "%.0f", control_number(row->value, "in_flight"));
    else
        table_cell(table, TABLE_DIM, "-");
}

const struct top_kind top_hot = {.shown = shown,
                                 .columns = columns,
                                 .usual = USUAL,
                                 .rows = hot_rows,
                                 .add = add_row,
                                 .nothing = "no hot keys: no rule of the kinds paramFlow and gateway has counted any "
                                            "lately"};
