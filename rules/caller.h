/* Who is at the other end of a connection within this host: what the kernel programs (ebpf/caller.bpf.c) note when a
 * process connects, and report it to the server's shim, which asks by getsockopt(fd, CALLER_LEVEL, CALLER_OPTION).
 * Where no program answers, or the caller is not of this host, the call fails (ENOPROTOOPT). */
#ifndef WEIR_RULES_CALLER_H
#define WEIR_RULES_CALLER_H

#include <linux/types.h>

enum { CALLER_LEVEL = 0x77656972, CALLER_OPTION = 1 }; /* "weir": a level that the kernel does not know */

/* What a rule's limitApp may name a caller by: bits of ruleset_options.callers. */
enum { CALLER_UNIT = 1, CALLER_COMM = 2, CALLER_UID = 4, CALLER_ALL = 7 };

struct caller {
    __u32 uid;      /* the real one, in the first user namespace */
    char comm[16];  /* of the process, NUL-terminated */
    char unit[108]; /* the innermost part of its cgroup's path that is a service or a scope; "" = none */
};

#endif
