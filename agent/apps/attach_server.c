#include "agent/apps/attach_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/internal.h"
#include "agent/process/proc.h"
#include "agent/core/sockets.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

enum { CONNECTIONS_MAX = 1024, BACKLOG = 1024, HELLOS_MAX = 8 };
static const uint64_t PATIENCE_NS = 2ull * 1000000000u, TELL_NS = 10ull * 1000000000u;

struct attach_connection {
    struct loop_source source;
    struct attach_server *server;
    struct attach_connection *next;
    uint64_t since_ns;
    uint32_t hellos;
};

/* ------------------------------------------------------------------------------------------------ which app, and may
 * it */

bool attach_matches(const struct rule_app_match *m, const struct attach_peer *peer) {
    if (!m->exe && !m->unit && !m->cgroup && !m->comm && m->uid < 0)
        return false;
    return (!m->exe || strcmp(m->exe, peer->exe) == 0) && (!m->comm || strcmp(m->comm, peer->comm) == 0) &&
           (!m->unit || proc_cgroup_in_unit(peer->cgroup, m->unit)) &&
           (!m->cgroup || (peer->cgroup[0] && proc_cgroup_below(peer->cgroup, m->cgroup))) &&
           (m->uid < 0 || (uint64_t)m->uid == peer->uid);
}

bool attach_may(const struct rule_app_match *m, const struct attach_peer *peer, uid_t agent_uid) {
    if (peer->uid == 0 || peer->uid == agent_uid || peer->made_by_root)
        return true;
    if (m->uid >= 0 && (uint64_t)m->uid != peer->uid)
        return false;
    if (m->unit && !proc_cgroup_in_unit(peer->cgroup, m->unit))
        return false;
    if (m->cgroup && !(peer->cgroup[0] && proc_cgroup_below(peer->cgroup, m->cgroup)))
        return false;
    return m->uid >= 0 || m->unit || m->cgroup || proc_cgroup_is_system(peer->cgroup);
}

static bool know_peer(int fd, struct attach_peer *peer) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
        return false;
    *peer = (struct attach_peer){.pid = credentials.pid, .uid = credentials.uid};
    return true;
}

static void know_program(struct attach_peer *peer) {
    char text[PROC_TEXT_MAX];
    if (proc_exe(peer->pid, text))
        snprintf(peer->exe, sizeof peer->exe, "%s", text);
    if (proc_comm(peer->pid, text))
        snprintf(peer->comm, sizeof peer->comm, "%.63s", text);
    if (proc_cgroup(peer->pid, text))
        snprintf(peer->cgroup, sizeof peer->cgroup, "%s", text);
    if (peer->uid != 0 && peer->uid != geteuid())
        peer->made_by_root = proc_made_by(peer->pid, 0) || proc_made_by(peer->pid, geteuid());
}

struct app *attach_match_app(const struct agent *agent, const struct attach_peer *peer) {
    for (size_t i = 0; i < agent->rules.count; i++) {
        const struct rule_file *file = agent->rules.files[i];
        const char *name = app_of_file(agent, file);
        if (!file->good || !name)
            continue;
        struct rule_app_match match = rule_document_match(file->good);
        if (attach_matches(&match, peer))
            return app_find(agent, name);
    }
    return NULL;
}

/* WEIR_APP wins if there are rules for that app; else the files' matches; else, under `weir run`, its own app. */
static struct app *choose_app(const struct agent *agent, const char *claimed, const struct attach_peer *peer) {
    struct app *app = claimed[0] ? app_find(agent, claimed) : NULL;
    if (!app)
        app = attach_match_app(agent, peer);
    if (!app && agent->options.embedded && agent->options.app)
        app = app_find(agent, agent->options.app);
    return app;
}

/* One fragment that lets it in suffices; an app without files is open to root and the agent's user alone. */
static bool may_be(const struct agent *agent, const struct app *app, const struct attach_peer *peer) {
    struct rule_app_match none = {.uid = 0};
    bool any = false;
    for (size_t i = 0; i < agent->rules.count; i++) {
        const struct rule_file *file = agent->rules.files[i];
        const char *name = file->good ? app_of_file(agent, file) : NULL;
        if (!name || strcmp(name, app->name) != 0)
            continue;
        struct rule_app_match match = rule_document_match(file->good);
        any = true;
        if (attach_may(&match, peer, geteuid()))
            return true;
    }
    return !any && attach_may(&none, peer, geteuid());
}

/* ------------------------------------------------------------------------------------------------------ one message */

static void answer(int fd, enum attach_status status, const struct app *app) {
    struct attach_reply reply = {.magic = ATTACH_MAGIC, .version = LAYOUT_VERSION, .status = status};
    struct iovec part = {&reply, sizeof reply};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (app) {
        int fds[2] = {app->memory.rules_read_fd, app->memory.counters_fd};
        memcpy(reply.app, app->name, sizeof reply.app);
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fds)};
        memcpy(CMSG_DATA(c), fds, sizeof fds);
    }
    sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT); /* a peer that does not read has nothing of it */
}

static void tell_refused(struct attach_server *s, const struct attach_peer *peer, const struct app *app) {
    uint64_t now_ns = loop_now_ns();
    if (s->refused_told_ns && now_ns - s->refused_told_ns < TELL_NS)
        return;
    s->refused_told_ns = now_ns;
    agent_say(s->agent, AGENT_LOG_WARNING,
              "%s: process %d (%s) of user %u may not be this app; to allow it add \"match\": {\"uid\": %u} to its "
              "rules file",
              app->name, (int)peer->pid, peer->exe[0] ? peer->exe : peer->comm, (unsigned)peer->uid,
              (unsigned)peer->uid);
}

/* `weir doctor` tells people why a process that has the shim is not protected. */
static void note_turned_away(struct attach_server *s, const struct attach_peer *peer, enum attach_status why,
                             const char *app) {
    struct attach_turned_away *place = &s->turned_away[0];
    if (!peer->pid)
        return; /* of a pid namespace that we do not see */
    for (size_t i = 0; i < ATTACH_TURNED_AWAY && place->pid != peer->pid; i++) {
        struct attach_turned_away *other = &s->turned_away[i];
        if (other->pid == peer->pid || other->asked_ns < place->asked_ns)
            place = other;
    }
    *place = (struct attach_turned_away){.pid = peer->pid, .uid = peer->uid, .why = why, .asked_ns = loop_now_ns()};
    snprintf(place->app, sizeof place->app, "%s", app);
}

static void forget_turned_away(struct attach_server *s, pid_t pid) {
    for (size_t i = 0; i < ATTACH_TURNED_AWAY; i++)
        if (s->turned_away[i].pid == pid)
            s->turned_away[i] = (struct attach_turned_away){0};
}

static void hello_map(struct attach_connection *c, const struct attach_hello *hello, struct attach_peer *peer) {
    struct agent *agent = c->server->agent;
    know_program(peer);
    const struct app *app = choose_app(agent, hello->app, peer);
    if (!app) {
        note_turned_away(c->server, peer, ATTACH_NO_APP, hello->app);
        answer(c->source.fd, ATTACH_NO_APP, NULL);
    } else if (!may_be(agent, app, peer)) {
        note_turned_away(c->server, peer, ATTACH_REFUSED, app->name);
        tell_refused(c->server, peer, app);
        answer(c->source.fd, ATTACH_REFUSED, NULL);
    } else {
        forget_turned_away(c->server, peer->pid);
        guard_shim(agent, peer->pid); /* from the answer on it enforces by itself */
        answer(c->source.fd, ATTACH_OK, app);
    }
}

/* Whoever knows the owner word has the app's memory already, by inheritance from a process that was let in. */
static void hello_slot(struct attach_connection *c, const struct attach_hello *hello, const struct attach_peer *peer) {
    struct app *app = app_find(c->server->agent, hello->app);
    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    if (!app)
        return;
    if (getsockopt(c->source.fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) < 0)
        pidfd = -1;
    clients_introduce(&app->clients, hello->slot, hello->owner, peer->pid, pidfd);
    app_grow(app);
}

static bool hello(struct attach_connection *c, struct attach_hello *hello, size_t length) {
    struct attach_peer peer;
    if (length < offsetof(struct attach_hello, kind) || hello->magic != ATTACH_MAGIC || !know_peer(c->source.fd, &peer))
        return false;
    if (hello->version != LAYOUT_VERSION) {
        note_turned_away(c->server, &peer, ATTACH_OTHER_LAYOUT, "");
        answer(c->source.fd, ATTACH_OTHER_LAYOUT, NULL);
        return false;
    }
    if (length != sizeof *hello || !memchr(hello->app, 0, sizeof hello->app) || ++c->hellos > HELLOS_MAX)
        return false;
    if (hello->kind == ATTACH_MAP)
        hello_map(c, hello, &peer);
    else if (hello->kind == ATTACH_SLOT)
        hello_slot(c, hello, &peer);
    else
        return false;
    return true;
}

/* ------------------------------------------------------------------------------------------------------ connections */

static void end(struct attach_connection *c) {
    struct attach_connection **place = &c->server->connections;
    while (*place != c)
        place = &(*place)->next;
    *place = c->next;
    c->server->count--;
    loop_forget(&c->server->agent->loop, &c->source);
    free(c);
}

static void ready(struct loop_source *source, uint32_t events) {
    struct attach_connection *c = LOOP_OWNER(source, struct attach_connection, source);
    struct attach_hello message;
    (void)events;
    for (;;) {
        ssize_t got = recv(source->fd, &message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0 || !hello(c, &message, (size_t)got)) {
            end(c);
            return;
        }
    }
}

static void accept_one(struct loop_source *source, uint32_t events) {
    struct attach_server *s = LOOP_OWNER(source, struct attach_server, source);
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct attach_connection *c = s->count < CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c || loop_watch(&s->agent->loop, &c->source, fd, EPOLLIN) < 0) {
        free(c);
        close(fd); /* it will ask again */
        return;
    }
    c->source.ready = ready;
    c->server = s;
    c->since_ns = loop_now_ns();
    c->next = s->connections;
    s->connections = c;
    s->count++;
}

void attach_server_tick(struct attach_server *s, uint64_t now_ns) {
    for (struct attach_connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (now_ns - c->since_ns > PATIENCE_NS)
            end(c);
    }
}

int attach_server_open(struct attach_server *s, struct agent *agent) {
    *s = (struct attach_server){.agent = agent, .source = {.fd = -1, .ready = accept_one}};
    /* 0666: any process may ask; what it is given is decided by who it is. */
    int fd = sockets_listen(agent->directory, agent->run_dir, ATTACH_SOCKET, SOCK_SEQPACKET, 0666, BACKLOG);
    if (fd < 0)
        return fd;
    int error = loop_watch(&agent->loop, &s->source, fd, EPOLLIN);
    if (error)
        close(fd);
    return error;
}

void attach_server_close(struct attach_server *s) {
    for (struct attach_connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        end(c);
    }
    if (s->agent) /* an agent that failed to open never began it */
        loop_forget(&s->agent->loop, &s->source);
}
