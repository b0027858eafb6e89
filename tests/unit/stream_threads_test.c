/* Streams on real sockets (TCP and unix), with a reading and a writing thread, and with more of them than a connection
 * should have.  Meant for the thread sanitizer, too. */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <errno.h>

#include "shim/protocol/http1/http1.h"
#include "shim/session/stream.h"
#include "tests/unit/suite.h"

enum { REQUESTS = 3000, UNANSWERED = 900 /* more would be refused: the application cannot be held back here */ };

/* ------------------------------------------------------------------------------------------------------- real calls */

static ssize_t channel_recv(struct channel *channel, void *bytes, size_t size, int flags) {
    return recv(channel->fd, bytes, size, flags);
}

static ssize_t channel_recvv(struct channel *channel, const struct iovec *iov, int count, int flags) {
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    return recvmsg(channel->fd, &message, flags);
}

static ssize_t channel_sendv(struct channel *channel, const struct iovec *iov, int count, int flags) {
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    return sendmsg(channel->fd, &message, flags);
}

static int channel_finish(struct channel *channel, int how) {
    return shutdown(channel->fd, how);
}

static int channel_wait(struct channel *channel, short events, uint64_t timeout_ns) {
    struct pollfd look = {.fd = channel->fd, .events = events};
    return poll(&look, 1, (int)(timeout_ns / 1000000));
}

static bool channel_nonblocking(struct channel *channel) {
    return fcntl(channel->fd, F_GETFL) & O_NONBLOCK;
}

static bool channel_make_room(struct channel *channel) {
    int size;
    socklen_t length = sizeof(size);
    getsockopt(channel->fd, SOL_SOCKET, SO_SNDBUF, &size, &length);
    size = size / 2 + 65536;
    return setsockopt(channel->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0;
}

static uint64_t channel_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static const struct channel_ops ops = {.recv = channel_recv,
                                       .recvv = channel_recvv,
                                       .sendv = channel_sendv,
                                       .finish = channel_finish,
                                       .wait = channel_wait,
                                       .nonblocking = channel_nonblocking,
                                       .make_room = channel_make_room,
                                       .now_ns = channel_now};

static _Atomic int passed, completed, refused, memory_used;
static _Atomic bool rejected[REQUESTS];

static void *take(size_t size) {
    atomic_fetch_add(&memory_used, (int)size);
    return malloc(size);
}

static void give(void *bytes, size_t size) {
    atomic_fetch_sub(&memory_used, (int)size);
    free(bytes);
}

static const struct stream_memory memory = {take, give};

static bool cancels; /* the thread that reads a request is cancelled then, and the request has to wait */

static enum engine_verdict judge(void *context, const struct message *head, bool *close,
                                 struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                 size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    (void)context, (void)ret_ticket;
    if (cancels) {
        *ret_turn_ns = channel_now() + 1000000;
        atomic_fetch_add(&passed, 1);
        pthread_cancel(pthread_self());
        return ENGINE_WAIT;
    }
    if (head->target.at[1] == 'r' && !*close) { /* one that comes in pieces would end the connection */
        rejected[atoi(head->target.at + 2)] = true;
        atomic_fetch_add(&refused, 1);
        *ret_answer_size = (size_t)sprintf(answer, "HTTP/1.1 429 No\r\nX: %.*s\r\nContent-Length: 0\r\n\r\n",
                                           (int)head->target.size, head->target.at);
        return ENGINE_BLOCK;
    }
    atomic_fetch_add(&passed, 1);
    return ENGINE_PASS;
}

static void complete(void *context, struct engine_ticket *ticket, unsigned status, enum stream_end end,
                     uint64_t now_ns) {
    (void)context, (void)ticket, (void)status, (void)end, (void)now_ns;
    atomic_fetch_add(&completed, 1);
}

static void cancel(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns) {
    (void)answered;
    (void)context, (void)ticket, (void)now_ns;
    atomic_fetch_sub(&passed, 1);
}

static void undecided(void *context) {
    (void)context;
}

static const struct stream_policy policy = {
    .request = judge, .response = complete, .undecided = undecided, .cancel = cancel};

/* ---------------------------------------------------------------------------------------------------------- sockets */

static void connect_pair(bool tcp, int ret_fds[static 2]) {
    if (!tcp) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ret_fds), 0);
        return;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    ret_fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(ret_fds[1], (struct sockaddr *)&address, length), 0);
    ret_fds[0] = accept(listener, NULL, NULL);
    close(listener);
}

static struct stream *stream;
static struct channel channel;
static int server, client;
static sem_t due; /* requests read and not answered */
static _Atomic bool over;

static void open_stream(bool tcp) {
    int fds[2], small = 4096;
    connect_pair(tcp, fds);
    server = fds[0];
    client = fds[1];
    fcntl(server, F_SETFL, O_NONBLOCK);
    setsockopt(server, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    memset(rejected, 0, sizeof(rejected));
    passed = completed = refused = 0;
    over = false;
    stream = calloc(1, stream_size());
    channel = (struct channel){.ops = &ops, .fd = server};
    stream_open(stream, &channel, &policy, NULL, &memory);
    sem_init(&due, 0, 0);
}

static void close_stream(void) {
    stream_close(stream);
    ck_assert_int_eq(passed, completed);
    ck_assert_int_eq(memory_used, 0);
    free(stream);
    close(server);
    close(client);
    sem_destroy(&due);
}

static void wait_until(int fd, short events) {
    struct pollfd look = {.fd = fd, .events = events};
    poll(&look, 1, 100);
}

/* ------------------------------------------------------------------------------------------------------ the
 * application */

/* Counts the ends of heads ("\n\r\n" cannot stand anywhere else here). */
static void *read_requests(void *unused) {
    char bytes[3000];
    unsigned matched = 0;
    for (;;) {
        struct iovec iov = {bytes, sizeof(bytes)};
        ssize_t got = stream_read(stream, &iov, 1, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        if (got < 0)
            wait_until(server, POLLIN);
        for (ssize_t i = 0; i < got; i++) {
            matched = bytes[i] == "\n\r\n"[matched] ? matched + 1 : bytes[i] == '\n';
            if (matched == 3)
                sem_post(&due), matched = 0;
        }
    }
    atomic_store(&over, true);
    sem_post(&due);
    return unused;
}

static void *write_responses(void *unused) {
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n%0299d\n";
    char bytes[512];
    for (int answered = 0;; answered++) {
        sem_wait(&due);
        if (atomic_load(&over) && answered >= atomic_load(&passed)) {
            shutdown(server, SHUT_WR);
            break;
        }
        size_t size = (size_t)snprintf(bytes, sizeof(bytes), text, answered), at = 0;
        while (at < size) {
            struct iovec iov = {bytes + at, size - at};
            ssize_t sent = stream_write(stream, &iov, 1, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN)
                return unused;
            if (sent < 0 || (size_t)sent < size - at)
                wait_until(server, POLLOUT);
            at += sent > 0 ? (size_t)sent : 0;
        }
    }
    return unused;
}

/* ----------------------------------------------------------------------------------------------------------- the
 * client */

static bool is_rejected(int id) {
    return id * 7 % 10 < 4;
}

/* The client goes on when enough is answered. */
static void wait_for_answers(int sent) {
    while (sent - atomic_load(&completed) - atomic_load(&refused) > UNANSWERED / 2 && !atomic_load(&over))
        sched_yield();
}

static void *send_requests(void *unused) {
    char bytes[128];
    for (int id = 0; id < REQUESTS; id++) {
        wait_for_answers(id);
        int size = sprintf(bytes, "GET /%c%d HTTP/1.1\r\nHost: x\r\n\r\n", is_rejected(id) ? 'r' : 'p', id);
        for (int at = 0; at < size;) {
            int step = id % 3 ? size - at : 5 < size - at ? 5 : size - at;
            ssize_t sent = send(client, bytes + at, (size_t)step, MSG_NOSIGNAL);
            if (sent < 0)
                return unused;
            at += (int)sent;
        }
    }
    shutdown(client, SHUT_WR);
    return unused;
}

static size_t expected_output(char *text) {
    size_t size = 0;
    for (int id = 0, answered = 0; id < REQUESTS; id++)
        size += (size_t)(rejected[id]
                             ? sprintf(text + size, "HTTP/1.1 429 No\r\nX: /r%d\r\nContent-Length: 0\r\n\r\n", id)
                             : sprintf(text + size, "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n%0299d\n",
                                       answered++));
    return size;
}

static size_t receive(char *text, size_t size) {
    size_t at = 0;
    ssize_t got;
    while (at < size && (got = recv(client, text + at, size - at, 0)) > 0)
        at += (size_t)got;
    return at;
}

START_TEST(reader_and_writer) {
    static char expected[1 << 21], output[1 << 21];
    pthread_t threads[3];
    open_stream(_i);
    pthread_create(&threads[0], NULL, send_requests, NULL);
    pthread_create(&threads[1], NULL, read_requests, NULL);
    pthread_create(&threads[2], NULL, write_responses, NULL);
    size_t got = receive(output, sizeof(output));
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    size_t size = expected_output(expected);
    ck_assert_uint_eq(got, size);
    ck_assert(memcmp(output, expected, size) == 0);
    close_stream();
}
END_TEST

/* Two readers and two writers: what order they mean nobody can say; nothing breaks, and every ticket comes back. */
START_TEST(too_many_threads) {
    static char output[1 << 21];
    pthread_t threads[5];
    open_stream(_i);
    pthread_create(&threads[0], NULL, send_requests, NULL);
    for (int i = 1; i < 5; i++)
        pthread_create(&threads[i], NULL, i < 3 ? read_requests : write_responses, NULL);
    struct timespec patience = {0, 300000000};
    fcntl(client, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 5; i++) {
        receive(output, sizeof(output));
        nanosleep(&patience, NULL);
    }
    atomic_store(&over, true);
    shutdown(client, SHUT_RDWR);
    shutdown(server, SHUT_RDWR);
    for (int i = 0; i < 5; i++) {
        sem_post(&due);
        sem_post(&due);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2 * REQUESTS; i++)
        sem_post(&due);
    pthread_join(threads[3], NULL);
    pthread_join(threads[4], NULL);
    close_stream();
}
END_TEST

/* A thread that is cancelled goes on to where it can do so without harm: it does not die with the stream's lock. */
START_TEST(cancelled_reader) {
    static const char request[] = "GET /w HTTP/1.1\r\nHost: x\r\n\r\n";
    pthread_t reader;
    cancels = true;
    open_stream(_i);
    ck_assert_int_eq(write(client, request, strlen(request)), (ssize_t)strlen(request));
    ck_assert_int_eq(pthread_create(&reader, NULL, read_requests, NULL), 0);
    ck_assert_int_eq(pthread_join(reader, NULL), 0);
    ck_assert_uint_eq(stream_readable(stream), 0);
    ck_assert_int_eq(passed, 1);
    close_stream();
    cancels = false;
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("sockets");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, reader_and_writer, 0, 2);
    tcase_add_loop_test(tcase, too_many_threads, 0, 2);
#ifndef __SANITIZE_ADDRESS__ /* whose own thread's end finds the stack of a cancelled one as it was left */
    tcase_add_loop_test(tcase, cancelled_reader, 0, 2);
#else
    (void)cancelled_reader;
#endif
    return suite_run("stream_threads", tcase, NULL);
}
