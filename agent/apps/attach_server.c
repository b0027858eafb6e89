#include "agent/apps/attach_server.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/apps/attach_peer.h"
#include "agent/core/log.h"
#include "agent/core/sockets.h"
#include "rules/hash.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

enum { CONNECTIONS_MAX = 1024, BACKLOG = 1024, HELLOS_MAX = 8, BURST = 512 };
static const uint64_t EACH_NS = 1000000000u / 256; /* a connection of a user, once its burst is spent */
static const uint64_t PATIENCE_NS = 2ull * 1000000000u, REPEAT_NS = 10ull * 1000000000u;

/* ------------------------------------------------------------------------------------------------------ one message */

static void answer(int fd, enum attach_status status, const struct app *app) {
    struct attach_reply reply = {
        .magic = ATTACH_MAGIC, .version = LAYOUT_VERSION, .status = status, .min_reader = LAYOUT_MIN_READER};
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

static void report_process(const struct attach_server *s, enum bus_kind kind, const struct attach_peer *peer,
                           const struct app *app) {
    struct bus_event event = {.kind = kind, .app = app->name};
    event.process.pid = peer->pid;
    event.process.uid = peer->uid;
    event.process.program = peer->exe[0] ? peer->exe : peer->comm;
    bus_publish(s->apps->bus, &event);
}

static void report_refused(struct attach_server *s, const struct attach_peer *peer, const struct app *app) {
    if (log_is_due(&s->refused_ns, loop_now_ns(), REPEAT_NS))
        report_process(s, BUS_PROCESS_REFUSED, peer, app);
}

/* `weir doctor` says why a process that has the shim is not protected. */
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

static struct attach_server *server_of(const struct server_connection *c) {
    return server_context(c);
}

static void hello_map(struct server_connection *c, const struct attach_hello *hello, struct attach_peer *peer) {
    const struct app_list *apps = server_of(c)->apps;
    attach_peer_read(peer, server_fd(c));
    attach_peer_claim(peer, hello->exe);
    const struct app *had = attach_pass_app(apps, hello->pass);
    const struct app *app = attach_choose_app(apps, hello->app, peer);
    if (!app)
        app = had;
    if (!app) {
        note_turned_away(server_of(c), peer, ATTACH_NO_APP, hello->app);
        answer(server_fd(c), ATTACH_NO_APP, NULL);
    } else if (app != had && !attach_may_be(apps, app, peer)) {
        note_turned_away(server_of(c), peer, ATTACH_REFUSED, app->name);
        report_refused(server_of(c), peer, app);
        answer(server_fd(c), ATTACH_REFUSED, NULL);
    } else {
        forget_turned_away(server_of(c), peer->pid);
        report_process(server_of(c), BUS_PROCESS_ADMITTED, peer, app); /* from the answer on it enforces by itself */
        answer(server_fd(c), ATTACH_OK, app);
    }
}

/* A process that has the app's memory already, by inheritance from one that was let in, says so with its pass; of an
 * older library, which has none, it is as with its first question. */
static bool has_memory_of(const struct attach_server *s, const struct app *app, const struct attach_hello *hello,
                          struct attach_peer *peer, int fd) {
    if (hello->pass[0] || hello->pass[1])
        return attach_pass_app(s->apps, hello->pass) == app;
    attach_peer_read(peer, fd);
    return attach_may_be(s->apps, app, peer);
}

static void hello_slot(struct server_connection *c, const struct attach_hello *hello, struct attach_peer *peer) {
    struct app *app = app_find(server_of(c)->apps, hello->app);
    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    if (!app || !has_memory_of(server_of(c), app, hello, peer, server_fd(c)))
        return;
    if (getsockopt(server_fd(c), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) < 0)
        pidfd = -1;
    clients_introduce(&app->clients, hello->slot, hello->owner, peer->pid, pidfd);
    app_grow(app);
}

/* Can the library read what this agent writes? */
static bool understands(const struct attach_hello *hello, size_t length) {
    bool older = hello->version < LAYOUT_VERSION;
    if (hello->version < LAYOUT_MIN_READER || length < ATTACH_HELLO_LEAST)
        return false;
    return older || hello->min_writer <= LAYOUT_VERSION;
}

struct talk { /* of a connection */
    uint32_t hellos;
};

static bool hello(struct server_connection *c, const struct attach_hello *hello, size_t length) {
    struct talk *talk = server_state(c);
    struct attach_peer peer;
    if (length < offsetof(struct attach_hello, kind) || hello->magic != ATTACH_MAGIC ||
        !attach_peer_of(server_fd(c), &peer))
        return false;
    if (hello->version != LAYOUT_VERSION && !understands(hello, length)) {
        note_turned_away(server_of(c), &peer, ATTACH_OTHER_LAYOUT, "");
        answer(server_fd(c), ATTACH_OTHER_LAYOUT, NULL);
        return false;
    }
    if (length < ATTACH_HELLO_LEAST || !memchr(hello->app, 0, sizeof hello->app) || ++talk->hellos > HELLOS_MAX)
        return false;
    if (hello->kind == ATTACH_MAP)
        hello_map(c, hello, &peer);
    else if (hello->kind == ATTACH_SLOT)
        hello_slot(c, hello, &peer);
    else
        return false;
    return true;
}

/* A process that is not welcome now asks again, as all do that have no memory yet. */
static bool welcome(void *context, int fd) {
    struct attach_server *s = context;
    struct attach_peer peer;
    if (!attach_peer_of(fd, &peer))
        return false;
    if (peer.uid == 0 || peer.uid == geteuid())
        return true;
    struct attach_user *user = &s->users[hash_mix(s->users_seed, peer.uid) % ATTACH_USERS];
    uint64_t now_ns = loop_now_ns(), add = (now_ns - user->refilled_ns) / EACH_NS;
    if (add > 0) {
        user->left = add > BURST - user->left ? BURST : user->left + (uint32_t)add;
        user->refilled_ns = now_ns;
    }
    if (user->left == 0)
        return false;
    user->left--;
    return true;
}

static enum server_next input(struct server_connection *c, char *bytes, size_t length, bool end, bool full,
                              size_t *ret_consumed) {
    struct attach_hello message = {0};
    (void)end;
    memcpy(&message, bytes, length < sizeof message ? length : sizeof message);
    *ret_consumed = length;
    return !full && hello(c, &message, length) ? SERVER_MORE : SERVER_END; /* longer than any message: it is none */
}

static const struct server_protocol PROTOCOL = {
    .name = "attach",
    .messages = true,
    .connections_max = CONNECTIONS_MAX,
    .state_size = sizeof(struct talk),
    .input_max = ATTACH_MESSAGE_MAX,
    .reading_ns = PATIENCE_NS,
    .waiting_ns = PATIENCE_NS,
    .writing_ns = PATIENCE_NS,
    .welcome = welcome,
    .input = input,
};

int attach_server_open(struct attach_server *s, struct app_list *apps) {
    memset(s, 0, sizeof *s);
    s->apps = apps;
    if (getrandom(&s->users_seed, sizeof s->users_seed, 0) != sizeof s->users_seed)
        s->users_seed = loop_now_ns();
    /* 0666: any process may ask; what it is given is decided by who it is. */
    int fd = sockets_listen(apps->directory, apps->run_dir, ATTACH_SOCKET, SOCK_SEQPACKET, 0666, BACKLOG);
    return fd < 0 ? fd : server_open(&s->server, apps->loop, &PROTOCOL, fd, s);
}

void attach_server_close(struct attach_server *s) {
    server_close(&s->server);
}
