/* A signal without SA_RESTART ends a blocking call with EINTR; no call is begun again behind the program's back. */
#include "snippet.h"

#include <sys/time.h>

static volatile sig_atomic_t signals;

static void note(int number) {
    (void)number;
    signals++;
}

/* Signals come until the call has been ended by one. */
static void alarms(bool on) {
    struct itimerval timer = {{0, on ? 20000 : 0}, {0, on ? 20000 : 0}};

    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

#define INTERRUPTED(call)                                                                                              \
    do {                                                                                                               \
        alarms(true);                                                                                                  \
        FAILS(call, EINTR);                                                                                            \
        alarms(false);                                                                                                 \
    } while (0)

int main(void) {
    struct sigaction action = {.sa_handler = note};
    struct pair pair = connected();
    char bytes[64];
    struct iovec iov = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    INTERRUPTED(read(pair.server, bytes, sizeof bytes));
    INTERRUPTED(recv(pair.server, bytes, sizeof bytes, 0));
    INTERRUPTED(readv(pair.server, &iov, 1));
    INTERRUPTED(recvmsg(pair.server, &message, 0));
    INTERRUPTED(recvfrom(pair.server, bytes, sizeof bytes, 0, NULL, NULL));
    INTERRUPTED(accept(pair.listening, NULL, NULL));
    INTERRUPTED(accept4(pair.listening, NULL, NULL, 0));
    INTERRUPTED(read(pair.client, bytes, sizeof bytes));
    exchange(pair.server, pair.client);
    static char much[1 << 20];
    alarms(true);
    ssize_t sent, total = 0;
    while ((sent = write(pair.server, much, sizeof much)) > 0)
        total += sent;
    CHECK(sent == -1 && errno == EINTR && total > 0);
    alarms(false);
    CHECK(signals > 0);
    disconnect(pair);
    return 0;
}
