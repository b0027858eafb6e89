/* An app's two files of shared memory: made, taken up again, grown, published to. */
#ifndef WEIR_AGENT_PUBLISH_H
#define WEIR_AGENT_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/layout.h"

enum { PUBLISH_STEM_MAX = 96 };

struct publish {
    int directory; /* descriptor of the run directory, not owned */
    char stem[PUBLISH_STEM_MAX];
    int rules_fd, rules_read_fd, counters_fd;
    struct layout_rules_header *rules;
    struct layout_counters_header *counters;
    uint32_t refused_seen;       /* cells_refused when the arena was last grown */
    uint32_t names_refused_seen; /* the same of resources_refused */
    uint32_t table_bytes;        /* of the largest table of hot values that the rules share among processes */
};

enum publish_origin { PUBLISH_NEW, PUBLISH_TAKEN_UP, PUBLISH_REPLACED /* made anew in the place of unusable files */ };

/* The file name of an app, without its suffix: unusual characters become "_" and a hash keeps such names apart. */
void publish_stem(const char *app, char ret_stem[static PUBLISH_STEM_MAX]);

/* Takes up the app's files if they are whole, of this layout and of this boot; else makes them anew under the same
 * names, so that processes that have the old ones keep them.  0 or -errno. */
int publish_open(struct publish *, int directory, const char *app, enum publish_origin *ret_origin);
void publish_close(struct publish *);
void publish_remove(struct publish *); /* retires and unlinks the files */

/* Puts a ruleset in force; `*ret_changed` says whether it is another one than before.  0 or -errno (-ENOSPC). */
int publish_ruleset(struct publish *, const void *ruleset, size_t size, bool *ret_changed);
/* The ruleset in force, or NULL. */
const void *publish_current(const struct publish *, size_t *ret_size);

/* Allocates ahead of what is used: entries, cells, process areas.  0 or -errno; what was allocated stays usable. */
int publish_grow(struct publish *);

/* Deletes half-made files that a killed agent left. */
void publish_sweep(int directory);

/* Addresses in the counters file. */
static inline struct layout_process *publish_process(const struct publish *p, uint32_t slot) {
    return (struct layout_process *)((char *)p->counters + LAYOUT_AT_PROCESSES) + slot;
}
static inline struct layout_resource *publish_resource(const struct publish *p, uint32_t entry) {
    return (struct layout_resource *)((char *)p->counters + LAYOUT_AT_RESOURCES) + entry;
}
static inline struct layout_stats *publish_stats(const struct publish *p, uint32_t entry) {
    return (struct layout_stats *)((char *)p->counters + LAYOUT_AT_STATS) + entry;
}
static inline struct layout_area *publish_area(const struct publish *p, uint32_t slot) {
    return (struct layout_area *)((char *)p->counters + LAYOUT_AT_AREAS) + slot;
}
static inline struct layout_hit *publish_hits(const struct publish *p) {
    return (struct layout_hit *)((char *)p->counters + LAYOUT_AT_HITS);
}
static inline struct layout_event *publish_events(const struct publish *p) {
    return (struct layout_event *)((char *)p->counters + LAYOUT_AT_EVENTS);
}
static inline struct layout_rejection *publish_rejections(const struct publish *p) {
    return (struct layout_rejection *)((char *)p->counters + LAYOUT_AT_REJECTIONS);
}
static inline struct layout_hot *publish_hot(const struct publish *p) { /* NULL: no rule needs them */
    return p->rules->hot_allocated ? (struct layout_hot *)((char *)p->counters + LAYOUT_AT_HOT) : NULL;
}
/* Copies a slot of a ring that processes write: true if it is number `number` (as its `sequence` says, which is part of
 * the slot), and nobody wrote to it meanwhile. */
bool publish_copy_slot(const void *slot, uint64_t *sequence, uint64_t number, void *ret_copy, size_t size);
/* How many entries are in use, whatever a process wrote there. */
uint32_t publish_resources_used(const struct publish *);

#endif
