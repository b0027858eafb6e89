#include "agent/kernel/ports.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/kernel/ports_rows.h"
#include "ebpf/cgroups.h"
#include "ebpf/counting.h"
#include "ebpf/ebpf.h"
#include "ebpf/owners.h"

enum { TRIM_EVERY_S = 60 };

static void add_listener(const struct count_listener *l, struct json_writer *w) {
    char address[INET6_ADDRSTRLEN] = "";
    inet_ntop(l->family == 6 ? AF_INET6 : AF_INET, l->family == 6 ? l->address : &l->address[3], address,
              sizeof address);
    json_open(w, NULL);
    json_count(w, "port", l->port);
    json_count(w, "namespace", l->netns);
    json_text(w, "address", address);
    json_count(w, "drops", l->drops);
    json_count(w, "waiting", l->waiting);
    json_count(w, "room", l->room);
    json_close(w);
}

static void add_listeners(const struct count_listener *listeners, size_t count, struct json_writer *w) {
    json_open_list(w, "listeners");
    for (size_t i = 0; i < count; i++)
        add_listener(&listeners[i], w);
    json_close_list(w);
}

static void add_owners(const struct ebpf *ebpf, struct json_writer *w) {
    struct listening_owner *owners = NULL;
    size_t count = 0;
    if (ebpf->owners && owners_read(ebpf->owners, &owners, &count) < 0)
        count = 0;
    json_open_list(w, "owners");
    for (size_t i = 0; i < count; i++) {
        if (owners[i].pid == 0)
            continue; /* it has no number here: of a pid namespace beside or above ours */
        json_open(w, NULL);
        json_count(w, "port", owners[i].port);
        json_count(w, "namespace", owners[i].netns);
        json_count(w, "pid", owners[i].pid);
        json_text(w, "comm", owners[i].comm);
        json_close(w);
    }
    json_close_list(w);
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

/* Its cgroup is gone, or there is no listener any more. */
static bool is_dead(void *context, const struct count_key *key) {
    const struct living *living = context;
    const struct listening_owner wanted = {.netns = key->netns, .port = key->port};
    if (key->direction == COUNT_OUT)
        return key->cgroup && living->cgroups.count && !cgroups_path(&living->cgroups, key->cgroup);
    return key->netns && living->owners_count &&
           !bsearch(&wanted, living->owners, living->owners_count, sizeof wanted, by_place);
}

static void make_room(const struct ebpf *ebpf, const struct counting_row *rows, size_t count) {
    struct living living = {0};
    if (count <= COUNT_ROWS_MAX / 4 * 3)
        return;
    (void)cgroups_read(ebpf->cgroup_root, &living.cgroups);
    if (ebpf->owners && owners_read(ebpf->owners, &living.owners, &living.owners_count) == 0 && living.owners_count)
        qsort(living.owners, living.owners_count, sizeof *living.owners, by_place);
    (void)counting_trim(ebpf->counting, rows, count, is_dead, &living); /* they count together from then on */
    cgroups_clear(&living.cgroups);
    free(living.owners);
}

struct trim {
    struct work work;
    const struct ebpf *ebpf;
};

static void trim_run(struct work *work) {
    const struct ebpf *ebpf = ((struct trim *)(void *)work)->ebpf;
    struct counting_row *rows = NULL;
    size_t count = 0;
    if (counting_read(ebpf->counting, &rows, &count) == 0)
        make_room(ebpf, rows, count);
    free(rows);
}

static void trim_done(struct work *work) {
    (void)work;
}

static void trim_drop(struct work *work) {
    free(work);
}

void ports_tick(const struct ebpf *ebpf, struct worker *worker, uint64_t second) {
    bool due = ebpf->feature[EBPF_COUNT].on && second % TRIM_EVERY_S == 0;
    struct trim *trim = due ? calloc(1, sizeof *trim) : NULL;
    if (!trim)
        return;
    *trim = (struct trim){.work = {trim_run, trim_done, trim_drop, NULL}, .ebpf = ebpf};
    worker_ask(worker, &trim->work);
}

/* ------------------------------------------------------------------------------------------------------- the answer */

void ports_answer(const struct ebpf *ebpf, struct json_writer *w) {
    const struct ebpf_feature *feature = &ebpf->feature[EBPF_COUNT];
    struct count_listener *listeners = NULL;
    struct counting_row *rows = NULL;
    struct cgroups cgroups = {0};
    size_t listeners_count = 0, rows_count = 0;
    struct stat own;
    add_owners(ebpf, w);
    json_count(w, "namespace", stat("/proc/self/ns/net", &own) == 0 ? own.st_ino : 0);
    json_text(w, "why", feature->on ? "" : feature->why);
    if (feature->on) {
        json_integer(w, "since", counting_since(ebpf->counting));
        /* the rows are good without it, too */
        (void)counting_pass(ebpf->counting, &listeners, &listeners_count);
        if (counting_read(ebpf->counting, &rows, &rows_count) == 0)
            (void)cgroups_read(ebpf->cgroup_root, &cgroups); /* as well as they can be named */
    }
    ports_rows_write(rows, rows_count, &cgroups, w);
    add_listeners(listeners, listeners_count, w);
    if (feature->on)
        make_room(ebpf, rows, rows_count);
    cgroups_clear(&cgroups);
    free(listeners);
    free(rows);
}
