/* The maps of the counters and the arithmetic on them, for the programs that fill them. */
#ifndef WEIR_EBPF_COUNT_MAPS_H
#define WEIR_EBPF_COUNT_MAPS_H

#include "ebpf/count.h"
#include "ebpf/kernel.h"

#define ADD(counter, amount) __sync_fetch_and_add(&(counter), (amount))

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, COUNT_ROWS_MAX);
    __type(key, struct count_key);
    __type(value, struct count_row);
} rows SEC(".maps");

/* What of a connection that is still open has been added to its row already. */
struct count_seen {
    __u64 bytes_in, bytes_out;
    __u64 segments_in, segments_out, retransmits;
};
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct count_seen);
} seen_of SEC(".maps");

static const struct count_row no_counts;
static struct count_row lost; /* never read: where counts go if even the row of port 0 is missing */

/* The row of a key; where there is no room for one more, the row that all of those share. */
static __always_inline struct count_row *count_row_of(const struct count_key *key) {
    struct count_row *row = bpf_map_lookup_elem(&rows, key);
    if (row)
        return row;
    bpf_map_update_elem(&rows, key, &no_counts, BPF_NOEXIST);
    row = bpf_map_lookup_elem(&rows, key);
    if (row)
        return row;
    struct count_key other = {.direction = key->direction, .family = key->family};
    row = bpf_map_lookup_elem(&rows, &other);
    return row ? row : &lost;
}

/* 4 also for IPv4 on a socket that could do both, whose addresses are ::ffff:a.b.c.d. */
static __always_inline __u8 family_of(__u32 family, __u32 first, __u32 second, __u32 third) {
    bool mapped = (first | second) == 0 && third == bpf_htonl(0xffff);
    return family == WEIR_AF_INET6 && !mapped ? 6 : 4;
}

/* The compiler may not merge two accesses of the context: the verifier wants them one by one. */
static __always_inline __u8 context_family(struct bpf_sock_ops *ctx) {
    volatile __u32 *address = ctx->remote_ip6;
    return family_of(ctx->family, address[0], address[1], address[2]);
}

static __always_inline __u64 cgroup_of(const struct sock *sk) {
    if (!bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
        return 0;
    const struct cgroup *cgroup = sk->sk_cgrp_data.cgroup;
    return cgroup ? cgroup->kn->id : 0;
}

/* In: the port that was connected to, whose owner is the listener's.  Out: the port there, and whose connection it is.
 */
static __always_inline void count_key_of(const struct tcp_sock *tcp, __u8 direction, struct count_key *ret_key) {
    const struct sock *sk = (const struct sock *)tcp;
    const struct sock_common *common = &sk->__sk_common;
    const __be32 *address = common->skc_v6_daddr.in6_u.u6_addr32;
    *ret_key = (struct count_key){
        .cgroup = direction == COUNT_OUT ? cgroup_of(sk) : 0,
        .netns = common->skc_net.net->ns.inum,
        .port = direction == COUNT_OUT ? bpf_ntohs(common->skc_dport) : common->skc_num,
        .direction = direction,
        .family = family_of(common->skc_family, address[0], address[1], address[2]),
    };
}

static __always_inline void count_now(const struct tcp_sock *tcp, struct count_seen *ret_now) {
    enum { SOCK_DONE = 1 }; /* the peer's FIN has come, which counts as a byte received */
    const struct sock *sk = (const struct sock *)tcp;
    __u64 received = tcp->bytes_received, fin = sk->__sk_common.skc_flags >> SOCK_DONE & 1;
    *ret_now = (struct count_seen){
        .bytes_in = received > fin ? received - fin : 0,
        .bytes_out = tcp->bytes_sent - tcp->bytes_retrans,
        .segments_in = tcp->segs_in,
        .segments_out = tcp->segs_out,
        .retransmits = tcp->total_retrans,
    };
}

/* Adds what has come since `seen` (NULL: since the beginning). */
static __always_inline void count_add(struct count_row *row, const struct count_seen *now,
                                      const struct count_seen *seen) {
    ADD(row->bytes_in, now->bytes_in - (seen ? seen->bytes_in : 0));
    ADD(row->bytes_out, now->bytes_out - (seen ? seen->bytes_out : 0));
    ADD(row->segments_in, now->segments_in - (seen ? seen->segments_in : 0));
    ADD(row->segments_out, now->segments_out - (seen ? seen->segments_out : 0));
    ADD(row->retransmits, now->retransmits - (seen ? seen->retransmits : 0));
}

#endif
