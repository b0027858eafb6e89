#include "shim/session/stream_state.h"

#include <pthread.h>
#include <sched.h>

#include "rules/alone.h"

/* Whose lock it is: an address that every living thread has for itself, and a count of forks: a lock that some thread
 * of the parent held at the moment of the fork is free in the child. */
static _Thread_local char identity;
static _Atomic uint64_t forks;

#define SELF (atomic_load_explicit(&forks, memory_order_relaxed) << 48 | ((uintptr_t)&identity & 0xffffffffffff))

void stream_after_fork(void) {
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static bool lock_contended(struct stream *s, uint64_t me) {
    for (unsigned round = 0;; round++) {
        uint64_t holder = __atomic_load_n(&s->lock, __ATOMIC_RELAXED);
        if (holder == me)
            return false;
        bool free = holder == 0 || holder >> 48 != me >> 48;
        if (free && alone_take64(&s->lock, &holder, me))
            return true;
        if (round > 64)
            sched_yield();
    }
}

bool stream_lock(struct stream *s) {
    uint64_t me = SELF, none = 0;
    if (__builtin_expect(alone_take64(&s->lock, &none, me), 1))
        return true;
    return lock_contended(s, me);
}

static void settle_notice(struct stream *s) {
    enum announced now = s->held ? ANNOUNCED_SILENCE : buffer_left(s->rest) ? ANNOUNCED_NOW : ANNOUNCED_NOT;
    if (s->state == REQUEST_WAITING || now == s->announced)
        return;
    s->announced = (uint8_t)now;
    if (s->channel->ops->notice && now != ANNOUNCED_SILENCE)
        s->channel->ops->notice(s->channel, now == ANNOUNCED_NOW ? s->channel->ops->now_ns() : 0);
}

void stream_unlock(struct stream *s) {
    enum stream_path path = PATH_CALM, write_path = PATH_CALM;
    if (s->held && s->entries_count < STREAM_RELIEVED)
        s->held = false;
    if (__builtin_expect(s->announced || s->rest, 0))
        settle_notice(s);
    if (s->rest || s->head || s->pending_errno || s->eagain_ns || s->state == REQUEST_WAITING ||
        s->state == REQUEST_CLOSING || s->entries_count >= STREAM_BUSY)
        path = PATH_SLOW;
    if (s->state == REQUEST_OPAQUE && !s->rest && !s->pending_errno)
        path = PATH_RAW;
    if (s->out_lost && !s->entries_count && !s->phantom && !s->out_closed)
        write_path = PATH_RAW;
    else if (s->ours_count || s->phantom || s->out_closed || s->offered || s->out_lost || !s->entries_count)
        write_path = PATH_SLOW;
    atomic_store_explicit(&s->path, path, memory_order_relaxed);
    atomic_store_explicit(&s->write_path, write_path, memory_order_relaxed);
    __atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
}

bool stream_call_blocks(struct stream *s, struct read_call *call) {
    if (call->blocking < 0)
        call->blocking = !(call->flags & MSG_DONTWAIT) && !s->channel->ops->nonblocking(s->channel);
    return call->blocking;
}

ssize_t stream_recv_now(struct stream *s, void *bytes, size_t size, int flags) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    ssize_t got = s->channel->ops->recv(s->channel, bytes, size, flags | MSG_DONTWAIT);
    int error = errno;
    pthread_setcancelstate(state, NULL);
    errno = error;
    return got;
}

ssize_t stream_send_now(struct stream *s, const void *bytes, size_t size) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    struct iovec iov = {(void *)(uintptr_t)bytes, size};
    ssize_t sent = s->channel->ops->sendv(s->channel, &iov, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    int error = errno;
    pthread_setcancelstate(state, NULL);
    errno = error;
    return sent;
}

void stream_pass_all(struct stream *s, enum opaque_reason why) {
    s->state = REQUEST_OPAQUE;
    if (s->opaque)
        return;
    s->opaque = (uint8_t)why;
    if (why != OPAQUE_ENDED && s->policy->opaque)
        s->policy->opaque(s->context, why);
}

bool stream_was_read(const struct stream *s) {
    return atomic_load_explicit(&s->looked, memory_order_relaxed) ||
           atomic_load_explicit(&s->read_sequence, memory_order_relaxed);
}

enum opaque_reason stream_is_opaque(const struct stream *s) {
    return (enum opaque_reason)s->opaque;
}

size_t stream_size(void) {
    return sizeof(struct stream);
}

void stream_open(struct stream *s, struct channel *channel, const struct stream_policy *policy, void *context,
                 const struct stream_memory *memory) {
    enum { KEPT = offsetof(struct stream, read_sequence) };
    bool locked = stream_lock(s);
    memset((char *)s + KEPT, 0, sizeof(*s) - KEPT);
    STREAM_STEP(s->epoch);
    s->channel = channel;
    s->policy = policy;
    s->context = context;
    s->memory = memory;
    if (locked)
        stream_unlock(s);
}

size_t stream_readable(const struct stream *s) {
    struct stream *shared = (struct stream *)(uintptr_t)s;
    if (!stream_lock(shared))
        return 0;
    bool waits = s->state == REQUEST_WAITING && (s->refusing || s->turn_ns > s->channel->ops->now_ns());
    size_t size = waits || s->held ? 0 : buffer_left(s->rest);
    stream_unlock(shared);
    return size;
}

uint64_t stream_turn_ns(const struct stream *s) {
    struct stream *shared = (struct stream *)(uintptr_t)s;
    if (!stream_lock(shared))
        return 0;
    uint64_t turn_ns = s->state == REQUEST_WAITING ? s->turn_ns
                       : s->held                   ? CHANNEL_SILENT
                                                   : s->announced == ANNOUNCED_NOW;
    stream_unlock(shared);
    return turn_ns;
}

/* No more of the application's output will be understood: a response that the end of the connection ends is complete,
 * every other one is not. */
void stream_end_output(struct stream *s, bool aborted) {
    int flags = MSG_DONTWAIT;
    struct stream_entry *entry;
    bool until_close = s->out.status && s->out.body.framing == BODY_UNTIL_CLOSE;
    answer_flush(s, flags);
    while ((entry = entries_first(s))) {
        uint64_t now_ns = s->channel->ops->now_ns();
        if (entry->kind == ENTRY_APPLICATION && !entry->undecided)
            s->policy->response(s->context, &entry->ticket, s->out.status,
                                blame_ended(s, entry, s->out.status, aborted && !until_close, now_ns), now_ns);
        entries_pop(s);
        s->out = (struct stream_framer){.status = 0};
        until_close = false;
    }
}

/* The application gives up a connection whose request waits.  The client gets a rejection, if the application has
 * written nothing to it and did not say before that the connection ends. */
static void answer_waiting(struct stream *s) {
    bool first = s->entries_count == 1 && !s->out.status && !s->out.head_size && !s->out_lost && !s->last;
    if (s->state != REQUEST_WAITING || answer_release(s))
        return;
    stream_give_turn_back(s, first);
    if (first)
        stream_refuse(s, REFUSED_CROWDED, true);
}

/* What is outstanding will have no response: did the client go first?  (Later the descriptor may be closed.) */
static void look_at_peer(struct stream *s) {
    if (s->entries_count && !(atomic_load_explicit(&s->peer, memory_order_relaxed) & PEER_LEFT) && stream_peer_left(s))
        blame_read(s, 0, 0);
}

bool stream_last_words(struct stream *s) {
    int error = errno;
    if (!stream_lock(s))
        return false;
    answer_waiting(s);
    look_at_peer(s);
    bool linger = s->state == REQUEST_CLOSING && s->out_closed;
    stream_unlock(s);
    errno = error;
    return linger;
}

void stream_shutdown_write(struct stream *s) {
    int error = errno;
    if (!stream_lock(s))
        return;
    answer_waiting(s);
    look_at_peer(s);
    stream_end_output(s, true);
    s->out_lost = true;
    if (s->state != REQUEST_CLOSING)
        stream_pass_all(s, OPAQUE_ENDED);
    stream_unlock(s);
    errno = error;
}

void stream_close(struct stream *s) {
    int error = errno;
    if (!stream_lock(s))
        return;
    stream_learn_eagain(s);
    answer_waiting(s);
    stream_end_output(s, true);
    upgraded_end(s);
    entries_free(s);
    buffer_drop(s, &s->head);
    buffer_drop(s, &s->rest);
    buffer_drop(s, &s->out_head);
    s->state = REQUEST_OPAQUE;
    s->out_lost = true;
    s->held = false;
    s->judged = 0;
    s->pending_errno = 0;
    STREAM_STEP(s->epoch);
    stream_unlock(s);
    errno = error;
}

void stream_adopt(struct stream *s) {
    if (!stream_lock(s))
        return;
    bool announced = s->announced != ANNOUNCED_NOT;
    s->announced = ANNOUNCED_NOT;
    s->held = false;
    if (announced && s->state == REQUEST_WAITING)
        stream_announce(s, s->turn_ns);
    stream_unlock(s);
}

void stream_opaque(struct stream *s, enum opaque_reason why) {
    if (!stream_lock(s))
        return;
    if (s->state == REQUEST_WAITING && !answer_release(s))
        stream_wait_over(s);
    if (s->state == REQUEST_SWALLOWING)
        stream_stop_taking(s, true);
    if (s->state != REQUEST_CLOSING)
        stream_pass_all(s, why);
    buffer_drop(s, &s->head);
    s->judged = 0;
    stream_unlock(s);
}
