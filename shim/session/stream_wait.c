#include "shim/session/stream_state.h"

/* Where a read does not go on at once: too much is unanswered, a turn is waited for, the connection ends. */

static enum notice announce(struct stream *s, uint64_t at_ns) {
    return s->channel->ops->notice ? s->channel->ops->notice(s->channel, at_ns) : NOTICE_NONE;
}

void stream_announce(struct stream *s, uint64_t at_ns) {
    static const uint8_t announced[] = {
        [NOTICE_NONE] = ANNOUNCED_NOT, [NOTICE_NEEDED] = ANNOUNCED_TO_READER, [NOTICE_GIVEN] = ANNOUNCED_LATER};
    s->announced = announced[announce(s, at_ns)];
}

static bool is_busy(const struct stream *s, unsigned most) {
    return s->entries_count >= most && s->state <= REQUEST_HEAD;
}

/* Too much is unanswered to look at another head: until that is better nothing is reported but the peer's end, from
 * when on it is read all the same for a while.  Where that could not be announced, reading goes on. */
bool stream_hold(struct stream *s, struct read_call *call) {
    if (!is_busy(s, STREAM_BUSY) || stream_call_blocks(s, call))
        return false;
    if (!s->held && announce(s, CHANNEL_SILENT) == NOTICE_GIVEN) {
        s->held = true;
        s->announced = ANNOUNCED_SILENCE;
    }
    return s->held && (s->entries_count >= STREAM_FULL || !stream_peer_left(s));
}

/* A blocking descriptor waits a little for the writing thread.  False: the descriptor was closed meanwhile. */
bool stream_wait_for_answers(struct stream *s, struct read_call *call) {
    uint32_t epoch = s->epoch;
    if (!is_busy(s, STREAM_BUSY) || !stream_call_blocks(s, call))
        return true;
    for (int slept_ms = 0; slept_ms < 50 && s->entries_count >= STREAM_BUSY; slept_ms += 5) {
        stream_unlock(s);
        int left = s->channel->ops->wait(s->channel, POLLRDHUP, 5 * STREAM_MS);
        if (!stream_lock(s) || s->epoch != epoch)
            return false;
        if (left > 0)
            break;
    }
    return true;
}

/* On a blocking descriptor the thread sleeps in its next read; on a non-blocking one a notice must say when the turn
 * has come.  A client that has ended its side already cannot be distinguished from one that leaves while it waits: it
 * is not made to wait.  `hands_over`: bytes of the request that the application gets now. */
bool stream_can_wait(struct stream *s, struct read_call *call, size_t hands_over, size_t behind, uint64_t turn_ns) {
    if (s->channel->ops->may_wait && !s->channel->ops->may_wait(s->channel))
        return false;
    bool blocks = stream_call_blocks(s, call), something = hands_over || read_something(call);
    if ((call->flags & MSG_PEEK) || stream_peer_left(s) ||
        (!call->from_rest && !buffer_reserve(s, &s->rest, behind + 1)))
        return false;
    call->heard = true;
    if (blocks && (!something || call->waitall))
        return true;
    if (!something && stream_ends_on_eagain())
        return false;
    stream_announce(s, turn_ns);
    return s->announced == ANNOUNCED_LATER || (s->announced == ANNOUNCED_TO_READER && blocks);
}

void stream_wait_over(struct stream *s) {
    s->turn_ns = 0;
    if (s->state == REQUEST_WAITING)
        stream_follow(s, REQUEST_BODY);
    if (s->announced)
        s->announced = ANNOUNCED_NOW;
}

void stream_give_turn_back(struct stream *s, bool answered) {
    if (answer_release(s) || s->state != REQUEST_WAITING)
        return;
    s->policy->cancel(s->context, &entries_last(s)->ticket, answered, s->channel->ops->now_ns());
    stream_wait_over(s);
    entries_unpush(s);
}

/* The client left.  The application has most of its request's head, and must not take the end of the stream for the
 * end of the head. */
static enum read_step leave(struct stream *s) {
    bool refusing = s->refusing;
    stream_give_turn_back(s, false);
    if (!refusing || s->state != REQUEST_CLOSING) {
        stream_stop_taking(s, false);
        s->resets = !refusing;
    }
    return STEP_AGAIN;
}

/* How long this call may go on blocking: it may sleep in several naps. */
static uint64_t patience_left(struct stream *s, struct read_call *call, uint64_t now_ns) {
    if (call->gives_up_ns == 0) {
        uint64_t patience_ns = s->channel->ops->patience_ns ? s->channel->ops->patience_ns(s->channel) : UINT64_MAX;
        call->gives_up_ns = patience_ns < UINT64_MAX - now_ns ? now_ns + patience_ns : UINT64_MAX;
    }
    return call->gives_up_ns > now_ns ? call->gives_up_ns - now_ns : 0;
}

enum read_step stream_wait_for_turn(struct stream *s, struct read_call *call) {
    uint64_t now_ns = s->channel->ops->now_ns();
    if (now_ns >= s->turn_ns) {
        if (!answer_release(s))
            stream_wait_over(s);
        return STEP_AGAIN;
    }
    if (read_something(call) && !call->waitall)
        return STEP_DONE;
    if (!stream_call_blocks(s, call)) {
        if (!call->heard && stream_peer_left(s))
            return leave(s);
        if (s->announced < ANNOUNCED_LATER) /* it may have come to wait while its thread could sleep */
            stream_announce(s, s->turn_ns);
        if (s->announced == ANNOUNCED_LATER)
            return read_fail(call, EAGAIN);
        if (!answer_release(s)) /* its turn could not be announced, so it is now */
            stream_wait_over(s);
        return STEP_AGAIN;
    }
    uint32_t epoch = s->epoch;
    uint64_t left_ns = s->turn_ns - now_ns, patience_ns = patience_left(s, call, now_ns);
    if (patience_ns == 0)
        return read_fail(call, EAGAIN); /* as the kernel has it; the request goes on waiting */
    stream_unlock(s);
    int left = s->channel->ops->wait(s->channel, POLLRDHUP, left_ns < patience_ns ? left_ns : patience_ns);
    if (!stream_lock(s) || s->epoch != epoch)
        return STEP_DONE;
    return left > 0 && s->state == REQUEST_WAITING ? leave(s) : STEP_AGAIN;
}

/* Responses to requests before the refused one are still on their way: the application must not lose them by an error
 * now.  Its own writes bring them out. */
static enum read_step wait_for_responses(struct stream *s, struct read_call *call) {
    uint32_t epoch = s->epoch;
    if (s->channel->ops->now_ns() - s->since_ns >= STREAM_LINGER_NS ||
        (s->channel->ops->may_wait && !s->channel->ops->may_wait(s->channel)))
        return read_fail(call, ECONNRESET);
    if (!stream_call_blocks(s, call))
        return read_fail(call, EAGAIN);
    stream_unlock(s);
    s->channel->ops->wait(s->channel, POLLRDHUP, 5 * STREAM_MS);
    return stream_lock(s) && s->epoch == epoch ? STEP_AGAIN : STEP_DONE;
}

/* Waits for the client, which may be sending a body still, to pause or to end. */
static enum read_step drain(struct stream *s) {
    uint32_t epoch = s->epoch;
    stream_unlock(s);
    int ready = s->channel->ops->wait(s->channel, POLLIN, STREAM_DRAIN_NS);
    if (!stream_lock(s) || s->epoch != epoch)
        return STEP_DONE;
    s->linger = ready != 0;
    return STEP_AGAIN;
}

/* Our last answer is given, or in line.  The application sees the end of the stream; at once where its thread would
 * wait, else when the client is gone, so that no reset (of unread bytes when the application closes) overtakes the
 * answer.  One that has part of the refused head sees a reset, at once: an end of the stream would be the end of the
 * head for some.  What the client still sends is drained after the application's close (stream_last_words). */
enum read_step stream_read_closing(struct stream *s, struct read_call *call) {
    if (read_something(call))
        return STEP_DONE;
    bool blocks = stream_call_blocks(s, call), full = s->discarded >= STREAM_DRAIN_MAX;
    if (!s->resets && ((blocks && s->entries_count) || full))
        return STEP_DONE;
    ssize_t got = full ? -1 : stream_recv_now(s, call->bytes, call->size, call->flags & ~(MSG_WAITALL | MSG_PEEK));
    if (got > 0) {
        memset(call->bytes, 0, (size_t)got);
        s->discarded += (uint32_t)got;
        return STEP_AGAIN;
    }
    bool over = full || got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    if (s->resets)
        return over || !s->entries_count ? read_fail(call, ECONNRESET) : wait_for_responses(s, call);
    if (over)
        return got == 0 ? STEP_DONE : read_fail(call, errno);
    if (s->channel->ops->now_ns() - s->since_ns >= STREAM_LINGER_NS)
        return STEP_DONE;
    if (!blocks)
        return read_fail(call, EAGAIN);
    return s->linger ? drain(s) : STEP_DONE;
}

/* ----------------------------------------------------------------------------------- programs that end on EAGAIN */

static _Atomic uint8_t ended_on_eagain;

bool stream_ends_on_eagain(void) {
    return atomic_load_explicit(&ended_on_eagain, memory_order_relaxed) >= STREAM_EAGAIN_SEEN;
}

/* A client that has left is reason enough to end the connection: that says nothing of the program. */
void stream_learn_eagain(struct stream *s) {
    uint8_t seen = atomic_load_explicit(&ended_on_eagain, memory_order_relaxed);
    if (s->eagain_ns && s->state != REQUEST_CLOSING && seen < STREAM_EAGAIN_SEEN &&
        s->channel->ops->now_ns() - s->eagain_ns < STREAM_EAGAIN_NS && !stream_peer_left(s))
        atomic_store_explicit(&ended_on_eagain, seen + 1, memory_order_relaxed);
}
