/* The agent's use of the kernel programs (ebpf/): opened at start as the configuration says, shown in the status. */
#ifndef WEIR_AGENT_KERNEL_BPF_H
#define WEIR_AGENT_KERNEL_BPF_H

#include <stdbool.h>

#include "agent/core/json_writer.h"
#include "agent/core/log.h"
#include "ebpf/ebpf.h"

enum bpf_mode {
    BPF_OFF,
    BPF_AUTO,    /* what this kernel has and we may load */
    BPF_REQUIRED /* all of it, or bpf_open fails */
};

struct bpf_settings {
    enum bpf_mode mode;
    const char *pin_root; /* NULL: nothing is pinned */
    const char *cgroup;   /* NULL: the whole host */
    const char *off_why;  /* what the status says where the mode is BPF_OFF */
};

/* 0; -ENOMEM; or -EOPNOTSUPP where all of it is required and a feature is off (which is logged).  `log` stays in use
 * until bpf_close, which `*ret_ebpf` has to go through in any case. */
int bpf_open(const struct bpf_settings *, const struct log *, struct ebpf **ret_ebpf);
void bpf_close(struct ebpf *);
/* Adds "bpf":{"available","why","features":[{"feature","what","on","why"}]}. */
void bpf_report(const struct ebpf *, struct json_writer *);

/* What is pinned goes away: for `weir-agent --uninstall`.  False with a message on stderr. */
bool bpf_uninstall(const char *pin_root);

#endif
