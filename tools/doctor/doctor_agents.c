#include "tools/doctor/doctor_agents.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/apps/attach_peer.h"
#include "tools/progress.h"
#include "tools/run_dir.h"

enum { WATCH_MS = 1000, METRICS_PAUSE_MS = 300, METRICS_PAUSES = 16 };

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

/* Which app's rules the kernel enforces on one of its ports, if it does. */
static void note_guard(struct doctor_finding *finding, const cJSON *apps) {
    const cJSON *app, *line;
    unsigned port;
    cJSON_ArrayForEach(app, apps) cJSON_ArrayForEach(line, member_of(app, "guard")) {
        bool here = strcmp(control_text(line, "by"), "kernel") == 0 && !control_true(app, "off") &&
                    sscanf(control_text(line, "resource"), "tcp::%u", &port) == 1 && port <= UINT16_MAX &&
                    finding_listens_on(finding, 0, (uint16_t)port);
        if (!here)
            continue;
        finding->view.guarded = true;
        note_app(finding, control_text(app, "app"));
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

/* ----------------------------------------------------------------------------------------------- who saw traffic */

/* Connections that the shim has counted on the port, in that app. */
static double shim_count(const struct control_answers *metrics, const char *app, uint16_t port) {
    char resource[16];
    double count = 0;
    snprintf(resource, sizeof resource, "tcp::%u", port);
    for (size_t i = 0; i < metrics->count; i++) {
        const cJSON *entry = find_by_text(member_of(metrics->list[i].reply, "apps"), "app", app);
        const cJSON *r = find_by_text(member_of(entry, "resources"), "resource", resource);
        count += control_number(r, "total_pass") + control_number(r, "total_block");
    }
    return count;
}

/* Connections that the kernel has counted on the port; 0 where it does not count.  Agents that count see the same host:
 * the one that has seen most has counted longest. */
static double kernel_count(const struct control_answers *ports, uint64_t namespace, uint16_t port) {
    double most = 0;
    for (size_t i = 0; i < ports->count; i++) {
        double count = 0;
        const cJSON *row;
        cJSON_ArrayForEach(row, member_of(ports->list[i].reply, "rows")) {
            bool here = control_number(row, "port") == port && strcmp(control_text(row, "direction"), "in") == 0 &&
                        (!namespace || control_number(row, "namespace") == (double)namespace);
            count += here ? control_number(row, "opened") : 0;
        }
        most = count > most ? count : most;
    }
    return most;
}

static enum coverage_traffic traffic_so_far(const struct doctor_agents *agents, const cJSON *app,
                                            struct doctor_finding *finding) {
    enum coverage_traffic traffic = COVERAGE_TRAFFIC_UNKNOWN;
    for (size_t i = 0; i < finding->ports_count; i++) {
        const cJSON *compared = find_by_number(member_of(app, "coverage"), "port", finding->ports[i]);
        finding->kernel_connections += (uint64_t)control_number(compared, "kernel");
        finding->shim_connections += (uint64_t)control_number(compared, "shim");
        if (control_number(compared, "missing") > 0)
            traffic = control_number(compared, "shim") > 0 ? COVERAGE_TRAFFIC_PARTLY : COVERAGE_TRAFFIC_UNSEEN;
        if (traffic == COVERAGE_TRAFFIC_UNKNOWN &&
            shim_count(&agents->metrics, control_text(app, "app"), finding->ports[i]) > 0)
            traffic = COVERAGE_TRAFFIC_SEEN;
    }
    return traffic;
}

/* A few that nothing was read from are clients that had nothing to say, and were closed at once. */
static void note_fates(const cJSON *app, struct doctor_finding *finding) {
    for (size_t i = 0; i < finding->ports_count; i++) {
        const cJSON *listener = find_by_number(member_of(app, "connections"), "port", finding->ports[i]);
        if (listener)
            fates_add(&finding->fates, listener);
    }
    const struct fates *fates = &finding->fates;
    finding->view.unread = fates->unread > COVERAGE_SLACK && fates->judged + fates->opaque + fates->empty == 0;
}

/* --------------------------------------------------------------------------------------------------- one process */

static void note_agent(struct doctor_finding *finding, const cJSON *agent) {
    time_t since = (time_t)control_number(agent, "since");
    finding->view.agent = true;
    if (since && finding->facts.started > since && !finding->facts.forked)
        finding->view.has_asked = true;
}

void doctor_agents_say(const struct doctor_agents *agents, struct doctor_finding *finding) {
    const char *run_dir = finding->facts.run_dir[0] ? finding->facts.run_dir : RUN_DIR_SERVICE;
    for (size_t i = 0; i < agents->status.count; i++) {
        const struct control_answer *answer = &agents->status.list[i];
        const cJSON *app = find_app(finding, answer);
        if (same_place(run_dir, answer->run_dir))
            note_agent(finding, member_of(answer->reply, "agent"));
        if (app) {
            const cJSON *rules = member_of(app, "rules");
            finding->app[0] = 0;
            note_app(finding, control_text(app, "app"));
            finding->view.listed = true;
            const cJSON *process = find_by_number(member_of(app, "processes"), "pid", finding->facts.pid);
            finding->acted_early = process ? (uint64_t)control_number(process, "acted_early") : 0;
            finding->unmet = control_number(app, "rules_unmet") > 0;
            finding->view.off = control_true(app, "off");
            finding->view.short_of_memory = control_true(
                find_by_number(member_of(app, "processes"), "pid", finding->facts.pid), "short_of_memory");
            finding->view.no_rules = cJSON_IsNumber(rules) && rules->valuedouble == 0;
            finding->view.traffic = traffic_so_far(agents, app, finding);
            note_fates(app, finding);
        }
        note_guard(finding, member_of(answer->reply, "apps"));
        note_files(finding, member_of(answer->reply, "files"));
        note_turned_away(finding, member_of(answer->reply, "turned_away"));
    }
    note_app(finding, finding->facts.app);
}

/* The kernel's counts may be of a program that had the port before: what counts is what comes while we watch. */
static bool is_suspect(const struct doctor_agents *agents, const struct doctor_finding *finding, size_t port) {
    return finding->view.listed && finding->view.traffic == COVERAGE_TRAFFIC_UNKNOWN &&
           kernel_count(&agents->ports, finding->namespace, finding->ports[port]) > COVERAGE_SLACK;
}

static bool any_suspect(const struct doctor_agents *agents, const struct doctor *doctor) {
    for (size_t i = 0; i < doctor->count; i++)
        for (size_t j = 0; j < doctor->list[i].ports_count; j++)
            if (is_suspect(agents, &doctor->list[i], j))
                return true;
    return false;
}

static void pause_ms(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        continue;
}

static enum coverage_traffic traffic_since(const struct doctor_agents *before, const struct doctor_agents *now,
                                           const struct doctor_finding *finding) {
    for (size_t i = 0; i < finding->ports_count; i++) {
        if (!is_suspect(before, finding, i))
            continue;
        double kernel = kernel_count(&now->ports, finding->namespace, finding->ports[i]) -
                        kernel_count(&before->ports, finding->namespace, finding->ports[i]);
        double shim = shim_count(&now->metrics, finding->app, finding->ports[i]);
        enum coverage_traffic traffic = coverage_traffic_of(kernel > 0 ? (uint64_t)kernel : 0, (uint64_t)shim);
        if (traffic != COVERAGE_TRAFFIC_UNKNOWN)
            return traffic;
    }
    return COVERAGE_TRAFFIC_UNKNOWN;
}

/* Metrics are of whole seconds: asked for until they hold everything up to `now`.  False: they do not come. */
static bool ask_metrics(const char *run_dir, time_t now, struct progress *progress,
                        struct control_answers *ret_metrics) {
    for (int i = 0; i < METRICS_PAUSES; i++) {
        progress_step(progress, (uint64_t)i, METRICS_PAUSES);
        bool whole = true;
        pause_ms(METRICS_PAUSE_MS);
        control_ask_all(run_dir, "figures", CONTROL_TIMEOUT_MS, ret_metrics);
        for (size_t j = 0; j < ret_metrics->count; j++)
            whole = whole && control_number(ret_metrics->list[j].reply, "second") >= (double)now;
        if (whole && ret_metrics->count)
            return true;
        control_answers_clear(ret_metrics);
    }
    return false;
}

bool doctor_agents_watch(const struct doctor_agents *agents, const char *run_dir, struct doctor *doctor) {
    struct doctor_agents later = {0};
    if (!any_suspect(agents, doctor))
        return false;
    struct progress progress;
    progress_begin(&progress, "comparing counts of connections", "", false);
    pause_ms(WATCH_MS);
    control_ask_all(run_dir, "ports", CONTROL_TIMEOUT_MS, &later.ports);
    bool known = ask_metrics(run_dir, time(NULL), &progress, &later.metrics);
    progress_end(&progress);
    for (size_t i = 0; known && i < doctor->count; i++)
        if (doctor->list[i].view.traffic == COVERAGE_TRAFFIC_UNKNOWN)
            doctor->list[i].view.traffic = traffic_since(agents, &later, &doctor->list[i]);
    doctor_agents_clear(&later);
    return true;
}

void doctor_agents_ask(const char *run_dir, struct doctor_agents *ret_agents) {
    control_ask_all(run_dir, "status", CONTROL_TIMEOUT_MS, &ret_agents->status);
    control_ask_all(run_dir, "figures", CONTROL_TIMEOUT_MS, &ret_agents->metrics);
    control_ask_all(run_dir, "ports", CONTROL_TIMEOUT_MS, &ret_agents->ports);
}

void doctor_agents_clear(struct doctor_agents *agents) {
    control_answers_clear(&agents->status);
    control_answers_clear(&agents->metrics);
    control_answers_clear(&agents->ports);
}
