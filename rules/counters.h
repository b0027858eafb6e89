/* APP.counters as a process has it mapped: where its sections are, how large their records are, how many may be used.
 *
 * A process maps what it needs of the file, and more of it when more is allocated (`reach`); the agent and the tests
 * have all of it.  A section that is mapped again stands at another address, and its old address stays valid: both are
 * the same memory.  Threads may read a struct counters while another one maps. */
#ifndef WEIR_RULES_COUNTERS_H
#define WEIR_RULES_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/layout.h"

struct counters_part {
    char *at;        /* atomic; the first record; NULL: nothing of it is mapped */
    uint64_t offset; /* bytes, in the file */
    uint32_t stride; /* bytes, of the file */
    uint32_t count;  /* records that the file has room for */
    uint32_t mapped; /* atomic; records from the first on that are mapped; written after `at` */
};

struct counters {
    struct layout_counters_header *header;
    const uint32_t *allocated; /* layout_rules_header.allocated, or another array like it */
    struct counters_part part[LAYOUT_SECTIONS];
    /* Maps the first `count` records of a section, at least, and says so in its part, if it can.  Called where
     * something beyond `mapped` is needed, in any thread; lock-free, no malloc.  NULL: all of the file is mapped. */
    void (*reach)(struct counters *, enum layout_section_id, uint32_t count);
    void *context; /* of reach */
};

/* Sections of which every record is allocated when the file is made. */
bool counters_always_whole(enum layout_section_id);
/* Writes the header, directory and the entry "{other}" into a zeroed file whose fixed sections and first entry are
 * allocated, all of it mapped; the magic comes last. */
void counters_format(struct layout_counters_header *header, const char *app, uint64_t hash_seed,
                     uint64_t clock_offset_ns, uint64_t boot);
/* The size of the file that counters_format() describes, and where a section is in it, bytes. */
uint64_t counters_bytes(void);
uint64_t counters_offset(enum layout_section_id);

/* Is this the app's file, of a version that this one can use?  One page is mapped at `header`.  Fills in strides and
 * counts; nothing is mapped yet but the header. */
bool counters_open(struct counters *, struct layout_counters_header *header, uint64_t bytes, const char *app,
                   const uint32_t *allocated);
/* The same with all of the file mapped at `header`. */
bool counters_open_whole(struct counters *, struct layout_counters_header *header, uint64_t bytes, const char *app,
                         const uint32_t *allocated);
/* Everything is allocated: for files in memory of one's own. */
extern const uint32_t counters_all[LAYOUT_SECTIONS_MAX];

/* How many records may be used and are mapped; maps more if more have been allocated since. */
uint32_t counters_reach(struct counters *, enum layout_section_id);
static inline uint32_t counters_mapped(const struct counters *counters, enum layout_section_id id) {
    return __atomic_load_n(&counters->part[id].mapped, __ATOMIC_ACQUIRE);
}
/* A record; `index` is below what counters_reach() or counters_mapped() said. */
static inline void *counters_at(const struct counters *counters, enum layout_section_id id, uint32_t index) {
    const struct counters_part *part = &counters->part[id];
    return __atomic_load_n(&part->at, __ATOMIC_RELAXED) + (size_t)index * part->stride;
}

#endif
