/* Publishing a ruleset through APP.rules, and reading it: the only code that knows the memory order of that file.
 *
 * One writer, the agent; any number of readers, who map the file read-only and are never waited for.  Nothing is
 * believed by a reader but what it has copied and checked.  Pure: memory comes from the caller. */
#ifndef WEIR_RULES_SNAPSHOT_H
#define WEIR_RULES_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/layout.h"

/* ------------------------------------------------------------------------------------------------- the writer */

/* Makes `header` the start of an empty file of the app. */
void snapshot_format(struct layout_rules_header *header, const char *app);
/* The size of that file, bytes; it is sparse. */
uint64_t snapshot_bytes(void);
/* Is this a file of this app that a writer of this version can go on with, and a reader use?  `bytes`: its size; one
 * page of it is mapped. */
bool snapshot_usable(const struct layout_rules_header *header, uint64_t bytes, const char *app);
/* Where the next ruleset will be written, bytes from the start of the file: to be allocated up to `size` beforehand.
 * False: the file has no room for one of that size. */
bool snapshot_next(const struct layout_rules_header *header, uint64_t bytes, size_t size, uint64_t *ret_offset);
/* Publishes at that offset; all of the file is mapped at `header`.  Returns the new generation. */
uint64_t snapshot_publish(struct layout_rules_header *header, uint64_t offset, const void *ruleset, size_t size);
void snapshot_set_off(struct layout_rules_header *header, bool off);
void snapshot_retire(struct layout_rules_header *header); /* makes every process attach again */
void snapshot_heartbeat(struct layout_rules_header *header, uint64_t monotonic_ns);
/* What CLOCK_REALTIME is ahead of CLOCK_MONOTONIC; less than some hundredths of a second are no news. */
void snapshot_set_wall(struct layout_rules_header *header, uint64_t ahead_ns);
/* `app_cpu`: 0…1, < 0 unknown, as `cpu`. */
void snapshot_set_load(struct layout_rules_header *header, double cpu, double load1, double app_cpu);
/* Before snapshot_set_load(); 0…1, < 0 unknown. */
void snapshot_set_cpus_used(struct layout_rules_header *header, double share);

/* ------------------------------------------------------------------------------------------------- the reader */

/* One load, looked at with every request. */
#define snapshot_sequence(header) __atomic_load_n(&(header)->sequence, __ATOMIC_ACQUIRE)
static inline uint64_t snapshot_generation(const struct layout_rules_header *header) {
    return __atomic_load_n(&header->generation, __ATOMIC_ACQUIRE);
}
static inline bool snapshot_is_off(const struct layout_rules_header *header) {
    return __atomic_load_n(&header->off, __ATOMIC_RELAXED) != 0;
}
static inline bool snapshot_is_retired(const struct layout_rules_header *header) {
    return __atomic_load_n(&header->retired, __ATOMIC_RELAXED) != 0;
}
static inline uint64_t snapshot_alive(const struct layout_rules_header *header) {
    return __atomic_load_n(&header->agent_alive, __ATOMIC_RELAXED);
}
static inline uint64_t snapshot_wall(const struct layout_rules_header *header) {
    return __atomic_load_n(&header->wall_ns, __ATOMIC_RELAXED);
}
/* Changes with each snapshot_set_load(): what snapshot_load() says is new.  0: it is not counted. */
static inline uint64_t snapshot_loads(const struct layout_rules_header *header) {
    return __atomic_load_n(&header->loads, __ATOMIC_ACQUIRE);
}
void snapshot_load(const struct layout_rules_header *header, double *ret_cpu, double *ret_load1, double *ret_app_cpu);
double snapshot_cpus_used(const struct layout_rules_header *header); /* 0: none, or unknown */

/* The two places for rulesets: records of a section, one for even generations, one for odd ones. */
bool snapshot_copies(const struct layout_rules_header *header, uint64_t bytes, struct layout_section *ret_copies);

enum snapshot_status {
    SNAPSHOT_OK,
    SNAPSHOT_NONE, /* nothing published yet */
    SNAPSHOT_TORN, /* overtaken by the writer, or spoilt: keep what you have, try again later */
    SNAPSHOT_BAD,  /* lengths and offsets that no writer makes */
};
/* Where the ruleset published last is, and how large; `bytes`: the size of the file, of which a page is mapped. */
enum snapshot_status snapshot_look(const struct layout_rules_header *header, uint64_t bytes,
                                   struct layout_copy *ret_copy);
/* Copies it from `at`, where the bytes at its offset are mapped, to memory for its length.  What SNAPSHOT_OK gives is
 * what was published, which is not yet to say that it is valid (ruleset_check); else SNAPSHOT_TORN. */
enum snapshot_status snapshot_take(const struct layout_copy *copy, const void *at, void *ruleset);
/* Both in one, where all of the file is mapped at `header`; SNAPSHOT_TORN also where it is larger than `room`. */
enum snapshot_status snapshot_read(const struct layout_rules_header *header, uint64_t bytes, void *ruleset, size_t room,
                                   size_t *ret_size, uint64_t *ret_generation);

#endif
