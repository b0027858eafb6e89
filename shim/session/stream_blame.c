#include "shim/session/stream_state.h"

#include <pthread.h>
#include <strings.h>

/* Whose time it is, and whose fault.  What a client does is not the application's doing: the time it takes to send a
 * body or to take a response is no latency, and its leaving is no failure. */

/* (A cancelled thread must not die here, with the lock held.) */
static bool peer_has(struct stream *s, short events) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    bool has = s->channel->ops->wait(s->channel, events, 0) > 0;
    pthread_setcancelstate(state, NULL);
    return has;
}

bool stream_peer_left(struct stream *s) {
    return peer_has(s, POLLRDHUP);
}

static void note(struct stream *s, uint8_t seen) {
    atomic_fetch_or_explicit(&s->peer, seen, memory_order_relaxed);
}

void blame_read(struct stream *s, ssize_t got, int error) {
    bool nothing = got < 0 && (error == EAGAIN || error == EWOULDBLOCK);
    if (nothing && s->state == REQUEST_BODY)
        note(s, PEER_STARVES);
    else if (!nothing && !(got < 0 && error == EINTR))
        note(s, PEER_LEFT);
}

/* (One that is answered already has had its end: what still comes of its body is charged to nothing.) */
void blame_body(struct stream *s, size_t size) {
    struct stream_entry *entry = entries_last(s);
    if (!entry || entry->kind != ENTRY_APPLICATION || entry->undecided)
        return;
    uint64_t now_ns = s->channel->ops->now_ns();
    engine_waited(&entry->ticket, now_ns);
    if (entry->ticket.flags & TICKET_ENDS && s->policy->body)
        s->policy->body(s->context, &entry->ticket, size, now_ns);
}

/* The body of this request is not complete, and it is the client that does not send it. */
static bool is_starved(struct stream *s, const struct stream_entry *entry, uint64_t now_ns) {
    uint8_t peer = atomic_load_explicit(&s->peer, memory_order_relaxed);
    if (s->state != REQUEST_BODY || entry != entries_last(s))
        return false;
    return (peer & PEER_LEFT) ||
           ((peer & PEER_STARVES) && engine_latency_ns(&entry->ticket, now_ns) >= STREAM_STALL_NS);
}

/* A peer that was gone before the response came has answered it with a reset: only then there are errors.  One that has
 * merely ended its side may be waiting for the response. */
enum stream_end blame_ended(struct stream *s, const struct stream_entry *entry, unsigned status, bool aborted,
                            uint64_t now_ns) {
    if (is_starved(s, entry, now_ns))
        return STREAM_LEFT;
    if (aborted)
        return atomic_load_explicit(&s->peer, memory_order_relaxed) & PEER_LEFT ? STREAM_LEFT : STREAM_ABORTED;
    return blame_doubts(entry, status, now_ns) && peer_has(s, 0) ? STREAM_LEFT : STREAM_DONE;
}

bool blame_is_events(const struct stream_entry *entry, const struct message *response) {
    static const char TYPE[] = "text/event-stream";
    if (entry->kind != ENTRY_APPLICATION || entry->undecided || !(entry->ticket.flags & TICKET_WHOLE))
        return false;
    struct slice type = message_field(response, "Content-Type");
    return type.size >= sizeof(TYPE) - 1 && strncasecmp(type.at, TYPE, sizeof(TYPE) - 1) == 0;
}

void blame_begun(struct stream *s, struct stream_entry *entry, unsigned status, bool last, bool more) {
    if (entry->kind != ENTRY_APPLICATION || entry->undecided)
        return;
    if (engine_begins(&entry->ticket, s->write_ns, last) && more && s->policy->begun &&
        !is_starved(s, entry, s->write_ns))
        s->policy->begun(s->context, &entry->ticket, status, s->write_ns);
}

static struct engine_ticket *whole_ticket(struct stream *s) {
    struct stream_entry *entry = entries_first(s);
    bool decided = entry && entry->kind == ENTRY_APPLICATION && !entry->undecided;
    return decided && (entry->ticket.flags & TICKET_WHOLE) ? &entry->ticket : NULL;
}

/* After a write that could not send all the application comes back when there is room. */
void blame_writes(struct stream *s, uint64_t begun_ns) {
    struct engine_ticket *ticket = s->stuck ? whole_ticket(s) : NULL;
    if (ticket)
        engine_blocked(ticket, begun_ns - s->write_ns);
    s->stuck = false;
    s->write_ns = begun_ns;
}

/* A blocking write lasts as long as the client does not take the bytes. */
void blame_wrote(struct stream *s, bool all, int error) {
    struct engine_ticket *ticket = all ? whole_ticket(s) : NULL;
    if (ticket)
        engine_blocked(ticket, s->channel->ops->now_ns() - s->write_ns);
    if (error && error != EAGAIN && error != EWOULDBLOCK && error != EINTR)
        note(s, PEER_LEFT);
    s->stuck = !all;
}

bool upgraded_keep(struct stream *s, struct stream_entry *entry, unsigned status) {
    bool holds = entry->kind == ENTRY_APPLICATION && !entry->undecided && !s->upgraded && s->policy->upgraded &&
                 s->policy->upgraded(s->context);
    if (!holds || !(s->upgraded = s->memory->take(sizeof(*s->upgraded))))
        return false;
    blame_begun(s, entry, status, true, true);
    *s->upgraded = entry->ticket;
    return true;
}

void upgraded_end(struct stream *s) {
    if (!s->upgraded)
        return;
    s->policy->response(s->context, s->upgraded, 101, STREAM_DONE, s->channel->ops->now_ns());
    s->memory->give(s->upgraded, sizeof(*s->upgraded));
    s->upgraded = NULL;
}
