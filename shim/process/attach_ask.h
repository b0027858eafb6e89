/* The talk with the agent over its socket: who am I, where is my memory; never waiting longer than given, and no
 * descriptor left open where the application would find it. */
#ifndef WEIR_SHIM_ATTACH_ASK_H
#define WEIR_SHIM_ATTACH_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/attach.h"

enum { ATTACH_PATH_MAX = 108 }; /* of a socket address */

struct ask {                /* a question under way */
    int fd;                 /* -1 = none */
    uint64_t device, inode; /* of the socket: should the application have closed it, its number may be another file's */
    uint64_t since_ns;
};

struct ask_answer {
    struct attach_reply reply;
    int fds[2]; /* rules, counters; -1 unless reply.status is ATTACH_OK */
};

enum ask_result { ASK_WAITING, ASK_ANSWERED, ASK_FAILED };

/* Connects and sends.  False: no agent is there.  Never blocks. */
bool ask_begin(struct ask *, const char *path, const struct attach_hello *, uint64_t now_ns);
/* Is there an answer?  Waits up to `timeout_ms`.  In every case but ASK_WAITING the question is over; its socket stays
 * open for ask_tell if `keep`. */
enum ask_result ask_poll(struct ask *, int timeout_ms, bool keep, struct ask_answer *ret_answer);
bool ask_tell(struct ask *, const struct attach_hello *); /* sends what needs no answer */
void ask_end(struct ask *);
void ask_forget(struct ask *); /* in a forked child: only our copy is closed; no system call before the next one here */

/* Connects, sends, closes.  Never blocks. */
bool ask_once(const char *path, const struct attach_hello *);

#endif
