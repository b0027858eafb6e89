#include "rules/counters.h"

#include <string.h>

#include "rules/atomic.h"
#include "rules/directory.h"
#include "rules/hash.h"

static const struct {
    uint32_t stride, count;
    uint16_t version;
    bool grows;
    uint32_t least; /* bytes that a record had at first, if it has grown since */
} shapes[LAYOUT_SECTIONS] = {
    [LAYOUT_PROCESS_TABLE] = {sizeof(struct layout_process), LAYOUT_PROCESSES, 1, false, 0},
    [LAYOUT_NAME_INDEX] = {sizeof(uint32_t), LAYOUT_RESOURCE_INDEX, 1, false, 0},
    [LAYOUT_LIMITER_INDEX] = {sizeof(uint32_t), LAYOUT_CELL_INDEX, 1, false, 0},
    [LAYOUT_HIT_TABLE] = {sizeof(struct layout_hit), LAYOUT_HITS, 1, false, 0},
    [LAYOUT_EVENT_RING] = {sizeof(struct layout_event), LAYOUT_EVENTS, 1, false, 0},
    [LAYOUT_REJECTION_RING] = {sizeof(struct layout_rejection), LAYOUT_REJECTIONS, 1, false, LAYOUT_REJECTION_LEAST},
    [LAYOUT_SIBLING_TABLE] = {sizeof(uint64_t), LAYOUT_SIBLINGS, 1, false, 0},
    [LAYOUT_NAMES] = {sizeof(struct layout_resource), LAYOUT_RESOURCES, 1, true, 0},
    [LAYOUT_STATISTICS] = {sizeof(struct layout_stats), LAYOUT_RESOURCES, 1, true, 0},
    [LAYOUT_AREAS] = {sizeof(struct layout_area), LAYOUT_PROCESSES, 1, true, 0},
    [LAYOUT_HOT_TABLE] = {sizeof(struct layout_hot), LAYOUT_HOT, 1, true, 0},
    [LAYOUT_LIMITERS] = {LAYOUT_CELL_UNIT, LAYOUT_CELL_BYTES_MAX / LAYOUT_CELL_UNIT, 1, true, 0},
};
enum { FIRST = LAYOUT_PROCESS_TABLE, SECTIONS = LAYOUT_SECTIONS - FIRST };

const uint32_t counters_all[LAYOUT_SECTIONS_MAX] = {[FIRST... LAYOUT_SECTIONS - 1] = UINT32_MAX};

bool counters_always_whole(enum layout_section_id id) {
    return !shapes[id].grows;
}

static uint64_t write_directory(struct layout_head *head, struct layout_section sections[SECTIONS]) {
    struct directory_plan plan[SECTIONS];
    for (unsigned i = 0; i < SECTIONS; i++)
        plan[i] = (struct directory_plan){(uint16_t)(FIRST + i), shapes[FIRST + i].version, shapes[FIRST + i].stride,
                                          shapes[FIRST + i].count};
    return directory_write(head, sections, plan, SECTIONS);
}

uint64_t counters_bytes(void) {
    struct layout_head head;
    struct layout_section sections[SECTIONS];
    return write_directory(&head, sections);
}

uint64_t counters_offset(enum layout_section_id id) {
    struct layout_head head;
    struct layout_section sections[SECTIONS];
    write_directory(&head, sections);
    return sections[id - FIRST].offset;
}

static void make_other(struct layout_counters_header *header) {
    static const char other[] = "{other}";
    char *base = (char *)header;
    uint32_t *index = (uint32_t *)(base + header->sections[LAYOUT_NAME_INDEX - FIRST].offset);
    struct layout_resource *entry = (struct layout_resource *)(base + header->sections[LAYOUT_NAMES - FIRST].offset);
    entry->hash = hash_bytes(header->hash_seed, other, sizeof other - 1);
    entry->length = sizeof other - 1;
    memcpy(entry->name, other, sizeof other);
    index[entry->hash % LAYOUT_RESOURCE_INDEX] = 1;
    header->resources_used = 1;
}

void counters_format(struct layout_counters_header *header, const char *app, uint64_t hash_seed,
                     uint64_t clock_offset_ns, uint64_t boot) {
    write_directory(&header->head, header->sections);
    header->hash_seed = hash_seed;
    header->clock_offset_ns = clock_offset_ns;
    header->boot = boot;
    strncpy(header->app, app, sizeof header->app - 1);
    make_other(header);
    __atomic_store_n(&header->head.magic, LAYOUT_COUNTERS_MAGIC, __ATOMIC_RELEASE);
}

static bool is_hashed(enum layout_section_id id) {
    return id == LAYOUT_NAME_INDEX || id == LAYOUT_LIMITER_INDEX || id == LAYOUT_HIT_TABLE || id == LAYOUT_EVENT_RING ||
           id == LAYOUT_REJECTION_RING || id == LAYOUT_SIBLING_TABLE || id == LAYOUT_HOT_TABLE;
}

/* Tables that are looked up by a hash, and rings, have a size that is a power of two, which is the file's to choose.
 * Of those that arrays of this version's own go with, no more is used than there is room for in these; and how many
 * processes there may be is a part of what limiter cells look like. */
static bool part_open(struct counters_part *part, enum layout_section_id id, const struct layout_section *section) {
    uint32_t count = section->count, most = shapes[id].count;
    bool scalar = shapes[id].stride <= 8; /* tables of words that are walked as such */
    if (section->stride % (shapes[id].stride % 8 ? 4 : 8) != 0 || (scalar && section->stride != shapes[id].stride) ||
        (is_hashed(id) && (count & (count - 1))))
        return false;
    if (id == LAYOUT_PROCESS_TABLE || id == LAYOUT_AREAS) {
        if (count < most)
            return false;
        count = most;
    }
    if ((id == LAYOUT_NAMES || id == LAYOUT_STATISTICS || id == LAYOUT_LIMITERS) && count > most)
        count = most;
    *part = (struct counters_part){.offset = section->offset, .stride = section->stride, .count = count};
    return true;
}

bool counters_open(struct counters *counters, struct layout_counters_header *header, uint64_t bytes, const char *app,
                   const uint32_t *allocated) {
    *counters = (struct counters){.header = header, .allocated = allocated};
    char name[1][LAYOUT_APP_NAME_MAX];
    load_record(name, header->app);
    if (!directory_usable(&header->head, LAYOUT_COUNTERS_MAGIC, bytes) || !memchr(name[0], 0, sizeof name[0]) ||
        strcmp(name[0], app) != 0)
        return false;
    for (unsigned i = FIRST; i < LAYOUT_SECTIONS; i++) {
        enum layout_section_id id = (enum layout_section_id)i;
        struct layout_section section;
        uint32_t least = shapes[id].least ? shapes[id].least : shapes[id].stride;
        if (!directory_find(&header->head, bytes, id, shapes[id].version, least, &section) ||
            !part_open(&counters->part[id], id, &section))
            return false;
    }
    return counters->part[LAYOUT_LIMITERS].stride == LAYOUT_CELL_UNIT &&
           counters->part[LAYOUT_STATISTICS].count >= counters->part[LAYOUT_NAMES].count;
}

bool counters_open_whole(struct counters *counters, struct layout_counters_header *header, uint64_t bytes,
                         const char *app, const uint32_t *allocated) {
    if (!counters_open(counters, header, bytes, app, allocated))
        return false;
    for (unsigned id = FIRST; id < LAYOUT_SECTIONS; id++) {
        counters->part[id].at = (char *)header + counters->part[id].offset;
        counters_reach(counters, (enum layout_section_id)id);
    }
    return true;
}

uint32_t counters_reach(struct counters *counters, enum layout_section_id id) {
    struct counters_part *part = &counters->part[id];
    uint32_t allocated = shapes[id].grows ? __atomic_load_n(&counters->allocated[id], __ATOMIC_ACQUIRE) : UINT32_MAX;
    uint32_t mapped = counters_mapped(counters, id);
    if (allocated > part->count)
        allocated = part->count;
    if (allocated <= mapped)
        return mapped;
    if (counters->reach)
        counters->reach(counters, id, allocated);
    else
        __atomic_store_n(&part->mapped, allocated, __ATOMIC_RELEASE);
    return counters_mapped(counters, id);
}
