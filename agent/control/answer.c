#include "agent/control/answer.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control/hot_keys.h"
#include "agent/control/status.h"
#include "agent/control/traffic.h"
#include "agent/control/why.h"
#include "agent/core/json_reader.h"
#include "agent/kernel/ports.h"
#include "agent/metrics/event_record.h"

enum { ANSWER_MAX = 256 << 20 /* bytes */, MESSAGE_MAX = 512 };

#define AT(member) .at = offsetof(struct answer_request, member), .size = sizeof((struct answer_request *)0)->member
static const struct json_field REQUEST[] = {
    {"cmd", JSON_TEXT, JSON_REQUIRED, AT(cmd)},
    {"app", JSON_TEXT, AT(app), .expected = "the name of an app"},
    {"id", JSON_TEXT, AT(id)},
    {"kinds", JSON_TEXT, AT(kinds), .expected = "kinds of events, with commas"},
    {"since", JSON_NUMBER, AT(since), .min = 0, .max = 1e12},
    {"after", JSON_INTEGER, AT(after), .min = 0, .max = 9007199254740991.0},
    {"most", JSON_INTEGER, AT(most), .min = 0, .max = 1e9},
    {0},
};

static void add_error(struct json_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_error(struct json_writer *w, const char *format, ...) {
    char message[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    json_text(w, "error", message);
}

/* --------------------------------------------------------------------------------------------- questions and orders */

static void status(const struct control_sources *from, const struct answer_request *request, struct json_writer *w) {
    (void)request;
    status_answer(from, w);
}

static void traffic(const struct control_sources *from, const struct answer_request *request, struct json_writer *w) {
    (void)request;
    traffic_answer(from->apps, w);
}

static void hot(const struct control_sources *from, const struct answer_request *request, struct json_writer *w) {
    (void)request;
    hot_keys_answer(from->apps, w);
}

static void why(const struct control_sources *from, const struct answer_request *request, struct json_writer *w) {
    why_answer(from, request->id, w);
}

static void events(const struct control_sources *from, const struct answer_request *request, struct json_writer *w) {
    const struct event_filter filter = {(uint64_t)request->after, request->since, request->app, request->kinds};
    for (const char *kind = request->kinds; *kind;) {
        size_t length = strcspn(kind, ",");
        if (!event_record_is_kind(kind, length)) {
            char groups[MESSAGE_MAX / 2];
            event_record_groups(groups, sizeof groups);
            add_error(w, "no events are of the kind \"%.*s\"; there are %s", (int)length, kind, groups);
            return;
        }
        kind += length + (kind[length] == ',');
    }
    event_store_read(from->events, &filter, (uint64_t)request->most, w);
}

static void ports(const struct control_sources *from, const struct answer_request *request, struct json_writer *w) {
    (void)request;
    ports_answer(from->ebpf, w);
}

static void set_off(const struct control_sources *from, const struct answer_request *request, struct json_writer *w) {
    struct app *app = app_find(from->apps, request->app);
    if (!request->app[0])
        add_error(w, "\"app\": expected the name of an app");
    else if (!app)
        add_error(w, "no app named \"%s\"; `weir status` lists them", request->app);
    else {
        app_set_off(app, strcmp(request->cmd, "off") == 0);
        json_bool(w, "ok", true);
    }
}

static void reload(const struct control_sources *from, const struct answer_request *request, struct json_writer *w) {
    (void)request;
    from->reload(from->context);
    json_bool(w, "ok", true);
}

static const struct command {
    const char *name;
    void (*answer)(const struct control_sources *, const struct answer_request *, struct json_writer *);
    bool order;      /* for root, the agent's user and its group only */
    bool takes_time; /* made on the worker's thread */
} COMMANDS[] = {
    {"status", status, false, false}, {"figures", traffic, false, false}, {"hot", hot, false, false},
    {"why", why, false, false},       {"ports", ports, false, true},      {"events", events, false, true},
    {"off", set_off, true, false},    {"on", set_off, true, false},       {"reload", reload, true, false},
};
enum { COMMANDS_COUNT = sizeof COMMANDS / sizeof *COMMANDS };

static const struct command *command_of(const struct answer_request *request) {
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        if (strcmp(COMMANDS[i].name, request->cmd) == 0)
            return &COMMANDS[i];
    return NULL;
}

static void unknown(const char *cmd, struct json_writer *w) {
    char names[MESSAGE_MAX / 2];
    size_t n = 0;
    for (size_t i = 0; i < COMMANDS_COUNT && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", COMMANDS[i].name);
    add_error(w, "unknown cmd \"%s\": there are %s", cmd, names);
}

static void answer(const struct control_sources *from, const struct answer_request *request, bool may_change,
                   struct json_writer *w) {
    const struct command *command = command_of(request);
    if (request->error)
        add_error(w, "%s", request->error);
    else if (!command)
        unknown(request->cmd, w);
    else if (command->order && !may_change)
        add_error(w, "only root, the agent's user and its group may do that");
    else
        command->answer(from, request, w);
}

static void explain(struct answer_request *request, const struct rule_errors *errors) {
    const struct rule_error *first = errors->count ? &errors->list[0] : NULL;
    request->error = "expected one line of JSON of at most 4000 bytes: {\"cmd\": …}";
    if (!request->cmd[0] || !first || !first->path[0])
        return;
    snprintf(request->message, sizeof request->message, "%s: %s", first->path, first->message);
    request->error = request->message;
}

void answer_read(char *line, size_t length, struct answer_request *request) {
    const struct json_input input = {.name = "request", .text = line, .length = length, .lenient = true};
    struct rule_errors errors = {0};
    *request = (struct answer_request){0};
    if (!json_read(&input, REQUEST, request, &errors))
        explain(request, &errors);
    const struct command *command = request->error ? NULL : command_of(request);
    request->takes_time = command && command->takes_time;
    rule_errors_clear(&errors);
}

char *answer_make(const struct control_sources *from, const struct answer_request *request, bool may_change,
                  size_t *ret_length) {
    struct json_writer w = json_writer_growing(ANSWER_MAX);
    json_open(&w, NULL);
    answer(from, request, may_change, &w);
    json_close(&w);
    json_newline(&w);
    return json_finish(&w, ret_length);
}
