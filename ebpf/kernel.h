/* The few types of the kernel that the programs look into, as far as they look.  CO-RE finds where the fields are in
 * the running kernel, so neither order nor size matters here, only names and types.
 *
 * Programs in this folder (*.bpf.c) are licensed under Apache-2.0 like the rest, or, at your choice, under MIT or
 * GPL-2.0: some helpers want the latter. */
#ifndef WEIR_EBPF_KERNEL_H
#define WEIR_EBPF_KERNEL_H

#include <stdbool.h>
#include <linux/types.h>
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define WEIR_BPF_LICENSE char LICENSE[] SEC("license") = "Dual MIT/GPL"

enum { WEIR_AF_INET = 2, WEIR_AF_INET6 = 10, WEIR_SOL_SOCKET = 1, WEIR_ECONNREFUSED = 111 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
    unsigned int inum;
};
struct net {
    struct ns_common ns;
    __u64 net_cookie;
};
typedef struct {
    struct net *net;
} possible_net_t;

struct kernfs_node {
    __u64 id;
    const char *name;
};
struct cgroup_subsys_state {
    struct cgroup_subsys_state *parent;
};
struct cgroup {
    struct cgroup_subsys_state self; /* first: one for the other */
    struct kernfs_node *kn;
};
struct sock_cgroup_data {
    struct cgroup *cgroup; /* from 5.15 */
};

struct in6_addr {
    union {
        __be32 u6_addr32[4];
    } in6_u;
};
struct sock_common {
    __be32 skc_daddr, skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;
    unsigned short skc_family;
    volatile unsigned char skc_state;
    possible_net_t skc_net;
    unsigned long skc_flags;
    struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};
struct kernel_atomic {
    int counter;
};
struct sock {
    struct sock_common __sk_common;
    struct kernel_atomic sk_drops;
    __u32 sk_ack_backlog, sk_max_ack_backlog;
    int sk_err;
    __u16 sk_protocol;
    struct sock_cgroup_data sk_cgrp_data;
};
struct tcp_sock {
    __u32 segs_in, segs_out, total_retrans, srtt_us;
    __u64 bytes_received, bytes_sent, bytes_retrans;
    __u8 bpf_sock_ops_cb_flags;
};

struct socket {
    struct sock *sk;
};
struct pid_namespace {
    struct ns_common ns;
};
struct upid {
    int nr;
    struct pid_namespace *ns;
};
struct pid {
    unsigned int level;
    struct upid numbers[1];
};
struct inode {
    unsigned long i_ino;
};
struct qstr {
    const unsigned char *name;
};
struct dentry {
    struct qstr d_name;
};
struct path {
    struct dentry *dentry;
};
struct file {
    struct path f_path;
    struct inode *f_inode;
};
struct mm_struct {
    struct file *exe_file;
};
struct css_set {
    struct cgroup *dfl_cgrp;
};
struct task_struct {
    int tgid;
    struct task_struct *group_leader, *real_parent;
    struct pid *thread_pid;
    struct mm_struct *mm;
    struct css_set *cgroups;
    char comm[16];
};

struct seq_file;
struct bpf_iter_meta {
    struct seq_file *seq;
    __u64 session_id, seq_num;
};
struct bpf_iter__task_file {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
    __u32 fd;
    struct file *file;
};
struct bpf_iter__tcp {
    struct bpf_iter_meta *meta;
    struct sock_common *sk_common;
};

#pragma clang attribute pop

/* The numbers of enum tcp_state; they are part of the kernel's interface to user space. */
enum {
    WEIR_TCP_ESTABLISHED = 1,
    WEIR_TCP_SYN_SENT = 2,
    WEIR_TCP_SYN_RECV = 3,
    WEIR_TCP_TIME_WAIT = 6,
    WEIR_TCP_CLOSE = 7,
    WEIR_TCP_LISTEN = 10,
    WEIR_TCP_NEW_SYN_RECV = 12
};

#endif
