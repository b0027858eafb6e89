/* What is counted for each port, shared by the kernel programs and what reads them. */
#ifndef WEIR_EBPF_COUNT_H
#define WEIR_EBPF_COUNT_H

#include <linux/types.h>

enum { COUNT_VERSION = 1 }; /* of everything here: counters of another version are not taken up */
enum { COUNT_IN = 1, COUNT_OUT = 2 };
enum { COUNT_ROWS_MAX = 16384 };

/* One row: what went in over a port of this host, or out to any port, IPv4 and IPv6 apart.  What finds no
 * room counts under port 0. */
struct count_key {
    __u64 cgroup; /* id of the caller's cgroup; 0 = not distinguished (in), or unknown */
    __u32 netns;  /* inode of the network namespace; 0 = not distinguished */
    __u16 port;
    __u8 direction; /* COUNT_IN, COUNT_OUT */
    __u8 family;    /* 4, 6 */
};
_Static_assert(sizeof(struct count_key) == 16, "no padding: keys are compared byte by byte");

/* All of them only grow. */
struct count_row {
    __u64 attempts; /* in: connection requests (SYNs) taken up; out: SYNs sent, their repetitions not counted */
    __u64 opened;   /* established */
    __u64 closed;   /* of the opened ones */
    __u64 refused;  /* out: answered with a reset.  (In: see the listener's drops.) */
    __u64 failed;   /* out: given up, by the caller or after a time-out */
    __u64 bytes_in, bytes_out; /* of the streams: payload, each byte once */
    __u64 segments_in, segments_out;
    __u64 retransmits;       /* segments sent again */
    __u64 rtt_us, rtt_count; /* sum of the smoothed RTT of connections at their end, and how many had one */
};
_Static_assert(sizeof(struct count_row) == 96, "the size of a pinned map's values");

/* Of a row, what is open now, as the last pass over the sockets of the reader's network namespace has found it. */
struct count_open {
    __u64 pass;        /* of an earlier one: nothing is open */
    __u64 connections; /* established and not ended */
    __u64 unwatched;   /* of these, begun before counting began: in no row's `opened` */
    __u64 rtt_us, rtt_count;
};

/* A listening socket, as the pass reports it. */
struct count_listener {
    __u32 netns;
    __u16 port;
    __u8 family;
    __u8 zero;
    __u32 drops;         /* since it listens: connections that found the accept queue full, bad packets */
    __u32 waiting, room; /* in the accept queue */
    __u32 address[4];    /* network order; IPv4 in the last */
};
_Static_assert(sizeof(struct count_listener) == 36, "no padding");

#endif
