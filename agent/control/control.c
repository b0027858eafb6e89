#include "agent/control/control.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/control/answer.h"
#include "agent/core/sockets.h"

enum { CONNECTIONS_MAX = 64, BACKLOG = 64, REQUEST_MAX = 4095, ANSWER_MAX = 256 << 20 };
static const uint64_t PATIENCE_NS = 5ull * 1000000000u, WAIT_NS = 60ull * 1000000000u;

struct peer { /* of a connection */
    bool may_change;
};

static void opened(struct server_connection *c) {
    const struct control *control = server_context(c);
    struct peer *peer = server_state(c);
    peer->may_change = sockets_peer_is_trusted(server_fd(c), control->group);
}

struct late { /* an answer that the worker makes */
    struct work work;
    struct control *control;
    uint64_t connection;
    struct answer_request request;
    struct control_sources sources; /* a copy: of it `takes_time` answers use what the thread may */
    char *answer;
    size_t length;
};

static void late_run(struct work *work) {
    struct late *late = (struct late *)(void *)work;
    late->answer = answer_make(&late->sources, &late->request, false, &late->length);
}

static void late_done(struct work *work) {
    struct late *late = (struct late *)(void *)work;
    struct server_connection *c = server_find(&late->control->server, late->connection);
    if (!c)
        return; /* it did not wait for that */
    if (late->answer)
        server_give(c, late->answer, late->length);
    late->answer = NULL;
    server_resume(c, true);
}

static void late_drop(struct work *work) {
    struct late *late = (struct late *)(void *)work;
    free(late->answer);
    free(late);
}

static enum server_next answer_late(struct server_connection *c, struct control *control,
                                    const struct answer_request *request) {
    struct late *late = calloc(1, sizeof *late);
    if (!late)
        return SERVER_END;
    *late = (struct late){.work = {late_run, late_done, late_drop, NULL},
                          .control = control,
                          .connection = server_id(c),
                          .request = *request,
                          .sources = *control->sources};
    worker_ask(control->sources->worker, &late->work);
    return SERVER_WAIT;
}

/* A request is a line; the end of the input ends it as well. */
static enum server_next input(struct server_connection *c, char *bytes, size_t length, bool end, bool full,
                              size_t *ret_consumed) {
    struct control *control = server_context(c);
    const struct peer *peer = server_state(c);
    char *newline = memchr(bytes, '\n', length);
    struct answer_request request;
    size_t answer_length;
    if (!newline && !end && !full)
        return SERVER_MORE;
    *ret_consumed = length;
    answer_read(bytes, newline ? (size_t)(newline - bytes) : full ? 0 : length, &request);
    if (request.takes_time)
        return answer_late(c, control, &request);
    char *answer = answer_make(control->sources, &request, peer->may_change, &answer_length);
    if (answer)
        server_give(c, answer, answer_length);
    return SERVER_END; /* one question, one answer */
}

static const struct server_protocol PROTOCOL = {
    .name = "control",
    .connections_max = CONNECTIONS_MAX,
    .state_size = sizeof(struct peer),
    .input_max = REQUEST_MAX,
    .output_max = ANSWER_MAX,
    .reading_ns = PATIENCE_NS,
    .waiting_ns = WAIT_NS,
    .writing_ns = PATIENCE_NS,
    .opened = opened,
    .input = input,
};

int control_open(struct control *control, const struct control_sources *sources, gid_t group) {
    *control = (struct control){.sources = sources, .group = group};
    mode_t mode = group == (gid_t)-1 ? 0600 : 0660;
    int fd = sockets_listen(sources->apps->directory, sources->run_dir, CONTROL_SOCKET, SOCK_STREAM, mode, BACKLOG);
    return fd < 0 ? fd : server_open(&control->server, sources->apps->loop, &PROTOCOL, fd, control);
}

void control_close(struct control *control) {
    server_close(&control->server);
}
