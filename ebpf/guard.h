/* What the guard's kernel programs (guard.bpf.c) and their loader (guard.c) share: limits on TCP connections for
 * programs without a shim.  A guard is one resource of one app, "tcp::PORT" or "tcp:ADDRESS:PORT", with its limits. */
#ifndef WEIR_EBPF_GUARD_H
#define WEIR_EBPF_GUARD_H

#include <linux/types.h>

#include "ebpf/guard_rate.h"

enum { GUARD_VERSION = 2 }; /* of everything here: guards of another version are not taken up */
enum {
    GUARD_MAX = 256,         /* guards on one host */
    GUARD_LIMITS_MAX = 4,    /* limits of one */
    GUARD_PLACES_MAX = 4096, /* addresses that lead to them */
    GUARD_MEMBERS_MAX = 64,  /* descriptions of who an app's processes are */
    GUARD_SHIMS_MAX = 16384, /* processes with a shim */
    GUARD_MARKS = 16384,     /* a power of two */
    GUARD_EXE_MAX = 32,      /* bytes compared of a program's file name */
};

enum guard_kind { GUARD_NONE, GUARD_RATE, GUARD_IN_FLIGHT };
enum guard_mode { GUARD_ENFORCE, GUARD_SIMULATE };

/* The words that the kernel and the agent write are never the same ones. */
struct guard_limit {
    __u32 kind, mode; /* enum guard_kind, guard_mode */
    __u32 most; /* of GUARD_IN_FLIGHT; a rate's numbers are in the map of rates, at guard * GUARD_LIMITS_MAX + limit */
    __u32 reserved;
    __u64 refused, simulated; /* atomic; what this limit refused, or would have */
};

struct guard {
    __u32 epoch;  /* another one with each use of this place: a connection of a former use does not count; 0 = free */
    __u32 app;    /* of outbound ones: index as in guard_member */
    __u32 off;    /* everything passes (`weir off`) */
    __u32 counts; /* there is a GUARD_IN_FLIGHT among them */
    __u64 flight; /* atomic; connections << 32 | admitted and not established yet */
    __u64 passed, refused, simulated; /* atomic; connections */
    struct guard_limit limit[GUARD_LIMITS_MAX];
    /* Of the kernel alone (guard_flood.h): when it last looked, until when it is flooded; connections that began, also
     * as of that look and of the beginning of an epoch, and how many of them were established. */
    __u64 looked_ns, flood_ns, begun, begun_before, begun_base, base_ns, made;
};

/* Whose place it is: written and read by the agent alone, so that the next one finds its guards again. */
struct guard_name {
    char app[64];
    char resource[216];
    __u32 side;
    __u32 reserved;
    __u64 rule[GUARD_LIMITS_MAX]; /* id_hash of each limit's rule; 0 = none */
    __u64 counted_passed, counted_refused,
        counted_simulated;                 /* what of the guard's counts is in the app's counters already */
    __u64 told_limit[GUARD_LIMITS_MAX][2]; /* refused, simulated */
};

/* Where a connection goes: to a listener here, or from an app to a destination. IPv4 is ::ffff:a.b.c.d. */
enum guard_side { GUARD_INBOUND, GUARD_OUTBOUND };
struct guard_place {
    __u8 address[16]; /* of a listener on any address of its family all zero but for ::ffff */
    __u16 port;       /* host order */
    __u16 side;
    __u32 app; /* outbound */
};

/* Who belongs to an app: all that is given must hold; the first of the list that holds decides. */
struct guard_member {
    __u32 app;   /* index + 1; 0 ends the list */
    __u32 level; /* of the cgroup */
    __u64 cgroup;
    __u64 exe_inode;
    __u32 uid, has_uid;
    char exe[GUARD_EXE_MAX]; /* the file's name, cut */
    char comm[16];
    __u32 never, reserved; /* names a cgroup or program that is not there */
};

struct guard_control {   /* the agent writes, once a second */
    __u64 alive_ns;      /* bpf_ktime_get_ns(): the last heartbeat */
    __u64 patience_ns;   /* without one for so long all limits are lifted */
    __u64 netns_cookie;  /* of the namespace whose listeners these are */
    __u32 pid_namespace; /* inode of the one in which the agent sees processes */
    __u32 reserved;
    __u8 inbound[8192], outbound[8192]; /* a bit for each port that any guard is about */
};

#endif
