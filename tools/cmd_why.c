/* `weir why`: what was behind the answer that a blocked client got. */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <math.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rules/rejection_id.h"
#include "tools/cmd.h"
#include "tools/control.h"
#include "tools/options.h"
#include "tools/output.h"

enum { OPTION_RUN_DIR = 256 };

static const struct option_row rows[] = {
    {OPTION_RUN_DIR, "run-dir", "DIR", "use the agent in DIR only (default: all agents)"},
    {'j', "json", NULL, "print all details as JSON"},
    {0},
};
static const struct option_set options = {
    .usage = "weir why [OPTION]… ID",
    .about = "Explains a rejection: the rule, its version and author, the metrics of that moment, and the caller.\n"
             "The ID is in the response (body, and header X-Weir-Id), in the journal, `weir events`\n"
             "and weir-block.log.",
    .rows = rows,
    .examples = "  weir why 3F-K7QM",
};

static void when(double seconds, char *text, size_t size) {
    time_t whole = seconds >= 0 && seconds < 1e11 ? (time_t)seconds : 0; /* a process may have scribbled on it */
    struct tm local = {0};
    localtime_r(&whole, &local);
    strftime(text, size, "%Y-%m-%d %H:%M:%S", &local);
}

static bool has(const cJSON *answer, const char *member) {
    return cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(answer, member));
}

static void print_caller(const cJSON *answer) {
    const cJSON *caller = cJSON_GetObjectItemCaseSensitive(answer, "caller");
    const char *origin = control_text(caller, "origin"), *address = control_text(caller, "address");
    if (*origin && *address && strcmp(origin, address) != 0)
        output_text(stdout, "caller   %s (%s)", origin, address);
    else
        output_text(stdout, "caller   %s", *origin ? origin : *address ? address : "unknown");
    if (*control_text(answer, "trace"))
        output_text(stdout, "trace    %s", control_text(answer, "trace"));
}

static void print_rule(const cJSON *answer) {
    const char *rule = control_text(answer, "rule");
    double version = control_number(answer, "rules_version"), now = control_number(answer, "rules_version_now");
    output_text(stdout, "rule     %s (%s), rules version %.0f%s", *rule ? rule : "none", control_text(answer, "reason"),
                version, version == now ? "" : ", which is no longer in force");
    if (*control_text(answer, "file"))
        output_text(stdout, "         %s:%.0f", control_text(answer, "file"), control_number(answer, "line"));
    if (!has(answer, "changed")) {
        output_text(stdout, "         as it was before this agent began");
        return;
    }
    char time[64];
    const struct passwd *user = has(answer, "changed_by_uid")
                                    ? getpwuid((uid_t)control_number(answer, "changed_by_uid"))
                                    : NULL;
    when(control_number(answer, "changed"), time, sizeof time);
    char owner[100] = "";
    if (user)
        snprintf(owner, sizeof owner, ", file owner: %s", user->pw_name);
    else if (has(answer, "changed_by_uid"))
        snprintf(owner, sizeof owner, ", file owner: user %.0f", control_number(answer, "changed_by_uid"));
    output_text(stdout, "         unchanged since %s (version %.0f)%s", time,
                control_number(answer, "changed_in_version"), owner);
}

/* What the agent says of the limit, "limit 20 a second; 20 had passed". */
static void print_limit(const cJSON *answer) {
    const char *limit = control_text(answer, "limit_text"), *counted = control_text(answer, "counted_text");
    const cJSON *circuit = cJSON_GetObjectItemCaseSensitive(answer, "circuit");
    double least = control_number(circuit, "min_requests");
    output_text(stdout, "because  %s%s%s", *limit ? limit : "unknown", *counted ? "; " : "", counted);
    if (circuit)
        output_text(stdout, "         of at least %.0f request%s in %g s", least, least == 1 ? "" : "s",
                    control_number(circuit, "stat_interval_ms") / 1000);
    if (*control_text(answer, "related"))
        output_text(stdout, "related  %s", control_text(answer, "related"));
    if (*control_text(answer, "entrance"))
        output_text(stdout, "entered  through %s", control_text(answer, "entrance"));
    if (*control_text(answer, "list"))
        output_text(stdout, "list     %s", control_text(answer, "list"));
}

static void print_value(const cJSON *answer) {
    bool entry = strcmp(control_text(answer, "limit_of"), "black-list") == 0;
    if (*control_text(answer, "value"))
        output_text(stdout, "%s    %s%s", entry ? "entry" : "value", control_text(answer, "value"),
                    control_true(answer, "value_cut") ? "… (shown in part)" : "");
    if (has(answer, "rule_limit"))
        output_text(stdout, "         with a threshold of its own; other values have %g",
                    control_number(answer, "rule_limit"));
}

static void duration(double seconds, char *text, size_t size) {
    if (seconds < 10)
        snprintf(text, size, "%.1f s", seconds);
    else if (seconds < 120)
        snprintf(text, size, "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf(text, size, "%.0f min", seconds / 60);
    else
        snprintf(text, size, "%.1f h", seconds / 3600);
}

static void print_figures(const cJSON *answer) {
    char after[32];
    duration(control_number(answer, "retry_ms") / 1000, after, sizeof after);
    if (control_number(answer, "retry_ms"))
        output_text(stdout, "retry    possible after %s", after);
    const cJSON *figures = cJSON_GetObjectItemCaseSensitive(answer, "figures");
    if (figures)
        output_text(
            stdout,
            "figures  %.0f passed, %.0f rejected, %.0f failed in that second; %.0f in flight, mean latency %.3g ms",
            control_number(figures, "pass"), control_number(figures, "block"), control_number(figures, "exception"),
            control_number(figures, "in_flight"), control_number(figures, "rt_ms"));
    if (control_number(answer, "more"))
        output_text(stdout, "alike    %.0f more rejections share this id", control_number(answer, "more"));
}

static void print_answer(const cJSON *answer) {
    char time[64];
    double seconds = control_number(answer, "time");
    when(seconds, time, sizeof time);
    output_text(stdout, "rejected %s.%03.0f, app %s, process %.0f", time, fmod(floor(seconds * 1000), 1000),
                control_text(answer, "app"), control_number(answer, "pid"));
    output_text(stdout, "resource %s", control_text(answer, "resource"));
    print_caller(answer);
    print_rule(answer);
    print_limit(answer);
    print_value(answer);
    print_figures(answer);
}

/* The agent that gave the id, or what all of them say. */
static int ask(const struct control_answers *answers, const char *id, bool json) {
    char why[300] = "";
    for (size_t i = 0; i < answers->count; i++) {
        cJSON *reply = NULL;
        if (!answers->list[i].reply ||
            control_ask_about(answers->list[i].run_dir, "why", "id", id, CONTROL_TIMEOUT_MS, &reply) < 0)
            continue;
        const char *error = control_text(reply, "error");
        if (!*error) {
            json ? output_json(stdout, reply) : print_answer(reply);
            cJSON_Delete(reply);
            return CMD_DONE;
        }
        if (!*why || cJSON_HasObjectItem(reply, "app")) /* an agent that knows the app knows best */
            snprintf(why, sizeof why, "%s", error);
        cJSON_Delete(reply);
    }
    output_error("%s: %s", id, *why ? why : "the agent gave no answer to this");
    return CMD_FAILED;
}

int cmd_why(int argc, char **argv) {
    const char *run_dir = NULL;
    uint64_t number;
    uint32_t check;
    bool json = false;
    int key;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        if (key == OPTIONS_HELP || key == OPTIONS_WRONG)
            return OPTIONS_STATUS(key);
        if (key == 'j')
            json = true;
        else
            run_dir = optarg;
    }
    const char *id = argv[optind];
    if (!id || argv[optind + 1]) {
        output_error("%s; usage: %s", id ? "one ID at a time" : "which ID?", options.usage);
        return CMD_USAGE;
    }
    if (!rejection_id_read(id, &number, &check)) {
        output_error("'%s' is no id: they look like 3F-K7QM", id);
        return CMD_USAGE;
    }
    struct control_answers answers;
    control_ask_all(run_dir, "status", CONTROL_TIMEOUT_MS, &answers);
    int status = control_report(&answers, run_dir);
    if (status == CMD_DONE)
        status = ask(&answers, id, json);
    control_answers_clear(&answers);
    return status;
}
