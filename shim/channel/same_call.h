/* Reading and writing by calls that the application makes itself, for when no others may be made (sandbox.h). */
#ifndef WEIR_SHIM_CHANNEL_SAME_CALL_H
#define WEIR_SHIM_CHANNEL_SAME_CALL_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "shim/process/reentry.h"

/* By the operation's own kind of call.  What that call cannot express fails: a look that does not block says EAGAIN
 * where the descriptor is not known to be `nonblocking`, everything else EINVAL. */
ssize_t same_call_recv(struct reentry_op *op, bool nonblocking, int fd, const struct iovec *iov, int count, int flags);
/* By the operation's own kind of call if it writes, else by one that the application has made under the filter; EPERM:
 * there is none. */
ssize_t same_call_send(struct reentry_op *op, int fd, const struct iovec *iov, int count, int flags);

#endif
