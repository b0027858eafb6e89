#include "shim/process/attach_memory.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "rules/engine/custody.h"
#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"
#include "rules/when.h"
#include "shim/libc/syscall_raw.h"

static const uint32_t NO_SLOT = UINT32_MAX;
static const uint64_t SECOND_NS = 1000000000u;

static bool identify(int fd, uint64_t *ret_device, uint64_t *ret_inode) {
    struct stat status;
    if (OWN2(SYS_fstat, fd, &status) < 0)
        return false;
    *ret_device = status.st_dev;
    *ret_inode = status.st_ino;
    return true;
}

enum memory_result memory_map(const int fds[2], const char *app, const struct attach_memory *current,
                              struct attach_memory *ret_memory) {
    struct attach_memory m = {.slot = NO_SLOT, .until_s = WHEN_NEVER};
    uint64_t device;
    enum memory_result result = MEMORY_BAD;
    if (identify(fds[0], &m.device, &m.rules_inode) && identify(fds[1], &device, &m.counters_inode)) {
        if (current && current->device == m.device && current->rules_inode == m.rules_inode &&
            current->counters_inode == m.counters_inode)
            result = MEMORY_SAME;
        else if (attach_files_map(&m.files, fds, app))
            result = MEMORY_OK;
    }
    OWN1(SYS_close, fds[0]);
    OWN1(SYS_close, fds[1]);
    if (result == MEMORY_OK) {
        m.clock_offset_ns = m.files.counters->clock_offset_ns;
        *ret_memory = m;
    }
    return result;
}

void memory_settle(struct attach_memory *m) {
    attach_files_serve(&m->files, &m->files.map);
}

/* The engine, made if there is none; NULL: no address space. */
static struct engine *engine_of(struct attach_memory *m) {
    enum { TYPICAL = 8 << 20 }; /* what an engine with some rules takes */
    struct counters map = m->files.map;
    if (m->engine || !attach_pages_allowed(TYPICAL))
        return m->engine;
    attach_files_retry(&m->files);
    if (!attach_files_reach_all(&map))
        return NULL;
    m->engine = engine_new(&attach_pages, &map, m->slot);
    if (m->engine)
        engine_set_slot(m->engine, m->slot, (uint32_t)m->owner);
    return m->engine;
}

/* What a dead process held is taken back through the engine's mapping of the file, which has more of it. */
static void reclaim(struct attach_memory *m, uint32_t slot, uint64_t owner) {
    struct engine *engine = engine_of(m);
    if (engine)
        engine_reclaim(engine_counters(engine), slot, owner);
}

/* ---------------------------------------------------------------------------------------------------------- rulesets
 */

/* Where it stands; NULL finds a free place.  -1: nowhere. */
static int find_ruleset(const struct attach_memory *m, const void *bytes) {
    for (int i = 0; i < MEMORY_RULESETS; i++)
        if (m->rulesets[i].bytes == bytes)
            return i;
    return -1;
}

static void drop_ruleset(struct attach_memory *m, const void *bytes) {
    int index = find_ruleset(m, bytes);
    if (!bytes || index < 0)
        return;
    attach_pages_give(bytes, m->rulesets[index].size);
    m->rulesets[index].bytes = NULL;
}

void memory_release(struct attach_memory *m) {
    for (const void *done; m->engine && (done = engine_release(m->engine)) != NULL;)
        drop_ruleset(m, done);
}

bool memory_has_leftovers(const struct attach_memory *m) {
    int count = 0;
    for (int i = 0; i < MEMORY_RULESETS; i++)
        count += m->rulesets[i].bytes != NULL && m->rulesets[i].bytes != m->waiting;
    return count > 1;
}

static void drop_waiting(struct attach_memory *m) {
    drop_ruleset(m, m->waiting);
    m->waiting = NULL;
}

/* A private copy, in a free place, is what is to be adopted next. */
static void set_waiting(struct attach_memory *m, int place, void *copy, size_t size, uint64_t generation) {
    OWN3(SYS_mprotect, copy, LAYOUT_ALIGN(size), PROT_READ);
    m->rulesets[place].bytes = m->waiting = copy;
    m->rulesets[place].size = m->waiting_size = size;
    m->waiting_generation = generation;
}

static void set_trouble(const struct attach_memory *m, enum layout_trouble trouble) {
    struct layout_process *p = memory_process(m);
    if (p && __atomic_load_n(&p->trouble, __ATOMIC_RELAXED) != trouble)
        __atomic_store_n(&p->trouble, trouble, __ATOMIC_RELAXED);
}

static enum memory_adopted short_of_memory(const struct attach_memory *m) {
    set_trouble(m, LAYOUT_TROUBLE_MEMORY);
    return MEMORY_SHORT;
}

static enum memory_adopted refuse(struct attach_memory *m, uint64_t generation) {
    struct layout_process *p = memory_process(m);
    m->refused = generation;
    if (p)
        __atomic_fetch_add(&p->refused_rulesets, 1, __ATOMIC_RELAXED);
    return MEMORY_REFUSED;
}

/* A private copy of what was published last, as its publisher wrote it. */
static enum memory_adopted copy_published(const struct attach_memory *m, const struct layout_copy *from,
                                          void **ret_bytes) {
    const void *shared = attach_files_copy(&m->files, from);
    void *copy = shared ? attach_pages_take((size_t)from->length) : NULL;
    enum snapshot_status status = copy ? snapshot_take(from, shared, copy) : SNAPSHOT_NONE;
    attach_files_copy_give(&m->files, from, shared);
    if (status != SNAPSHOT_OK)
        attach_pages_give(copy, (size_t)from->length);
    *ret_bytes = status == SNAPSHOT_OK ? copy : NULL;
    return !copy ? MEMORY_SHORT : status == SNAPSHOT_OK ? MEMORY_UP_TO_DATE : MEMORY_LATER;
}

/* Brings a copy into this library's own form, if it is not in it; `*copy` is another one then. */
static enum memory_adopted import(struct attach_memory *m, void **copy, size_t *size) {
    size_t native_size = ruleset_import_size(*copy, *size);
    void *native = native_size ? attach_pages_take(native_size) : NULL;
    if (native) {
        m->waiting_left_out = ruleset_import(*copy, *size, native);
        attach_pages_give(*copy, *size);
        *copy = native;
        *size = native_size;
    }
    return native_size && !native ? MEMORY_SHORT : MEMORY_UP_TO_DATE;
}

/* What was published last, checked, in m->waiting. */
static enum memory_adopted fetch(struct attach_memory *m) {
    struct layout_copy from;
    size_t size;
    void *copy;
    int index = find_ruleset(m, NULL);
    enum snapshot_status status = snapshot_look(m->files.rules, m->files.rules_bytes, &from);
    if (status == SNAPSHOT_NONE)
        return MEMORY_UP_TO_DATE;
    if (status == SNAPSHOT_TORN || index < 0)
        return MEMORY_LATER;
    if (status != SNAPSHOT_OK)
        return refuse(m, snapshot_generation(m->files.rules));
    enum memory_adopted copied = copy_published(m, &from, &copy);
    if (copied != MEMORY_UP_TO_DATE)
        return copied == MEMORY_SHORT ? short_of_memory(m) : copied;
    size = (size_t)from.length;
    m->waiting_left_out = 0;
    if (!ruleset_check(copy, size) && import(m, &copy, &size) != MEMORY_UP_TO_DATE) {
        attach_pages_give(copy, size);
        return short_of_memory(m);
    }
    if (!ruleset_check(copy, size)) {
        attach_pages_give(copy, size);
        return refuse(m, from.generation);
    }
    set_waiting(m, index, copy, size, from.generation);
    return MEMORY_UP_TO_DATE;
}

/* ------------------------------------------------------------------------------------------------- the time of day */

/* Unix time of a moment of the engine clock: an agent that does not say how the wall clock stands leaves us with the
 * engine clock, which is Unix time as long as it is not set. */
static uint64_t ahead_ns(const struct attach_memory *m) {
    return m->wall_ns ? m->wall_ns - m->clock_offset_ns : 0;
}

static uint64_t unix_ns(const struct attach_memory *m, uint64_t now_ns) {
    return now_ns + ahead_ns(m);
}

bool memory_is_due(const struct attach_memory *m, uint64_t now_ns) {
    uint64_t until_s = __atomic_load_n(&m->until_s, __ATOMIC_RELAXED);
    return until_s != WHEN_NEVER &&
           (unix_ns(m, now_ns) / SECOND_NS >= until_s || snapshot_wall(m->files.rules) != m->wall_ns);
}

uint64_t memory_left_ns(const struct attach_memory *m, uint64_t now_ns) {
    uint64_t until_s = __atomic_load_n(&m->until_s, __ATOMIC_RELAXED), at_ns = unix_ns(m, now_ns);
    bool soon = until_s > at_ns / SECOND_NS && until_s - at_ns / SECOND_NS <= 3600;
    return soon ? until_s * SECOND_NS - at_ns : 0;
}

static void note_adopted(struct attach_memory *m) {
    struct layout_process *p = memory_process(m);
    m->adopted = m->waiting_generation;
    m->left_out = m->waiting_left_out;
    __atomic_store_n(&m->until_s, m->engine ? engine_until(m->engine) : WHEN_NEVER, __ATOMIC_RELAXED);
    if (!p)
        return;
    set_trouble(m, LAYOUT_TROUBLE_NONE);
    __atomic_store_n(&p->left_out, m->left_out, __ATOMIC_RELAXED);
    __atomic_store_n(&p->rules_generation, m->adopted, __ATOMIC_RELEASE);
}

static enum memory_adopted adopt_waiting(struct attach_memory *m, uint64_t now_ns) {
    if (!m->engine && ruleset_head(m->waiting)->rules_count == 0) { /* no rules, no engine */
        drop_waiting(m);
        note_adopted(m);
        return MEMORY_UP_TO_DATE;
    }
    if (!engine_of(m))
        return short_of_memory(m);
    uint64_t wall_ns = m->wall_ns;
    m->wall_ns = snapshot_wall(m->files.rules);
    engine_set_wall(m->engine, unix_ns(m, now_ns) / SECOND_NS);
    int error = engine_adopt(m->engine, m->waiting, m->waiting_size, m->waiting_generation);
    if (error) /* that it stands otherwise is still to be dealt with */
        m->wall_ns = wall_ns;
    if (error == -EBUSY)
        return MEMORY_LATER;
    if (error == -ENOMEM)
        return short_of_memory(m);
    if (error) {
        drop_waiting(m);
        return refuse(m, m->waiting_generation);
    }
    m->waiting = NULL;
    note_adopted(m);
    memory_release(m);
    return MEMORY_UP_TO_DATE;
}

/* The adopted rules once more, in m->waiting: newer ones are refused, and the time of day goes on. */
static enum memory_adopted fetch_again(struct attach_memory *m) {
    uint32_t token = engine_read_begin(m->engine);
    const void *ruleset = engine_ruleset(m->engine);
    int from = ruleset ? find_ruleset(m, ruleset) : -1, to = find_ruleset(m, NULL);
    size_t size = from >= 0 ? m->rulesets[from].size : 0;
    void *copy = size && to >= 0 ? attach_pages_take(size) : NULL;
    if (copy) {
        memcpy(copy, ruleset, size);
        set_waiting(m, to, copy, size, m->adopted);
        m->waiting_left_out = m->left_out;
    }
    engine_read_end(m->engine, token);
    return copy ? MEMORY_UP_TO_DATE : size && to >= 0 ? MEMORY_SHORT : MEMORY_LATER;
}

enum memory_adopted memory_adopt(struct attach_memory *m, uint64_t now_ns) {
    uint64_t newest = snapshot_generation(m->files.rules), wanted = newest == m->refused ? m->adopted : newest;
    memory_release(m);
    if (newest == 0 || (wanted == m->adopted && !memory_is_due(m, now_ns)))
        return MEMORY_UP_TO_DATE;
    if (m->waiting && m->waiting_generation != wanted)
        drop_waiting(m);
    enum memory_adopted fetched = m->waiting ? MEMORY_UP_TO_DATE : wanted == newest ? fetch(m) : fetch_again(m);
    if (fetched != MEMORY_UP_TO_DATE || !m->waiting)
        return fetched;
    return adopt_waiting(m, now_ns);
}

size_t memory_prepare(struct attach_memory *m) {
    struct engine *engine = engine_of(m);
    struct layout_copy from;
    bool any = snapshot_look(m->files.rules, m->files.rules_bytes, &from) == SNAPSHOT_OK;
    if (engine)
        attach_files_prepare(&m->files, engine_counters(engine), any ? (size_t)from.length : 0);
    return any ? (size_t)from.length : 0;
}

/* ------------------------------------------------------------------------------------------------ the process table */

static struct layout_process *entry(const struct attach_memory *m, uint32_t slot) {
    return counters_at(&m->files.map, LAYOUT_PROCESS_TABLE, slot);
}

bool memory_has_slot(const struct attach_memory *m) {
    return m->slot != NO_SLOT && __atomic_load_n(&entry(m, m->slot)->owner, __ATOMIC_RELAXED) == m->owner;
}

struct layout_process *memory_process(const struct attach_memory *m) {
    return memory_has_slot(m) ? entry(m, m->slot) : NULL;
}

static bool claim(struct attach_memory *m, uint32_t slot, uint64_t owner, uint32_t pid_namespace, uint64_t now_ns) {
    struct layout_process *p = entry(m, slot);
    uint64_t unowned = 0;
    if (__atomic_load_n(&p->owner, __ATOMIC_RELAXED) != 0 ||
        !__atomic_compare_exchange_n(&p->owner, &unowned, owner, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    p->host_pid = 0;
    p->host_start = 0;
    p->attached_ns = now_ns;
    __atomic_store_n(&p->seen_ns, now_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&p->rules_generation, m->adopted, __ATOMIC_RELAXED);
    __atomic_store_n(&p->undecided, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->refused_rulesets, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->features, RULE_FEATURES, __ATOMIC_RELAXED);
    __atomic_store_n(&p->left_out, m->left_out, __ATOMIC_RELAXED);
    __atomic_store_n(&p->trouble, LAYOUT_TROUBLE_NONE, __ATOMIC_RELAXED);
    __atomic_store_n(&p->acted_early, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->malformed, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->layout, LAYOUT_VERSION, __ATOMIC_RELAXED);
    memset((char *)p + offsetof(struct layout_process, served_by), 0, sizeof p->served_by);
    p->pid_namespace = pid_namespace;
    m->slot = slot;
    m->owner = owner;
    if (m->engine)
        engine_set_slot(m->engine, slot, (uint32_t)owner);
    return true;
}

static void forget_former_life(struct attach_memory *m, uint32_t pid, uint32_t pid_namespace) {
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++) {
        uint64_t owner = __atomic_load_n(&entry(m, slot)->owner, __ATOMIC_RELAXED);
        if (!owner || slot == m->slot || (uint32_t)owner != pid || entry(m, slot)->pid_namespace != pid_namespace)
            continue;
        if (m->slot != NO_SLOT && engine_of(m))
            m->inherited += custody_move(engine_counters(m->engine), slot, m->slot);
        reclaim(m, slot, owner);
    }
}

void memory_scavenge(struct attach_memory *m, uint32_t pid_namespace) {
    for (uint32_t slot = 0; pid_namespace && slot < LAYOUT_PROCESSES; slot++) {
        uint64_t owner = __atomic_load_n(&entry(m, slot)->owner, __ATOMIC_RELAXED);
        int32_t pid = (int32_t)(uint32_t)owner;
        if (owner && pid > 0 && owner != m->owner && entry(m, slot)->pid_namespace == pid_namespace &&
            OWN2(SYS_kill, pid, 0) == -ESRCH)
            reclaim(m, slot, owner);
    }
}

bool memory_take_slot(struct attach_memory *m, uint32_t pid, uint32_t pid_namespace, bool renewed, uint64_t now_ns) {
    /* The upper half distinguishes one life of a pid from another. */
    uint64_t owner = (uint64_t)(((uint32_t)(now_ns >> 10) & INT32_MAX) | 1) << 32 |
                     pid; /* bit 63 is the engine's: being taken back */
    for (int round = 0; round < 2; round++) {
        for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
            if (claim(m, slot, owner, pid_namespace, now_ns)) {
                if (renewed) /* after the new slot is taken: what the old one held may go over to it */
                    forget_former_life(m, pid, pid_namespace);
                return true;
            }
        if (round == 0 && renewed)
            forget_former_life(m, pid, pid_namespace);
        if (round == 0)
            memory_scavenge(m, pid_namespace);
    }
    __atomic_fetch_add(&m->files.counters->slots_refused, 1, __ATOMIC_RELAXED);
    return false;
}
