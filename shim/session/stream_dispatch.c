#include <string.h>

#include "shim/session/stream_state.h"

size_t stream_blanks(const char *bytes, size_t size) {
    size_t count = 0;
    while (count < size && (unsigned char)bytes[count] <= ' ')
        count++;
    return count;
}

enum stream_strictness stream_strictness(struct stream *s) {
    return s->policy->strict ? s->policy->strict(s->context) : STREAM_OPAQUE;
}

/* What is no request of a connection's first protocol may be another protocol, unless it is known which one it is; a
 * line of HTTP/0.9 is one there, too. */
static enum recognised recognise_odd(struct stream *s, enum parsed parsed, const struct message *head) {
    bool known = s->known || s->policy->protocol || s->entries_count;
    if (parsed == PARSED_BROKEN)
        return head->foreign && !known ? RECOGNISED_FOREIGN : RECOGNISED_BROKEN;
    enum stream_strictness strictness = stream_strictness(s);
    if (head->bare)
        return strictness == STREAM_DEFEND && known ? RECOGNISED_BROKEN : RECOGNISED_HEAD;
    return strictness == STREAM_DEFEND ? RECOGNISED_HEAD : RECOGNISED_BROKEN;
}

/* Some servers take any bytes for a method.  Where HTTP is served in the clear, what begins as TLS is that once the
 * server answers, unless it names HTTP's version before. */
static enum recognised recognise_tls(struct stream *s, const char *bytes, size_t size) {
    static const char version[] = "HTTP/";
    if (s->policy->protocol)
        return RECOGNISED_HEAD; /* which it is none of */
    if (!s->policy->plain || !s->policy->plain(s->context))
        return RECOGNISED_TLS;
    s->tls = true;
    if (memmem(bytes, size, version, sizeof(version) - 1))
        return RECOGNISED_FOREIGN;
    return size < MESSAGE_HEAD_MAX ? RECOGNISED_MORE : RECOGNISED_TLS;
}

/* What stands before the first message, or instead of one.  HEAD: a message. */
static enum recognised recognise_preamble(struct stream *s, const char *bytes, size_t size, struct message *ret_head) {
    static const uint8_t recognised[] = {
        [PREAMBLE_NONE] = RECOGNISED_HEAD,   [PREAMBLE_MORE] = RECOGNISED_MORE,
        [PREAMBLE_PROXY] = RECOGNISED_PROXY, [PREAMBLE_BROKEN] = RECOGNISED_AMBIGUOUS,
        [PREAMBLE_HTTP2] = RECOGNISED_HTTP2, [PREAMBLE_HTTP2_HEAD] = RECOGNISED_MORE,
    };
    const struct stream_policy *policy = s->policy;
    enum proxy_header proxy = s->proxied || !policy->proxied ? PROXY_OFF
                              : policy->proxy                ? policy->proxy(s->context)
                                                             : PROXY_AUTO;
    struct preamble_proxy header;
    enum preamble found = preamble_find(bytes, size, proxy != PROXY_OFF, &header);
    if (proxy == PROXY_ON && found != PREAMBLE_MORE && found != PREAMBLE_PROXY)
        return RECOGNISED_AMBIGUOUS;
    /* A server that speaks it answers before all of it has come, and what it writes could not be distinguished from
     * another protocol's. */
    if (found == PREAMBLE_HTTP2_HEAD && policy->refuses && policy->refuses(s->context, OPAQUE_HTTP2))
        return RECOGNISED_HTTP2;
    if (found == PREAMBLE_PROXY && policy->proxied) {
        s->proxied = true;
        policy->proxied(s->context, header.address, header.length);
        ret_head->size = header.size;
    }
    return found == PREAMBLE_TLS ? recognise_tls(s, bytes, size) : (enum recognised)recognised[found];
}

static enum recognised recognise_protocol(struct stream *s, const char *bytes, size_t size, size_t seen,
                                          struct message *ret_head) {
    enum recognised before = s->tunnel ? RECOGNISED_HEAD : recognise_preamble(s, bytes, size, ret_head);
    if (before != RECOGNISED_HEAD || (!s->tunnel && (s->protocol = s->policy->protocol)))
        return before;
    enum sniffed first = protocol_sniff(bytes, size, seen, &s->protocol);
    if (first == SNIFFED_MORE && size - stream_blanks(bytes, size) < MESSAGE_HEAD_MAX)
        return RECOGNISED_MORE;
    return first == SNIFFED_YES ? RECOGNISED_HEAD : RECOGNISED_FOREIGN;
}

enum recognised stream_recognise(struct stream *s, const char *bytes, size_t size, size_t seen,
                                 struct message *ret_head) {
    static const uint8_t recognised[] = {
        [PARSED_MORE] = RECOGNISED_MORE, [PARSED_DONE] = RECOGNISED_HEAD, [PARSED_BROKEN] = RECOGNISED_BROKEN};
    if (!s->protocol) {
        enum recognised first = recognise_protocol(s, bytes, size, seen, ret_head);
        if (first != RECOGNISED_HEAD)
            return first;
        seen = 0; /* bytes that were only sniffed at have not been through the parser */
        s->tunnel = false;
        upgraded_end(s); /* it was none */
    }
    enum parsed parsed = s->protocol->request(bytes, size, seen, ret_head);
    if (__builtin_expect(parsed == PARSED_BROKEN || (parsed == PARSED_DONE && (ret_head->odd || ret_head->bare)), 0))
        return recognise_odd(s, parsed, ret_head);
    return (enum recognised)recognised[parsed];
}

void stream_follow(struct stream *s, enum request_state body) {
    s->state = (uint8_t)(s->in.framing == BODY_NONE ? REQUEST_BOUNDARY : body);
}

void stream_give_up(struct stream *s, enum opaque_reason why) {
    stream_pass_all(s, why);
    buffer_drop(s, &s->head);
    s->turn_ns = 0;
    s->policy->undecided(s->context);
}

void stream_stop_taking(struct stream *s, bool body_expected) {
    s->state = REQUEST_CLOSING;
    s->since_ns = s->channel->ops->now_ns();
    s->linger = body_expected;
    s->discarded = s->judged = 0;
    buffer_drop(s, &s->head);
    buffer_drop(s, &s->rest);
}

static void refuse_by(struct stream *s, const struct protocol *protocol, enum refused why, bool handed_over) {
    char text[STREAM_TEXT_MAX];
    struct refusal refusal = {.kind = (uint8_t)why, .close = true};
    bool body = s->state == REQUEST_BODY;
    stream_stop_taking(s, true);
    s->resets = handed_over;
    if (!body && !answer_give(s, text, protocol->refuse(NULL, &refusal, text, sizeof(text)), true))
        s->channel->ops->finish(s->channel, SHUT_RD); /* then the application ends it, after what it has to say */
}

/* In the middle of an admitted request's body there is no place for an answer; the application sees the stream end
 * there. */
void stream_refuse(struct stream *s, enum refused why, bool handed_over) {
    refuse_by(s, s->protocol, why, handed_over);
}

void stream_foreign(struct stream *s, enum recognised what, bool handed_over) {
    static const uint8_t reasons[] = {[RECOGNISED_AMBIGUOUS] = OPAQUE_MALFORMED,
                                      [RECOGNISED_FOREIGN] = OPAQUE_FOREIGN,
                                      [RECOGNISED_TLS] = OPAQUE_TLS,
                                      [RECOGNISED_HTTP2] = OPAQUE_HTTP2};
    enum opaque_reason why = (enum opaque_reason)reasons[what];
    bool may_be = s->tunnel || !s->policy->refuses; /* in a tunnel that the server agreed to, whatever it is */
    const struct protocol *refuses = may_be ? NULL : s->policy->refuses(s->context, why);
    buffer_drop(s, &s->head);
    if (refuses)
        refuse_by(s, refuses, REFUSED_MALFORMED, handed_over);
    else if (why == OPAQUE_MALFORMED)
        stream_give_up(s, why);
    else
        stream_pass_all(s, why);
}

void stream_malformed(struct stream *s, enum refused why, bool handed_over) {
    if (s->state != REQUEST_SWALLOWING && stream_strictness(s) == STREAM_OPAQUE) {
        stream_give_up(s, OPAQUE_MALFORMED);
        return;
    }
    stream_refuse(s, why, handed_over);
    if (s->policy->malformed)
        s->policy->malformed(s->context);
}

void stream_broken(struct stream *s, const struct message *head, size_t size, bool handed_over) {
    if (size >= MESSAGE_HEAD_MAX)
        stream_refuse(s, REFUSED_TOO_LARGE, handed_over);
    else
        stream_malformed(s, head->other_version ? REFUSED_VERSION : REFUSED_MALFORMED, handed_over);
}

static bool streak_is_over(const struct stream *s) {
    return s->streak >= STREAM_STREAK_MAX || s->channel->ops->now_ns() - s->since_ns >= STREAM_STREAK_NS;
}

/* One head that is being decided upon. */
struct dispatch {
    struct stream *s;
    struct read_call *call;
    const struct message *head;
    size_t handed_over, behind;
    char answer[STREAM_TEXT_MAX];
    size_t size;
    bool close;
};

/* False: the answer cannot be held back until then. */
static bool refuse_later(struct dispatch *d, uint64_t at_ns) {
    struct stream *s = d->s;
    if (s->out_lost || s->out_closed || s->phantom || !stream_can_wait(s, d->call, 0, d->behind, at_ns) ||
        !answer_queue(s, d->answer, d->size, d->close))
        return false;
    s->in = (struct body){.framing = d->head->framing, .left = d->head->content_length};
    s->state = REQUEST_WAITING;
    s->turn_ns = at_ns;
    s->resets = d->handed_over;
    return s->refusing = true;
}

static enum dispatched reject(struct dispatch *d, uint64_t at_ns) {
    struct stream *s = d->s;
    if (!d->close && (stream_call_blocks(s, d->call) || stream_ends_on_eagain())) {
        d->close = true;
        s->protocol->settle(d->head, true, d->answer, &d->size, sizeof(d->answer));
    }
    if (!d->close)
        d->close = !s->protocol->settle(d->head, false, d->answer, &d->size, sizeof(d->answer));
    bool later = at_ns && refuse_later(d, at_ns);
    if (!later && !answer_give(s, d->answer, d->size, d->close)) {
        stream_give_up(s, OPAQUE_MEMORY);
        return DISPATCHED_NOT;
    }
    if (!s->streak++)
        s->since_ns = s->channel->ops->now_ns();
    if (later)
        return DISPATCHED_WAIT;
    if (d->close) {
        stream_stop_taking(s, d->head->framing != BODY_NONE && !d->head->expect_continue);
        s->resets = d->handed_over || s->unsaid;
    } else if (s->state != REQUEST_CLOSING) {
        s->in = (struct body){.framing = d->head->framing, .left = d->head->content_length};
        stream_follow(s, REQUEST_SWALLOWING);
        s->discarded = 0;
    }
    return DISPATCHED_CUT;
}

/* The application answers half a head: its request passes, counted already. */
static enum dispatched pass_acted(struct stream *s, const struct message *head) {
    s->acted = false;
    s->in = (struct body){.framing = head->framing, .left = head->content_length};
    stream_follow(s, REQUEST_BODY);
    return DISPATCHED_PASS;
}

/* It has to wait and cannot, or there is no room for one more. */
static void refuse_instead(struct dispatch *d, struct stream_entry *entry, bool last) {
    struct refusal refusal = {.kind = REFUSED_CROWDED, .close = true};
    if (last)
        d->size = d->s->protocol->refuse(d->head, &refusal, d->answer, sizeof(d->answer));
    d->s->policy->cancel(d->s->context, &entry->ticket, true, d->s->channel->ops->now_ns());
}

enum dispatched stream_dispatch(struct stream *s, struct read_call *call, const struct message *head,
                                size_t handed_over, size_t behind) {
    struct dispatch d;
    uint64_t turn_ns = 0;
    s->known |= !head->bare;
    if (__builtin_expect(s->acted, 0))
        return pass_acted(s, head);
    if (__builtin_expect(s->out_lost, 0))
        frame_forget(s);
    struct stream_entry *entry = __builtin_expect(!s->entries_count && !s->entries, 1) ? &s->single
                                                                                       : entries_reserve(s);
    if (!entry) {
        stream_give_up(s, OPAQUE_MEMORY);
        return DISPATCHED_NOT;
    }
    d.s = s;
    d.call = call;
    d.head = head;
    d.handed_over = handed_over;
    d.behind = behind;
    d.size = 0;
    /* After a rejection the connection can go on only if the request's end is near and certain. */
    bool last = s->entries_count == STREAM_ENTRIES_MAX - 1;
    d.close = last || handed_over || !head->keep_alive || head->expect_continue || head->upgrade ||
              head->content_length > STREAM_SWALLOW_MAX || (s->streak && streak_is_over(s));
    enum engine_verdict verdict = s->policy->request(s->context, head, &d.close, &entry->ticket, d.answer, &d.size,
                                                     &turn_ns);
    if (__builtin_expect(verdict == ENGINE_BLOCK, 0))
        return reject(&d, turn_ns);
    bool waits = verdict == ENGINE_WAIT && !last && !head->bare &&
                 stream_can_wait(s, call, head->size - handed_over - 1, behind, turn_ns);
    if (__builtin_expect(last || (verdict == ENGINE_WAIT && !waits && d.size), 0)) {
        refuse_instead(&d, entry, last);
        return reject(&d, 0);
    }
    entry->kind = ENTRY_APPLICATION;
    entry->method = head->method_id;
    entry->bare = head->bare;
    entry->undecided = entry->close = false;
    s->entries_count++;
    s->streak = 0;
    s->in = (struct body){.framing = head->framing, .left = head->content_length};
    s->state = (uint8_t)(waits ? REQUEST_WAITING : s->in.framing == BODY_NONE ? REQUEST_BOUNDARY : REQUEST_BODY);
    s->turn_ns = waits ? turn_ns : 0;
    if (__builtin_expect(waits, 0))
        engine_waited(&entry->ticket, turn_ns);
    return waits ? DISPATCHED_WAIT : DISPATCHED_PASS;
}
