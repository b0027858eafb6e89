/* Sockets, and connections that this program makes. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <netinet/in.h>
#include <time.h>

#include "rules/rule.h"
#include "shim/fd/classify.h"
#include "shim/fd/fd_table.h"
#include "shim/fd/wakeup.h"
#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/clock.h"
#include "shim/process/lifecycle.h"
#include "shim/process/sandbox.h"

struct reentry_op *wrapper_enter(const void *frame, uint32_t *ret_serial) {
    struct reentry_op *op = reentry_vforked ? NULL : reentry_enter(frame, NULL);

    *ret_serial = op ? op->serial : 0;
    return op;
}

/* What a handler does meanwhile is the application's doing.  False: a signal came. */
bool wrapper_nap(uint64_t duration_ns) {
    struct timespec left = {(time_t)(duration_ns / 1000000000), (long)(duration_ns % 1000000000)};
    struct reentry_op *op = reentry_top();

    op->in_call = true;
    bool whole = OWN4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &left, 0) == 0;
    op->in_call = false;
    return whole;
}

bool wrapper_blocks(int fd) {
    long flags = OWN2(SYS_fcntl, fd, F_GETFL);

    return flags >= 0 && !(flags & O_NONBLOCK);
}

/* Its turn comes later, by a rule that queues; who cannot wait goes at once. */
void wrapper_pause(int fd, uint64_t wait_ns) {
    uint64_t until_ns = clock_ns() + wait_ns, now_ns;

    if (wait_ns == 0 || !wrapper_blocks(fd))
        return;
    while ((now_ns = clock_ns()) < until_ns)
        wrapper_nap(until_ns - now_ns);
}

int socket_via(const struct real *via, int domain, int type, int protocol) {
    int fd = via->socket(domain, type, protocol);
    bool stream = (type & 0xf) == SOCK_STREAM && (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);

    fd_became(fd, stream ? FD_SOCKET : FD_PLAIN);
    if (stream)
        wakeup_begin(fd); /* of an earlier descriptor of that number more may be known */
    return fd;
}

EXPORTED int socket(int domain, int type, int protocol) {
    return socket_via(&real, domain, type, protocol);
}

int socketpair_via(const struct real *via, int domain, int type, int protocol, int fds[2]) {
    int result = via->socketpair(domain, type, protocol, fds);

    if (result == 0) {
        fd_became(fds[0], FD_PLAIN);
        fd_became(fds[1], FD_PLAIN);
    }
    return result;
}

EXPORTED int socketpair(int domain, int type, int protocol, int fds[2]) {
    return socketpair_via(&real, domain, type, protocol, fds);
}

static bool concerns_us(int fd, const struct sockaddr *address, socklen_t length, const void *frame) {
    enum fd_kind kind = fd_word_kind(fd_table_get(fd));

    if (!lifecycle_engine() || kind == FD_PLAIN || length < sizeof(struct sockaddr_in) ||
        length > sizeof(struct sockaddr_storage) || !caller_memory_readable(address, length, frame))
        return false;
    if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
        return false;
    return kind == FD_SOCKET || classify_is_tcp(fd);
}

enum { UNCONCERNED = 0, ATTEMPTED = 1 };

/* The descriptor leads to the new connection before the real call: whatever becomes of the thread in it, the end of
 * the descriptor is the connection's end.  Refused: the negative error. */
static int attempt(int fd, const struct sockaddr *address, socklen_t length, const void *frame, uint64_t *ret_word) {
    struct admit_connection admit = {.side = SIDE_OUTBOUND};
    uint64_t wait_ns = 0;
    uint32_t serial;
    int saved = errno, outcome = UNCONCERNED;
    struct reentry_op *op = wrapper_enter(frame, &serial);

    if (!op)
        return UNCONCERNED;
    struct connection *connection = concerns_us(fd, address, length, frame) ? connection_new(&admit) : NULL;
    int error = connection ? admit_connect(&connection->admit, address, length, &wait_ns) : 0;
    if (error) {
        connection_drop(connection);
        outcome = -error;
    } else if (connection && wait_ns && sandbox_on()) {
        admit_disconnect(&connection->admit, false);
        connection_drop(connection);
        outcome = -ECONNREFUSED;
    } else if (connection) {
        connection_release(fd_table_swap(fd, FD_AWAITED, connection_index(connection)), fd, false);
        *ret_word = fd_table_get(fd);
        wrapper_pause(fd, wait_ns);
        outcome = ATTEMPTED;
    }
    reentry_leave(op, serial);
    errno = saved;
    return outcome;
}

static bool destination_failed(int error) {
    return error == ECONNREFUSED || error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == ECONNRESET || error == ENETDOWN || error == EHOSTDOWN;
}

/* A connection under way has neither failed nor succeeded: the end of the descriptor decides. */
static bool is_under_way(ssize_t result, int error) {
    return result >= 0 || error == EINPROGRESS || error == EINTR || error == EALREADY;
}

static void conclude(int fd, uint64_t word, ssize_t result, const void *frame) {
    uint32_t serial;
    int error = errno;
    struct reentry_op *op = wrapper_enter(frame, &serial);

    if (!op)
        return;
    if (!is_under_way(result, error) && fd_table_replace(fd, word, error == EISCONN ? FD_PLAIN : FD_SOCKET, 0)) {
        struct connection *connection = connection_at(fd_word_value(word));
        connection_mark(connection, destination_failed(error) ? CONNECTION_FAILED : CONNECTION_ANSWERED);
        connection_release(word, fd, true);
    }
    reentry_leave(op, serial);
    errno = error;
}

/* connect() again on a descriptor that is connecting or connected: asks how it went, or (AF_UNSPEC) ends it. */
static ssize_t connect_again(connect_call *call, int fd, const struct sockaddr *address, socklen_t length,
                             const void *context, const void *frame) {
    uint64_t word = fd_table_get(fd);
    ssize_t result = call(fd, address, length, context);
    int error = errno;

    if (result == 0 && address->sa_family == AF_UNSPEC)
        fd_became(fd, FD_SOCKET);
    else if (result < 0 && destination_failed(error) && fd_word_kind(word) == FD_AWAITED)
        conclude(fd, word, result, frame);
    errno = error;
    return result;
}

ssize_t connect_by(connect_call *call, int fd, const struct sockaddr *address, socklen_t length, const void *context,
                   const void *frame) {
    enum fd_kind kind = fd_word_kind(fd_table_get(fd));
    uint64_t word = 0;

    if (reentry_vforked || reentry_busy(frame))
        return call(fd, address, length, context);
    if (kind == FD_AWAITED || kind == FD_OUTBOUND)
        return connect_again(call, fd, address, length, context, frame);
    int outcome = attempt(fd, address, length, frame, &word);
    if (outcome < 0) {
        errno = -outcome;
        return -1;
    }
    ssize_t result = call(fd, address, length, context);
    if (outcome == ATTEMPTED)
        conclude(fd, word, result, frame);
    else if (kind == FD_UNKNOWN && result >= 0)
        fd_became(fd, FD_PLAIN); /* made here: not to be taken for a connection that came in */
    return result;
}

ssize_t connect_via(int fd, const struct sockaddr *address, socklen_t length, const void *via) {
    return ((const struct real *)via)->connect(fd, (__CONST_SOCKADDR_ARG){address}, length);
}

EXPORTED int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length) {
    return (int)connect_by(connect_via, fd, address.__sockaddr__, length, &real, FRAME);
}
