/* Connections that begin: accept and connect. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <time.h>

#include "rules/rule.h"
#include "shim/process/arena.h"
#include "shim/fd/classify.h"
#include "shim/process/clock.h"
#include "shim/fd/fd_table.h"
#include "shim/process/lifecycle.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"

#define MS_NS UINT64_C(1000000)
enum {
    REFUSALS_MAX = 1000,      /* in one call of a non-blocking accept */
    REFUSED_UNREAD = 1 << 20, /* bytes of a refused client that are thrown away */
};
#define BLOCKED_NS (1 * MS_NS)       /* an accept that took longer had nothing else to do */
#define DEFER_NAP_NS (MS_NS / 2)     /* so that a level-triggered loop does not spin on what is left in the backlog */
#define DEFER_BOUND_NS (100 * MS_NS) /* of a blocking accept by a program that may have other things to do */

static struct reentry_op *own_code(const void *frame, uint32_t *ret_serial) {
    struct reentry_op *op = reentry_vforked ? NULL : reentry_enter(frame, NULL);

    *ret_serial = op ? op->serial : 0;
    return op;
}

/* What a handler does meanwhile is the application's doing.  False: a signal came. */
static bool nap(uint64_t duration_ns) {
    struct timespec left = {(time_t)(duration_ns / 1000000000), (long)(duration_ns % 1000000000)};
    struct reentry_op *op = reentry_top();

    op->in_call = true;
    bool whole = RAW4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &left, 0) == 0;
    op->in_call = false;
    return whole;
}

static bool blocks(int fd) {
    long flags = RAW2(SYS_fcntl, fd, F_GETFL);

    return flags >= 0 && !(flags & O_NONBLOCK);
}

static bool is_pending(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    struct timespec now = {0};

    return RAW5(SYS_ppoll, &look, 1, &now, 0, 0) > 0;
}

/* ------------------------------------------------------------------------------------------------------ sockets */

int socket_via(const struct real *via, int domain, int type, int protocol) {
    int fd = via->socket(domain, type, protocol);
    bool stream = (type & 0xf) == SOCK_STREAM && (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);

    fd_became(fd, stream ? FD_SOCKET : FD_PLAIN);
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

/* ------------------------------------------------------------------------------------------------------- accept */

struct acceptance {
    const struct real *via;
    int listener, flags;
    const void *frame;
    struct connection *admitted; /* in defer mode: before it was taken out of the backlog */
    uint64_t begin_ns;
    bool patient; /* the listener's, so far */
};

/* "reset": RST at once.  "close": an orderly end, which bytes that nobody read would turn into a reset. */
static void refuse(int accepted) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (admit_tcp_reject() != TCP_REJECT_CLOSE) {
        RAW5(SYS_setsockopt, accepted, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    } else {
        RAW2(SYS_shutdown, accepted, SHUT_WR);
        RAW6(SYS_recvfrom, accepted, 0, REFUSED_UNREAD, MSG_DONTWAIT | MSG_TRUNC, 0, 0);
    }
    RAW1(SYS_close, accepted);
}

/* From here on it is a connection of ours: whatever the number meant before ended unseen. */
static void follow(int accepted, struct connection *connection) {
    connection_open_stream(connection, accepted);
    uint64_t before = fd_table_swap(accepted, FD_STREAM, connection_index(connection));
    if (accepted >= FD_TABLE_SIZE)
        connection_release((uint64_t)connection_index(connection) << 32 | FD_STREAM, accepted, false);
    connection_release(before, accepted, false);
}

/* Its turn comes later, by a rule that queues; who cannot wait goes at once. */
static void pause_for(int fd, uint64_t wait_ns) {
    uint64_t until_ns = clock_ns() + wait_ns, now_ns;

    if (wait_ns == 0 || !blocks(fd))
        return;
    while ((now_ns = clock_ns()) < until_ns)
        nap(until_ns - now_ns);
}

/* Waits for a place, as "defer" has it, in a call that blocks: for as long as it takes if that is all that its thread
 * does. */
static bool waits_for_place(struct acceptance *a, struct connection *connection, uint64_t *ret_wait_ns) {
    if (admit_tcp_reject() != TCP_REJECT_DEFER || !blocks(a->listener))
        return false;
    while (a->patient || clock_ns() - a->begin_ns < DEFER_BOUND_NS) {
        nap(DEFER_NAP_NS);
        if (admit_accept(&connection->admit, -1, ret_wait_ns))
            return true;
    }
    return false;
}

/* Under the reentry.  False: refused, and gone. */
static bool admitted(struct acceptance *a, int accepted, const struct sockaddr_storage *peer, socklen_t length) {
    struct admit_connection admit;
    struct connection *connection = a->admitted;
    uint64_t wait_ns = 0;

    a->admitted = NULL;
    if (!connection && lifecycle_watches() && classify_listener(a->listener, &admit)) {
        classify_peer(&admit, peer, length);
        connection = connection_new(&admit);
        if (connection && !admit_accept(&connection->admit, accepted, &wait_ns) &&
            !waits_for_place(a, connection, &wait_ns)) {
            connection_drop(connection);
            refuse(accepted);
            return false;
        }
    }
    if (connection)
        follow(accepted, connection);
    else
        connection_release(fd_table_swap(accepted, FD_PLAIN, 0), accepted, false);
    pause_for(a->listener, wait_ns);
    return true;
}

/* The address in the application's buffer is good if it is of AF_INET: no buffer is smaller than that.  A longer one
 * may be cut, and how large the buffer was is not known any more. */
static socklen_t peer_of(int accepted, const struct sockaddr *address, struct sockaddr_storage *ret_peer) {
    socklen_t length = sizeof *ret_peer;

    if (address && address->sa_family == AF_INET) {
        __builtin_memcpy(ret_peer, address, sizeof(struct sockaddr_in));
        return sizeof(struct sockaddr_in);
    }
    if (address && address->sa_family == AF_UNIX)
        return 0;
    return RAW3(SYS_getpeername, accepted, ret_peer, &length) < 0 ? 0 : length;
}

/* After a refusal: look for the next connection?  A caller that has nothing else to do waits for it; one that may have
 * been told by poll that there is something must not be held up. */
static bool goes_on(const struct acceptance *a, unsigned refusals) {
    if (!blocks(a->listener))
        return refusals < REFUSALS_MAX;
    return a->patient || is_pending(a->listener);
}

static int take(struct acceptance *a, struct sockaddr *address, socklen_t *length) {
    if (a->flags < 0)
        return a->via->accept(a->listener, (__SOCKADDR_ARG){address}, length);
    return a->via->accept4(a->listener, (__SOCKADDR_ARG){address}, length, a->flags);
}

static void learn_patience(struct acceptance *a) {
    uint64_t word = fd_table_get(a->listener);

    a->patient = fd_word_flags(word) & FD_PATIENT;
    if (a->patient || clock_ns() - a->begin_ns < BLOCKED_NS)
        return;
    a->patient = true;
    if (fd_word_kind(word) == FD_LISTENER)
        fd_table_flag(a->listener, word, FD_PATIENT);
}

/* Takes one connection out of the backlog.  True: *ret_result is what the application gets. */
static bool accept_one(struct acceptance *a, struct sockaddr *address, socklen_t *length, int *ret_result) {
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof peer;
    uint32_t serial;

    int accepted = address ? take(a, address, length) : take(a, (struct sockaddr *)&peer, &peer_length);
    *ret_result = accepted;
    struct reentry_op *op = own_code(a->frame, &serial);
    if (!op)
        return true;
    int saved = errno;
    bool done = true;
    if (accepted >= 0) {
        if (address)
            peer_length = peer_of(accepted, address, &peer);
        learn_patience(a);
        done = admitted(a, accepted, &peer, peer_length);
    } else if (a->admitted) {
        connection_release((uint64_t)connection_index(a->admitted) << 32 | FD_STREAM, -1, false);
        a->admitted = NULL;
    }
    errno = saved;
    reentry_leave(op, serial);
    return done;
}

/* "defer": the decision comes before the connection is taken, so the caller is not known yet.  False: it is not its
 * turn. */
static bool may_take(struct acceptance *a) {
    struct admit_connection admit;
    uint64_t wait_ns = 0;

    if (!classify_listener(a->listener, &admit))
        return true;
    struct connection *connection = connection_new(&admit);
    if (!connection)
        return true;
    if (!admit_accept(&connection->admit, -1, &wait_ns)) {
        connection_drop(connection);
        return false;
    }
    connection_open_stream(connection, -1);
    a->admitted = connection;
    pause_for(a->listener, wait_ns);
    return true;
}

static bool defers(const struct acceptance *a) {
    return lifecycle_engine() && admit_tcp_reject() == TCP_REJECT_DEFER &&
           !(fd_word_flags(fd_table_get(a->listener)) & FD_EDGE);
}

/* 0, or the error for the application: EAGAIN, as if the backlog were empty, or ECONNABORTED where that would be odd.
 * An interrupted wait ends with EINTR, even after a handler with SA_RESTART: no wait with a limit of time is
 * restarted. */
static int stay_in_backlog(struct acceptance *a) {
    bool waits = blocks(a->listener), patient = fd_word_flags(fd_table_get(a->listener)) & FD_PATIENT;

    if (!is_pending(a->listener))
        return waits ? 0 : EAGAIN; /* the real call waits, and what then comes is looked at then */
    while (!may_take(a)) {
        bool whole = nap(DEFER_NAP_NS);
        if (!waits)
            return EAGAIN;
        if (!whole)
            return EINTR;
        if (!patient && clock_ns() - a->begin_ns > DEFER_BOUND_NS)
            return ECONNABORTED;
    }
    return 0;
}

static int wait_for_turn(struct acceptance *a) {
    uint32_t serial;
    struct reentry_op *op = own_code(a->frame, &serial);
    int error = 0, saved = errno;

    if (!op)
        return 0;
    a->begin_ns = clock_ns();
    if (defers(a))
        error = stay_in_backlog(a);
    errno = saved;
    reentry_leave(op, serial);
    return error;
}

int accept_via(const struct real *via, int fd, struct sockaddr *address, socklen_t *length, int flags,
               const void *frame) {
    struct acceptance a = {.via = via, .listener = fd, .flags = flags, .frame = frame};
    int result, error;

    if (reentry_vforked || reentry_busy(frame))
        return take(&a, address, length);
    for (unsigned refusals = 0;; refusals++) {
        error = wait_for_turn(&a);
        if (error)
            break;
        if (accept_one(&a, address, length, &result))
            return result;
        error = ECONNABORTED;
        if (!goes_on(&a, refusals))
            break;
    }
    errno = error;
    return -1;
}

EXPORTED int accept(int fd, __SOCKADDR_ARG address, socklen_t *length) {
    return accept_via(&real, fd, address.__sockaddr__, length, -1, FRAME);
}

EXPORTED int accept4(int fd, __SOCKADDR_ARG address, socklen_t *length, int flags) {
    return accept_via(&real, fd, address.__sockaddr__, length, flags & INT_MAX, FRAME);
}

/* ------------------------------------------------------------------------------------------------------ connect */

/* Can these bytes be read?  A bad pointer is the kernel's to report (EFAULT), not ours to fall over.  The cheapest
 * call that looks at memory and does nothing: a signal mask with an impossible instruction what to do with it. */
static bool readable(const void *bytes, size_t size) {
    enum { NONSENSE = 99, MASK = 8 };
    const char *first = bytes, *last = first + size - MASK;

    return size >= MASK && RAW4(SYS_rt_sigprocmask, NONSENSE, first, 0, MASK) != -EFAULT &&
           RAW4(SYS_rt_sigprocmask, NONSENSE, last, 0, MASK) != -EFAULT;
}

static bool concerns_us(int fd, const struct sockaddr *address, socklen_t length) {
    enum fd_kind kind = fd_word_kind(fd_table_get(fd));

    if (!lifecycle_engine() || kind == FD_PLAIN || length < sizeof(struct sockaddr_in) || !readable(address, length))
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
    struct reentry_op *op = own_code(frame, &serial);

    if (!op)
        return UNCONCERNED;
    struct connection *connection = concerns_us(fd, address, length) ? connection_new(&admit) : NULL;
    int error = connection ? admit_connect(&connection->admit, address, length, &wait_ns) : 0;
    if (error) {
        connection_drop(connection);
        outcome = -error;
    } else if (connection) {
        connection_release(fd_table_swap(fd, FD_AWAITED, connection_index(connection)), fd, false);
        *ret_word = fd_table_get(fd);
        pause_for(fd, wait_ns);
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

/* Under way is neither failed nor ours to judge: the end of the descriptor will tell. */
static bool is_under_way(ssize_t result, int error) {
    return result >= 0 || error == EINPROGRESS || error == EINTR || error == EALREADY;
}

static void conclude(int fd, uint64_t word, ssize_t result, const void *frame) {
    uint32_t serial;
    int error = errno;
    struct reentry_op *op = own_code(frame, &serial);

    if (!op)
        return;
    if (!is_under_way(result, error) && fd_table_replace(fd, word, error == EISCONN ? FD_PLAIN : FD_SOCKET, 0)) {
        struct connection *connection = arena_at(fd_word_value(word));
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
