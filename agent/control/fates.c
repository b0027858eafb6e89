#include "agent/control/fates.h"

#include <stdlib.h>
#include <string.h>

#include "rules/rule.h"

/* By enum opaque_reason of shim/session/stream.h, from the first on. */
static const char *const reasons[FATE_REFUSED - FATE_OPAQUE] = {"as-said",   "foreign",  "tls",    "http2",  "upgraded",
                                                                "malformed", "response", "memory", "shared", "ended"};

/* ":8080" of "tcp::8080" and "http::8080"; NULL: it is no listener. */
static const char *listener_of(const struct metrics_resource *r, const char *protocol) {
    size_t length = strlen(protocol);
    const char *rest = r->name + length;
    bool fits = r->side == SIDE_INBOUND && strncmp(r->name, protocol, length) == 0 &&
                (*rest == ':' || strncmp(rest, "unix:", 5) == 0);
    return fits ? rest : NULL;
}

static void add_row(const struct app *app, uint32_t entry, uint32_t sum[LAYOUT_FATES]) {
    const struct layout_stats *stats = publish_stats(&app->memory, entry);
    for (unsigned i = 0; i < LAYOUT_FATES; i++)
        sum[i] += __atomic_load_n(&stats->fate[i], __ATOMIC_RELAXED);
}

/* What is known of requests stands with "http::PORT", the rest with "tcp::PORT". */
static void add_requests(const struct app *app, const char *listener, uint32_t sum[LAYOUT_FATES]) {
    for (uint32_t i = 0; i < app->metrics.count; i++) {
        const char *other = listener_of(&app->metrics.resources[i], "http:");
        if (other && strcmp(other, listener) == 0)
            add_row(app, i, sum);
    }
}

static void add_listener(const char *listener, const uint32_t sum[LAYOUT_FATES], struct json_writer *w) {
    json_open(w, NULL);
    json_text(w, "listener", listener);
    json_count(w, "port", *listener == ':' ? strtoul(listener + 1, NULL, 10) : 0);
    json_count(w, "judged", sum[FATE_JUDGED]);
    json_count(w, "empty", sum[FATE_EMPTY]);
    json_count(w, "unread", sum[FATE_UNREAD]);
    json_count(w, "refused", sum[FATE_REFUSED]);
    json_open(w, "opaque");
    for (unsigned i = FATE_OPAQUE; i < FATE_REFUSED; i++)
        if (sum[i])
            json_count(w, reasons[i - FATE_OPAQUE], sum[i]);
    json_close(w);
    json_close(w);
}

void fates_report(const struct app *app, struct json_writer *w) {
    json_open_list(w, "connections");
    for (uint32_t i = 0; i < app->metrics.count; i++) {
        const char *listener = listener_of(&app->metrics.resources[i], "tcp:");
        uint32_t sum[LAYOUT_FATES] = {0};
        if (!listener)
            continue;
        add_row(app, i, sum);
        add_requests(app, listener, sum);
        add_listener(listener, sum, w);
    }
    json_close_list(w);
}
