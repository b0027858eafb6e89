#include "shim/fd/fd_custody.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "rules/rule.h"
#include "shim/admission/handover.h"
#include "shim/fd/classify.h"
#include "shim/fd/connection.h"
#include "shim/fd/fd_table.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/attach.h"
#include "shim/process/clock.h"
#include "shim/process/lifecycle.h"
#include "shim/process/reentry.h"

enum { EXEC_SEARCH = 1024 };

static uint32_t rounds; /* forks of this process and its parents */

static void identify(const struct admit_connection *admit, const struct sockaddr_storage *peer,
                     struct custody_identity *ret_identity) {
    *ret_identity = (struct custody_identity){.port = admit->port, .address_length = admit->address_length};
    memcpy(ret_identity->address, admit->peer, admit->address_length);
    if (peer->ss_family == AF_INET)
        ret_identity->peer_port = ntohs(((const struct sockaddr_in *)peer)->sin_port);
    else if (peer->ss_family == AF_INET6)
        ret_identity->peer_port = ntohs(((const struct sockaddr_in6 *)peer)->sin6_port);
    else
        ret_identity->address_length = 0;
}

/* A destination's port is no local port. */
static void identify_fd(int fd, const struct admit_connection *admit, struct custody_identity *ret_identity) {
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof peer;
    if (admit->side != SIDE_INBOUND || OWN3(SYS_getpeername, fd, &peer, &length) < 0)
        peer.ss_family = AF_UNSPEC;
    identify(admit, &peer, ret_identity);
}

/* --------------------------------------------------------------------------------------------------- one connection */

struct sending {
    int fd;
    struct connection *connection;
    bool identified, sent;
    struct custody_identity identity;
};

static const struct custody_identity *identity_of(struct sending *sending) {
    if (!sending->identified)
        identify_fd(sending->fd, &sending->connection->admit, &sending->identity);
    sending->identified = true;
    return &sending->identity;
}

static void send_ticket(void *context, struct engine_ticket *ticket) {
    struct sending *sending = context;
    if (ticket->resources_count && ticket->leases_count && handover_send(ticket, identity_of(sending), rounds))
        sending->sent = true;
}

static void unsend_ticket(void *context, struct engine_ticket *ticket) {
    (void)context;
    handover_unsend(ticket);
}

static void join_ticket(void *context, struct engine_ticket *ticket) {
    (void)context;
    handover_join(ticket, rounds);
}

static bool has_stream(const struct connection *connection) {
    return connection->admit.side == SIDE_INBOUND && !connection_marked(connection, CONNECTION_ABANDONED);
}

static void each_ticket(struct connection *connection, void (*visit)(void *, struct engine_ticket *), void *context) {
    if (has_stream(connection))
        stream_each_ticket(connection_stream(connection), visit, context);
}

static bool send_connection(int fd, struct connection *connection) {
    struct sending sending = {.fd = fd, .connection = connection};
    connection_mark(connection, CONNECTION_SENT);
    if (admit_holds(&connection->admit))
        sending.sent = admit_send(&connection->admit, identity_of(&sending), rounds);
    each_ticket(connection, send_ticket, &sending);
    return sending.sent;
}

static void each_connection(void (*visit)(int fd, struct connection *)) {
    int last = fd_table_highest();
    for (int fd = 0; fd <= last; fd++) {
        uint64_t word = fd_table_get(fd);
        struct connection *connection = fd_word_kind(word) >= FD_OUTBOUND ? connection_hold(fd, word) : NULL;
        if (!connection)
            continue;
        visit(fd, connection);
        connection_drop(connection);
    }
}

bool fd_custody_send(int fd) {
    uint64_t word = fd_table_get(fd);
    struct connection *connection = fd_word_kind(word) >= FD_OUTBOUND ? connection_hold(fd, word) : NULL;
    if (!connection)
        return false;
    rounds++;
    bool sent = send_connection(fd, connection);
    connection_drop(connection);
    return sent;
}

void fd_custody_unsend(int fd) {
    uint64_t word = fd_table_get(fd);
    struct connection *connection = fd_word_kind(word) >= FD_OUTBOUND ? connection_hold(fd, word) : NULL;
    if (!connection)
        return;
    admit_unsend(&connection->admit);
    each_ticket(connection, unsend_ticket, NULL);
    connection_drop(connection);
}

bool fd_custody_used(void) {
    struct engine *engine = lifecycle_engine();
    return engine && custody_used(engine);
}

void fd_custody_receive(struct admit_connection *admit, const struct sockaddr_storage *peer) {
    struct custody_identity identity;
    identify(admit, peer, &identity);
    admit_receive(admit, &identity);
}

/* ------------------------------------------------------------------------------------------------------------- fork */

static bool any_sent;

static void before_fork(int fd, struct connection *connection) {
    any_sent |= send_connection(fd, connection);
}

void fd_custody_before_fork(void) {
    struct reentry_op *op = reentry_enter(__builtin_frame_address(0), NULL);
    if (!op)
        return;
    uint32_t serial = op->serial;
    rounds++;
    any_sent = false;
    each_connection(before_fork);
    reentry_leave(op, serial);
}

static void in_child(int fd, struct connection *connection) {
    (void)fd;
    admit_join(&connection->admit, rounds);
    each_ticket(connection, join_ticket, NULL);
}

void fd_custody_in_child(void) {
    if (!any_sent)
        return;
    atomic_store(&handover_count, 0); /* the tickets are the parent's */
    attach_take_slot();
    each_connection(in_child);
}

void fd_custody_after_exec(void) {
    struct engine *engine = attach_engine(clock_ns());
    struct reentry_op *op = engine ? reentry_enter(__builtin_frame_address(0), NULL) : NULL;
    if (!op)
        return;
    uint32_t serial = op->serial;
    for (int fd = 0; fd < EXEC_SEARCH; fd++)
        classify(fd);
    handover_forget_others(engine);
    reentry_leave(op, serial);
}
