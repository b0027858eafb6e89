/* Threads that do everything at once to the same forty numbers: connect, accept, read, write, copy, close, fork.  What
 * comes of it is nobody's business, that it ends is. */
#include "snippet.h"

#include <pthread.h>
#include <stdint.h>

enum { THREADS = 4, STEPS = 25000, FIRST = 10, COUNT = 40, LISTENER = 200 };

static struct sockaddr_in address;

static void becomes(int fd, int number) {
    if (fd < 0)
        return;
    dup2(fd, number);
    close(fd);
}

static void new_client(int number) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd >= 0)
        connect(fd, (struct sockaddr *)&address, sizeof address);
    becomes(fd, number);
}

/* A child has the same numbers, and other threads' work half done. */
static void child_too(void) {
    char bytes[512];
    int status;
    pid_t child = fork();

    if (child == 0) {
        for (int n = 0; n < 2 * COUNT; n++) {
            int fd = FIRST + n % COUNT;
            recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
            if (n % 3 == 0)
                close(fd);
        }
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
}

static void step(unsigned random, unsigned number) {
    enum { NOW = MSG_DONTWAIT | MSG_NOSIGNAL };
    static const char blocked[] = "GET /blocked HTTP/1.1\r\nHost: here\r\n\r\n";
    char bytes[512];
    int fd = FIRST + (int)(random >> 16) % COUNT, other = FIRST + (int)(random >> 22) % COUNT;

    switch (random >> 8 & 15) {
    case 0: becomes(accept4(LISTENER, NULL, NULL, SOCK_NONBLOCK), fd); break;
    case 1: becomes(accept(LISTENER, NULL, NULL), fd); break;
    case 2:
    case 3: new_client(fd); break;
    case 4: close(fd); break;
    case 5: dup2(fd, other); break;
    case 6:
    case 7: recv(fd, bytes, sizeof bytes, MSG_DONTWAIT); break;
    case 8: (void)!readv(fd, &(struct iovec){bytes, fcntl(fd, F_SETFL, O_NONBLOCK) == 0 ? sizeof bytes : 0}, 1); break;
    case 9: send(fd, request, strlen(request), NOW); break;
    case 10: send(fd, request, random % strlen(request), NOW); break;
    case 11: send(fd, response, strlen(response), NOW); break;
    case 12: send(fd, blocked, strlen(blocked), NOW); break;
    case 13: shutdown(fd, SHUT_WR); break;
    case 14: close_range((unsigned)fd, (unsigned)fd + 2, 0); break;
    default:
        if (number % 40 == 0)
            child_too();
    }
}

static void *chaos(void *argument) {
    unsigned random = (unsigned)(uintptr_t)argument * 7919 + 1;

    for (unsigned n = 0; n < STEPS; n++) {
        random = random * 1103515245 + 12345;
        step(random, n);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    int fd = listener(&address);

    signal(SIGPIPE, SIG_IGN);
    CHECK(dup2(fd, LISTENER) == LISTENER && close(fd) == 0 && fcntl(LISTENER, F_SETFL, O_NONBLOCK) == 0);
    for (uintptr_t n = 0; n < THREADS; n++)
        CHECK(pthread_create(&threads[n], NULL, chaos, (void *)n) == 0);
    for (unsigned n = 0; n < THREADS; n++)
        CHECK(pthread_join(threads[n], NULL) == 0);
    closefrom(3);
    struct pair pair = connected(); /* all is well afterwards */
    exchange(pair.server, pair.client);
    disconnect(pair);
    return 0;
}
