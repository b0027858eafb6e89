/* A seccomp filter that the application put on itself after its start, as sshd, vsftpd and tor do.  Such a filter lists
 * what the program itself calls, and often ends the process for everything else.  From then on the shim makes the
 * application's own calls and no others (OWNn of syscall_raw.h): it asks no agent, opens nothing, sleeps nowhere.  What
 * it needs of the kernel it takes just before (lifecycle_before_filter).  So a request that would have to wait is
 * rejected, and a rejection that no call known to be allowed can carry to the client is an ECONNRESET of the
 * application's read.
 *
 * A filter that was there before the program (Docker's, SystemCallFilter=) changes nothing: it was written for whatever
 * runs under it.  The state is the process's, although a filter may be one thread's: cautious for the others.  Any
 * thread. */
#ifndef WEIR_SHIM_SANDBOX_H
#define WEIR_SHIM_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/libc/syscall_raw.h"

/* Kinds of calls that show bytes or end a connection. */
enum call_kind {
    CALL_NONE,
    CALL_READ,
    CALL_READV,
    CALL_RECV, /* and recvfrom() */
    CALL_RECVMSG,
    CALL_RECVMMSG,
    CALL_WRITE,
    CALL_WRITEV,
    CALL_SEND, /* and sendto() */
    CALL_SENDMSG,
    CALL_SENDMMSG,
    CALL_SENDFILE,
    CALL_CLOSE,
    CALL_SHUTDOWN,
};

/* Is there one?  An operation rather than a function: on the way of every read and write. */
#define sandbox_on() (__builtin_expect(__atomic_load_n(&raw_restricted, __ATOMIC_RELAXED), 0))

/* A filter is about to be installed: everything is prepared, and what was known to be allowed is known no more.
 * `before`: as of sandbox_on() before that. */
void sandbox_begin(void);
void sandbox_failed(bool before); /* it was not installed */

/* The application made such a call under the filter, and goes on. */
void sandbox_note(enum call_kind);
bool sandbox_allows(enum call_kind); /* so it did before */

/* The process's own number, also where the kernel may not be asked: in a child of fork() it is that of its one
 * thread. */
uint32_t sandbox_process_id(void);

#endif
