/* The maps of the guard, and the marks of connections that were let in. */
#ifndef WEIR_EBPF_GUARD_MAPS_H
#define WEIR_EBPF_GUARD_MAPS_H

#include "ebpf/guard.h"
#include "ebpf/kernel.h"

static const __u64 MARK_NS = 4000000000ull;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct guard_control);
} control SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, GUARD_MAX);
    __type(key, __u32);
    __type(value, struct guard);
} guards SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, GUARD_MAX *GUARD_LIMITS_MAX);
    __type(key, __u32);
    __type(value, struct guard_rate);
} rates SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, GUARD_MAX);
    __type(key, __u32);
    __type(value, struct guard_name);
} names SEC(".maps"); /* the programs do not look at it */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, GUARD_PLACES_MAX);
    __type(key, struct guard_place);
    __type(value, __u32); /* index of the guard + 1; 0: that listener is not guarded */
} places SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, GUARD_MEMBERS_MAX);
    __type(key, __u32);
    __type(value, struct guard_member);
} members SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, GUARD_SHIMS_MAX);
    __type(key, __u32);   /* process, in the agent's pid namespace */
    __type(value, __u64); /* inode of the program that it ran when its shim attached; 0 = unknown */
} shims SEC(".maps");

/* A connection that was let in and is not established yet: hash of its addresses, and when.  A second look at it (the
 * SYN again, because its backlog was full; or the ACK that brings a SYN cookie back) costs nothing. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, GUARD_MARKS);
    __type(key, __u32);
    __type(value, __u64);
} marks SEC(".maps");

struct connection { /* one that counts for a guard with GUARD_IN_FLIGHT */
    __u32 guard, epoch;
    __u32 established, reserved;
};
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct connection);
} connections SEC(".maps");

/* ----------------------------------------------------------------------------------------------------------- marks */

/* 40 bits of the hash, and the time in ms. */
static __always_inline __u64 mark_word(__u64 hash, __u64 now_ns) {
    return (hash & ~0xffffffull) | (now_ns / 1000000 & 0xffffff);
}

static __always_inline __u64 *mark_at(__u64 hash) {
    __u32 index = hash & (GUARD_MARKS - 1);
    return bpf_map_lookup_elem(&marks, &index);
}

static __always_inline bool mark_take(__u64 hash, __u64 now_ns) {
    __u64 *mark = mark_at(hash), now = mark_word(hash, now_ns);
    if (!mark || ((*mark ^ now) & ~0xffffffull) != 0)
        return false;
    __u64 age_ms = (now - *mark) & 0xffffff;
    return age_ms < MARK_NS / 1000000;
}

static __always_inline void mark_set(__u64 hash, __u64 word) {
    __u64 *mark = mark_at(hash);
    if (mark)
        *mark = word;
}

#endif
