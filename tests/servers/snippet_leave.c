/* Ways to leave a blocking call that are not its return: siglongjmp, cancellation, the end of the thread.  Afterwards
 * the connection, and every other, is as good as before. */
#include "snippet.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/time.h>

static __thread sigjmp_buf back;
static volatile sig_atomic_t how;
static struct pair global;

static void leave(int number) {
    (void)number;
    if (how == 1)
        siglongjmp(back, 1);
    if (how == 2)
        pthread_exit(NULL);
    char byte; /* how == 3: another connection is used inside */
    CHECK(write(global.client, "y", 1) == 1 && read(global.server, &byte, 1) == 1 && byte == 'y');
}

static void jump_out(struct pair pair, int rounds) {
    char bytes[64];

    how = 1;
    for (volatile int round = 0; round < rounds; round++) {
        struct itimerval soon = {{0, 0}, {0, 500}};
        if (sigsetjmp(back, 1) == 0) {
            CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
            (void)!read(pair.server, bytes, sizeof bytes);
            CHECK(!"nothing can be read");
        }
    }
}

static void *blocked(void *argument) {
    char bytes[64];
    int fd = *(int *)argument;

    (void)!read(fd, bytes, sizeof bytes);
    return NULL;
}

static void *accepting(void *argument) {
    accept(*(int *)argument, NULL, NULL);
    return NULL;
}

/* Until it sleeps in the kernel, as /proc has it. */
static void let_it_block(pthread_t thread) {
    (void)thread;
    usleep(3000);
}

static void cancelled(int fd, void *(*body)(void *)) {
    pthread_t thread;
    void *result;

    CHECK(pthread_create(&thread, NULL, body, &fd) == 0);
    let_it_block(thread);
    CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
}

static void dies_in_it(int fd) {
    pthread_t thread;

    how = 2;
    CHECK(pthread_create(&thread, NULL, blocked, &fd) == 0);
    let_it_block(thread);
    CHECK(pthread_kill(thread, SIGUSR1) == 0 && pthread_join(thread, NULL) == 0);
}

static void handler_reads(struct pair pair) {
    char bytes[64];
    struct itimerval soon = {{0, 0}, {0, 2000}};

    how = 3;
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    FAILS(read(pair.server, bytes, sizeof bytes), EINTR);
}

/* One thread reads, another closes; the number is used anew while the first still waits. */
static void closed_meanwhile(void) {
    struct pair pair = connected();
    pthread_t thread;
    int number = pair.server;

    CHECK(pthread_create(&thread, NULL, blocked, &number) == 0);
    let_it_block(thread);
    CHECK(close(pair.server) == 0);
    struct pair other = connected();
    exchange(other.server, other.client);
    CHECK(write(pair.client, request, strlen(request)) > 0); /* wakes the one that still has the old one */
    CHECK(close(pair.client) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    exchange(other.server, other.client);
    disconnect(other);
    CHECK(close(pair.listening) == 0);
}

int main(void) {
    struct sigaction action = {.sa_handler = leave};
    struct pair pair = connected();

    global = connected();
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    jump_out(pair, 300);
    exchange(pair.server, pair.client);
    jump_out(pair, 20);
    exchange(pair.server, pair.client);
    for (int round = 0; round < 20; round++) {
        cancelled(pair.server, blocked);
        cancelled(pair.listening, accepting);
        exchange(pair.server, pair.client);
        dies_in_it(pair.server);
        exchange(pair.server, pair.client);
        handler_reads(pair);
        exchange(pair.server, pair.client);
    }
    for (int round = 0; round < 50; round++)
        closed_meanwhile();
    disconnect(pair);
    return 0;
}
