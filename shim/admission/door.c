/* Connections that are rejected at the door.
 *
 * An event loop in overload takes a connection, makes its objects for it, waits for its request, and only then weir can
 * reject it: at several times its capacity that alone is work enough.  So while requests wait too long, what lies with
 * a connection that was just accepted is looked at before the application has it. */
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "rules/ruleset.h"
#include "shim/admission/admit.h"
#include "shim/admission/admit_private.h"
#include "shim/admission/arrival.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/arena.h"
#include "shim/process/attach.h"
#include "shim/process/clock.h"
#include "shim/process/sandbox.h"
#include "shim/protocol/list.h"

enum { UNREAD_MAX = 1 << 20 };

struct door {
    char head[4096]; /* longer ones are the application's */
    char answer[STREAM_TEXT_MAX];
};

bool admit_watches_door(const struct admit_connection *c) {
    bool may = c->port && c->protocol != PROTOCOL_TCP && c->proxy != ROUTE_PROXY_ON;
    uint64_t now_ns = clock_ns();
    struct engine *engine = c->side == SIDE_INBOUND && !sandbox_on() ? attach_engine(now_ns) : NULL;
    struct admit_rules rules;
    bool watched = false;
    if (!engine || !admit_rules_begin(&rules, engine))
        return false;
    if (rules.ruleset->waits) {
        arrival_asked(now_ns);
        watched = may && engine_door(engine, rules.token, now_ns);
    }
    engine_read_end(engine, rules.token);
    return watched;
}

/* A whole request, in the plain form of the protocol, and nothing else. */
static bool is_plain_request(const char *bytes, size_t size, struct message *ret_message) {
    const struct protocol *protocol = &http1;
    if (protocol->request(bytes, size, 0, ret_message) != PARSED_DONE || ret_message->odd || ret_message->bare ||
        ret_message->upgrade || ret_message->expect_continue || ret_message->framing == BODY_CODED)
        return false;
    ret_message->busy_ns = 0;
    ret_message->whole = size - ret_message->size == ret_message->content_length;
    return ret_message->whole;
}

static bool refuse(struct admit_connection *c, int fd, struct door *door) {
    struct message message;
    size_t size;
    long got = OWN6(SYS_recvfrom, fd, door->head, sizeof(door->head), MSG_PEEK | MSG_DONTWAIT, 0, 0);
    if (got <= 0 || (size_t)got == sizeof(door->head) || !is_plain_request(door->head, (size_t)got, &message) ||
        !admit_refuses_at_door(c, &message, fd, door->answer, &size))
        return false;
    OWN6(SYS_sendto, fd, door->answer, size, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
    /* what is unread would turn the end into a reset */
    OWN6(SYS_recvfrom, fd, 0, UNREAD_MAX, MSG_DONTWAIT | MSG_TRUNC, 0, 0);
    OWN2(SYS_shutdown, fd, SHUT_WR);
    return true;
}

bool admit_at_door(struct admit_connection *c, int fd) {
    struct door *door = arena_take(sizeof(*door));
    bool refused = door && refuse(c, fd, door);
    if (door)
        arena_give(door, sizeof(*door));
    return !refused;
}
