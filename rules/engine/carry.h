/* Windows that outlive the counters: what limits of scope app with a long interval have counted, written down as plain
 * bytes and put into new counters later (after a reboot, or when the run directory was emptied).
 *
 * Kept are rates per CARRY_INTERVAL_NS and more: of flow rules and of hot parameters, those that resources share
 * included; not what single callers (limitApp) have of their own.  Counters that are restored need the hash seed of
 * those that were saved.  The agent's alone: one thread, and no process is attached yet when counters are restored. */
#ifndef WEIR_RULES_ENGINE_CARRY_H
#define WEIR_RULES_ENGINE_CARRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/counters.h"

#define CARRY_INTERVAL_NS (60ull * 1000000000u)

/* Writes what there is to keep under that ruleset into the buffer, 8-byte aligned; returns its bytes, 0: nothing.
 * `*ret_whole`: it all found room. */
size_t carry_save(struct counters *, const void *ruleset, uint64_t now_ns, void *buffer, size_t size, bool *ret_whole);

struct carry_clock {
    uint64_t saved_ns;   /* engine clock of those counters, when they were saved */
    uint64_t elapsed_ns; /* since then */
    uint64_t now_ns;     /* engine clock of the new counters */
};
/* Puts it back; returns how many limiters, or -1 for what cannot have been written by carry_save(): what stood before
 * the fault is in force then.  `grow` is asked for more room for states; false: there is none. */
int carry_restore(struct counters *, const void *bytes, size_t size, const struct carry_clock *,
                  bool (*grow)(void *context), void *context);

#endif
