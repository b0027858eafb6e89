#include "tools/top_hot.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "tools/control.h"
#include "tools/table.h"

struct row {
    const char *app;
    const cJSON *list, *value;
    double frequency; /* of the most frequent value of its list */
    size_t order;
};

static size_t count_rows(const cJSON *apps) {
    const cJSON *app, *list;
    size_t count = 0;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(list, cJSON_GetObjectItemCaseSensitive(app, "hot"))
        count += (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(list, "values"));
    return count;
}

static void add_list(struct row *rows, size_t *count, const char *app, const cJSON *list) {
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(list, "values"), *value;
    double frequency = control_number(cJSON_GetArrayItem(values, 0), "per_second");
    cJSON_ArrayForEach(value, values) {
        rows[*count] = (struct row){app, list, value, frequency, *count};
        ++*count;
    }
}

/* The busiest rule first; the values of each stay together, as the agent sorted them. */
static int busier(const void *left, const void *right) {
    const struct row *a = left, *b = right;
    if (a->list != b->list && a->frequency != b->frequency)
        return a->frequency < b->frequency ? 1 : -1;
    return a->order < b->order ? -1 : 1;
}

static void add_rate(struct table *table, double rate, enum table_style style_if_any) {
    table_cell(table, rate > 0 ? style_if_any : TABLE_DIM, rate < 10 ? "%.1f" : "%.0f", rate);
}

static void add_row(struct table *table, const struct row *row) {
    bool in_flight = strcmp(control_text(row->list, "grade"), "thread") == 0;
    table_cell(table, TABLE_PLAIN, "%s", row->app);
    table_cell(table, TABLE_PLAIN, "%s", control_text(row->list, "rule"));
    table_cell(table, TABLE_DIM, "%s", control_text(row->list, "resource"));
    table_cell(table, TABLE_DIM, "%s", control_text(row->list, "param"));
    table_cell(table, TABLE_BOLD, "%s", control_text(row->value, "value"));
    add_rate(table, control_number(row->value, "per_second"), TABLE_BOLD);
    add_rate(table, control_number(row->value, "blocked_per_second"), TABLE_WARN);
    if (in_flight)
        table_cell(table, TABLE_PLAIN, "%.0f", control_number(row->value, "in_flight"));
    else
        table_cell(table, TABLE_DIM, "-");
}

void top_hot_print(const cJSON *apps, FILE *stream, int width, size_t limit, bool colour) {
    static const struct table_column columns[] = {{"APP", TABLE_ELASTIC | TABLE_SPARE(4)},
                                                  {"RULE", TABLE_ELASTIC},
                                                  {"RESOURCE", TABLE_ELASTIC | TABLE_SPARE(3)},
                                                  {"WHAT", TABLE_ELASTIC | TABLE_SPARE(2)},
                                                  {"VALUE", TABLE_ELASTIC},
                                                  {"QPS", TABLE_RIGHT},
                                                  {"BLOCK", TABLE_RIGHT},
                                                  {"FLIGHT", TABLE_RIGHT},
                                                  {NULL, TABLE_LEFT}};
    size_t all = count_rows(apps), count = 0;
    struct row *rows = calloc(all + 1, sizeof *rows);
    struct table *table = table_new(columns);
    const cJSON *app, *list;
    if (rows) {
        cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(list, cJSON_GetObjectItemCaseSensitive(app, "hot"))
            add_list(rows, &count, control_text(app, "app"), list);
        qsort(rows, count, sizeof *rows, busier);
    }
    size_t shown = limit > 0 && count > limit ? limit - 1 : count;
    for (size_t i = 0; table && i < shown; i++)
        add_row(table, &rows[i]);
    if (count == 0)
        fputs("no hot values: no rule of the kinds paramFlow and gateway has counted any lately\n", stream);
    else if (table)
        table_print(table, stream, width, 0, colour);
    if (shown < count)
        fprintf(stream, "… and %zu more\n", count - shown);
    table_free(table);
    free(rows);
}
