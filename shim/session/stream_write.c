#include "shim/session/stream_state.h"

enum {
    PIECES_MAX = 64,
    PROMPT_MAX = 65536 /* a larger write may have waited for the client: it ended later than it began */
};

struct write_call {
    const struct iovec *iov;
    int count, flags;
    int blocking;      /* -1: not asked yet */
    size_t size, done; /* of all pieces; gone or claimed */
};

static bool blocks(struct stream *s, int flags, int *blocking) {
    if (*blocking < 0)
        *blocking = !(flags & MSG_DONTWAIT) && !s->channel->ops->nonblocking(s->channel);
    return *blocking;
}

static size_t total_size(const struct iovec *iov, int count) {
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return size;
}

/* Two threads in one stream's output, or one that jumped out of a write: what is on the wire cannot be known.  Called
 * with the lock held, before and after a real write without it. */
static uint32_t begin(struct stream *s) {
    if (atomic_load_explicit(&s->writing, memory_order_relaxed) && !s->out_lost)
        frame_lost(s, OPAQUE_SHARED);
    atomic_store_explicit(&s->writing, 1, memory_order_relaxed);
    return s->write_sequence;
}

static void end(struct stream *s, uint32_t sequence) {
    if (s->write_sequence != sequence && !s->out_lost)
        frame_lost(s, OPAQUE_SHARED);
    STREAM_STEP(s->write_sequence);
    atomic_store_explicit(&s->writing, 0, memory_order_relaxed);
}

/* The real call, without the lock.  False: the stream is not what it was. */
static bool send_unlocked(struct stream *s, const struct iovec *iov, int count, int flags, ssize_t *ret_sent) {
    uint32_t epoch = s->epoch, sequence = begin(s);
    blame_writes(s, s->channel->ops->now_ns());
    stream_unlock(s);
    *ret_sent = s->channel->ops->sendv(s->channel, iov, count, flags);
    int error = errno;
    bool same = stream_lock(s) && s->epoch == epoch;
    if (same) {
        end(s, sequence);
        blame_wrote(s, *ret_sent == (ssize_t)total_size(iov, count), *ret_sent < 0 ? error : 0);
    }
    errno = error;
    return same;
}

/* The pieces from `skip` on, `size` bytes of them at most. */
static int slice(const struct write_call *call, size_t skip, size_t size, struct iovec ret_iov[static PIECES_MAX]) {
    int count = 0;
    for (int i = 0; i < call->count && size && count < PIECES_MAX; i++) {
        size_t step = call->iov[i].iov_len;
        if (skip >= step) {
            skip -= step;
            continue;
        }
        step = step - skip < size ? step - skip : size;
        ret_iov[count++] = (struct iovec){(char *)call->iov[i].iov_base + skip, step};
        size -= step;
        skip = 0;
    }
    return count;
}

/* Injected responses that are in line, in the caller's way of blocking. */
static bool flush(struct stream *s, int flags, int *blocking) {
    if (!s->ours_count)
        return true;
    if (entries_first(s)->kind != ENTRY_OURS)
        return true;
    return answer_flush(s, blocks(s, flags, blocking) ? 0 : MSG_DONTWAIT);
}

/* The application must come back when the socket is writable, although all it has is on the wire: one byte of it is not
 * admitted to be. */
static void hold_one_back(struct stream *s, size_t *done) {
    if (*done) {
        s->phantom = true;
        --*done;
    }
}

static ssize_t result(struct stream *s, const struct write_call *call, int error) {
    stream_unlock(s);
    if (call->done || !error)
        return (ssize_t)call->done;
    errno = error;
    return -1;
}

/* Notes what of the application's bytes went out, and lets ours follow. */
static ssize_t account(struct stream *s, struct write_call *call, size_t sent) {
    int error = errno;
    if (!s->out_lost)
        frame_advance(s, call->iov, call->count, 0, sent);
    call->done = sent;
    if (s->ours_count && !flush(s, call->flags, &call->blocking) && call->done == call->size) {
        hold_one_back(s, &call->done);
        return result(s, call, EAGAIN);
    }
    stream_unlock(s);
    errno = error;
    return (ssize_t)call->done;
}

/* A response to a head that is not complete: followed like any other, and its request passes undecided.  Those that
 * say so (400, 408 …) are no early action.  Behind a request, a client could have sent half a head with it, and these
 * bytes be the rest of its response: there nothing passes by them, and what the head becomes is judged. */
static void expect_early(struct stream *s, const struct write_call *call) {
    struct message head;
    struct stream_entry *entry;
    if (s->entries_count || s->out_lost || s->acted || s->tunnel || !stream_is_in_head(s))
        return;
    enum parsed answer = s->protocol->response(call->iov[0].iov_base, call->iov[0].iov_len, 0, &head);
    if (s->policy->early && (!s->known || answer == PARSED_DONE) && !(answer == PARSED_DONE && head.status >= 400))
        s->policy->early(s->context);
    if ((s->known && stream_strictness(s) != STREAM_OPAQUE) || !(entry = entries_reserve(s)))
        return;
    entry->undecided = true;
    entry->method = 0;
    entries_commit(s, ENTRY_APPLICATION);
    s->acted = true;
}

/* Nothing is in flight, or framing is lost: whatever it is, it goes. */
static ssize_t write_stray(struct stream *s, struct write_call *call) {
    ssize_t sent;
    if (send_unlocked(s, call->iov, call->count, call->flags, &sent) && sent > 0) {
        expect_early(s, call);
        return account(s, call, (size_t)sent);
    }
    int error = errno;
    stream_unlock(s);
    errno = error;
    return sent;
}

/* One response's worth of the application's bytes.  0: go on; else errno of what stopped it. */
static int write_piece(struct stream *s, struct write_call *call) {
    struct iovec pieces[PIECES_MAX];
    struct stream_entry *entry = entries_first(s);
    size_t limit = s->out_lost || !entry ? call->size - call->done
                                         : frame_measure(s, call->iov, call->count, call->done);
    int count = slice(call, call->done, limit, pieces);
    limit = total_size(pieces, count);
    ssize_t sent;
    if (!send_unlocked(s, pieces, count, call->flags, &sent))
        return sent < 0 ? errno : EPIPE;
    if (sent < 0)
        return errno;
    frame_advance(s, pieces, count, 0, (size_t)sent);
    call->done += (size_t)sent;
    return (size_t)sent < limit ? EAGAIN : 0;
}

static ssize_t write_between(struct stream *s, struct write_call *call) {
    int error = 0;
    if (!flush(s, call->flags, &call->blocking))
        return result(s, call, EAGAIN);
    if (s->phantom) {
        s->phantom = false;
        call->done = 1;
    }
    while (!error && call->done < call->size) {
        error = write_piece(s, call);
        if (!flush(s, call->flags, &call->blocking)) {
            if (call->done == call->size)
                hold_one_back(s, &call->done);
            return result(s, call, EAGAIN);
        }
    }
    return result(s, call, error);
}

/* Our last answer is out: what the application still writes goes nowhere. */
static bool is_over(const struct stream *s) {
    return s->out_closed && !s->entries_count && s->state == REQUEST_CLOSING;
}

static ssize_t write_slow(struct stream *s, struct write_call *call) {
    if (!stream_lock(s))
        return s->channel->ops->sendv(s->channel, call->iov, call->count, call->flags);
    if (is_over(s)) {
        stream_unlock(s);
        return (ssize_t)call->size;
    }
    if (__builtin_expect(s->offered, 0) && offer_consents(s, call->iov)) {
        offer_refuse(s);
        stream_unlock(s);
        return (ssize_t)call->size;
    }
    return s->ours_count || s->phantom ? write_between(s, call) : write_stray(s, call);
}

/* A write of which the ordinary way is not sure. */
static __attribute__((noinline)) ssize_t write_odd(struct stream *s, const struct iovec *iov, int count, int flags) {
    struct write_call call = {
        .iov = iov, .count = count, .flags = flags, .blocking = -1, .size = total_size(iov, count)};
    if (atomic_load_explicit(&s->write_path, memory_order_relaxed) == PATH_RAW || !call.size || (flags & MSG_OOB))
        return s->channel->ops->sendv(s->channel, iov, count, flags);
    return write_slow(s, &call);
}

/* What the ordinary way could not account for: more than one response, a part of one, an injected response behind it.
 */
static __attribute__((noinline)) ssize_t account_for(struct stream *s, const struct iovec *iov, int count, int flags,
                                                     uint64_t begun_ns, size_t sent) {
    struct write_call call = {
        .iov = iov, .count = count, .flags = flags, .blocking = -1, .size = total_size(iov, count)};
    blame_writes(s, begun_ns);
    blame_wrote(s, sent == call.size, 0);
    return account(s, &call, sent);
}

/* Nothing went out. */
static __attribute__((noinline)) ssize_t account_for_none(struct stream *s, uint64_t begun_ns, ssize_t sent,
                                                          int error) {
    blame_writes(s, begun_ns);
    blame_wrote(s, sent == 0, sent < 0 ? error : 0);
    stream_unlock(s);
    errno = error;
    return sent;
}

/* The ordinary write: no injected response is in line, so the real write comes first, without so much as the lock, then
 * the account of it; which is most often a whole response, or a head and the beginning of a body, to the one request
 * that is outstanding.  (What gets in line meanwhile belongs behind all that the application can be writing now.) */
ssize_t stream_write(struct stream *s, const struct iovec *iov, int count, int flags) {
    if (__builtin_expect(atomic_load_explicit(&s->write_path, memory_order_relaxed) != PATH_CALM ||
                             atomic_load_explicit(&s->writing, memory_order_relaxed) || (flags & MSG_OOB) || !count,
                         0))
        return write_odd(s, iov, count, flags);
    uint32_t epoch = s->epoch, sequence = s->write_sequence;
    uint64_t begun_ns = s->channel->ops->now_ns();
    atomic_store_explicit(&s->writing, 1, memory_order_relaxed);
    ssize_t sent = s->channel->ops->sendv(s->channel, iov, count, flags);
    int error = errno;
    if (!stream_lock(s))
        return sent;
    if (__builtin_expect(s->epoch != epoch, 0)) {
        stream_unlock(s);
        errno = error;
        return sent;
    }
    if (__builtin_expect(s->write_sequence != sequence && !s->out_lost, 0))
        frame_lost(s, OPAQUE_SHARED);
    STREAM_STEP(s->write_sequence);
    atomic_store_explicit(&s->writing, 0, memory_order_relaxed);
    if (__builtin_expect(sent <= 0, 0))
        return account_for_none(s, begun_ns, sent, error);

    struct message head;
    struct stream_entry *entry = &s->single;
    size_t first = iov->iov_len < (size_t)sent ? iov->iov_len : (size_t)sent, size = (size_t)sent;
    errno = error;
    if (__builtin_expect(
            s->entries || s->entries_count != 1 || s->out.status || s->out.head_size || s->out_lost ||
                entry->kind != ENTRY_APPLICATION || entry->undecided || entry->bare || s->state == REQUEST_WAITING ||
                s->state == REQUEST_BODY || entry->method || size > PROMPT_MAX ||
                s->protocol->response(iov->iov_base, first, 0, &head) != PARSED_DONE || head.status < 200 ||
                head.framing == BODY_CODED || blame_doubts(entry, head.status, begun_ns),
            0))
        return account_for(s, iov, count, flags, begun_ns, size);
    size_t body = size - head.size, length = head.framing == BODY_LENGTH ? (size_t)head.content_length : 0;
    bool over = head.framing != BODY_UNTIL_CLOSE && body >= length;
    if (__builtin_expect(over, 1)) {
        s->policy->response(s->context, &entry->ticket, head.status, STREAM_DONE, begun_ns);
        s->last = !head.keep_alive;
        s->entries_count = 0;
        if (__builtin_expect(body > length, 0))
            frame_advance(s, iov, count, head.size + length, size);
    } else {
        s->out.status = head.status;
        s->out.last = !head.keep_alive;
        s->out.body = (struct body){.framing = head.framing, .left = length - body, .lenient = true};
        blame_writes(s, begun_ns);
        blame_wrote(s, total_size(iov, count) == size, 0);
        blame_begun(s, entry, head.status, blame_is_events(entry, &head), true);
    }
    stream_unlock(s);
    errno = error;
    return sent;
}

/* Up to the end of the response; where its end cannot be known unseen, framing is about to be lost anyway. */
static size_t limited(size_t blind, size_t size) {
    return blind && blind < size ? blind : size;
}

size_t stream_sendfile_begin(struct stream *s, size_t size, size_t *ret_skip) {
    int blocking = -1, error = errno;
    *ret_skip = 0;
    if (atomic_load_explicit(&s->write_path, memory_order_relaxed) == PATH_RAW || !size || !stream_lock(s))
        return size;
    bool ready = flush(s, 0, &blocking);
    if (ready && is_over(s)) {
        *ret_skip = size;
        size = 0;
    } else if (ready && s->phantom) {
        s->phantom = false;
        *ret_skip = 1;
        size--;
    }
    if (!ready)
        size = 0;
    else if (s->ours_count && s->out.status && !s->out_lost)
        size = limited(s->protocol->body_blind(&s->out.body), size);
    if (size || *ret_skip) {
        s->sendfile_sequence = begin(s);
        blame_writes(s, s->channel->ops->now_ns());
    }
    stream_unlock(s);
    errno = error;
    return size;
}

size_t stream_sendfile_done(struct stream *s, size_t sent) {
    int blocking = -1, error = errno;
    if (atomic_load_explicit(&s->write_path, memory_order_relaxed) == PATH_RAW || !stream_lock(s))
        return sent;
    end(s, s->sendfile_sequence);
    blame_wrote(s, sent != 0, 0);
    if (!s->out_lost)
        frame_advance_blind(s, sent);
    if (s->ours_count && !flush(s, 0, &blocking))
        hold_one_back(s, &sent);
    stream_unlock(s);
    errno = error;
    return sent;
}
