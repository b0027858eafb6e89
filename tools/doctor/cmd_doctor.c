/* weir doctor: which processes are protected, and for each that is not: why, and what to do. */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/doctor/doctor.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/run_dir.h"
#include "tools/table.h"
#include "tools/text.h"

enum { OPTION_RUN_DIR = 256, OPTION_JSON, OPTION_ROOT, INDENT = 4 };

static const struct option_row rows[] = {
    {OPTION_JSON, "json", NULL, "print one JSON object"},
    {OPTION_RUN_DIR, "run-dir", "DIR", "use the agent in DIR only (default: all agents)"},
    {OPTION_ROOT, "root", "DIR", "search drop-ins of `weir enable` below DIR"},
    {0},
};
static const struct option_set options = {
    .usage = "weir doctor [--json] [--run-dir DIR] [--root DIR] [PID|UNIT]…",
    .about = "Shows for each process that listens on TCP, or for those given, whether weir protects it; and if not, "
             "why, and\n"
             "what to do.\nExit status 1 if a process is not protected that was given or that rules, its unit or its "
             "environment\n"
             "select; 69 if no agent could be contacted and nothing else is wrong.",
    .rows = rows,
    .examples = "  weir doctor\n"
                "  weir doctor nginx.service\n"
                "  weir doctor $(pidof redis-server)",
};

/* Workers of one server are reported together. */
static bool is_alike(const struct doctor_finding *one, const struct doctor_finding *other) {
    return one->cause == other->cause && one->wanted == other->wanted && strcmp(one->listens, other->listens) == 0 &&
           strcmp(one->facts.exe, other->facts.exe) == 0 && strcmp(one->facts.comm, other->facts.comm) == 0 &&
           strcmp(one->facts.unit, other->facts.unit) == 0 && strcmp(one->app, other->app) == 0;
}

/* The number of findings from `from` on that are alike. */
static size_t group_of(const struct doctor *doctor, size_t from) {
    size_t count = 1;
    while (from + count < doctor->count && is_alike(&doctor->list[from], &doctor->list[from + count]))
        count++;
    return count;
}

static void print_seen(struct table *table, const struct doctor_finding *finding, enum table_style style) {
    double share = coverage_share(finding->kernel_connections, finding->shim_connections);
    if (share < 0)
        table_cell(table, style, "-");
    else
        table_cell(table, share < 1 ? TABLE_BAD : style, "%.*f %%", share > 0 && share < 0.1 ? 1 : 0, 100 * share);
}

static void print_row(struct table *table, const struct doctor *doctor, size_t index, size_t count) {
    const struct doctor_finding *finding = &doctor->list[index];
    bool ill = doctor_is_ill(finding), good = coverage_is_protected(finding->cause);
    enum table_style style = finding->wanted ? TABLE_PLAIN : TABLE_DIM;
    const char *why = finding->cause == COVERAGE_PROTECTED ? doctor_remark(doctor, finding)
                                                           : coverage_phrase(finding->cause);
    if (count > 1)
        table_cell(table, style, "%d +%zu", (int)finding->facts.pid, count - 1);
    else
        table_cell(table, style, "%d", (int)finding->facts.pid);
    table_cell(table, finding->wanted ? TABLE_BOLD : TABLE_DIM, "%s", finding->facts.comm);
    table_cell(table, style, "%s", finding->facts.unit);
    table_cell(table, style, "%s", finding->listens);
    table_cell(table, style, "%s", finding->app);
    print_seen(table, finding, style);
    table_cell(table,
               ill    ? TABLE_BAD
               : good ? TABLE_GOOD
                      : TABLE_DIM,
               "%s",
               ill    ? finding->cause == COVERAGE_UNKNOWN ? "unknown" : "UNPROTECTED"
               : good ? "protected"
                      : "not asked for");
    table_cell(table, style, "%s", why ? why : "");
}

static void print_table(const struct doctor *doctor) {
    static const struct table_column columns[] = {{"PID", TABLE_LEFT},
                                                  {"PROGRAM", TABLE_LEFT},
                                                  {"UNIT", TABLE_FOLD | TABLE_SPARE(3) | TABLE_IF_ANY},
                                                  {"LISTENS ON", TABLE_FOLD},
                                                  {"APP", TABLE_LEFT | TABLE_SPARE(2) | TABLE_IF_ANY},
                                                  {"SEEN", TABLE_RIGHT | TABLE_SPARE(1) | TABLE_IF_ANY},
                                                  {"STATE", TABLE_LEFT},
                                                  {"WHY", TABLE_FOLD | TABLE_IF_ANY},
                                                  {0}};
    struct table *table = table_new(columns);
    for (size_t i = 0, count; table && i < doctor->count; i += count) {
        count = group_of(doctor, i);
        print_row(table, doctor, i, count);
    }
    output_table(table, "No process listens on TCP.");
    table_free(table);
}

static void print_remedy(const struct doctor_finding *finding, size_t count) {
    char *remedy = doctor_remedy(finding), also[32] = "";
    if (!remedy)
        return;
    if (count > 1)
        snprintf(also, sizeof also, " and %zu more", count - 1);
    putchar('\n');
    output_text(stdout, "%s (process %d%s): %s.", finding->facts.comm, (int)finding->facts.pid, also,
                coverage_phrase(finding->cause));
    output_text(stdout, "%*s%s", INDENT, "", remedy);
    free(remedy);
}

static void print_limits(const struct doctor *doctor) {
    size_t others = 0;
    for (size_t i = 0, count; i < doctor->count; i += count) {
        count = group_of(doctor, i);
        others += !doctor->list[i].wanted;
    }
    if (others || doctor->unowned || doctor->truncated)
        putchar('\n');
    if (others)
        output_text(stdout, "%zu of these %s weir, and nothing asks for it: `weir doctor PID` says what it would take.",
                    others, others == 1 ? "runs without" : "run without");
    if (doctor->unowned)
        output_text(stdout, "%u listening socket%s not shown: %s.", doctor->unowned,
                    doctor->unowned == 1 ? " is" : "s are",
                    doctor->unreadable ? "owned by processes that only root can inspect"
                                       : "owned by processes in another PID namespace");
    if (doctor->truncated)
        output_text(stdout, "There are more sockets on this host than doctor looks at: name a PID or a unit.");
}

static void print_report(const struct doctor *doctor, bool all) {
    print_table(doctor);
    for (size_t i = 0, count; i < doctor->count; i += count) {
        count = group_of(doctor, i);
        if (doctor_is_ill(&doctor->list[i]))
            print_remedy(&doctor->list[i], count);
    }
    if (all)
        print_limits(doctor);
}

static void add_text(cJSON *object, const char *name, const char *value) {
    char *clean = strdup(value);
    if (clean)
        text_clean(clean);
    cJSON_AddStringToObject(object, name, clean ? clean : "");
    free(clean);
}

static cJSON *json_of(const struct doctor *doctor, const struct doctor_finding *finding) {
    cJSON *object = cJSON_CreateObject();
    const struct process_facts *facts = &finding->facts;
    char *remedy = doctor_remedy(finding);
    cJSON_AddNumberToObject(object, "pid", facts->pid);
    add_text(object, "program", facts->comm);
    add_text(object, "exe", facts->exe);
    cJSON_AddNumberToObject(object, "uid", facts->uid);
    add_text(object, "unit", facts->unit);
    add_text(object, "listens", finding->listens);
    add_text(object, "app", finding->app);
    cJSON_AddBoolToObject(object, "protected", coverage_is_protected(finding->cause));
    cJSON_AddNumberToObject(object, "acted_early", (double)finding->acted_early);
    cJSON_AddBoolToObject(object, "wanted", finding->wanted);
    cJSON_AddStringToObject(object, "cause", coverage_id(finding->cause));
    cJSON_AddNumberToObject(object, "kernel_connections", (double)finding->kernel_connections);
    cJSON_AddNumberToObject(object, "shim_connections", (double)finding->shim_connections);
    cJSON *fates = cJSON_AddObjectToObject(object, "connections");
    cJSON_AddNumberToObject(fates, "judged", finding->fates.judged);
    cJSON_AddNumberToObject(fates, "opaque", finding->fates.opaque);
    cJSON_AddNumberToObject(fates, "empty", finding->fates.empty);
    cJSON_AddNumberToObject(fates, "unread", finding->fates.unread);
    cJSON_AddStringToObject(object, "why", coverage_phrase(finding->cause));
    const char *remark = doctor_remark(doctor, finding);
    cJSON_AddStringToObject(object, "remark", remark ? remark : "");
    add_text(object, "remedy", remedy ? remedy : "");
    free(remedy);
    return object;
}

static void print_json(const struct doctor *doctor) {
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "processes");
    for (size_t i = 0; i < doctor->count; i++)
        cJSON_AddItemToArray(list, json_of(doctor, &doctor->list[i]));
    cJSON_AddNumberToObject(root, "agents", (double)doctor->agents);
    cJSON_AddNumberToObject(root, "agents_silent", (double)doctor->silent);
    cJSON_AddNumberToObject(root, "unreadable_processes", doctor->unreadable);
    cJSON_AddNumberToObject(root, "sockets_of_unknown_owner", doctor->unowned);
    cJSON_AddBoolToObject(root, "truncated", doctor->truncated);
    output_json(stdout, root);
    cJSON_Delete(root);
}

static int status_of(const struct doctor *doctor, bool named) {
    for (size_t i = 0; i < doctor->count; i++)
        if (doctor_is_ill(&doctor->list[i]))
            return CMD_FAILED;
    if (doctor->agents || named)
        return CMD_DONE;
    output_error(doctor->silent ? "the agent refused the connection: run this as root or as a member of its group"
                                : "no agent can be reached, so it is not known what is to be protected");
    return CMD_NO_AGENT;
}

int cmd_doctor(int argc, char **argv) {
    struct doctor_request request = {.proc = "/proc", .root = "", .watch = true};
    struct doctor doctor;
    bool json = false;
    int key;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        if (key == OPTIONS_HELP || key == OPTIONS_WRONG)
            return OPTIONS_STATUS(key);
        if (key == OPTION_JSON)
            json = true;
        if (key == OPTION_RUN_DIR)
            request.run_dir = optarg;
        if (key == OPTION_ROOT)
            request.root = optarg;
    }
    request.named = argv + optind;
    int status = doctor_examine(&request, &doctor);
    if (status != CMD_DONE)
        return status;
    if (json)
        print_json(&doctor);
    else
        print_report(&doctor, !*request.named);
    status = status_of(&doctor, *request.named != NULL);
    doctor_clear(&doctor);
    return status;
}
