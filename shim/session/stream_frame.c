#include "shim/session/stream_state.h"

/* Bytes of a response's head: in place if it is whole, else collected. */
static enum parsed frame_head(struct stream *s, struct stream_framer *f, const char *bytes, size_t size,
                              struct message *head, size_t *ret_taken) {
    size_t had = f->head_size, take = size < MESSAGE_HEAD_MAX - had ? size : MESSAGE_HEAD_MAX - had;
    enum parsed answer;
    if (had) {
        if (s->out_head)
            s->out_head->size = (uint32_t)had; /* a look ahead may have gone further */
        if (!buffer_append(s, &s->out_head, bytes, take))
            return PARSED_BROKEN;
        answer = s->protocol->response(s->out_head->bytes, had + take, had, head);
    } else {
        answer = s->protocol->response(bytes, size, 0, head);
    }
    if (answer == PARSED_BROKEN)
        return answer;
    if (answer == PARSED_DONE) {
        *ret_taken = head->size - had;
        f->head_size = 0;
        return answer;
    }
    if (!had) {
        if (s->out_head)
            s->out_head->size = 0;
        if (!buffer_append(s, &s->out_head, bytes, take))
            return PARSED_BROKEN;
    }
    f->head_size = (uint32_t)(had + take);
    *ret_taken = take;
    return take == size ? PARSED_MORE : PARSED_BROKEN;
}

enum parsed frame_bytes(struct stream *s, struct stream_framer *f, const char *bytes, size_t size, size_t *ret_taken) {
    const struct stream_entry *entry = entries_first(s);
    uint8_t method = entry->method;
    size_t at = 0;
    if (entry->bare && !f->status) {
        f->status = 200;
        f->body = (struct body){.framing = BODY_UNTIL_CLOSE};
    }
    while (!f->status) {
        struct message head;
        size_t taken = 0;
        if (at == size) {
            *ret_taken = at;
            return PARSED_MORE;
        }
        enum parsed answer = frame_head(s, f, bytes + at, size - at, &head, &taken);
        at += taken;
        if (answer != PARSED_DONE) {
            *ret_taken = at;
            return answer;
        }
        if (head.status < 200 && !s->protocol->switches(head.status, method)) {
            if (!f->ahead)
                continue;
            *ret_taken = at; /* the copy looks no further: what it would collect next belongs to the original */
            return PARSED_DONE;
        }
        f->status = head.status;
        f->last = !head.keep_alive;
        f->events = blame_is_events(entry, &head);
        f->unseen = head.status == 101 && !f->ahead && offer_accepted(s, &head);
        s->protocol->response_body(&f->body, &head, method);
    }
    size_t taken = 0;
    enum parsed answer = s->protocol->body(&f->body, bytes + at, size - at, &taken);
    *ret_taken = at + taken;
    return answer;
}

/* Behind it there is no HTTP/1 any more. */
static bool is_switch(const struct stream *s, const struct stream_entry *entry) {
    return entry->bare || s->protocol->switches(s->out.status, entry->method);
}

static void complete(struct stream *s, struct stream_entry *entry, unsigned status) {
    uint64_t now_ns = s->channel->ops->now_ns();
    if (entry->kind == ENTRY_APPLICATION && !entry->undecided)
        s->policy->response(s->context, &entry->ticket, status, blame_ended(s, entry, status, false, now_ns), now_ns);
    entries_pop(s);
}

static void drop_all(struct stream *s, enum opaque_reason why) {
    bool ours = s->ours_count;
    while (s->entries_count)
        complete(s, entries_first(s), 0);
    buffer_drop(s, &s->out_head);
    s->out = (struct stream_framer){.status = 0};
    s->out_lost = true;
    s->phantom = false;
    s->turn_ns = 0;
    if (s->refusing)
        stream_stop_taking(s, false); /* the application shall not get what was refused */
    else if (s->state != REQUEST_CLOSING)
        stream_pass_all(s, why);
    s->refusing = false;
    buffer_drop(s, &s->head);
    if (ours) /* clients who wait for answers that have lost their place: let the application end the connection */
        s->channel->ops->finish(s->channel, SHUT_RD);
}

void frame_forget(struct stream *s) {
    while (s->entries_count)
        complete(s, entries_first(s), 0);
}

void frame_lost(struct stream *s, enum opaque_reason why) {
    bool defends = s->known && s->state != REQUEST_OPAQUE && stream_strictness(s) != STREAM_OPAQUE;
    if (!defends || s->ours_count) {
        if (defends && s->state != REQUEST_CLOSING)
            stream_stop_taking(s, false);
        drop_all(s, s->tls && !s->protocol ? OPAQUE_TLS : why);
        return;
    }
    frame_forget(s);
    buffer_drop(s, &s->out_head);
    s->out = (struct stream_framer){.status = 0};
    s->out_lost = true;
    s->phantom = false;
}

/* A CONNECT succeeded.  Where the server is a proxy there is another protocol now; where it answers so whatever the
 * method is, there is not.  What the client sends next says which. */
static void begin_tunnel(struct stream *s) {
    s->tunnel = true;
    if (s->state == REQUEST_BOUNDARY && !s->entries_count)
        s->protocol = NULL;
}

/* The response to the first request is over.  False: so is HTTP. */
static bool finish(struct stream *s) {
    struct stream_entry *entry = entries_first(s);
    unsigned status = s->out.status;
    bool ends_http = is_switch(s, entry), bare = entry->bare, unseen = s->out.unseen;
    s->last = s->out.last;
    if (s->state == REQUEST_WAITING && s->entries_count == 1 && status < 400 && s->policy->early)
        s->policy->early(s->context);
    if (ends_http && !bare && !unseen && upgraded_keep(s, entry, status))
        entries_pop(s);
    else
        complete(s, entry, status);
    s->out = (struct stream_framer){.status = 0};
    buffer_drop(s, &s->out_head);
    if (unseen)
        offer_cut(s);
    if (ends_http && bare) /* a server of HTTP ends the connection, another one goes on */
        frame_lost(s, OPAQUE_FOREIGN);
    else if (ends_http && status != 101 && stream_strictness(s) != STREAM_OPAQUE)
        begin_tunnel(s);
    else if (ends_http)
        drop_all(s, OPAQUE_UPGRADED);
    return !ends_http;
}

static bool advance(struct stream *s, const char *bytes, size_t size) {
    while (size) {
        struct stream_entry *entry = entries_first(s);
        struct message head;
        size_t taken = 0;
        if (!entry && s->tunnel)
            return false;
        if (!entry || entry->kind == ENTRY_OURS) { /* more than was asked for */
            frame_lost(s, OPAQUE_RESPONSE);
            return false;
        }
        bool begun = s->out.status;
        enum parsed answer = frame_bytes(s, &s->out, bytes, size, &taken);
        if (entry->bare && s->protocol->response(bytes, size, 0, &head) != PARSED_BROKEN)
            s->known = true;
        if (s->out.status && is_switch(s, entry))
            return finish(s);
        if (s->out.status && !begun)
            blame_begun(s, entry, s->out.status, s->out.events, answer == PARSED_MORE);
        if (answer == PARSED_MORE)
            return true;
        if (answer == PARSED_BROKEN) {
            frame_lost(s, OPAQUE_RESPONSE);
            return false;
        }
        if (!finish(s))
            return false;
        bytes += taken;
        size -= taken;
    }
    return true;
}

void frame_advance(struct stream *s, const struct iovec *iov, int count, size_t skip, size_t size) {
    for (int i = 0; i < count && size && !s->out_lost; i++) {
        size_t step = iov[i].iov_len < size ? iov[i].iov_len : size, past = skip < step ? skip : step;
        if (step > past && !advance(s, (const char *)iov[i].iov_base + past, step - past))
            return;
        skip -= past;
        size -= step;
    }
}

void frame_advance_blind(struct stream *s, size_t size) {
    if (!size || (!s->entries_count && s->tunnel))
        return;
    if (!s->entries_count || !s->out.status || size > s->protocol->body_blind(&s->out.body)) {
        frame_lost(s, OPAQUE_RESPONSE);
        return;
    }
    if (s->protocol->body_skip_blind(&s->out.body, size))
        finish(s);
}

size_t frame_measure(struct stream *s, const struct iovec *iov, int count, size_t skip) {
    struct stream_framer ahead = s->out;
    ahead.ahead = true;
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        size_t step = iov[i].iov_len;
        if (skip >= step) {
            skip -= step;
            continue;
        }
        size_t taken = 0;
        enum parsed answer = frame_bytes(s, &ahead, (const char *)iov[i].iov_base + skip, step - skip, &taken);
        if (answer != PARSED_MORE)
            return total + (answer == PARSED_DONE ? taken : step - skip);
        total += step - skip;
        skip = 0;
    }
    return total;
}
