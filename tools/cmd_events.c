/* `weir events`: what happened, from the event logs of the agents; -f goes on with what happens. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
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
#include "tools/run_dir.h"
#include "tools/since.h"
#include "tools/text.h"

enum {
    OPTION_RUN_DIR = 256,
    SHOWN = 100,
    FOLLOW_MS = 500,
    LOGS_MAX = 64,
    NARROWEST = 40,
    INDENT = 15, /* behind the time */
    KINDS_MAX = 256
};

static const struct option_row rows[] = {
    {'f', "follow", NULL, "continue with new events until Ctrl-C"},
    {'s', "since", "TIME", "events from then on: 30m, 2h, 7d (ago), 10:30, 2026-11-30, '2026-11-30 10:30'"},
    {'a', "app", "APP", "events of this app only"},
    {'k', "kind", "KIND", "events of this kind or group (circuit, rules, process …) only; may be repeated"},
    {'n', "lines", "N", "at most the last N events (default 100; with --since all)"},
    {'j', "json", NULL, "print one JSON object per line"},
    {OPTION_RUN_DIR, "run-dir", "DIR", "use the agent in DIR only (default: all agents)"},
    {0},
};
static const struct option_set options = {
    .usage = "weir events [OPTION]…",
    .about =
        "Shows the event log: rules put in force or refused, processes that attached and ended, circuits, adaptive\n"
        "protection, switching off and on, and rejections aggregated by resource and rule.\n"
        "The log persists across restarts of the agent; that of a `weir run` ends with it.",
    .rows = rows,
    .examples = "  weir events --since 1h\n"
                "  weir events -f --app shop --kind blocked,circuit",
};

struct log_position { /* in an agent's log */
    char *run_dir;
    double last; /* number of the newest event that was shown */
    bool away;   /* the agent did not answer the last time */
};

struct events {
    const char *run_dir, *app;
    char kinds[KINDS_MAX];
    double since;
    long lines; /* -1: not said */
    bool json, follow;
    struct log_position logs[LOGS_MAX];
    size_t logs_count;
    size_t app_width, kind_width; /* columns */
    size_t shown;
    char error[300]; /* of an agent about the question */
};

static volatile sig_atomic_t stopped;

static void stop(int number) {
    (void)number;
    stopped = 1;
}

/* -------------------------------------------------------------------------------------------------------- output */

static const char *level_colour(const cJSON *event) {
    const char *level = control_text(event, "level");
    return strcmp(level, "error") == 0 ? "\33[31m" : strcmp(level, "warning") == 0 ? "\33[33m" : "";
}

static size_t wider(size_t width, const char *text) {
    size_t length = strlen(text);
    return length > width ? length : width;
}

static void print_event(struct events *events, const cJSON *event) {
    char when[32], text[2048], app[80], kind[48];
    int width = output_width(stdout);
    bool colour = output_colour(stdout) && *level_colour(event);
    double seconds = control_number(event, "time");
    time_t whole = seconds >= 0 && seconds < 1e11 ? (time_t)seconds : 0;
    struct tm local = {0};
    localtime_r(&whole, &local);
    strftime(when, sizeof when, "%m-%d %H:%M:%S", &local);
    snprintf(app, sizeof app, "%s", *control_text(event, "app") ? control_text(event, "app") : "-");
    snprintf(kind, sizeof kind, "%s", control_text(event, "kind"));
    snprintf(text, sizeof text, "%s", control_text(event, "text"));
    text_clean(app);
    text_clean(kind);
    text_clean(text);
    printf("%s %-*s  ", when, (int)events->app_width, app);
    printf("%s%-*s%s  ", colour ? level_colour(event) : "", (int)events->kind_width, kind, colour ? "\33[0m" : "");
    size_t at = strlen(when) + 1 + events->app_width + 2 + events->kind_width + 2;
    text_fold(stdout, text, width ? (size_t)(width < NARROWEST ? NARROWEST : width) : 0, at, INDENT);
}

/* Columns as wide as these events need; in what follows they only grow. */
static void widen(struct events *events, cJSON *const *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        events->app_width = wider(events->app_width, control_text(list[i], "app"));
        events->kind_width = wider(events->kind_width, control_text(list[i], "kind"));
    }
}

static void show(struct events *events, const cJSON *event) {
    events->shown++;
    if (!events->json) {
        print_event(events, event);
        return;
    }
    char *text = cJSON_PrintUnformatted(event);
    if (text)
        puts(text);
    free(text);
}

/* ------------------------------------------------------------------------------------------------------- the agents */

static struct log_position *position_of(struct events *events, const char *run_dir) {
    for (size_t i = 0; i < events->logs_count; i++)
        if (strcmp(events->logs[i].run_dir, run_dir) == 0)
            return &events->logs[i];
    char *copy = events->logs_count < LOGS_MAX ? strdup(run_dir) : NULL;
    if (!copy)
        return NULL;
    events->logs[events->logs_count] = (struct log_position){.run_dir = copy};
    return &events->logs[events->logs_count++];
}

static cJSON *question(const struct events *events, double after, long most) {
    cJSON *q = cJSON_CreateObject();
    cJSON_AddStringToObject(q, "cmd", "events");
    if (after > 0)
        cJSON_AddNumberToObject(q, "after", after);
    if (events->since > 0)
        cJSON_AddNumberToObject(q, "since", events->since);
    if (events->app)
        cJSON_AddStringToObject(q, "app", events->app);
    if (events->kinds[0])
        cJSON_AddStringToObject(q, "kinds", events->kinds);
    if (most > 0)
        cJSON_AddNumberToObject(q, "most", (double)most);
    return q;
}

/* Adds what is new in that agent's log to `all`.  False: it did not answer. */
static bool collect(struct events *events, struct log_position *position, long most, cJSON *all) {
    cJSON *reply = NULL, *event;
    cJSON *q = question(events, position->last, most);
    int error = control_ask_question(position->run_dir, q, CONTROL_TIMEOUT_MS, &reply);
    cJSON_Delete(q);
    if (error < 0)
        return false;
    if (*control_text(reply, "error"))
        snprintf(events->error, sizeof events->error, "%s", control_text(reply, "error"));
    if (cJSON_HasObjectItem(reply, "last")) /* smaller than before: the log was removed, and starts from zero */
        position->last = control_number(reply, "last");
    while ((event = cJSON_DetachItemFromArray(cJSON_GetObjectItemCaseSensitive(reply, "events"), 0)))
        cJSON_AddItemToArray(all, event);
    cJSON_Delete(reply);
    return true;
}

static int by_time(const void *one, const void *other) {
    const cJSON *const *a = one, *const *b = other;
    double t = control_number(*a, "time"), u = control_number(*b, "time");
    return t < u ? -1 : t > u;
}

/* The events of all agents, oldest first; with `most`, the newest so many. */
static void show_sorted(struct events *events, cJSON *all, long most) {
    size_t count = (size_t)cJSON_GetArraySize(all), n = 0;
    cJSON **list = calloc(count + 1, sizeof *list), *event;
    cJSON_ArrayForEach(event, all) {
        if (list)
            list[n++] = event;
    }
    if (list && events->logs_count > 1)
        qsort(list, n, sizeof *list, by_time); /* of one log they are in order */
    size_t from = most > 0 && n > (size_t)most ? n - (size_t)most : 0;
    if (list)
        widen(events, list + from, n - from);
    for (size_t i = from; list && i < n; i++)
        show(events, list[i]);
    free(list);
}

static void note_away(struct log_position *position, bool answered) {
    if (position->away == !answered)
        return;
    position->away = !answered;
    output_note(answered ? "the agent in %s is back" : "the agent in %s does not answer; waiting for it",
                position->run_dir);
}

/* What is new since the last look, in agents that came meanwhile, too. */
static void look_again(struct events *events) {
    cJSON *all = cJSON_CreateArray();
    char **places = run_dir_list(events->run_dir);
    for (size_t i = 0; places && places[i]; i++) {
        struct log_position fresh = {.run_dir = places[i]}, *known = NULL;
        for (size_t k = 0; k < events->logs_count; k++)
            if (strcmp(events->logs[k].run_dir, places[i]) == 0)
                known = &events->logs[k];
        bool answered = collect(events, known ? known : &fresh, 0, all);
        if (known)
            note_away(known, answered);
        else if (answered && (known = position_of(events, places[i])))
            known->last = fresh.last;
        free(places[i]);
    }
    free(places);
    show_sorted(events, all, 0);
    cJSON_Delete(all);
}

static int follow(struct events *events) {
    if (events->since <= 0)
        events->since = (double)time(NULL); /* of agents that come later */
    while (!stopped && fflush(stdout) == 0) {
        poll(NULL, 0, FOLLOW_MS);
        if (!stopped)
            look_again(events);
    }
    return CMD_DONE;
}

static int show_events(struct events *events) {
    struct control_answers answers;
    control_ask_all(events->run_dir, "status", CONTROL_TIMEOUT_MS, &answers);
    int status = control_report(&answers, events->run_dir);
    long most = events->lines >= 0 ? events->lines : events->since > 0 ? 0 : SHOWN;
    cJSON *all = cJSON_CreateArray();
    for (size_t i = 0; i < answers.count; i++) {
        struct log_position *position = answers.list[i].reply ? position_of(events, answers.list[i].run_dir) : NULL;
        if (position && !collect(events, position, most, all))
            output_error("%s: the agent gave no answer to this", position->run_dir);
    }
    control_answers_clear(&answers);
    if (events->lines != 0)
        show_sorted(events, all, most);
    cJSON_Delete(all);
    if (status != CMD_DONE)
        return status;
    if (events->error[0]) {
        output_error("%s", events->error);
        return CMD_USAGE;
    }
    if (events->follow)
        return follow(events);
    if (!events->shown && !events->json)
        output_note("no such events");
    return CMD_DONE;
}

/* -------------------------------------------------------------------------------------------------- the command line
 */

static int wrong(const char *expected, const char *got) {
    output_error("expected %s, got '%s'; see --help", expected, got);
    return CMD_USAGE;
}

static int take_option(struct events *events, int key) {
    size_t length = strlen(events->kinds);
    char *end;
    time_t since;
    switch (key) {
    case 'f': events->follow = true; return CMD_DONE;
    case 'j': events->json = true; return CMD_DONE;
    case 'a': events->app = optarg; return CMD_DONE;
    case OPTION_RUN_DIR: events->run_dir = optarg; return CMD_DONE;
    case 'k':
        if (snprintf(events->kinds + length, sizeof events->kinds - length, "%s%s", length ? "," : "", optarg) >=
            (int)(sizeof events->kinds - length))
            return wrong("fewer kinds", optarg);
        return CMD_DONE;
    case 's':
        if (!since_parse(optarg, time(NULL), &since))
            return wrong("a time such as 30m, 10:30 or '2026-11-30 10:30'", optarg);
        events->since = (double)since;
        return CMD_DONE;
    default:
        errno = 0;
        events->lines = strtol(optarg, &end, 10);
        if (errno || *end || end == optarg || events->lines < 0 || events->lines > 1000000000)
            return wrong("a number of lines", optarg);
        return CMD_DONE;
    }
}

int cmd_events(int argc, char **argv) {
    static struct events events = {.lines = -1, .app_width = 1};
    int key, status = CMD_DONE;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        status = key == OPTIONS_HELP || key == OPTIONS_WRONG ? OPTIONS_STATUS(key) : take_option(&events, key);
        if (key == OPTIONS_HELP || status != CMD_DONE)
            return status;
    }
    if (argv[optind]) {
        output_error("unexpected argument '%s'; usage: %s", argv[optind], options.usage);
        return CMD_USAGE;
    }
    if (events.follow) {
        const struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART: the pause ends at once */
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
    }
    status = show_events(&events);
    for (size_t i = 0; i < events.logs_count; i++)
        free(events.logs[i].run_dir);
    return status;
}
