/* What stands around the modules of shim/fd/ in their unit tests: a session that only counts what is asked of it, an
 * engine that is on, and real sockets.  A test of each module includes it once. */
#ifndef WEIR_TESTS_UNIT_FD_FIXTURE_H
#define WEIR_TESTS_UNIT_FD_FIXTURE_H

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rules/rule.h"
#include "shim/admission/caller.h"
#include "shim/channel/channel.h"
#include "shim/fd/connection.h"
#include "shim/fd/fd_custody.h"
#include "shim/fd/linger.h"
#include "shim/fd/own_fd.h"
#include "shim/fd/wakeup.h"
#include "shim/libc/real.h"
#include "shim/process/clock.h"
#include "shim/process/lifecycle.h"
#include "shim/process/reentry.h"
#include "tests/unit/suite.h"

struct stream {
    uint64_t lock, turn_ns;
    unsigned opened, closed, last_words, opaque, adopted;
    int last_fd;  /* where last words would have gone */
    bool lingers; /* … and whether they did */
};
static struct { /* what became of streams and connections, all together */
    unsigned closed, disconnected, failed, forgotten;
} seen;
static _Atomic uint32_t epoch = 1;
_Atomic uint32_t *lifecycle_mark = &epoch;

const struct stream_policy admit_http, admit_http_only;
const struct channel_ops channel_socket;

void fd_custody_receive(struct admit_connection *admit, const struct sockaddr_storage *peer) {
    (void)admit, (void)peer;
}

bool admit_asks_idle(void) {
    return false;
}

void admit_slept(uint64_t from_ns, bool client) {
    (void)from_ns, (void)client;
}

void admit_count_end(struct admit_connection *admit, const struct stream *stream) {
    (void)admit, (void)stream;
}

size_t stream_size(void) {
    return sizeof(struct stream);
}

void stream_open(struct stream *s, struct channel *channel, const struct stream_policy *policy, void *context,
                 const struct stream_memory *memory) {
    (void)channel, (void)policy, (void)context, (void)memory;
    *s = (struct stream){.opened = s->opened + 1, .last_fd = -1};
}

bool stream_lock(struct stream *s) {
    ck_assert_uint_eq(s->lock, 0); /* one thread: a second time would be a mistake */
    s->lock = 1;
    return true;
}

void stream_unlock(struct stream *s) {
    ck_assert_uint_eq(s->lock, 1);
    s->lock = 0;
}

uint64_t stream_turn_ns(const struct stream *s) {
    return s->turn_ns;
}

bool stream_last_words(struct stream *s) {
    struct reentry_op *op = reentry_top();
    s->last_words++;
    s->last_fd = op ? op->fd : -1;
    return s->lingers;
}

void stream_close(struct stream *s) {
    s->closed++;
    seen.closed++;
}

void stream_adopt(struct stream *s) {
    s->adopted++;
}

void stream_opaque(struct stream *s, enum opaque_reason why) {
    (void)why;
    s->opaque++;
}

void caller_forget(struct admit_connection *connection) {
    (void)connection;
    seen.forgotten++;
}

void admit_disconnect(struct admit_connection *connection, bool error) {
    (void)connection;
    seen.disconnected++;
    seen.failed += error;
}

uint32_t lifecycle_epoch(void) {
    return epoch;
}

bool lifecycle_watches(void) {
    return true;
}

struct ends {
    int listening, server, client;
};

static inline struct ends ends_open(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    struct ends ends = {.listening = socket(AF_INET, SOCK_STREAM, 0), .client = socket(AF_INET, SOCK_STREAM, 0)};
    ck_assert_int_eq(bind(ends.listening, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(ends.listening, 4), 0);
    ck_assert_int_eq(getsockname(ends.listening, (struct sockaddr *)&address, &length), 0);
    ck_assert_int_eq(connect(ends.client, (struct sockaddr *)&address, length), 0);
    ends.server = accept(ends.listening, NULL, NULL);
    ck_assert_int_ge(ends.server, 0);
    return ends;
}

/* As a connection that was accepted. */
static inline struct connection *connection_on(int fd) {
    struct admit_connection admit = {.side = SIDE_INBOUND, .port = 80};
    struct connection *connection = connection_new(&admit);
    connection_open_stream(connection, fd);
    fd_table_swap(fd, FD_STREAM, connection_index(connection));
    return connection;
}

/* As close() has it, around the real one. */
static inline void connection_close(int fd) {
    struct reentry_op *op = reentry_enter(__builtin_frame_address(0), NULL);
    connection_release(fd_table_swap(fd, FD_PLAIN, 0), fd, true);
    reentry_leave(op, op->serial);
    ck_assert_int_eq(close(fd), 0);
}

static inline void client_sends(const struct ends *ends, size_t size) {
    static const char bytes[1024];
    struct pollfd look = {.fd = ends->server, .events = POLLIN};
    ck_assert_int_eq(send(ends->client, bytes, size, 0), (int)size);
    ck_assert_int_eq(poll(&look, 1, -1), 1);
}

static inline void client_ends(const struct ends *ends) {
    struct pollfd look = {.fd = ends->server, .events = POLLRDHUP};
    ck_assert_int_eq(shutdown(ends->client, SHUT_WR), 0);
    ck_assert_int_eq(poll(&look, 1, -1), 1);
}

#endif
