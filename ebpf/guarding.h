/* The guard's user side: loads the programs, attaches those that are needed, writes what is to be enforced, reads what
 * was.  State that belongs to a rule stays with it through edits and through restarts of the agent (pins). */
#ifndef WEIR_EBPF_GUARDING_H
#define WEIR_EBPF_GUARDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ebpf/ebpf.h"
#include "ebpf/guard.h"

struct guarding;

/* NULL, with the reason in the feature, if it cannot be. */
struct guarding *guarding_open(struct ebpf *, struct ebpf_feature *);
void guarding_close(struct guarding *); /* what is pinned goes on until its heartbeat is stale */
bool guarding_can_outbound(const struct guarding *);

struct guarding_limit {
    uint64_t rule;       /* id_hash: what its state is kept by */
    uint32_t kind, mode; /* enum guard_kind, guard_mode */
    uint32_t most;
    uint64_t interval_ns, unit_ns, burst_ns; /* of GUARD_RATE; see guard_rate.h */
    bool penalty;
};
struct guarding_entry {
    char app[64], resource[216];
    uint32_t side; /* enum guard_side */
    uint32_t app_number;
    bool off;
    uint32_t limits_count;
    struct guarding_limit limits[GUARD_LIMITS_MAX];
    uint32_t guard; /* guarding_apply: its index; UINT32_MAX = no room */
};
struct guarding_place {
    struct guard_place place;
    uint32_t entry; /* index + 1 into entries; 0: a listener without a guard */
};
struct guarding_plan { /* everything that is to be in force */
    struct guarding_entry *entries;
    size_t entries_count;
    const struct guarding_place *places;
    size_t places_count;
    const struct guard_member *members; /* in order */
    size_t members_count;
};

/* 0, or -errno: then some of it may not be in force.  Equal plans cost next to nothing. */
int guarding_apply(struct guarding *, struct guarding_plan *);
/* Alive. */
void guarding_beat(struct guarding *);

struct guarding_counts {
    uint64_t passed, refused, simulated; /* since the last time that they were taken */
    uint64_t limit_refused[GUARD_LIMITS_MAX], limit_simulated[GUARD_LIMITS_MAX];
    uint64_t rule[GUARD_LIMITS_MAX]; /* of each limit; 0 = none */
    uint32_t active, pending;
};
void guarding_take(struct guarding *, uint32_t guard, struct guarding_counts *ret_counts);
/* So many of those that are pending will never come. */
void guarding_forget_pending(struct guarding *, uint32_t guard, uint32_t lost);

/* A process that enforces by itself (`exe` is the inode of its program), and its end. */
void guarding_shim(struct guarding *, uint32_t pid, uint64_t exe);
void guarding_shims_clear(struct guarding *); /* of an earlier agent's time */
void guarding_shim_gone(struct guarding *, uint32_t pid);

/* Pure: the numbers of a rate, with what was taken under the old ones still counting. */
void guard_rate_shape(struct guard_rate *, const struct guarding_limit *, uint64_t now_ns);

#endif
