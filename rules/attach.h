/* What a process and the agent say to each other on the agent's socket, $WEIR_RUN_DIR/agent.sock (AF_UNIX,
 * SOCK_SEQPACKET): one struct attach_hello, one struct attach_reply.  The reply to a hello that asks for it carries two
 * descriptors (SCM_RIGHTS): APP.rules read-only, then APP.counters read-write.
 *
 * Messages may grow at their end: who gets a longer one takes of it what it knows, and what an older one does not say
 * is 0.  An agent serves every library that can read the files that it writes (LAYOUT_MIN_READER), and whose files it
 * could have written (`min_writer`); the others get the answer that they are of another layout, and keep the rules they
 * have.
 *
 * Which app a process may be (agent/apps/attach_peer.h has the rule): by its user as SO_PEERCRED says it, by facts of
 * /proc that held while its user was that one, or by the pass of memory that it was given before.  Every number here is
 * checked. */
#ifndef WEIR_RULES_ATTACH_H
#define WEIR_RULES_ATTACH_H

#include <stdint.h>

#include "rules/layout.h"

#define ATTACH_MAGIC 0x72696577u /* "weir" */
#define ATTACH_SOCKET "agent.sock"

enum attach_kind {
    ATTACH_MAP = 1,  /* I am new: which app am I? send me its files */
    ATTACH_SLOT = 2, /* I took slot `slot` of the app's process table by myself: note my pid.  No reply is awaited */
};

enum { ATTACH_EXE_MAX = 256 }; /* bytes of a program's path with the NUL */

struct attach_hello {
    uint32_t magic;
    uint32_t version; /* LAYOUT_VERSION */
    uint32_t kind;
    uint32_t slot;                 /* with ATTACH_SLOT */
    uint64_t owner;                /* with ATTACH_SLOT: the layout_process.owner it wrote */
    char app[LAYOUT_APP_NAME_MAX]; /* WEIR_APP, or the app it was given before; empty: the agent matches by exe, unit, …
                                    */
    uint32_t min_writer;           /* LAYOUT_MIN_WRITER: the oldest layout that it can read */
    uint32_t reserved;
    uint64_t pass[2]; /* layout_rules_header.pass of the memory that it has; 0, 0: it has none */
    /* The link behind /proc/self/exe; "" = unknown.  A claim, as WEIR_APP is one: for agents that may not look. */
    char exe[ATTACH_EXE_MAX];
};
_Static_assert(sizeof(struct attach_hello) == 112 + ATTACH_EXE_MAX, "attach_hello");
enum { ATTACH_HELLO_LEAST = 96, ATTACH_REPLY_LEAST = 80, ATTACH_MESSAGE_MAX = 1024 }; /* bytes */

enum attach_status {
    ATTACH_OK = 0,
    ATTACH_NO_APP = 1,       /* no rules file names or matches this process: pass everything, ask again later */
    ATTACH_OTHER_LAYOUT = 2, /* agent and library are of different versions: pass everything */
    ATTACH_REFUSED = 3,      /* this user may not be that app */
    ATTACH_NO_MEMORY = 4,    /* the shared memory could not be allocated */
};

struct attach_reply {
    uint32_t magic;
    uint32_t version; /* LAYOUT_VERSION */
    uint32_t status;
    uint32_t min_reader; /* LAYOUT_MIN_READER: the oldest library that it serves */
    char app[LAYOUT_APP_NAME_MAX];
};
_Static_assert(sizeof(struct attach_reply) == 80, "attach_reply");

#endif
