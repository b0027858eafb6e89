/* A forked child has a copy of its parent's streams, with tickets in them that the parent ends.  A ticket is the
 * parent's if it is older than the fork; such a ticket is dropped here, so that no request is ended twice. */
#include "shim/policy.h"

#include "shim/connection.h"
#include "shim/lifecycle.h"

static enum engine_verdict request(void *context, const struct http_head *head, bool close,
                                   struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                   size_t *ret_answer_size, uint64_t *ret_wait_ns)
{
    struct connection *connection = context;

    return admit_http.request(&connection->admit, head, close, ret_ticket, answer, ret_answer_size, ret_wait_ns);
}

static bool is_ours(const struct engine_ticket *ticket)
{
    return ticket->start_ns >= lifecycle_forked_ns();
}

static void response(void *context, struct engine_ticket *ticket, unsigned status, bool aborted, uint64_t now_ns)
{
    struct connection *connection = context;

    if (is_ours(ticket))
        admit_http.response(&connection->admit, ticket, status, aborted, now_ns);
}

static void cancel(void *context, struct engine_ticket *ticket, uint64_t now_ns)
{
    struct connection *connection = context;

    if (is_ours(ticket))
        admit_http.cancel(&connection->admit, ticket, now_ns);
}

static void undecided(void *context)
{
    struct connection *connection = context;

    admit_http.undecided(&connection->admit);
}

static bool strict(void *context)
{
    struct connection *connection = context;

    return admit_http.strict && admit_http.strict(&connection->admit);
}

const struct stream_policy policy_stream = {
    .request = request,
    .response = response,
    .undecided = undecided,
    .cancel = cancel,
    .strict = strict,
};
