/* What the limits of a guard let pass: places in flight and permits, taken and given back. */
#ifndef WEIR_EBPF_GUARD_LIMITS_H
#define WEIR_EBPF_GUARD_LIMITS_H

#include "ebpf/guard_maps.h"

enum { ATTEMPTS = 16 };

/* The verifier looks at each function that is not static by itself, whatever its arguments: so there are few ways
 * through the programs.  Such functions get numbers and give numbers. */
enum { PASSES = 0, SIMULATED = 1, REFUSED = 2 };
#define APART __attribute__((noinline))

int limit_refuses(__u32 guard_index, __u32 limit_index);
int rate_passes(__u32 rate_index, __u64 now_ns);
int rates_return(__u32 guard_index, __u32 taken);
int in_flight_allow(__u32 guard_index, __u32 flying);
int reserve(__u32 guard_index);
int unreserve(__u32 guard_index);
int rates_allow(__u32 guard_index, __u64 now_ns);
int admit(__u32 guard_index, __u64 now_ns);
int would_refuse(__u32 guard_index, __u64 now_ns);
int take_back(__u32 guard_index, __u64 taken_ns);
int rate_has(__u32 rate_index, __u64 now_ns);

APART int limit_refuses(__u32 guard_index, __u32 limit_index) {
    struct guard *guard = bpf_map_lookup_elem(&guards, &guard_index);
    if (!guard || limit_index >= GUARD_LIMITS_MAX)
        return PASSES;
    struct guard_limit *limit = &guard->limit[limit_index];
    if (limit->mode == GUARD_SIMULATE) {
        __sync_fetch_and_add(&limit->simulated, 1);
        return SIMULATED;
    }
    __sync_fetch_and_add(&limit->refused, 1);
    return REFUSED;
}

/* One more than so many in flight? */
APART int in_flight_allow(__u32 guard_index, __u32 flying) {
    struct guard *guard = bpf_map_lookup_elem(&guards, &guard_index);
    int verdict = PASSES;
    for (__u32 i = 0; guard && i < GUARD_LIMITS_MAX && !(verdict & REFUSED); i++)
        if (guard->limit[i].kind == GUARD_IN_FLIGHT && flying >= guard->limit[i].most)
            verdict |= limit_refuses(guard_index, i);
    return verdict;
}

/* Reserves a place among those in flight: "active << 32 | pending" is one word, so that two who race for the last place
 * cannot both have it.  Who is unlucky too often goes uncounted. */
APART int reserve(__u32 guard_index) {
    struct guard *guard = bpf_map_lookup_elem(&guards, &guard_index);
    int verdict = PASSES;
    for (int i = 0; guard && i < ATTEMPTS; i++) {
        __u64 word = *(volatile __u64 *)&guard->flight;
        verdict = in_flight_allow(guard_index, (__u32)(word >> 32) + (__u32)word);
        if (verdict & REFUSED || __sync_val_compare_and_swap(&guard->flight, word, word + 1) == word)
            break;
    }
    return verdict;
}

APART int unreserve(__u32 guard_index) {
    struct guard *guard = bpf_map_lookup_elem(&guards, &guard_index);
    for (int i = 0; guard && i < ATTEMPTS; i++) {
        __u64 word = *(volatile __u64 *)&guard->flight;
        if ((__u32)word == 0 || __sync_val_compare_and_swap(&guard->flight, word, word - 1) == word)
            break;
    }
    return 0;
}

APART int rate_passes(__u32 rate_index, __u64 now_ns) {
    struct guard_rate *rate = bpf_map_lookup_elem(&rates, &rate_index);
    if (!rate)
        return 1;
    bpf_spin_lock(&rate->lock);
    int passes = guard_rate_take(rate, now_ns);
    bpf_spin_unlock(&rate->lock);
    return passes;
}

APART int rates_return(__u32 guard_index, __u32 taken) {
    for (__u32 i = 0; i < GUARD_LIMITS_MAX; i++) {
        __u32 index = guard_index * GUARD_LIMITS_MAX + i;
        struct guard_rate *rate = taken >> i & 1 ? bpf_map_lookup_elem(&rates, &index) : NULL;
        if (!rate)
            continue;
        bpf_spin_lock(&rate->lock);
        guard_rate_return(rate);
        bpf_spin_unlock(&rate->lock);
    }
    return 0;
}

APART int rates_allow(__u32 guard_index, __u64 now_ns) {
    struct guard *guard = bpf_map_lookup_elem(&guards, &guard_index);
    __u32 taken = 0;
    int verdict = PASSES;
    for (__u32 i = 0; guard && i < GUARD_LIMITS_MAX && !(verdict & REFUSED); i++) {
        if (guard->limit[i].kind != GUARD_RATE)
            continue;
        if (rate_passes(guard_index * GUARD_LIMITS_MAX + i, now_ns))
            taken |= 1u << i;
        else
            verdict |= limit_refuses(guard_index, i);
    }
    if (verdict & REFUSED)
        rates_return(guard_index, taken);
    return verdict;
}

/* May one more connection come?  If so, a place in flight is reserved where the guard counts them. */
APART int admit(__u32 guard_index, __u64 now_ns) {
    struct guard *guard = bpf_map_lookup_elem(&guards, &guard_index);
    if (!guard)
        return 1;
    int verdict = guard->counts ? reserve(guard_index) : PASSES;
    if (!(verdict & REFUSED)) {
        verdict |= rates_allow(guard_index, now_ns);
        if (verdict & REFUSED && guard->counts)
            unreserve(guard_index);
    }
    if (verdict & REFUSED)
        __sync_fetch_and_add(&guard->refused, 1);
    else
        __sync_fetch_and_add(&guard->passed, 1);
    if (verdict == SIMULATED)
        __sync_fetch_and_add(&guard->simulated, 1);
    return !(verdict & REFUSED);
}

APART int rate_has(__u32 rate_index, __u64 now_ns) {
    struct guard_rate *rate = bpf_map_lookup_elem(&rates, &rate_index);
    if (!rate)
        return 1;
    bpf_spin_lock(&rate->lock);
    int has = guard_rate_has(rate, now_ns);
    bpf_spin_unlock(&rate->lock);
    return has;
}

/* No permit left for one that only begins?  Nothing is taken. */
APART int would_refuse(__u32 guard_index, __u64 now_ns) {
    struct guard *guard = bpf_map_lookup_elem(&guards, &guard_index);
    if (!guard)
        return 0;
    __u64 flight = *(volatile __u64 *)&guard->flight;
    for (__u32 i = 0; i < GUARD_LIMITS_MAX; i++) {
        const struct guard_limit *limit = &guard->limit[i];
        bool full = limit->kind == GUARD_IN_FLIGHT
                        ? (__u32)(flight >> 32) + (__u32)flight >= limit->most
                        : limit->kind == GUARD_RATE && !rate_has(guard_index * GUARD_LIMITS_MAX + i, now_ns);
        if (!full || limit->mode == GUARD_SIMULATE)
            continue;
        limit_refuses(guard_index, i);
        __sync_fetch_and_add(&guard->refused, 1);
        return 1;
    }
    return 0;
}

/* What was taken for a connection that did not come about. */
APART int take_back(__u32 guard_index, __u64 taken_ns) {
    struct guard *guard = bpf_map_lookup_elem(&guards, &guard_index);
    if (!guard)
        return 0;
    if (guard->counts)
        unreserve(guard_index);
    for (__u32 i = 0; i < GUARD_LIMITS_MAX; i++) {
        __u32 index = guard_index * GUARD_LIMITS_MAX + i;
        struct guard_rate *rate = guard->limit[i].kind == GUARD_RATE ? bpf_map_lookup_elem(&rates, &index) : NULL;
        if (!rate)
            continue;
        bpf_spin_lock(&rate->lock);
        guard_rate_untake(rate, taken_ns);
        bpf_spin_unlock(&rate->lock);
    }
    __sync_fetch_and_add(&guard->passed, (__u64)-1);
    return 0;
}

#endif
