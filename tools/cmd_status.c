/* weir status: what the agents know, for a person or as JSON. */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/cmd.h"
#include "tools/control.h"
#include "tools/fates.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/status_rules.h"
#include "tools/table.h"
#include "tools/times.h"

enum { OPTION_RUN_DIR = 256, OPTION_JSON, AGE_SIZE = 24 };

static const struct option_row rows[] = {
    {'v', "verbose", NULL, "show each warning about a rules file"},
    {OPTION_JSON, "json", NULL, "print one JSON object"},
    {OPTION_RUN_DIR, "run-dir", "DIR", "use the agent in DIR only (default: all agents)"},
    {0},
};
static const struct option_set options = {
    .usage = "weir status [-v] [--json] [--run-dir DIR]",
    .about =
        "Shows agents, apps, their processes with the rules in force in each, and the rules files with their errors.\n"
        "Exit status 69 if no agent can be reached.",
    .rows = rows,
    .examples = "  weir status\n"
                "  weir status --json | jq '.files[] | select(.state == \"error\")'",
};

/* "3d4h", "2h10m", "5m03s", "12s" since a moment in Unix seconds. */
static void age(double since, char ret_age[static AGE_SIZE]) {
    double seconds = difftime(time(NULL), 0) - since;
    if (since <= 0 || seconds > 1e10) {
        snprintf(ret_age, AGE_SIZE, "-");
        return;
    }
    long s = seconds > 0 ? (long)seconds : 0;
    if (s >= 86400) {
        snprintf(ret_age, AGE_SIZE, "%ldd%ldh", s / 86400, s / 3600 % 24);
    } else if (s >= 3600) {
        snprintf(ret_age, AGE_SIZE, "%ldh%02ldm", s / 3600, s / 60 % 60);
    } else if (s >= 60) {
        snprintf(ret_age, AGE_SIZE, "%ldm%02lds", s / 60, s % 60);
    } else {
        snprintf(ret_age, AGE_SIZE, "%lds", s);
    }
}

static void print_section(struct table *table, const char *none) {
    output_table(table, none);
    putchar('\n');
    table_free(table);
}

static void print_agents(const struct control_answers *answers) {
    static const struct table_column columns[] = {{"AGENT", TABLE_RIGHT}, {"VERSION", TABLE_LEFT}, {"UP", TABLE_RIGHT},
                                                  {"KIND", TABLE_LEFT},   {"RUN DIR", TABLE_FOLD}, {0}};
    struct table *table = table_new(columns);
    for (size_t i = 0; table && i < answers->count; i++) {
        const cJSON *reply = answers->list[i].reply, *agent = cJSON_GetObjectItemCaseSensitive(reply, "agent");
        if (!reply)
            continue;
        char up[AGE_SIZE];
        age(control_number(agent, "since"), up);
        table_cell(table, TABLE_PLAIN, "%.0f", control_number(agent, "pid"));
        table_cell(table, TABLE_PLAIN, "%s", control_text(agent, "version"));
        table_cell(table, TABLE_PLAIN, "%s", up);
        table_cell(table, TABLE_PLAIN, "%s", control_true(agent, "embedded") ? "weir run" : "service");
        table_cell(table, TABLE_PLAIN, "%s", answers->list[i].run_dir);
    }
    print_section(table, "no agents");
}

/* Several, and all of them on, or off for one reason. */
static bool are_alike(const cJSON *features) {
    const cJSON *feature, *first = cJSON_GetArrayItem(features, 0);
    cJSON_ArrayForEach(feature, features) {
        if (control_true(feature, "on") != control_true(first, "on") ||
            strcmp(control_text(feature, "why"), control_text(first, "why")) != 0)
            return false;
    }
    return cJSON_GetArraySize(features) > 1;
}

static void add_feature(struct table *table, const cJSON *agent, const char *what, const cJSON *feature) {
    bool on = control_true(feature, "on");
    table_cell(table, TABLE_PLAIN, "%.0f", control_number(agent, "pid"));
    table_cell(table, TABLE_PLAIN, "%s", what);
    table_cell(table, on ? TABLE_GOOD : TABLE_DIM, "%s", on ? "on" : "off");
    table_cell(table, TABLE_DIM, "%s", control_text(feature, "why"));
}

/* What the kernel programs of each agent do, or why they do not. */
static void print_bpf(const struct control_answers *answers) {
    static const struct table_column columns[] = {
        {"AGENT", TABLE_RIGHT}, {"KERNEL PROGRAMS", TABLE_FOLD}, {"STATE", TABLE_LEFT}, {"REMARK", TABLE_FOLD}, {0}};
    struct table *table = table_new(columns);
    for (size_t i = 0; table && i < answers->count; i++) {
        const cJSON *reply = answers->list[i].reply, *agent = cJSON_GetObjectItemCaseSensitive(reply, "agent");
        const cJSON *bpf = cJSON_GetObjectItemCaseSensitive(reply, "bpf"), *feature;
        const cJSON *features = cJSON_GetObjectItemCaseSensitive(bpf, "features");
        if (are_alike(features)) {
            add_feature(table, agent, "all of them", cJSON_GetArrayItem(features, 0));
            continue;
        }
        cJSON_ArrayForEach(feature, features) add_feature(table, agent, control_text(feature, "what"), feature);
    }
    print_section(table, "no kernel programs");
}

/* Rules that are not in force in some processes, as their library is older than the agent. */
static void print_left_out(const cJSON *apps) {
    const cJSON *app, *process, *id;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(process, cJSON_GetObjectItemCaseSensitive(app, "processes")) {
        cJSON_ArrayForEach(id, cJSON_GetObjectItemCaseSensitive(process, "left_out")) output_text(
            stdout, "%s: rule %s: needs a newer libweir.so in process %.0f: restart it", control_text(app, "app"),
            cJSON_IsString(id) ? id->valuestring : "", control_number(process, "pid"));
        if (control_true(process, "short_of_memory"))
            output_text(stdout, "%s: process %.0f has no memory for the rules: see `weir doctor`",
                        control_text(app, "app"), control_number(process, "pid"));
    }
}

/* What is not enforced, or not as written, because something is used up. */
static void print_limits(const cJSON *apps) {
    static const struct {
        const char *member, *meaning;
    } limits[] = {
        {"slots_refused", "more processes than there is room for (256 at once): some count only their own requests"},
        {"resources_refused",
         "more resource names than the budget of resources: the rest are counted together as {other}"},
        {"cells_refused",
         "no memory for the counters of some rules: each process enforces an approximate limit instead"},
    };
    const cJSON *app;
    cJSON_ArrayForEach(app, apps) for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        if (control_number(app, limits[i].member) > 0)
            output_text(stdout, "%s: %s", control_text(app, "app"), limits[i].meaning);
    }
    cJSON_ArrayForEach(app, apps) if (control_number(app, "resources_sharing") > 0)
        output_text(stdout, "%s: %.0f resources share limiters with others: no room for limiters of their own",
                    control_text(app, "app"), control_number(app, "resources_sharing"));
    cJSON_ArrayForEach(app, apps) {
        const cJSON *port;
        cJSON_ArrayForEach(port, cJSON_GetObjectItemCaseSensitive(app, "coverage")) {
            if (control_number(port, "missing") > 0)
                output_text(stdout, "%s: port %.0f: %.0f of %.0f connections bypassed the shim: see `weir doctor`",
                            control_text(app, "app"), control_number(port, "port"), control_number(port, "missing"),
                            control_number(port, "kernel"));
        }
    }
}

/* Connections that came to an app's processes, and that rules about requests say nothing to: which, and of how many. */
static void print_fates(const cJSON *apps) {
    const cJSON *app, *listener;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(listener, cJSON_GetObjectItemCaseSensitive(app, "connections")) {
        char text[FATES_TEXT];
        struct fates sum = {0};
        fates_text(listener, text);
        fates_add(&sum, listener);
        if (text[0])
            output_text(stdout, "%s: listener %s: rules about requests applied to %.0f connections, not to: %s",
                        control_text(app, "app"), control_text(listener, "listener"), sum.judged, text);
    }
}

/* Programs that answer half a request: what they answer so, nothing decides upon. */
static void print_early(const cJSON *apps) {
    const cJSON *app, *process;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(process, cJSON_GetObjectItemCaseSensitive(app, "processes")) {
        if (control_number(process, "acted_early") > 0)
            output_text(stdout,
                        "%s: process %.0f answered requests before they were complete, %.0f so far: rules did not "
                        "apply to those",
                        control_text(app, "app"), control_number(process, "pid"),
                        control_number(process, "acted_early"));
    }
}

/* Rules that are not in force at this time of day. */
static void print_times(const cJSON *apps) {
    const cJSON *app, *entry;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(app, "times")) {
        struct times times = {control_true(entry, "now"), (uint64_t)control_number(entry, "until"), 0};
        char text[TIMES_TEXT];
        if (times.now)
            continue;
        times_text(&times, text);
        text[strcspn(text, "(")] = '\0';
        output_text(stdout, "%s: rule %s is %s(%s)", control_text(app, "app"), control_text(entry, "rule"), text,
                    control_text(entry, "when"));
    }
}

/* Rules go by the CPU of processes that the agent may not look at. */
static void print_hidden(const cJSON *apps) {
    const cJSON *app;
    cJSON_ArrayForEach(app, apps) {
        const cJSON *cpu = cJSON_GetObjectItemCaseSensitive(app, "cpu");
        if (control_number(cpu, "hidden") > 0)
            output_text(stdout,
                        "%s: CPU: %.0f of its processes are hidden from the agent in /proc, so that it knows only how "
                        "much they use: a quota, or a thread that is busy all the time, goes unnoticed. Mount /proc "
                        "without hidepid for the agent",
                        control_text(app, "app"), control_number(cpu, "hidden"));
    }
}

/* A process takes the newest rules with its next request: one that had none since they came is idle, not outdated. */
static bool is_outdated(const cJSON *process) {
    return !control_true(process, "current") && !control_true(process, "idle");
}

static void print_apps(const cJSON *apps) {
    static const struct table_column columns[] = {
        {"APP", TABLE_FOLD},        {"STATE", TABLE_LEFT},     {"RULES VERSION", TABLE_RIGHT},
        {"PROCESSES", TABLE_RIGHT}, {"OUTDATED", TABLE_RIGHT}, {0}};
    struct table *table = table_new(columns);
    const cJSON *app, *process;
    cJSON_ArrayForEach(app, apps) {
        const cJSON *processes = cJSON_GetObjectItemCaseSensitive(app, "processes");
        int outdated = 0;
        cJSON_ArrayForEach(process, processes) outdated += is_outdated(process);
        bool off = control_true(app, "off"), stale = control_true(app, "stale");
        table_cell(table, TABLE_BOLD, "%s", control_text(app, "app"));
        table_cell(table, off ? TABLE_BAD : TABLE_GOOD, "%s", off ? "OFF" : "on");
        table_cell(table, stale ? TABLE_WARN : TABLE_PLAIN, "%.0f%s", control_number(app, "rules_version"),
                   stale ? " (last good)" : "");
        table_cell(table, TABLE_PLAIN, "%d", cJSON_GetArraySize(processes));
        table_cell(table, outdated ? TABLE_WARN : TABLE_PLAIN, "%d", outdated);
    }
    print_section(table, "no apps: none configured, none connected");
    status_rules_apps(apps);
    status_rules_overload(apps);
    status_rules_unmet(apps, (double)time(NULL));
    print_limits(apps);
    print_fates(apps);
    print_early(apps);
    print_left_out(apps);
    print_times(apps);
    print_hidden(apps);
}

/* Resources whose connections rules limit, and who does that: the shim in their programs, or the kernel for those that
 * have none. */
static void print_guards(const cJSON *apps) {
    static const struct table_column columns[] = {
        {"APP", TABLE_FOLD}, {"CONNECTIONS", TABLE_FOLD}, {"LIMITED BY", TABLE_LEFT}, {"REMARK", TABLE_FOLD}, {0}};
    const cJSON *app, *guard, *rule;
    struct table *table = NULL;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(guard, cJSON_GetObjectItemCaseSensitive(app, "guard")) {
        const char *by = control_text(guard, "by");
        bool none = strcmp(by, "nobody") == 0;
        if (!table)
            table = table_new(columns);
        table_cell(table, TABLE_PLAIN, "%s", control_text(app, "app"));
        table_cell(table, TABLE_PLAIN, "%s", control_text(guard, "resource"));
        table_cell(table, none ? TABLE_BAD : TABLE_GOOD, "%s", none ? "nothing" : by);
        if (control_number(guard, "left_out") > 0)
            table_cell(table, TABLE_WARN, "no room for %.0f of its rules", control_number(guard, "left_out"));
        else
            table_cell(table, TABLE_DIM, "%s", control_text(guard, "why"));
    }
    if (table)
        print_section(table, "");
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(rule, cJSON_GetObjectItemCaseSensitive(app, "unenforced")) {
        output_text(stdout, "%s: rule %s is not enforced for programs without a shim: %s", control_text(app, "app"),
                    control_text(rule, "rule"), control_text(rule, "why"));
    }
}

/* Processes whose library cannot read what the agent writes: they go by the rules that they have, until a restart. */
static void print_outdated(struct table *table, const cJSON *turned_away) {
    const cJSON *process;
    cJSON_ArrayForEach(process, turned_away) {
        if (strcmp(control_text(process, "why"), "other-version") != 0)
            continue;
        table_cell(table, TABLE_PLAIN, "%.0f", control_number(process, "pid"));
        table_cell(table, TABLE_PLAIN, "%s", control_text(process, "app"));
        table_cell(table, TABLE_BAD, "OUTDATED");
        for (int i = 0; i < 3; i++)
            table_cell(table, TABLE_PLAIN, "%s", "");
        table_cell(table, TABLE_DIM, "%s", "its libweir.so is of another version: restart it");
    }
}

static void print_processes(const cJSON *apps, const cJSON *turned_away) {
    static const struct table_column columns[] = {{"PID", TABLE_RIGHT},
                                                  {"APP", TABLE_FOLD},
                                                  {"RULES VERSION", TABLE_RIGHT},
                                                  {"SINCE", TABLE_RIGHT},
                                                  {"UNDECIDED", TABLE_RIGHT},
                                                  {"MALFORMED", TABLE_RIGHT | TABLE_SPARE(1)},
                                                  {"EXE", TABLE_FOLD},
                                                  {0}};
    struct table *table = table_new(columns);
    const cJSON *app, *process;
    cJSON_ArrayForEach(app, apps) {
        cJSON_ArrayForEach(process, cJSON_GetObjectItemCaseSensitive(app, "processes")) {
            char since[AGE_SIZE];
            age(control_number(process, "since"), since);
            double undecided = control_number(process, "undecided");
            table_cell(table, TABLE_PLAIN, "%.0f", control_number(process, "pid"));
            table_cell(table, TABLE_PLAIN, "%s", control_text(app, "app"));
            table_cell(table, is_outdated(process) ? TABLE_WARN : TABLE_PLAIN, "%.0f%s",
                       control_number(process, "rules_version"),
                       is_outdated(process)               ? " (outdated)"
                       : control_true(process, "current") ? ""
                                                          : " (idle)");
            table_cell(table, TABLE_PLAIN, "%s", since);
            table_cell(table, undecided > 0 ? TABLE_WARN : TABLE_PLAIN, "%.0f", undecided);
            table_cell(table, TABLE_PLAIN, "%.0f", control_number(process, "malformed"));
            table_cell(table, TABLE_PLAIN, "%s", control_text(process, "exe"));
        }
    }
    print_outdated(table, turned_away);
    print_section(table, "no protected processes");
}

static void print_error(const cJSON *file, const cJSON *error) {
    double line = control_number(error, "line"), column = control_number(error, "column");
    const char *path = control_text(error, "path");
    char where[48] = "";
    if (line > 0)
        snprintf(where, sizeof where, ":%.0f:%.0f", line, column);
    output_text(stdout, "%s%s: error: %s%s%s", control_text(file, "path"), where, path, *path ? ": " : "",
                control_text(error, "message"));
}

static void print_files(const cJSON *files) {
    static const struct table_column columns[] = {
        {"STATE", TABLE_LEFT}, {"APP", TABLE_FOLD}, {"LOADED", TABLE_RIGHT}, {"RULES FILE", TABLE_FOLD}, {0}};
    struct table *table = table_new(columns);
    const cJSON *file, *error;
    cJSON_ArrayForEach(file, files) {
        bool good = strcmp(control_text(file, "state"), "ok") == 0;
        char loaded[AGE_SIZE];
        age(control_number(file, "loaded"), loaded);
        table_cell(table, good ? TABLE_GOOD : TABLE_BAD, "%s", control_text(file, "state"));
        table_cell(table, TABLE_PLAIN, "%s", control_text(file, "app"));
        table_cell(table, TABLE_PLAIN, "%s", loaded);
        table_cell(table, TABLE_PLAIN, "%s", control_text(file, "path"));
    }
    print_section(table, "no rules files");
    cJSON_ArrayForEach(file, files) {
        cJSON_ArrayForEach(error, cJSON_GetObjectItemCaseSensitive(file, "errors")) print_error(file, error);
    }
}

static void print_json(const struct control_answers *answers, cJSON *apps, cJSON *files) {
    cJSON *all = cJSON_CreateObject(), *agents = cJSON_AddArrayToObject(all, "agents");
    for (size_t i = 0; i < answers->count; i++) {
        const cJSON *reply = answers->list[i].reply;
        cJSON *agent = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(reply, "agent"), true);
        cJSON *bpf = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(reply, "bpf"), true);
        if (agent && bpf)
            cJSON_AddItemToObject(agent, "bpf", bpf);
        if (!agent)
            cJSON_Delete(bpf);
        if (agent)
            cJSON_AddItemToArray(agents, agent);
    }
    cJSON_AddItemReferenceToObject(all, "apps", apps);
    cJSON_AddItemReferenceToObject(all, "files", files);
    output_json(stdout, all);
    cJSON_Delete(all);
}

int cmd_status(int argc, char **argv) {
    const char *run_dir = NULL;
    bool json = false, verbose = false;
    int key;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        if (key == OPTIONS_HELP || key == OPTIONS_WRONG)
            return OPTIONS_STATUS(key);
        verbose |= key == 'v';
        if (key == OPTION_JSON)
            json = true;
        if (key == OPTION_RUN_DIR)
            run_dir = optarg;
    }
    if (argv[optind]) {
        output_error("unexpected '%s'; usage: %s", argv[optind], options.usage);
        return CMD_USAGE;
    }
    struct control_answers answers;
    control_ask_all(run_dir, "status", CONTROL_TIMEOUT_MS, &answers);
    int status = control_report(&answers, run_dir);
    if (status == CMD_DONE) {
        cJSON *apps = control_join(&answers, "apps"), *files = control_join(&answers, "files");
        cJSON *turned_away = control_join(&answers, "turned_away");
        if (json) {
            print_json(&answers, apps, files);
        } else {
            print_agents(&answers);
            print_bpf(&answers);
            print_apps(apps);
            print_guards(apps);
            print_processes(apps, turned_away);
            print_files(files);
            status_rules_warnings(files, verbose);
        }
        cJSON_Delete(apps);
        cJSON_Delete(files);
        cJSON_Delete(turned_away);
    }
    control_answers_clear(&answers);
    return status;
}
