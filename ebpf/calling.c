#include "calling.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ebpf/caller.skel.h"

static const char FEATURE[] = "caller";
enum { VERSION = 1 }; /* of what the maps hold */

enum hook { HOOK_ANSWER, HOOK_BIND, HOOK_CONNECT4, HOOK_CONNECT6, HOOKS };
static const char *const HOOK_NAMES[HOOKS] = {"answer", "bind", "connect4", "connect6"};

struct calling {
    const struct ebpf *ebpf;
    struct caller_bpf *programs;
    int link[HOOKS]; /* or -1 */
};

static int pin_maps(const struct ebpf *ebpf, const struct caller_bpf *programs) {
    int error = pins_folder(&ebpf->pins, FEATURE, VERSION);
    if (!error)
        error = pins_map(&ebpf->pins, FEATURE, VERSION, programs->maps.callers);
    if (!error)
        error = pins_map(&ebpf->pins, FEATURE, VERSION, programs->maps.connecting);
    return error;
}

/* 0, or -errno with what could not be done. */
static int start(struct calling *calling, const char **ret_doing) {
    *ret_doing = "open the programs";
    calling->programs = caller_bpf__open();
    if (!calling->programs)
        return -errno;
    *ret_doing = "pin their memory";
    int error = pin_maps(calling->ebpf, calling->programs);
    if (error)
        return error;
    *ret_doing = "load the programs";
    error = caller_bpf__load(calling->programs);
    return error ? error : pins_remove(&calling->ebpf->pins, FEATURE, VERSION);
}

struct calling *calling_open(struct ebpf *ebpf, struct ebpf_feature *feature) {
    if (ebpf_reads_only(ebpf)) {
        ebpf_feature_left_out(feature, "the agent that counts does this");
        return NULL;
    }
    struct calling *calling = calloc(1, sizeof *calling);
    const char *doing = "get memory";
    int error = -ENOMEM;
    if (calling) {
        calling->ebpf = ebpf;
        for (int i = 0; i < HOOKS; i++)
            calling->link[i] = -1;
        error = start(calling, &doing);
    }
    if (error == 0) {
        ebpf_feature_on(feature, "");
        return calling;
    }
    ebpf_feature_off(feature, doing, error);
    calling_close(calling);
    return NULL;
}

void calling_close(struct calling *calling) {
    if (!calling)
        return;
    for (int i = 0; i < HOOKS; i++)
        if (calling->link[i] >= 0)
            close(calling->link[i]);
    caller_bpf__destroy(calling->programs);
    free(calling);
}

static const struct bpf_program *program_of(const struct calling *calling, enum hook hook) {
    const struct bpf_program *const programs[HOOKS] = {
        [HOOK_ANSWER] = calling->programs->progs.caller_answer,
        [HOOK_BIND] = calling->programs->progs.caller_bind,
        [HOOK_CONNECT4] = calling->programs->progs.caller_connect4,
        [HOOK_CONNECT6] = calling->programs->progs.caller_connect6,
    };
    return programs[hook];
}

static int hang(struct calling *calling, enum hook hook, bool wanted) {
    const struct pins *pins = &calling->ebpf->pins;
    int *link = &calling->link[hook];
    if (!wanted) {
        if (*link >= 0)
            close(*link);
        *link = -1;
        return pins_detach(pins, FEATURE, VERSION, HOOK_NAMES[hook]);
    }
    if (*link >= 0)
        return 0;
    int made = pins_attach(pins, FEATURE, VERSION, HOOK_NAMES[hook], program_of(calling, hook),
                           calling->ebpf->cgroup_fd);
    if (made < 0)
        return made;
    *link = made;
    return 0;
}

/* The program that binds is attached before the one that notes, so that nothing noted is left lying about. */
int calling_want(struct calling *calling, bool wanted) {
    int first = 0;
    for (int hook = 0; hook < HOOKS; hook++) {
        int error = hang(calling, (enum hook)(wanted ? hook : HOOKS - 1 - hook), wanted);
        first = first ? first : error;
    }
    return first;
}
