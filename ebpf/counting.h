/* Counts per port: loads the programs, attaches them, reads the rows. */
#ifndef WEIR_EBPF_COUNTING_H
#define WEIR_EBPF_COUNTING_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "ebpf/count.h"
#include "ebpf/ebpf.h"

struct counting;

/* NULL, with the reason in EBPF_COUNT, if it cannot be.  Without the pass over open connections, whose reason is in
 * EBPF_OPEN, connections are counted when they end. */
struct counting *counting_open(struct ebpf *);
void counting_close(struct counting *);

/* Adds to the rows what open connections have done since the last pass, and lists the listening sockets of this network
 * namespace, malloc'ed.  Costs about half a microsecond a socket.  0, or -errno: -EOPNOTSUPP where EBPF_OPEN is off. */
int counting_pass(struct counting *, struct count_listener **ret_listeners, size_t *ret_count);

struct counting_row {
    struct count_key key;
    struct count_row counts;
    struct count_open open; /* all zero without a pass */
};
/* All rows that anything happened in, unordered, malloc'ed.  0 or -errno. */
int counting_read(const struct counting *, struct counting_row **ret_rows, size_t *ret_count);

/* When the counters began, Unix time; 0 = unknown. */
time_t counting_since(const struct counting *);

/* Makes room where little is left: rows without an open connection that `is_dead` says are final go
 * into the row of port 0 of their kind.  The number of rows that went. */
size_t counting_trim(struct counting *, const struct counting_row *rows, size_t count,
                     bool (*is_dead)(void *context, const struct count_key *), void *context);

/* Connections accepted so far on a port of a network namespace, IPv4 and IPv6; 0 if that cannot be read. */
uint64_t counting_opened(const struct counting *, uint32_t netns, uint16_t port);

#endif
