#include "shim/session/stream_state.h"

/* The head under way was handed over undecided, piece by piece: follows it to learn where it ends. */
static size_t observe(struct stream *s, const char *bytes, size_t size) {
    size_t had = s->stash_size, take = size < HTTP_HEAD_MAX - had ? size : HTTP_HEAD_MAX - had;
    struct http_head head;
    enum recognised what = RECOGNISED_BROKEN;
    if (stash_reserve(s, take)) {
        memcpy(s->stash + had, bytes, take);
        what = stream_recognise(s, s->stash, had + take, had, &head);
    }
    if (what == RECOGNISED_MORE) {
        s->stash_at = s->stash_size = (uint32_t)(had + take);
        return take;
    }
    s->observing = false;
    if (what == RECOGNISED_HEAD && stream_undecided(s, &head))
        take = head.size - had;
    else
        s->opaque = true;
    stash_drop(s);
    return take;
}

/* At a boundary: decides, or withholds.  Returns bytes cut out; 0 with *ret_stop: the rest is withheld. */
static size_t sift_head(struct stream *s, struct read_call *call, const char *bytes, size_t size, bool *ret_stop) {
    struct http_head head;
    switch (stream_recognise(s, bytes, size, 0, &head)) {
    case RECOGNISED_FOREIGN: s->opaque = true; return 0;
    case RECOGNISED_BROKEN: stream_malformed(s); return 0;
    case RECOGNISED_MORE:
        *ret_stop = stash_put(s, bytes, size);
        if (*ret_stop)
            s->stash_seen = (uint32_t)size;
        else
            stream_give_up(s);
        return 0;
    case RECOGNISED_HEAD: break;
    }
    enum judgement judgement = stream_judge(s, call, &head, size - head.size);
    if (judgement == JUDGED_CUT || judgement == JUDGED_NOT)
        return judgement == JUDGED_CUT ? head.size : 0;
    s->judged = (uint32_t)head.size;
    if (judgement == JUDGED_WAIT) {
        *ret_stop = stash_put(s, bytes, size);
        if (!*ret_stop && s->refusing) {
            s->judged = 0; /* there is no stash that it could be cut out of */
            answer_release(s);
            return head.size;
        }
        if (!*ret_stop)
            s->turn_ns = 0;
    }
    return 0;
}

/* Bytes of a body.  Returns how many belong to it. */
static size_t sift_body(struct stream *s, const char *bytes, size_t size) {
    size_t taken = 0;
    enum http_answer answer = http1_body_skip(&s->in, bytes, size, &taken);
    if (!s->swallowing) {
        if (answer == HTTP_BROKEN)
            stream_malformed(s);
        return taken;
    }
    s->discarded += (uint32_t)taken;
    if (answer == HTTP_BROKEN) {
        stream_malformed(s);
    } else if (answer == HTTP_DONE) {
        s->swallowing = false;
    } else if (s->discarded > STREAM_SWALLOW_MAX) {
        stream_stop_taking(s, true);
        if (!answer_give(s, "", 0, true))
            s->io->shutdown(s->fd, SHUT_RD);
    }
    return taken;
}

size_t stream_sift(struct stream *s, struct read_call *call, char *bytes, size_t size) {
    size_t from = 0, to = 0, before = call->total;
    bool stop = false;
    while (from < size && !stop && !s->closing) {
        size_t keep = 0, cut = 0;
        if (s->opaque) {
            keep = size - from;
        } else if (s->judged) {
            keep = s->judged < size - from ? s->judged : size - from;
            s->judged -= (uint32_t)keep;
        } else if (s->observing) {
            keep = observe(s, bytes + from, size - from);
        } else if (s->in.framing != HTTP_BODY_NONE) {
            bool swallowing = s->swallowing;
            size_t taken = sift_body(s, bytes + from, size - from);
            *(swallowing ? &cut : &keep) = taken;
        } else {
            cut = sift_head(s, call, bytes + from, size - from, &stop);
        }
        if (keep && from != to)
            memmove(bytes + to, bytes + from, keep);
        from += keep + cut;
        to += keep;
        call->total = before + to;
    }
    if (to < size) /* what an application must not see it shall not find behind what it may see, either */
        memset(bytes + to, 0, size - to);
    return to;
}

/* A real read that may block, so without the lock.  False: another thread or another connection was there meanwhile;
 * then the bytes are what they are. */
static bool receive(struct stream *s, struct read_call *call, size_t room, ssize_t *ret_got) {
    uint32_t epoch = s->epoch, sequence = s->read_sequence;
    char *bytes = call->bytes + call->total;
    if (read_something(call) && !call->waitall) {
        *ret_got = stream_recv_now(s, bytes, room, call->flags);
        return true;
    }
    stream_unlock(s);
    *ret_got = s->io->recv(s->fd, bytes, room, call->flags);
    int error = errno;
    bool alone = stream_lock(s) && s->epoch == epoch;
    if (alone && s->read_sequence != sequence) {
        s->opaque = true;
        alone = false;
    }
    errno = error;
    return alone;
}

static enum read_step read_kernel(struct stream *s, struct read_call *call) {
    ssize_t got;
    if (s->pending_errno) {
        if (!read_something(call)) {
            call->error = s->pending_errno;
            s->pending_errno = 0;
        }
        return STEP_DONE;
    }
    if (s->closing)
        return stream_read_closing(s, call);
    if (call->drained && read_something(call) && !call->waitall)
        return STEP_DONE;
    if (stream_at_boundary(s) && stream_hold(s, call))
        return read_fail(call, EAGAIN);
    size_t room = stream_room(s, call), size = call->size - call->total;
    if (!receive(s, call, room, &got)) {
        call->total += got > 0 ? (size_t)got : 0;
        return got < 0 ? read_fail(call, errno) : STEP_DONE;
    }
    if (got < 0) {
        if (read_something(call) && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            s->pending_errno = errno;
        return read_fail(call, errno);
    }
    if (got == 0)
        return STEP_DONE;
    stream_step(&s->read_sequence);
    call->drained = (size_t)got < room;
    bool whole = stream_sift(s, call, call->bytes + call->total, (size_t)got) == (size_t)got;
    return whole && room == size && !call->waitall ? STEP_DONE : STEP_AGAIN;
}

static enum read_step read_stash(struct stream *s, struct read_call *call) {
    if (s->turn_ns)
        return stream_wait_for_turn(s, call);
    bool passes = s->opaque || s->observing;
    if (!passes && stream_at_boundary(s)) {
        int error = 0;
        if (stash_left(s) == s->stash_seen && stream_hold(s, call)) /* (it is part of a head, not a whole one) */
            return read_fail(call, EAGAIN);
        if (stash_complete(s, call, &error))
            return STEP_AGAIN;
        if (read_something(call) && !call->waitall)
            return STEP_DONE;
        if (!stream_call_blocks(s, call))
            return read_fail(call, EAGAIN);
        return stream_wait_for_head(s, call);
    }
    size_t size = call->size - call->total, left = stash_left(s);
    char *to = call->bytes + call->total;
    bool raw = !passes && !s->judged;
    size = size < left ? size : left;
    if (!passes && s->judged && size > s->judged)
        size = s->judged;
    memcpy(to, s->stash + s->stash_at, size);
    s->stash_at += (uint32_t)size;
    stream_step(&s->read_sequence);
    if (!passes && s->judged)
        s->judged -= (uint32_t)size;
    if (!stash_left(s) && !s->observing)
        stash_drop(s);
    if (raw)
        stream_sift(s, call, to, size);
    else
        call->total += size;
    return STEP_AGAIN;
}

/* A client that sends as fast as it is rejected would keep the application's loop in this call.  After a while the
 * others are let on: nothing to read, says the call, and the kernel is made to say that there is. */
static bool has_had_its_share(struct stream *s, struct read_call *call, uint16_t streak) {
    return (uint16_t)(s->streak - streak) >= STREAM_SHARE && !call->waitall && !read_something(call) &&
           !stash_left(s) && !s->closing && !s->held_back && stream_at_boundary(s) && !stream_call_blocks(s, call) &&
           s->io->hold_back && s->io->hold_back(s->fd, false);
}

static ssize_t read_steps(struct stream *s, struct read_call *call) {
    int error = errno;
    uint16_t streak = s->streak;
    while (call->total < call->size) {
        if (s->closing && stash_left(s)) /* it came behind the request that ended the connection */
            stash_drop(s);
        if (has_had_its_share(s, call, streak)) {
            read_fail(call, EAGAIN);
            break;
        }
        if ((stash_left(s) ? read_stash(s, call) : read_kernel(s, call)) == STEP_DONE)
            break;
    }
    errno = error;
    return stream_finish(s, call);
}

ssize_t stream_finish(struct stream *s, struct read_call *call) {
    stream_unlock(s);
    if (call->total || !call->error)
        return (ssize_t)call->total;
    errno = call->error;
    return -1;
}

static ssize_t read_calm(struct stream *s, struct read_call *call) {
    uint32_t epoch = s->epoch, sequence = s->read_sequence;
    bool now = call->earlier && !(call->flags & MSG_WAITALL);
    ssize_t got = s->io->recv(s->fd, call->bytes, call->size, now ? call->flags | MSG_DONTWAIT : call->flags);
    if (got <= 0)
        return got;
    int error = errno;
    if (!stream_lock(s))
        return got;
    call->drained = (size_t)got < call->size;
    if (s->epoch != epoch || s->read_sequence != sequence) {
        s->opaque |= s->epoch == epoch;
        call->total = (size_t)got;
    } else {
        stream_step(&s->read_sequence);
        stream_sift(s, call, call->bytes, (size_t)got);
    }
    if (call->total == (size_t)got) {
        stream_unlock(s);
        errno = error;
        return got;
    }
    errno = error;
    return read_steps(s, call);
}

static ssize_t read_slow(struct stream *s, struct read_call *call) {
    int flags = call->flags;
    if (!stream_lock(s))
        return s->io->recv(s->fd, call->bytes, call->size, flags);
    call->flags &= ~(MSG_WAITALL | MSG_TRUNC);
    if (flags & MSG_PEEK)
        return stream_peek(s, call);
    if (!stream_wait_for_answers(s, call)) {
        call->error = EBADF;
        return stream_finish(s, call);
    }
    call->waitall = (flags & MSG_WAITALL) && stream_call_blocks(s, call);
    return read_steps(s, call);
}

/* MSG_TRUNC: the application throws away what it would have read. */
static ssize_t read_away(struct stream *s, size_t size, int flags) {
    char scratch[512];
    size_t total = 0;
    while (total < size) {
        size_t step = size - total < sizeof(scratch) ? size - total : sizeof(scratch);
        struct read_call call = {
            .bytes = scratch, .size = step, .earlier = total, .flags = flags & ~MSG_TRUNC, .blocking = -1};
        ssize_t got = read_slow(s, &call);
        if (got < 0 && !total)
            return -1;
        if (got <= 0)
            break;
        total += (size_t)got;
        if ((size_t)got < step)
            break;
    }
    return (ssize_t)total;
}

static ssize_t read_one(struct stream *s, char *bytes, size_t size, int flags, size_t earlier) {
    enum { ODD = MSG_PEEK | MSG_TRUNC | MSG_WAITALL, FOREIGN = MSG_OOB | MSG_ERRQUEUE };
    uint8_t path = atomic_load_explicit(&s->path, memory_order_relaxed);
    if (path == PATH_RAW || !size || (flags & FOREIGN)) {
        bool now = earlier && !(flags & MSG_WAITALL);
        return s->io->recv(s->fd, bytes, size, now ? flags | MSG_DONTWAIT : flags);
    }
    struct read_call call = {.bytes = bytes, .size = size, .earlier = earlier, .flags = flags, .blocking = -1};
    if (path == PATH_CALM && !(flags & ODD))
        return read_calm(s, &call);
    if ((flags & MSG_TRUNC) && !(flags & MSG_PEEK))
        return read_away(s, size, flags);
    return read_slow(s, &call);
}

/* An error that came when there were bytes to return first. */
static void keep_error(struct stream *s, int error) {
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR || !stream_lock(s))
        return;
    s->pending_errno = error;
    stream_unlock(s);
}

/* Buffer after buffer: heads are parsed in place, which takes them in one piece. */
static ssize_t read_scattered(struct stream *s, const struct iovec *iov, int count, int flags) {
    size_t total = 0;
    int error = errno;
    for (int i = 0; i < count; i++) {
        if (!iov[i].iov_len)
            continue;
        ssize_t got = read_one(s, iov[i].iov_base, iov[i].iov_len, flags, total);
        if (got < 0 && !total)
            return -1;
        if (got < 0) {
            keep_error(s, errno);
            errno = error;
            break;
        }
        total += (size_t)got;
        if ((size_t)got < iov[i].iov_len || (flags & MSG_PEEK))
            break;
    }
    return (ssize_t)total;
}

ssize_t stream_read(struct stream *s, const struct iovec *iov, int count, int flags) {
    if (__builtin_expect(count == 1, 1))
        return read_one(s, iov[0].iov_base, iov[0].iov_len, flags, 0);
    if (atomic_load_explicit(&s->path, memory_order_relaxed) == PATH_RAW && !flags)
        return s->io->readv(s->fd, iov, count);
    return read_scattered(s, iov, count, flags);
}
