/* dup and its relatives, close_range, closefrom, stdio: who means what afterwards. */
#include "snippet.h"

#include <linux/close_range.h>

static void goes_on_as(int copy, struct pair *pair) {
    CHECK(copy >= 0 && close(pair->server) == 0);
    exchange(copy, pair->client);
    int file = open("/proc/self/exe", O_RDONLY); /* the old number now means this */
    char magic[4];
    CHECK(read(file, magic, 4) == 4 && memcmp(magic, "\177ELF", 4) == 0);
    exchange(copy, pair->client);
    CHECK(close(file) == 0);
    pair->server = copy;
    exchange(pair->server, pair->client);
}

static void copies(void) {
    struct pair pair = connected();

    goes_on_as(dup(pair.server), &pair);
    goes_on_as(dup2(pair.server, 100), &pair);
    goes_on_as(dup3(pair.server, 101, O_CLOEXEC), &pair);
    goes_on_as(fcntl(pair.server, F_DUPFD, 200), &pair);
    goes_on_as(fcntl(pair.server, F_DUPFD_CLOEXEC, 200), &pair);
    CHECK(dup2(pair.server, pair.server) == pair.server);
    exchange(pair.server, pair.client);
    int both = dup(pair.server); /* one reads, the other writes */
    CHECK(write(pair.client, request, strlen(request)) > 0);
    expect(both, request);
    CHECK(write(pair.server, response, strlen(response)) > 0);
    expect(pair.client, response);
    CHECK(close(both) == 0);
    disconnect(pair);
}

/* Put over a connection, another takes its place, and the first is at its end. */
static void put_over(void) {
    struct pair one = connected(), two = connected();
    char byte;

    exchange(one.server, one.client);
    exchange(two.server, two.client);
    CHECK(dup2(two.server, one.server) == one.server);
    CHECK(read(one.client, &byte, 1) == 0);
    exchange(one.server, two.client);
    CHECK(close(two.server) == 0);
    exchange(one.server, two.client);
    int file = open("/proc/self/exe", O_RDONLY);
    CHECK(dup2(file, one.server) == one.server && read(one.server, &byte, 1) == 1 && byte == 127);
    CHECK(read(two.client, &byte, 1) == 0);
    int fds[] = {file, one.server, one.client, two.client, one.listening, two.listening};
    for (unsigned n = 0; n < sizeof fds / sizeof *fds; n++)
        CHECK(close(fds[n]) == 0);
}

static void ranges(void) {
    struct pair pair = connected();
    char byte;
    int server = dup2(pair.server, 50);

    CHECK(close(pair.server) == 0);
    CHECK(close_range(40, 60, CLOSE_RANGE_CLOEXEC) == 0 && fcntl(50, F_GETFD) == FD_CLOEXEC);
    exchange(server, pair.client);
    FAILS(close_range(60, 40, 0), EINVAL);
    FAILS(close_range(40, 60, 1 << 20), EINVAL);
    exchange(server, pair.client);
    CHECK(close_range(40, 60, 0) == 0);
    FAILS(fcntl(50, F_GETFD), EBADF);
    CHECK(read(pair.client, &byte, 1) == 0);
    CHECK(close(pair.client) == 0 && close(pair.listening) == 0);
    for (int round = 0; round < 3; round++) {
        pair = connected();
        exchange(pair.server, pair.client);
        closefrom(3);
        CHECK(open_descriptors() == 3);
    }
    CHECK(syscall(SYS_close_range, 3, ~0u, 0) == 0);
}

static void standard_io(void) {
    struct pair pair = connected();
    FILE *file = fdopen(dup(pair.server), "r"), *out = fdopen(dup(pair.server), "w");
    char line[128];

    CHECK(write(pair.client, request, strlen(request)) > 0);
    CHECK(fgets(line, sizeof line, file) && strncmp(line, "GET /hello", 10) == 0);
    CHECK(fputs(response, out) >= 0 && fflush(out) == 0);
    expect(pair.client, response);
    CHECK(fclose(file) == 0 && fclose(out) == 0 && close(pair.server) == 0);
    char byte;
    CHECK(read(pair.client, &byte, 1) == 0);
    CHECK(close(pair.client) == 0 && close(pair.listening) == 0);
}

int main(void) {
    closefrom(3);
    copies();
    put_over();
    ranges();
    standard_io();
    return 0;
}
