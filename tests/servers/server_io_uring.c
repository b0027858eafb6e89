/* server_io_uring PORT: accepts and answers through io_uring alone, by system calls of its own: nothing of it passes
 * libc.  Exit status 77 where the kernel has no io_uring. */
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/servers/loopback.h"

enum { ENTRIES = 8, NO_IO_URING = 77 };

static struct {
    int fd;
    struct io_uring_sqe *entries;
    unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
    struct io_uring_cqe *completions;
} ring;

static void *map(size_t size, uint64_t offset) {
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, (off_t)offset);
    if (at == MAP_FAILED)
        exit(NO_IO_URING);
    return at;
}

static void set_up(void) {
    struct io_uring_params p = {0};
    ring.fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
    if (ring.fd < 0)
        exit(NO_IO_URING);
    char *sq = map(p.sq_off.array + p.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    char *cq = map(p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
    ring.entries = map(p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    ring.sq_tail = (unsigned *)(void *)(sq + p.sq_off.tail);
    ring.sq_mask = (unsigned *)(void *)(sq + p.sq_off.ring_mask);
    ring.sq_array = (unsigned *)(void *)(sq + p.sq_off.array);
    ring.cq_head = (unsigned *)(void *)(cq + p.cq_off.head);
    ring.cq_tail = (unsigned *)(void *)(cq + p.cq_off.tail);
    ring.cq_mask = (unsigned *)(void *)(cq + p.cq_off.ring_mask);
    ring.completions = (struct io_uring_cqe *)(void *)(cq + p.cq_off.cqes);
}

/* One operation, done. */
static int perform(uint8_t operation, int fd, const void *buffer, size_t size) {
    unsigned tail = *ring.sq_tail, slot = tail & *ring.sq_mask;
    ring.entries[slot] = (struct io_uring_sqe){
        .opcode = operation, .fd = fd, .addr = (uint64_t)(uintptr_t)buffer, .len = (uint32_t)size};
    ring.sq_array[slot] = slot;
    __atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_RELEASE);
    while (syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
        if (errno != EINTR)
            return -errno;
    unsigned head = *ring.cq_head;
    if (head == __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE))
        return -EAGAIN;
    int result = ring.completions[head & *ring.cq_mask].res;
    __atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
    return result;
}

int main(int argc, char **argv) {
    char request[4096];
    int listener = loopback_listener(argc > 1 ? argv[1] : "0");
    set_up();
    for (;;) {
        int peer = perform(IORING_OP_ACCEPT, listener, NULL, 0);
        if (peer < 0) {
            fprintf(stderr, "accept: %s\n", strerror(-peer));
            return peer == -EINVAL || peer == -EPERM ? NO_IO_URING : 1;
        }
        if (perform(IORING_OP_RECV, peer, request, sizeof request) > 0)
            perform(IORING_OP_SEND, peer, ANSWER, sizeof ANSWER - 1);
        perform(IORING_OP_CLOSE, peer, NULL, 0);
    }
}
