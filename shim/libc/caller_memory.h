/* Arrays and structures of the caller that a wrapper has to look at before the kernel has judged them: a bad pointer is
 * the kernel's to report (EFAULT), not ours to fall over. */
#ifndef WEIR_SHIM_CALLER_MEMORY_H
#define WEIR_SHIM_CALLER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Can these bytes be read?  `frame`: __builtin_frame_address(0) of the wrapper; what lies close above it is the
 * caller's own stack, which costs nothing to know, as do pages that this thread has asked for lately.  Another page
 * costs a system call.  False: make the real call, it knows the error.  Any thread, any context; errno is kept. */
bool caller_memory_readable(const void *bytes, size_t size, const void *frame);
/* The same for an array of `count` buffers as the kernel would accept it: it can be read, and no length in it is
 * negative. */
bool caller_memory_buffers(const struct iovec *iov, size_t count, const void *frame);
/* The same for a message, and the array of buffers that it leads to. */
bool caller_memory_message(const struct msghdr *message, const void *frame);

#endif
