#include "shim/session/stream_state.h"

/* An offer to go on with a protocol that cannot be followed (Upgrade: h2c), where rules about requests hold: behind the
 * server's consent every further request would pass unseen.  The server gets no offer: blanks stand instead of its
 * name, and the client goes on with HTTP/1.1, as it has to with a server that does not know the other protocol.  Where
 * the application has the offer already, in an earlier piece, its consent is what does not go out. */

static bool is_refused(struct stream *s) {
    return s->policy->refuses && s->policy->refuses(s->context, OPAQUE_UPGRADED);
}

void offer_withhold(struct stream *s, const struct message *head, size_t had, char *bytes) {
    size_t at = 0;
    struct slice name;
    bool asked = false;
    while (s->protocol->offer(head, &at, &name)) {
        if (!asked && !is_refused(s))
            return;
        asked = true;
        size_t from = (size_t)(name.at - head->bytes);
        s->offered |= from < had;
        for (size_t i = from > had ? from : had; i < from + name.size; i++)
            bytes[i - had] = ' ';
    }
}

bool offer_accepted(struct stream *s, const struct message *response) {
    size_t at = 0;
    struct slice name;
    return response->status == 101 && s->protocol->offer(response, &at, &name) && is_refused(s);
}

bool offer_consents(struct stream *s, const struct iovec *iov) {
    struct message head;
    struct stream_entry *entry = entries_first(s);
    return s->offered && entry && entry->kind == ENTRY_APPLICATION && !s->out.status && !s->out.head_size &&
           !s->out_lost && s->protocol->response(iov->iov_base, iov->iov_len, 0, &head) == PARSED_DONE &&
           offer_accepted(s, &head);
}

void offer_refuse(struct stream *s) {
    struct stream_entry *entry = entries_first(s);
    if (!entry->undecided)
        s->policy->response(s->context, &entry->ticket, 503, STREAM_DONE, s->channel->ops->now_ns());
    entries_pop(s);
    s->offered = false;
    stream_refuse(s, REFUSED_CROWDED, true);
}

void offer_cut(struct stream *s) {
    stream_stop_taking(s, false);
    s->resets = s->out_closed = true;
    s->channel->ops->finish(s->channel, SHUT_RDWR);
}
