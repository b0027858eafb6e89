#include "tools/ports/ports.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/process/listeners.h"
#include "tools/control.h"
#include "tools/doctor/doctor.h"
#include "tools/fates.h"

#define ADD_NUMBER(object, name, value) cJSON_AddNumberToObject(object, name, (double)(value))

struct place { /* a line of the result */
    bool out;
    uint64_t namespace;
    unsigned port;
    const char *cgroup; /* of out; else "" */
    cJSON *object;
};
struct join {
    struct place *places; /* in order, each once */
    size_t count, room;
    uint64_t own;
    const struct ports_sources *sources;
    bool failed; /* no memory */
};

/* ---------------------------------------------------------------------------------------------------------- places */

static int in_order(const void *a, const void *b) {
    const struct place *one = a, *other = b;
    if (one->out != other->out)
        return one->out - other->out;
    if (one->namespace != other->namespace)
        return one->namespace < other->namespace ? -1 : 1;
    if (one->port != other->port)
        return one->port < other->port ? -1 : 1;
    return strcmp(one->cgroup, other->cgroup);
}

static void note(struct join *join, const struct place *place) {
    if (join->count == join->room) {
        size_t room = join->room ? join->room * 2 : 64;
        struct place *places = realloc(join->places, room * sizeof *places);
        join->failed |= !places;
        if (!places)
            return;
        join->places = places;
        join->room = room;
    }
    join->places[join->count++] = *place;
}

static struct place place_of_row(const cJSON *row) {
    return (struct place){
        .out = strcmp(control_text(row, "direction"), "out") == 0,
        .namespace = (uint64_t)control_number(row, "namespace"),
        .port = (unsigned)control_number(row, "port"),
        .cgroup = control_text(row, "cgroup"),
    };
}

static void note_all(struct join *join, const cJSON *rows, const struct listeners *listeners) {
    const cJSON *row;
    cJSON_ArrayForEach(row, rows) {
        struct place place = place_of_row(row);
        if (place.namespace || place.port == 0) /* requests are counted apart from their namespace: they follow */
            note(join, &place);
    }
    for (uint32_t i = 0; i < listeners->count; i++) {
        const struct listener *l = &listeners->list[i];
        struct place place = {.namespace = l->namespace ? l->namespace : join->own, .port = l->port, .cgroup = ""};
        note(join, &place);
    }
    size_t kept = 0;
    if (join->count)
        qsort(join->places, join->count, sizeof *join->places, in_order);
    for (size_t i = 0; i < join->count; i++)
        if (kept == 0 || in_order(&join->places[kept - 1], &join->places[i]) != 0)
            join->places[kept++] = join->places[i];
    join->count = kept;
}

static struct place *find(const struct join *join, const struct place *wanted) {
    return join->count ? bsearch(wanted, join->places, join->count, sizeof *wanted, in_order) : NULL;
}

/* That port of our own namespace, else of any. */
static struct place *find_port(const struct join *join, const struct place *wanted) {
    struct place own = *wanted;
    own.namespace = join->own;
    struct place *found = find(join, &own);
    for (size_t i = 0; !found && i < join->count; i++)
        if (join->places[i].out == wanted->out && join->places[i].port == wanted->port)
            found = &join->places[i];
    return found;
}

/* ---------------------------------------------------------------------------------------------------------- counts */

static const char *const COUNTS[] = {"attempts", "opened",    "closed",      "active",       "refused",    "failed",
                                     "bytes_in", "bytes_out", "segments_in", "segments_out", "retransmits"};
enum { COUNTS_COUNT = sizeof COUNTS / sizeof *COUNTS };

static void add_number(cJSON *object, const char *name, double value) {
    cJSON *number = cJSON_GetObjectItemCaseSensitive(object, name);
    if (number)
        cJSON_SetNumberValue(number, number->valuedouble + value);
    else
        cJSON_AddNumberToObject(object, name, value);
}

static void add_counts(cJSON *into, const cJSON *row) {
    double before = control_number(into, "opened"), more = control_number(row, "opened");
    double rtt = control_number(into, "rtt_ms");
    if (more > 0)
        rtt = (rtt * before + control_number(row, "rtt_ms") * more) / (before + more);
    for (size_t i = 0; i < COUNTS_COUNT; i++)
        add_number(into, COUNTS[i], control_number(row, COUNTS[i]));
    cJSON_DeleteItemFromObjectCaseSensitive(into, "rtt_ms");
    cJSON_AddNumberToObject(into, "rtt_ms", rtt);
}

static cJSON *family_of(cJSON *object, double ip) {
    const char *name = ip == 6 ? "ipv6" : "ipv4";
    cJSON *family = cJSON_GetObjectItemCaseSensitive(object, name);
    return family ? family : cJSON_AddObjectToObject(object, name);
}

static void join_rows(struct join *join, const cJSON *rows) {
    const cJSON *row;
    cJSON_ArrayForEach(row, rows) {
        struct place wanted = place_of_row(row);
        struct place *place = wanted.namespace || wanted.port == 0 ? find(join, &wanted) : find_port(join, &wanted);
        if (!place)
            continue;
        if (place->out && !cJSON_HasObjectItem(place->object, "unit"))
            cJSON_AddStringToObject(place->object, "unit", control_text(row, "unit"));
        add_counts(place->object, row);
        add_counts(family_of(place->object, control_number(row, "ip")), row);
    }
}

static void join_queues(struct join *join, const cJSON *queues) {
    const cJSON *queue;
    cJSON_ArrayForEach(queue, queues) {
        struct place wanted = place_of_row(queue);
        struct place *place = find(join, &wanted);
        if (!place)
            continue;
        add_number(place->object, "waiting", control_number(queue, "waiting"));
        add_number(place->object, "room", control_number(queue, "room"));
        add_number(place->object, "drops", control_number(queue, "drops"));
    }
}

/* ------------------------------------------------------------------------------------------------------ protection */

static const struct doctor_finding *finding_of(const struct doctor *doctor, pid_t pid) {
    for (size_t i = 0; i < doctor->count; i++)
        if (doctor->list[i].facts.pid == pid)
            return &doctor->list[i];
    return NULL;
}

/* Connections on a port that the shims of an app have not seen. */
static double missed_on(const struct control_answers *states, unsigned port) {
    double missed = 0;
    for (size_t i = 0; i < states->count; i++) {
        const cJSON *app, *entry, *apps = cJSON_GetObjectItemCaseSensitive(states->list[i].reply, "apps");
        cJSON_ArrayForEach(app, apps) {
            cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(app, "coverage")) {
                if (control_number(entry, "port") == port)
                    missed += control_number(entry, "missing");
            }
        }
    }
    return missed;
}

/* What became of the connections that they have. */
static struct fates fates_on(const struct control_answers *states, unsigned port) {
    struct fates sum = {0};
    for (size_t i = 0; i < states->count; i++) {
        const cJSON *app, *listener, *apps = cJSON_GetObjectItemCaseSensitive(states->list[i].reply, "apps");
        cJSON_ArrayForEach(app, apps) {
            cJSON_ArrayForEach(listener, cJSON_GetObjectItemCaseSensitive(app, "connections")) {
                if (control_number(listener, "port") == port)
                    fates_add(&sum, listener);
            }
        }
    }
    return sum;
}

static bool has_process(const cJSON *list, pid_t pid) {
    const cJSON *process;
    cJSON_ArrayForEach(process, list) {
        if ((pid_t)control_number(process, "pid") == pid)
            return true;
    }
    return false;
}

static void add_process(const struct join *join, cJSON *list, const struct listener_process *process) {
    const struct doctor_finding *finding = finding_of(join->sources->doctor, process->pid);
    enum coverage_cause cause = finding ? finding->cause : COVERAGE_UNKNOWN;
    cJSON *object = cJSON_CreateObject();
    ADD_NUMBER(object, "pid", process->pid);
    cJSON_AddStringToObject(object, "comm", process->comm);
    cJSON_AddStringToObject(object, "exe", process->exe);
    cJSON_AddStringToObject(object, "unit", process->unit);
    cJSON_AddStringToObject(object, "cgroup", process->cgroup);
    cJSON_AddStringToObject(object, "app", finding ? finding->app : "");
    cJSON_AddBoolToObject(object, "protected", coverage_is_protected(cause));
    cJSON_AddStringToObject(object, "cause", coverage_id(cause));
    cJSON_AddStringToObject(object, "why", coverage_phrase(cause));
    cJSON_AddItemToArray(list, object);
}

static void join_listeners(struct join *join, const struct listeners *listeners) {
    for (uint32_t i = 0; i < listeners->count; i++) {
        const struct listener *l = &listeners->list[i];
        struct place wanted = {.namespace = l->namespace ? l->namespace : join->own, .port = l->port, .cgroup = ""};
        const struct place *place = find(join, &wanted);
        if (!place)
            continue;
        cJSON *addresses = cJSON_GetObjectItemCaseSensitive(place->object, "addresses");
        cJSON *processes = cJSON_GetObjectItemCaseSensitive(place->object, "processes");
        cJSON_AddItemToArray(addresses, cJSON_CreateString(l->address));
        for (uint32_t k = 0; k < l->count; k++) {
            const struct listener_process *process = &listeners->processes[listeners->holders[l->first + k]];
            if (!has_process(processes, process->pid))
                add_process(join, processes, process);
        }
    }
}

/* Those that the kernel tells and /proc hides: of other users' processes the name is all there is. */
static void join_owners(struct join *join, const cJSON *owners) {
    const cJSON *owner;
    cJSON_ArrayForEach(owner, owners) {
        struct place wanted = place_of_row(owner);
        const struct place *place = find(join, &wanted);
        if (!place)
            continue;
        cJSON *processes = cJSON_GetObjectItemCaseSensitive(place->object, "processes");
        struct listener_process process = {.pid = (pid_t)control_number(owner, "pid")};
        snprintf(process.comm, sizeof process.comm, "%s", control_text(owner, "comm"));
        if (!has_process(processes, process.pid))
            add_process(join, processes, &process);
    }
}

static const char *protection(const cJSON *processes) {
    int all = cJSON_GetArraySize(processes), inside = 0, guarded = 0, unknown = 0;
    const cJSON *process;
    cJSON_ArrayForEach(process, processes) {
        const char *cause = control_text(process, "cause");
        inside += control_true(process, "protected");
        guarded += strcmp(cause, coverage_id(COVERAGE_GUARDED)) == 0;
        unknown += strcmp(cause, coverage_id(COVERAGE_UNKNOWN)) == 0;
    }
    return unknown == all   ? "unknown"
           : guarded == all ? "kernel"
           : inside == all  ? "shim"
           : inside > 0     ? "partly"
                            : "none";
}

/* ------------------------------------------------------------------------------------------------------------- all */

static void begin(const struct place *place) {
    ADD_NUMBER(place->object, "port", place->port);
    ADD_NUMBER(place->object, "namespace", place->namespace);
    if (place->out) {
        cJSON_AddStringToObject(place->object, "cgroup", place->cgroup);
    } else {
        cJSON_AddArrayToObject(place->object, "addresses");
        cJSON_AddArrayToObject(place->object, "processes");
    }
}

static void end(const struct join *join, const struct place *place) {
    if (place->out)
        return;
    bool listening = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(place->object, "addresses")) > 0;
    cJSON_AddBoolToObject(place->object, "listening", listening);
    cJSON_AddStringToObject(place->object, "protection",
                            listening ? protection(cJSON_GetObjectItemCaseSensitive(place->object, "processes")) : "");
    ADD_NUMBER(place->object, "missed", missed_on(join->sources->states, place->port));
    struct fates fates = fates_on(join->sources->states, place->port);
    ADD_NUMBER(place->object, "judged", fates.judged);
    ADD_NUMBER(place->object, "opaque", fates.opaque);
    ADD_NUMBER(place->object, "empty", fates.empty);
    ADD_NUMBER(place->object, "unread", fates.unread);
}

/* The agent that counts, if there is one; else why the first of them does not. */
static const cJSON *choose(const struct control_answers *counts, const char **ret_why) {
    *ret_why = "no agent";
    for (size_t i = counts->count; i-- > 0;) {
        const cJSON *reply = counts->list[i].reply;
        if (reply && cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(reply, "rows"))) {
            *ret_why = control_text(reply, "why");
            if (!(*ret_why)[0])
                return reply;
        }
    }
    return NULL;
}

cJSON *ports_join(const struct ports_sources *sources) {
    struct join join = {.own = sources->own_namespace, .sources = sources};
    const char *why;
    const cJSON *counted = choose(sources->counts, &why), *rows = cJSON_GetObjectItemCaseSensitive(counted, "rows");
    cJSON *result = cJSON_CreateObject();
    cJSON_AddStringToObject(result, "source", counted ? "kernel" : "proc");
    cJSON_AddStringToObject(result, "why", why);
    ADD_NUMBER(result, "since", control_number(counted, "since"));
    ADD_NUMBER(result, "namespace", join.own);
    cJSON *ports = cJSON_AddArrayToObject(result, "ports"), *outbound = cJSON_AddArrayToObject(result, "outbound");
    note_all(&join, rows, sources->listeners);
    for (size_t i = 0; i < join.count; i++) {
        join.places[i].object = cJSON_CreateObject();
        begin(&join.places[i]);
        cJSON_AddItemToArray(join.places[i].out ? outbound : ports, join.places[i].object);
    }
    join_rows(&join, rows);
    join_queues(&join, cJSON_GetObjectItemCaseSensitive(counted, "listeners"));
    join_listeners(&join, sources->listeners);
    join_owners(&join, cJSON_GetObjectItemCaseSensitive(counted, "owners"));
    for (size_t i = 0; i < join.count; i++)
        end(&join, &join.places[i]);
    free(join.places);
    if (!join.failed)
        return result;
    cJSON_Delete(result);
    return NULL;
}
