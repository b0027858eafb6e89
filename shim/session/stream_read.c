#include "shim/session/stream_state.h"

bool stream_is_in_head(const struct stream *s) {
    if (s->state != REQUEST_HEAD || !s->protocol)
        return false;
    for (size_t i = 0; i < buffer_left(s->head); i++)
        if (s->head->bytes[i] != '\r' && s->head->bytes[i] != '\n')
            return true;
    return false;
}

/* What is behind `bytes` of the buffer under way stays for later. */
static void withhold(struct stream *s, struct read_call *call, const char *bytes, size_t size) {
    if (call->from_rest)
        s->rest->at -= (uint32_t)size; /* it is there still */
    else
        buffer_append(s, &s->rest, bytes, size); /* for which there is room (stream_can_wait) */
}

/* One read brought very many requests: those behind the first so many are looked at when these are answered. */
static bool too_many(struct stream *s, struct read_call *call, size_t left) {
    if (s->entries_count < STREAM_FULL || (!call->from_rest && !buffer_reserve(s, &s->rest, left)))
        return false;
    return stream_call_blocks(s, call) ? read_something(call) : stream_hold(s, call);
}

/* The application's buffer is full, and ends within a head behind other requests.  Such a one is kept for the next
 * read: a client that sends many at once would lose its connection by the refusal of one that only that buffer has cut.
 */
static bool keep_for_next_read(struct stream *s, struct read_call *call, const char *end, size_t size) {
    if (!call->total || call->waitall || end != call->bytes + call->size ||
        (!call->from_rest && !buffer_reserve(s, &s->rest, size)))
        return false;
    if (!stream_call_blocks(s, call)) { /* again each time, since it is a short count that this read returns */
        stream_announce(s, s->channel->ops->now_ns());
        if (s->announced != ANNOUNCED_LATER)
            return false;
        s->announced = ANNOUNCED_NOW;
    }
    return call->kept = true;
}

/* Some servers overlook any number of empty lines before a request: of very many no copy is kept.  A CR may be the
 * first half of one. */
static size_t superfluous(const char *bytes, size_t size) {
    size_t blanks = stream_blanks(bytes, size);
    return blanks < STREAM_BLANKS_MAX ? 0 : blanks - (bytes[blanks - 1] == '\r');
}

/* All these bytes, the last of those in `head` if it has any, are handed over; the head goes on. */
static void keep_head(struct stream *s, struct read_call *call, const char *bytes, size_t size) {
    struct buffer *head = s->head;
    size_t skip = superfluous(head ? head->bytes : bytes, head ? head->size : size);
    s->state = REQUEST_HEAD;
    if (head && skip) {
        head->size -= (uint32_t)skip;
        memmove(head->bytes, head->bytes + skip, head->size);
        call->handed_over -= skip < call->handed_over ? skip : call->handed_over;
    }
    if (skip && skip == (head ? head->size + skip : size)) {
        buffer_drop(s, &s->head);
        s->state = REQUEST_BOUNDARY;
    } else if (!head && !buffer_append(s, &s->head, bytes + skip, size - skip)) {
        stream_give_up(s, OPAQUE_MEMORY);
    }
}

/* At a boundary or in a head: what becomes of these bytes.  Returns how many of them the application may have; the next
 * `*ret_cut` are thrown away.  `*ret_stop`: all behind them is withheld. */
static size_t filter_head(struct stream *s, struct read_call *call, const char *bytes, size_t size, size_t *ret_cut,
                          bool *ret_stop) {
    struct message head;
    size_t had = s->head ? s->head->size : 0, handed_over = call->handed_over < had ? call->handed_over : had;
    size_t taken = size;
    const char *from = bytes;
    if (__builtin_expect(s->entries_count >= STREAM_FULL && !had, 0) && too_many(s, call, size)) {
        *ret_stop = true;
        return 0;
    }
    if (had) {
        taken = size < MESSAGE_HEAD_MAX - had ? size : MESSAGE_HEAD_MAX - had;
        if (!buffer_append(s, &s->head, bytes, taken)) {
            stream_give_up(s, OPAQUE_MEMORY);
            return 0;
        }
        from = s->head->bytes;
    }
    enum recognised what = stream_recognise(s, from, had + taken, had, &head);
    switch (what) {
    case RECOGNISED_HEAD: break;
    case RECOGNISED_MORE:
        if (__builtin_expect(call->total && !had && s->protocol, 0) &&
            keep_for_next_read(s, call, bytes + size, size)) {
            *ret_stop = true;
            return 0;
        }
        keep_head(s, call, bytes, size);
        return taken;
    case RECOGNISED_PROXY: /* on it goes behind it, as at the beginning */
        buffer_drop(s, &s->head);
        s->state = REQUEST_BOUNDARY;
        call->handed_over = 0;
        return head.size - had;
    case RECOGNISED_AMBIGUOUS:
    case RECOGNISED_FOREIGN:
    case RECOGNISED_TLS:
    case RECOGNISED_HTTP2:
        stream_foreign(s, what, handed_over);
        if (s->state == REQUEST_CLOSING)
            call->total -= had - handed_over;
        return 0;
    case RECOGNISED_BROKEN:
        stream_broken(s, &head, had + taken, handed_over);
        if (s->state == REQUEST_CLOSING)
            call->total -= had - handed_over;
        return 0;
    }
    taken = head.size - had;
    head.busy_ns = s->entries_count ? UINT64_MAX : s->write_ns;
    head.whole = !had && size - taken == head.content_length && head.framing != BODY_CODED;
    enum dispatched dispatched = stream_dispatch(s, call, &head, handed_over, size - taken);
    call->handed_over = 0;
    if (__builtin_expect(head.upgrade, 0) && dispatched <= DISPATCHED_WAIT)
        offer_withhold(s, &head, had, call->bytes + (bytes - call->bytes));
    if (had)
        buffer_drop(s, &s->head);
    if (__builtin_expect(dispatched == DISPATCHED_PASS, 1))
        return taken;
    if (dispatched == DISPATCHED_NOT)
        return 0;
    if (dispatched == DISPATCHED_WAIT && !s->refusing) {
        s->judged = 1;
        *ret_stop = true;
        return taken - 1;
    }
    call->total -= had - handed_over; /* its beginning is in this very buffer still */
    *ret_cut = taken;
    *ret_stop = dispatched == DISPATCHED_WAIT;
    return 0;
}

/* Bytes of a body.  Returns how many belong to it. */
static size_t filter_body(struct stream *s, const char *bytes, size_t size) {
    size_t taken = 0;
    enum parsed answer = s->protocol->body(&s->in, bytes, size, &taken);
    bool swallowing = s->state == REQUEST_SWALLOWING;
    s->discarded += swallowing ? (uint32_t)taken : 0;
    if (!swallowing && taken)
        blame_body(s, taken);
    if (answer == PARSED_BROKEN) {
        stream_malformed(s, REFUSED_MALFORMED, false);
    } else if (answer == PARSED_DONE) {
        s->state = REQUEST_BOUNDARY;
    } else if (swallowing && s->discarded > STREAM_SWALLOW_MAX) {
        stream_stop_taking(s, true);
        if (!answer_give(s, "", 0, true))
            s->channel->ops->finish(s->channel, SHUT_RD);
    }
    return taken;
}

void stream_filter(struct stream *s, struct read_call *call, size_t size) {
    const char *bytes = call->bytes + call->total, *end = bytes + size;
    bool stop = false;
    call->took = true;
    while (bytes < end && s->state != REQUEST_CLOSING) {
        size_t left = (size_t)(end - bytes), keep = 0, cut = 0;
        if (s->judged) {
            keep = s->judged < left ? s->judged : left;
            s->judged -= (uint32_t)keep;
        } else {
            switch ((enum request_state)s->state) {
            case REQUEST_BOUNDARY:
            case REQUEST_HEAD: keep = filter_head(s, call, bytes, left, &cut, &stop); break;
            case REQUEST_BODY: keep = filter_body(s, bytes, left); break;
            case REQUEST_SWALLOWING: cut = filter_body(s, bytes, left); break;
            case REQUEST_OPAQUE: keep = left; break;
            case REQUEST_WAITING:
            case REQUEST_CLOSING: break; /* neither is read */
            }
        }
        char *to = call->bytes + call->total;
        if (keep && bytes != to)
            memmove(to, bytes, keep);
        call->total += keep;
        bytes += keep + cut;
        if (stop) {
            withhold(s, call, bytes, (size_t)(end - bytes));
            break;
        }
    }
    char *to = call->bytes + call->total;
    if (to < end) /* what an application must not see it shall not find behind what it may see, either */
        memset(to, 0, (size_t)(end - to));
}

/* A real read that may block, so without the lock.  False: another thread or another connection was there meanwhile;
 * then the bytes are what they are; but what was refused meanwhile stays so. */
static bool receive(struct stream *s, struct read_call *call, ssize_t *ret_got) {
    uint32_t epoch = s->epoch, sequence = s->read_sequence;
    char *bytes = call->bytes + call->total;
    size_t room = call->size - call->total;
    if (read_something(call) && !call->waitall) {
        *ret_got = stream_recv_now(s, bytes, room, call->flags);
        if (*ret_got <= 0)
            blame_read(s, *ret_got, errno);
        return true;
    }
    stream_unlock(s);
    *ret_got = s->channel->ops->recv(s->channel, bytes, room, call->flags);
    int error = errno;
    bool alone = stream_lock(s) && s->epoch == epoch;
    if (alone && *ret_got <= 0)
        blame_read(s, *ret_got, error);
    if (alone && s->read_sequence != sequence && s->state != REQUEST_CLOSING) {
        stream_pass_all(s, OPAQUE_SHARED);
        alone = false;
    }
    errno = error;
    return alone;
}

/* The end of the stream inside a head is the end of the head to some.  (Empty lines before one are none.) */
static enum read_step end_of_stream(struct stream *s, struct read_call *call) {
    if (read_something(call) || !stream_is_in_head(s))
        return STEP_DONE;
    stream_stop_taking(s, false);
    s->resets = true;
    return read_fail(call, ECONNRESET);
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
    if (call->drained && read_something(call) && !call->waitall)
        return STEP_DONE;
    if (stream_hold(s, call))
        return read_fail(call, EAGAIN);
    size_t size = call->size - call->total;
    if (!receive(s, call, &got)) {
        call->total += got > 0 ? (size_t)got : 0;
        return got < 0 ? read_fail(call, errno) : STEP_DONE;
    }
    if (got < 0) {
        if (read_something(call) && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != EFAULT)
            s->pending_errno = errno;
        return read_fail(call, errno);
    }
    if (got == 0)
        return end_of_stream(s, call);
    size_t before = call->total;
    STREAM_STEP(s->read_sequence);
    call->drained = (size_t)got < size;
    call->from_rest = false;
    stream_filter(s, call, (size_t)got);
    return call->total - before == size && !call->waitall ? STEP_DONE : STEP_AGAIN;
}

static enum read_step read_rest(struct stream *s, struct read_call *call) {
    size_t size = call->size - call->total, left = buffer_left(s->rest);
    if (s->held || (!s->judged && s->entries_count >= STREAM_FULL && s->state == REQUEST_BOUNDARY)) {
        if (read_something(call) || stream_hold(s, call))
            return read_fail(call, EAGAIN);
    }
    size = size < left ? size : left;
    if (s->channel->ops->usable && !s->channel->ops->usable(s->channel, call->bytes + call->total, size))
        return read_fail(call, EFAULT);
    memcpy(call->bytes + call->total, s->rest->bytes + s->rest->at, size);
    s->rest->at += (uint32_t)size;
    STREAM_STEP(s->read_sequence);
    call->from_rest = true;
    stream_filter(s, call, size);
    if (!buffer_left(s->rest))
        buffer_drop(s, &s->rest);
    return STEP_AGAIN;
}

/* A client that sends as fast as it is rejected would keep the application's loop in this call.  After a while the
 * others are let on: nothing to read, says the call, and the kernel is made to say that there is. */
static bool has_had_its_share(struct stream *s, struct read_call *call, uint16_t streak) {
    return (uint16_t)(s->streak - streak) >= STREAM_SHARE && !call->waitall && !read_something(call) &&
           !buffer_left(s->rest) && s->state == REQUEST_BOUNDARY && !s->held && !stream_call_blocks(s, call) &&
           s->channel->ops->stir && s->channel->ops->stir(s->channel);
}

static ssize_t read_steps(struct stream *s, struct read_call *call) {
    int error = errno;
    uint16_t streak = s->streak;
    enum read_step step = STEP_AGAIN;
    while (step == STEP_AGAIN && call->total < call->size && !call->kept) {
        if (has_had_its_share(s, call, streak))
            step = read_fail(call, EAGAIN);
        else if (s->state == REQUEST_CLOSING)
            step = stream_read_closing(s, call);
        else if (s->state == REQUEST_WAITING)
            step = stream_wait_for_turn(s, call);
        else
            step = buffer_left(s->rest) ? read_rest(s, call) : read_kernel(s, call);
    }
    if (call->error == EAGAIN && call->took)
        s->eagain_ns = s->channel->ops->now_ns();
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

static ssize_t read_slow(struct stream *s, struct read_call *call) {
    int flags = call->flags;
    if (!stream_lock(s))
        return s->channel->ops->recv(s->channel, call->bytes, call->size, flags);
    call->flags &= ~(MSG_WAITALL | MSG_TRUNC);
    call->handed_over = buffer_left(s->head);
    s->eagain_ns = 0;
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

/* The careful way, for one buffer. */
static ssize_t read_one(struct stream *s, char *bytes, size_t size, int flags, size_t earlier) {
    atomic_store_explicit(&s->looked, 1, memory_order_relaxed);
    if (atomic_load_explicit(&s->path, memory_order_relaxed) == PATH_RAW || !size ||
        (flags & (MSG_OOB | MSG_ERRQUEUE))) {
        bool now = earlier && !(flags & MSG_WAITALL);
        return s->channel->ops->recv(s->channel, bytes, size, now ? flags | MSG_DONTWAIT : flags);
    }
    if ((flags & MSG_TRUNC) && !(flags & MSG_PEEK))
        return read_away(s, size, flags);
    struct read_call call = {.bytes = bytes, .size = size, .earlier = earlier, .flags = flags, .blocking = -1};
    return read_slow(s, &call);
}

/* An error that came when there were bytes to return first. */
static void keep_error(struct stream *s, int error) {
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == EFAULT || !stream_lock(s))
        return;
    if (s->state != REQUEST_CLOSING) /* which has its own error, at every read */
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

static ssize_t received_none(struct stream *s, ssize_t got) {
    atomic_store_explicit(&s->looked, 1, memory_order_relaxed);
    blame_read(s, got, errno);
    return got;
}

/* The ordinary read: the application's own call goes straight into its own buffer, then it is looked at where it lies.
 */
ssize_t stream_read(struct stream *s, const struct iovec *iov, int count, int flags) {
    enum { ODD = MSG_PEEK | MSG_TRUNC | MSG_WAITALL | MSG_OOB | MSG_ERRQUEUE };
    uint8_t path = atomic_load_explicit(&s->path, memory_order_relaxed);
    if (__builtin_expect(count != 1, 0))
        return path == PATH_RAW && !flags ? s->channel->ops->recvv(s->channel, iov, count, 0)
                                          : read_scattered(s, iov, count, flags);
    if (__builtin_expect(path != PATH_CALM || (flags & ODD) || !iov->iov_len, 0))
        return read_one(s, iov->iov_base, iov->iov_len, flags, 0);
    struct read_call call = {.bytes = iov->iov_base, .size = iov->iov_len, .flags = flags, .blocking = -1};
    uint32_t epoch = s->epoch, sequence = s->read_sequence;
    ssize_t got = s->channel->ops->recv(s->channel, call.bytes, call.size, flags);
    if (got <= 0)
        return received_none(s, got);
    int error = errno;
    if (!stream_lock(s))
        return got;
    call.drained = (size_t)got < call.size;
    if (__builtin_expect(s->epoch != epoch || (s->read_sequence != sequence && s->state != REQUEST_CLOSING), 0)) {
        if (s->epoch == epoch)
            stream_pass_all(s, OPAQUE_SHARED);
        call.total = (size_t)got;
    } else {
        STREAM_STEP(s->read_sequence);
        stream_filter(s, &call, (size_t)got);
    }
    errno = error;
    if (__builtin_expect(call.total != (size_t)got && !call.kept && !(call.total && s->state == REQUEST_WAITING), 0))
        return read_steps(s, &call);
    stream_unlock(s);
    errno = error;
    return (ssize_t)call.total;
}
