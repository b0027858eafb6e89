/* Who calls: cgroup/connect notes who the process is, sock_ops ties that to the addresses of the connection before its
 * first packet leaves, and cgroup/getsockopt answers the server's shim.  Nothing that a caller could write is believed
 * but its own name (comm). */
#include "ebpf/address.h"
#include "ebpf/process.h"
#include "rules/caller.h"

WEIR_BPF_LICENSE;

enum { CALLERS_MAX = 16384, SOCKET_STREAM = 1 };

struct ends { /* as the caller sees them; IPv4 is ::ffff:a.b.c.d, ports in network order */
    __u8 local[16], remote[16];
    __u64 netns;
    __u16 local_port, remote_port;
    __u32 reserved;
};

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct caller);
} connecting SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, CALLERS_MAX);
    __type(key, struct ends);
    __type(value, struct caller);
} callers SEC(".maps");

/* ------------------------------------------------------------------------------------------------------- the caller */

static __always_inline bool ends_in(const char *name, long length, const char *tail, long tail_length) {
    bool same = length > tail_length;
    for (long i = 0; i < tail_length && same; i++)
        same = name[(length - tail_length + i) & 127] == tail[i];
    return same;
}

/* From the cgroup upwards to the first part of the path that is a unit with processes. */
static __always_inline void unit_of(struct task_struct *process, struct caller *ret_caller) {
    struct cgroup *cgroup = process_cgroup(process);
    char name[128] = {0};
    for (int i = 0; i < PROCESS_CGROUPS_MAX && cgroup; i++) {
        long size = bpf_probe_read_kernel_str(name, sizeof(ret_caller->unit), BPF_CORE_READ(cgroup, kn, name));
        if (size > 1 && size < (long)sizeof(ret_caller->unit) &&
            (ends_in(name, size - 1, ".service", 8) || ends_in(name, size - 1, ".scope", 6))) {
            __builtin_memcpy(ret_caller->unit, name, sizeof(ret_caller->unit));
            return;
        }
        cgroup = cgroup_above(cgroup);
    }
}

static __always_inline int note(struct bpf_sock_addr *ctx) {
    struct bpf_sock *sk = ctx->sk;
    if (ctx->type != SOCKET_STREAM || !sk)
        return 1;
    struct caller *caller = bpf_sk_storage_get(&connecting, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (!caller)
        return 1;
    struct task_struct *process = process_now();
    struct caller now = {.uid = (__u32)bpf_get_current_uid_gid()};
    bpf_probe_read_kernel_str(now.comm, sizeof(now.comm), process->comm);
    unit_of(process, &now);
    *caller = now;
    return 1;
}

SEC("cgroup/connect4")
int caller_connect4(struct bpf_sock_addr *ctx) {
    return note(ctx);
}

SEC("cgroup/connect6")
int caller_connect6(struct bpf_sock_addr *ctx) {
    return note(ctx);
}

/* -------------------------------------------------------------------------------------------------- the connection */

/* What an earlier connection left under the same addresses goes in any case. */
static __always_inline void bind_caller(struct bpf_sock_ops *ctx) {
    struct bpf_sock *sk = ctx->sk;
    struct ends ends = {.netns = bpf_get_netns_cookie(ctx),
                        .local_port = bpf_htons((__u16)ctx->local_port),
                        .remote_port = (__u16)(ctx->remote_port >> 16)};
    if (ctx->family == WEIR_AF_INET) {
        address_from_v4(ends.local, ctx->local_ip4);
        address_from_v4(ends.remote, ctx->remote_ip4);
    } else {
        address_from_v6(ends.local, ctx->local_ip6);
        address_from_v6(ends.remote, ctx->remote_ip6);
    }
    struct caller *caller = sk ? bpf_sk_storage_get(&connecting, sk, NULL, 0) : NULL;
    if (!caller || bpf_map_update_elem(&callers, &ends, caller, BPF_ANY) != 0)
        bpf_map_delete_elem(&callers, &ends);
    if (caller)
        bpf_sk_storage_delete(&connecting, sk);
}

SEC("sockops")
int caller_bind(struct bpf_sock_ops *ctx) {
    if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
        bind_caller(ctx);
    return 1;
}

/* ------------------------------------------------------------------------------------------------------- the answer */

SEC("cgroup/getsockopt")
int caller_answer(struct bpf_sockopt *ctx) {
    if (ctx->level != CALLER_LEVEL)
        return 1;
    struct bpf_sock *sk = ctx->sk;
    struct caller *to = ctx->optval, *caller;
    if (ctx->optname != CALLER_OPTION || !sk || (void *)(to + 1) > ctx->optval_end)
        return 1;
    struct ends ends = {
        .netns = bpf_get_netns_cookie(ctx), .local_port = sk->dst_port, .remote_port = bpf_htons((__u16)sk->src_port)};
    if (sk->family == WEIR_AF_INET) {
        address_from_v4(ends.local, sk->dst_ip4);
        address_from_v4(ends.remote, sk->src_ip4);
    } else {
        address_from_v6(ends.local, sk->dst_ip6);
        address_from_v6(ends.remote, sk->src_ip6);
    }
    caller = bpf_map_lookup_elem(&callers, &ends);
    if (!caller)
        return 1;
    *to = *caller;
    *(volatile __s32 *)&ctx->optlen = sizeof(*to); /* not both in one: the verifier minds */
    *(volatile __s32 *)&ctx->retval = 0;
    return 1;
}
