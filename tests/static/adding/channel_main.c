/* A session reads through it, and a request is decided. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/channel/memory.h"
#include "shim/protocol/protocol.h"
#include "shim/session/stream.h"

static enum engine_verdict request(void *context, const struct message *head, bool *close,
                                   struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                   size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    (void)context, (void)close, (void)ret_ticket, (void)answer, (void)ret_answer_size, (void)ret_turn_ns;
    printf("%.*s ", (int)head->target.size, head->target.at);
    return ENGINE_PASS;
}

static void ignore(void *context) {
    (void)context;
}

static void *take(size_t size) {
    return malloc(size);
}

static void give(void *bytes, size_t size) {
    (void)size;
    free(bytes);
}

int main(void) {
    static const char bytes[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    static const struct stream_policy policy = {.request = request, .undecided = ignore, .early = ignore};
    static const struct stream_memory memory = {take, give};
    struct channel_memory channel = {
        .channel = {.ops = &channel_memory, .fd = -1}, .bytes = bytes, .left = sizeof(bytes) - 1};
    struct stream *stream = calloc(1, stream_size());
    char got[256];
    stream_open(stream, &channel.channel, &policy, NULL, &memory);
    ssize_t size = stream_read(stream, &(struct iovec){got, sizeof(got)}, 1, 0);
    printf("%zd\n", size);
    return size != (ssize_t)sizeof(bytes) - 1;
}
