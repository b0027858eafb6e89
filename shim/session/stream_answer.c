#include "shim/session/stream_state.h"

enum { GROWTHS_MAX = 2 };

static void answered(struct stream *s, bool close) {
    if (!close)
        return;
    s->out_closed = true;
    s->channel->ops->finish(s->channel, SHUT_WR);
}

/* It cannot be given in its place: better a connection that ends than one that waits for ever. */
static void cannot_answer(struct stream *s) {
    if (s->state != REQUEST_CLOSING)
        stream_stop_taking(s, false);
    s->out_closed = true;
    if (s->channel->ops->finish(s->channel, SHUT_RDWR) < 0)
        s->unsaid = s->resets = true;
}

/* Nothing is in flight, so the application does not wait until the socket is writable, and we cannot: the rest must
 * fit. */
static void give_now(struct stream *s, const char *bytes, size_t size, bool close) {
    for (int growths = 0; size; growths++) {
        ssize_t sent = stream_send_now(s, bytes, size);
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            cannot_answer(s);
            return;
        }
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        }
        if (size && (growths == GROWTHS_MAX || !s->channel->ops->make_room(s->channel))) {
            cannot_answer(s);
            return;
        }
    }
    answered(s, close);
}

bool answer_give(struct stream *s, const char *bytes, size_t size, bool close) {
    if (s->out_lost || s->out_closed) {
        cannot_answer(s);
        return true;
    }
    if (!s->entries_count && !s->phantom) {
        give_now(s, bytes, size, close);
        return true;
    }
    return answer_queue(s, bytes, size, close);
}

bool answer_queue(struct stream *s, const char *bytes, size_t size, bool close) {
    struct stream_entry *entry = entries_reserve(s);
    size_t capacity = (size + 63) / 64 * 64;
    char *copy = entry ? s->memory->take(capacity) : NULL;
    if (!copy)
        return false;
    memcpy(copy, bytes, size);
    entry->answer.bytes = copy;
    entry->answer.capacity = capacity;
    entry->answer.size = (uint16_t)size;
    entry->answer.sent = 0;
    entry->close = close;
    entries_commit(s, ENTRY_OURS);
    return true;
}

/* Sends what is left of one; a blocking send without the lock, from a copy.  1 done, 0 not now, -1 never, -2 the stream
 * is another one by now. */
static int send_rest(struct stream *s, struct stream_entry *entry, int flags) {
    char copy[STREAM_TEXT_MAX];
    size_t size = entry->answer.size - entry->answer.sent;
    if (!size)
        return 1;
    memcpy(copy, entry->answer.bytes + entry->answer.sent, size);
    ssize_t sent;
    if (flags & MSG_DONTWAIT) {
        sent = stream_send_now(s, copy, size);
    } else {
        uint32_t epoch = s->epoch;
        stream_unlock(s);
        struct iovec iov = {copy, size};
        sent = s->channel->ops->sendv(s->channel, &iov, 1, flags | MSG_NOSIGNAL);
        int error = errno;
        if (!stream_lock(s) || s->epoch != epoch)
            return -2;
        errno = error;
        entry = entries_first(s);
    }
    if (sent < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
    if (!entry || entry->kind != ENTRY_OURS)
        return -2;
    entry->answer.sent = (uint16_t)(entry->answer.sent + sent);
    return entry->answer.sent == entry->answer.size ? 1 : 0;
}

bool answer_release(struct stream *s) {
    char bytes[STREAM_TEXT_MAX];
    if (!s->refusing)
        return false;
    struct stream_entry *entry = entries_last(s);
    bool close = entry->close, body = s->in.framing != BODY_NONE;
    size_t size = entry->answer.size;
    s->refusing = false;
    s->discarded = 0;
    stream_wait_over(s);
    stream_follow(s, REQUEST_SWALLOWING);
    if (s->entries_count == 1) {
        memcpy(bytes, entry->answer.bytes, size);
        entries_unpush(s);
        answer_give(s, bytes, size, close);
    }
    if (close)
        stream_stop_taking(s, body);
    return true;
}

/* One that is held back is the last; if it is the first, too, there is nothing to send yet. */
static bool is_due(const struct stream *s, const struct stream_entry *entry) {
    return entry && entry->kind == ENTRY_OURS && !(s->refusing && s->entries_count == 1);
}

bool answer_flush(struct stream *s, int flags) {
    struct stream_entry *entry;
    while (is_due(s, entry = entries_first(s))) {
        bool close = entry->close;
        int done = send_rest(s, entry, flags);
        if (done == 0)
            return false;
        if (done == -2)
            return true;
        entries_pop(s);
        if (done < 0) /* the connection is gone; the application's own calls will say so */
            cannot_answer(s);
        else
            answered(s, close);
    }
    return true;
}
