#include "shim/libc/caller_memory.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>

#include "shim/libc/syscall_raw.h"

enum {
    PAGE = 4096,
    NEAR = 2048, /* of the wrapper's frame: less than what libc itself puts above the first frame of any thread */
    KNOWN = 4,   /* pages remembered; a server's buffers are in the same ones again and again */
};

static _Thread_local uintptr_t known[KNOWN];

static bool is_near(uintptr_t first, size_t size, uintptr_t frame) {
    return first >= frame && size <= NEAR && first - frame <= NEAR - size;
}

/* The cheapest call that looks at memory and does nothing: a signal mask with an impossible instruction what to do with
 * it. */
static bool probe(uintptr_t page) {
    enum { NONSENSE = 99, MASK = 8 };

    return OWN4(SYS_rt_sigprocmask, NONSENSE, page, 0, MASK) != -EFAULT;
}

static bool is_page_readable(uintptr_t page) {
    uintptr_t *place = &known[page / PAGE % KNOWN];

    if (*place == page)
        return true;
    if (!probe(page))
        return false;
    *place = page;
    return true;
}

bool caller_memory_readable(const void *bytes, size_t size, const void *frame) {
    uintptr_t first = (uintptr_t)bytes, last = first + size - 1;

    if (size == 0 || is_near(first, size, (uintptr_t)frame))
        return true;
    if (last < first)
        return false;
    for (uintptr_t page = first & ~(uintptr_t)(PAGE - 1); page <= last && page; page += PAGE)
        if (!is_page_readable(page))
            return false;
    return first >= PAGE;
}

bool caller_memory_buffers(const struct iovec *iov, size_t count, const void *frame) {
    if (count > IOV_MAX || !caller_memory_readable(iov, count * sizeof(*iov), frame))
        return false;
    for (size_t n = 0; n < count; n++)
        if (iov[n].iov_len > SSIZE_MAX)
            return false;
    return true;
}

bool caller_memory_message(const struct msghdr *message, const void *frame) {
    return caller_memory_readable(message, sizeof(*message), frame) &&
           caller_memory_buffers(message->msg_iov, message->msg_iovlen, frame);
}
