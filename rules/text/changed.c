/* What a rule means otherwise than in a version before, because a default changed: `weir check` points at it, so that
 * an upgrade holds no surprise.  One row each; the option that a row names, once it is set, settles the question. */
#include <string.h>

#include "rules/text/kinds.h"

struct change {
    const char *since;  /* the last version that had it otherwise */
    const char *option; /* who sets it has decided: no warning any more; NULL: a field of the rule, see `concerns` */
    bool compat;        /* also with "compat": "sentinel" */
    bool once;          /* only the first of an app's rules is pointed at: it is about all of them */
    bool (*concerns)(const struct reader *, const struct rule *, const cJSON *node);
    const char *text;
};

static bool counts_addresses(const struct reader *reader, const struct rule *rule, const cJSON *node) {
    (void)node;
    for (uint32_t i = 0; i < rule->params_count; i++) {
        const struct rule_param *param = ruleset_builder_param(reader->builder, rule->params_first + i);
        if (param && param->source == PARAM_CLIENT_IP)
            return true;
    }
    return false;
}

/* Addresses, and groups of them; what is only named by a header is a matter of its own entry. */
static bool looks_at_addresses(const struct reader *reader, const struct rule *rule, const cJSON *node) {
    return counts_addresses(reader, rule, node) || rule->kind == RULE_AUTHORITY || rule->origin_kind != ORIGIN_DEFAULT;
}

static bool goes_by_latency(const struct reader *reader, const struct rule *rule, const cJSON *node) {
    (void)reader;
    return (rule->kind == RULE_DEGRADE && (rule->grade == DEGRADE_SLOW || rule->grade == DEGRADE_AVG_RT)) ||
           (rule->kind == RULE_SYSTEM && reader_is_set(node, "avgRt"));
}

static bool counts_in_flight(const struct reader *reader, const struct rule *rule, const cJSON *node) {
    (void)reader;
    bool graded = rule->kind == RULE_FLOW || rule->kind == RULE_GATEWAY || rule->kind == RULE_PARAM;
    return rule->kind == RULE_ISOLATION || (graded && rule->grade == GRADE_THREAD) ||
           (rule->kind == RULE_SYSTEM && reader_is_set(node, "maxThread"));
}

/* "GET:/a", "http::8080", a route's or a group's name, a pattern; not what is about connections alone. */
static bool is_about_requests(const struct reader *reader, const struct rule *rule, const cJSON *node) {
    const char *resource = ruleset_builder_text(reader->builder, rule->resource);
    (void)node;
    return rule->side != SIDE_OUTBOUND && rule->kind < RULE_SYSTEM && strncmp(resource, "tcp:", 4) != 0;
}

static bool leaves_algorithm(const struct reader *reader, const struct rule *rule, const cJSON *node) {
    (void)reader;
    return rule->kind == RULE_ADAPTIVE && rule->mode != MODE_OFF && !reader_is_set(node, "algorithm");
}

static bool leaves_scope(const struct reader *reader, const struct rule *rule, const cJSON *node) {
    (void)reader;
    return rule->kind == RULE_ADAPTIVE && rule->mode != MODE_OFF && !reader_is_set(node, "scope") &&
           reader_is_set(node, "algorithm") && rule->grade == ADAPTIVE_CPU;
}

static const struct change changes[] = {
    {"0.1.0", "trustedProxies", true, false, looks_at_addresses,
     "the client's address in X-Forwarded-For and similar headers is believed from loopback and unix sockets only, "
     "no longer from the private ranges: behind a load balancer all clients would share one address; set "
     "options.trustedProxies "
     "(\"private\": as before)"},
    {"0.1.0", "ipv6Prefix", false, false, counts_addresses,
     "IPv6 clients count by their network of 64 bits, no longer each address on its own; set options.ipv6Prefix (128: "
     "as before)"},
    {"0.1.0", "strictHttp", true, true, is_about_requests,
     "ambiguous HTTP is refused with 400, and odd HTTP is judged; neither passes unchecked any more;"
     " set options.strictHttp (\"opaque\": as before)"},
    {"0.1.0", "rt", false, false, goes_by_latency,
     "latency ends at the first byte of the response and leaves out the time that clients take, no longer from the "
     "request's head to the response's end; set options.rt (\"complete\" is closest to the former behaviour)"},
    {"0.1.0", NULL, false, false, leaves_algorithm,
     "overload protection goes by the time that requests wait (algorithm \"delay\"), no longer by CPU usage, and all "
     "processes of the app decide together; set algorithm (\"cpu\", with \"scope\": \"process\": as before)"},
    {"0.1.0", NULL, false, false, leaves_scope,
     "all processes of the app decide together, no longer each by itself; set scope (\"process\": as before)"},
    {"0.1.0", "upgraded", true, false, counts_in_flight,
     "a WebSocket or CONNECT is in flight until its connection ends, no longer until the server switched; set "
     "options.upgraded (\"release\": as before)"},
};

static bool is_due(struct reader *reader, const struct change *change, const cJSON *node, const struct rule *rule) {
    struct place_text first;
    return (!change->option || join_find(reader, NAME_OPTION, change->option) < 0) &&
           (change->compat || !reader->compat) && change->concerns(reader, rule, node) &&
           (!change->once || join_define(reader, NAME_CHANGE, change->option, node, 0, &first));
}

static void warn(struct reader *reader, const struct path *path, const cJSON *node, const struct change *change) {
    struct rule_errors *errors = reader->errors;
    size_t before = errors->warnings_count;
    reader_warn(reader, path, node, "meaning changed since %s: %s", change->since, change->text);
    if (errors->warnings_count > before)
        errors->warnings[before].change = true;
}

void warn_of_change(struct reader *reader, const struct path *path, const cJSON *node, const struct rule *rule) {
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        if (is_due(reader, &changes[i], node, rule))
            warn(reader, path, node, &changes[i]);
}
