#include "owners.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebpf/ebpf.h"
#include "ebpf/iterator.h"
#include "ebpf/owners.skel.h"

struct owners {
    struct owners_bpf *program;
    struct bpf_link *link;
};

static int start(struct owners *owners, const char **ret_doing) {
    struct stat status;
    *ret_doing = "look at its pid namespace";
    if (stat("/proc/self/ns/pid", &status) < 0)
        return -errno;
    *ret_doing = "load the program";
    owners->program = owners_bpf__open();
    if (!owners->program)
        return -errno;
    owners->program->rodata->pid_namespace = (__u32)status.st_ino;
    int error = owners_bpf__load(owners->program);
    if (error)
        return error;
    *ret_doing = "attach the iterator";
    owners->link = bpf_program__attach_iter(owners->program->progs.owners, NULL);
    return owners->link ? 0 : -errno;
}

struct owners *owners_open(struct ebpf *ebpf) {
    struct ebpf_feature *feature = &ebpf->feature[EBPF_OWNERS];
    struct owners *owners = calloc(1, sizeof *owners);
    const char *doing = "get memory";
    int error = owners ? start(owners, &doing) : -ENOMEM;
    if (!error) {
        ebpf_feature_on(feature, "");
        return owners;
    }
    ebpf_feature_off(feature, doing, error);
    owners_close(owners);
    return NULL;
}

void owners_close(struct owners *owners) {
    if (!owners)
        return;
    bpf_link__destroy(owners->link);
    owners_bpf__destroy(owners->program);
    free(owners);
}

int owners_read(const struct owners *owners, struct listening_owner **ret_owners, size_t *ret_count) {
    char *bytes = NULL;
    size_t size = 0;
    int error = iterator_read(bpf_link__fd(owners->link), &bytes, &size);
    if (error)
        return error;
    *ret_owners = (struct listening_owner *)(void *)bytes;
    *ret_count = size / sizeof **ret_owners;
    return 0;
}
