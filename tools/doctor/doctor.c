#include "tools/doctor/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/doctor/doctor_agents.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/program.h"
#include "tools/run_dir.h"
#include "tools/unit_file.h"

struct examination {
    const struct doctor_request *request;
    struct doctor *doctor;
    struct listeners listeners;
    struct doctor_agents agents;
    struct program_file library;
    bool library_known;
    time_t preloaded_by_all; /* /etc/ld.so.preload names libweir.so, since then; 0 = it does not */
};

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

/* ----------------------------------------------------------------------------------------- what is set up for it */

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
           view->listed || view->guarded || view->named_since || view->enabled_since ||
           view->answer != COVERAGE_ANSWER_NONE;
}

/* What the library calls, and the unit's filter, with our drop-in if there is one, does not allow. */
static call_set denied_by(const struct examination *e, const char *unit) {
    char name[UNIT_NAME_MAX];
    struct unit_facts facts;
    if (!unit[0] || unit_name(unit, name) != NULL)
        return 0;
    call_set denied = unit_read(e->request->root, name, &facts) == 0 ? call_filter_missing(&facts.filters[UNIT_NOW])
                                                                     : 0;
    unit_clear(&facts);
    return denied;
}

/* ----------------------------------------------------------------------------------------------------- processes */

static void print_address(FILE *out, const struct listener *listener) {
    bool v6 = strchr(listener->address, ':') != NULL;
    if (strcmp(listener->address, "0.0.0.0") == 0 || listener->family == LISTENER_DUAL)
        fprintf(out, "*:%u", listener->port);
    else
        fprintf(out, "%s%s%s:%u", v6 ? "[" : "", listener->address, v6 ? "]" : "", listener->port);
}

static char *listens_of(const struct listeners *listeners, pid_t pid) {
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
    }
    if (out && fclose(out) != 0) {
        free(text);
        text = NULL;
    }
    return text;
}

/* False: without memory. */
static bool note_listeners(const struct listeners *listeners, struct doctor_finding *finding) {
    const struct listener *listener;
    finding->listens = listens_of(listeners, finding->facts.pid);
    for (uint32_t at = 0; (listener = next_listener(listeners, finding->facts.pid, &at));) {
        size_t count = finding->ports_count;
        finding->namespace = listener->namespace;
        if (count && finding->ports[count - 1] == listener->port)
            continue;
        uint16_t *ports = reallocarray(finding->ports, count + 1, sizeof *ports);
        if (!ports)
            return false;
        ports[count] = listener->port;
        finding->ports = ports;
        finding->ports_count++;
    }
    return finding->listens != NULL;
}

static void clear_finding(struct doctor_finding *finding) {
    free(finding->listens);
    free(finding->ports);
}

static void judge(const struct examination *e, struct doctor_finding *finding) {
    finding->cause = coverage_judge(&finding->facts, &finding->view, e->library_known ? &e->library : NULL);
    finding->wanted = is_wanted(finding);
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
    if (!note_listeners(&e->listeners, finding)) {
        clear_finding(finding);
        return false;
    }
    doctor_agents_say(&e->agents, finding);
    finding->view.enabled_since = enabled_since(e, finding->facts.unit);
    finding->denied = finding->facts.filtered ? denied_by(e, finding->facts.unit) : 0;
    judge(e, finding);
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
    call_set denied = enabled_since(e, unit) ? denied_by(e, unit) : 0;
    char names[CALL_NAMES_MAX];
    call_set_names(denied, names);
    output_error("%s: no process of that unit runs here%s%s", unit,
                 denied
                     ? "; its SystemCallFilter= denies system calls that libweir.so makes, for which it may have been "
                       "killed (weir-enable(1)): "
                     : "",
                 names);
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
    struct progress progress;
    bool room = true;
    progress_begin(&progress, "inspecting processes", "", false);
    for (uint32_t i = 0; !*e->request->named && room && i < e->listeners.processes_count; i++) {
        room = add_finding(e, e->listeners.processes[i].pid, false);
        progress_step(&progress, i + 1, e->listeners.processes_count);
    }
    progress_end(&progress);
    return room ? CMD_DONE : out_of_memory();
}

bool doctor_is_ill(const struct doctor_finding *finding) {
    return finding->wanted && !coverage_is_protected(finding->cause);
}

const char *doctor_remark(const struct doctor *doctor, const struct doctor_finding *finding) {
    if (finding->cause != COVERAGE_PROTECTED)
        return NULL;
    if (finding->facts.memory[0] && !finding->view.listed && !doctor->silent)
        return "its agent is away: the last rules stay in force";
    if (finding->facts.replaced)
        return "libweir.so was replaced since: restart it to take up the new one";
    if (finding->denied)
        return "its unit's SystemCallFilter= denies calls that the library makes: `weir enable` names them";
    if (finding->acted_early)
        return "answers requests that are not complete: those pass undecided";
    if (finding->fates.opaque > 0 && finding->fates.judged == 0)
        return "speaks no protocol that is recognised: connections only";
    if (finding->fates.refused > 0)
        return "refuses connections of HTTP/2, or that are not HTTP: the agent's log names them";
    if (finding->fates.unread > COVERAGE_SLACK)
        return "some connections are read by calls that the shim does not see";
    if (finding->unmet)
        return "some rules of its app have met no traffic: `weir status` names them";
    return NULL;
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
    uint16_t port = one->ports_count ? one->ports[0] : 0, other_port = other->ports_count ? other->ports[0] : 0;
    if (port != other_port)
        return port < other_port ? -1 : 1;
    return (one->facts.pid > other->facts.pid) - (one->facts.pid < other->facts.pid);
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
    doctor_agents_ask(request->run_dir, &e.agents);
    ret_doctor->agents = e.agents.status.reached;
    ret_doctor->silent = e.agents.status.count - e.agents.status.reached;
    ret_doctor->unreadable = e.listeners.unreadable;
    ret_doctor->truncated = e.listeners.truncated;
    for (uint32_t i = 0; i < e.listeners.count; i++)
        ret_doctor->unowned += e.listeners.list[i].count == 0;
    int status = add_all(&e);
    if (status == CMD_DONE && request->watch && doctor_agents_watch(&e.agents, request->run_dir, ret_doctor))
        for (size_t i = 0; i < ret_doctor->count; i++)
            judge(&e, &ret_doctor->list[i]);
    if (ret_doctor->count)
        qsort(ret_doctor->list, ret_doctor->count, sizeof *ret_doctor->list, in_order);
    doctor_agents_clear(&e.agents);
    listeners_clear(&e.listeners);
    if (status != CMD_DONE)
        doctor_clear(ret_doctor);
    return status;
}

void doctor_clear(struct doctor *doctor) {
    for (size_t i = 0; i < doctor->count; i++)
        clear_finding(&doctor->list[i]);
    free(doctor->list);
    *doctor = (struct doctor){0};
}
