/* A pass over the sockets that are open now.  Connections: what went over them since the last pass is added to their
 * rows, as their end would do; listening sockets: their accept queue is reported to the reader, a struct count_listener
 * each.
 *
 * The iterator holds the socket's lock meanwhile, so a connection cannot end between the addition and the note of it.
 * It sees the network namespace of the process that reads; elsewhere connections count when they end. */
#include "ebpf/kernel.h"
#include "ebpf/count_maps.h"

WEIR_BPF_LICENSE;

/* Which pass it was that found a port listening: what was open before counting began has no other sign of who began.
 */
struct port_key {
    __u32 netns;
    __u32 port;
};
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 8192);
    __type(key, struct port_key);
    __type(value, __u64);
} listening SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, COUNT_ROWS_MAX);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct count_key);
    __type(value, struct count_open);
} open_now SEC(".maps");

__u64 pass; /* counted by the reader, who begins a pass by raising it */

static const struct count_open nothing_open;

static void tell_listener(struct seq_file *seq, const struct tcp_sock *tcp) {
    const struct sock *sk = (const struct sock *)tcp;
    const struct sock_common *common = &sk->__sk_common;
    const __be32 *address = common->skc_v6_rcv_saddr.in6_u.u6_addr32;
    struct count_listener out = {
        .netns = common->skc_net.net->ns.inum,
        .port = common->skc_num,
        .family = common->skc_family == WEIR_AF_INET6 ? 6 : 4,
        .drops = (__u32)sk->sk_drops.counter,
        .waiting = sk->sk_ack_backlog,
        .room = sk->sk_max_ack_backlog,
    };
    struct port_key port = {.netns = out.netns, .port = out.port};
    __u64 now = pass;
    if (out.family == 4) {
        out.address[3] = common->skc_rcv_saddr;
    } else {
        out.address[0] = address[0];
        out.address[1] = address[1];
        out.address[2] = address[2];
        out.address[3] = address[3];
    }
    bpf_map_update_elem(&listening, &port, &now, BPF_ANY);
    bpf_seq_write(seq, &out, sizeof out);
}

static struct count_open *open_row(const struct count_key *key) {
    struct count_open *open = bpf_map_lookup_elem(&open_now, key);
    if (!open) {
        bpf_map_update_elem(&open_now, key, &nothing_open, BPF_NOEXIST);
        open = bpf_map_lookup_elem(&open_now, key);
    }
    if (open && open->pass != pass) {
        *open = nothing_open;
        open->pass = pass;
    }
    return open;
}

static bool began_here(const struct tcp_sock *tcp, bool watched) {
    const struct sock_common *common = &((const struct sock *)tcp)->__sk_common;
    if (watched)
        return tcp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_RTO_CB_FLAG;
    struct port_key port = {.netns = common->skc_net.net->ns.inum, .port = common->skc_num};
    const __u64 *found = bpf_map_lookup_elem(&listening, &port);
    return !found || *found != pass;
}

/* What an unwatched connection has done before it was first seen is not counted; of one that is watched,
 * everything is. */
static void add_since(struct count_row *row, struct tcp_sock *tcp, bool watched) {
    struct count_seen now, none = {0};
    count_now(tcp, &now);
    struct count_seen *seen = bpf_sk_storage_get(&seen_of, tcp, NULL, 0);
    if (seen) {
        count_add(row, &now, seen);
        *seen = now;
        return;
    }
    seen = bpf_sk_storage_get(&seen_of, tcp, watched ? &none : &now, BPF_SK_STORAGE_GET_F_CREATE);
    if (!seen || !watched)
        return; /* without memory it counts at its end */
    count_add(row, &now, NULL);
    *seen = now;
}

SEC("iter/tcp")
int open_pass(struct bpf_iter__tcp *ctx) {
    struct sock_common *common = ctx->sk_common;
    struct tcp_sock *tcp = common ? bpf_skc_to_tcp_sock(common) : NULL;
    struct count_key key;
    if (!tcp)
        return 0; /* a request that is no connection yet, or the memory of one that was */
    __u8 state = ((struct sock *)tcp)->__sk_common.skc_state;
    if (state == WEIR_TCP_LISTEN) {
        tell_listener(ctx->meta->seq, tcp);
        return 0;
    }
    if (state == WEIR_TCP_SYN_SENT || state == WEIR_TCP_SYN_RECV || state == WEIR_TCP_CLOSE)
        return 0;
    bool watched = tcp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG;
    count_key_of(tcp, began_here(tcp, watched) ? COUNT_OUT : COUNT_IN, &key);
    add_since(count_row_of(&key), tcp, watched);
    struct count_open *open = open_row(&key);
    if (!open)
        return 0;
    open->connections++;
    open->unwatched += !watched;
    if (tcp->srtt_us) {
        open->rtt_us += tcp->srtt_us >> 3;
        open->rtt_count++;
    }
    return 0;
}
