#include "agent/kernel/ports.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/internal.h"
#include "agent/kernel/ports_rows.h"
#include "ebpf/cgroups.h"
#include "ebpf/counting.h"
#include "ebpf/ebpf.h"
#include "ebpf/owners.h"

enum { TRIM_EVERY_S = 60 };

#define ADD_NUMBER(object, name, value) cJSON_AddNumberToObject(object, name, (double)(value))

static void add_rows(cJSON *root, const struct counting_row *rows, size_t count, const struct cgroups *cgroups) {
    char *text = ports_rows_text(rows, count, cgroups);
    cJSON_AddRawToObject(root, "rows", text ? text : "[]");
    free(text);
}

static void add_listeners(cJSON *list, const struct count_listener *listeners, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct count_listener *l = &listeners[i];
        char address[INET6_ADDRSTRLEN] = "";
        inet_ntop(l->family == 6 ? AF_INET6 : AF_INET, l->family == 6 ? l->address : &l->address[3], address,
                  sizeof address);
        cJSON *object = cJSON_CreateObject();
        ADD_NUMBER(object, "port", l->port);
        ADD_NUMBER(object, "namespace", l->netns);
        cJSON_AddStringToObject(object, "address", address);
        ADD_NUMBER(object, "drops", l->drops);
        ADD_NUMBER(object, "waiting", l->waiting);
        ADD_NUMBER(object, "room", l->room);
        cJSON_AddItemToArray(list, object);
    }
}

static void add_owners(const struct agent *agent, cJSON *list) {
    struct listening_owner *owners = NULL;
    size_t count = 0;
    if (!agent->ebpf->owners || owners_read(agent->ebpf->owners, &owners, &count) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        cJSON *object = cJSON_CreateObject();
        ADD_NUMBER(object, "port", owners[i].port);
        ADD_NUMBER(object, "namespace", owners[i].netns);
        ADD_NUMBER(object, "pid", owners[i].pid);
        cJSON_AddStringToObject(object, "comm", owners[i].comm);
        cJSON_AddItemToArray(list, object);
    }
    free(owners);
}

/* ------------------------------------------------------------------------------------------------ room for new rows */

struct living {
    struct cgroups cgroups;
    struct listening_owner *owners; /* sorted */
    size_t owners_count;
};

static int by_place(const void *a, const void *b) {
    const struct listening_owner *one = a, *other = b;
    if (one->netns != other->netns)
        return one->netns < other->netns ? -1 : 1;
    return (one->port > other->port) - (one->port < other->port);
}

/* Its cgroup is gone, or nobody listens there any more. */
static bool is_dead(void *context, const struct count_key *key) {
    const struct living *living = context;
    const struct listening_owner wanted = {.netns = key->netns, .port = key->port};
    if (key->direction == COUNT_OUT)
        return key->cgroup && living->cgroups.count && !cgroups_path(&living->cgroups, key->cgroup);
    return key->netns && living->owners_count &&
           !bsearch(&wanted, living->owners, living->owners_count, sizeof wanted, by_place);
}

static void make_room(const struct agent *agent, const struct counting_row *rows, size_t count) {
    struct living living = {0};
    (void)cgroups_read(agent->ebpf->cgroup_root, &living.cgroups);
    if (agent->ebpf->owners && owners_read(agent->ebpf->owners, &living.owners, &living.owners_count) == 0 &&
        living.owners_count)
        qsort(living.owners, living.owners_count, sizeof *living.owners, by_place);
    size_t moved = counting_trim(agent->ebpf->counting, rows, count, is_dead, &living);
    if (moved)
        agent_say(agent, AGENT_LOG_DEBUG, "%zu rows of ports and callers that are gone count together now", moved);
    cgroups_clear(&living.cgroups);
    free(living.owners);
}

void ports_tick(struct agent *agent) {
    struct counting_row *rows = NULL;
    size_t count = 0;
    if (!agent->ebpf->feature[EBPF_COUNT].on || agent->second % TRIM_EVERY_S != 0 ||
        counting_read(agent->ebpf->counting, &rows, &count) < 0)
        return;
    if (count > COUNT_ROWS_MAX / 4 * 3)
        make_room(agent, rows, count);
    free(rows);
}

/* ------------------------------------------------------------------------------------------------------- the answer */

void ports_answer(const struct agent *agent, cJSON *root) {
    const struct ebpf_feature *feature = &agent->ebpf->feature[EBPF_COUNT];
    struct count_listener *listeners = NULL;
    struct counting_row *rows = NULL;
    struct cgroups cgroups = {0};
    size_t listeners_count = 0, rows_count = 0;
    struct stat own;
    add_owners(agent, cJSON_AddArrayToObject(root, "owners"));
    ADD_NUMBER(root, "namespace", stat("/proc/self/ns/net", &own) == 0 ? own.st_ino : 0);
    cJSON_AddStringToObject(root, "why", feature->on ? "" : feature->why);
    if (feature->on) {
        ADD_NUMBER(root, "since", counting_since(agent->ebpf->counting));
        /* the rows are good without it, too */
        (void)counting_pass(agent->ebpf->counting, &listeners, &listeners_count);
        if (counting_read(agent->ebpf->counting, &rows, &rows_count) == 0)
            (void)cgroups_read(agent->ebpf->cgroup_root, &cgroups); /* as well as they can be named */
    }
    add_rows(root, rows, rows_count, &cgroups);
    add_listeners(cJSON_AddArrayToObject(root, "listeners"), listeners, listeners_count);
    if (rows_count > COUNT_ROWS_MAX / 4 * 3)
        make_room(agent, rows, rows_count);
    cgroups_clear(&cgroups);
    free(listeners);
    free(rows);
}
