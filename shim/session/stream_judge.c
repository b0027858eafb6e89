#include "shim/session/stream_state.h"

static const char malformed_answer[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
static const char overflow_answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                                      "Content-Length: 0\r\n\r\n";
static const char close_header[] = "Connection: close\r\n";
/* A client of HTTP/1.0 that asked for it waits for the connection's end, unless it is told so. */
static const char keep_header[] = "Connection: keep-alive\r\n";

enum recognised stream_recognise(struct stream *s, const char *bytes, size_t size, size_t seen,
                                 struct http_head *ret_head) {
    if (!s->recognised && !s->policy->http_only) {
        switch (http1_sniff(bytes, size, s->policy->expected && s->policy->expected(s->context))) {
        case SNIFFED_MORE: return RECOGNISED_MORE;
        case SNIFFED_YES: break;
        case SNIFFED_NO: return RECOGNISED_FOREIGN;
        }
    }
    /* Bytes that were only sniffed at before have not been through the parser. */
    switch (http1_request(bytes, size, s->recognised || s->policy->http_only ? seen : 0, ret_head)) {
    case HTTP_MORE: s->recognised = true; return RECOGNISED_MORE;
    case HTTP_DONE: s->recognised = true; return RECOGNISED_HEAD;
    case HTTP_BROKEN: break;
    }
    return RECOGNISED_BROKEN;
}

void stream_give_up(struct stream *s) {
    s->opaque = true;
    s->turn_ns = 0;
    s->policy->undecided(s->context);
}

void stream_stop_taking(struct stream *s, bool body_expected) {
    s->closing = true;
    s->since_ns = s->io->now_ns();
    s->linger = body_expected;
    s->swallowing = false;
    s->discarded = 0;
    s->in = (struct http_body){.framing = HTTP_BODY_NONE};
}

void stream_malformed(struct stream *s) {
    if (!s->swallowing && (!s->policy->strict || !s->policy->strict(s->context))) {
        stream_give_up(s);
        return;
    }
    /* In the middle of an admitted request's body there is no place for an answer of ours; the application sees the
     * stream end there. */
    bool boundary = stream_at_boundary(s) || s->swallowing;
    stream_stop_taking(s, true);
    if (boundary && !answer_give(s, malformed_answer, sizeof(malformed_answer) - 1, true))
        s->io->shutdown(s->fd, SHUT_RD); /* then the application ends it, after what it has to say */
}

static bool streak_is_over(const struct stream *s) {
    return s->streak >= STREAM_STREAK_MAX || (s->streak && s->io->now_ns() - s->since_ns >= STREAM_STREAK_NS);
}

/* After a rejection the connection can go on only if the request's end is near and certain. */
static bool must_close(const struct stream *s, const struct http_head *head) {
    return !head->keep_alive || head->expect_continue || head->content_length > STREAM_SWALLOW_MAX || head->upgrade ||
           head->method_id == HTTP_METHOD_CONNECT || streak_is_over(s);
}

/* False: there is no room for it. */
static bool insert_header(char *answer, size_t *size, const char *header) {
    const char *line = memchr(answer, '\n', *size);
    size_t extra = strlen(header);
    if (!line || *size + extra > STREAM_TEXT_MAX)
        return false;
    size_t at = (size_t)(line + 1 - answer);
    memmove(answer + at + extra, answer + at, *size - at);
    memcpy(answer + at, header, extra);
    *size += extra;
    return true;
}

/* False: the answer cannot be held back until then. */
static bool refuse_later(struct stream *s, struct read_call *call, const struct http_head *head, size_t behind,
                         const char *answer, size_t size, bool close, uint64_t at_ns) {
    if (s->out_lost || s->out_closed || s->phantom || !stream_can_wait(s, call, head, behind, at_ns) ||
        !answer_queue(s, answer, size, close))
        return false;
    http1_body_start(&s->in, head);
    s->turn_ns = at_ns;
    return s->refusing = true;
}

static enum judgement reject(struct stream *s, struct read_call *call, const struct http_head *head, size_t behind,
                             char *answer, size_t size, bool close, uint64_t at_ns) {
    if (!close && stream_call_blocks(s, call)) {
        close = true;
        insert_header(answer, &size, close_header);
    }
    if (!close && head->minor == 0)
        close = !insert_header(answer, &size, keep_header);
    bool later = at_ns && refuse_later(s, call, head, behind, answer, size, close, at_ns);
    if (!later && !answer_give(s, answer, size, close)) {
        stream_give_up(s);
        return JUDGED_NOT;
    }
    if (!s->streak++)
        s->since_ns = s->io->now_ns();
    if (later)
        return JUDGED_WAIT;
    if (close) {
        stream_stop_taking(s, head->framing != HTTP_BODY_NONE && !head->expect_continue);
    } else if (!s->closing) {
        http1_body_start(&s->in, head);
        s->swallowing = s->in.framing != HTTP_BODY_NONE;
        s->discarded = 0;
    }
    return JUDGED_CUT;
}

static void admit(struct stream *s, const struct http_head *head, struct stream_entry *entry, uint64_t turn_ns) {
    entry->method = head->method_id;
    entries_commit(s, ENTRY_APPLICATION);
    s->streak = 0;
    http1_body_start(&s->in, head);
    s->turn_ns = turn_ns;
}

bool stream_undecided(struct stream *s, const struct http_head *head) {
    struct stream_entry *entry = entries_reserve(s);
    if (!entry)
        return false;
    entry->undecided = true;
    admit(s, head, entry, 0);
    return true;
}

enum judgement stream_judge(struct stream *s, struct read_call *call, const struct http_head *head, size_t behind) {
    char answer[STREAM_TEXT_MAX];
    size_t size = 0;
    uint64_t turn_ns = 0;
    struct stream_entry *entry = entries_reserve(s);
    if (!entry) {
        stream_give_up(s);
        return JUDGED_NOT;
    }
    bool last = s->entries_count == STREAM_ENTRIES_MAX - 1, close = last || must_close(s, head);
    enum engine_verdict verdict = s->policy->request(s->context, head, &close, &entry->ticket, answer, &size, &turn_ns);
    bool blocked = verdict == ENGINE_BLOCK;
    uint64_t answer_ns = blocked ? turn_ns : 0;
    if (verdict != ENGINE_WAIT) {
        turn_ns = 0;
    } else if (!stream_can_wait(s, call, head, behind, turn_ns)) {
        blocked = size > 0;
        turn_ns = 0;
    }
    if (last && !blocked) {
        blocked = true;
        size = sizeof(overflow_answer) - 1;
        memcpy(answer, overflow_answer, size);
    }
    if (blocked && verdict != ENGINE_BLOCK)
        s->policy->cancel(s->context, &entry->ticket, true, s->io->now_ns());
    if (blocked)
        return reject(s, call, head, behind, answer, size, close, answer_ns);
    admit(s, head, entry, turn_ns);
    return s->turn_ns ? JUDGED_WAIT : JUDGED_PASS;
}
