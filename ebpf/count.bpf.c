/* Counts every TCP connection of the host at its beginning and its end; nothing is done for a packet.
 *
 * Why sock_ops: it is called under the lock of the socket, or where no other CPU can see it, so no event is lost
 * however packets are steered between CPUs (trace points are dropped when they nest).  The flag that asks for state
 * changes is set once for a connection; at its end the kernel's own counts of the socket are added up. */
#include "ebpf/kernel.h"
#include "ebpf/count_maps.h"

WEIR_BPF_LICENSE;

static void add_request(struct bpf_sock_ops *ctx) {
    struct count_key key = {.port = (__u16)ctx->local_port, .direction = COUNT_IN, .family = context_family(ctx)};
    ADD(count_row_of(&key)->attempts, 1);
}

/* The flags of other programs stay; RTO_CB, which is hardly ever called, says that this host has opened the connection.
 */
static void watch(struct bpf_sock_ops *ctx, int flags) {
    bpf_sock_ops_cb_flags_set(ctx, (int)ctx->bpf_sock_ops_cb_flags | flags);
}

static struct tcp_sock *tcp_of(struct bpf_sock_ops *ctx) {
    struct bpf_sock *sk = ctx->sk;
    return sk ? bpf_skc_to_tcp_sock(sk) : NULL;
}

static void began(struct bpf_sock_ops *ctx, __u8 direction) {
    struct tcp_sock *tcp = tcp_of(ctx);
    struct count_key key;
    if (!tcp)
        return;
    count_key_of(tcp, direction, &key);
    ADD(count_row_of(&key)->opened, 1);
}

static void tried(struct bpf_sock_ops *ctx) {
    struct tcp_sock *tcp = tcp_of(ctx);
    struct count_key key;
    if (!tcp)
        return;
    count_key_of(tcp, COUNT_OUT, &key);
    ADD(count_row_of(&key)->attempts, 1);
}

static void ended(struct bpf_sock_ops *ctx, __u32 old_state) {
    struct tcp_sock *tcp = tcp_of(ctx);
    struct bpf_sock *sk = ctx->sk;
    struct count_key key;
    if (!tcp || !sk)
        return;
    __u8 direction = ctx->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_RTO_CB_FLAG ? COUNT_OUT : COUNT_IN;
    count_key_of(tcp, direction, &key);
    struct count_row *row = count_row_of(&key);
    if (old_state == WEIR_TCP_SYN_SENT || old_state == WEIR_TCP_SYN_RECV) {
        if (((struct sock *)tcp)->sk_err == WEIR_ECONNREFUSED)
            ADD(row->refused, 1);
        else
            ADD(row->failed, 1);
        ADD(row->retransmits, tcp->total_retrans);
        return;
    }
    struct count_seen *seen = bpf_sk_storage_get(&seen_of, sk, NULL, 0);
    struct count_seen now;
    count_now(tcp, &now);
    count_add(row, &now, seen);
    ADD(row->closed, 1);
    if (tcp->srtt_us) {
        ADD(row->rtt_us, tcp->srtt_us >> 3);
        ADD(row->rtt_count, 1);
    }
}

SEC("sockops")
int count(struct bpf_sock_ops *ctx) {
    switch (ctx->op) {
    case BPF_SOCK_OPS_RWND_INIT: /* of a request that has just come: it is no full socket yet */
        if (!ctx->is_fullsock)
            add_request(ctx);
        break;
    case BPF_SOCK_OPS_TCP_CONNECT_CB:
        watch(ctx, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG);
        tried(ctx);
        break;
    case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB: began(ctx, COUNT_OUT); break;
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
        watch(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
        began(ctx, COUNT_IN);
        break;
    case BPF_SOCK_OPS_STATE_CB:
        if (ctx->args[1] == WEIR_TCP_CLOSE)
            ended(ctx, ctx->args[0]);
        break;
    }
    return 1; /* ctx->reply stays what others have made it */
}
