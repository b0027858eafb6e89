/* Whose the listening sockets are: every process that holds one, reported as a struct listening_owner.  /proc would
 * shows an agent that is not root only its own user's processes. */
#include "ebpf/kernel.h"
#include "ebpf/owners.h"
#include "ebpf/process.h"

WEIR_BPF_LICENSE;

enum { IPPROTO_TCP_NUMBER = 6 };

const volatile __u32 pid_namespace; /* inode of the one in which the agent sees processes */

SEC("iter/task_file")
int owners(struct bpf_iter__task_file *ctx) {
    struct task_struct *task = ctx->task;
    struct file *file = ctx->file;
    if (!task || !file)
        return 0;
    struct socket *socket = bpf_sock_from_file(file);
    struct sock *sk = socket ? socket->sk : NULL;
    if (!sk || sk->__sk_common.skc_state != WEIR_TCP_LISTEN || sk->sk_protocol != IPPROTO_TCP_NUMBER)
        return 0;
    __u16 family = sk->__sk_common.skc_family;
    if (family != WEIR_AF_INET && family != WEIR_AF_INET6)
        return 0;
    struct listening_owner out = {
        .pid = process_number(task->group_leader, pid_namespace),
        .netns = sk->__sk_common.skc_net.net->ns.inum,
        .port = sk->__sk_common.skc_num,
    };
    bpf_probe_read_kernel_str(out.comm, sizeof out.comm, task->group_leader->comm);
    bpf_seq_write(ctx->meta->seq, &out, sizeof out);
    return 0;
}
