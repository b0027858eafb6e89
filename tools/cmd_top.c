/* weir top: the metrics of the last complete second, a line per resource, the busiest first. */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/control.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/screen.h"
#include "tools/table.h"
#include "tools/top_hot.h"

enum {
    OPTION_RUN_DIR = 256,
    OPTION_JSON,
    OPTION_ONCE,
    OPTION_HOT,
    SECOND_MS = 1000,
    HEAD_ROWS = 4,
    TRAFFIC_COLUMNS = 8
};

static const struct option_row rows[] = {
    {OPTION_ONCE, "once", NULL, "print once and end (always so where stdout is no terminal)"},
    {OPTION_JSON, "json", NULL, "print once, as one JSON object"},
    {OPTION_HOT, "hot", NULL, "the most frequent values of hot parameter rules instead"},
    {OPTION_RUN_DIR, "run-dir", "DIR", "ask the agent there only (default: all that can be found)"},
    {0},
};
static const struct option_set options = {
    .usage = "weir top [--hot] [--once] [--json] [--run-dir DIR] [APP]",
    .about =
        "Shows, for each resource, what happened in the last second: requests, passed, rejected, ended with an error,\n"
        "response time (mean and 99th percentile), requests in flight, state of the circuit.  q ends it.\n"
        "With --hot instead, for each hot parameter rule, the values that come most often, over about the last ten "
        "seconds.",
    .rows = rows,
    .examples = "  weir top\n"
                "  weir top --once shop\n"
                "  weir top --hot\n"
                "  weir top --json | jq '.apps[].resources[] | select(.block > 0)'",
};

struct top {
    const char *run_dir, *app;
    bool once, json, hot;
};

static const char *question(const struct top *top) {
    return top->hot ? "hot" : "figures";
}

static int parse(struct top *top, int argc, char **argv, int *ret_status) {
    int key;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        *ret_status = OPTIONS_STATUS(key);
        if (key == OPTIONS_HELP || key == OPTIONS_WRONG)
            return -1;
        if (key == OPTION_HOT)
            top->hot = true;
        if (key == OPTION_ONCE)
            top->once = true;
        if (key == OPTION_JSON)
            top->json = true;
        if (key == OPTION_RUN_DIR)
            top->run_dir = optarg;
    }
    top->app = argv[optind];
    if (!top->app || !argv[optind + 1])
        return 0;
    output_error("one APP, or none for all; usage: %s", options.usage);
    *ret_status = CMD_USAGE;
    return -1;
}

/* ------------------------------------------------------------------------------------------------- metrics */

struct metrics {
    cJSON *apps;   /* of all agents, or those of the app asked for */
    double second; /* Unix */
    size_t known;  /* apps before that choice */
};

static void take_metrics(const struct top *top, const struct control_answers *answers, struct metrics *ret_metrics) {
    cJSON *apps = control_join(answers, "apps");
    *ret_metrics = (struct metrics){.apps = apps, .known = (size_t)cJSON_GetArraySize(apps)};
    for (size_t i = 0; i < answers->count; i++) {
        double second = control_number(answers->list[i].reply, "second");
        if (second > ret_metrics->second)
            ret_metrics->second = second;
    }
    for (int i = cJSON_GetArraySize(apps) - 1; top->app && i >= 0; i--) {
        if (strcmp(control_text(cJSON_GetArrayItem(apps, i), "app"), top->app) != 0)
            cJSON_DeleteItemFromArray(apps, i);
    }
}

struct row {
    const char *app;
    const cJSON *resource;
    double requests;
    bool off; /* its app's traffic passes, and is not counted */
};

static int busier(const void *left, const void *right) {
    const struct row *a = left, *b = right;
    if (a->requests != b->requests)
        return a->requests < b->requests ? 1 : -1;
    int order = strcmp(a->app, b->app);
    return order ? order : strcmp(control_text(a->resource, "resource"), control_text(b->resource, "resource"));
}

static bool is_off(const cJSON *app) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(app, "off"));
}

/* All resources of all apps, sorted; malloc'ed. */
static struct row *sort_rows(const cJSON *apps, size_t *ret_count) {
    const cJSON *app, *resource;
    size_t count = 0;
    cJSON_ArrayForEach(app, apps)
        count += (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(app, "resources"));
    struct row *list = calloc(count + 1, sizeof *list);
    *ret_count = 0;
    if (!list)
        return NULL;
    cJSON_ArrayForEach(app, apps) {
        cJSON_ArrayForEach(resource, cJSON_GetObjectItemCaseSensitive(app, "resources")) {
            double requests = control_number(resource, "pass") + control_number(resource, "block");
            list[(*ret_count)++] = (struct row){control_text(app, "app"), resource, requests, is_off(app)};
        }
    }
    qsort(list, *ret_count, sizeof *list, busier);
    return list;
}

static void add_count(struct table *table, double value, enum table_style style_if_any) {
    table_cell(table, value > 0 ? style_if_any : TABLE_DIM, "%.0f", value);
}

static void add_traffic(struct table *table, const cJSON *r, double requests) {
    add_count(table, requests, TABLE_BOLD);
    add_count(table, control_number(r, "pass"), TABLE_GOOD);
    add_count(table, control_number(r, "block"), TABLE_WARN);
    add_count(table, control_number(r, "simulated"), TABLE_WARN);
    add_count(table, control_number(r, "exception"), TABLE_BAD);
    table_cell(table, TABLE_PLAIN, "%.1f", control_number(r, "rt_ms"));
    table_cell(table, TABLE_PLAIN, "%.1f", control_number(r, "rt_p99_ms"));
    add_count(table, control_number(r, "in_flight"), TABLE_PLAIN);
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

static void add_row(struct table *table, const struct row *row) {
    const cJSON *r = row->resource;
    const char *side = control_text(r, "side");
    table_cell(table, TABLE_PLAIN, "%s", row->app);
    table_cell(table, TABLE_BOLD, "%s", control_text(r, "resource"));
    table_cell(table, TABLE_DIM, "%s",
               strcmp(side, "inbound") == 0    ? "in"
               : strcmp(side, "outbound") == 0 ? "out"
                                               : side);
    if (row->off) {
        add_nothing_counted(table);
        return;
    }
    add_traffic(table, r, row->requests);
    add_circuit(table, control_text(r, "circuit"));
}

/* A line for each app that is switched off: how many. */
static size_t print_off(const cJSON *apps, FILE *stream) {
    const cJSON *app;
    size_t count = 0;
    cJSON_ArrayForEach(app, apps) {
        const char *name = control_text(app, "app");
        if (!is_off(app))
            continue;
        count++;
        fprintf(stream, "%s is OFF: all its traffic passes and is not counted; `weir on %s` switches it on\n", name,
                name);
    }
    return count;
}

static void print_resources(const cJSON *apps, FILE *stream, int width, size_t limit, bool colour) {
    static const struct table_column columns[] = {{"APP", TABLE_ELASTIC},
                                                  {"RESOURCE", TABLE_ELASTIC},
                                                  {"SIDE", TABLE_LEFT | TABLE_SPARE(3)},
                                                  {"QPS", TABLE_RIGHT},
                                                  {"PASS", TABLE_RIGHT},
                                                  {"BLOCK", TABLE_RIGHT},
                                                  {"SIM", TABLE_RIGHT | TABLE_SPARE(2)},
                                                  {"EXC", TABLE_RIGHT},
                                                  {"RT ms", TABLE_RIGHT},
                                                  {"P99", TABLE_RIGHT},
                                                  {"FLIGHT", TABLE_RIGHT},
                                                  {"CIRC", TABLE_LEFT},
                                                  {NULL, TABLE_LEFT}};
    size_t count = 0;
    struct row *list = sort_rows(apps, &count);
    struct table *table = table_new(columns);
    size_t shown = limit > 0 && count > limit ? limit - 1 : count;
    for (size_t i = 0; table && i < shown; i++)
        add_row(table, &list[i]);
    if (count == 0) {
        fputs("no traffic yet\n", stream);
    } else if (table) {
        table_print(table, stream, width, 0, colour);
    }
    if (shown < count)
        fprintf(stream, "… and %zu more\n", count - shown);
    table_free(table);
    free(list);
}

/* At most `limit` lines, 0 = all. */
static void print_metrics(const struct top *top, const struct metrics *metrics, FILE *stream, int width, size_t limit,
                          bool colour) {
    size_t off = print_off(metrics->apps, stream);
    limit = limit > off + 1 ? limit - off : limit > 0 ? 1 : 0;
    if (top->hot)
        top_hot_print(metrics->apps, stream, width, limit, colour);
    else
        print_resources(metrics->apps, stream, width, limit, colour);
}
/* ---------------------------------------------------------------------------------------------------- once */

static int check_app(const struct top *top, const struct metrics *metrics) {
    if (!top->app || cJSON_GetArraySize(metrics->apps) > 0)
        return CMD_DONE;
    output_error("no app '%s' (%zu known; see `weir status`)", top->app, metrics->known);
    return CMD_FAILED;
}

static void print_json(const struct metrics *metrics) {
    cJSON *all = cJSON_CreateObject();
    cJSON_AddNumberToObject(all, "second", metrics->second);
    cJSON_AddItemReferenceToObject(all, "apps", metrics->apps);
    output_json(stdout, all);
    cJSON_Delete(all);
}

/* What an agent has to say that is there at the start; live, it may come and go. */
static int show_once(const struct top *top, bool print) {
    struct control_answers answers;
    struct metrics metrics;
    control_ask_all(top->run_dir, question(top), CONTROL_TIMEOUT_MS, &answers);
    int status = control_report(&answers, top->run_dir);
    if (status == CMD_DONE) {
        take_metrics(top, &answers, &metrics);
        status = check_app(top, &metrics);
        if (status == CMD_DONE && print && top->json)
            print_json(&metrics);
        if (status == CMD_DONE && print && !top->json) {
            print_metrics(top, &metrics, stdout, output_width(stdout), 0, output_colour(stdout));
        }
        cJSON_Delete(metrics.apps);
    }
    control_answers_clear(&answers);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- live */

static void print_head(const struct top *top, const struct control_answers *answers, const struct metrics *metrics,
                       FILE *stream) {
    char moment[32] = "";
    time_t second = (time_t)metrics->second;
    struct tm local;
    if (second > 0 && localtime_r(&second, &local))
        strftime(moment, sizeof moment, "%H:%M:%S", &local);
    fprintf(stream, "weir top  %s  %s%d app%s  %zu agent%s%s  q quits\n\n", moment, top->app ? top->app : "",
            cJSON_GetArraySize(metrics->apps), cJSON_GetArraySize(metrics->apps) == 1 ? "" : "s", answers->reached,
            answers->reached == 1 ? "" : "s", answers->reached == 0 ? ": waiting for one" : "");
}

static int draw(const struct top *top, struct screen *screen, const struct control_answers *answers) {
    struct metrics metrics;
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (!stream)
        return 0;
    int rows_free = screen_rows() - HEAD_ROWS;
    take_metrics(top, answers, &metrics);
    print_head(top, answers, &metrics, stream);
    print_metrics(top, &metrics, stream, output_width(stdout), rows_free > 2 ? (size_t)rows_free : 2,
                  output_colour(stdout));
    fclose(stream);
    int error = screen_draw(screen, text, length);
    free(text);
    cJSON_Delete(metrics.apps);
    return error;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static int live(const struct top *top) {
    struct screen screen;
    struct control_answers answers = {0};
    int error = screen_open(&screen);
    if (error < 0) {
        output_error("the terminal: %s", strerror(-error));
        return CMD_FAILED;
    }
    int64_t due_ms = 0;
    for (enum screen_event event = SCREEN_TIME; event != SCREEN_QUIT && error == 0;) {
        if (now_ms() >= due_ms) {
            due_ms = now_ms() + SECOND_MS;
            control_answers_clear(&answers);
            control_ask_all(top->run_dir, question(top), SECOND_MS / 2, &answers);
        }
        error = draw(top, &screen, &answers);
        int64_t left_ms = due_ms - now_ms();
        if (error == 0)
            event = screen_wait(&screen, left_ms > 0 ? (int)left_ms : 0);
    }
    control_answers_clear(&answers);
    screen_close(&screen);
    return CMD_DONE;
}

int cmd_top(int argc, char **argv) {
    struct top top = {0};
    int status = CMD_DONE;
    if (parse(&top, argc, argv, &status) < 0)
        return status;
    bool once = top.once || top.json || !isatty(STDOUT_FILENO);
    status = show_once(&top, once);
    return status == CMD_DONE && !once ? live(&top) : status;
}
