#include "shim/session/stream_state.h"

/* Where a read does not go on at once: too much is unanswered, a turn or the rest of a head is waited for, the
 * connection ends. */

static bool is_busy(const struct stream *s) {
    return s->entries_count >= STREAM_BUSY && s->io->hold_back && !s->opaque && !s->closing && !s->observing;
}

/* Too much is unanswered to look at another head.  The kernel is asked to be silent until that is better; where it
 * cannot, reading goes on, and so it does for a while when the kernel speaks all the same (the end, or no more room).
 */
bool stream_hold(struct stream *s, struct read_call *call) {
    if (!is_busy(s) || stream_call_blocks(s, call))
        return false;
    bool read_on = s->held_back && s->entries_count < STREAM_FULL && !read_something(call);
    if (!s->held_back)
        s->held_back = s->io->hold_back(s->fd, true);
    return s->held_back && !read_on;
}

/* How much may be read without coming upon another head, when there should be none. */
size_t stream_room(struct stream *s, struct read_call *call) {
    enum { CHUNK_LINE = 8 }; /* of a chunk's size; less than any head */
    size_t room = call->size - call->total, most = s->judged;
    if (!is_busy(s) || stream_at_boundary(s) || stream_call_blocks(s, call))
        return room;
    if (s->in.framing == HTTP_BODY_LENGTH && s->in.left < room)
        most += (size_t)s->in.left;
    else if (!most)
        most = http1_body_blind(&s->in) ? http1_body_blind(&s->in) : CHUNK_LINE;
    return most < room ? most : room;
}

/* A blocking descriptor waits a little for the writing thread.  False: the descriptor was closed meanwhile. */
bool stream_wait_for_answers(struct stream *s, struct read_call *call) {
    uint32_t epoch = s->epoch;
    if (!is_busy(s) || !stream_at_boundary(s) || !stream_call_blocks(s, call))
        return true;
    for (int slept_ms = 0; slept_ms < 50 && s->entries_count >= STREAM_BUSY; slept_ms += 5) {
        stream_unlock(s);
        int hung_up = s->io->wait_hangup(s->fd, 5 * STREAM_MS);
        if (!stream_lock(s) || s->epoch != epoch)
            return false;
        if (hung_up > 0)
            break;
    }
    return true;
}

/* The kernel is asked to be silent about what follows a request that waits. */
static void be_quiet(struct stream *s) {
    if (s->io->hold_back && !s->held_back)
        s->held_back = s->io->hold_back(s->fd, true);
}

/* So much may follow it before its turn that the kernel could not be silent about it. */
static bool is_much(const struct stream *s, const struct http_head *head, size_t behind) {
    switch (head->framing) {
    case HTTP_BODY_NONE: return false;
    case HTTP_BODY_LENGTH:
        return head->content_length > behind && (!s->held_back || head->content_length > STREAM_QUIET_MAX);
    default: return !s->held_back;
    }
}

static void announce(struct stream *s, uint64_t turn_ns, bool much) {
    static const uint8_t announced[] = {
        [NOTICE_NONE] = ANNOUNCED_NOT, [NOTICE_NEEDED] = ANNOUNCED_TO_READER, [NOTICE_GIVEN] = ANNOUNCED_LATER};
    s->announced = s->io->announce ? announced[s->io->announce(s, turn_ns, much)] : ANNOUNCED_NOT;
}

/* On a blocking descriptor the thread sleeps in its next read; on a non-blocking one somebody must say when the turn
 * has come.  Who has ended its side already cannot be told from one who leaves while it waits: it is not made to wait.
 */
bool stream_can_wait(struct stream *s, struct read_call *call, const struct http_head *head, size_t behind,
                     uint64_t turn_ns) {
    bool blocks = stream_call_blocks(s, call);
    if (head->size + behind > STREAM_STASH_MAX || (call->flags & MSG_PEEK) || s->io->wait_hangup(s->fd, 0) > 0)
        return false;
    call->heard = true;
    if (blocks && !read_something(call))
        return true;
    be_quiet(s);
    announce(s, turn_ns, is_much(s, head, behind));
    return s->announced == ANNOUNCED_LATER || (s->announced == ANNOUNCED_TO_READER && blocks);
}

void stream_give_turn_back(struct stream *s) {
    if (answer_release(s) || !s->turn_ns)
        return;
    s->policy->cancel(s->context, &entries_last(s)->ticket, false, s->io->now_ns());
    entries_unpush(s);
    s->turn_ns = 0;
}

static enum read_step leave(struct stream *s) {
    stream_give_turn_back(s);
    stash_drop(s);
    s->judged = 0;
    stream_stop_taking(s, false);
    return STEP_DONE;
}

/* It may have come to wait while its thread could sleep.  False: nobody would be told of its turn, so that is now. */
static bool will_be_told(struct stream *s) {
    if (s->announced < ANNOUNCED_LATER)
        announce(s, s->turn_ns, !s->held_back);
    return s->announced >= ANNOUNCED_LATER;
}

/* The request at the stash's start was admitted for later, or is to be refused then. */
enum read_step stream_wait_for_turn(struct stream *s, struct read_call *call) {
    uint64_t now_ns = s->io->now_ns();
    if (now_ns >= s->turn_ns) {
        if (answer_release(s))
            return STEP_AGAIN;
        s->turn_ns = 0;
        if (s->announced)
            s->announced = ANNOUNCED_NOW;
        return STEP_AGAIN;
    }
    if (read_something(call))
        return STEP_DONE;
    if (!stream_call_blocks(s, call)) {
        if (!call->heard && s->io->wait_hangup(s->fd, 0) > 0)
            return leave(s);
        be_quiet(s);
        if (will_be_told(s))
            return read_fail(call, EAGAIN);
        if (!answer_release(s))
            s->turn_ns = 0;
        return STEP_AGAIN;
    }
    uint32_t epoch = s->epoch;
    uint64_t left_ns = s->turn_ns - now_ns;
    stream_unlock(s);
    int hung_up = s->io->wait_hangup(s->fd, left_ns);
    if (!stream_lock(s) || s->epoch != epoch)
        return STEP_DONE;
    return hung_up > 0 && s->turn_ns ? leave(s) : STEP_AGAIN;
}

enum read_step stream_wait_for_head(struct stream *s, struct read_call *call) {
    uint64_t now_ns = s->io->now_ns();
    if (!s->deadline_ns)
        s->deadline_ns = now_ns + STREAM_HEAD_WAIT_NS;
    if (now_ns >= s->deadline_ns) {
        s->observing = true;
        s->deadline_ns = 0;
        s->policy->undecided(s->context);
        return STEP_AGAIN;
    }
    uint32_t epoch = s->epoch;
    int timeout_ms = (int)((s->deadline_ns - now_ns + STREAM_MS - 1) / STREAM_MS);
    stream_unlock(s);
    s->io->poll_in(s->fd, timeout_ms);
    return stream_lock(s) && s->epoch == epoch ? STEP_AGAIN : read_fail(call, EAGAIN);
}

/* Our last answer is given, or in line.  The application sees the end of the stream; at once where its thread would
 * wait, else when the client is gone, so that no reset (of unread bytes when the application closes) overtakes the
 * answer. */
enum read_step stream_read_closing(struct stream *s, struct read_call *call) {
    if (read_something(call))
        return STEP_DONE;
    bool blocks = stream_call_blocks(s, call);
    if ((blocks && s->entries_count) || s->discarded >= STREAM_DRAIN_MAX)
        return STEP_DONE;
    ssize_t got = stream_recv_now(s, call->bytes, call->size, call->flags & ~MSG_WAITALL);
    if (got > 0) {
        memset(call->bytes, 0, (size_t)got);
        s->discarded += (uint32_t)got;
        return STEP_AGAIN;
    }
    if (got == 0)
        return STEP_DONE;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        return read_fail(call, errno);
    if (s->io->now_ns() - s->since_ns >= STREAM_LINGER_NS)
        return STEP_DONE;
    if (!blocks)
        return read_fail(call, EAGAIN);
    if (!s->linger)
        return STEP_DONE;
    uint32_t epoch = s->epoch;
    stream_unlock(s);
    int ready = s->io->poll_in(s->fd, STREAM_DRAIN_MS);
    if (!stream_lock(s) || s->epoch != epoch)
        return STEP_DONE;
    s->linger = ready != 0;
    return STEP_AGAIN;
}
