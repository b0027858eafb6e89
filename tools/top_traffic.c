/* What `weir top` shows of resources. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "tools/control.h"
#include "tools/top_rows.h"

enum { TRAFFIC_COLUMNS = 8 };

static const struct table_column shown[] = {
    {"APP", TABLE_ELASTIC},
    {"RESOURCE", TABLE_ELASTIC},
    {"SIDE", TABLE_LEFT | TABLE_SPARE(3)},
    {"QPS", TABLE_RIGHT},
    {"PASS", TABLE_RIGHT | TABLE_EXPENDABLE},
    {"BLOCK", TABLE_RIGHT},
    {"SIM", TABLE_RIGHT | TABLE_SPARE(2)},
    {"EXC", TABLE_RIGHT | TABLE_EXPENDABLE},
    {"RT ms", TABLE_RIGHT | TABLE_EXPENDABLE},
    {"P99", TABLE_RIGHT | TABLE_EXPENDABLE},
    {"FLIGHT", TABLE_RIGHT | TABLE_EXPENDABLE},
    {"CIRC", TABLE_LEFT | TABLE_EXPENDABLE},
    {NULL, TABLE_LEFT},
};
static const struct top_column columns[] = {
    {"app", TOP_OF_APP, NULL, "which app"},
    {"resource", TOP_OF_ITEM, "resource",
     "what is counted: a route, a listener (http::PORT, tcp::PORT), a server called"},
    {"side", TOP_OF_ITEM, "side", "in: requests that the app gets; out: those that it makes"},
    {"qps", TOP_OF_BOTH, NULL, "requests in the last second: passed and rejected"},
    {"pass", TOP_OF_ITEM, "pass", "admitted"},
    {"block", TOP_OF_ITEM, "block", "rejected by a rule"},
    {"sim", TOP_OF_ITEM, "simulated", "would have been rejected by a rule in mode simulate"},
    {"exc", TOP_OF_ITEM, "exception", "failed: completed with an error of the program"},
    {"rt", TOP_OF_ITEM, "rt_ms", "mean response time in milliseconds"},
    {"p99", TOP_OF_ITEM, "rt_p99_ms", "its 99th percentile"},
    {"flight", TOP_OF_ITEM, "in_flight", "requests in flight now"},
    {"circ", TOP_OF_ITEM, "circuit", "circuit breaker: closed, half-open, open; - without one"},
    {NULL, TOP_OF_APP, NULL, NULL},
};
enum { USUAL = 3 };

static double requests_of(const cJSON *resource) {
    return control_number(resource, "pass") + control_number(resource, "block");
}

static int busier(const void *left, const void *right) {
    const struct top_row *a = left, *b = right;
    double x = requests_of(a->item), y = requests_of(b->item);
    if (x != y)
        return x < y ? 1 : -1;
    int order = strcmp(a->app, b->app);
    return order ? order : strcmp(control_text(a->item, "resource"), control_text(b->item, "resource"));
}

static struct top_row *traffic_rows(const cJSON *apps, size_t *ret_count) {
    const cJSON *app, *resource;
    size_t count = 0;
    cJSON_ArrayForEach(app, apps)
        count += (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(app, "resources"));
    struct top_row *list = calloc(count + 1, sizeof *list);
    *ret_count = 0;
    if (!list)
        return NULL;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(resource, cJSON_GetObjectItemCaseSensitive(app, "resources"))
        list[(*ret_count)++] = (struct top_row){
            .app = control_text(app, "app"), .item = resource, .off = control_true(app, "off")};
    qsort(list, *ret_count, sizeof *list, busier);
    for (size_t i = 0; i < *ret_count; i++)
        list[i].order = i;
    return list;
}

static void add_figures(struct table *table, const cJSON *r) {
    top_add_count(table, requests_of(r), TABLE_BOLD);
    top_add_count(table, control_number(r, "pass"), TABLE_GOOD);
    top_add_count(table, control_number(r, "block"), TABLE_WARN);
    top_add_count(table, control_number(r, "simulated"), TABLE_WARN);
    top_add_count(table, control_number(r, "exception"), TABLE_BAD);
    table_cell(table, TABLE_PLAIN, "%.1f", control_number(r, "rt_ms"));
    table_cell(table, TABLE_PLAIN, "%.1f", control_number(r, "rt_p99_ms"));
    top_add_count(table, control_number(r, "in_flight"), TABLE_PLAIN);
}

static void add_circuit(struct table *table, const char *circuit) {
    bool open = strcmp(circuit, "open") == 0, half = strncmp(circuit, "half", 4) == 0;
    table_cell(table,
               open   ? TABLE_BAD
               : half ? TABLE_WARN
                      : TABLE_DIM,
               "%s", strcmp(circuit, "none") == 0 ? "-" : circuit);
}

/* Zeros would say that there is no traffic. */
static void add_nothing_counted(struct table *table) {
    for (int i = 0; i < TRAFFIC_COLUMNS; i++)
        table_cell(table, TABLE_DIM, "-");
    table_cell(table, TABLE_BAD, "OFF");
}

static void add_row(struct table *table, const struct top_row *row) {
    const char *side = control_text(row->item, "side");
    table_cell(table, TABLE_PLAIN, "%s", row->app);
    table_cell(table, TABLE_BOLD, "%s", control_text(row->item, "resource"));
    table_cell(table, TABLE_DIM, "%s",
               strcmp(side, "inbound") == 0    ? "in"
               : strcmp(side, "outbound") == 0 ? "out"
                                               : side);
    if (row->off) {
        add_nothing_counted(table);
        return;
    }
    add_figures(table, row->item);
    add_circuit(table, control_text(row->item, "circuit"));
}

const struct top_kind top_traffic = {.shown = shown,
                                     .columns = columns,
                                     .usual = USUAL,
                                     .rows = traffic_rows,
                                     .add = add_row,
                                     .nothing = "no traffic yet"};
