/* What a rule means otherwise than in a version before, because a default changed: `weir check` points at it, so that
 * an upgrade holds no surprise.  One row each; the option that a row names, once it is set, settles the question. */
#include "rules/text/kinds.h"

struct change {
    const char *since;  /* the last version that had it otherwise */
    const char *option; /* who sets it has decided: no warning any more */
    bool compat;        /* also with "compat": "sentinel" */
    bool (*concerns)(const struct reader *, const struct rule *);
    const char *text;
};

static bool counts_addresses(const struct reader *reader, const struct rule *rule) {
    for (uint32_t i = 0; i < rule->params_count; i++) {
        const struct rule_param *param = ruleset_builder_param(reader->builder, rule->params_first + i);
        if (param && param->source == PARAM_CLIENT_IP)
            return true;
    }
    return false;
}

/* Addresses, and groups of them; what is only named by a header is a matter of its own entry. */
static bool looks_at_addresses(const struct reader *reader, const struct rule *rule) {
    return counts_addresses(reader, rule) || rule->kind == RULE_AUTHORITY || rule->origin_kind != ORIGIN_DEFAULT;
}

static const struct change changes[] = {
    {"0.1.0", "trustedProxies", true, looks_at_addresses,
     "the client's address, as X-Forwarded-For and the like have it, is believed from loopback and unix sockets only, "
     "no longer from the private ranges: behind a load balancer all clients would be one; set options.trustedProxies "
     "(\"private\": as before)"},
    {"0.1.0", "ipv6Prefix", false, counts_addresses,
     "IPv6 clients count by their network of 64 bits, no longer each address on its own; set options.ipv6Prefix (128: "
     "as before)"},
};

void warn_of_change(struct reader *reader, const struct path *path, const cJSON *node, const struct rule *rule) {
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        if (join_find(reader, NAME_OPTION, changes[i].option) < 0 && (changes[i].compat || !reader->compat) &&
            changes[i].concerns(reader, rule))
            reader_warn(reader, path, node, "meaning changed since %s: %s", changes[i].since, changes[i].text);
}
