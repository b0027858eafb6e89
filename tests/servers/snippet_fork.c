/* fork around connections: the child serves what the parent accepted, read from, or began to read from. */
#include "snippet.h"

#include <sys/syscall.h>

static void send_all(int fd, const char *text) {
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* The usual forking server: the parent closes its copy at once, and goes on accepting. */
static void child_serves(bool without_handlers) {
    for (int round = 0; round < 20; round++) {
        struct pair pair = connected();
        send_all(pair.client, request);
        pid_t child = without_handlers ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
        if (child == 0) {
            CHECK(close(pair.listening) == 0 && close(pair.client) == 0);
            expect(pair.server, request);
            send_all(pair.server, response);
            _exit(0);
        }
        CHECK(close(pair.server) == 0); /* does not end the child's */
        expect(pair.client, response);
        send_all(pair.client, ""); /* nothing */
        ends_well(child);
        char byte;
        CHECK(read(pair.client, &byte, 1) == 0);
        CHECK(close(pair.client) == 0 && close(pair.listening) == 0);
    }
}

/* The parent reads the request, its child answers. */
static void child_answers(void) {
    struct pair pair = connected();

    send_all(pair.client, request);
    expect(pair.server, request);
    pid_t child = fork();
    if (child == 0) {
        send_all(pair.server, response);
        exchange(pair.server, pair.client); /* and another */
        _exit(0);
    }
    CHECK(close(pair.server) == 0);
    ends_well(child);
    expect(pair.client, response);
    CHECK(close(pair.client) == 0 && close(pair.listening) == 0);
}

/* Half a head came before the fork. */
static void half_a_head(void) {
    struct pair pair = connected();
    size_t half = strlen(request) / 2;
    char bytes[512];
    size_t have = 0;

    CHECK(write(pair.client, request, half) == (ssize_t)half);
    CHECK(fcntl(pair.server, F_SETFL, O_NONBLOCK) == 0);
    ssize_t n = read(pair.server, bytes, sizeof bytes);
    CHECK(n == (ssize_t)half || (n == -1 && errno == EAGAIN)); /* whether it is told of it now or later */
    have = n > 0 ? (size_t)n : 0;
    CHECK(fcntl(pair.server, F_SETFL, 0) == 0);
    pid_t child = fork();
    if (child == 0) {
        send_all(pair.client, request + half);
        while (have < strlen(request)) {
            CHECK((n = read(pair.server, bytes + have, sizeof bytes - have)) > 0);
            have += (size_t)n;
        }
        CHECK(have == strlen(request) && memcmp(bytes, request, have) == 0);
        send_all(pair.server, response);
        _exit(0);
    }
    CHECK(close(pair.server) == 0);
    ends_well(child);
    expect(pair.client, response);
    CHECK(close(pair.client) == 0 && close(pair.listening) == 0);
}

/* Both go on with connections of their own, under the same numbers. */
static void same_numbers(void) {
    struct pair pair = connected();

    exchange(pair.server, pair.client);
    pid_t child = fork();
    disconnect(pair);
    for (int round = 0; round < 20; round++) {
        struct pair other = connected();
        CHECK(other.server == pair.server);
        exchange(other.server, other.client);
        disconnect(other);
    }
    if (child == 0)
        _exit(0);
    ends_well(child);
}

int main(void) {
    child_serves(false);
    child_serves(true);
    child_answers();
    half_a_head();
    same_numbers();
    return 0;
}
