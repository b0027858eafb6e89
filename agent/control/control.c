#include "agent/control/control.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/internal.h"
#include "agent/core/sockets.h"

enum { CONNECTIONS_MAX = 64, BACKLOG = 64, REQUEST_MAX = 4096, DRAINS_MAX = 64 };
static const uint64_t PATIENCE_NS = 5ull * 1000000000u;

struct control_connection {
    struct loop_source source;
    struct control *control;
    struct control_connection *next;
    uint64_t since_ns;
    bool may_change;
    size_t have;       /* bytes of the request */
    char *reply;       /* NULL while the request is being read */
    size_t sent, size; /* of the reply */
    char request[REQUEST_MAX];
};

static void end(struct control_connection *c) {
    struct control_connection **place = &c->control->connections;
    while (*place != c)
        place = &(*place)->next;
    *place = c->next;
    c->control->count--;
    loop_forget(&c->control->agent->loop, &c->source);
    free(c->reply);
    free(c);
}

/* What is unread when a connection is closed resets it, and the answer may be lost with that. */
static void drain(struct control_connection *c) {
    for (int i = 0; i < DRAINS_MAX && recv(c->source.fd, c->request, sizeof c->request, MSG_DONTWAIT) > 0; i++)
        continue;
}

/* Writes what the peer takes; the rest when it takes more.  False: the connection is over. */
static bool flush(struct control_connection *c) {
    while (c->sent < c->size) {
        ssize_t sent = send(c->source.fd, c->reply + c->sent, c->size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return loop_change(&c->control->agent->loop, &c->source, EPOLLOUT) == 0;
        if (sent <= 0)
            return false;
        c->sent += (size_t)sent;
    }
    drain(c);
    return false; /* one question, one answer */
}

static bool reply_to(struct control_connection *c, const char *request) {
    c->reply = control_answer(c->control->agent, request, c->may_change);
    c->size = c->reply ? strlen(c->reply) : 0;
    return c->reply && flush(c);
}

/* A request is a line; the end of the input ends it as well.  False: the connection is over. */
static bool read_request(struct control_connection *c) {
    for (;;) {
        ssize_t got = recv(c->source.fd, c->request + c->have, sizeof c->request - 1 - c->have, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN;
        c->have += (size_t)got;
        c->request[c->have] = 0;
        char *newline = memchr(c->request, '\n', c->have);
        if (newline)
            *newline = 0;
        if (newline || (got == 0 && c->have > 0))
            return reply_to(c, c->request);
        if (got == 0)
            return false;
        if (c->have == sizeof c->request - 1)
            return reply_to(c, "");
    }
}

static void ready(struct loop_source *source, uint32_t events) {
    struct control_connection *c = LOOP_OWNER(source, struct control_connection, source);
    (void)events;
    if (!(c->reply ? flush(c) : read_request(c)))
        end(c);
}

static void accept_one(struct loop_source *source, uint32_t events) {
    struct control *control = LOOP_OWNER(source, struct control, source);
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct control_connection *c = control->count < CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c || loop_watch(&control->agent->loop, &c->source, fd, EPOLLIN) < 0) {
        free(c);
        close(fd);
        return;
    }
    c->source.ready = ready;
    c->control = control;
    c->since_ns = loop_now_ns();
    c->may_change = sockets_peer_is_trusted(fd, control->agent->group);
    c->next = control->connections;
    control->connections = c;
    control->count++;
}

void control_tick(struct control *control, uint64_t now_ns) {
    for (struct control_connection *c = control->connections, *next; c; c = next) {
        next = c->next;
        if (now_ns - c->since_ns > PATIENCE_NS)
            end(c);
    }
}

int control_open(struct control *control, struct agent *agent) {
    *control = (struct control){.agent = agent, .source = {.fd = -1, .ready = accept_one}};
    mode_t mode = agent->group == (gid_t)-1 ? 0600 : 0660;
    int fd = sockets_listen(agent->directory, agent->run_dir, AGENT_CONTROL_SOCKET, SOCK_STREAM, mode, BACKLOG);
    if (fd < 0)
        return fd;
    int error = loop_watch(&agent->loop, &control->source, fd, EPOLLIN);
    if (error)
        close(fd);
    return error;
}

void control_close(struct control *control) {
    for (struct control_connection *c = control->connections, *next; c; c = next) {
        next = c->next;
        end(c);
    }
    if (control->agent)
        loop_forget(&control->agent->loop, &control->source);
}
