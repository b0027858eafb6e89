/* Is a process protected, and if not, why not: from what /proc shows of it and what agents say of it.  Pure. */
#ifndef WEIR_AGENT_COVERAGE_H
#define WEIR_AGENT_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "agent/process/process_facts.h"

enum coverage_cause {
    COVERAGE_PROTECTED, /* no cause: the shim is in it, works, and has rules */
    COVERAGE_GUARDED,   /* by the kernel: rules on its port are enforced there */
    COVERAGE_UNKNOWN,   /* we may not look into it */
    /* The shim cannot get in. */
    COVERAGE_GO,
    COVERAGE_STATIC,
    COVERAGE_LIBC,
    COVERAGE_FOREIGN,
    COVERAGE_SETUID,
    COVERAGE_SECURE,
    /* It could, and did not. */
    COVERAGE_LIBRARY,
    COVERAGE_SCRUBBED,
    COVERAGE_BEFORE,
    COVERAGE_UNSET,
    /* It is in, and does nothing. */
    COVERAGE_DISABLED,
    COVERAGE_NAMESPACE,
    COVERAGE_NO_AGENT,
    COVERAGE_VERSION,
    COVERAGE_REFUSED,
    COVERAGE_NO_APP,
    COVERAGE_FILTERED,
    COVERAGE_ADDRESS_SPACE,
    COVERAGE_UNATTACHED,
    COVERAGE_OFF,
    COVERAGE_NO_RULES,
    /* It is in, and does not see the traffic. */
    COVERAGE_IO_URING,
    COVERAGE_RAW,
    COVERAGE_PARTLY,
    COVERAGE_UNREAD,
    COVERAGE_CAUSES
};

enum coverage_traffic {
    COVERAGE_TRAFFIC_UNKNOWN,
    COVERAGE_TRAFFIC_SEEN,
    COVERAGE_TRAFFIC_PARTLY,
    COVERAGE_TRAFFIC_UNSEEN,
};
enum coverage_answer { COVERAGE_ANSWER_NONE, COVERAGE_ANSWER_NO_APP, COVERAGE_ANSWER_REFUSED, COVERAGE_ANSWER_VERSION };

/* What agents, and the unit's drop-in, say of a process. */
struct coverage_view {
    bool agent;                  /* one answers in the process's run directory */
    bool listed;                 /* as attached */
    bool has_asked;              /* to be: an agent was there when its program started, which is when the shim asks */
    bool off, no_rules;          /* its app */
    bool short_of_memory;        /* it got none for the rules, as it says itself */
    bool guarded;                /* rules on its port are enforced in the kernel */
    enum coverage_answer answer; /* what the agent answered when it asked to be attached */
    time_t named_since;          /* a rules file's "match" names it since then; 0 = none does */
    time_t enabled_since;        /* the shim is set up for it since then: drop-in, /etc/ld.so.preload; 0 = it is not */
    enum coverage_traffic traffic;
    bool unread; /* its connections come in, and no call that reads from them is seen */
};

/* `library` is libweir.so's file, for the word size; NULL = unknown. */
enum coverage_cause coverage_judge(const struct process_facts *, const struct coverage_view *,
                                   const struct program_file *library);

/* A word for machines ("static"), and a phrase for people ("statically linked"). */
const char *coverage_id(enum coverage_cause);
const char *coverage_phrase(enum coverage_cause);
/* Is its traffic decided by rules? */
bool coverage_is_protected(enum coverage_cause);

/* How much of a port's traffic the shim has seen, of two counts of connections over the same time.  They are never read
 * in one instant, so a difference of a few is none: see COVERAGE_SLACK.  Share 0…1, or -1: nothing came, nothing to
 * say. */
enum { COVERAGE_SLACK = 3 };
double coverage_share(uint64_t kernel_connections, uint64_t shim_connections);
enum coverage_traffic coverage_traffic_of(uint64_t kernel_connections, uint64_t shim_connections);

#endif
