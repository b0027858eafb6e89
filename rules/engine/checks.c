/* One rule, one request: does the rule concern it, what does it cost, does the limiter let it pass. */
#include "rules/engine/checks.h"

#include <string.h>

#include "rules/engine/authority.h"
#include "rules/engine/param.h"
#include "rules/engine/warm_up.h"

/* ------------------------------------------------------------------------------------------- which rules, how much */

static bool in_origins(const char *list, const char *origin, size_t length) {
    while (*list) {
        size_t n = strcspn(list, ","), from = 0, to = n;
        while (from < to && list[from] == ' ')
            from++;
        while (to > from && list[to - 1] == ' ')
            to--;
        if (to - from == length && memcmp(list + from, origin, length) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

/* Which of the caller's names is on the list; NULL: none. */
static const struct engine_name *named_in(const char *list, const struct engine_name *origin,
                                          const struct engine_request *request) {
    if (in_origins(list, origin->text, origin->length))
        return origin;
    for (uint32_t i = 0; i < request->origins_count; i++)
        if (in_origins(list, request->origins[i].text, request->origins[i].length))
            return &request->origins[i];
    return NULL;
}

/* "other": an origin that no other rule of the kind names on this resource. */
static bool is_other(const struct attempt *attempt, const struct binding_list *list, const struct rule *rule) {
    for (unsigned i = 0; i < (unsigned)list->checks + list->breakers; i++) {
        const struct rule *named = list->items[i].rule;
        if (named->kind == rule->kind && named->origin_kind == ORIGIN_NAMED &&
            named_in(ruleset_text(attempt->view->ruleset, named->origin), &attempt->origin, attempt->request))
            return false;
    }
    return true;
}

/* Rules about some callers only: is this one of them? */
static bool concerns_origin(struct attempt *attempt, const struct binding_list *list, const struct rule *rule) {
    const struct engine_request *request = attempt->request;
    attempt->origin = (struct engine_name){request->origin, request->origin_length};
    if (!request->origin_length)
        return false;
    if (rule->origin_kind == ORIGIN_OTHER)
        return is_other(attempt, list, rule);
    const struct engine_name *name = named_in(ruleset_text(attempt->view->ruleset, rule->origin), &attempt->origin,
                                              request);
    if (name)
        attempt->origin = *name;
    return name;
}

bool check_concerns(struct attempt *attempt, const struct binding_list *list, const struct rule *rule) {
    if (rule->side != SIDE_ANY && rule->side != attempt->request->side)
        return false;
    if (__builtin_expect(rule->origin_kind == ORIGIN_DEFAULT || rule->kind == RULE_AUTHORITY, 1))
        return true;
    return concerns_origin(attempt, list, rule);
}

static uint64_t number_of(const struct engine_value *value) {
    uint64_t number = 0;
    for (size_t i = 0;
         value->text && i < value->length && value->text[i] >= '0' && value->text[i] <= '9' && number < UINT32_MAX; i++)
        number = number * 10 + (uint64_t)(value->text[i] - '0');
    return number;
}

/* Who writes the header several times means the most that it says. */
static uint64_t most_of(const struct engine_value *value) {
    uint64_t most = number_of(value);
    for (size_t i = 0; value->type == VALUE_LIST && i < value->count; i++) {
        uint64_t number = number_of(&value->elements[i]);
        most = number > most ? number : most;
    }
    return most;
}

/* What the request takes from this rule. A header that is missing or says nothing costs 1. */
static uint32_t cost_of(const struct attempt *attempt, const struct rule *rule) {
    const struct engine_request *request = attempt->request;
    uint64_t cost = 1;
    if (rule->cost_kind == COST_NUMBER)
        cost = rule->cost_number;
    else if (rule->cost_kind == COST_BYTES)
        cost = request->bytes;
    else if (rule->cost_kind == COST_HEADER && request->param) {
        struct rule_param where = {.source = PARAM_HEADER, .field = rule->cost_header};
        struct engine_value value = {0};
        if (request->param(request->param_context, &where, ruleset_text(attempt->view->ruleset, rule->cost_header),
                           &value))
            cost = most_of(&value);
        cost = cost ? cost : 1;
    }
    cost = cost > UINT32_MAX ? UINT32_MAX : cost;
    cost *= request->acquire;
    return cost > UINT32_MAX ? UINT32_MAX : (uint32_t)cost;
}

/* ----------------------------------------------------------------------------------------------------- the limiters */

static void say_threshold(struct attempt *attempt, const struct binding *binding, double limit, double left) {
    attempt->decision->limit = limit;
    attempt->decision->remaining = left;
    bool in_flight = binding->check == CHECK_COUNT || binding->check == CHECK_TTL ||
                     binding->check == CHECK_RELATE_COUNT;
    attempt->decision->interval_ns = in_flight ? 0 : binding->limiter->interval_ns;
}

static bool met_lately(const struct window *window, const struct limiter *limiter, uint64_t now_ns) {
    return window_tick(&limiter->clock, now_ns) - load_relaxed(&window->full_tick) <= WINDOW_TICKS;
}

/* The threshold of this moment. */
static uint32_t limit_now(struct attempt *attempt, const struct binding *binding, struct window *window) {
    const struct limiter *limiter = binding->limiter;
    if (__builtin_expect(limiter->cold == 0, 1))
        return limiter->limit;
    uint32_t passed = window_sum(window, &limiter->clock, attempt->now_ns);
    double rate = warm_up_rate(&window->warm, limiter, binding->rule, attempt->now_ns, passed,
                               met_lately(window, limiter, attempt->now_ns));
    uint32_t limit = (uint32_t)(rate * (1 + 1e-9));
    return limit ? limit : 1;
}

static bool burst_left(struct attempt *attempt, const struct limiter *limiter, struct window *window, uint32_t n,
                       uint32_t tick) {
    uint64_t wait, before, after;
    if (!limiter->burst_ns)
        return true;
    if (!queue_bucket_take(&window->turn, attempt->now_ns, limiter->unit_ns * n, limiter->burst_ns, &wait, &before,
                           &after)) {
        window_return(window, tick, n, attempt->shard);
        attempt->retry_ns = wait;
        return false;
    }
    attempt_took(attempt, TAKE_TURN, &window->turn, before, after, 0);
    return true;
}

static bool check_window(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t n) {
    struct window *window = (struct window *)attempt_cell(attempt, binding, resource, CELL_WINDOW, sizeof(*window));
    const struct limiter *limiter = binding->limiter;
    uint32_t tick, left;
    if (!window)
        return true;
    uint32_t limit = limit_now(attempt, binding, window);
    if (window_take(window, &limiter->clock, attempt->now_ns, limit, n, attempt->shard, &tick, &left)) {
        say_threshold(attempt, binding, limit, left);
        if (!burst_left(attempt, limiter, window, n, tick))
            return false;
        attempt_took(attempt, TAKE_WINDOW, window, tick, 0, n);
        if (limiter->cold != 0) {
            warm_up_spend(&window->warm, limiter, n);
            if (left < n)
                store_relaxed(&window->full_tick, window_tick(&limiter->clock, attempt->now_ns));
        }
        return true;
    }
    if (limiter->cold != 0)
        store_relaxed(&window->full_tick, window_tick(&limiter->clock, attempt->now_ns));
    if (binding->rule->penalty)
        window_record(window, &limiter->clock, attempt->now_ns, n);
    say_threshold(attempt, binding, limit, 0);
    attempt->retry_ns = window_retry_ns(window, &limiter->clock, attempt->now_ns);
    return false;
}

static bool check_queue(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t n) {
    struct queue *queue = (struct queue *)attempt_cell(attempt, binding, resource, CELL_QUEUE, sizeof(*queue));
    const struct limiter *limiter = binding->limiter;
    uint64_t wait, before, after, unit = limiter->unit_ns;
    if (!queue)
        return true;
    say_threshold(attempt, binding, binding->rule->count, 0);
    if (!(binding->rule->count > 0))
        return false;
    queue_rescale(queue, attempt->now_ns, unit);
    if (limiter->cold != 0) {
        uint64_t turn = load_relaxed(&queue->turn);
        bool waiting = turn > attempt->now_ns, idle = turn + (uint64_t)((double)unit * limiter->cold) < attempt->now_ns;
        double rate = warm_up_rate(&queue->warm, limiter, binding->rule, attempt->now_ns, idle ? 0 : UINT32_MAX,
                                   waiting);
        unit = queue_unit_ns(rate, limiter->interval_ns);
    }
    uint64_t patience = binding->rule->max_queue_ns;
    uint64_t credit = limiter->burst_ns ? unit * (uint64_t)binding->rule->burst : 0;
    __uint128_t cost = (__uint128_t)unit * n;
    if (!queue_take(&queue->turn, attempt->now_ns, cost > INT64_MAX ? INT64_MAX : (uint64_t)cost, patience, credit,
                    &wait, &before, &after)) {
        attempt->retry_ns = wait - patience;
        return false;
    }
    attempt_took(attempt, TAKE_TURN, &queue->turn, before, after, n);
    if (limiter->cold != 0)
        warm_up_spend(&queue->warm, limiter, n);
    if (wait && binding->rule->mode == MODE_ENFORCE)
        attempt_hold_turn(attempt, queue, after, (uint64_t)cost);
    if (wait > attempt->wait_ns && binding->rule->mode == MODE_ENFORCE)
        attempt->wait_ns = wait;
    return true;
}

static bool check_count(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t n) {
    uint32_t left;
    bool pass = attempt_count(attempt, binding, resource, binding->limiter->limit, n, true, &left);
    say_threshold(attempt, binding, binding->limiter->limit, left);
    return pass;
}

static bool check_ttl(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t n) {
    struct window *window = (struct window *)attempt_cell(attempt, binding, resource, CELL_TTL, sizeof(*window));
    uint32_t tick, left;
    if (!window || attempt->ticket->holds_count + 3u > ENGINE_HOLDS_MAX)
        return true;
    bool pass = ttl_take(window, &binding->limiter->clock, attempt->now_ns, binding->limiter->limit, n, &tick, &left);
    say_threshold(attempt, binding, binding->limiter->limit, left);
    return pass && attempt_hold(attempt, HOLD_TTL, &window->cell, tick, n);
}

/* Relate: the figures of the other resource, which its own requests feed (feed()). */
static bool check_relate(struct attempt *attempt, struct binding *binding, uint32_t n) {
    uint32_t now, limit = binding->limiter->limit;
    if (binding->check == CHECK_RELATE_COUNT) {
        now = attempt_count_now(attempt, binding, UINT32_MAX);
    } else {
        struct window *window = (struct window *)attempt_cell(attempt, binding, UINT32_MAX, CELL_WINDOW,
                                                              sizeof(*window));
        if (!window)
            return true;
        limit = limit_now(attempt, binding, window);
        now = window_sum(window, &binding->limiter->clock, attempt->now_ns);
        attempt->retry_ns = window_retry_ns(window, &binding->limiter->clock, attempt->now_ns);
    }
    bool pass = now <= limit && limit - now >= n;
    say_threshold(attempt, binding, limit, pass ? limit - now : 0);
    return pass;
}

void check_feed(struct attempt *attempt, struct binding *binding) {
    uint32_t n = cost_of(attempt, binding->rule), left;
    if (binding->check == FEED_COUNT) {
        attempt_count(attempt, binding, UINT32_MAX, 0, n, false, &left);
        return;
    }
    struct window *window = (struct window *)attempt_cell(attempt, binding, UINT32_MAX, CELL_WINDOW, sizeof(*window));
    if (!window)
        return;
    window_record(window, &binding->limiter->clock, attempt->now_ns, n);
    if (binding->limiter->cold != 0) {
        warm_up_spend(&window->warm, binding->limiter, n);
        if (window_sum(window, &binding->limiter->clock, attempt->now_ns) >=
            (uint32_t)(binding->rule->count / binding->limiter->cold))
            store_relaxed(&window->full_tick, window_tick(&binding->limiter->clock, attempt->now_ns));
    }
}

static bool check_authority(struct attempt *attempt, const struct binding *binding) {
    const struct engine_request *request = attempt->request;
    if (!request->origin_length && !request->address_length)
        return true; /* nobody known: as in Sentinel */
    return authority_lists(binding->limiter->authority, request) == (binding->rule->authority == AUTHORITY_WHITE);
}

static bool is_named(const char *name, const char *text, size_t length) {
    return strlen(name) == length && memcmp(name, text, length) == 0;
}

/* A call from within enters through the inbound resource that it is made for; an inbound request that nobody told more
 * of, through all that it counts for: its listener, its route, its groups. */
static bool entered_through(const struct attempt *attempt, const struct rule *rule) {
    const struct engine_request *request = attempt->request;
    const char *entrance = ruleset_text(attempt->view->ruleset, rule->ref_resource);
    if (request->entrance_length || request->side != SIDE_INBOUND)
        return request->entrance_length && is_named(entrance, request->entrance, request->entrance_length);
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++) {
        size_t length;
        const char *name = engine_resource_name(attempt->engine, attempt->ticket->resources[i], &length);
        if (is_named(entrance, name, length))
            return true;
    }
    return false;
}

bool check_one(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    const struct rule *rule = binding->rule;
    if (binding->check == CHECK_AUTHORITY)
        return check_authority(attempt, binding);
    if (rule->kind == RULE_FLOW && rule->strategy == STRATEGY_CHAIN && !entered_through(attempt, rule))
        return true;
    uint32_t n = cost_of(attempt, rule);
    switch (binding->check) {
    case CHECK_WINDOW: return check_window(attempt, binding, resource, n);
    case CHECK_QUEUE: return check_queue(attempt, binding, resource, n);
    case CHECK_COUNT: return check_count(attempt, binding, resource, n);
    case CHECK_TTL: return check_ttl(attempt, binding, resource, n);
    case CHECK_PARAM: return param_check(attempt, binding, resource, n);
    case CHECK_RELATE_WINDOW:
    case CHECK_RELATE_COUNT: return check_relate(attempt, binding, n);
    default: return true;
    }
}
