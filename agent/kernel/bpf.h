/* The agent's use of the kernel programs (ebpf/): opened at start as the configuration says, shown in the status. */
#ifndef WEIR_AGENT_BPF_H
#define WEIR_AGENT_BPF_H

#include <stdbool.h>

struct agent;
struct cJSON;

/* 0; or -EOPNOTSUPP where BPF is required and a feature is off (which is logged). */
int bpf_open(struct agent *);
void bpf_close(struct agent *);
/* Adds "bpf":{"available","why","features":[{"feature","what","on","why"}]}. */
void bpf_report(const struct agent *, struct cJSON *root);

/* What is pinned goes away: for `weir-agent --uninstall`.  False with a message on stderr. */
bool bpf_uninstall(const char *pin_root);

#endif
