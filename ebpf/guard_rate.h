/* "At most `most` in any interval": the same sliding window as the shim's, for the kernel.  Shared with user space, so
 * that it can be tested there.
 *
 * Source: the sliding window log.  A ring holds when each of the last `most` permits was taken; a permit is free when
 * the one taken `most` ago is older than the interval.  Above GUARD_RATE_SLOTS permits a slot stands for several of
 * them, with the time of the last.  Error bound: no interval, wherever it begins, admits more than `most`; under steady
 * excess at least (slots - 1) / slots of it are admitted, 99.2 % or more. */
#ifndef WEIR_EBPF_GUARD_RATE_H
#define WEIR_EBPF_GUARD_RATE_H

#include <linux/bpf.h>
#include <linux/types.h>

enum { GUARD_RATE_SLOTS = 256 };

struct guard_rate {
    struct bpf_spin_lock lock; /* held to read or write the rest */
    __u32 most;                /* permits in an interval */
    __u32 slots, each, first;  /* slots in use; permits that a slot stands for; slot 0 has the rest */
    __u32 head, fill;          /* the slot that is being filled, and how far */
    __u32 penalty;             /* who is refused counts, too */
    __u64 interval_ns;
    __u64 unit_ns, burst_ns; /* a bucket beside the window (rules with "burst"): time of a permit, its room; 0 = none */
    __u64 turn_ns;           /* until when the bucket is spent */
    __u64 taken_ns[GUARD_RATE_SLOTS]; /* when a slot's last permit was taken; 0 = never */
};

static inline __u32 guard_rate_size(const struct guard_rate *r, __u32 slot) {
    return slot == 0 ? r->first : r->each;
}

/* Clocks of two CPUs may be a little apart: what is "in the future" is recent. */
static inline int guard_rate_is_old(const struct guard_rate *r, __u64 then_ns, __u64 now_ns) {
    return then_ns == 0 || (__s64)(now_ns - then_ns) >= (__s64)r->interval_ns;
}

static inline int guard_rate_bucket(struct guard_rate *r, __u64 now_ns) {
    __u64 turn_ns = r->turn_ns;
    if (r->burst_ns == 0)
        return 1;
    if ((__s64)(now_ns - turn_ns) > 0)
        turn_ns = now_ns;
    if (turn_ns + r->unit_ns - now_ns > r->burst_ns)
        return 0;
    r->turn_ns = turn_ns + r->unit_ns;
    return 1;
}

/* Takes a permit; the caller holds the lock. */
static inline int guard_rate_take(struct guard_rate *r, __u64 now_ns) {
    __u32 head = r->head;
    int moves, fits = 1;
    if (r->most == 0 || head >= GUARD_RATE_SLOTS)
        return 0;
    if (guard_rate_is_old(r, r->taken_ns[head], now_ns))
        r->fill = 0;
    moves = r->fill >= guard_rate_size(r, head);
    if (moves) {
        head = head + 1 < r->slots ? head + 1 : 0;
        if (head >= GUARD_RATE_SLOTS)
            return 0;
        fits = guard_rate_is_old(r, r->taken_ns[head], now_ns);
    }
    if (fits)
        fits = guard_rate_bucket(r, now_ns);
    if (!fits && !r->penalty)
        return 0;
    r->head = head;
    r->fill = moves ? 1 : r->fill + 1;
    if (moves || (__s64)(now_ns - r->taken_ns[head]) > 0) /* who looked at the clock earlier may come later */
        r->taken_ns[head] = now_ns;
    return fits;
}

/* Is there a permit to take? */
static inline int guard_rate_has(const struct guard_rate *r, __u64 now_ns) {
    __u32 head = r->head;
    if (r->most == 0 || head >= GUARD_RATE_SLOTS)
        return 0;
    if (r->burst_ns && (__s64)(r->turn_ns - now_ns) > 0 && r->turn_ns + r->unit_ns - now_ns > r->burst_ns)
        return 0;
    if (r->fill < guard_rate_size(r, head) || guard_rate_is_old(r, r->taken_ns[head], now_ns))
        return 1;
    head = head + 1 < r->slots ? head + 1 : 0;
    return head < GUARD_RATE_SLOTS && guard_rate_is_old(r, r->taken_ns[head], now_ns);
}

/* The permit taken at that time is back, unless others were taken since: they lie in the window behind it. */
static inline void guard_rate_untake(struct guard_rate *r, __u64 taken_ns) {
    if (r->head < GUARD_RATE_SLOTS && r->taken_ns[r->head] == taken_ns && r->fill > 0) {
        r->fill--;
        if (r->turn_ns > r->unit_ns)
            r->turn_ns -= r->unit_ns;
    }
}

/* Another limit refused what this one had let pass. */
static inline void guard_rate_return(struct guard_rate *r) {
    if (r->fill > 0)
        r->fill--;
    if (r->turn_ns > r->unit_ns)
        r->turn_ns -= r->unit_ns;
}

#endif
