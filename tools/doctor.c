#include "tools/doctor.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/attach_server.h"
#include "tools/cmd.h"
#include "tools/control.h"
#include "tools/output.h"
#include "tools/program.h"
#include "tools/run_dir.h"
#include "tools/unit_file.h"

struct examination {
    const struct doctor_request *request;
    struct doctor *doctor;
    struct listeners listeners;
    struct control_answers status, figures;
    struct program_file library;
    bool library_known;
    time_t preloaded_by_all; /* /etc/ld.so.preload names libweir.so, since then; 0 = it does not */
};

/* ------------------------------------------------------------------------------------------------- what agents say */

static bool same_place(const char *one, const char *other) {
    char first[PATH_MAX], second[PATH_MAX];
    return strcmp(one, other) == 0 || (realpath(one, first) && realpath(other, second) && strcmp(first, second) == 0);
}

static const cJSON *find_by_number(const cJSON *array, const char *member, double value) {
    const cJSON *element;
    cJSON_ArrayForEach(element, array) if (control_number(element, member) == value) return element;
    return NULL;
}

static const cJSON *find_by_text(const cJSON *array, const char *member, const char *value) {
    const cJSON *element;
    cJSON_ArrayForEach(element, array) if (strcmp(control_text(element, member), value) == 0) return element;
    return NULL;
}

static const cJSON *member_of(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* A worker that has had no request yet is not listed, and its memory says whose it is. */
static const cJSON *find_app(const struct doctor_finding *finding, const struct control_answer *answer) {
    const struct process_facts *facts = &finding->facts;
    const cJSON *apps = member_of(answer->reply, "apps"), *app;
    char folder[PROC_TEXT_MAX], name[LAYOUT_APP_NAME_MAX] = "";
    cJSON_ArrayForEach(app, apps) if (find_by_number(member_of(app, "processes"), "pid", facts->pid)) return app;
    snprintf(folder, sizeof folder, "%s", facts->memory);
    char *slash = strrchr(folder, '/');
    if (!slash)
        return NULL;
    *slash = 0;
    snprintf(name, sizeof name, "%.*s", (int)(strlen(slash + 1) - strlen(".rules")), slash + 1);
    return same_place(folder, answer->run_dir) ? find_by_text(apps, "app", name) : NULL;
}

static bool holds(const cJSON *match, const struct process_facts *facts) {
    struct attach_peer peer = {.pid = facts->pid, .uid = facts->uid};
    const cJSON *uid = member_of(match, "uid");
    const struct rule_app_match wanted = {
        .exe = cJSON_GetStringValue(member_of(match, "exe")),
        .unit = cJSON_GetStringValue(member_of(match, "unit")),
        .cgroup = cJSON_GetStringValue(member_of(match, "cgroup")),
        .comm = cJSON_GetStringValue(member_of(match, "comm")),
        .uid = cJSON_IsNumber(uid) ? (int64_t)uid->valuedouble : -1,
    };
    snprintf(peer.exe, sizeof peer.exe, "%s", facts->exe);
    snprintf(peer.comm, sizeof peer.comm, "%s", facts->comm);
    snprintf(peer.cgroup, sizeof peer.cgroup, "%s", facts->cgroup);
    return attach_matches(&wanted, &peer);
}

static void note_app(struct doctor_finding *finding, const char *app) {
    if (!finding->app[0])
        snprintf(finding->app, sizeof finding->app, "%s", app);
}

static void note_files(struct doctor_finding *finding, const cJSON *files) {
    const cJSON *file;
    cJSON_ArrayForEach(file, files) {
        if (!holds(member_of(file, "match"), &finding->facts))
            continue;
        time_t since = (time_t)control_number(file, "loaded");
        if (!finding->view.named_since || since < finding->view.named_since)
            finding->view.named_since = since;
        note_app(finding, control_text(file, "app"));
    }
}

static void note_turned_away(struct doctor_finding *finding, const cJSON *list) {
    static const struct {
        const char *word;
        enum coverage_answer answer;
    } words[] = {{"no-app", COVERAGE_ANSWER_NO_APP},
                 {"refused", COVERAGE_ANSWER_REFUSED},
                 {"other-version", COVERAGE_ANSWER_VERSION}};
    const cJSON *entry = find_by_number(list, "pid", finding->facts.pid);
    for (size_t i = 0; entry && i < sizeof words / sizeof *words; i++)
        if (strcmp(control_text(entry, "why"), words[i].word) == 0)
            finding->view.answer = words[i].answer;
    if (entry)
        note_app(finding, control_text(entry, "app"));
}

/* The next listening socket of the process from index `*at` on, or NULL. */
static const struct listener *next_listener(const struct listeners *listeners, pid_t pid, uint32_t *at) {
    int process = listeners_find_process(listeners, pid);
    while (process >= 0 && *at < listeners->count) {
        const struct listener *listener = &listeners->list[(*at)++];
        for (uint32_t i = 0; i < listener->count; i++)
            if (listeners->holders[listener->first + i] == (uint32_t)process)
                return listener;
    }
    return NULL;
}

/* Has the shim counted connections on one of its ports? */
static bool has_seen(const struct examination *e, const char *app, pid_t pid) {
    const struct listener *listener;
    for (uint32_t at = 0; (listener = next_listener(&e->listeners, pid, &at));) {
        char resource[16];
        snprintf(resource, sizeof resource, "tcp::%u", listener->port);
        for (size_t i = 0; i < e->figures.count; i++) {
            const cJSON *entry = find_by_text(member_of(e->figures.list[i].reply, "apps"), "app", app);
            const cJSON *figures = find_by_text(member_of(entry, "resources"), "resource", resource);
            if (control_number(figures, "total_pass") + control_number(figures, "total_block") > 0)
                return true;
        }
    }
    return false;
}

static void ask_agents(const struct examination *e, struct doctor_finding *finding) {
    const char *run_dir = finding->facts.run_dir[0] ? finding->facts.run_dir : RUN_DIR_SERVICE;
    for (size_t i = 0; i < e->status.count; i++) {
        const struct control_answer *answer = &e->status.list[i];
        const cJSON *app = find_app(finding, answer);
        if (same_place(run_dir, answer->run_dir))
            finding->view.agent = true;
        if (app) {
            const cJSON *rules = member_of(app, "rules");
            finding->app[0] = 0;
            note_app(finding, control_text(app, "app"));
            finding->view.listed = true;
            finding->view.off = control_true(app, "off");
            finding->view.no_rules = cJSON_IsNumber(rules) && rules->valuedouble == 0;
            if (has_seen(e, finding->app, finding->facts.pid))
                finding->view.traffic = COVERAGE_TRAFFIC_SEEN;
        }
        note_files(finding, member_of(answer->reply, "files"));
        note_turned_away(finding, member_of(answer->reply, "turned_away"));
    }
}

/* --------------------------------------------------------------------------------------------- what is set up for it
 */

static time_t modified(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? status.st_mtime : 0;
}

/* The drop-in of `weir enable`, of the unit or of the template that it is an instance of. */
static time_t enabled_since(const struct examination *e, const char *unit) {
    char path[PATH_MAX];
    const char *at = strchr(unit, '@');
    time_t since = 0;
    snprintf(path, sizeof path, "%s" UNIT_DROP_IN_FOLDER "/%.255s.d/" UNIT_DROP_IN, e->request->root, unit);
    if (unit[0])
        since = modified(path);
    if (!since && at) {
        snprintf(path, sizeof path, "%s" UNIT_DROP_IN_FOLDER "/%.*s@.service.d/" UNIT_DROP_IN, e->request->root,
                 (int)(at - unit < 255 ? at - unit : 255), unit);
        since = modified(path);
    }
    return since ? since : e->preloaded_by_all;
}

static time_t preloaded_by_all(const char *root) {
    char path[PATH_MAX], text[4096];
    snprintf(path, sizeof path, "%s/etc/ld.so.preload", root);
    return proc_read_at(AT_FDCWD, path, text, sizeof text) && strstr(text, "libweir.so") ? modified(path) : 0;
}

static bool is_wanted(const struct doctor_finding *finding) {
    const struct process_facts *facts = &finding->facts;
    const struct coverage_view *view = &finding->view;
    return finding->asked || facts->loaded || facts->preload[0] || facts->preloaded_by || facts->app[0] ||
           view->listed || view->named_since || view->enabled_since || view->answer != COVERAGE_ANSWER_NONE;
}

/* --------------------------------------------------------------------------------------------------------- processes
 */

static void print_address(FILE *out, const struct listener *listener) {
    bool v6 = strchr(listener->address, ':') != NULL;
    if (strcmp(listener->address, "0.0.0.0") == 0 || listener->family == LISTENER_DUAL)
        fprintf(out, "*:%u", listener->port);
    else
        fprintf(out, "%s%s%s:%u", v6 ? "[" : "", listener->address, v6 ? "]" : "", listener->port);
}

static char *listens_of(const struct listeners *listeners, pid_t pid, uint16_t *ret_port) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    const struct listener *listener, *last = NULL;
    for (uint32_t at = 0; out && (listener = next_listener(listeners, pid, &at)); last = listener) {
        if (last && last->port == listener->port && strcmp(last->address, listener->address) == 0)
            continue; /* SO_REUSEPORT: a socket for each worker */
        if (last)
            fputc(' ', out);
        print_address(out, listener);
        if (!last)
            *ret_port = listener->port;
    }
    if (out && fclose(out) != 0) {
        free(text);
        text = NULL;
    }
    return text;
}

/* False: without memory.  A process that is gone is none. */
static bool add_finding(const struct examination *e, pid_t pid, bool asked) {
    struct doctor *doctor = e->doctor;
    for (size_t i = 0; i < doctor->count; i++)
        if (doctor->list[i].facts.pid == pid)
            return true;
    struct doctor_finding *list = reallocarray(doctor->list, doctor->count + 1, sizeof *list);
    if (!list)
        return false;
    doctor->list = list;
    struct doctor_finding *finding = &list[doctor->count];
    *finding = (struct doctor_finding){.asked = asked};
    if (!process_facts_read(e->request->proc, pid, RUN_DIR_SERVICE, &finding->facts))
        return true;
    finding->listens = listens_of(&e->listeners, pid, &finding->port);
    if (!finding->listens)
        return false;
    ask_agents(e, finding);
    note_app(finding, finding->facts.app);
    finding->view.enabled_since = enabled_since(e, finding->facts.unit);
    finding->cause = coverage_judge(&finding->facts, &finding->view, e->library_known ? &e->library : NULL);
    finding->wanted = is_wanted(finding);
    doctor->count++;
    return true;
}

static int out_of_memory(void) {
    output_error("out of memory");
    return CMD_FAILED;
}

static bool is_in_unit(const char *proc, const char *pid, const char *unit) {
    char path[PATH_MAX], text[4096], cgroup[PROC_TEXT_MAX];
    snprintf(path, sizeof path, "%s/%s/cgroup", proc, pid);
    return proc_read_at(AT_FDCWD, path, text, sizeof text) && proc_cgroup_parse(text, cgroup) &&
           proc_cgroup_in_unit(cgroup, unit);
}

static int add_unit(const struct examination *e, const char *typed) {
    char unit[UNIT_NAME_MAX];
    const char *wrong = unit_name(typed, unit);
    if (wrong) {
        output_error("'%s' is no PID, and %s", typed, wrong);
        return CMD_USAGE;
    }
    DIR *processes = opendir(e->request->proc);
    size_t before = e->doctor->count;
    bool room = true;
    for (struct dirent *entry; processes && room && (entry = readdir(processes));)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && is_in_unit(e->request->proc, entry->d_name, unit))
            room = add_finding(e, (pid_t)strtol(entry->d_name, NULL, 10), true);
    if (processes)
        closedir(processes);
    if (!room)
        return out_of_memory();
    if (e->doctor->count > before)
        return CMD_DONE;
    output_error("%s: no process of that unit runs here", unit);
    return CMD_FAILED;
}

static int add_named(const struct examination *e, const char *typed) {
    if (strspn(typed, "0123456789") != strlen(typed) || !*typed)
        return add_unit(e, typed);
    size_t before = e->doctor->count;
    errno = 0;
    long pid = strtol(typed, NULL, 10);
    if (errno || pid < 1 || pid > INT_MAX || !add_finding(e, (pid_t)pid, true) || e->doctor->count == before) {
        output_error("%s: there is no such process", typed);
        return CMD_FAILED;
    }
    return CMD_DONE;
}

static int add_all(const struct examination *e) {
    for (char **named = e->request->named; *named; named++) {
        int status = add_named(e, *named);
        if (status != CMD_DONE)
            return status;
    }
    for (uint32_t i = 0; !*e->request->named && i < e->listeners.processes_count; i++)
        if (!add_finding(e, e->listeners.processes[i].pid, false))
            return out_of_memory();
    return CMD_DONE;
}

bool doctor_is_ill(const struct doctor_finding *finding) {
    return finding->wanted && !coverage_is_protected(finding->cause);
}

static int in_order(const void *a, const void *b) {
    const struct doctor_finding *one = a, *other = b;
    int rank = doctor_is_ill(one) ? 0
               : one->wanted      ? 1
                                  : 2,
        other_rank = doctor_is_ill(other) ? 0
                     : other->wanted      ? 1
                                          : 2;
    if (rank != other_rank)
        return rank - other_rank;
    if (one->port != other->port)
        return one->port < other->port ? -1 : 1;
    return (one->facts.pid > other->facts.pid) - (one->facts.pid < other->facts.pid);
}

static void count_agents(struct examination *e) {
    e->doctor->agents = e->status.reached;
    e->doctor->silent = e->status.count - e->status.reached;
}

int doctor_examine(const struct doctor_request *request, struct doctor *ret_doctor) {
    struct examination e = {.request = request, .doctor = ret_doctor};
    char library[PATH_MAX];
    *ret_doctor = (struct doctor){0};
    int error = listeners_read(request->proc, &e.listeners);
    if (error) {
        output_error("%s/net/tcp: %s", request->proc, strerror(-error));
        return CMD_FAILED;
    }
    e.library_known = program_library(library, sizeof library) == 0 && program_file_read(AT_FDCWD, library, &e.library);
    e.preloaded_by_all = preloaded_by_all(request->root);
    control_ask_all(request->run_dir, "status", CONTROL_TIMEOUT_MS, &e.status);
    control_ask_all(request->run_dir, "figures", CONTROL_TIMEOUT_MS, &e.figures);
    count_agents(&e);
    ret_doctor->unreadable = e.listeners.unreadable;
    ret_doctor->truncated = e.listeners.truncated;
    for (uint32_t i = 0; i < e.listeners.count; i++)
        ret_doctor->unowned += e.listeners.list[i].count == 0;
    int status = add_all(&e);
    if (ret_doctor->count)
        qsort(ret_doctor->list, ret_doctor->count, sizeof *ret_doctor->list, in_order);
    control_answers_clear(&e.status);
    control_answers_clear(&e.figures);
    listeners_clear(&e.listeners);
    if (status != CMD_DONE)
        doctor_clear(ret_doctor);
    return status;
}

void doctor_clear(struct doctor *doctor) {
    for (size_t i = 0; i < doctor->count; i++)
        free(doctor->list[i].listens);
    free(doctor->list);
    *doctor = (struct doctor){0};
}
