#include "shim/session/stream_state.h"

/* The application's own MSG_PEEK: it sees what a read would give it, at most to the end of one request, and the request
 * is decided as soon as it is looked at. */

/* A rejected request's body stands in front of what may be seen: in the stash first, then in the kernel. */
static void swallow(struct stream *s) {
    char scratch[2048];
    while (s->swallowing && !s->closing) {
        size_t left = stash_left(s), taken = 0;
        char *bytes = left ? s->stash + s->stash_at : scratch;
        ssize_t got = left ? (ssize_t)left : stream_recv_now(s, scratch, sizeof(scratch), MSG_PEEK);
        if (got <= 0)
            return;
        struct http_body ahead = s->in;
        http1_body_skip(&ahead, bytes, (size_t)got, &taken);
        if (taken)
            got = left ? (ssize_t)taken : stream_recv_now(s, scratch, taken, 0);
        if (got <= 0)
            return;
        struct read_call call = {.blocking = -1};
        stream_sift(s, &call, bytes, (size_t)got);
        if (left && !s->closing)
            stash_cut(s, taken);
        else if (left)
            stash_drop(s);
    }
}

/* Waits until the kernel has something.  False: the call is over. */
static bool wait_for_bytes(struct stream *s, struct read_call *call) {
    char byte;
    if (stash_left(s)) {
        if (!stream_call_blocks(s, call)) {
            call->error = EAGAIN;
            return false;
        }
        return stream_wait_for_head(s, call) == STEP_AGAIN;
    }
    uint32_t epoch = s->epoch;
    stream_unlock(s);
    ssize_t got = s->io->recv(s->fd, &byte, 1, call->flags);
    int error = errno;
    if (!stream_lock(s) || s->epoch != epoch || got <= 0) {
        call->error = got < 0 ? error : 0;
        return false;
    }
    return true;
}

/* How many of these bytes belong to the request that is decided: `*judged` of its head, then of its body. */
static size_t decided(const char *bytes, size_t size, size_t *judged, struct http_body *body) {
    size_t head = *judged < size ? *judged : size, taken = 0;
    *judged -= head;
    if (head < size)
        http1_body_skip(body, bytes + head, size - head, &taken);
    return head + taken;
}

/* What is decided: first the stash, then the kernel's bytes as far as they belong to the same request.  The stash may
 * hold more than that, of requests behind one that waited for its turn. */
static void show(struct stream *s, struct read_call *call) {
    size_t left = stash_left(s), judged = s->judged;
    bool passes = s->opaque || s->observing;
    struct http_body ahead = s->in;
    const char *stash = left ? s->stash + s->stash_at : NULL;
    size_t ours = passes || !left ? left : decided(stash, left, &judged, &ahead);
    call->total = ours < call->size ? ours : call->size;
    if (call->total)
        memcpy(call->bytes, stash, call->total);
    if (ours < left || call->total == call->size)
        return;
    char *behind = call->bytes + call->total;
    ssize_t got = stream_recv_now(s, behind, call->size - call->total, MSG_PEEK);
    if (got <= 0) {
        if (!call->total && got < 0)
            call->error = errno;
        return;
    }
    size_t seen = passes ? (size_t)got : decided(behind, (size_t)got, &judged, &ahead);
    memset(behind + seen, 0, (size_t)got - seen);
    call->total += seen;
}

ssize_t stream_peek(struct stream *s, struct read_call *call) {
    int errno_before = errno;
    for (;;) {
        int error = 0;
        swallow(s);
        if (s->closing) {
            struct read_call drain = {
                .bytes = call->bytes, .size = call->size, .flags = call->flags & ~MSG_PEEK, .blocking = -1};
            while (stream_read_closing(s, &drain) == STEP_AGAIN)
                ;
            call->error = drain.error;
            break;
        }
        if (s->pending_errno && !stash_left(s)) {
            call->error = s->pending_errno;
            s->pending_errno = 0;
            break;
        }
        if (s->turn_ns) {
            if (stream_wait_for_turn(s, call) == STEP_DONE)
                break;
            continue;
        }
        if (s->opaque || s->observing || (!stream_at_boundary(s) && !s->swallowing)) {
            show(s, call);
            if (!(call->error == EAGAIN && stream_call_blocks(s, call)))
                break;
            call->error = 0;
        } else if (!s->swallowing) {
            int more = stash_complete(s, call, &error);
            if (more > 0)
                continue;
            if (more < 0) {
                call->error = error;
                break;
            }
        }
        if (!wait_for_bytes(s, call))
            break;
    }
    errno = errno_before;
    return stream_finish(s, call);
}
