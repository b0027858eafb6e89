#include "counting.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ebpf/count.skel.h"

static const char FEATURE[] = "count";

struct counting {
    struct count_bpf *programs; /* NULL: another agent's */
    int rows, link;
};

/* The rows that all others share when there is no room have their place from the beginning. */
static int reserve_shared_rows(int rows) {
    static const struct count_row none;
    for (unsigned i = 0; i < 4; i++) {
        struct count_key key = {.direction = i & 1 ? COUNT_IN : COUNT_OUT, .family = i & 2 ? 4 : 6};
        if (bpf_map_update_elem(rows, &key, &none, BPF_NOEXIST) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int pin_maps(const struct ebpf *ebpf, const struct count_bpf *programs) {
    int error = pins_folder(&ebpf->pins, FEATURE, COUNT_VERSION);
    if (!error)
        error = pins_map(&ebpf->pins, FEATURE, COUNT_VERSION, programs->maps.rows);
    if (!error)
        error = pins_map(&ebpf->pins, FEATURE, COUNT_VERSION, programs->maps.seen_of);
    return error;
}

/* 0, or -errno with what could not be done. */
static int start(struct counting *counting, const struct ebpf *ebpf, const char **ret_doing) {
    *ret_doing = "open the program";
    counting->programs = count_bpf__open();
    if (!counting->programs)
        return -errno;
    *ret_doing = "pin the counters";
    int error = pin_maps(ebpf, counting->programs);
    if (error)
        return error;
    *ret_doing = "load the program";
    error = count_bpf__load(counting->programs);
    if (error)
        return error;
    counting->rows = dup(bpf_map__fd(counting->programs->maps.rows));
    error = counting->rows < 0 ? -errno : reserve_shared_rows(counting->rows);
    if (error)
        return error;
    *ret_doing = "attach to the cgroup";
    counting->link = pins_attach(&ebpf->pins, FEATURE, COUNT_VERSION, "count", counting->programs->progs.count,
                                 ebpf->cgroup_fd);
    return counting->link < 0 ? counting->link : pins_remove(&ebpf->pins, FEATURE, COUNT_VERSION);
}

static int read_only(struct counting *counting, const struct ebpf *ebpf, const char **ret_doing) {
    *ret_doing = "read the other agent's counters";
    counting->rows = pins_read_map(&ebpf->pins, FEATURE, COUNT_VERSION, "rows");
    return counting->rows < 0 ? counting->rows : 0;
}

struct counting *counting_open(struct ebpf *ebpf, struct ebpf_feature *feature) {
    struct counting *counting = calloc(1, sizeof *counting);
    const char *doing = "get memory";
    int error = -ENOMEM;
    if (counting) {
        *counting = (struct counting){.rows = -1, .link = -1};
        error = ebpf_reads_only(ebpf) ? read_only(counting, ebpf, &doing) : start(counting, ebpf, &doing);
    }
    if (error == 0) {
        ebpf_feature_on(feature, ebpf_reads_only(ebpf) ? "another agent counts; its counters are read here"
                                 : ebpf->pins.root[0]  ? ""
                                                       : "not pinned: the counters end with this agent");
        return counting;
    }
    ebpf_feature_off(feature, doing, error);
    counting_close(counting);
    return NULL;
}

void counting_close(struct counting *counting) {
    if (!counting)
        return;
    if (counting->link >= 0)
        close(counting->link);
    if (counting->rows >= 0)
        close(counting->rows);
    count_bpf__destroy(counting->programs);
    free(counting);
}

int counting_read(const struct counting *counting, struct counting_row **ret_rows, size_t *ret_count) {
    struct counting_row *rows = calloc(COUNT_ROWS_MAX, sizeof *rows);
    struct count_key *key = NULL;
    size_t count = 0;
    if (!rows)
        return -ENOMEM;
    while (count < COUNT_ROWS_MAX && bpf_map_get_next_key(counting->rows, key, &rows[count].key) == 0) {
        key = &rows[count].key;
        if (bpf_map_lookup_elem(counting->rows, key, &rows[count].counts) == 0)
            count++;
    }
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}
