/* The app's two files in this process: of each section a page is mapped from the beginning, from which more of it is
 * mapped when it is needed.  No descriptor stays open for it: mremap() of a shared mapping from a size of 0 makes a
 * second mapping of the same pages, as far as asked. */
#ifndef WEIR_SHIM_ATTACH_MAP_H
#define WEIR_SHIM_ATTACH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/counters.h"
#include "rules/engine/engine.h"
#include "rules/layout.h"

enum { ATTACH_LEVELS = 24 };

struct attach_section {         /* of APP.counters */
    char *page;                 /* its first */
    char *level[ATTACH_LEVELS]; /* atomic; mapped are twice as many records with each; NULL: not yet */
    uint32_t failed;            /* atomic; for so many records there was no address space; 0 = never */
};

struct attach_files {
    const struct layout_rules_header *rules; /* one page */
    struct layout_counters_header *counters; /* one page */
    uint64_t rules_bytes;                    /* of the file */
    const char *copies[2];                   /* the first page of each copy of the ruleset */
    uint64_t copy_bytes;                     /* mapped of each: a page, or all that it may have */
    const char *ready[2];                    /* as `copies`, of ready_bytes: for when nothing can be mapped any more */
    uint64_t ready_bytes;
    bool whole; /* more cannot be mapped later: all of it was at once */
    struct attach_section section[LAYOUT_SECTIONS];
    struct counters map; /* with the process table, and nothing else; for others to copy */
};

/* Maps the pages that everything else begins with, and the process table; false: they are not files of that app, of a
 * version that can be read, or there is no address space, and nothing is mapped.  Neither will be in core dumps. */
bool attach_files_map(struct attach_files *, const int fds[2], const char *app);
void attach_files_unmap(struct attach_files *);

/* Makes `map`, a copy of files->map, map what it needs from `files`, which stay where they are. */
void attach_files_serve(struct attach_files *files, struct counters *map);
/* Maps what of the counters an engine always uses; false: no address space. */
bool attach_files_reach_all(struct counters *map);
/* After a failure for want of address space: try again. */
void attach_files_retry(struct attach_files *);

/* The bytes of a copy of the ruleset, mapped; NULL: no address space.  To be given back. */
const void *attach_files_copy(const struct attach_files *, const struct layout_copy *);
void attach_files_copy_give(const struct attach_files *, const struct layout_copy *, const void *bytes);

/* Maps what may be needed when nothing can be mapped any more: all of the counters that is there, and room for rulesets
 * somewhat larger than one of `length` bytes. */
void attach_files_prepare(struct attach_files *, struct counters *map, size_t length);

/* Memory of this process, straight from the kernel. */
void *attach_pages_take(size_t bytes); /* NULL: none */
void attach_pages_give(const void *memory, size_t bytes);
extern const struct engine_memory attach_pages;
/* An application that is kept to little address space needs it itself: is so much a small part of its limit? */
bool attach_pages_allowed(size_t bytes);

#endif
