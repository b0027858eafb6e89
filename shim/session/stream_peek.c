#include "shim/session/stream_state.h"

/* The application's own MSG_PEEK: it sees what a read would give it, at most to the end of one request, and the request
 * is decided as soon as its head can be seen whole: who peeks until a head is complete would wait for ever else. */

enum { PEEK_MAX = 65536 }; /* of the kernel's bytes, looked at to find the end of a head */

/* Throws away the next bytes, of the rest and then of the kernel's. */
static void cut(struct stream *s, size_t size) {
    char scratch[2048];
    size_t step = size < buffer_left(s->rest) ? size : buffer_left(s->rest);
    if (step)
        s->rest->at += (uint32_t)step;
    if (!buffer_left(s->rest))
        buffer_drop(s, &s->rest);
    for (size -= step; size; size -= step) {
        ssize_t got = stream_recv_now(s, scratch, size < sizeof(scratch) ? size : sizeof(scratch), 0);
        if (got <= 0)
            return;
        step = (size_t)got;
    }
}

/* A rejected request's body stands in front of what may be seen. */
static void swallow(struct stream *s) {
    char scratch[2048];
    while (s->state == REQUEST_SWALLOWING) {
        size_t left = buffer_left(s->rest), taken = 0;
        const char *bytes = left ? s->rest->bytes + s->rest->at : scratch;
        ssize_t got = left ? (ssize_t)left : stream_recv_now(s, scratch, sizeof(scratch), MSG_PEEK);
        if (got <= 0)
            return;
        struct body ahead = s->in;
        enum parsed answer = s->protocol->body(&ahead, bytes, (size_t)got, &taken);
        s->in = ahead;
        s->discarded += (uint32_t)taken;
        cut(s, taken);
        if (answer == PARSED_DONE)
            s->state = REQUEST_BOUNDARY;
        else if (answer == PARSED_BROKEN || s->discarded > STREAM_SWALLOW_MAX)
            stream_malformed(s, REFUSED_MALFORMED, false);
    }
}

/* Decides upon the head that the next bytes begin or end, if all of it is here.  True: look again. */
static bool decide(struct stream *s, struct read_call *call) {
    struct message head;
    size_t had = buffer_left(s->head), left = buffer_left(s->rest);
    if (!buffer_reserve(s, &s->head, left + PEEK_MAX))
        return false;
    if (left)
        memcpy(s->head->bytes + had, s->rest->bytes + s->rest->at, left);
    ssize_t got = stream_recv_now(s, s->head->bytes + had + left, PEEK_MAX, MSG_PEEK);
    size_t size = had + left + (got > 0 ? (size_t)got : 0);
    enum recognised what = size > had ? stream_recognise(s, s->head->bytes, size, had, &head) : RECOGNISED_MORE;
    if (what == RECOGNISED_HEAD) {
        size_t rest = head.size - had;
        enum dispatched dispatched = stream_dispatch(s, call, &head, had, size - head.size);
        buffer_drop(s, &s->head);
        if (dispatched == DISPATCHED_PASS)
            s->judged = (uint32_t)rest;
        else if (dispatched == DISPATCHED_CUT && s->state != REQUEST_CLOSING)
            cut(s, rest);
        return true;
    }
    if (what == RECOGNISED_PROXY) {
        s->judged = (uint32_t)(head.size - had);
        s->state = REQUEST_BOUNDARY;
    }
    if (what == RECOGNISED_BROKEN)
        stream_broken(s, &head, size, had);
    else if (what >= RECOGNISED_AMBIGUOUS)
        stream_foreign(s, what, had);
    if (what != RECOGNISED_MORE || !had)
        buffer_drop(s, &s->head);
    return what != RECOGNISED_MORE;
}

/* How many of these bytes belong to the request that is decided, or to the head that is not complete. */
static size_t visible(const struct stream *s, const char *bytes, size_t size, size_t *judged, struct body *body) {
    size_t head = *judged < size ? *judged : size, taken = 0;
    if (s->state == REQUEST_OPAQUE || (!s->judged && s->state <= REQUEST_HEAD))
        return size;
    *judged -= head;
    if (head < size && s->protocol)
        s->protocol->body(body, bytes + head, size - head, &taken);
    return head + taken;
}

static void show(struct stream *s, struct read_call *call) {
    size_t left = buffer_left(s->rest), judged = s->judged;
    struct body ahead = s->in;
    size_t ours = left ? visible(s, s->rest->bytes + s->rest->at, left, &judged, &ahead) : 0;
    call->total = ours < call->size ? ours : call->size;
    if (call->total)
        memcpy(call->bytes, s->rest->bytes + s->rest->at, call->total);
    if (ours < left || call->total == call->size)
        return;
    char *behind = call->bytes + call->total;
    ssize_t got = stream_recv_now(s, behind, call->size - call->total, MSG_PEEK);
    if (got < 0 && !call->total)
        call->error = errno;
    if (got <= 0)
        return;
    size_t seen = visible(s, behind, (size_t)got, &judged, &ahead);
    memset(behind + seen, 0, (size_t)got - seen);
    call->total += seen;
}

/* Waits until the kernel has something.  False: the call is over. */
static bool wait_for_bytes(struct stream *s, struct read_call *call) {
    uint32_t epoch = s->epoch;
    char byte;
    stream_unlock(s);
    ssize_t got = s->channel->ops->recv(s->channel, &byte, 1, call->flags);
    int error = errno;
    if (!stream_lock(s) || s->epoch != epoch || got <= 0) {
        call->error = got < 0 ? error : 0;
        return false;
    }
    return true;
}

static void peek_closing(struct stream *s, struct read_call *call) {
    struct read_call drain = *call;
    drain.flags &= ~MSG_PEEK;
    while (stream_read_closing(s, &drain) == STEP_AGAIN)
        ;
    call->error = drain.error;
}

ssize_t stream_peek(struct stream *s, struct read_call *call) {
    int errno_before = errno;
    for (;;) {
        swallow(s);
        if (s->state == REQUEST_CLOSING) {
            peek_closing(s, call);
            break;
        }
        if (s->pending_errno && !buffer_left(s->rest)) {
            call->error = s->pending_errno;
            s->pending_errno = 0;
            break;
        }
        if (s->state == REQUEST_WAITING) {
            if (stream_wait_for_turn(s, call) == STEP_DONE)
                break;
            continue;
        }
        if (s->state <= REQUEST_HEAD && !s->judged && decide(s, call))
            continue;
        if (s->state != REQUEST_SWALLOWING) {
            show(s, call);
            if (!(call->error == EAGAIN && stream_call_blocks(s, call)))
                break;
            call->error = 0;
        }
        if (!wait_for_bytes(s, call))
            break;
    }
    if (!call->total && !call->error && stream_is_in_head(s))
        call->error = ECONNRESET; /* the end of the stream is not the head's */
    errno = errno_before;
    return stream_finish(s, call);
}
