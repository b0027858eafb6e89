/* An app's shared memory, made, taken up again, grown, published to: the file of its rules, and the counters, which
 * have no name and are sealed (sealed.h). */
#ifndef WEIR_AGENT_PUBLISH_H
#define WEIR_AGENT_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/rules/sealed.h"
#include "rules/counters.h"
#include "rules/layout.h"

enum { PUBLISH_STEM_MAX = 96 };

struct publish {
    int directory;                    /* descriptor of the run directory, not owned */
    const struct sealed_store *store; /* or NULL; not owned */
    bool kept;                        /* the store has the counters: the next agent will find them */
    char stem[PUBLISH_STEM_MAX];
    int rules_fd, rules_read_fd, counters_fd;
    uint64_t rules_bytes, counters_bytes;    /* of the files */
    struct layout_rules_header *rules;       /* all of it is mapped */
    struct layout_counters_header *counters; /* and so it is of this */
    struct counters map;                     /* where things are in there */
    uint32_t refused_seen;                   /* cells_refused and resources_sharing when the arena was last grown */
    uint32_t names_refused_seen;             /* the same of resources_refused */
    uint32_t table_bytes;                    /* of the largest table of hot keys that the rules share among processes */
};

enum publish_origin {
    PUBLISH_NEW,
    PUBLISH_TAKEN_UP,
    PUBLISH_LOST,     /* no counters were kept over the restart: new ones, with the rules that were in force */
    PUBLISH_REPLACED, /* created again instead of unusable memory */
};

/* The file name of an app, without its suffix: unusual characters become "_" and a hash keeps such names apart. */
void publish_stem(const char *app, char ret_stem[static PUBLISH_STEM_MAX]);

/* Takes up the app's memory if it is whole, of this layout and of this boot; else creates it again, so that processes
 * that have the old one keep it and attach again.  What the rules file says (rules in force, off) is carried over where
 * it can be read.  0 or -errno. */
int publish_open_kept(struct publish *, int directory, const struct sealed_store *, const char *app,
                      enum publish_origin *ret_origin);
/* The same without a store: counters end with the agent and the last process. */
int publish_open(struct publish *, int directory, const char *app, enum publish_origin *ret_origin);
void publish_close(struct publish *);
void publish_remove(struct publish *); /* retires it, unlinks and forgets it */

/* Puts a ruleset in force; `*ret_changed` says whether it is another one than before.  0 or -errno (-ENOSPC). */
int publish_ruleset(struct publish *, const void *ruleset, size_t size, bool *ret_changed);
/* The ruleset in force, or NULL. */
const void *publish_current(const struct publish *, size_t *ret_size);

/* Allocates ahead of what is used: entries, cells, process areas.  0 or -errno; what was allocated stays usable. */
int publish_grow(struct publish *);

/* Deletes half-made files that a killed agent left. */
void publish_sweep(int directory);

/* Records of the counters file, by number. */
static inline struct layout_process *publish_process(const struct publish *p, uint32_t slot) {
    return counters_at(&p->map, LAYOUT_PROCESS_TABLE, slot);
}
static inline struct layout_resource *publish_resource(const struct publish *p, uint32_t entry) {
    return counters_at(&p->map, LAYOUT_NAMES, entry);
}
static inline struct layout_stats *publish_stats(const struct publish *p, uint32_t entry) {
    return counters_at(&p->map, LAYOUT_STATISTICS, entry);
}
static inline struct layout_area *publish_area(const struct publish *p, uint32_t slot) {
    return counters_at(&p->map, LAYOUT_AREAS, slot);
}
/* Of the tables and rings there are as many records as publish_records() says; of a ring the one with a number is asked
 * for. */
static inline uint32_t publish_records(const struct publish *p, enum layout_section_id id) {
    return p->map.part[id].count;
}
static inline struct layout_hit *publish_hit(const struct publish *p, uint32_t place) {
    return counters_at(&p->map, LAYOUT_HIT_TABLE, place);
}
static inline struct layout_event *publish_event(const struct publish *p, uint64_t number) {
    return counters_at(&p->map, LAYOUT_EVENT_RING, (uint32_t)(number % publish_records(p, LAYOUT_EVENT_RING)));
}
static inline struct layout_rejection *publish_rejection(const struct publish *p, uint64_t number) {
    return counters_at(&p->map, LAYOUT_REJECTION_RING, (uint32_t)(number % publish_records(p, LAYOUT_REJECTION_RING)));
}
static inline struct layout_hot *publish_hot(const struct publish *p, uint32_t place) {
    return counters_at(&p->map, LAYOUT_HOT_TABLE, place);
}
/* How many records of a section may be used; of those that do not grow, all. */
static inline uint32_t publish_allocated(const struct publish *p, enum layout_section_id id) {
    return counters_mapped(&p->map, id);
}
/* Copies a slot of a ring that processes write: true if it is number `number` (as its `sequence` says, which is part of
 * the slot), and no process wrote to it meanwhile. */
bool publish_copy_slot(const void *slot, uint64_t *sequence, uint64_t number, void *ret_copy, size_t size);
/* How many entries are in use, whatever a process wrote there. */
uint32_t publish_resources_used(const struct publish *);
/* The name of an entry, which may be newer than any metrics; "{other}" where the number is none. */
void publish_resource_name(const struct publish *, uint32_t entry, char ret_name[static LAYOUT_RESOURCE_NAME_MAX]);

#endif
