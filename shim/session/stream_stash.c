#include "shim/session/stream_state.h"

enum { STASH_FIRST = 1024 };

void stash_drop(struct stream *s) {
    if (s->stash)
        s->memory->give(s->stash, s->stash_capacity);
    s->stash = NULL;
    s->stash_at = s->stash_size = s->stash_capacity = s->stash_seen = 0;
    s->deadline_ns = 0;
}

bool stash_reserve(struct stream *s, size_t size) {
    if (s->stash && s->stash_size + size <= s->stash_capacity)
        return true;
    size_t capacity = s->stash_capacity ? s->stash_capacity : STASH_FIRST;
    while (capacity < s->stash_size + size)
        capacity *= 2;
    char *more = capacity <= STREAM_STASH_MAX ? s->memory->take(capacity) : NULL;
    if (!more)
        return false;
    if (s->stash) {
        memcpy(more, s->stash, s->stash_size);
        s->memory->give(s->stash, s->stash_capacity);
    }
    s->stash = more;
    s->stash_capacity = (uint32_t)capacity;
    return true;
}

bool stash_put(struct stream *s, const char *bytes, size_t size) {
    if (stash_left(s)) { /* they were taken from it a moment ago: what comes behind is still there */
        s->stash_at -= (uint32_t)size;
        s->stash_seen = 0;
        return true;
    }
    stash_drop(s);
    if (!stash_reserve(s, size))
        return false;
    memcpy(s->stash, bytes, size);
    s->stash_size = (uint32_t)size;
    return true;
}

void stream_consume(struct stream *s, size_t size) {
    char scratch[2048];
    while (size) {
        ssize_t got = stream_recv_now(s, scratch, size < sizeof(scratch) ? size : sizeof(scratch), 0);
        if (got <= 0)
            return;
        size -= (size_t)got;
    }
}

void stash_cut(struct stream *s, size_t size) {
    size_t have = stash_left(s);
    if (size < have) {
        s->stash_at += (uint32_t)size;
        s->stash_seen = 0;
        return;
    }
    stash_drop(s);
    stream_consume(s, size - have);
}

/* The head at the stash's start, of which `have` bytes are in the stash and the rest was peeked, is decided. */
static void decided(struct stream *s, struct read_call *call, const struct http_head *head, size_t have) {
    size_t size = head->size;
    enum judgement judgement = stream_judge(s, call, head, have > size ? have - size : 0);
    if (judgement == JUDGED_NOT)
        return;
    if (judgement != JUDGED_CUT) {
        s->judged = (uint32_t)size;
        s->deadline_ns = 0;
        return;
    }
    stash_cut(s, size);
}

static void settle(struct stream *s, struct read_call *call, enum recognised what, const struct http_head *head,
                   size_t have) {
    switch (what) {
    case RECOGNISED_HEAD: decided(s, call, head, have); break;
    case RECOGNISED_BROKEN: stream_malformed(s); break;
    case RECOGNISED_FOREIGN: s->opaque = true; break;
    case RECOGNISED_MORE: break;
    }
    if (!stash_left(s) || s->closing)
        stash_drop(s);
}

/* 1: a byte at least was moved to the stash. */
static int take_peeked(struct stream *s, size_t size) {
    ssize_t got = stream_recv_now(s, s->stash + s->stash_size, size, 0);
    if (got <= 0)
        return 0;
    s->stash_size += (uint32_t)got;
    s->stash_seen = (uint32_t)stash_left(s);
    return 1;
}

/* The stream ended inside a head: it is no request; the application gets the bytes, and then the end. */
static int ended(struct stream *s, int error, int *ret_error) {
    if (!stash_left(s)) {
        stash_drop(s);
        *ret_error = error;
        return -1;
    }
    s->pending_errno = error;
    s->opaque = true;
    return 1;
}

int stash_complete(struct stream *s, struct read_call *call, int *ret_error) {
    for (;;) {
        size_t have = stash_left(s), seen = s->stash_seen, more = 0;
        if (have == seen) {
            size_t room = s->stash_capacity - s->stash_size;
            if (!room && !stash_reserve(s, 1)) {
                stream_give_up(s);
                return 1;
            }
            room = s->stash_capacity - s->stash_size;
            ssize_t got = stream_recv_now(s, s->stash + s->stash_size, room, MSG_PEEK);
            if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                if (!have)
                    stash_drop(s);
                return 0;
            }
            if (got <= 0)
                return ended(s, got ? errno : 0, ret_error);
            more = (size_t)got;
        }
        struct http_head head;
        enum recognised what = stream_recognise(s, s->stash + s->stash_at, have + more, seen, &head);
        if (what != RECOGNISED_MORE) {
            settle(s, call, what, &head, have);
            return 1;
        }
        s->stash_seen = (uint32_t)have;
        if (more && !take_peeked(s, more))
            return 0;
    }
}
