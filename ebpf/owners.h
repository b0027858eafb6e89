/* Owners of listening sockets, as the kernel reports them: shared by its program and its readers. */
#ifndef WEIR_EBPF_OWNERS_H
#define WEIR_EBPF_OWNERS_H

#include <linux/types.h>

struct listening_owner {
    __u32 pid; /* in the agent's pid namespace; 0 = it is in none that the agent sees */
    __u32 netns;
    __u16 port;
    __u16 zero;
    char comm[16];
};
_Static_assert(sizeof(struct listening_owner) == 28, "no padding");

#ifndef __bpf__
#include <stddef.h>

struct ebpf;
struct owners;

/* NULL, with the reason in EBPF_OWNERS, if it cannot be. */
struct owners *owners_open(struct ebpf *);
void owners_close(struct owners *);
/* A process is there once for each listening socket; malloc'ed.  0 or -errno. */
int owners_read(const struct owners *, struct listening_owner **ret_owners, size_t *ret_count);
#endif

#endif
