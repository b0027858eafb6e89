#include "guarding.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ebpf/guard.skel.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

static const char FEATURE[] = "guard";
static const uint64_t PATIENCE_NS = 10ull * 1000000000u;

enum hook { HOOK_INBOUND, HOOK_HANDSHAKE, HOOK_FOLLOW, HOOK_OUTBOUND4, HOOK_OUTBOUND6, HOOKS };
static const char *const HOOK_NAMES[HOOKS] = {"inbound", "handshake", "follow", "outbound4", "outbound6"};

struct guarding {
    const struct ebpf *ebpf;
    struct ebpf_feature *feature;
    struct guard_bpf *programs;
    int netns;                     /* descriptor of our network namespace */
    int link[HOOKS];               /* or -1 */
    bool outbound;                 /* the programs for it could be loaded */
    struct guard_control *control; /* mapped, like the next two */
    struct guard *guards;
    struct guard_name *names;
    uint32_t epoch; /* the last one given */
};

/* ------------------------------------------------------------------------------------------------------------- open */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const struct bpf_program *program_of(const struct guarding *g, enum hook hook) {
    const struct bpf_program *const programs[HOOKS] = {
        [HOOK_INBOUND] = g->programs->progs.guard_inbound,     [HOOK_HANDSHAKE] = g->programs->progs.guard_handshake,
        [HOOK_FOLLOW] = g->programs->progs.guard_follow,       [HOOK_OUTBOUND4] = g->programs->progs.guard_outbound4,
        [HOOK_OUTBOUND6] = g->programs->progs.guard_outbound6,
    };
    return programs[hook];
}

static int pin_maps(const struct ebpf *ebpf, const struct guard_bpf *programs) {
    int error = pins_folder(&ebpf->pins, FEATURE, GUARD_VERSION);
    struct bpf_map *map;
    bpf_object__for_each_map(map, programs->obj) {
        if (!error && !bpf_map__is_internal(map))
            error = pins_map(&ebpf->pins, FEATURE, GUARD_VERSION, map);
    }
    return error;
}

static int load(struct guarding *g, bool outbound) {
    g->programs = guard_bpf__open();
    if (!g->programs)
        return -errno;
    g->outbound = outbound;
    bpf_program__set_autoload(g->programs->progs.guard_outbound4, outbound);
    bpf_program__set_autoload(g->programs->progs.guard_outbound6, outbound);
    int error = pin_maps(g->ebpf, g->programs);
    if (!error)
        error = guard_bpf__load(g->programs);
    if (error) {
        guard_bpf__destroy(g->programs);
        g->programs = NULL;
    }
    return error;
}

static int map_in(const struct bpf_map *map, void **ret_memory) {
    size_t stride = (bpf_map__value_size(map) + 7u) / 8 * 8;
    void *memory = mmap(NULL, stride * bpf_map__max_entries(map), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map),
                        0);
    if (memory == MAP_FAILED)
        return -errno;
    *ret_memory = memory;
    return 0;
}

_Static_assert(sizeof(struct guard) % 8 == 0 && sizeof(struct guard_name) % 8 == 0, "elements of a mapped array");

static int map_all(struct guarding *g) {
    int error = map_in(g->programs->maps.control, (void **)&g->control);
    if (!error)
        error = map_in(g->programs->maps.guards, (void **)&g->guards);
    if (!error)
        error = map_in(g->programs->maps.names, (void **)&g->names);
    return error;
}

static uint64_t netns_cookie(void) {
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
        cookie = 0;
    if (fd >= 0)
        close(fd);
    return cookie;
}

static int take_up(struct guarding *g) {
    struct stat status;
    g->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (g->netns < 0 || stat("/proc/self/ns/pid", &status) < 0)
        return -errno;
    g->control->netns_cookie = netns_cookie();
    g->control->pid_namespace = (uint32_t)status.st_ino;
    g->control->patience_ns = PATIENCE_NS;
    if (g->control->netns_cookie == 0)
        return -ENOPROTOOPT;
    for (uint32_t i = 0; i < GUARD_MAX; i++)
        g->epoch = g->guards[i].epoch > g->epoch ? g->guards[i].epoch : g->epoch;
    return pins_remove(&g->ebpf->pins, FEATURE, GUARD_VERSION);
}

/* 0, or -errno with what could not be done. */
static int start(struct guarding *g, const char **ret_doing) {
    *ret_doing = "load the programs";
    int error = load(g, true);
    if (error && error != -EPERM)
        error = load(g, false);
    if (error)
        return error;
    *ret_doing = "map their memory";
    error = map_all(g);
    if (error)
        return error;
    *ret_doing = "distinguish network namespaces";
    return take_up(g);
}

struct guarding *guarding_open(struct ebpf *ebpf, struct ebpf_feature *feature) {
    if (ebpf_reads_only(ebpf)) {
        ebpf_feature_left_out(feature, "the agent that counts does this, by its own rules");
        return NULL;
    }
    struct guarding *g = calloc(1, sizeof *g);
    const char *doing = "get memory";
    int error = -ENOMEM;
    if (g) {
        g->ebpf = ebpf;
        g->feature = feature;
        g->netns = -1;
        for (int i = 0; i < HOOKS; i++)
            g->link[i] = -1;
        error = start(g, &doing);
    }
    if (error == 0) {
        ebpf_feature_on(feature, g->outbound ? "" : "inbound only: refusing outbound connections takes Linux 5.18");
        return g;
    }
    ebpf_feature_off(feature, doing, error);
    guarding_close(g);
    return NULL;
}

static void unmap(void *memory, size_t size, uint32_t count) {
    if (memory)
        munmap(memory, (size + 7) / 8 * 8 * count);
}

void guarding_close(struct guarding *g) {
    if (!g)
        return;
    for (int i = 0; i < HOOKS; i++)
        if (g->link[i] >= 0)
            close(g->link[i]);
    unmap(g->control, sizeof *g->control, 1);
    unmap(g->guards, sizeof *g->guards, GUARD_MAX);
    unmap(g->names, sizeof *g->names, GUARD_MAX);
    if (g->netns >= 0)
        close(g->netns);
    guard_bpf__destroy(g->programs);
    free(g);
}

bool guarding_can_outbound(const struct guarding *g) {
    return g->outbound;
}

void guarding_beat(struct guarding *g) {
    __atomic_store_n(&g->control->alive_ns, now_ns(), __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------------------------------------------------ hooks */

/* What no rule needs is not attached: it would cost something. */
static int hang(struct guarding *g, enum hook hook, bool wanted) {
    const struct pins *pins = &g->ebpf->pins;
    if (!wanted) {
        if (g->link[hook] >= 0)
            close(g->link[hook]);
        g->link[hook] = -1;
        return pins_detach(pins, FEATURE, GUARD_VERSION, HOOK_NAMES[hook]);
    }
    if (g->link[hook] >= 0)
        return 0;
    int target = hook == HOOK_INBOUND ? g->netns : g->ebpf->cgroup_fd;
    int link = pins_attach(pins, FEATURE, GUARD_VERSION, HOOK_NAMES[hook], program_of(g, hook), target);
    if (link < 0)
        return link;
    g->link[hook] = link;
    return 0;
}

static int hang_all(struct guarding *g, const struct guarding_plan *plan) {
    bool inbound = false, outbound = false;
    for (size_t i = 0; i < plan->entries_count; i++) {
        inbound |= plan->entries[i].side == GUARD_INBOUND;
        outbound |= plan->entries[i].side == GUARD_OUTBOUND && g->outbound;
    }
    const bool wanted[HOOKS] = {inbound, inbound, inbound || outbound, outbound, outbound};
    int first = 0;
    for (int hook = HOOKS - 1; hook >= 0; hook--) { /* who follows connections comes before who lets them in */
        int error = hang(g, (enum hook)hook, wanted[hook]);
        first = first ? first : error;
    }
    return first;
}

/* ----------------------------------------------------------------------------------------------------------- guards */

static bool is_of(const struct guard_name *name, const struct guarding_entry *entry) {
    return name->side == entry->side && strcmp(name->app, entry->app) == 0 &&
           strcmp(name->resource, entry->resource) == 0;
}

static uint32_t find_guard(const struct guarding *g, const struct guarding_entry *entry) {
    for (uint32_t i = 0; i < GUARD_MAX; i++)
        if (g->guards[i].epoch && is_of(&g->names[i], entry))
            return i;
    return UINT32_MAX;
}

static uint32_t new_guard(struct guarding *g, const struct guarding_entry *entry) {
    for (uint32_t i = 0; i < GUARD_MAX; i++) {
        if (g->guards[i].epoch)
            continue;
        g->guards[i] = (struct guard){0};
        g->names[i] = (struct guard_name){.side = entry->side};
        memcpy(g->names[i].app, entry->app, sizeof g->names[i].app);
        memcpy(g->names[i].resource, entry->resource, sizeof g->names[i].resource);
        return i;
    }
    return UINT32_MAX;
}

static bool same_numbers(const struct guard_rate *one, const struct guard_rate *other) {
    return one->most == other->most && one->penalty == other->penalty && one->interval_ns == other->interval_ns &&
           one->unit_ns == other->unit_ns && one->burst_ns == other->burst_ns;
}

/* What is taken between reading and writing is forgotten: microseconds' worth, at an edit. */
static int write_rate(struct guarding *g, uint32_t index, const struct guarding_limit *limit, bool is_new) {
    struct guard_rate rate = {0}, shaped;
    int fd = bpf_map__fd(g->programs->maps.rates);
    if (!is_new && bpf_map_lookup_elem_flags(fd, &index, &rate, BPF_F_LOCK) < 0)
        return -errno;
    shaped = rate;
    guard_rate_shape(&shaped, limit, now_ns());
    if (!is_new && same_numbers(&rate, &shaped))
        return 0;
    return bpf_map_update_elem(fd, &index, &shaped, BPF_F_LOCK) < 0 ? -errno : 0;
}

static uint32_t find_limit(const struct guard_name *name, const struct guard *guard,
                           const struct guarding_limit *limit) {
    for (uint32_t i = 0; i < GUARD_LIMITS_MAX; i++)
        if (name->rule[i] == limit->rule && guard->limit[i].kind == limit->kind)
            return i;
    return UINT32_MAX;
}

static uint32_t free_limit(const struct guard *guard, uint32_t kept) {
    for (uint32_t i = 0; i < GUARD_LIMITS_MAX; i++)
        if (guard->limit[i].kind == GUARD_NONE && !(kept >> i & 1))
            return i;
    return UINT32_MAX;
}

static int write_limit(struct guarding *g, uint32_t index, const struct guarding_limit *limit, uint32_t *kept) {
    struct guard *guard = &g->guards[index];
    struct guard_name *name = &g->names[index];
    uint32_t i = find_limit(name, guard, limit);
    bool is_new = i == UINT32_MAX;
    if (is_new)
        i = free_limit(guard, *kept);
    if (i == UINT32_MAX)
        return -ENOSPC;
    *kept |= 1u << i;
    if (is_new) {
        guard->limit[i] = (struct guard_limit){0};
        name->rule[i] = limit->rule;
        name->told_limit[i][0] = name->told_limit[i][1] = 0;
    }
    int error = limit->kind == GUARD_RATE ? write_rate(g, index * GUARD_LIMITS_MAX + i, limit, is_new) : 0;
    if (error)
        return error;
    guard->limit[i].mode = limit->mode;
    guard->limit[i].most = limit->most;
    __atomic_store_n(&guard->limit[i].kind, limit->kind, __ATOMIC_RELEASE);
    return 0;
}

static void drop_limits(struct guarding *g, uint32_t index, const struct guarding_entry *entry) {
    for (uint32_t i = 0; i < GUARD_LIMITS_MAX; i++) {
        bool wanted = false;
        for (uint32_t k = 0; k < entry->limits_count; k++)
            wanted |= g->names[index].rule[i] == entry->limits[k].rule &&
                      g->guards[index].limit[i].kind == entry->limits[k].kind;
        if (!wanted) {
            __atomic_store_n(&g->guards[index].limit[i].kind, GUARD_NONE, __ATOMIC_RELEASE);
            g->names[index].rule[i] = 0;
        }
    }
}

static int write_guard(struct guarding *g, struct guarding_entry *entry) {
    uint32_t index = find_guard(g, entry), kept = 0, counts = 0;
    int first = 0;
    if (index == UINT32_MAX)
        index = new_guard(g, entry);
    entry->guard = index;
    if (index == UINT32_MAX)
        return -ENOSPC;
    struct guard *guard = &g->guards[index];
    drop_limits(g, index, entry);
    for (uint32_t i = 0; i < entry->limits_count; i++) {
        int error = write_limit(g, index, &entry->limits[i], &kept);
        first = first ? first : error;
        counts |= entry->limits[i].kind == GUARD_IN_FLIGHT;
    }
    if (counts && !guard->counts)
        guard->flight = 0; /* nothing has been counted until now */
    guard->counts = counts;
    guard->app = entry->app_number;
    __atomic_store_n(&guard->off, entry->off, __ATOMIC_RELEASE);
    if (guard->epoch == 0)
        __atomic_store_n(&guard->epoch, ++g->epoch ? g->epoch : ++g->epoch, __ATOMIC_RELEASE);
    return first;
}

static void free_guards(struct guarding *g, const struct guarding_plan *plan) {
    for (uint32_t i = 0; i < GUARD_MAX; i++) {
        bool wanted = false;
        for (size_t k = 0; g->guards[i].epoch && k < plan->entries_count; k++)
            wanted |= plan->entries[k].guard == i;
        if (!wanted)
            __atomic_store_n(&g->guards[i].epoch, 0, __ATOMIC_RELEASE);
    }
}

/* ----------------------------------------------------------------------------------------------------------- places */

static bool is_planned(const struct guarding_plan *plan, const struct guard_place *place) {
    for (size_t i = 0; i < plan->places_count; i++)
        if (memcmp(&plan->places[i].place, place, sizeof *place) == 0)
            return true;
    return false;
}

static void drop_places(struct guarding *g, const struct guarding_plan *plan) {
    int fd = bpf_map__fd(g->programs->maps.places);
    struct guard_place place, next;
    int more = bpf_map_get_next_key(fd, NULL, &next);
    for (uint32_t i = 0; more == 0 && i < 2 * GUARD_PLACES_MAX; i++) {
        place = next;
        more = bpf_map_get_next_key(fd, &place, &next);
        if (!is_planned(plan, &place))
            bpf_map_delete_elem(fd, &place);
    }
}

static int write_places(struct guarding *g, const struct guarding_plan *plan) {
    int first = 0, fd = bpf_map__fd(g->programs->maps.places);
    for (size_t i = 0; i < plan->places_count; i++) {
        uint32_t entry = plan->places[i].entry;
        uint32_t guard = entry && plan->entries[entry - 1].guard != UINT32_MAX ? plan->entries[entry - 1].guard + 1 : 0;
        if (bpf_map_update_elem(fd, &plan->places[i].place, &guard, BPF_ANY) < 0)
            first = first ? first : -errno;
    }
    return first;
}

/* A port's bit is set before it is missed and cleared when it is not needed any more. */
static void write_ports(struct guarding *g, const struct guarding_plan *plan) {
    uint8_t ports[2][sizeof g->control->inbound] = {{0}};
    for (size_t i = 0; i < plan->places_count; i++) {
        const struct guard_place *place = &plan->places[i].place;
        ports[place->side == GUARD_OUTBOUND][place->port / 8] |= (uint8_t)(1u << place->port % 8);
    }
    memcpy(g->control->inbound, ports[0], sizeof g->control->inbound);
    memcpy(g->control->outbound, ports[1], sizeof g->control->outbound);
}

static int write_members(struct guarding *g, const struct guarding_plan *plan) {
    static const struct guard_member none;
    int fd = bpf_map__fd(g->programs->maps.members), first = 0;
    for (uint32_t i = 0; i < GUARD_MEMBERS_MAX && i <= plan->members_count; i++) {
        const struct guard_member *member = i < plan->members_count ? &plan->members[i] : &none;
        if (bpf_map_update_elem(fd, &i, member, BPF_ANY) < 0)
            first = first ? first : -errno;
    }
    return first ? first : plan->members_count > GUARD_MEMBERS_MAX ? -ENOSPC : 0;
}

int guarding_apply(struct guarding *g, struct guarding_plan *plan) {
    int first = 0;
    drop_places(g, plan); /* nothing leads to a guard that is reused */
    for (size_t i = 0; i < plan->entries_count; i++)
        plan->entries[i].guard = find_guard(g, &plan->entries[i]);
    free_guards(g, plan);
    for (size_t i = 0; i < plan->entries_count; i++) {
        int error = write_guard(g, &plan->entries[i]);
        first = first ? first : error;
    }
    int error = write_members(g, plan);
    first = first ? first : error;
    error = write_places(g, plan);
    first = first ? first : error;
    write_ports(g, plan);
    guarding_beat(g);
    error = hang_all(g, plan);
    return first ? first : error;
}

/* ---------------------------------------------------------------------------------------------------------- counters
 */

static uint64_t more(__u64 *counted, const __u64 *word) {
    uint64_t now = __atomic_load_n(word, __ATOMIC_RELAXED), difference = now - *counted;
    *counted = now;
    return difference;
}

void guarding_take(struct guarding *g, uint32_t index, struct guarding_counts *ret_counts) {
    const struct guard *guard = &g->guards[index];
    struct guard_name *name = &g->names[index];
    uint64_t flight = __atomic_load_n(&guard->flight, __ATOMIC_RELAXED);
    *ret_counts = (struct guarding_counts){.active = (uint32_t)(flight >> 32), .pending = (uint32_t)flight};
    ret_counts->passed = more(&name->counted_passed, &guard->passed);
    ret_counts->refused = more(&name->counted_refused, &guard->refused);
    ret_counts->simulated = more(&name->counted_simulated, &guard->simulated);
    for (uint32_t i = 0; i < GUARD_LIMITS_MAX; i++) {
        ret_counts->rule[i] = name->rule[i];
        ret_counts->limit_refused[i] = more(&name->told_limit[i][0], &guard->limit[i].refused);
        ret_counts->limit_simulated[i] = more(&name->told_limit[i][1], &guard->limit[i].simulated);
    }
}

void guarding_forget_pending(struct guarding *g, uint32_t index, uint32_t lost) {
    __u64 *word = &g->guards[index].flight, old = __atomic_load_n(word, __ATOMIC_RELAXED), next;
    do
        next = old - ((uint32_t)old < lost ? (uint32_t)old : lost);
    while (!__atomic_compare_exchange_n(word, &old, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

/* ------------------------------------------------------------------------------------------------------------ shims */

void guarding_shim(struct guarding *g, uint32_t pid, uint64_t exe) {
    (void)bpf_map_update_elem(bpf_map__fd(g->programs->maps.shims), &pid, &exe, BPF_ANY);
}

void guarding_shim_gone(struct guarding *g, uint32_t pid) {
    (void)bpf_map_delete_elem(bpf_map__fd(g->programs->maps.shims), &pid);
}

void guarding_shims_clear(struct guarding *g) {
    int fd = bpf_map__fd(g->programs->maps.shims);
    uint32_t pid;
    for (uint32_t i = 0; i < GUARD_SHIMS_MAX && bpf_map_get_next_key(fd, NULL, &pid) == 0; i++)
        bpf_map_delete_elem(fd, &pid);
}
