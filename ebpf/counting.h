/* Counts per port: loads the programs, attaches them, reads the rows. */
#ifndef WEIR_EBPF_COUNTING_H
#define WEIR_EBPF_COUNTING_H

#include <stddef.h>

#include "ebpf/count.h"
#include "ebpf/ebpf.h"

struct counting;

/* NULL, with the reason in the feature, if it cannot be. */
struct counting *counting_open(struct ebpf *, struct ebpf_feature *);
void counting_close(struct counting *);

struct counting_row {
    struct count_key key;
    struct count_row counts;
};
/* All rows, unordered, malloc'ed.  0 or -errno. */
int counting_read(const struct counting *, struct counting_row **ret_rows, size_t *ret_count);

#endif
