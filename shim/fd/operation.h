/* One reading or writing call of the application on a descriptor that is not plain: what is to be done with it, and the
 * clean-up after it.  Every wrapper of the table goes through these two (wrappers.c). */
#ifndef WEIR_SHIM_OPERATION_H
#define WEIR_SHIM_OPERATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "shim/fd/connection.h"
#include "shim/process/reentry.h"

enum operation_way {
    OPERATION_REAL,   /* the real call, and nothing more */
    OPERATION_AWAIT,  /* the real call, then operation_awaited: an outbound connection's first bytes */
    OPERATION_STREAM, /* by way of the stream, then operation_end */
};

struct operation {
    int fd, saved_errno;
    uint64_t word;
    struct connection *connection;
    struct stream *stream;
    struct reentry_op *op;
    uint32_t serial;
};

/* `frame`: __builtin_frame_address(0) of the wrapper. */
enum operation_way operation_begin(struct operation *operation, int fd, const void *frame);
/* Returns true when the descriptor turned out to be no socket: its entry is forgotten, make the real call. */
bool operation_end(struct operation *operation, ssize_t result);
/* Learns from the result of a real call on an outbound connection; returns it. */
ssize_t operation_awaited(struct operation *operation, bool reads, ssize_t result);

#endif
