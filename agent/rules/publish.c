#include "agent/rules/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "agent/rules/publish_private.h"
#include "rules/engine/limiters/hot_param.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

/* What is allocated at first, and by how much the process areas are kept ahead.  An idle app costs 1.6 MiB. */
enum { FIRST_AREAS = 8, SPARE_AREAS = 4, FIRST_RESOURCES = 256, FIRST_CELLS = 128 << 10, SPARE_TABLES = 2 };

/* ---------------------------------------------------------------------------------------------------- allocation */

int publish_allocate(int fd, size_t offset, size_t bytes) {
    int error;
    do
        error = posix_fallocate(fd, (off_t)offset, (off_t)bytes);
    while (error == EINTR);
    return -error;
}

static int allocate_records(struct publish *p, enum layout_section_id id, uint32_t count) {
    const struct counters_part *part = &p->map.part[id];
    int error = publish_allocate(p->counters_fd, (size_t)part->offset, (size_t)count * part->stride);
    if (error)
        return error;
    __atomic_store_n(&p->rules->allocated[id], count, __ATOMIC_RELEASE);
    counters_reach(&p->map, id);
    return 0;
}

/* Entries of names are removed together with their counters. */
static int allocate_resources(struct publish *p, uint32_t count) {
    int error = allocate_records(p, LAYOUT_STATISTICS, count);
    return error ? error : allocate_records(p, LAYOUT_NAMES, count);
}

static int allocate_cells(struct publish *p, uint32_t bytes) {
    return allocate_records(p, LAYOUT_LIMITERS, bytes / LAYOUT_CELL_UNIT);
}

static uint32_t cell_bytes(const struct publish *p) {
    return publish_allocated(p, LAYOUT_LIMITERS) * LAYOUT_CELL_UNIT;
}

static int allocate_hot(struct publish *p) {
    return allocate_records(p, LAYOUT_HOT_TABLE, publish_records(p, LAYOUT_HOT_TABLE));
}

/* The header, what does not grow, and the first part of what does. */
static int allocate_all(struct publish *p, uint32_t areas, uint32_t resources, uint32_t cells) {
    int error = publish_allocate(p->counters_fd, 0, LAYOUT_PAGE);
    for (unsigned i = LAYOUT_PROCESS_TABLE; i < LAYOUT_SECTIONS && !error; i++) {
        enum layout_section_id id = (enum layout_section_id)i;
        if (counters_always_whole(id))
            error = allocate_records(p, id, publish_records(p, id));
    }
    if (!error)
        error = allocate_records(p, LAYOUT_AREAS, areas);
    if (!error)
        error = allocate_resources(p, resources);
    return error ? error : allocate_cells(p, cells);
}

int publish_allocate_first(struct publish *p) {
    return allocate_all(p, FIRST_AREAS, FIRST_RESOURCES, FIRST_CELLS);
}

int publish_allocate_again(struct publish *p) {
    const uint32_t *allocated = p->rules->allocated;
    int error = allocate_all(p, allocated[LAYOUT_AREAS], allocated[LAYOUT_NAMES],
                             allocated[LAYOUT_LIMITERS] * LAYOUT_CELL_UNIT);
    return !error && allocated[LAYOUT_HOT_TABLE] ? allocate_hot(p) : error;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* The lowest free slot is the next one taken: enough for that many more. */
static uint32_t areas_wanted(const struct publish *p) {
    uint32_t slots = 0;
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
        if (__atomic_load_n(&publish_process(p, slot)->owner, __ATOMIC_RELAXED) != 0)
            slots = slot + 1;
    return least((slots + SPARE_AREAS + FIRST_AREAS - 1) / FIRST_AREAS * FIRST_AREAS, LAYOUT_PROCESSES);
}

int publish_grow(struct publish *p) {
    struct layout_counters_header *c = p->counters;
    int error = 0, failed;
    uint32_t areas = areas_wanted(p), entries = publish_allocated(p, LAYOUT_NAMES), allocated = cell_bytes(p);
    uint32_t entries_most = publish_records(p, LAYOUT_NAMES);
    uint32_t cells_most = publish_records(p, LAYOUT_LIMITERS) * LAYOUT_CELL_UNIT;
    if (areas > publish_allocated(p, LAYOUT_AREAS) && (failed = allocate_records(p, LAYOUT_AREAS, areas)))
        error = failed;
    uint32_t resources = __atomic_load_n(&c->resources_used, __ATOMIC_RELAXED);
    uint32_t names_refused = __atomic_load_n(&c->resources_refused, __ATOMIC_RELAXED);
    if ((resources > entries / 2 || names_refused != p->names_refused_seen) && entries < entries_most &&
        (failed = allocate_resources(p, least(entries * 2, entries_most))))
        error = failed;
    uint32_t cells = __atomic_load_n(&c->cell_bytes_used, __ATOMIC_RELAXED);
    uint32_t refused = __atomic_load_n(&c->cells_refused, __ATOMIC_RELAXED) +
                       __atomic_load_n(&c->resources_sharing, __ATOMIC_RELAXED);
    bool scarce = cells > allocated / 4 * 3 || allocated - cells < SPARE_TABLES * p->table_bytes;
    if ((scarce || refused != p->refused_seen) && allocated < cells_most &&
        (failed = allocate_cells(p, least(allocated * 2, cells_most))))
        error = failed;
    p->refused_seen = refused;
    p->names_refused_seen = names_refused;
    return error;
}

bool publish_copy_slot(const void *slot, uint64_t *sequence, uint64_t number, void *ret_copy, size_t size) {
    if (__atomic_load_n(sequence, __ATOMIC_ACQUIRE) != number + 1)
        return false;
    memcpy(ret_copy, slot, size);
    /* Adding nothing is a read that the copying cannot be moved behind. */
    return __atomic_fetch_add(sequence, 0, __ATOMIC_ACQ_REL) == number + 1;
}

uint32_t publish_resources_used(const struct publish *p) {
    return least(__atomic_load_n(&p->counters->resources_used, __ATOMIC_ACQUIRE), publish_allocated(p, LAYOUT_NAMES));
}

void publish_resource_name(const struct publish *p, uint32_t entry, char ret_name[static LAYOUT_RESOURCE_NAME_MAX]) {
    memcpy(ret_name, "{other}", sizeof "{other}");
    if (entry < publish_resources_used(p))
        memcpy(ret_name, publish_resource(p, entry)->name, LAYOUT_RESOURCE_NAME_MAX);
    ret_name[LAYOUT_RESOURCE_NAME_MAX - 1] = 0;
}

/* ------------------------------------------------------------------------------------------------------ publishing */

const void *publish_current(const struct publish *p, size_t *ret_size) {
    struct layout_copy copy;
    if (snapshot_look(p->rules, p->rules_bytes, &copy) != SNAPSHOT_OK)
        return NULL;
    const void *ruleset = (const char *)p->rules + copy.offset;
    *ret_size = (size_t)copy.length;
    bool foreign = *ret_size >= sizeof(struct ruleset_header) && ruleset_head(ruleset)->magic == RULESET_MAGIC &&
                   !ruleset_is_native(ruleset, *ret_size); /* an agent of another version wrote it */
    return !foreign && hash_bytes(copy.generation, ruleset, *ret_size) == copy.checksum ? ruleset : NULL;
}

/* An entry for each resource that a rule names, in addition to those that come with the traffic: no request for one of
 * them may have to wait for the next look at what has grown.  And room for hot keys, and to show them. */
static void make_room_for(struct publish *p, const void *ruleset) {
    uint32_t rules = ruleset_head(ruleset)->rules_count, most = publish_records(p, LAYOUT_NAMES);
    uint32_t count = least(least(rules, most) + FIRST_RESOURCES, most);
    uint64_t cells_most = (uint64_t)publish_records(p, LAYOUT_LIMITERS) * LAYOUT_CELL_UNIT;
    uint64_t cells = (uint64_t)__atomic_load_n(&p->counters->cell_bytes_used, __ATOMIC_RELAXED) + FIRST_CELLS;
    bool hot = false;
    p->table_bytes = 0;
    if (count > publish_allocated(p, LAYOUT_NAMES))
        allocate_resources(p, count); /* without it the rules are in force all the same */
    for (uint32_t i = 0; i < rules; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        if (rule->kind != RULE_PARAM && !rule->params_count)
            continue;
        hot = true;
        struct hot_shape shape = hot_shape_of(rule);
        uint32_t bytes = rule->scope == SCOPE_APP ? (uint32_t)hot_room(&shape) : 0;
        p->table_bytes = bytes > p->table_bytes ? bytes : p->table_bytes;
        cells += bytes;
    }
    if (hot && !publish_allocated(p, LAYOUT_HOT_TABLE))
        allocate_hot(p); /* without it they are not shown */
    if (cells > cell_bytes(p) && p->table_bytes)
        allocate_cells(p, (uint32_t)(cells < cells_most ? LAYOUT_ALIGN(cells) : cells_most));
}

int publish_ruleset(struct publish *p, const void *ruleset, size_t size, bool *ret_changed) {
    size_t old_size;
    const void *old = publish_current(p, &old_size);
    *ret_changed = !(old && old_size == size && memcmp(old, ruleset, size) == 0);
    if (ruleset_check(ruleset, size))
        make_room_for(p, ruleset);
    if (!*ret_changed)
        return 0;
    uint64_t offset;
    if (size > LAYOUT_RULES_COPY_MAX || !snapshot_next(p->rules, p->rules_bytes, size, &offset))
        return -EFBIG;
    int error = publish_allocate(p->rules_fd, (size_t)offset, size);
    if (error)
        return error;
    snapshot_publish(p->rules, offset, ruleset, size);
    return 0;
}
