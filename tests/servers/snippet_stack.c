/* A server whose thread has the smallest stack that a thread may have, with an unmapped page below, until standard
 * input ends.  With an argument it says then how much of the stack was used. */
#include "snippet.h"

#include <limits.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>

enum { PAINT = 0xa5, PAGE = 4096 };

static int listening;
static char bytes[65536];

static void sleep_until_readable(int fd, unsigned how) {
    struct epoll_event event = {.events = EPOLLIN};
    fd_set reads;

    if (how == 0) {
        CHECK(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1) == 1);
    } else if (how == 1) {
        FD_ZERO(&reads);
        FD_SET(fd, &reads);
        CHECK(select(fd + 1, &reads, NULL, NULL, NULL) == 1);
    } else {
        int epoll = epoll_create1(0);
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 && epoll_wait(epoll, &event, 1, -1) == 1);
        CHECK(close(epoll) == 0);
    }
}

static ssize_t read_some(int fd, unsigned how) {
    struct iovec iov[] = {{bytes, 7}, {bytes + 7, sizeof bytes - 7}};

    switch (how % 4) {
    case 0: return read(fd, bytes, sizeof bytes);
    case 1: recv(fd, bytes, sizeof bytes, MSG_PEEK); return recv(fd, bytes, sizeof bytes, 0);
    case 2: return readv(fd, iov, 2);
    default: return recv(fd, NULL, sizeof bytes, MSG_TRUNC);
    }
}

/* A thread that is let through reads, without looking what, and gets one answer. */
static void serve(int fd, unsigned how) {
    if (how % 4 != 3)
        sleep_until_readable(fd, how % 3);
    if (how % 2 == 0)
        CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    ssize_t got = read_some(fd, how);
    while (got < 0 && errno == EAGAIN) {
        sleep_until_readable(fd, how % 3);
        got = read_some(fd, how);
    }
    if (got > 0)
        CHECK(send(fd, response, strlen(response), MSG_NOSIGNAL) == (ssize_t)strlen(response));
    CHECK(close(fd) == 0);
}

static void *work(void *unused) {
    int fd;

    for (unsigned how = 0; (fd = accept(listening, NULL, NULL)) >= 0; how++)
        serve(fd, how);
    return unused;
}

static void ask(const struct sockaddr_in *address, unsigned number) {
    static const char *const targets[] = {"/hello?u=%41bc&u=2", "/rejected/%78",  "/queued",
                                          "/delayed",           "/report/daily-", "/long/x/7/y/%2f//"};
    const char *target = targets[number % 6];
    char text[4096];
    int fd = client(address), width = number % 6 == 5 ? 1900 : 1;
    int size = snprintf(text, sizeof text,
                        "GET %s%0*u HTTP/1.1\r\nHost: Shop.Example.com\r\nCookie: c=%%41%u\r\n"
                        "X-User: aaaaaaaaaaaaaaaaaaaab%u\r\nAccept: text/html\r\n\r\n",
                        target, width, number % 6 < 4 ? 0 : number, number % 5, number);
    CHECK(write(fd, text, (size_t)size) == size);
    CHECK(read(fd, text, sizeof text) > 12 && memcmp(text, "HTTP/1.1 ", 9) == 0);
    CHECK(close(fd) == 0);
}

static size_t untouched(const unsigned char *stack, size_t size) {
    size_t count = 0;

    while (count < size && stack[count] == PAINT)
        count++;
    return count;
}

int main(int count, char **arguments) {
    struct sockaddr_in address;
    pthread_attr_t attributes;
    pthread_t thread;
    size_t size = PTHREAD_STACK_MIN;
    unsigned char *guarded = mmap(NULL, PAGE + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(guarded != MAP_FAILED && mprotect(guarded, PAGE, PROT_NONE) == 0);
    memset(guarded + PAGE, PAINT, size);
    listening = listener(&address);
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstack(&attributes, guarded + PAGE, size) == 0);
    CHECK(pthread_create(&thread, &attributes, work, NULL) == 0);
    for (unsigned number = 0; number < 60 || poll(&(struct pollfd){.events = POLLIN}, 1, 0) == 0; number++)
        ask(&address, number);
    CHECK(shutdown(listening, SHUT_RDWR) == 0 && pthread_join(thread, NULL) == 0);
    if (count > 1)
        printf("%s %zu\n", arguments[1], size - untouched(guarded + PAGE, size));
    return 0;
}
