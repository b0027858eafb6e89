#include "shim/session/stream_state.h"

#include <pthread.h>
#include <sched.h>

#include "rules/alone.h"

/* Whose lock it is: an address that every living thread has for itself, and a count of forks: a lock that some thread
 * of the parent held at the moment of the fork belongs to nobody in the child. */
static _Thread_local char identity;
static _Atomic uint64_t forks;

static uint64_t self(void) {
    return atomic_load_explicit(&forks, memory_order_relaxed) << 48 | ((uintptr_t)&identity & 0xffffffffffff);
}

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
    uint64_t me = self(), none = 0;
    if (__builtin_expect(alone_take64(&s->lock, &none, me), 1))
        return true;
    return lock_contended(s, me);
}

static enum stream_path next_path(const struct stream *s) {
    if (stash_left(s) || s->closing || s->pending_errno || s->turn_ns)
        return PATH_SLOW;
    if (s->opaque)
        return PATH_RAW;
    return s->entries_count >= STREAM_BUSY ? PATH_SLOW : PATH_CALM;
}

static enum stream_path next_write_path(const struct stream *s) {
    if (s->ours_count || s->phantom || s->out_closed)
        return PATH_SLOW;
    if (s->out_lost)
        return s->entries_count ? PATH_SLOW : PATH_RAW;
    return s->entries_count ? PATH_CALM : PATH_SLOW;
}

/* Is there something in the stash that the application can have, or that is not decided yet?  What is known to be part
 * of a head only waits for the kernel, which will say so. */
static bool stash_is_news(const struct stream *s) {
    return stash_left(s) && (s->opaque || s->observing || !stream_at_boundary(s) || stash_left(s) != s->stash_seen);
}

static void settle_notice(struct stream *s) {
    if (s->turn_ns || (s->announced == ANNOUNCED_NOW && stash_is_news(s)))
        return;
    s->announced = stash_is_news(s) ? ANNOUNCED_NOW : ANNOUNCED_NOT;
    s->io->announce(s, s->announced ? s->io->now_ns() : 0, false);
}

void stream_unlock(struct stream *s) {
    if (__builtin_expect(s->announced, 0))
        settle_notice(s);
    if (s->held_back && s->entries_count < STREAM_RELIEVED && !s->turn_ns) {
        s->held_back = false;
        s->io->hold_back(s->fd, false);
    }
    atomic_store_explicit(&s->path, next_path(s), memory_order_relaxed);
    atomic_store_explicit(&s->write_path, next_write_path(s), memory_order_relaxed);
    __atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
}

bool stream_call_blocks(struct stream *s, struct read_call *call) {
    if (call->blocking < 0)
        call->blocking = !(call->flags & MSG_DONTWAIT) && !s->io->nonblocking(s->fd);
    return call->blocking;
}

ssize_t stream_recv_now(struct stream *s, void *bytes, size_t size, int flags) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    ssize_t got = s->io->recv(s->fd, bytes, size, flags | MSG_DONTWAIT);
    int error = errno;
    pthread_setcancelstate(state, NULL);
    errno = error;
    return got;
}

ssize_t stream_send_now(struct stream *s, const void *bytes, size_t size) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    ssize_t sent = s->io->send(s->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    int error = errno;
    pthread_setcancelstate(state, NULL);
    errno = error;
    return sent;
}

size_t stream_size(void) {
    return sizeof(struct stream);
}

void stream_open(struct stream *s, int fd, const struct stream_io *io, const struct stream_policy *policy,
                 void *context, const struct stream_memory *memory) {
    enum { KEPT = offsetof(struct stream, fd) };
    bool locked = stream_lock(s);
    memset((char *)s + KEPT, 0, sizeof(*s) - KEPT);
    stream_step(&s->epoch);
    s->fd = fd;
    s->io = io;
    s->policy = policy;
    s->context = context;
    s->memory = memory;
    if (locked)
        stream_unlock(s);
}

static size_t owed(const struct stream *s) {
    size_t left = stash_left(s);
    if (s->turn_ns && (s->refusing || s->turn_ns > s->io->now_ns()))
        return 0;
    return s->opaque || s->observing || s->judged > left ? left : s->judged;
}

size_t stream_readable(const struct stream *s) {
    struct stream *shared = (struct stream *)(uintptr_t)s;
    if (!stream_lock(shared))
        return 0;
    size_t size = owed(s);
    stream_unlock(shared);
    return size;
}

uint64_t stream_turn_ns(const struct stream *s) {
    struct stream *shared = (struct stream *)(uintptr_t)s;
    if (!stream_lock(shared))
        return 0;
    uint64_t turn_ns = s->turn_ns ? s->turn_ns : s->announced;
    stream_unlock(shared);
    return turn_ns;
}

/* No more of the application's output will be understood: a response that the end of the connection ends is complete,
 * every other one is not. */
void stream_end_output(struct stream *s, bool aborted) {
    int flags = MSG_DONTWAIT;
    struct stream_entry *entry;
    bool until_close = s->out.status && s->out.body.framing == HTTP_BODY_UNTIL_CLOSE;
    answer_flush(s, flags);
    while ((entry = entries_first(s))) {
        if (entry->kind == ENTRY_APPLICATION && !entry->undecided)
            s->policy->response(s->context, &entry->ticket, s->out.status, aborted && !until_close, s->io->now_ns());
        entries_pop(s);
        s->out = (struct stream_framer){.status = 0};
        until_close = false;
    }
}

bool stream_last_words(struct stream *s) {
    (void)s;
    return false;
}

void stream_shutdown_write(struct stream *s) {
    int error = errno;
    if (!stream_lock(s))
        return;
    stream_give_turn_back(s);
    stream_end_output(s, true);
    s->out_lost = s->opaque = true;
    stream_unlock(s);
    errno = error;
}

void stream_close(struct stream *s) {
    int error = errno;
    if (!stream_lock(s))
        return;
    stream_give_turn_back(s);
    stream_end_output(s, true);
    stash_drop(s);
    entries_free(s);
    if (s->out_head)
        s->memory->give(s->out_head, s->out_head_capacity);
    s->out_head = NULL;
    s->out_head_capacity = 0;
    s->opaque = s->out_lost = true;
    s->closing = s->observing = false;
    s->pending_errno = 0;
    stream_step(&s->epoch);
    stream_unlock(s);
    errno = error;
}

void stream_opaque(struct stream *s) {
    if (!stream_lock(s))
        return;
    if (answer_release(s) && s->swallowing)
        stream_stop_taking(s, true);
    s->opaque = true;
    s->turn_ns = 0;
    stream_unlock(s);
}
