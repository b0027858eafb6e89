#include "rules/engine/limiters/param.h"

#include <string.h>

#include "rules/engine/limiters/hot_metrics.h"
#include "rules/engine/limiters/hot_param.h"
#include "rules/engine/limiters/items.h"
#include "rules/engine/limiters/queue.h"
#include "rules/engine/limiters/spare.h"
#include "rules/hash.h"

enum { JOINT_TEXT = 64, SHOWN_TEXT = 32, DEPTH = 4, COMBINATIONS = 64 };

static double threshold_of(const struct decision *decision, const struct binding *binding,
                           const struct engine_value *value) {
    const struct items *items = binding->limiter->items;
    const struct rule_item *item = NULL;
    if (binding->rule->items_count && items)
        item = param_item_of(items, decision->compiled->ruleset, binding->rule, value);
    return item ? item->count : binding->rule->count;
}

/* ------------------------------------------------------------------------------------------------------- one value */

static bool take_in_flight(struct decision *decision, const struct hot_shape *shape, struct limiter_state *state,
                           uint32_t resource, const struct hot_value *value, double threshold, uint32_t n) {
    const struct engine *engine = decision->engine;
    bool app = state_is_shared(state);
    uint32_t place, left, limit = threshold >= UINT32_MAX ? UINT32_MAX : threshold > 0 ? (uint32_t)threshold : 0;
    uint32_t who = app ? decision->slot : HOT_ALONE + (engine->incarnation & UINT8_MAX);
    if (!decision_can_hold(decision, 3 + LEASES_OF_CIRCUITS))
        return spare_in_flight(decision, resource, limit, n);
    bool pass = hot_enter((struct hot *)state, shape, value, who, limit, n, decision->now_ns, &place, &left) ==
                HOT_PASS;
    decision->result->limit = limit;
    decision->result->remaining = left;
    return pass && (place == UINT32_MAX || decision_hold(decision, state, 0, &place, n));
}

/* Of rules with a queue or a burst. */
static void limit_in_time(struct hot_limit *limit, const struct binding *binding, double threshold, uint64_t interval) {
    const struct rule *rule = binding->rule;
    uint64_t unit = threshold == rule->count ? binding->limiter->unit_ns : queue_unit_ns(threshold, interval);
    double burst = threshold + rule->burst, cost = (double)unit * limit->n;
    double capacity = (double)unit * (burst < 1 ? 1 : burst >= 4e9 ? 4e9 : (double)(uint32_t)burst);
    limit->cost_ns = cost < 9e18 ? (uint64_t)cost : (uint64_t)9e18;
    limit->capacity_ns = capacity < 9e18 ? (uint64_t)capacity : (uint64_t)9e18;
    limit->patience_ns = rule->max_queue_ns;
    limit->queue = rule->behavior == BEHAVIOR_QUEUE;
    double credit = limit->queue ? (double)unit * (rule->burst >= 4e9 ? 4e9 : (double)(uint32_t)rule->burst) : 0;
    limit->credit_ns = credit < 9e18 ? (uint64_t)credit : (uint64_t)9e18;
}

static bool take_rate(struct decision *decision, const struct binding *binding, const struct hot_shape *shape,
                      struct hot *hot, const struct hot_value *value, double threshold, uint32_t n) {
    const struct rule *rule = binding->rule;
    uint64_t wait, *state, before, after, interval = rule->interval_ns ? rule->interval_ns : 1000000000u;
    decision->result->limit = threshold;
    decision->result->remaining = 0;
    decision->result->interval_ns = interval;
    if (!(threshold > 0))
        return false;
    struct hot_limit limit = {.n = n};
    if (!shape->slides)
        limit_in_time(&limit, binding, threshold, interval);
    else if (threshold == rule->count)
        limit.slide = binding->limiter->slide;
    else
        limit.slide = slide_of(threshold, interval, rule->cost_kind == COST_ONE);
    if (hot_take(hot, shape, value, &limit, decision->now_ns, &wait, &state, &before, &after) == HOT_BLOCK) {
        decision->retry_ns = limit.queue ? wait - limit.patience_ns : wait;
        return false;
    }
    if (state)
        decision_took(decision, LIMITER_QUEUE, state, before, after, n);
    if (limit.queue && wait > decision->wait_ns && rule->mode == MODE_ENFORCE)
        decision->wait_ns = wait;
    return true;
}

/* In a table that resources share each has values of its own. */
static uint64_t key_among(const struct decision *decision, uint32_t resource, uint64_t key) {
    return decision->common ? hash_mix(key, resource ^ 0xa0761d6478bd642full) | 1 : key;
}

static uint64_t key_of(uint64_t seed, const struct engine_value *value) {
    return hash_bytes(seed + value->type, value->text, value->length);
}

struct shown { /* what is kept of a value, to show it */
    const char *text;
    size_t length, most;
    bool address;
};

static bool check_value(struct decision *decision, struct binding *binding, uint32_t resource,
                        const struct engine_value *value, const struct shown *shown, uint64_t key, uint32_t n) {
    const struct rule *rule = binding->rule;
    decision->common = false;
    struct limiter_state *state = decision_state(decision, binding, resource, LIMITER_PARAM);
    if (!state && rule->grade == GRADE_THREAD)
        return spare_in_flight(decision, resource, binding->limiter->limit, n);
    if (!state)
        return spare_rate(decision, binding, n);
    const struct hot_shape *shape = decision->common ? &binding->limiter->hot_common : &binding->limiter->hot;
    key = key_among(decision, resource, key);
    hot_prefetch((struct hot *)state, shape, key);
    struct hot_value hot_value = {.key = key,
                                  .text = shown->text,
                                  .length = shown->length,
                                  .shown = shown->most,
                                  .type = value->type,
                                  .address = shown->address};
    double threshold = threshold_of(decision, binding, value);
    bool pass = rule->grade == GRADE_THREAD
                    ? take_in_flight(decision, shape, state, resource, &hot_value, threshold, n)
                    : take_rate(decision, binding, shape, (struct hot *)state, &hot_value, threshold, n);
    if (!pass)
        result_value_add(decision->result, shown->text, shown->length, shown->most);
    if (hot_show_due((struct hot *)state, decision->now_ns))
        hot_metrics_write(decision, binding, decision->common ? ENGINE_OTHER : resource, state, shape);
    return pass;
}

static bool check_argument(struct decision *decision, struct binding *binding, uint32_t resource,
                           const struct engine_value *value, uint32_t n, unsigned depth) {
    if (value->type == VALUE_LIST || value->type == VALUE_ARRAY) {
        for (size_t i = 0; depth && i < value->count; i++)
            if (!check_argument(decision, binding, resource, &value->elements[i], n, depth - 1))
                return false;
        return true;
    }
    if (value->type == VALUE_NONE || !value->text)
        return true;
    struct shown shown = {.text = value->text, .length = value->length, .most = SIZE_MAX};
    return check_value(decision, binding, resource, value, &shown, key_of(decision->engine->counters->hash_seed, value),
                       n);
}

/* ------------------------------------------------------------------------------------------- where values come from */

static bool contains(const char *text, size_t length, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= length; i++)
        if (memcmp(text + i, part, n) == 0)
            return true;
    return false;
}

/* A value that would take too long to judge counts: to be long must not be a way around the limit. */
static bool matches(struct decision *decision, uint32_t index, const struct engine_value *value) {
    const struct rule_param *param = &ruleset_params(decision->compiled->ruleset)[index];
    const char *pattern = ruleset_text(decision->compiled->ruleset, param->pattern);
    char address[ADDRESS_RANGE_TEXT_MAX];
    struct engine_value whole;
    bool undecided = false;
    if (!*pattern)
        return true;
    if (value->address) { /* a pattern is about the address, whatever network it counts with */
        whole = (struct engine_value){.text = address, .length = address_range_text(value->address, address)};
        value = &whole;
    }
    switch (param->match) {
    case PARAM_PREFIX: return strlen(pattern) <= value->length && memcmp(value->text, pattern, strlen(pattern)) == 0;
    case PARAM_REGEX:
        return compiled_regex(decision->engine, decision->compiled->param_patterns[index], value->text, value->length,
                              &undecided) != PATTERN_NO ||
               value->length > PATTERN_TEXT_MAX;
    case PARAM_CONTAINS: return contains(value->text, value->length, pattern);
    default: return strlen(pattern) == value->length && memcmp(value->text, pattern, value->length) == 0;
    }
}

/* By its name, a header or parameter whose value is a secret. */
static bool is_secret(const char *name) {
    static const char *const parts[] = {"auth", "token", "key", "secret", "session", "cookie", "passw"};
    char lower[64];
    size_t length = 0;
    for (; length < sizeof(lower) && name[length]; length++)
        lower[length] = (char)(name[length] >= 'A' && name[length] <= 'Z' ? name[length] | 0x20 : name[length]);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (contains(lower, length, parts[i]))
            return true;
    return false;
}

uint8_t param_secrets(const void *ruleset, const struct rule *rule) {
    unsigned found = 0;
    for (uint32_t i = 0; i < rule->params_count && i < 8; i++) {
        const struct rule_param *param = &ruleset_params(ruleset)[rule->params_first + i];
        bool named = param->source == PARAM_HEADER || param->source == PARAM_URL;
        if (param->source == PARAM_COOKIE || (named && is_secret(ruleset_text(ruleset, param->field))))
            found |= 1u << i;
    }
    return (uint8_t)found;
}

/* One of the source's values: where it says several, the pick'th of `ret_count`. */
static bool source_value(struct decision *decision, uint32_t index, uint32_t *pick, struct engine_value *ret_value,
                         uint32_t *ret_count) {
    const struct engine_request *request = decision->request;
    const struct rule_param *param = &ruleset_params(decision->compiled->ruleset)[index];
    *ret_value = (struct engine_value){0};
    *ret_count = 1;
    if (!request->param || !request->param(request->param_context, param,
                                           ruleset_text(decision->compiled->ruleset, param->field), ret_value))
        return false;
    if (ret_value->type == VALUE_LIST && ret_value->count) {
        *ret_count = (uint32_t)ret_value->count;
        *ret_value = ret_value->elements[*pick % *ret_count];
        *pick /= *ret_count;
    }
    return ret_value->type != VALUE_NONE && ret_value->text;
}

/* An address whose item is a smaller range than the network that it counts with is counted by that range. */
static void count_by_item(const struct decision *decision, const struct binding *binding, struct engine_value *value,
                          char text[static ADDRESS_RANGE_TEXT_MAX]) {
    const struct rule *rule = binding->rule;
    const struct items *items = binding->limiter->items;
    const struct ruleset_options *options = &ruleset_head(decision->compiled->ruleset)->options;
    unsigned bits, counted;
    if (!value->address || !items || !rule->items_count || rule->params_count != 1 ||
        !param_item_of_address(items, decision->compiled->ruleset, rule, value->address, &bits))
        return;
    counted = value->address->length == 4 ? options->ipv4_prefix : options->ipv6_prefix;
    if (counted && bits > counted) {
        struct address_range range = address_prefix(value->address, bits);
        value->text = text;
        value->length = address_range_text(&range, text);
    }
}

struct text { /* values of several sources, joined and cut */
    char bytes[JOINT_TEXT];
    size_t length, size;
};

static void text_add(struct text *text, const char *part, size_t length) {
    size_t room = text->size - text->length, n = length < room ? length : room;
    memcpy(text->bytes + text->length, part, n);
    text->length += n;
}

/* Several sources make one key; its text is theirs, joined and cut. */
struct joint {
    struct engine_value value;
    uint64_t key;
    struct text text, shown;
    size_t hidden; /* bytes of secrets that are not shown */
    bool matches;
};

static void joint_add(struct decision *decision, const struct binding *binding, struct joint *joint, uint32_t i,
                      const struct engine_value *value) {
    bool secret = (binding->limiter->secrets >> i & 1) && value->length > PARAM_SECRET_SHOWN;
    joint->matches = joint->matches && matches(decision, binding->rule->params_first + i, value);
    joint->key = key_of(joint->key, value);
    joint->value = *value;
    if (binding->rule->params_count == 1)
        return;
    if (i) {
        text_add(&joint->text, "|", 1);
        text_add(&joint->shown, "|", 1);
    }
    text_add(&joint->text, value->text, value->length);
    text_add(&joint->shown, value->text, secret ? PARAM_SECRET_SHOWN : value->length);
    joint->hidden += secret ? value->length - PARAM_SECRET_SHOWN : 0;
    joint->value.address = NULL;
    joint->value.text = joint->text.bytes;
    joint->value.length = joint->text.length;
}

static bool check_joint(struct decision *decision, struct binding *binding, uint32_t resource,
                        const struct joint *joint, uint32_t n) {
    struct shown shown = {
        .text = joint->shown.bytes, .length = joint->shown.length + joint->hidden, .most = joint->shown.length};
    if (binding->rule->params_count == 1) {
        const struct rule_param *param = &ruleset_params(decision->compiled->ruleset)[binding->rule->params_first];
        shown = (struct shown){.text = joint->value.text,
                               .length = joint->value.length,
                               .most = binding->limiter->secrets ? PARAM_SECRET_SHOWN : SIZE_MAX,
                               .address = param->source == PARAM_CLIENT_IP};
    }
    return check_value(decision, binding, resource, &joint->value, &shown, joint->key, n);
}

/* Where a source says several values each is counted, and of several such sources each combination.  What makes more of
 * them than can be counted is rejected. */
static bool check_sources(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    const struct rule *rule = binding->rule;
    uint64_t combinations = 1;
    for (uint32_t k = 0; k < combinations && k < COMBINATIONS; k++) {
        struct joint joint;
        char address[ADDRESS_RANGE_TEXT_MAX];
        uint32_t pick = k, count;
        joint.key = decision->engine->counters->hash_seed;
        joint.matches = true;
        joint.text.length = joint.shown.length = joint.hidden = 0;
        joint.text.size = JOINT_TEXT;
        joint.shown.size = SHOWN_TEXT;
        combinations = 1;
        for (uint32_t i = 0; i < rule->params_count; i++) {
            struct engine_value value;
            if (!source_value(decision, rule->params_first + i, &pick, &value, &count))
                return true;
            combinations *= count;
            if (combinations > COMBINATIONS)
                return false;
            count_by_item(decision, binding, &value, address);
            joint_add(decision, binding, &joint, i, &value);
        }
        if (joint.matches && !check_joint(decision, binding, resource, &joint, n))
            return false;
    }
    return true;
}

static bool param_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    const struct engine_request *request = decision->request;
    const struct rule *rule = binding->rule;
    if (rule->params_count)
        return check_sources(decision, binding, resource, n);
    int64_t at = rule->param_idx < 0 ? (int64_t)request->args_count + rule->param_idx : rule->param_idx;
    if (at < 0 || at >= (int64_t)request->args_count)
        return true;
    return check_argument(decision, binding, resource, &request->args[at], n, DEPTH);
}

/* ------------------------------------------------------------------------------------------------------- the limiter
 */

static bool serves(const struct rule *rule) {
    return rule->kind == RULE_PARAM || (rule->kind == RULE_GATEWAY && rule->params_count);
}

static size_t bytes_of(const struct limiter *limiter) {
    return hot_bytes(&limiter->hot);
}

static void leave(struct engine *engine, const struct lease *lease, bool ran, uint64_t now_ns) {
    uint32_t slot = load_relaxed(&engine->slot);
    uint32_t who = lease->shared ? slot : HOT_ALONE + (engine->incarnation & UINT8_MAX);
    (void)ran, (void)now_ns;
    if (who != UINT32_MAX)
        hot_leave(lease->state, lease->bytes, who, lease->extra, lease->n);
}

const struct limiter_ops limiter_param = {.least = HOT_HEADER_BYTES,
                                          .bytes = bytes_of,
                                          .serves = serves,
                                          .check = param_check,
                                          .leave = leave,
                                          .reclaim = hot_reclaim,
                                          .idle = hot_is_idle};
