/* When SYNs come whose senders never answer, a permit is charged when the handshake ends, not when it begins.
 *
 * As a rule a connection is charged at its SYN, in sk_lookup: refused there, its caller gets ECONNREFUSED at once.  But
 * SYNs cost a forger nothing, and would take all permits.  So the guard counts what it lets begin and what of it is
 * established: where two or more that began LOOK_NS ago or earlier are not, and an eighth of those that began within
 * EPOCH_NS, it is flooded for FLOOD_NS.  While it is, a
 * SYN is refused if no permit is left, and charged nothing; the ACK that ends the handshake is charged, and dropped if
 * there is no permit: its caller tries again by itself, with what it sends.  So no more than the limit are established
 * in any case, and those who do not answer take nothing from those who do.
 *
 * Whether an ACK is genuine is known when a connection comes of it, in the same breath: what it took is held until
 * then, by CPU, and given back with the next one if none came. */
#ifndef WEIR_EBPF_GUARD_FLOOD_H
#define WEIR_EBPF_GUARD_FLOOD_H

#include "ebpf/guard_maps.h"

static const __u64 LOOK_NS = 100000000, EPOCH_NS = 10000000000ull, FLOOD_NS = 10000000000ull;
static const __u64 LATE_NS = 80000000000ull;     /* so long after a flood a handshake that began in it may end */
static const __u64 SEEN = 0x5bd1e995c6a4a793ull; /* makes another hash of a connection's: its SYN has been here */
enum { LOST_MANY = 2 };

struct held { /* by the ACK that is being looked at */
    __u64 hash, taken_ns;
    __u32 guard, epoch; /* epoch 0: nothing */
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct held);
} held_now SEC(".maps");

static __always_inline struct held *held_here(void) {
    __u32 zero = 0;
    return bpf_map_lookup_elem(&held_now, &zero);
}

static __always_inline bool is_flooded(const struct guard *guard, __u64 now_ns) {
    return (__s64)(*(volatile __u64 *)&guard->flood_ns - now_ns) > 0;
}

static __always_inline bool was_flooded(const struct guard *guard, __u64 now_ns) {
    __u64 until_ns = *(volatile __u64 *)&guard->flood_ns;
    return until_ns && (__s64)(until_ns + LATE_NS - now_ns) > 0;
}

/* Single ones are lost at all times.  The counts are restarted with each finding, and with each epoch. */
static __always_inline void look_for_flood(struct guard *guard, __u64 now_ns) {
    __u64 looked_ns = *(volatile __u64 *)&guard->looked_ns;
    if (now_ns - looked_ns < LOOK_NS || __sync_val_compare_and_swap(&guard->looked_ns, looked_ns, now_ns) != looked_ns)
        return;
    __u64 begun = *(volatile __u64 *)&guard->begun, before = guard->begun_before, base = guard->begun_base;
    __s64 lost = (__s64)(before - *(volatile __u64 *)&guard->made);
    bool many = lost >= LOST_MANY && (__u64)lost * 8 >= before - base;
    guard->begun_before = begun;
    if (many)
        guard->flood_ns = now_ns + FLOOD_NS;
    if (many || now_ns - guard->base_ns > EPOCH_NS) {
        guard->base_ns = now_ns;
        guard->begun_base = begun;
        *(volatile __u64 *)&guard->made = begun;
    }
}

/* The TCP header's place in a packet that begins with its IP header, and its addresses; false: it is not TCP, or behind
 * extensions that no handshake has. */
struct packet {
    __u8 local[16], remote[16];
    __u32 remote_port;
    __u8 flags;
};
enum { FLAG_SYN = 2, FLAG_RST = 4, FLAG_ACK = 16, TCP_FLAGS_AT = 13, TCP_NUMBER = 6 };

static __always_inline bool packet_read(struct __sk_buff *skb, bool v4, struct packet *ret_packet) {
    __u8 head[40];
    __u32 at = 40;
    __be16 port;
    if (bpf_skb_load_bytes(skb, 0, head, v4 ? 20 : 40) < 0)
        return false;
    if (v4) {
        __u32 address;
        at = (head[0] & 15u) * 4;
        if (head[9] != TCP_NUMBER)
            return false;
        __builtin_memcpy(&address, head + 16, sizeof(address));
        address_from_v4(ret_packet->local, address);
        __builtin_memcpy(&address, head + 12, sizeof(address));
        address_from_v4(ret_packet->remote, address);
    } else {
        if (head[6] != TCP_NUMBER)
            return false;
        __builtin_memcpy(ret_packet->local, head + 24, 16);
        __builtin_memcpy(ret_packet->remote, head + 8, 16);
    }
    if (bpf_skb_load_bytes(skb, at, &port, sizeof(port)) < 0 ||
        bpf_skb_load_bytes(skb, at + TCP_FLAGS_AT, &ret_packet->flags, 1) < 0)
        return false;
    ret_packet->remote_port = port; /* as it stands there, for hash_of() */
    return true;
}

#endif
