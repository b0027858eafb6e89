/* weir ports: which process listens on which port, its traffic, and what protects it. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/process/listeners.h"
#include "tools/cmd.h"
#include "tools/control.h"
#include "tools/doctor/doctor.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/ports/ports.h"
#include "tools/table.h"

enum { OPTION_RUN_DIR = 256, OPTION_JSON, OPTION_ALL, OPTION_OUT, SHORT = 24 };

static const struct option_row rows[] = {
    {OPTION_OUT, "out", NULL, "connections that this host opens, by destination port and owner (control group)"},
    {OPTION_ALL, "all", NULL, "show ports without a listener, too"},
    {OPTION_JSON, "json", NULL, "print one JSON object with all details"},
    {OPTION_RUN_DIR, "run-dir", "DIR", "use the agent in DIR only (default: all agents)"},
    {0},
};
static const struct option_set options = {
    .usage = "weir ports [--out] [--all] [--json] [--run-dir DIR]",
    .about =
        "Shows each listening port: its process, its traffic, and whether weir protects it. Counts are those of the\n"
        "agent's kernel programs, since they were loaded; without them, what /proc shows. As root it sees the\n"
        "processes of all users.",
    .rows = rows,
    .examples = "  weir ports\n"
                "  weir ports --json | jq '.ports[] | select(.protection == \"none\") | .port'",
};

/* --------------------------------------------------------------------------------------------------------- numbers */

/* "0", "999", "12.3k", "4.56M": three digits of it. */
static const char *amount(double value, char text[static SHORT]) {
    static const char units[] = " kMGTPE";
    int unit = 0;
    for (; value >= 999.5 && units[unit + 1]; unit++)
        value /= 1000;
    if (unit == 0)
        snprintf(text, SHORT, "%.0f", value);
    else
        snprintf(text, SHORT, "%.*f%c", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[unit]);
    return text;
}

static void count_cell(struct table *table, bool known, enum table_style style, double value) {
    char text[SHORT];
    table_cell(table, known && value > 0 ? style : TABLE_PLAIN, "%s", known ? amount(value, text) : "-");
}

struct count {
    const char *key;
    enum table_style style; /* if it is not 0 */
};

/* Cells of these, up to one without a key. */
static void count_cells(struct table *table, bool known, const cJSON *port, const struct count *counts) {
    for (; counts->key; counts++)
        count_cell(table, known, counts->style, control_number(port, counts->key));
}

static void port_cell(struct table *table, const cJSON *port) {
    if (control_number(port, "port") > 0)
        table_cell(table, TABLE_BOLD, "%.0f", control_number(port, "port"));
    else
        table_cell(table, TABLE_BOLD, "others");
}

static void rtt_cell(struct table *table, const cJSON *port) {
    double rtt = control_number(port, "rtt_ms");
    if (rtt > 0)
        table_cell(table, TABLE_PLAIN, "%.*f ms", rtt < 10 ? 2 : 0, rtt);
    else
        table_cell(table, TABLE_PLAIN, "-");
}

static void print_and_free(struct table *table, const char *otherwise) {
    output_table(table, otherwise);
    table_free(table);
}

/* ------------------------------------------------------------------------------------------------------- listeners */

/* "nginx[812] +3", or what there is. */
static void process_cell(struct table *table, const cJSON *port) {
    const cJSON *processes = cJSON_GetObjectItemCaseSensitive(port, "processes");
    const cJSON *first = cJSON_GetArrayItem(processes, 0);
    int more = cJSON_GetArraySize(processes) - 1;
    if (!first)
        table_cell(table, TABLE_DIM, "%s", control_true(port, "listening") ? "?" : "(gone)");
    else if (more > 0)
        table_cell(table, TABLE_PLAIN, "%s[%.0f] +%d", control_text(first, "comm"), control_number(first, "pid"), more);
    else
        table_cell(table, TABLE_PLAIN, "%s[%.0f]", control_text(first, "comm"), control_number(first, "pid"));
}

static void unit_cell(struct table *table, const cJSON *port) {
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(port, "processes"), 0);
    const char *unit = control_text(first, "unit");
    table_cell(table, TABLE_PLAIN, "%s", unit[0] ? unit : "-");
}

static void protection_cell(struct table *table, const cJSON *port) {
    const cJSON *process, *processes = cJSON_GetObjectItemCaseSensitive(port, "processes");
    const char *how = control_text(port, "protection"), *app = "", *why = "";
    int inside = 0;
    cJSON_ArrayForEach(process, processes) {
        bool protected = control_true(process, "protected");
        inside += protected;
        app = protected && !app[0] ? control_text(process, "app") : app;
        why = protected ? why : control_text(process, "why");
    }
    if (!app[0])
        app = "yes"; /* by an agent that cannot be asked */
    char text[SHORT];
    double missed = control_number(port, "missed");
    if (strcmp(how, "shim") == 0 && missed > 0)
        table_cell(table, TABLE_WARN, "%s, but missed %s", app, amount(missed, text));
    else if (strcmp(how, "shim") == 0 && control_number(port, "judged") == 0 && control_number(port, "opaque") > 0)
        table_cell(table, TABLE_GOOD, "%s, connections only", app);
    else if (strcmp(how, "shim") == 0 || strcmp(how, "kernel") == 0)
        table_cell(table, TABLE_GOOD, "%s%s", app, how[0] == 'k' ? ", in the kernel" : "");
    else if (strcmp(how, "partly") == 0)
        table_cell(table, TABLE_WARN, "%s, %d of %d; the others: %s", app, inside, cJSON_GetArraySize(processes), why);
    else if (strcmp(how, "none") == 0)
        table_cell(table, TABLE_DIM, "no: %s", why);
    else
        table_cell(table, TABLE_DIM, "%s", how[0] ? "?" : "-");
}

static const char *address_of(const cJSON *port) {
    const cJSON *addresses = cJSON_GetObjectItemCaseSensitive(port, "addresses");
    int count = cJSON_GetArraySize(addresses);
    const char *first = cJSON_GetStringValue(cJSON_GetArrayItem(addresses, 0));
    for (int i = 1; i < count; i++) {
        const char *other = cJSON_GetStringValue(cJSON_GetArrayItem(addresses, i));
        if (!first || !other || strcmp(first, other) != 0)
            return "several";
    }
    return first ? first : "-";
}

static void print_ports(const cJSON *all, bool closed_too) {
    static const struct table_column columns[] = {{"PORT", TABLE_RIGHT},
                                                  {"ADDRESS", TABLE_LEFT | TABLE_SPARE(5)},
                                                  {"PROCESS", TABLE_FOLD},
                                                  {"UNIT", TABLE_LEFT | TABLE_SPARE(4) | TABLE_IF_ANY},
                                                  {"ACTIVE", TABLE_RIGHT | TABLE_IF_ANY},
                                                  {"OPENED", TABLE_RIGHT | TABLE_IF_ANY},
                                                  {"IN", TABLE_RIGHT | TABLE_IF_ANY},
                                                  {"OUT", TABLE_RIGHT | TABLE_IF_ANY},
                                                  {"RESENT", TABLE_RIGHT | TABLE_SPARE(2) | TABLE_IF_ANY},
                                                  {"DROPPED", TABLE_RIGHT | TABLE_SPARE(1) | TABLE_IF_ANY},
                                                  {"RTT", TABLE_RIGHT | TABLE_SPARE(3) | TABLE_IF_ANY},
                                                  {"PROTECTED", TABLE_FOLD},
                                                  {0}};
    static const struct count counts[] = {
        {"active", TABLE_PLAIN},     {"opened", TABLE_PLAIN}, {"bytes_in", TABLE_PLAIN}, {"bytes_out", TABLE_PLAIN},
        {"retransmits", TABLE_WARN}, {"drops", TABLE_WARN},   {NULL, TABLE_PLAIN}};
    struct table *table = table_new(columns);
    bool counted = strcmp(control_text(all, "source"), "kernel") == 0;
    double own = control_number(all, "namespace");
    const cJSON *port;
    cJSON_ArrayForEach(port, cJSON_GetObjectItemCaseSensitive(all, "ports")) {
        if (!table || !(closed_too || control_true(port, "listening")))
            continue;
        bool foreign = control_number(port, "namespace") != own;
        port_cell(table, port);
        table_cell(table, TABLE_PLAIN, "%s%s", address_of(port), foreign ? " (other namespace)" : "");
        process_cell(table, port);
        unit_cell(table, port);
        count_cells(table, counted, port, counts);
        rtt_cell(table, port);
        protection_cell(table, port);
    }
    print_and_free(table, "no listeners");
}

/* -------------------------------------------------------------------------------------------------------- outbound */

static void print_outbound(const cJSON *all) {
    static const struct table_column columns[] = {{"TO PORT", TABLE_RIGHT},
                                                  {"OWNER", TABLE_FOLD},
                                                  {"ACTIVE", TABLE_RIGHT},
                                                  {"OPENED", TABLE_RIGHT},
                                                  {"REFUSED", TABLE_RIGHT},
                                                  {"FAILED", TABLE_RIGHT},
                                                  {"IN", TABLE_RIGHT},
                                                  {"OUT", TABLE_RIGHT},
                                                  {"RESENT", TABLE_RIGHT | TABLE_SPARE(1)},
                                                  {"RTT", TABLE_RIGHT | TABLE_SPARE(2)},
                                                  {0}};
    static const struct count counts[] = {
        {"active", TABLE_PLAIN},   {"opened", TABLE_PLAIN},    {"refused", TABLE_WARN},     {"failed", TABLE_WARN},
        {"bytes_in", TABLE_PLAIN}, {"bytes_out", TABLE_PLAIN}, {"retransmits", TABLE_WARN}, {NULL, TABLE_PLAIN}};
    struct table *table = table_new(columns);
    const cJSON *port;
    cJSON_ArrayForEach(port, cJSON_GetObjectItemCaseSensitive(all, "outbound")) {
        if (!table)
            break;
        const char *cgroup = control_text(port, "cgroup");
        port_cell(table, port);
        table_cell(table, TABLE_PLAIN, "%s", cgroup[0] ? cgroup : "-");
        count_cells(table, true, port, counts);
        rtt_cell(table, port);
    }
    print_and_free(table, "no connections were opened");
}

/* ------------------------------------------------------------------------------------------------------------- all */

static void print_since(const cJSON *all) {
    time_t since = (time_t)control_number(all, "since");
    char text[SHORT];
    struct tm local;
    if (since > 0 && localtime_r(&since, &local) && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local) > 0)
        printf("\ncounted since %s\n", text);
}

static void print_all(const cJSON *all, bool out, bool closed_too, uint32_t unreadable) {
    bool counted = strcmp(control_text(all, "source"), "kernel") == 0;
    if (!counted)
        output_text(stdout, "not counted, from /proc only: %s", control_text(all, "why"));
    if (out && counted)
        print_outbound(all);
    if (!out)
        print_ports(all, closed_too);
    if (counted)
        print_since(all);
    if (!out && unreadable > 0)
        output_note("%u processes of other users could not be inspected; root sees them, too", unreadable);
}

static int ask(const char *run_dir, const struct listeners *listeners, const struct doctor *doctor, cJSON **ret_all) {
    struct control_answers counts, states;
    struct stat own;
    control_ask_all(run_dir, "ports", CONTROL_TIMEOUT_MS, &counts);
    control_ask_all(run_dir, "status", CONTROL_TIMEOUT_MS, &states);
    const struct ports_sources sources = {
        .counts = &counts,
        .states = &states,
        .listeners = listeners,
        .doctor = doctor,
        .own_namespace = stat("/proc/self/ns/net", &own) == 0 ? own.st_ino : 0,
    };
    int status = run_dir ? control_report(&counts, run_dir) : CMD_DONE; /* without an agent there is still /proc */
    if (status == CMD_DONE) {
        *ret_all = ports_join(&sources);
        if (!*ret_all)
            output_error("out of memory");
        status = *ret_all ? CMD_DONE : CMD_FAILED;
    }
    control_answers_clear(&counts);
    control_answers_clear(&states);
    return status;
}

static int collect(const char *run_dir, cJSON **ret_all, uint32_t *ret_unreadable) {
    static char *all[] = {NULL};
    const struct doctor_request request = {.proc = "/proc", .root = "", .run_dir = run_dir, .named = all};
    struct listeners listeners;
    struct doctor doctor;
    int status = doctor_examine(&request, &doctor);
    if (status != CMD_DONE)
        return status;
    int error = listeners_read("/proc", &listeners);
    if (error) {
        output_error("/proc: %s", strerror(-error));
        doctor_clear(&doctor);
        return CMD_FAILED;
    }
    status = ask(run_dir, &listeners, &doctor, ret_all);
    *ret_unreadable = listeners.unreadable;
    listeners_clear(&listeners);
    doctor_clear(&doctor);
    return status;
}

int cmd_ports(int argc, char **argv) {
    const char *run_dir = NULL;
    bool json = false, out = false, closed_too = false;
    int key;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        if (key == OPTIONS_HELP || key == OPTIONS_WRONG)
            return OPTIONS_STATUS(key);
        json |= key == OPTION_JSON;
        out |= key == OPTION_OUT;
        closed_too |= key == OPTION_ALL;
        if (key == OPTION_RUN_DIR)
            run_dir = optarg;
    }
    if (argv[optind]) {
        output_error("unexpected '%s'; usage: %s", argv[optind], options.usage);
        return CMD_USAGE;
    }
    cJSON *all = NULL;
    uint32_t unreadable = 0;
    int status = collect(run_dir, &all, &unreadable);
    if (status == CMD_DONE && json)
        output_json(stdout, all);
    else if (status == CMD_DONE)
        print_all(all, out, closed_too, unreadable);
    cJSON_Delete(all);
    return status;
}
