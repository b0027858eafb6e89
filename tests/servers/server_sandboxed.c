/* An HTTP server that puts a seccomp filter on itself, which ends the process for every call that is not in its list:
 * server_sandboxed PORT LOOP CALLS FILTER
 *   LOOP    block: one connection after the other, on blocking descriptors; epoll; fork: a process for each connection,
 *           which has the filter, and its parent has not
 *   CALLS   read, readv, recv, recvfrom, recvmsg, recvmmsg: by which it reads, and the writing one that goes with it
 *   FILTER  list: only what this server calls by itself is allowed; deny: what the shim would like to ask is not; off
 * The filter is installed by prctl(), or by seccomp() through syscall() where CALLS is recvmsg or recvmmsg. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64, ROOM = 4096 };

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
static const struct {
    const char *name;
    int reads, writes;
} calls[] = {{"read", SYS_read, SYS_write},         {"readv", SYS_readv, SYS_writev},
             {"recv", SYS_recvfrom, SYS_sendto},    {"recvfrom", SYS_recvfrom, SYS_sendto},
             {"recvmsg", SYS_recvmsg, SYS_sendmsg}, {"recvmmsg", SYS_recvmmsg, SYS_sendmmsg}};
static unsigned style;

static void fail(const char *what) {
    perror(what);
    exit(2);
}

/* ------------------------------------------------------------------------------------------------------ filter */

static struct sock_filter program[MOST];
static unsigned short length;

static void add(struct sock_filter instruction) {
    program[length++] = instruction;
}

static void on(int number, unsigned action) {
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1));
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static void install(const char *filter, int epoll) {
    static const int denied[] = {
        SYS_socket,      SYS_connect,        SYS_faccessat,       SYS_openat,  SYS_fcntl,
        SYS_getsockopt,  SYS_setsockopt,     SYS_getsockname,     SYS_mmap,    SYS_mremap,
        SYS_getpid,      SYS_ppoll,          SYS_clock_gettime,   SYS_kill,    SYS_rt_sigprocmask,
        SYS_sigaltstack, SYS_timerfd_create, SYS_clock_nanosleep, SYS_shutdown};
    static const int others[] = {SYS_accept4, SYS_accept, SYS_close, SYS_exit_group, SYS_exit, SYS_rt_sigreturn};
    struct sock_fprog compiled = {.filter = program};
    bool list = strcmp(filter, "list") == 0;

    if (strcmp(filter, "off") == 0)
        return;
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (unsigned n = 0; !list && n < sizeof denied / sizeof *denied; n++)
        on(denied[n], SECCOMP_RET_KILL_PROCESS);
    for (unsigned n = 0; list && n < sizeof others / sizeof *others; n++)
        on(others[n], SECCOMP_RET_ALLOW);
    if (list && epoll >= 0) {
        on(SYS_epoll_ctl, SECCOMP_RET_ALLOW);
        on(SYS_epoll_wait, SECCOMP_RET_ALLOW);
        on(SYS_epoll_pwait, SECCOMP_RET_ALLOW);
    }
    if (list) {
        on(calls[style].reads, SECCOMP_RET_ALLOW);
        on(calls[style].writes, SECCOMP_RET_ALLOW);
    }
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, list ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW));
    compiled.len = length;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail("no_new_privs");
    if (calls[style].reads == SYS_recvmsg || calls[style].reads == SYS_recvmmsg) {
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &compiled) != 0)
            fail("seccomp");
    } else if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &compiled) < 0) {
        fail("prctl");
    }
}

/* ------------------------------------------------------------------------------------------------- connections */

static ssize_t take(int fd, char *bytes, size_t size) {
    struct sockaddr_in from;
    socklen_t from_length = sizeof from;
    struct iovec parts[2] = {{bytes, size / 2}, {bytes + size / 2, size - size / 2}};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = parts, .msg_iovlen = 2}};
    const char *name = calls[style].name;

    if (strcmp(name, "read") == 0)
        return read(fd, bytes, size);
    if (strcmp(name, "readv") == 0)
        return readv(fd, parts, 2);
    if (strcmp(name, "recv") == 0)
        return recv(fd, bytes, size, 0);
    if (strcmp(name, "recvfrom") == 0)
        return recvfrom(fd, bytes, size, 0, (struct sockaddr *)&from, &from_length);
    if (strcmp(name, "recvmsg") == 0)
        return recvmsg(fd, &message.msg_hdr, 0);
    return recvmmsg(fd, &message, 1, 0, NULL) == 1 ? (ssize_t)message.msg_len : -1;
}

static ssize_t give(int fd) {
    size_t size = sizeof answer - 1;
    struct iovec parts[2] = {{(void *)answer, 10}, {(void *)(answer + 10), size - 10}};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = parts, .msg_iovlen = 2}};

    switch (calls[style].writes) {
    case SYS_write: return write(fd, answer, size);
    case SYS_writev: return writev(fd, parts, 2);
    case SYS_sendto: return send(fd, answer, size, MSG_NOSIGNAL);
    case SYS_sendmsg: return sendmsg(fd, &message.msg_hdr, MSG_NOSIGNAL);
    default: return sendmmsg(fd, &message, 1, MSG_NOSIGNAL) == 1 ? (ssize_t)message.msg_len : -1;
    }
}

/* What is left of heads is kept: a head may come in pieces. */
static char heads[MOST][ROOM];
static size_t sizes[MOST];

/* False: the connection is over. */
static bool serve_once(int fd) {
    char *head = heads[fd % MOST], *end;
    size_t *size = &sizes[fd % MOST];
    ssize_t got = take(fd, head + *size, ROOM - *size - 1);

    if (got < 0 && errno == EAGAIN)
        return true;
    if (got <= 0)
        return false;
    head[ *size += (size_t)got] = '\0';
    while ((end = strstr(head, "\r\n\r\n"))) {
        *size -= (size_t)(end + 4 - head);
        memmove(head, end + 4, *size + 1);
        if (give(fd) < 0)
            return false;
    }
    return true;
}

static void serve(int fd) {
    sizes[fd % MOST] = 0;
    while (serve_once(fd))
        continue;
    close(fd);
}

/* ------------------------------------------------------------------------------------------------------- loops */

static void loop_blocking(int listener) {
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            serve(fd);
    }
}

static void loop_forking(int listener, const char *filter) {
    for (;;) {
        int fd = accept(listener, NULL, NULL), status;
        pid_t child = fd >= 0 ? fork() : -1;
        if (child == 0) {
            close(listener);
            install(filter, -1);
            serve(fd);
            _exit(0);
        }
        if (fd >= 0)
            close(fd);
        if (child > 0 && waitpid(child, &status, 0) == child && status != 0) {
            dprintf(2, "a child ended with status %#x\n", (unsigned)status);
            exit(3);
        }
    }
}

static void loop_events(int listener, int epoll) {
    for (;;) {
        struct epoll_event events[MOST];
        int count = epoll_wait(epoll, events, MOST, -1);
        for (int n = 0; n < count; n++) {
            int fd = events[n].data.fd;
            if (fd != listener) {
                if (!serve_once(fd))
                    close(fd);
                continue;
            }
            fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
            if (fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0)
                sizes[fd % MOST] = 0;
        }
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, epoll = -1;

    if (argc != 5)
        return 2;
    for (style = 0; strcmp(calls[style].name, argv[3]) != 0;)
        if (++style == sizeof calls / sizeof *calls)
            return 2;
    bool events = strcmp(argv[2], "epoll") == 0, forks = strcmp(argv[2], "fork") == 0;
    int listener = socket(AF_INET, SOCK_STREAM | (events ? SOCK_NONBLOCK : 0), 0);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
        fail("bind");
    if (events) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
        epoll = epoll_create1(0);
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    }
    if (listen(listener, MOST) < 0)
        fail("listen");
    if (!forks)
        install(argv[4], epoll);
    if (forks)
        loop_forking(listener, argv[4]);
    else if (events)
        loop_events(listener, epoll);
    else
        loop_blocking(listener);
}
