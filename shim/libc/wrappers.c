/* The wrappers of reading and writing calls, all alike.  The first line is all that a descriptor costs that does not
 * concern us; the rest stands apart, so that this line needs no stack frame.  What the rest does with a stream is said
 * by the functions via_NAME, of wrappers_read.c and wrappers_write.c, and here for the plainest two. */
#include "shim/libc/wrappers.h"

#include "shim/fd/fd_table.h"
#include "shim/libc/real.h"
#include "shim/process/sandbox.h"

/* (Of the wrapper's own parameters.)  Nothing asked for is nothing, as the kernel has it for every socket. */
#define via_read(...) (size ? stream_read(operation.stream, &(struct iovec){bytes, size}, 1, 0) : 0)
#define via_write(...)                                                                                                 \
    (size ? stream_write(operation.stream, &(struct iovec){(void *)bytes, size}, 1, 0) : real.write(fd, bytes, 0))

enum { /* enum call_kind, by the names of the calls */
       KIND_read = CALL_READ,
       KIND_readv = CALL_READV,
       KIND_recv = CALL_RECV,
       KIND_recvfrom = CALL_RECV,
       KIND___read_chk = CALL_READ,
       KIND___recv_chk = CALL_RECV,
       KIND___recvfrom_chk = CALL_RECV,
       KIND_write = CALL_WRITE,
       KIND_writev = CALL_WRITEV,
       KIND_send = CALL_SEND,
       KIND_sendfile = CALL_SENDFILE,
       KIND_sendfile64 = CALL_SENDFILE,
};

#define WRAPPER(ret, name, params, args, reads)                                                                        \
    static __attribute__((noinline)) ret slow_##name params {                                                          \
        struct operation operation;                                                                                    \
                                                                                                                       \
        switch (operation_begin(&operation, fd, FRAME)) {                                                              \
        case OPERATION_REAL: break;                                                                                    \
        case OPERATION_AWAIT: return operation_awaited(&operation, reads, real.name args);                             \
        case OPERATION_STREAM: {                                                                                       \
            operation.op->kind = KIND_##name;                                                                          \
            ret result = via_##name(&operation, UNPACK args);                                                          \
            if (!operation_end(&operation, result))                                                                    \
                return result;                                                                                         \
        }                                                                                                              \
        }                                                                                                              \
        return real.name args;                                                                                         \
    }                                                                                                                  \
    EXPORTED ret name params {                                                                                         \
        return fd_table_passes(fd) ? real.name args : slow_##name args;                                                \
    }
#define READS(ret, name, params, args) WRAPPER(ret, name, params, args, true)
#define WRITES(ret, name, params, args) WRAPPER(ret, name, params, args, false)
#define OTHER(ret, name, params, args)

SHIM_CALLS(READS, WRITES, OTHER)
