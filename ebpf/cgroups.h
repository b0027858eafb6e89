/* Names of cgroups: the kernel programs know them by id, people by their path. */
#ifndef WEIR_EBPF_CGROUPS_H
#define WEIR_EBPF_CGROUPS_H

#include <stddef.h>
#include <stdint.h>

struct cgroups {
    struct cgroup_name {
        uint64_t id;
        char *path; /* from the root of the hierarchy: "/", "/system.slice/nginx.service" */
    } * list;       /* in order of id */
    size_t count;
};

enum { CGROUPS_MAX = 65536 };

/* Walks the hierarchy that is mounted at `root`; what comes and goes meanwhile may be missing.  0 or -errno. */
int cgroups_read(const char *root, struct cgroups *ret_cgroups);
void cgroups_clear(struct cgroups *);
/* NULL: there is no such cgroup (any more). */
const char *cgroups_path(const struct cgroups *, uint64_t id);

#endif
