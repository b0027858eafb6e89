/* server_raw PORT: linked with libc like any other, but accepts and answers by system calls of its own, as some
 * languages' libraries do: nothing that libc's calls are wrapped with sees a connection. */
#include <sys/syscall.h>

#include "tests/servers/loopback.h"

static long raw(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

int main(int argc, char **argv) {
    char request[4096];
    int listener = loopback_listener(argc > 1 ? argv[1] : "0");
    for (;;) {
        long peer = raw(SYS_accept, listener, 0, 0);
        if (peer < 0)
            continue;
        if (raw(SYS_read, peer, (long)request, sizeof request) > 0)
            raw(SYS_write, peer, (long)ANSWER, sizeof ANSWER - 1);
        raw(SYS_close, peer, 0, 0);
    }
}
