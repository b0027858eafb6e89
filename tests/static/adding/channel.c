/* A channel that is added: bytes that are there already. */
#include "shim/channel/memory.h"

#include <errno.h>
#include <string.h>

static struct channel_memory *memory_of(struct channel *channel) {
    return (struct channel_memory *)channel;
}

static ssize_t memory_recvv(struct channel *channel, const struct iovec *iov, int count, int flags) {
    struct channel_memory *memory = memory_of(channel);
    size_t size = count && iov->iov_len < memory->left ? iov->iov_len : memory->left;
    if (!size) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(iov->iov_base, memory->bytes, size);
    if (!(flags & MSG_PEEK)) {
        memory->bytes += size;
        memory->left -= size;
    }
    return (ssize_t)size;
}

static ssize_t memory_recv(struct channel *channel, void *bytes, size_t size, int flags) {
    return memory_recvv(channel, &(struct iovec){bytes, size}, 1, flags);
}

static ssize_t memory_sendv(struct channel *channel, const struct iovec *iov, int count, int flags) {
    ssize_t size = 0;
    (void)channel, (void)flags;
    while (count--)
        size += (ssize_t)iov[count].iov_len;
    return size;
}

static int memory_finish(struct channel *channel, int how) {
    (void)channel, (void)how;
    return 0;
}

static bool memory_nonblocking(struct channel *channel) {
    (void)channel;
    return true;
}

static uint64_t memory_now_ns(void) {
    return 1;
}

const struct channel_ops channel_memory = {
    .recv = memory_recv,
    .recvv = memory_recvv,
    .sendv = memory_sendv,
    .finish = memory_finish,
    .nonblocking = memory_nonblocking,
    .now_ns = memory_now_ns,
};
