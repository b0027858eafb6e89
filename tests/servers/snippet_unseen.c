/* Descriptors that are closed by a system call that no library sees, while the number goes on to mean something
 * else. */
#include "snippet.h"

#include <sys/eventfd.h>

static long unseen(long number, long a) {
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a) : "rcx", "r11", "memory");
    return result;
#else
    return syscall(number, a); /* seen, but right all the same */
#endif
}

static void becomes_a_file(bool half) {
    struct pair pair = connected();
    char bytes[16];

    exchange(pair.server, pair.client);
    if (half) { /* part of a head is under way */
        CHECK(write(pair.client, "GET / HT", 8) == 8);
        CHECK(fcntl(pair.server, F_SETFL, O_NONBLOCK) == 0);
        (void)!read(pair.server, bytes, 16);
    }
    CHECK(unseen(SYS_close, pair.server) == 0);
    int file = open("/proc/self/exe", O_RDONLY);
    CHECK(file == pair.server);
    errno = 4242;
    CHECK(read(file, bytes, 4) == 4 && memcmp(bytes, "\177ELF", 4) == 0 && errno == 4242);
    CHECK(read(file, bytes, 4) == 4 && lseek(file, 0, SEEK_CUR) == 8);
    CHECK(close(file) == 0 && close(pair.client) == 0 && close(pair.listening) == 0);
}

static void becomes_others(void) {
    struct pair pair = connected();
    char bytes[16];
    uint64_t count = 5;
    int fds[2];

    CHECK(unseen(SYS_close, pair.server) == 0);
    int event = eventfd(0, 0);
    CHECK(event == pair.server && write(event, &count, 8) == 8 && read(event, bytes, 8) == 8 && bytes[0] == 5);
    CHECK(close(event) == 0 && close(pair.client) == 0 && close(pair.listening) == 0);
    pair = connected();
    CHECK(unseen(SYS_close, pair.server) == 0);
    CHECK(pipe(fds) == 0 && fds[0] == pair.server);
    struct iovec iov = {"pipe", 4}, in = {bytes, 4};
    CHECK(writev(fds[1], &iov, 1) == 4 && readv(fds[0], &in, 1) == 4 && memcmp(bytes, "pipe", 4) == 0);
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0 && close(pair.client) == 0 && close(pair.listening) == 0);
}

static void becomes_a_pair(void) {
    struct pair pair = connected();
    int fds[2];
    char text[] = "GET /not-a-request-to-us HTTP/1.1\r\n\r\n", bytes[64];

    CHECK(unseen(SYS_close, pair.server) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 && fds[0] == pair.server);
    CHECK(write(fds[1], text, 20) == 20 && read(fds[0], bytes, 64) == 20); /* withheld by nobody */
    CHECK(write(fds[1], text + 20, strlen(text) - 20) > 0 && read(fds[0], bytes, 64) == (ssize_t)strlen(text) - 20);
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0 && close(pair.client) == 0 && close(pair.listening) == 0);
}

static void becomes_a_connection(void) {
    struct pair pair = connected();

    CHECK(write(pair.client, "GET / HT", 8) == 8);
    CHECK(unseen(SYS_close, pair.server) == 0);
    struct pair other = connected();
    exchange(other.server, other.client);
    disconnect(other);
    CHECK(close(pair.client) == 0 && close(pair.listening) == 0);
}

int main(void) {
    becomes_a_file(false);
    becomes_a_file(true);
    becomes_others();
    becomes_a_pair();
    becomes_a_connection();
    return 0;
}
