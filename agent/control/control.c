#include "agent/control/control.h"

#include <string.h>
#include <sys/socket.h>

#include "agent/control/answer.h"
#include "agent/core/sockets.h"

enum { CONNECTIONS_MAX = 64, BACKLOG = 64, REQUEST_MAX = 4095, ANSWER_MAX = 256 << 20 };
static const uint64_t PATIENCE_NS = 5ull * 1000000000u;

struct peer { /* of a connection */
    bool may_change;
};

static void opened(struct server_connection *c) {
    const struct control *control = server_context(c);
    struct peer *peer = server_state(c);
    peer->may_change = sockets_peer_is_trusted(server_fd(c), control->group);
}

/* A request is a line; the end of the input ends it as well. */
static enum server_next input(struct server_connection *c, char *bytes, size_t length, bool end, bool full,
                              size_t *ret_consumed) {
    const struct control *control = server_context(c);
    const struct peer *peer = server_state(c);
    char *newline = memchr(bytes, '\n', length);
    size_t answer_length;
    if (!newline && !end && !full)
        return SERVER_MORE;
    if (!newline && full)
        length = 0; /* too long for a request, and refused as an empty one is */
    *ret_consumed = length;
    char *answer = answer_request(control->sources, bytes, newline ? (size_t)(newline - bytes) : length,
                                  peer->may_change, &answer_length);
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
    .waiting_ns = PATIENCE_NS,
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
