/* What the programs want to know of the process that they run in. */
#ifndef WEIR_EBPF_PROCESS_H
#define WEIR_EBPF_PROCESS_H

#include "ebpf/kernel.h"

enum { PROCESS_NAMESPACES_MAX = 8, PROCESS_CGROUPS_MAX = 12 };

/* Its main thread. */
static __always_inline struct task_struct *process_now(void) {
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    return BPF_CORE_READ(task, group_leader);
}

/* Its number in the pid namespace of that inode; 0 = it has none there. */
static __always_inline __u32 process_number(struct task_struct *process, __u32 namespace) {
    struct pid *pid = BPF_CORE_READ(process, thread_pid);
    struct upid *numbers = (void *)pid + bpf_core_field_offset(pid->numbers);
    __u32 level = BPF_CORE_READ(pid, level);
    for (__u32 i = 0; i < PROCESS_NAMESPACES_MAX && i <= level; i++) {
        struct upid number;
        bpf_probe_read_kernel(&number, sizeof(number), numbers + i);
        if (BPF_CORE_READ(number.ns, ns.inum) == namespace)
            return (__u32)number.nr;
    }
    return 0;
}

static __always_inline __u64 process_exe_inode(struct task_struct *process) {
    return BPF_CORE_READ(process, mm, exe_file, f_inode, i_ino);
}

static __always_inline struct cgroup *process_cgroup(struct task_struct *process) {
    return BPF_CORE_READ(process, cgroups, dfl_cgrp);
}

/* The one that it is in; its first member is what children point to. */
static __always_inline struct cgroup *cgroup_above(struct cgroup *cgroup) {
    return (struct cgroup *)BPF_CORE_READ(cgroup, self.parent);
}

#endif
