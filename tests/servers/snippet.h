/* What the snippets share: small programs that use the calls which the shim stands in front of, each in a way that has
 * broken a preload library before.  They know nothing of weir, check themselves, and end with 0; they must do so
 * without the shim, too (tests/process/shim_snippets.py runs them both ways). */
#ifndef WEIR_TESTS_SNIPPET_H
#define WEIR_TESTS_SNIPPET_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s (errno %d, %s)\n", __FILE__, __LINE__, #condition, errno,               \
                    strerror(errno));                                                                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A call that must fail with that error. */
#define FAILS(call, error)                                                                                             \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        CHECK((call) == -1 && errno == (error));                                                                       \
    } while (0)

/* A call that must succeed and leave errno alone. */
#define QUIET(call)                                                                                                    \
    __extension__({                                                                                                    \
        errno = 4242;                                                                                                  \
        __typeof__(call) result_ = (call);                                                                             \
        CHECK(result_ >= 0 && errno == 4242);                                                                          \
        result_;                                                                                                       \
    })

static inline int listener(struct sockaddr_in *ret_address) {
    socklen_t length = sizeof *ret_address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *ret_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)ret_address, sizeof *ret_address) == 0 && listen(fd, 16) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)ret_address, &length) == 0);
    return fd;
}

static inline int client(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
    return fd;
}

struct pair {
    int listening, server, client;
};

/* A connection to ourselves. */
static inline struct pair connected(void) {
    struct sockaddr_in address;
    struct pair pair;

    pair.listening = listener(&address);
    pair.client = client(&address);
    pair.server = accept(pair.listening, NULL, NULL);
    CHECK(pair.server >= 0);
    return pair;
}

static inline void disconnect(struct pair pair) {
    CHECK(close(pair.server) == 0 && close(pair.client) == 0 && close(pair.listening) == 0);
}

static const char request[] = "GET /hello HTTP/1.1\r\nHost: here\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

static inline void expect(int fd, const char *text) {
    char got[4096];
    size_t have = 0, size = strlen(text);

    while (have < size) {
        ssize_t n = read(fd, got + have, size - have);
        CHECK(n > 0);
        have += (size_t)n;
    }
    CHECK(memcmp(got, text, size) == 0);
}

/* One request and its answer over a connection: is it all still in order? */
static inline void exchange(int server, int client) {
    CHECK(write(client, request, strlen(request)) == (ssize_t)strlen(request));
    expect(server, request);
    CHECK(write(server, response, strlen(response)) == (ssize_t)strlen(response));
    expect(client, response);
}

/* How many descriptors are open, of those that a program has by itself. */
static inline int open_descriptors(void) {
    int count = 0;

    for (int fd = 0; fd < 900; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static inline void ends_well(pid_t pid) {
    int status;

    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
