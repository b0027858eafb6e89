#include "agent/core/server.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_MAX = 64, /* in a row: a flood of connections fills the kernel's queue no faster than that empties it */
    READS_MAX = 16,   /* of one connection in a row, so that the others get their turn */
    DRAINS_MAX = 64,  /* reads of what is thrown away at the end */
    DRAIN_BYTES = 4096,
};
static const uint64_t PAUSE_NS = 100000000u; /* without descriptors, until the next attempt */

enum state { READING, WAITING, WRITING };

struct server_connection {
    struct loop_source source;
    struct server *server;
    struct server_connection *next;
    uint64_t id, deadline_ns;
    enum state state;
    bool last;   /* it ends when all is sent */
    bool failed; /* no memory, or too much output: it ends now */
    char *output;
    size_t sent, size;
    size_t have; /* bytes of input */
    char *input; /* room for input_max and a NUL */
    max_align_t own[];
};

/* ------------------------------------------------------------------------------------------------------- one of them
 */

static void end(struct server_connection *c) {
    struct server_connection **place = &c->server->first;
    if (c->server->protocol->closed)
        c->server->protocol->closed(c);
    while (*place != c)
        place = &(*place)->next;
    *place = c->next;
    c->server->count--;
    loop_forget(c->server->loop, &c->source);
    free(c->output);
    free(c->input);
    free(c);
}

static void enter(struct server_connection *c, enum state state) {
    static const uint32_t events[] = {[READING] = EPOLLIN, [WAITING] = 0, [WRITING] = EPOLLOUT};
    const struct server_protocol *protocol = c->server->protocol;
    uint64_t patience_ns = state == READING   ? protocol->reading_ns
                           : state == WAITING ? protocol->waiting_ns
                                              : protocol->writing_ns;
    c->deadline_ns = loop_now_ns() + patience_ns;
    loop_timer_by(&c->server->timer, c->deadline_ns);
    if (state != c->state && loop_change(c->server->loop, &c->source, events[state]) < 0)
        c->failed = true;
    c->state = state;
}

/* What is unread when a connection is closed resets it, and the answer may be lost with that. */
static void drain(const struct server_connection *c) {
    char bytes[DRAIN_BYTES];
    for (int i = 0; i < DRAINS_MAX && recv(c->source.fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0; i++)
        continue;
}

/* Sends what the peer takes.  False: the connection is broken. */
static bool flush(struct server_connection *c) {
    while (c->sent < c->size) {
        ssize_t sent = send(c->source.fd, c->output + c->sent, c->size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN;
        c->sent += (size_t)sent;
    }
    free(c->output);
    c->output = NULL;
    c->sent = c->size = 0;
    return true;
}

/* False: the connection is over. */
static bool write_on(struct server_connection *c) {
    if (c->failed || !flush(c))
        return false;
    if (c->size > 0) {
        if (c->state != WRITING)
            enter(c, WRITING);
        return !c->failed;
    }
    if (c->last) {
        drain(c);
        return false;
    }
    enter(c, READING);
    return !c->failed;
}

/* Hands the input over until it is used up.  False: the connection is over. */
static bool handle(struct server_connection *c, bool eof) {
    const struct server_protocol *protocol = c->server->protocol;
    for (;;) {
        bool full = c->have == protocol->input_max;
        size_t consumed = 0;
        c->input[c->have] = 0;
        enum server_next next = protocol->input(c, c->input, c->have, eof, full, &consumed);
        consumed = protocol->messages || consumed > c->have ? c->have : consumed;
        memmove(c->input, c->input + consumed, c->have - consumed);
        c->have -= consumed;
        if (next == SERVER_MORE)
            return !c->failed && !eof && !(full && consumed == 0);
        c->last = next == SERVER_END || eof;
        if (next == SERVER_WAIT) {
            enter(c, WAITING);
            return !c->failed;
        }
        if (!write_on(c))
            return false;
        if (c->state != READING || c->have == 0)
            return true;
    }
}

/* False: the connection is over. */
static bool read_on(struct server_connection *c) {
    size_t room = c->server->protocol->input_max;
    for (int i = 0; i < READS_MAX && c->state == READING; i++) {
        ssize_t got = recv(c->source.fd, c->input + c->have, room - c->have, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN;
        if (got == 0 && c->have == 0)
            return false;
        c->have += (size_t)got;
        if (!handle(c, got == 0))
            return false;
    }
    return true;
}

/* Sends what there is, then looks at what came meanwhile.  False: the connection is over. */
static bool go_on(struct server_connection *c) {
    return write_on(c) && (c->state != READING || c->have == 0 || handle(c, false));
}

static void ready(struct loop_source *source, uint32_t events) {
    struct server_connection *c = LOOP_OWNER(source, struct server_connection, source);
    bool on = c->state == READING ? read_on(c) : c->state == WRITING ? go_on(c) : false;
    (void)events; /* while an answer is being made only the end of the connection is reported */
    if (!on)
        end(c);
}

/* ------------------------------------------------------------------------------------------------------ all of them */

static struct server_connection *connection_new(struct server *server, int fd) {
    const struct server_protocol *protocol = server->protocol;
    struct server_connection *c = calloc(1, sizeof *c + protocol->state_size);
    char *input = c ? malloc(protocol->input_max + 1) : NULL;
    if (!input || loop_watch(server->loop, &c->source, fd, EPOLLIN) < 0) {
        free(input);
        free(c);
        return NULL;
    }
    c->source.ready = ready;
    c->server = server;
    c->input = input;
    c->id = ++server->next_id;
    c->next = server->first;
    server->first = c;
    server->count++;
    return c;
}

static void pause_accepting(struct server *server) {
    server->paused = loop_change(server->loop, &server->source, 0) == 0;
    loop_timer_by(&server->timer, loop_now_ns() + PAUSE_NS);
}

/* Of those that have sent nothing the one that has longest; NULL: all have. */
static struct server_connection *most_silent(const struct server *server) {
    struct server_connection *found = NULL;
    for (struct server_connection *c = server->first; c; c = c->next)
        if (c->state == READING && c->have == 0 && (!found || c->deadline_ns <= found->deadline_ns))
            found = c;
    return found;
}

static bool has_room(const struct server *server) {
    struct server_connection *silent = server->count < server->protocol->connections_max ? NULL : most_silent(server);
    if (silent)
        end(silent);
    return server->count < server->protocol->connections_max;
}

/* What a newcomer has sent already is read at once: before it could be taken for a silent one. */
static void begin(struct server *server, int fd) {
    const struct server_protocol *protocol = server->protocol;
    bool welcome = !protocol->welcome || protocol->welcome(server->context, fd);
    struct server_connection *c = welcome && has_room(server) ? connection_new(server, fd) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    enter(c, READING);
    if (protocol->opened)
        protocol->opened(c);
    if (!read_on(c))
        end(c);
}

static void accept_some(struct loop_source *source, uint32_t events) {
    struct server *server = LOOP_OWNER(source, struct server, source);
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX && source->fd >= 0; i++) {
        int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                pause_accepting(server); /* else the loop would do nothing but this */
            return;
        }
        begin(server, fd);
    }
}

static void deadline(struct loop_timer *timer) {
    struct server *server = LOOP_OWNER(timer, struct server, timer);
    uint64_t now_ns = loop_now_ns();
    if (server->paused)
        server->paused = loop_change(server->loop, &server->source, EPOLLIN) < 0;
    for (struct server_connection *c = server->first, *next; c; c = next) {
        next = c->next;
        if (c->deadline_ns <= now_ns)
            end(c);
        else
            loop_timer_by(timer, c->deadline_ns);
    }
}

int server_open(struct server *server, struct loop *loop, const struct server_protocol *protocol, int listening,
                void *context) {
    *server = (struct server){.protocol = protocol, .context = context, .loop = loop};
    server->source = (struct loop_source){.fd = -1, .ready = accept_some};
    int error = loop_watch(loop, &server->source, listening, EPOLLIN);
    if (error) {
        close(listening);
        *server = (struct server){0};
        return error;
    }
    loop_timer_add(loop, &server->timer, deadline);
    return 0;
}

bool server_is_open(const struct server *server) {
    return server->protocol != NULL;
}

void server_close(struct server *server) {
    if (!server_is_open(server))
        return;
    while (server->first)
        end(server->first);
    loop_forget(server->loop, &server->source);
    loop_timer_remove(server->loop, &server->timer);
    *server = (struct server){0};
}

/* ------------------------------------------------------------------------------------------------- for the protocol */

void *server_context(const struct server_connection *c) {
    return c->server->context;
}

void *server_state(struct server_connection *c) {
    return c->own;
}

int server_fd(const struct server_connection *c) {
    return c->source.fd;
}

uint64_t server_id(const struct server_connection *c) {
    return c->id;
}

void server_give(struct server_connection *c, char *bytes, size_t length) {
    if (c->size == 0 && length <= c->server->protocol->output_max) {
        free(c->output);
        c->output = bytes;
        c->size = length;
        return;
    }
    server_send(c, bytes, length);
    free(bytes);
}

void server_send(struct server_connection *c, const void *bytes, size_t length) {
    size_t left = c->size - c->sent;
    char *output = !c->failed && length <= c->server->protocol->output_max - left ? malloc(left + length + 1) : NULL;
    if (!output) {
        c->failed = true;
        return;
    }
    if (left > 0)
        memcpy(output, c->output + c->sent, left);
    memcpy(output + left, bytes, length);
    free(c->output);
    c->output = output;
    c->sent = 0;
    c->size = left + length;
}

struct server_connection *server_find(const struct server *server, uint64_t id) {
    for (struct server_connection *c = server->first; c; c = c->next)
        if (c->id == id)
            return c->state == WAITING ? c : NULL;
    return NULL;
}

void server_resume(struct server_connection *c, bool last) {
    c->last |= last;
    if (!go_on(c))
        end(c);
}
