/* Every call is made before any library's constructor has run (.preinit_array), then again from main. */
#include "snippet.h"

#include <sys/epoll.h>
#include <sys/sendfile.h>

static void all_calls(void) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    char bytes[256];
    struct iovec iov = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr messages = {.msg_hdr = message};
    int pipes[2], pair[2], count, listening = listener(&address), fd = client(&address);
    int server = accept4(listening, (struct sockaddr *)&address, &length, SOCK_CLOEXEC);
    int file = open("/proc/self/exe", O_RDONLY);
    off_t offset = 0;

    exchange(server, fd);
    CHECK(send(fd, "abc", 3, 0) == 3 && recv(server, bytes, 3, 0) == 3);
    CHECK(sendto(fd, "abc", 3, 0, NULL, 0) == 3 && recvfrom(server, bytes, 3, 0, NULL, NULL) == 3);
    CHECK(writev(fd, &(struct iovec){"abc", 3}, 1) == 3 && ioctl(server, FIONREAD, &count) == 0 && count == 3);
    CHECK(readv(server, &iov, 1) == 3);
    CHECK(sendmsg(fd, &(struct msghdr){.msg_iov = &(struct iovec){"abc", 3}, .msg_iovlen = 1}, 0) == 3);
    CHECK(recvmsg(server, &message, 0) == 3);
    messages.msg_hdr.msg_iov = &(struct iovec){"abc", 3};
    CHECK(sendmmsg(fd, &messages, 1, 0) == 1);
    messages.msg_hdr.msg_iov = &iov;
    CHECK(recvmmsg(server, &messages, 1, 0, NULL) == 1 && messages.msg_len == 3);
    CHECK(sendfile(server, file, &offset, 4) == 4 && sendfile64(server, file, NULL, 4) == 4);
    CHECK(recv(fd, bytes, 8, MSG_WAITALL) == 8);
    CHECK(pipe(pipes) == 0 && write(pipes[1], "abc", 3) == 3);
    CHECK(splice(pipes[0], NULL, server, NULL, 3, 0) == 3 && read(fd, bytes, 3) == 3);
    CHECK(write(fd, "abc", 3) == 3 && splice(server, NULL, pipes[1], NULL, 3, 0) == 3 && read(pipes[0], bytes, 3) == 3);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && close(pair[0]) == 0);
    int epoll = epoll_create1(0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, server, &(struct epoll_event){.events = EPOLLIN | EPOLLET}) == 0);
    int copy = dup(server);
    CHECK(dup2(copy, 60) == 60 && dup3(copy, 61, 0) == 61 && fcntl(copy, F_DUPFD, 62) == 62);
    CHECK(shutdown(copy, SHUT_WR) == 0 && read(fd, bytes, 1) == 0);
    CHECK(close_range(60, 62, 0) == 0 && syscall(SYS_close, copy) == 0);
    FILE *stream = fopen("/proc/self/exe", "r");
    CHECK(stream && fclose(stream) == 0);
    pid_t child = vfork();
    if (child == 0)
        _exit(0);
    ends_well(child);
    int fds[] = {pipes[0], pipes[1], pair[1], epoll, listening, fd, server, file};
    for (unsigned n = 0; n < sizeof fds / sizeof *fds; n++)
        CHECK(close(fds[n]) == 0);
    struct pair again = connected();
    exchange(again.server, again.client);
    disconnect(again);
}

/* Left open until main: a connection from before everything. */
static struct pair before;

static void early(void) {
    all_calls();
    before = connected();
    CHECK(write(before.client, request, strlen(request)) > 0);
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = early;
__attribute__((constructor(101))) static void constructed(void) {
    all_calls();
}

int main(void) {
    expect(before.server, request);
    CHECK(write(before.server, response, strlen(response)) > 0);
    expect(before.client, response);
    exchange(before.server, before.client);
    disconnect(before);
    all_calls();
    return 0;
}
