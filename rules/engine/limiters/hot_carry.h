/* What is kept of a table of hot keys (carry.h). */
#ifndef WEIR_RULES_ENGINE_LIMITERS_HOT_CARRY_H
#define WEIR_RULES_ENGINE_LIMITERS_HOT_CARRY_H

#include "rules/engine/carry.h"
#include "rules/engine/limiters/hot_param.h"

/* Of a table of rates: its shape, and what is in use.  Bytes written, a multiple of 8; 0: nothing to keep, or no room
 * (`*ret_room` false). */
size_t hot_save(const struct limiter_state *, const struct hot_shape *, void *to, size_t size, bool *ret_room);
/* The shape of what was saved; false: nonsense. */
bool hot_saved_shape(const void *from, size_t size, struct hot_shape *ret_shape);
/* Into a fresh table of that shape.  False: nonsense. */
bool hot_restore(struct limiter_state *, const struct hot_shape *, const void *from, size_t size, uint64_t interval_ns,
                 const struct carry_clock *);

#endif
