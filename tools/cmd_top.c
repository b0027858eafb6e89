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
#include "tools/suggest.h"
#include "tools/text.h"
#include "tools/top_view.h"

enum { OPTION_RUN_DIR = 256, OPTION_JSON, OPTION_ONCE, OPTION_HOT, SECOND_MS = 1000, TROUBLE_MAX = 300 };

static const struct option_row rows[] = {
    {'s', "sort", "COLUMN", "sort by this column: qps, block, rt, resource, … (its title in lower case)"},
    {'r', "reverse", NULL, "reverse the order"},
    {'f', "filter", "TEXT", "only rows whose app, resource, rule or value contains TEXT"},
    {OPTION_HOT, "hot", NULL, "show the most frequent values (hot keys) instead"},
    {OPTION_ONCE, "once", NULL, "print once and exit (the default if stdout is not a terminal)"},
    {OPTION_JSON, "json", NULL, "print once, as one JSON object with all details"},
    {OPTION_RUN_DIR, "run-dir", "DIR", "use the agent in DIR only (default: all agents)"},
    {0},
};
static const struct option_set options = {
    .usage = "weir top [--hot] [--sort COLUMN] [--reverse] [--filter TEXT] [--once] [--json] [--run-dir DIR] [APP]",
    .about =
        "Shows, for each resource, what happened in the last second: requests, passed, rejected, ended with an error,\n"
        "response time (mean and 99th percentile), requests in flight, state of the circuit.\n"
        "With --hot instead, for each hot parameter rule, the values that come most often, over about the last ten "
        "seconds.\n"
        "Keys: arrows scroll, < and > sort, / filters, p pauses, v switches to hot keys, h shows all keys, q ends "
        "it.",
    .rows = rows,
    .examples = "  weir top\n"
                "  weir top --once shop\n"
                "  weir top --sort block --filter GET:/api\n"
                "  weir top --hot\n"
                "  weir top --json | jq '.apps[].resources[] | select(.block > 0)'",
};

struct top {
    const char *run_dir, *app, *sort, *filter;
    bool once, json;
    struct top_view view;
};

static const char *question(const struct top *top) {
    return top->view.kind == &top_hot ? "hot" : "figures";
}

static void take_option(struct top *top, int key) {
    switch (key) {
    case 's': top->sort = optarg; break;
    case 'r': top->view.reverse = true; break;
    case 'f': top->filter = optarg; break;
    case OPTION_HOT: top->view.kind = &top_hot; break;
    case OPTION_ONCE: top->once = true; break;
    case OPTION_JSON: top->json = true; break;
    case OPTION_RUN_DIR: top->run_dir = optarg; break;
    default: break;
    }
}

/* False, and reported: there is no such column. */
static bool find_column(struct top *top) {
    const char *names[32];
    char list[300] = "";
    size_t count = 0;
    top->view.column = top->sort ? top_column_find(top->view.kind, top->sort) : TOP_USUAL;
    if (!top->sort || top->view.column >= 0)
        return true;
    for (const struct top_column *column = top->view.kind->columns; column->name && count < 32; column++) {
        size_t at = strlen(list);
        names[count++] = column->name;
        snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", column->name);
    }
    int near = suggest_nearest(top->sort, names, count);
    output_error("no column '%s'%s%s%s; there are: %s", top->sort, near >= 0 ? "; did you mean '" : "",
                 near >= 0 ? names[near] : "", near >= 0 ? "'?" : "", list);
    return false;
}

static int parse(struct top *top, int argc, char **argv, int *ret_status) {
    int key;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        *ret_status = OPTIONS_STATUS(key);
        if (key == OPTIONS_HELP || key == OPTIONS_WRONG)
            return -1;
        take_option(top, key);
    }
    top->app = argv[optind];
    *ret_status = CMD_USAGE;
    if (top->app && argv[optind + 1])
        output_error("one APP, or none for all; usage: %s", options.usage);
    else if (top->json && (top->sort || top->view.reverse || top->filter))
        output_error("--json has everything, in no order: leave out --sort, --reverse and --filter");
    else if (top->filter && strlen(top->filter) >= sizeof top->view.filter)
        output_error("--filter: at most %zu bytes", sizeof top->view.filter - 1);
    else if (find_column(top))
        *ret_status = CMD_DONE;
    snprintf(top->view.filter, sizeof top->view.filter, "%s", top->filter ? top->filter : "");
    text_clean(top->view.filter);
    return *ret_status == CMD_DONE ? 0 : -1;
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
        if (status == CMD_DONE && print && !top->json)
            top_view_print(&top->view, &(struct top_metrics){.apps = metrics.apps}, stdout, output_width(stdout),
                           output_colour(stdout));
        cJSON_Delete(metrics.apps);
    }
    control_answers_clear(&answers);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- live */

/* The first agent that is there and did not answer. */
static void find_trouble(const struct control_answers *answers, char ret_text[static TROUBLE_MAX]) {
    ret_text[0] = '\0';
    for (size_t i = 0; i < answers->count && !ret_text[0]; i++)
        if (answers->list[i].error < 0)
            snprintf(ret_text, TROUBLE_MAX, "%s: %s", answers->list[i].run_dir,
                     control_error_text(answers->list[i].error));
    text_clean(ret_text);
}

static int draw(struct top *top, struct screen *screen, const struct control_answers *answers) {
    struct metrics metrics;
    char *text = NULL, trouble[TROUBLE_MAX];
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (!stream)
        return 0;
    take_metrics(top, answers, &metrics);
    find_trouble(answers, trouble);
    const struct top_metrics shown = {.apps = metrics.apps,
                                      .app = top->app,
                                      .second = metrics.second,
                                      .agents = answers->reached,
                                      .trouble = trouble};
    top_view_draw(&top->view, &shown, time(NULL), stream, output_width(stdout), screen_rows(), output_colour(stdout));
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

static void ask(const struct top *top, struct control_answers *answers) {
    control_answers_clear(answers);
    control_ask_all(top->run_dir, question(top), SECOND_MS / 2, answers);
}

static int live(struct top *top) {
    struct screen screen;
    struct control_answers answers = {0};
    int error = screen_open(&screen);
    if (error < 0) {
        output_error("the terminal: %s", strerror(-error));
        return CMD_FAILED;
    }
    int64_t due_ms = 0;
    bool other = true; /* metrics of another kind are needed, paused or not */
    for (enum screen_event event = SCREEN_TIME; event != SCREEN_QUIT && error == 0 && !top->view.quit;) {
        if (other || (now_ms() >= due_ms && !top->view.paused))
            ask(top, &answers);
        if (other || now_ms() >= due_ms)
            due_ms = now_ms() + SECOND_MS;
        error = draw(top, &screen, &answers);
        int64_t left_ms = due_ms - now_ms();
        if (error == 0)
            event = screen_wait(&screen, left_ms > 0 ? (int)left_ms : 0);
        other = event == SCREEN_KEY && top_view_key(&top->view, screen.key, screen.key_length);
    }
    control_answers_clear(&answers);
    screen_close(&screen);
    return CMD_DONE;
}

int cmd_top(int argc, char **argv) {
    struct top top = {.view = {.kind = &top_traffic}};
    int status = CMD_DONE;
    if (parse(&top, argc, argv, &status) < 0)
        return status;
    bool once = top.once || top.json || !screen_is_possible();
    status = show_once(&top, once);
    return status == CMD_DONE && !once ? live(&top) : status;
}
