/* Limits on TCP connections of programs without a shim.
 *
 * Inbound: sk_lookup decides before the listener is found; without one the kernel itself answers with a reset, and the
 * caller gets ECONNREFUSED at once.  Outbound: cgroup/connect4 and 6, in the process that calls.  sock_ops follows the
 * connections of guards that limit how many there are, from their establishment to the server's close.
 *
 * Without a heartbeat of the agent everything passes. */
#include "ebpf/address.h"
#include "ebpf/guard_flood.h"
#include "ebpf/guard_limits.h"
#include "ebpf/guard_maps.h"
#include "ebpf/process.h"

WEIR_BPF_LICENSE;

enum { PROTOCOL_TCP = 6, SOCKET_STREAM = 1, TCP_FIN_WAIT1 = 4, TCP_LAST_ACK = 9 };

/* ------------------------------------------------------------------------------------------------------- the guards */

static __always_inline struct guard_control *control_now(void) {
    __u32 zero = 0;
    return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline bool is_alive(const struct guard_control *c, __u64 now_ns) {
    return (__s64)(now_ns - *(volatile __u64 *)&c->alive_ns) < (__s64)c->patience_ns;
}

static __always_inline bool is_named(const __u8 *ports, __u32 port) {
    return ports[port >> 3 & 8191] >> (port & 7) & 1;
}

static __always_inline struct guard *guard_at(const struct guard_place *place, __u32 *ret_index) {
    const __u32 *found = bpf_map_lookup_elem(&places, place);
    if (!found)
        return NULL;
    *ret_index = *found - 1;
    return bpf_map_lookup_elem(&guards, ret_index); /* NULL: not guarded */
}

/* The listener at this very address, else the one at any address of the family. */
static __always_inline struct guard *guard_of_listener(struct guard_place *place, bool v4, __u32 *ret_index) {
    const __u32 *found = bpf_map_lookup_elem(&places, place);
    if (!found) {
        __builtin_memset(place->address, 0, sizeof(place->address));
        if (v4)
            place->address[10] = place->address[11] = 0xff;
        found = bpf_map_lookup_elem(&places, place);
    }
    if (!found)
        return NULL;
    *ret_index = *found - 1;
    return bpf_map_lookup_elem(&guards, ret_index);
}

/* -------------------------------------------------------------------------------------------------------- addresses */

static __always_inline bool is_v4(const __u8 *address) {
    __u32 words[3];
    __builtin_memcpy(words, address, sizeof(words));
    return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

static __always_inline __u64 mix(__u64 hash, __u64 more) {
    hash = (hash ^ more) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 29;
}

/* Of a connection: its low bits choose the mark, the others are compared. */
static __always_inline __u64 hash_of(const __u8 *remote, __u32 remote_port, __u32 local_port) {
    __u64 words[2];
    __builtin_memcpy(words, remote, sizeof(words));
    return mix(mix(mix(remote_port << 16 | local_port, words[0]), words[1]), 1);
}

/* ---------------------------------------------------------------------------------------------------------- inbound */

SEC("sk_lookup")
int guard_inbound(struct bpf_sk_lookup *ctx) {
    struct guard_control *c = control_now();
    __u32 port = ctx->local_port, index;
    if (ctx->protocol != PROTOCOL_TCP || !c || !is_named(c->inbound, port))
        return SK_PASS;
    __u64 now_ns = bpf_ktime_get_ns();
    if (!is_alive(c, now_ns))
        return SK_PASS;
    struct guard_place place = {.port = (__u16)port, .side = GUARD_INBOUND};
    __u8 remote[16];
    bool v4 = ctx->family == WEIR_AF_INET;
    if (v4) {
        address_from_v4(place.address, ctx->local_ip4);
        address_from_v4(remote, ctx->remote_ip4);
    } else {
        address_from_v6(place.address, ctx->local_ip6);
        address_from_v6(remote, ctx->remote_ip6);
    }
    struct guard *guard = guard_of_listener(&place, v4, &index);
    if (!guard || guard->off || guard->epoch == 0)
        return SK_PASS;
    __u64 hash = hash_of(remote, ctx->remote_port, port);
    if (mark_take(hash, now_ns))
        return SK_PASS;
    look_for_flood(guard, now_ns);
    if (is_flooded(guard, now_ns)) { /* its last ACK is charged: guard_handshake() */
        if (would_refuse(index, now_ns))
            return SK_DROP;
        if (!mark_take(hash ^ SEEN, now_ns))
            __sync_fetch_and_add(&guard->begun, 1);
        mark_set(hash ^ SEEN, mark_word(hash ^ SEEN, now_ns));
        return SK_PASS;
    }
    if (!admit(index, now_ns))
        return SK_DROP;
    __sync_fetch_and_add(&guard->begun, 1);
    mark_set(hash, mark_word(hash, now_ns));
    return SK_PASS;
}

/* ------------------------------------------------------------------------------------- the end of a handshake, inbound
 */

static __always_inline void give_back_held(struct held *held) {
    const struct guard *guard = held->epoch ? bpf_map_lookup_elem(&guards, &held->guard) : NULL;
    if (guard && guard->epoch == held->epoch)
        take_back(held->guard, held->taken_ns);
    held->epoch = 0;
}

/* Called for every packet that comes to a socket of a process; what it is for are those to a listener, in or soon after
 * a flood. */
SEC("cgroup_skb/ingress")
int guard_handshake(struct __sk_buff *skb) {
    struct bpf_sock *sk = skb->sk;
    if (!sk || sk->state != WEIR_TCP_LISTEN)
        return 1;
    struct guard_control *c = control_now();
    __u32 port = sk->src_port, index;
    bool v4 = skb->protocol == bpf_htons(0x0800);
    struct packet packet = {0};
    struct held *held = held_here();
    __u64 now_ns = bpf_ktime_get_ns();
    if (!c || !held || !is_named(c->inbound, port) || !is_alive(c, now_ns))
        return 1;
    struct tcp_sock *listener = bpf_skc_to_tcp_sock(sk);
    if (!listener)
        return 1;
    struct net *net = BPF_CORE_READ((struct sock *)listener, __sk_common.skc_net.net);
    if (BPF_CORE_READ(net, net_cookie) != c->netns_cookie || !packet_read(skb, v4, &packet) ||
        (packet.flags & (FLAG_SYN | FLAG_RST | FLAG_ACK)) != FLAG_ACK)
        return 1;
    struct guard_place place = {.port = (__u16)port, .side = GUARD_INBOUND};
    __builtin_memcpy(place.address, packet.local, sizeof(place.address));
    struct guard *guard = guard_of_listener(&place, v4, &index);
    if (!guard || guard->off || guard->epoch == 0 || !was_flooded(guard, now_ns))
        return 1;
    __u64 hash = hash_of(packet.remote, packet.remote_port, port);
    if (mark_take(hash, now_ns)) /* charged at its SYN */
        return 1;
    give_back_held(held);
    if (!admit(index, now_ns))
        return 0;
    *held = (struct held){.hash = hash, .taken_ns = now_ns, .guard = index, .epoch = guard->epoch};
    return 1;
}

/* --------------------------------------------------------------------------------------------------------- outbound */

static __always_inline bool same_name(const char *one, const char *other, __u32 size) {
    for (__u32 i = 0; i < size; i++) {
        if (one[i] != other[i])
            return false;
        if (one[i] == 0)
            return true;
    }
    return true;
}

struct caller {
    __u64 exe_inode;
    __u32 uid;
    char exe[GUARD_EXE_MAX];
    char comm[16];
};

static __always_inline void caller_now(struct task_struct *process, struct caller *ret_caller) {
    struct file *file = BPF_CORE_READ(process, mm, exe_file);
    const unsigned char *name = BPF_CORE_READ(file, f_path.dentry, d_name.name);
    ret_caller->exe_inode = BPF_CORE_READ(file, f_inode, i_ino);
    ret_caller->uid = (__u32)bpf_get_current_uid_gid();
    bpf_probe_read_kernel_str(ret_caller->exe, sizeof(ret_caller->exe), name);
    bpf_probe_read_kernel_str(ret_caller->comm, sizeof(ret_caller->comm), process->comm);
}

static __always_inline bool is_member(const struct guard_member *m, const struct caller *caller) {
    if (m->never || (m->has_uid && m->uid != caller->uid))
        return false;
    if (m->cgroup && bpf_get_current_ancestor_cgroup_id((int)m->level) != m->cgroup)
        return false;
    if (m->comm[0] && !same_name(m->comm, caller->comm, sizeof(m->comm)))
        return false;
    return !m->exe_inode || (m->exe_inode == caller->exe_inode && same_name(m->exe, caller->exe, sizeof(m->exe)));
}

/* The app of the calling process, its index + 1, or 0. */
static __u32 app_of_caller(struct task_struct *process) {
    struct caller caller = {0};
    caller_now(process, &caller);
    for (__u32 i = 0; i < GUARD_MEMBERS_MAX; i++) {
        __u32 key = i;
        const struct guard_member *member = bpf_map_lookup_elem(&members, &key);
        if (!member || member->app == 0)
            break;
        if (is_member(member, &caller))
            return member->app;
    }
    return 0;
}

/* A forked child goes on under its parent's shim before the agent has heard of it; a program that the process was
 * replaced by does not. */
static bool has_shim(struct task_struct *process, __u32 namespace) {
    __u64 exe = process_exe_inode(process);
    for (int i = 0; i < 2; i++) {
        __u32 number = process_number(process, namespace);
        const __u64 *shim = bpf_map_lookup_elem(&shims, &number);
        if (shim && (*shim == exe || *shim == 0))
            return true;
        process = BPF_CORE_READ(process, real_parent);
    }
    return false;
}

static void follow(struct bpf_sock *sk, struct guard *guard, __u32 index) {
    struct connection *c = bpf_sk_storage_get(&connections, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (!c) {
        unreserve(index);
        return;
    }
    c->guard = index;
    c->epoch = guard->epoch;
    c->established = 0;
}

static __always_inline void release(struct connection *c) {
    struct guard *guard = bpf_map_lookup_elem(&guards, &c->guard);
    if (!guard || guard->epoch != c->epoch)
        return;
    if (!c->established) {
        unreserve(c->guard);
        return;
    }
    for (int i = 0; i < ATTEMPTS; i++) {
        __u64 word = *(volatile __u64 *)&guard->flight;
        if (word >> 32 == 0 || __sync_val_compare_and_swap(&guard->flight, word, word - (1ull << 32)) == word)
            return;
    }
}

/* A socket whose last connect came to nothing tries again. */
static __always_inline void release_former(struct bpf_sock *sk) {
    struct connection *former = bpf_sk_storage_get(&connections, sk, NULL, 0);
    if (!former)
        return;
    release(former);
    bpf_sk_storage_delete(&connections, sk);
}

static __always_inline int outbound(struct bpf_sock_addr *ctx, const __u8 *address) {
    struct guard_control *c = control_now();
    __u32 port = bpf_ntohs((__u16)ctx->user_port), index;
    if (ctx->type != SOCKET_STREAM || ctx->protocol != PROTOCOL_TCP || !c || !is_named(c->outbound, port))
        return 1;
    struct bpf_sock *sk = ctx->sk;
    if (!sk || bpf_get_netns_cookie(ctx) != c->netns_cookie)
        return 1;
    struct guard_place place = {.port = (__u16)port, .side = GUARD_OUTBOUND};
    __builtin_memcpy(place.address, address, sizeof(place.address));
    struct task_struct *process = process_now();
    place.app = app_of_caller(process);
    struct guard *guard = place.app ? guard_at(&place, &index) : NULL;
    if (!guard || guard->epoch == 0 || has_shim(process, c->pid_namespace))
        return 1;
    release_former(sk);
    __u64 now_ns = bpf_ktime_get_ns();
    if (guard->off || !is_alive(c, now_ns))
        return 1;
    if (!admit(index, now_ns)) {
        bpf_set_retval(-WEIR_ECONNREFUSED);
        return 0;
    }
    if (guard->counts)
        follow(sk, guard, index);
    return 1;
}

SEC("cgroup/connect4")
int guard_outbound4(struct bpf_sock_addr *ctx) {
    __u8 address[16];
    address_from_v4(address, ctx->user_ip4);
    return outbound(ctx, address);
}

SEC("cgroup/connect6")
int guard_outbound6(struct bpf_sock_addr *ctx) {
    __u8 address[16];
    address_from_v6(address, ctx->user_ip6);
    return outbound(ctx, address);
}

/* ------------------------------------------------------------------------------------------- while connections last */

static __always_inline void established(struct guard *guard, struct connection *c) {
    for (int i = 0; i < ATTEMPTS; i++) {
        __u64 word = *(volatile __u64 *)&guard->flight;
        __u64 next = word + (1ull << 32) - ((__u32)word > 0);
        if (__sync_val_compare_and_swap(&guard->flight, word, next) == word) {
            c->established = 1;
            return;
        }
    }
}

static __always_inline void watch(struct bpf_sock_ops *ctx) {
    bpf_sock_ops_cb_flags_set(ctx, (int)ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void accepted(struct bpf_sock_ops *ctx) {
    struct guard_control *c = control_now();
    __u32 port = ctx->local_port, index;
    struct bpf_sock *sk = ctx->sk;
    if (!c || !is_named(c->inbound, port) || !sk || bpf_get_netns_cookie(ctx) != c->netns_cookie)
        return;
    struct guard_place place = {.port = (__u16)port, .side = GUARD_INBOUND};
    __u8 remote[16];
    if (ctx->family == WEIR_AF_INET) {
        address_from_v4(place.address, ctx->local_ip4);
        address_from_v4(remote, ctx->remote_ip4);
    } else {
        address_from_v6(place.address, ctx->local_ip6);
        address_from_v6(remote, ctx->remote_ip6);
    }
    struct guard *guard = guard_of_listener(&place, is_v4(place.address), &index);
    if (!guard || guard->epoch == 0)
        return;
    __u64 hash = hash_of(remote, ctx->remote_port >> 16, port);
    __u64 now_ns = bpf_ktime_get_ns();
    struct held *held = held_here();
    if (held && held->epoch && held->hash == hash)
        held->epoch = 0; /* it came about */
    __sync_fetch_and_add(&guard->made, 1);
    if (mark_take(hash, now_ns))
        mark_set(hash, 0);
    if (!guard->counts)
        return;
    struct connection *connection = bpf_sk_storage_get(&connections, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (!connection) {
        unreserve(index);
        return;
    }
    connection->guard = index;
    connection->epoch = guard->epoch;
    established(guard, connection);
    watch(ctx);
}

static __always_inline void connected(struct bpf_sock_ops *ctx) {
    struct bpf_sock *sk = ctx->sk;
    struct connection *c = sk ? bpf_sk_storage_get(&connections, sk, NULL, 0) : NULL;
    struct guard *guard = c ? bpf_map_lookup_elem(&guards, &c->guard) : NULL;
    if (guard && guard->epoch == c->epoch && !c->established)
        established(guard, c);
}

static __always_inline void connecting(struct bpf_sock_ops *ctx) {
    struct bpf_sock *sk = ctx->sk;
    if (sk && bpf_sk_storage_get(&connections, sk, NULL, 0))
        watch(ctx);
}

static __always_inline void changed(struct bpf_sock_ops *ctx, __u32 state) {
    struct bpf_sock *sk = ctx->sk;
    if (sk && (state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK || state == WEIR_TCP_CLOSE))
        release_former(sk);
}

SEC("sockops")
int guard_follow(struct bpf_sock_ops *ctx) {
    switch (ctx->op) {
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB: accepted(ctx); break;
    case BPF_SOCK_OPS_TCP_CONNECT_CB: connecting(ctx); break;
    case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB: connected(ctx); break;
    case BPF_SOCK_OPS_STATE_CB: changed(ctx, ctx->args[1]); break;
    }
    return 1;
}
