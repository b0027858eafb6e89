/* Descriptors that travel: over a socket, as the pre-fork master of node's cluster does it, and by pidfd_getfd. */
#include "snippet.h"

#include <sys/mman.h>

static void pass(int over, const int *fds, size_t count) {
    char control[CMSG_SPACE(sizeof(int) * 8)] = {0};
    struct iovec iov = {(void *)"fds", 3};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
    CHECK(sendmsg(over, &message, 0) == 3);
}

static void receive(int over, int *ret_fds, size_t count, bool many) {
    char control[CMSG_SPACE(sizeof(int) * 8)], text[8];
    struct iovec iov = {text, sizeof text};
    struct mmsghdr messages = {
        .msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control}};

    if (many)
        CHECK(recvmmsg(over, &messages, 1, MSG_CMSG_CLOEXEC, NULL) == 1 && messages.msg_len == 3);
    else
        CHECK(recvmsg(over, &messages.msg_hdr, MSG_CMSG_CLOEXEC) == 3);
    struct cmsghdr *header = CMSG_FIRSTHDR(&messages.msg_hdr);
    CHECK(header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int) * count));
    memcpy(ret_fds, CMSG_DATA(header), sizeof(int) * count);
    CHECK(fcntl(ret_fds[0], F_GETFD) == FD_CLOEXEC);
}

/* The receiver's numbers meant other connections before. */
static void receiver(int over) {
    for (int round = 0; round < 6; round++) {
        int fds[2];
        char text[5] = "";
        receive(over, fds, 2, round & 1);
        expect(fds[0], request);
        CHECK(write(fds[0], response, strlen(response)) == (ssize_t)strlen(response));
        CHECK(pread(fds[1], text, 4, 0) == 4 && memcmp(text, "\177ELF", 4) == 0);
        CHECK(read(fds[1], text, 4) == 4);
        CHECK(close(fds[0]) == 0 && close(fds[1]) == 0);
        struct pair other = connected();
        exchange(other.server, other.client);
        disconnect(other);
    }
    _exit(0);
}

static void over_a_socket(void) {
    int over[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, over) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(close(over[0]) == 0);
        receiver(over[1]);
    }
    CHECK(close(over[1]) == 0);
    for (int round = 0; round < 6; round++) {
        struct pair pair = connected();
        int file = open("/proc/self/exe", O_RDONLY), fds[] = {pair.server, file};
        pass(over[0], fds, 2);
        CHECK(close(pair.server) == 0 && close(file) == 0);
        CHECK(write(pair.client, request, strlen(request)) == (ssize_t)strlen(request));
        expect(pair.client, response);
        CHECK(close(pair.client) == 0 && close(pair.listening) == 0);
    }
    CHECK(close(over[0]) == 0);
    ends_well(child);
}

/* A byte stream between two AF_UNIX ends, with a name on one side, carries descriptors as well as bytes. */
static void by_pidfd(void) {
#ifdef SYS_pidfd_getfd
    struct pair pair = connected();
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int copy = self < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, self, pair.server, 0);
    if (copy >= 0) { /* may be forbidden here */
        CHECK(close(pair.server) == 0);
        exchange(copy, pair.client);
        pair.server = copy;
    }
    disconnect(pair);
#endif
}

/* A length that the kernel refuses is not believed either: behind the control data is no memory. */
static void wrong_length(void) {
    enum { PAGE = 4096 };
    int over[2];
    struct pair pair = connected();
    char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && mprotect(pages + PAGE, PAGE, PROT_NONE) == 0);
    struct cmsghdr *header = (struct cmsghdr *)(void *)(pages + PAGE - CMSG_SPACE(sizeof(int)));
    *header = (struct cmsghdr){.cmsg_len = 1 << 20, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    struct msghdr message = {.msg_iov = &(struct iovec){"x", 1},
                             .msg_iovlen = 1,
                             .msg_control = header,
                             .msg_controllen = CMSG_SPACE(sizeof(int))};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, over) == 0);
    CHECK(sendmsg(over[0], &message, 0) == -1 && errno == EINVAL);
    message.msg_control = pages + PAGE;
    CHECK(sendmsg(over[0], &message, 0) == -1 && errno == EFAULT);
    CHECK(munmap(pages, 2 * PAGE) == 0 && close(over[0]) == 0 && close(over[1]) == 0);
    disconnect(pair);
}

int main(void) {
    over_a_socket();
    wrong_length();
    by_pidfd();
    return 0;
}
