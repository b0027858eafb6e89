#include "shim/session/stream_state.h"

static bool reserve_head(struct stream *s, size_t have, size_t size) {
    if (have + size <= s->out_head_capacity)
        return true;
    size_t capacity = s->out_head_capacity ? s->out_head_capacity : 512;
    while (capacity < have + size)
        capacity *= 2;
    char *more = s->memory->take(capacity);
    if (!more)
        return false;
    if (s->out_head) {
        memcpy(more, s->out_head, have);
        s->memory->give(s->out_head, s->out_head_capacity);
    }
    s->out_head = more;
    s->out_head_capacity = (uint32_t)capacity;
    return true;
}

static void give_head(struct stream *s) {
    if (s->out_head)
        s->memory->give(s->out_head, s->out_head_capacity);
    s->out_head = NULL;
    s->out_head_capacity = 0;
}

/* Bytes of a response's head: in place if it is whole, else collected. */
static enum http_answer frame_head(struct stream *s, struct stream_framer *f, const char *bytes, size_t size,
                                   struct http_head *head, size_t *ret_taken) {
    size_t had = f->head_size, take = size < HTTP_HEAD_MAX - had ? size : HTTP_HEAD_MAX - had;
    enum http_answer answer;
    if (had) {
        if (!reserve_head(s, had, take))
            return HTTP_BROKEN;
        memcpy(s->out_head + had, bytes, take);
        answer = http1_response(s->out_head, had + take, had, head);
    } else {
        answer = http1_response(bytes, size, 0, head);
    }
    if (answer == HTTP_BROKEN)
        return answer;
    if (answer == HTTP_DONE) {
        *ret_taken = head->size - had;
        f->head_size = 0;
        return answer;
    }
    if (!had) {
        if (!reserve_head(s, 0, take))
            return HTTP_BROKEN;
        memcpy(s->out_head, bytes, take);
    }
    f->head_size = (uint32_t)(had + take);
    *ret_taken = take;
    return take == size ? HTTP_MORE : HTTP_BROKEN;
}

enum http_answer frame_bytes(struct stream *s, struct stream_framer *f, const char *bytes, size_t size,
                             size_t *ret_taken) {
    enum http_method method = entries_first(s)->method;
    size_t at = 0;
    while (!f->status) {
        struct http_head head;
        size_t taken = 0;
        if (at == size) {
            *ret_taken = at;
            return HTTP_MORE;
        }
        enum http_answer answer = frame_head(s, f, bytes + at, size - at, &head, &taken);
        at += taken;
        if (answer != HTTP_DONE) {
            *ret_taken = at;
            return answer;
        }
        if (head.status < 200 && head.status != 101) {
            if (!f->ahead)
                continue;
            *ret_taken = at; /* the copy looks no further: what it would collect next belongs to the original */
            return HTTP_DONE;
        }
        f->status = head.status;
        http1_response_body_start(&f->body, &head, method);
    }
    size_t taken = 0;
    enum http_answer answer = http1_body_skip(&f->body, bytes + at, size - at, &taken);
    *ret_taken = at + taken;
    return answer;
}

static bool is_switch(const struct stream *s, const struct stream_entry *entry) {
    return s->out.status == 101 ||
           (entry->method == HTTP_METHOD_CONNECT && s->out.status >= 200 && s->out.status < 300);
}

static void complete(struct stream *s, struct stream_entry *entry, unsigned status) {
    if (entry->kind == ENTRY_APPLICATION && !entry->undecided)
        s->policy->response(s->context, &entry->ticket, status, false, s->io->now_ns());
    entries_pop(s);
}

static void drop_all(struct stream *s) {
    bool ours = s->ours_count;
    while (s->entries_count)
        complete(s, entries_first(s), 0);
    give_head(s);
    s->out = (struct stream_framer){.status = 0};
    s->out_lost = s->opaque = true;
    s->turn_ns = 0;
    s->phantom = false;
    if (s->refusing)
        stream_stop_taking(s, false); /* the application shall not get what was refused */
    s->refusing = false;
    if (ours) /* clients who wait for answers that have lost their place: let the application end the connection */
        s->io->shutdown(s->fd, SHUT_RD);
}

void frame_lost(struct stream *s) {
    drop_all(s);
}

/* The response to the first request is over.  False: so is HTTP. */
static bool finish(struct stream *s) {
    struct stream_entry *entry = entries_first(s);
    unsigned status = s->out.status;
    bool ends_http = is_switch(s, entry);
    complete(s, entry, status);
    s->out = (struct stream_framer){.status = 0};
    give_head(s);
    if (ends_http)
        drop_all(s);
    return !ends_http;
}

static bool advance(struct stream *s, const char *bytes, size_t size) {
    while (size) {
        struct stream_entry *entry = entries_first(s);
        size_t taken = 0;
        if (!entry || entry->kind == ENTRY_OURS) { /* more than was asked for */
            drop_all(s);
            return false;
        }
        enum http_answer answer = frame_bytes(s, &s->out, bytes, size, &taken);
        if (s->out.status && is_switch(s, entry))
            return finish(s);
        if (answer == HTTP_MORE)
            return true;
        if (answer == HTTP_BROKEN) {
            drop_all(s);
            return false;
        }
        if (!finish(s))
            return false;
        bytes += taken;
        size -= taken;
    }
    return true;
}

void frame_advance(struct stream *s, const struct iovec *iov, int count, size_t size) {
    for (int i = 0; i < count && size && !s->out_lost; i++) {
        size_t step = iov[i].iov_len < size ? iov[i].iov_len : size;
        if (step && !advance(s, iov[i].iov_base, step))
            return;
        size -= step;
    }
}

void frame_advance_blind(struct stream *s, size_t size) {
    if (!size)
        return;
    if (!s->entries_count || !s->out.status || size > http1_body_blind(&s->out.body)) {
        drop_all(s);
        return;
    }
    if (http1_body_skip_blind(&s->out.body, size))
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
        enum http_answer answer = frame_bytes(s, &ahead, (const char *)iov[i].iov_base + skip, step - skip, &taken);
        if (answer != HTTP_MORE)
            return total + (answer == HTTP_DONE ? taken : step - skip);
        total += step - skip;
        skip = 0;
    }
    return total;
}
