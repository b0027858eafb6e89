/* The kernel side of weir: programs that count, limit and identify callers, each of them a feature that is on or says
 * why it is not.  What is missing on this kernel, or not permitted, switches one feature off and nothing else. */
#ifndef WEIR_EBPF_EBPF_H
#define WEIR_EBPF_EBPF_H

#include <stdbool.h>

#include "ebpf/pins.h"

/* A line per feature: enumerator, name, what it is. */
#define EBPF_FEATURES_TABLE(X)                                                                                         \
    X(EBPF_COUNT, "count", "counts per port")                                                                          \
    X(EBPF_OPEN, "open", "counts of connections that are still open")                                                  \
    X(EBPF_OWNERS, "owners", "owners of listening sockets")                                                            \
    X(EBPF_GUARD, "guard", "limits for programs without a shim")                                                       \
    X(EBPF_CALLER, "caller", "callers on this host, for rules with unit:, comm: and uid:")

enum ebpf_feature_id {
#define EBPF_ENUMERATOR(id, name, help) id,
    EBPF_FEATURES_TABLE(EBPF_ENUMERATOR)
#undef EBPF_ENUMERATOR
        EBPF_FEATURES
};

struct ebpf_feature {
    const char *name, *help;
    bool on;
    char why[256]; /* why it is off; or a remark */
};

struct ebpf_options {
    const char *pin_root;                         /* NULL: nothing is pinned, all of it ends with this process */
    const char *cgroup;                           /* count what is below this cgroup v2 folder; NULL: all of the host */
    void (*log)(void *context, const char *line); /* what libbpf has to say; or NULL */
    void *log_context;
};

struct ebpf {
    struct ebpf_options options;
    struct pins pins;
    char unpinned[192];              /* why nothing is pinned; "": it is */
    char cgroup_root[PINS_PATH_MAX]; /* where cgroup v2 is mounted */
    int cgroup_fd;                   /* the folder that programs are attached to, or -1 */
    struct ebpf_feature feature[EBPF_FEATURES];
    struct counting *counting; /* or NULL */
    struct guarding *guarding; /* or NULL */
    struct calling *calling;   /* or NULL */
    struct owners *owners;     /* or NULL */
};

/* Never fails for want of rights or of something in the kernel: features are off then.  NULL without memory. */
struct ebpf *ebpf_open(const struct ebpf_options *);
/* What is pinned goes on. */
void ebpf_close(struct ebpf *);
/* All off, for the reason given: what an agent shows that has not tried. */
struct ebpf *ebpf_open_off(const char *why);

/* Removes everything that is pinned below `pin_root`, so that no program, map or link of weir is left in the kernel.
 * 0; -EBUSY an agent is still using it; -errno. */
int ebpf_uninstall(const char *pin_root);

/* For the features' own modules.  `doing` says what failed, `error` is -errno. */
void ebpf_feature_on(struct ebpf_feature *, const char *remark);
void ebpf_feature_off(struct ebpf_feature *, const char *doing, int error);
void ebpf_feature_left_out(struct ebpf_feature *, const char *why);
/* The place of a cgroup v2 mount from its line of /proc/self/mountinfo; false if the line is of something else.  Pure.
 */
bool ebpf_parse_mount(const char *line, char ret_place[static PINS_PATH_MAX]);
/* Is a pin root there that another agent owns?  Then features only read. */
bool ebpf_reads_only(const struct ebpf *);

#endif
