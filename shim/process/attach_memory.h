/* The app's shared memory in this process: mapped, checked, with an engine over it from the first rule on. */
#ifndef WEIR_SHIM_ATTACH_MEMORY_H
#define WEIR_SHIM_ATTACH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/layout.h"
#include "shim/process/attach_map.h"

struct engine;

enum { MEMORY_RULESETS = 3 }; /* in force, before it, waiting to be adopted */

struct attach_memory {
    struct attach_files files;
    struct engine *engine; /* NULL: no rules were ever in force */
    uint64_t device, rules_inode, counters_inode;
    struct {
        const void *bytes;
        size_t size;
    } rulesets[MEMORY_RULESETS];
    const void *waiting; /* a checked ruleset that the engine could not take yet, one of `rulesets` */
    size_t waiting_size;
    uint32_t waiting_left_out, left_out; /* rules that this library cannot enforce: of it, of the adopted ones */
    uint64_t waiting_generation, adopted, refused; /* generations */
    uint64_t clock_offset_ns; /* engine clock - the agent's CLOCK_MONOTONIC, as it was at first: others may write it */
    uint64_t wall_ns; /* how the wall clock stood (snapshot_wall) when the rules were adopted, for times of day */
    uint64_t until_s; /* atomic; engine_until() of the adopted rules */
    uint32_t slot;    /* UINT32_MAX = none */
    uint64_t owner;
    unsigned inherited; /* connections held by the program that this one replaced */
};

enum memory_result { MEMORY_OK, MEMORY_SAME /* as `current` */, MEMORY_BAD };

/* Maps the two files, which are closed in any case.  `current` may be NULL.  Nothing else may be done with what is
 * returned before it is where it will stay: its own parts lead to each other. */
enum memory_result memory_map(const int fds[2], const char *app, const struct attach_memory *current,
                              struct attach_memory *ret_memory);
void memory_settle(struct attach_memory *); /* it is where it will stay */

enum memory_adopted {
    MEMORY_UP_TO_DATE,
    MEMORY_LATER, /* try again soon */
    MEMORY_SHORT, /* no address space or memory for the rules: try again, but not soon */
    MEMORY_REFUSED
};
/* Puts the rules published last in force, as they are at that time of day. */
enum memory_adopted memory_adopt(struct attach_memory *, uint64_t now_ns);
/* The time of day has changed what is in force. */
bool memory_is_due(const struct attach_memory *, uint64_t now_ns);
/* Nanoseconds until it does so next; 0: it has, or that is hours away or not known. */
uint64_t memory_left_ns(const struct attach_memory *, uint64_t now_ns);
/* Before the kernel may not be asked any more: everything of the shared memory that is needed later is mapped.  Returns
 * the bytes that are published now, 0 for none. */
size_t memory_prepare(struct attach_memory *);
bool memory_has_leftovers(
    const struct attach_memory *); /* rulesets that may be unmapped when they are no longer used */
void memory_release(struct attach_memory *);

/* Takes a free slot of the process table.  `renewed`: the process is a new program under its own pid (exec), so a slot
 * under its own pid is a leftover.  Memory accesses alone, no system call, unless the table is full. */
bool memory_take_slot(struct attach_memory *, uint32_t pid, uint32_t pid_namespace, bool renewed, uint64_t now_ns);
bool memory_has_slot(const struct attach_memory *); /* and it is still ours */
/* Takes back what dead processes hold, as far as this process can see: for when there is no agent. */
void memory_scavenge(struct attach_memory *, uint32_t pid_namespace);
struct layout_process *memory_process(const struct attach_memory *); /* our entry, or NULL */

#endif
