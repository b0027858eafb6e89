/* Connections that come in. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>

#include "shim/fd/classify.h"
#include "shim/fd/fd_table.h"
#include "shim/fd/linger.h"
#include "shim/fd/wakeup.h"
#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"
#include "shim/libc/wait.h"
#include "shim/process/clock.h"
#include "shim/process/lifecycle.h"
#include "shim/process/sandbox.h"

#define MS_NS UINT64_C(1000000)
#define US_NS UINT64_C(1000)
enum {
    REFUSALS_MAX = 1000,      /* in one call of a non-blocking accept, by rules for connections or at the door */
    REFUSED_UNREAD = 1 << 20, /* bytes of a refused client that are thrown away */
};
#define BLOCKED_NS (1 * MS_NS)       /* an accept that found nothing and took longer had nothing else to do */
#define DOOR_BOUND_NS (5 * MS_NS)    /* of a call by a program that may have other things to do */
#define DEFER_NAP_NS (MS_NS / 2)     /* so that a level-triggered loop does not spin on what is left in the backlog */
#define DEFER_BOUND_NS (100 * MS_NS) /* of a blocking accept by a program that may have other things to do */

static bool is_pending(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    struct timespec now = {0};

    return OWN5(SYS_ppoll, &look, 1, &now, 0, 0) > 0;
}

struct acceptance {
    const struct real *via;
    int listener, flags;
    const void *frame;
    struct connection *admitted;  /* in defer mode: before it was taken out of the backlog */
    uint64_t called_ns, begin_ns; /* of the application's call, and of the latest real one */
    unsigned at_door;             /* so many were rejected there */
    bool patient;                 /* nothing else to do than to wait here, as far as is known so far */
    bool idle;      /* nothing was there before the real call, and the application cannot have known better */
    socklen_t room; /* of the application's buffer for the address; 0: it wants none, or the kernel will complain */
};

/* "reset": RST at once.  "close": an orderly end, which unread bytes would turn into a reset. */
static void refuse(int accepted) {
    if (sandbox_on()) {
        RAW1(SYS_close, accepted);
        return;
    }
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (admit_tcp_reject() != TCP_REJECT_CLOSE) {
        OWN5(SYS_setsockopt, accepted, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    } else {
        OWN2(SYS_shutdown, accepted, SHUT_WR);
        OWN6(SYS_recvfrom, accepted, 0, REFUSED_UNREAD, MSG_DONTWAIT | MSG_TRUNC, 0, 0);
    }
    OWN1(SYS_close, accepted);
}

/* From here on weir follows the connection: whatever the number meant before ended unseen. */
static void follow(int accepted, struct connection *connection) {
    connection_open_stream(connection, accepted);
    uint64_t before = fd_table_swap(accepted, FD_STREAM, connection_index(connection));
    if (accepted >= FD_TABLE_SIZE)
        connection_release((uint64_t)connection_index(connection) << 32 | FD_STREAM, accepted, false);
    connection_release(before, accepted, false);
}

/* The end of the application's call by SO_RCVTIMEO, which the kernel counts again in each real call. */
static uint64_t end_of(const struct acceptance *a) {
    struct timeval limit = {0};
    socklen_t length = sizeof limit;

    if (OWN5(SYS_getsockopt, a->listener, SOL_SOCKET, SO_RCVTIMEO, &limit, &length) < 0 ||
        (limit.tv_sec == 0 && limit.tv_usec == 0))
        return WAIT_FOR_EVER;
    return a->called_ns + (uint64_t)limit.tv_sec * 1000 * MS_NS + (uint64_t)limit.tv_usec * US_NS;
}

/* Waits for a place, as "defer" has it, in a call that blocks: for as long as it takes if that is all that its thread
 * does. */
static bool waits_for_place(struct acceptance *a, struct connection *connection, uint64_t *ret_wait_ns) {
    if (admit_tcp_reject() != TCP_REJECT_DEFER || !wrapper_blocks(a->listener))
        return false;
    uint64_t end_ns = end_of(a);
    while ((a->patient || clock_ns() - a->begin_ns < DEFER_BOUND_NS) && clock_ns() < end_ns) {
        wrapper_nap(DEFER_NAP_NS);
        if (admit_accept(&connection->admit, -1, ret_wait_ns))
            return true;
    }
    return false;
}

/* False: it is gone.  Under a filter the application is given what cannot be closed: its next read ends it. */
static bool refused(struct connection *connection, int accepted) {
    if (!sandbox_on() || sandbox_allows(CALL_CLOSE)) {
        connection_drop(connection);
        refuse(accepted);
        return false;
    }
    connection_mark(connection, CONNECTION_REFUSED);
    follow(accepted, connection);
    return true;
}

/* May this one be rejected at the door?  Not if the call would then have to end with an error, as one that blocks and
 * finds no other connection; nor without a limit, if the program may have other things to do: it gets the next one as
 * it is, whose request can still be rejected when it is read. */
static bool rejects_at_door(const struct acceptance *a) {
    if (a->patient)
        return true;
    if (a->at_door && (a->at_door >= REFUSALS_MAX || clock_ns() - a->called_ns > DOOR_BOUND_NS))
        return false;
    return !wrapper_blocks(a->listener) || is_pending(a->listener);
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
            return refused(connection, accepted);
        }
        if (connection && wait_ns && sandbox_on()) {
            admit_disconnect(&connection->admit, false);
            return refused(connection, accepted);
        }
    }
    if (connection && admit_watches_door(&connection->admit) && rejects_at_door(a) &&
        !admit_at_door(&connection->admit, accepted)) {
        admit_disconnect(&connection->admit, false);
        connection_drop(connection);
        OWN1(SYS_close, accepted);
        a->at_door++;
        return false;
    }
    if (connection && (a->flags & SOCK_NONBLOCK) && a->flags >= 0)
        connection_mark(connection, CONNECTION_NONBLOCKING);
    if (connection && !connection->admit.port && admit_asks_idle())
        admit_arrived(&connection->admit, a->listener, !is_pending(a->listener));
    if (connection)
        follow(accepted, connection);
    else
        connection_release(fd_table_swap(accepted, FD_PLAIN, 0), accepted, false);
    wrapper_pause(a->listener, wait_ns);
    return true;
}

/* The address in the application's buffer is good if it is whole. */
static socklen_t peer_of(int accepted, const struct sockaddr *address, socklen_t room,
                         struct sockaddr_storage *ret_peer) {
    socklen_t length = sizeof *ret_peer;
    bool whole = room >= sizeof(struct sockaddr_in);

    if (whole && address->sa_family == AF_INET) {
        __builtin_memcpy(ret_peer, address, sizeof(struct sockaddr_in));
        return sizeof(struct sockaddr_in);
    }
    if (whole && address->sa_family == AF_UNIX)
        return 0;
    return OWN3(SYS_getpeername, accepted, ret_peer, &length) < 0 ? 0 : length;
}

/* 0: there is a next connection, or the call has no limit of time.  Else the error that ends the application's call. */
static int next_in_time(const struct acceptance *a) {
    uint64_t end_ns = end_of(a);
    struct pollfd look = {.fd = a->listener, .events = POLLIN};

    if (end_ns == WAIT_FOR_EVER)
        return 0;
    struct timespec left = wait_left(end_ns);
    if (left.tv_sec == 0 && left.tv_nsec == 0)
        return EAGAIN;
    long ready = OWN5(SYS_ppoll, &look, 1, &left, 0, 0);
    return ready == 0 ? EAGAIN : ready == -EINTR ? EINTR : 0;
}

/* After a refusal: 0 if the next connection is to be taken, else the error for the application.  A caller that has
 * nothing else to do waits for it; one that may have learnt by poll that there is something must not be held up, and
 * takes only what is there.
 *
 * Between that look and the real call another process that shares a blocking listener can take the connection; then
 * this call waits for the next one.  The program's own poll and accept leave the same gap, so it either tolerates that
 * or keeps the others out meanwhile.  To end the call with an error after each refusal would close the gap, and harm
 * all other programs. */
static int ends_after(const struct acceptance *a, unsigned refusals) {
    if (sandbox_on())
        return a->patient ? 0 : ECONNABORTED;
    if (!wrapper_blocks(a->listener)) /* at the door there is a limit of its own */
        return refusals < a->at_door + REFUSALS_MAX ? 0 : ECONNABORTED;
    if (a->patient)
        return next_in_time(a);
    return is_pending(a->listener) ? 0 : ECONNABORTED;
}

static int take(struct acceptance *a, struct sockaddr *address, socklen_t *length) {
    if (a->flags < 0)
        return a->via->accept(a->listener, (__SOCKADDR_ARG){address}, length);
    return a->via->accept4(a->listener, (__SOCKADDR_ARG){address}, length, a->flags);
}

/* What a program waits for by poll, select or epoll it takes when it is there: its accept is not meant to wait, however
 * long one took, as when its thread was preempted.  Of other programs it is known when an accept found nothing there
 * and then took long.  Until then that costs a look for each call. */
static void begin(struct acceptance *a) {
    bool polled = wakeup_is_polled(a->listener);

    a->patient = !polled && (fd_word_flags(fd_table_get(a->listener)) & FD_PATIENT);
    a->idle = !polled && !a->patient && (sandbox_on() || !is_pending(a->listener));
    a->begin_ns = clock_ns();
    if (!a->called_ns)
        a->called_ns = a->begin_ns;
}

static void learn_patience(struct acceptance *a) {
    uint64_t word = fd_table_get(a->listener);
    enum fd_kind kind = fd_word_kind(word);

    wait_ended(admit_asks_idle() && (a->patient || a->idle) ? a->begin_ns : 0, false);
    if (!a->idle || clock_ns() - a->begin_ns < BLOCKED_NS || !(sandbox_on() || wrapper_blocks(a->listener)))
        return;
    a->patient = true;
    if (kind == FD_SOCKET || kind == FD_LISTENER || kind == FD_UNKNOWN)
        fd_table_flag(a->listener, word, FD_PATIENT);
}

/* Takes one connection out of the backlog.  True: *ret_result is what the application gets. */
static bool accept_one(struct acceptance *a, struct sockaddr *address, socklen_t *length, int *ret_result) {
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof peer;
    uint32_t serial;

    int accepted = address ? take(a, address, length) : take(a, (struct sockaddr *)&peer, &peer_length);
    *ret_result = accepted;
    struct reentry_op *op = wrapper_enter(a->frame, &serial);
    if (!op)
        return true;
    int saved = errno;
    bool done = true;
    if (accepted >= 0) {
        if (address)
            peer_length = peer_of(accepted, address, a->room, &peer);
        learn_patience(a);
        done = admitted(a, accepted, &peer, peer_length);
    } else if (saved == EAGAIN) {
        learn_patience(a);
        if (admit_asks_idle())
            admit_queue_empty(a->listener);
    }
    if (accepted < 0 && a->admitted) {
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
    wrapper_pause(a->listener, wait_ns);
    return true;
}

static bool defers(const struct acceptance *a) {
    return !sandbox_on() && lifecycle_engine() && admit_tcp_reject() == TCP_REJECT_DEFER &&
           !(fd_word_flags(fd_table_get(a->listener)) & FD_EDGE);
}

/* 0, or the error for the application: EAGAIN, as if the backlog were empty, or ECONNABORTED where that would be odd.
 * An interrupted wait ends with EINTR, even after a handler with SA_RESTART: no wait with a limit of time is
 * restarted. */
static int stay_in_backlog(struct acceptance *a) {
    bool waits = wrapper_blocks(a->listener);

    if (!is_pending(a->listener))
        return waits ? 0 : EAGAIN; /* the real call waits, and what then comes is looked at then */
    while (!may_take(a)) {
        bool whole = wrapper_nap(DEFER_NAP_NS);
        if (!waits)
            return EAGAIN;
        if (!whole)
            return EINTR;
        if (clock_ns() >= end_of(a))
            return EAGAIN;
        if (!a->patient && clock_ns() - a->begin_ns > DEFER_BOUND_NS)
            return ECONNABORTED;
    }
    return 0;
}

static int wait_for_turn(struct acceptance *a) {
    uint32_t serial;
    struct reentry_op *op = wrapper_enter(a->frame, &serial);
    int error = 0, saved = errno;

    if (!op)
        return 0;
    begin(a);
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
    linger_look();
    if (address && caller_memory_readable(length, sizeof(*length), frame))
        a.room = *length;
    for (unsigned refusals = 0;; refusals++) {
        if (refusals && address)
            *length = a.room; /* as it was before the connection that was refused */
        error = wait_for_turn(&a);
        if (error)
            break;
        if (accept_one(&a, address, length, &result))
            return result;
        error = ends_after(&a, refusals);
        if (error)
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
