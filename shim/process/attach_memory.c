#include "shim/process/attach_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"
#include "shim/libc/syscall_raw.h"

static const uint32_t NO_SLOT = UINT32_MAX;

static void *map(size_t size, int protection, int flags, int fd) {
    long address = RAW6(SYS_mmap, 0, size, protection, flags, fd, 0);
    return address < 0 && address >= -4095 ? NULL : (void *)address;
}

static void unmap(const void *address, size_t size) {
    if (address)
        RAW2(SYS_munmap, address, size);
}

/* An application that is kept to little address space needs it itself. */
static bool address_space_allows(size_t needed) {
    struct rlimit limit;
    return RAW4(SYS_prlimit64, 0, RLIMIT_AS, 0, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
           limit.rlim_cur / 4 > needed;
}

static bool regular(int fd, size_t size, struct stat *ret_status) {
    return RAW2(SYS_fstat, fd, ret_status) == 0 && S_ISREG(ret_status->st_mode) &&
           (uint64_t)ret_status->st_size == size;
}

static bool counters_usable(const struct layout_counters_header *c, const char *app) {
    return c->magic == LAYOUT_COUNTERS_MAGIC && c->version == LAYOUT_VERSION && c->header_size == sizeof *c &&
           memchr(c->app, 0, sizeof c->app) && strcmp(c->app, app) == 0;
}

static bool map_all(struct attach_memory *m, const int fds[2], const char *app) {
    size_t engine_size = engine_memory_size();
    if (!address_space_allows(LAYOUT_RULES_BYTES + (size_t)LAYOUT_COUNTERS_BYTES + engine_size))
        return false;
    m->rules = map(LAYOUT_RULES_BYTES, PROT_READ, MAP_SHARED | MAP_NORESERVE, fds[0]);
    m->counters = map(LAYOUT_COUNTERS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fds[1]);
    void *private = map(engine_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (m->rules && m->counters && private && snapshot_usable(m->rules, LAYOUT_RULES_BYTES, app) &&
        counters_usable(m->counters, app)) {
        /* Neither belongs into the application's core dumps. */
        RAW3(SYS_madvise, m->rules, LAYOUT_RULES_BYTES, MADV_DONTDUMP);
        RAW3(SYS_madvise, m->counters, LAYOUT_COUNTERS_BYTES, MADV_DONTDUMP);
        m->engine = engine_new(private, m->counters, NO_SLOT);
        return true;
    }
    unmap(m->rules, LAYOUT_RULES_BYTES);
    unmap(m->counters, LAYOUT_COUNTERS_BYTES);
    unmap(private, engine_size);
    return false;
}

enum memory_result memory_map(const int fds[2], const char *app, const struct attach_memory *current,
                              struct attach_memory *ret_memory) {
    struct stat rules, counters;
    struct attach_memory m = {.slot = NO_SLOT};
    enum memory_result result = MEMORY_BAD;
    if (regular(fds[0], LAYOUT_RULES_BYTES, &rules) && regular(fds[1], LAYOUT_COUNTERS_BYTES, &counters)) {
        m.device = rules.st_dev;
        m.rules_inode = rules.st_ino;
        m.counters_inode = counters.st_ino;
        if (current && current->device == m.device && current->rules_inode == m.rules_inode &&
            current->counters_inode == m.counters_inode)
            result = MEMORY_SAME;
        else if (map_all(&m, fds, app))
            result = MEMORY_OK;
    }
    RAW1(SYS_close, fds[0]);
    RAW1(SYS_close, fds[1]);
    if (result == MEMORY_OK)
        *ret_memory = m;
    return result;
}

/* ---------------------------------------------------------------------------------------------------------- rulesets
 */

static size_t pages(size_t size) {
    return (size + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE;
}

void memory_release(struct attach_memory *m) {
    for (const void *done; (done = engine_release(m->engine)) != NULL;)
        for (int i = 0; i < MEMORY_RULESETS; i++)
            if (m->rulesets[i].bytes == done) {
                unmap(done, pages(m->rulesets[i].size));
                m->rulesets[i].bytes = NULL;
            }
}

bool memory_has_leftovers(const struct attach_memory *m) {
    int count = 0;
    for (int i = 0; i < MEMORY_RULESETS; i++)
        count += m->rulesets[i].bytes != NULL && m->rulesets[i].bytes != m->waiting;
    return count > 1;
}

static void drop(struct attach_memory *m, int index) {
    if (m->rulesets[index].bytes == m->waiting)
        m->waiting = NULL;
    unmap(m->rulesets[index].bytes, pages(m->rulesets[index].size));
    m->rulesets[index].bytes = NULL;
}

static int free_ruleset(const struct attach_memory *m) {
    for (int i = 0; i < MEMORY_RULESETS; i++)
        if (!m->rulesets[i].bytes)
            return i;
    return -1;
}

static void count_refused(const struct attach_memory *m) {
    struct layout_process *p = memory_process(m);
    if (p)
        __atomic_fetch_add(&p->refused_rulesets, 1, __ATOMIC_RELAXED);
}

/* A private, checked copy of what was published last, in m->waiting. */
static enum memory_adopted fetch(struct attach_memory *m) {
    size_t room, size = 0;
    uint64_t generation = snapshot_generation(m->rules);
    int index = free_ruleset(m);
    enum snapshot_status status = snapshot_size(m->rules, LAYOUT_RULES_BYTES, &room);
    if (status == SNAPSHOT_NONE)
        return MEMORY_UP_TO_DATE;
    if (status == SNAPSHOT_TORN || index < 0)
        return MEMORY_LATER;
    void *copy = status == SNAPSHOT_OK ? map(pages(room), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1)
                                       : NULL;
    if (status == SNAPSHOT_OK && !copy)
        return MEMORY_LATER;
    if (copy)
        status = snapshot_read(m->rules, LAYOUT_RULES_BYTES, copy, room, &size, &generation);
    if (status == SNAPSHOT_OK && ruleset_check(copy, size)) {
        RAW3(SYS_mprotect, copy, pages(room), PROT_READ);
        m->rulesets[index].bytes = m->waiting = copy;
        m->rulesets[index].size = room;
        m->waiting_size = size;
        m->waiting_generation = generation;
        return MEMORY_UP_TO_DATE;
    }
    unmap(copy, pages(room));
    if (status == SNAPSHOT_TORN)
        return MEMORY_LATER;
    m->refused = generation;
    count_refused(m);
    return MEMORY_REFUSED;
}

static void drop_waiting(struct attach_memory *m) {
    for (int i = 0; i < MEMORY_RULESETS; i++)
        if (m->waiting && m->rulesets[i].bytes == m->waiting)
            drop(m, i);
}

enum memory_adopted memory_adopt(struct attach_memory *m) {
    uint64_t newest = snapshot_generation(m->rules);
    memory_release(m);
    if (newest == 0 || newest == m->adopted || newest == m->refused)
        return MEMORY_UP_TO_DATE;
    if (m->waiting && m->waiting_generation != newest)
        drop_waiting(m);
    enum memory_adopted fetched = m->waiting ? MEMORY_UP_TO_DATE : fetch(m);
    if (fetched != MEMORY_UP_TO_DATE || !m->waiting)
        return fetched;
    int error = engine_adopt(m->engine, m->waiting, m->waiting_size, m->waiting_generation);
    if (error == -EBUSY)
        return MEMORY_LATER;
    if (error) {
        m->refused = m->waiting_generation;
        drop_waiting(m);
        count_refused(m);
        return MEMORY_REFUSED;
    }
    m->waiting = NULL;
    m->adopted = m->waiting_generation;
    struct layout_process *p = memory_process(m);
    if (p)
        __atomic_store_n(&p->rules_generation, m->adopted, __ATOMIC_RELEASE);
    memory_release(m);
    return MEMORY_UP_TO_DATE;
}

/* ------------------------------------------------------------------------------------------------ the process table */

static struct layout_process *entry(const struct attach_memory *m, uint32_t slot) {
    return (struct layout_process *)((char *)m->counters + LAYOUT_AT_PROCESSES) + slot;
}

bool memory_has_slot(const struct attach_memory *m) {
    return m->slot != NO_SLOT && __atomic_load_n(&entry(m, m->slot)->owner, __ATOMIC_RELAXED) == m->owner;
}

struct layout_process *memory_process(const struct attach_memory *m) {
    return memory_has_slot(m) ? entry(m, m->slot) : NULL;
}

static bool claim(struct attach_memory *m, uint32_t slot, uint64_t owner, uint32_t pid_namespace, uint64_t now_ns) {
    struct layout_process *p = entry(m, slot);
    uint64_t nobody = 0;
    if (__atomic_load_n(&p->owner, __ATOMIC_RELAXED) != 0 ||
        !__atomic_compare_exchange_n(&p->owner, &nobody, owner, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    p->host_pid = 0;
    p->host_start = 0;
    p->attached_ns = now_ns;
    __atomic_store_n(&p->seen_ns, now_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&p->rules_generation, m->adopted, __ATOMIC_RELAXED);
    __atomic_store_n(&p->undecided, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->refused_rulesets, 0, __ATOMIC_RELAXED);
    p->pid_namespace = pid_namespace;
    m->slot = slot;
    m->owner = owner;
    engine_set_slot(m->engine, slot, (uint32_t)owner);
    return true;
}

static void forget_former_life(struct attach_memory *m, uint32_t pid, uint32_t pid_namespace) {
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++) {
        uint64_t owner = __atomic_load_n(&entry(m, slot)->owner, __ATOMIC_RELAXED);
        if (owner && (uint32_t)owner == pid && entry(m, slot)->pid_namespace == pid_namespace)
            engine_reclaim(m->counters, slot, owner);
    }
}

void memory_scavenge(struct attach_memory *m, uint32_t pid_namespace) {
    for (uint32_t slot = 0; pid_namespace && slot < LAYOUT_PROCESSES; slot++) {
        uint64_t owner = __atomic_load_n(&entry(m, slot)->owner, __ATOMIC_RELAXED);
        int32_t pid = (int32_t)(uint32_t)owner;
        if (owner && pid > 0 && owner != m->owner && entry(m, slot)->pid_namespace == pid_namespace &&
            RAW2(SYS_kill, pid, 0) == -ESRCH)
            engine_reclaim(m->counters, slot, owner);
    }
}

bool memory_take_slot(struct attach_memory *m, uint32_t pid, uint32_t pid_namespace, bool renewed, uint64_t now_ns) {
    /* The upper half tells one life of a pid from another. */
    uint64_t owner = (uint64_t)(((uint32_t)(now_ns >> 10) & INT32_MAX) | 1) << 32 |
                     pid; /* bit 63 is the engine's: being taken back */
    if (renewed)
        forget_former_life(m, pid, pid_namespace);
    for (int round = 0; round < 2; round++) {
        for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
            if (claim(m, slot, owner, pid_namespace, now_ns))
                return true;
        if (round == 0)
            memory_scavenge(m, pid_namespace);
    }
    __atomic_fetch_add(&m->counters->slots_refused, 1, __ATOMIC_RELAXED);
    return false;
}
