/* The way of one request through the rules.
 *
 *   1. For each of its resources, in order: authority, hot parameters, gateway, flow, isolation.  Each limiter checks and
 *      takes in one step; what it took is noted.
 *   2. The circuits of the resources are asked, without taking anything.
 *   3. System and adaptive rules.
 *   4. Circuits that are half open lend out their probe: last, so that nothing behind can refuse a request that holds one.
 * Whoever refuses ends it: what was noted is given back in reverse order.  What was admitted leaves in its ticket what it
 * holds until its exit ("holds"): numbers of cells, never pointers, and never believed.
 */
#include <string.h>

#include "attempt.h"
#include "authority.h"
#include "rules/compat/compat.h"
#include "rules/hash.h"
#include "warm_up.h"

enum { SHARD_MASK = 3, FORK_SHIFT = 2, FORK_MASK = 15, FLAG_COMPAT = 64, FLAG_PRIVATE = 128 }; /* of ticket.shard */

static uint8_t fork_bits(const struct engine *engine) { return (uint8_t)((engine->incarnation & FORK_MASK) << FORK_SHIFT); }

/* ----------------------------------------------------------------------------------------------------------- cells */

static const struct cell_space *space_of(const struct engine *engine, const struct rule *rule) {
    return engine_app_scope(engine, rule) ? &engine->app : &engine->own;
}

static uint64_t cell_key(const struct engine *engine, const struct rule *rule, uint32_t resource, uint8_t variant, uint64_t origin) {
    struct { uint64_t rule, origin; uint32_t resource, variant; } what = {rule->id_hash, origin, resource, variant};
    return hash_bytes(engine->counters->hash_seed, &what, sizeof(what));
}

struct cell *attempt_make_cell(struct attempt *attempt, struct binding *binding, uint32_t resource, enum cell_kind kind, size_t bytes,
                               uint8_t variant, uint64_t origin) {
    struct engine *engine = attempt->engine;
    const struct cell_space *space = space_of(engine, binding->rule);
    uint64_t key = cell_key(engine, binding->rule, resource, (uint8_t)(kind << 3 | variant), origin);
    struct cell *cell = cell_make(space, key, binding->rule->id_hash, kind, bytes, attempt->view->generation);
    if (!cell) {
        uint32_t refused = add_relaxed(&engine->counters->cells_refused, 1u);
        if ((refused & (refused - 1)) == 0)
            stats_event(engine, attempt->now_ns, EVENT_CELLS_FULL, attempt->view, binding->rule, resource, 0, 0, refused + 1);
    }
    return cell;
}

/* Rules for named origins and for "other" count each caller on its own, as in Sentinel.  Callers can be made up: beyond
 * ORIGINS_MAX of one rule and resource the rest share one more limiter. */
struct origins {
    struct cell cell;
    uint32_t known;
    uint32_t reserved[7];
};
enum { ORIGINS_MAX = 64 };

static struct cell *origin_cell(struct attempt *attempt, struct binding *binding, uint32_t resource, enum cell_kind kind, size_t bytes) {
    struct engine *engine = attempt->engine;
    const struct engine_request *request = attempt->request;
    uint64_t origin = hash_bytes(engine->counters->hash_seed, request->origin, request->origin_length);
    const struct cell_space *space = space_of(engine, binding->rule);
    struct cell *cell = cell_find(space, cell_key(engine, binding->rule, resource, (uint8_t)(kind << 3), origin));
    if (cell && cell_kind(cell) == kind && (size_t)cell->units * LAYOUT_CELL_UNIT >= bytes)
        return cell;
    struct origins *origins = (struct origins *)attempt_make_cell(attempt, binding, resource, CELL_ORIGINS, sizeof(*origins), 0, 0);
    if (!origins || (load_relaxed(&origins->known) >= ORIGINS_MAX || add_relaxed(&origins->known, 1u) >= ORIGINS_MAX))
        origin = 0;
    return attempt_make_cell(attempt, binding, resource, kind, bytes, 0, origin);
}

struct cell *attempt_cell(struct attempt *attempt, struct binding *binding, uint32_t resource, enum cell_kind kind, size_t bytes) {
    struct cell *cell = load_acquire(&binding->cell);
    if (__builtin_expect(cell != NULL, 1))
        return cell;
    if (binding->rule->origin_kind != ORIGIN_DEFAULT && kind != CELL_BREAKER)
        return origin_cell(attempt, binding, resource, kind, bytes);
    cell = attempt_make_cell(attempt, binding, resource, kind, bytes, 0, 0);
    store_release(&binding->cell, cell);
    return cell;
}

/* ------------------------------------------------------------------------------------------------- takes and holds */

void attempt_took(struct attempt *attempt, enum take kind, void *state, uint64_t before, uint64_t after, uint32_t n) {
    if (attempt->takes_count < ENGINE_TAKES_MAX)
        attempt->takes[attempt->takes_count++] = (struct taken){state, before, after, n, kind};
}

/* Room for a hold of `words` words, or NULL: then the limiter cannot be enforced for this request. */
static uint32_t *hold_room(struct engine_ticket *ticket, unsigned words) {
    if (ticket->holds_count + words > ENGINE_HOLDS_MAX)
        return NULL;
    uint32_t *room = &ticket->holds[ticket->holds_count];
    ticket->holds_count += (uint8_t)words;
    return room;
}

bool attempt_hold(struct attempt *attempt, enum hold kind, const struct rule *rule, const struct cell *cell, uint32_t extra, uint32_t n) {
    bool with_extra = kind != HOLD_COUNT;
    uint32_t *room = hold_room(attempt->ticket, 1 + with_extra + (n != 1));
    if (!room)
        return false;
    const struct cell_space *space = space_of(attempt->engine, rule);
    *room++ = (uint32_t)kind << HOLD_KIND_SHIFT | (space->shared ? HOLD_SHARED : 0) | (n != 1 ? HOLD_MANY : 0) | cell_unit(space, cell);
    if (with_extra)
        *room++ = extra;
    if (n != 1)
        *room = n;
    return true;
}

static void give_back_takes(struct attempt *attempt) {
    while (attempt->takes_count) {
        const struct taken *taken = &attempt->takes[--attempt->takes_count];
        if (taken->kind == TAKE_WINDOW)
            window_return(taken->state, (uint32_t)taken->before, taken->n, attempt->shard);
        else
            queue_return(taken->state, taken->before, taken->after);
    }
}

static void end_hold(struct engine *engine, uint32_t word, uint32_t extra, uint32_t n, bool cancelled, uint64_t now_ns) {
    const struct cell_space *space = word & HOLD_SHARED ? &engine->app : &engine->own;
    uint32_t unit = word & HOLD_UNIT_MASK, slot = load_relaxed(&engine->slot);
    (void)cancelled;
    (void)now_ns;
    switch (word >> HOLD_KIND_SHIFT) {
    case HOLD_COUNT:
        if (!(word & HOLD_SHARED)) {
            struct count *count = (struct count *)cell_at(space, unit, CELL_COUNT, sizeof(*count));
            if (count)
                count_return(count, engine->incarnation, n);
        } else if (slot != UINT32_MAX) {
            struct counts *counts = (struct counts *)cell_at(space, unit, CELL_COUNTS, sizeof(*counts));
            if (counts)
                counts_return(counts, slot, n);
        }
        break;
    case HOLD_TTL: {
        struct window *window = (struct window *)cell_at(space, unit, CELL_TTL, sizeof(*window));
        if (window)
            ttl_return(window, extra, n);
        break;
    }
    }
}

static void end_holds(struct engine *engine, struct engine_ticket *ticket, bool cancelled, uint64_t now_ns) {
    for (unsigned i = 0; i < ticket->holds_count && i < ENGINE_HOLDS_MAX;) {
        uint32_t word = ticket->holds[i++], extra = 0, n = 1;
        if (word >> HOLD_KIND_SHIFT != HOLD_COUNT && i < ENGINE_HOLDS_MAX)
            extra = ticket->holds[i++];
        if (word & HOLD_MANY && i < ENGINE_HOLDS_MAX)
            n = ticket->holds[i++];
        end_hold(engine, word, extra, n, cancelled, now_ns);
    }
    ticket->holds_count = 0;
}

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

/* "other": an origin that no other rule of the kind names on this resource. */
static bool is_other(const struct attempt *attempt, const struct binding_list *list, const struct rule *rule) {
    for (unsigned i = 0; i < (unsigned)list->checks + list->breakers; i++) {
        const struct rule *named = list->items[i].rule;
        if (named->kind == rule->kind && named->origin_kind == ORIGIN_NAMED &&
            in_origins(image_text(attempt->view->image, named->origin), attempt->request->origin, attempt->request->origin_length))
            return false;
    }
    return true;
}

static bool concerns(const struct attempt *attempt, const struct binding_list *list, const struct rule *rule) {
    const struct engine_request *request = attempt->request;
    if (rule->side != SIDE_ANY && rule->side != request->side)
        return false;
    if (__builtin_expect(rule->origin_kind == ORIGIN_DEFAULT || rule->kind == RULE_AUTHORITY, 1))
        return true;
    if (!request->origin_length)
        return false;
    if (rule->origin_kind == ORIGIN_OTHER)
        return is_other(attempt, list, rule);
    return in_origins(image_text(attempt->view->image, rule->origin), request->origin, request->origin_length);
}

static uint64_t number_of(const struct engine_value *value) {
    uint64_t number = 0;
    for (size_t i = 0; value->text && i < value->length && value->text[i] >= '0' && value->text[i] <= '9' && number < UINT32_MAX; i++)
        number = number * 10 + (uint64_t)(value->text[i] - '0');
    return number;
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
        if (request->param(request->param_context, &where, image_text(attempt->view->image, rule->cost_header), &value))
            cost = number_of(&value);
        cost = cost ? cost : 1;
    }
    cost = cost > UINT32_MAX ? UINT32_MAX : cost;
    cost *= request->acquire;
    return cost > UINT32_MAX ? UINT32_MAX : (uint32_t)cost;
}

/* ------------------------------------------------------------------------------------------------------ the limiters */

static void say_threshold(struct attempt *attempt, const struct binding *binding, double limit, double left) {
    attempt->decision->limit = limit;
    attempt->decision->remaining = left;
    attempt->decision->interval_ns = binding->limiter->interval_ns;
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
    double rate = warm_up_rate(&window->warm, limiter, binding->rule, attempt->now_ns, passed, met_lately(window, limiter, attempt->now_ns));
    uint32_t limit = (uint32_t)(rate * (1 + 1e-9));
    return limit ? limit : 1;
}

static bool burst_left(struct attempt *attempt, const struct limiter *limiter, struct window *window, uint32_t n, uint32_t tick) {
    uint64_t wait, before, after;
    if (!limiter->burst_ns)
        return true;
    if (!queue_bucket_take(&window->turn, attempt->now_ns, limiter->unit_ns * n, limiter->burst_ns, &wait, &before, &after)) {
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
        double rate = warm_up_rate(&queue->warm, limiter, binding->rule, attempt->now_ns, idle ? 0 : UINT32_MAX, waiting);
        unit = queue_unit_ns(rate, limiter->interval_ns);
    }
    uint64_t patience = binding->rule->mode == MODE_SIMULATE && !binding->rule->max_queue_ns ? 0 : binding->rule->max_queue_ns;
    uint64_t credit = limiter->burst_ns ? unit * (uint64_t)binding->rule->burst : 0;
    __uint128_t cost = (__uint128_t)unit * n;
    if (!queue_take(&queue->turn, attempt->now_ns, cost > INT64_MAX ? INT64_MAX : (uint64_t)cost, patience, credit, &wait, &before, &after)) {
        attempt->retry_ns = wait - patience;
        return false;
    }
    attempt_took(attempt, TAKE_TURN, &queue->turn, before, after, n);
    if (limiter->cold != 0)
        warm_up_spend(&queue->warm, limiter, n);
    if (wait > attempt->wait_ns && binding->rule->mode == MODE_ENFORCE)
        attempt->wait_ns = wait;
    return true;
}

bool attempt_count(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t limit, uint32_t n, bool ask, uint32_t *ret_left) {
    struct engine *engine = attempt->engine;
    bool app = engine_app_scope(engine, binding->rule);
    struct cell *cell = attempt_cell(attempt, binding, resource, app ? CELL_COUNTS : CELL_COUNT, app ? sizeof(struct counts) : sizeof(struct count));
    uint32_t slot = load_relaxed(&engine->slot);
    *ret_left = 0;
    if (!cell || attempt->ticket->holds_count + 2u > ENGINE_HOLDS_MAX)
        return true;
    if (ask && !(app ? counts_take((struct counts *)cell, slot, limit, n, ret_left)
                     : count_take((struct count *)cell, engine->incarnation, limit, n, ret_left)))
        return false;
    if (!ask && app)
        counts_add((struct counts *)cell, slot, n);
    else if (!ask)
        count_add((struct count *)cell, engine->incarnation, n);
    return attempt_hold(attempt, HOLD_COUNT, binding->rule, cell, 0, n);
}

uint32_t attempt_count_now(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    bool app = engine_app_scope(attempt->engine, binding->rule);
    struct cell *cell = attempt_cell(attempt, binding, resource, app ? CELL_COUNTS : CELL_COUNT, app ? sizeof(struct counts) : sizeof(struct count));
    return !cell ? 0 : app ? counts_now((struct counts *)cell) : count_now((struct count *)cell, attempt->engine->incarnation);
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
    return pass && attempt_hold(attempt, HOLD_TTL, binding->rule, &window->cell, tick, n);
}

/* Relate: the figures of the other resource, which its own requests feed (feed()). */
static bool check_relate(struct attempt *attempt, struct binding *binding, uint32_t n) {
    uint32_t now, limit = binding->limiter->limit;
    if (binding->check == CHECK_RELATE_COUNT) {
        now = attempt_count_now(attempt, binding, UINT32_MAX);
    } else {
        struct window *window = (struct window *)attempt_cell(attempt, binding, UINT32_MAX, CELL_WINDOW, sizeof(*window));
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

static void feed(struct attempt *attempt, struct binding *binding) {
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
        if (window_sum(window, &binding->limiter->clock, attempt->now_ns) >= (uint32_t)(binding->rule->count / binding->limiter->cold))
            store_relaxed(&window->full_tick, window_tick(&binding->limiter->clock, attempt->now_ns));
    }
}

static bool check_authority(struct attempt *attempt, const struct binding *binding) {
    const struct engine_request *request = attempt->request;
    if (!request->origin_length && !request->address_length)
        return true; /* nobody known: as in Sentinel */
    return authority_lists(binding->limiter->authority, request) == (binding->rule->authority == AUTHORITY_WHITE);
}

static bool entered_through(const struct attempt *attempt, const struct rule *rule) {
    const char *entrance = image_text(attempt->view->image, rule->ref_resource);
    return strlen(entrance) == attempt->request->entrance_length && memcmp(entrance, attempt->request->entrance, attempt->request->entrance_length) == 0;
}

static bool check_one(struct attempt *attempt, struct binding *binding, uint32_t resource) {
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
    case CHECK_RELATE_WINDOW:
    case CHECK_RELATE_COUNT: return check_relate(attempt, binding, n);
    default: return true;
    }
}

/* ----------------------------------------------------------------------------------------------------------- verdicts */

static enum reason reason_of(const struct rule *rule) {
    static const uint8_t reasons[RULE_KINDS] = {
        [RULE_AUTHORITY] = REASON_AUTHORITY, [RULE_PARAM] = REASON_PARAM,         [RULE_GATEWAY] = REASON_FLOW,
        [RULE_FLOW] = REASON_FLOW,           [RULE_ISOLATION] = REASON_ISOLATION, [RULE_DEGRADE] = REASON_DEGRADE,
        [RULE_SYSTEM] = REASON_SYSTEM,       [RULE_ADAPTIVE] = REASON_ADAPTIVE,
    };
    return rule->kind == RULE_GATEWAY && rule->params_count ? REASON_PARAM : reasons[rule->kind];
}

/* True: the request is rejected, and the decision says why. */
static bool refuse(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    struct engine_decision *decision = attempt->decision;
    enum reason reason = reason_of(binding->rule);
    bool simulated = binding->rule->mode == MODE_SIMULATE;
    stats_hit(attempt->engine, attempt->view, binding, resource, attempt->request, reason, attempt->request->acquire, simulated);
    if (simulated) {
        decision->simulated++;
        return false;
    }
    decision->verdict = ENGINE_BLOCK;
    decision->reason = (uint8_t)reason;
    decision->detail = binding->rule->kind == RULE_SYSTEM ? binding->rule->grade : 0;
    decision->rule = (uint32_t)(binding->rule - attempt->view->rules);
    decision->resource = resource;
    decision->retry_ns = attempt->retry_ns;
    return true;
}

static bool check_resource(struct attempt *attempt, struct binding_list *list, uint32_t resource) {
    for (unsigned i = 0; i < list->checks; i++) {
        struct binding *binding = &list->items[i];
        if (!concerns(attempt, list, binding->rule))
            continue;
        attempt->retry_ns = 0;
        if (!check_one(attempt, binding, resource) && refuse(attempt, binding, resource))
            return false;
    }
    return true;
}

static bool check_all(struct attempt *attempt, struct binding_list *lists[]) {
    const struct engine_request *request = attempt->request;
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++) {
        lists[i] = view_bindings(attempt->engine, attempt->view, attempt->ticket->resources[i]);
        if (!lists[i]) {
            add_relaxed(&attempt->engine->counters->cells_refused, 1u);
            continue;
        }
        if (request->priority == PRIORITY_NORMAL && lists[i]->priority != PRIORITY_NORMAL)
            attempt->priority = lists[i]->priority;
        if (!check_resource(attempt, lists[i], attempt->ticket->resources[i]))
            return false;
    }
    return true;
}

static enum engine_verdict decide(struct attempt *attempt) {
    struct binding_list *lists[ENGINE_RESOURCES_MAX];
    if (!check_all(attempt, lists)) {
        give_back_takes(attempt);
        end_holds(attempt->engine, attempt->ticket, true, attempt->now_ns);
        return ENGINE_BLOCK;
    }
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++)
        for (unsigned k = 0; lists[i] && k < lists[i]->feeds; k++)
            feed(attempt, &lists[i]->items[lists[i]->checks + lists[i]->breakers + k]);
    return attempt->wait_ns ? ENGINE_WAIT : ENGINE_PASS;
}

static enum engine_verdict decide_compat(struct attempt *attempt) {
    struct compat_name names[ENGINE_RESOURCES_MAX];
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++)
        names[i].text = engine_resource_name(attempt->engine, attempt->ticket->resources[i], &names[i].length);
    struct engine_request request = *attempt->request;
    request.resources = attempt->ticket->resources;
    request.resources_count = attempt->ticket->resources_count;
    enum engine_verdict verdict =
        compat_enter(attempt->engine->compat, attempt->now_ns, &request, names, attempt->ticket, attempt->decision);
    attempt->wait_ns = verdict == ENGINE_WAIT ? attempt->decision->wait_ns : 0;
    if (verdict == ENGINE_BLOCK && attempt->decision->rule < attempt->view->rules_count) {
        struct binding binding = {.rule = &attempt->view->rules[attempt->decision->rule], .check = CHECK_ADAPTIVE};
        stats_hit(attempt->engine, attempt->view, &binding, attempt->decision->resource, attempt->request,
                  attempt->decision->reason, attempt->request->acquire, false);
    }
    return verdict;
}

static void ticket_begin(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, const struct engine_request *request, unsigned shard) {
    uint32_t allocated = load_relaxed(&engine->counters->resources_allocated);
    uint32_t entries = allocated < LAYOUT_RESOURCES ? allocated : LAYOUT_RESOURCES;
    bool private_area;
    stats_area(engine, &private_area);
    ticket->start_ns = now_ns;
    ticket->holds_count = 0;
    ticket->side = request->side;
    ticket->acquire = request->acquire;
    ticket->shard = (uint8_t)((shard & SHARD_MASK) | fork_bits(engine) | (private_area ? FLAG_PRIVATE : 0));
    ticket->resources_count = (uint8_t)(request->resources_count < ENGINE_RESOURCES_MAX ? request->resources_count : ENGINE_RESOURCES_MAX);
    for (unsigned i = 0; i < ticket->resources_count; i++)
        ticket->resources[i] = request->resources[i] < entries ? request->resources[i] : ENGINE_OTHER;
}

static void note_seen(struct engine *engine, uint64_t now_ns) {
    enum { EVERY_NS = 100000000 };
    uint64_t seen = load_relaxed(&engine->seen_ns);
    if (now_ns - seen < EVERY_NS)
        return;
    uint32_t slot = load_relaxed(&engine->slot);
    store_relaxed(&engine->seen_ns, now_ns);
    if (slot != UINT32_MAX)
        store_relaxed(&engine->processes[slot].seen_ns, now_ns);
}

enum engine_verdict engine_enter(struct engine *engine, uint64_t now_ns, const struct engine_request *request,
                                 struct engine_ticket *ret_ticket, struct engine_decision *ret_decision) {
    unsigned shard = engine_thread() + load_relaxed(&engine->slot);
    enum engine_verdict verdict = ENGINE_PASS;
    struct attempt attempt; /* its notes need no clearing */
    attempt.engine = engine;
    attempt.request = request;
    attempt.ticket = ret_ticket;
    attempt.decision = ret_decision;
    attempt.now_ns = now_ns;
    attempt.shard = shard;
    attempt.wait_ns = attempt.retry_ns = 0;
    attempt.takes_count = 0;
    attempt.priority = request->priority;
    *ret_decision = (struct engine_decision){.rule = UINT32_MAX};
    ticket_begin(engine, ret_ticket, now_ns, request, shard);
    note_seen(engine, now_ns);
    uint32_t token = engine_read_begin(engine);
    if (token < 2) {
        attempt.view = &engine->views[token];
        if (attempt.view->compat)
            ret_ticket->shard |= FLAG_COMPAT;
        verdict = attempt.view->compat ? decide_compat(&attempt) : decide(&attempt);
    }
    engine_read_end(engine, token);
    ret_decision->verdict = (uint8_t)verdict;
    ret_decision->wait_ns = verdict == ENGINE_BLOCK ? ret_decision->wait_ns : attempt.wait_ns;
    for (unsigned i = 0; i < ret_ticket->resources_count; i++)
        if (verdict == ENGINE_BLOCK)
            stats_block(engine, ret_ticket->resources[i], shard, request->acquire);
        else
            stats_pass(engine, ret_ticket->resources[i], shard, now_ns, ret_ticket->shard & FLAG_PRIVATE, request->acquire, attempt.wait_ns,
                       ret_decision->simulated != 0);
    if (verdict == ENGINE_BLOCK)
        ret_ticket->resources_count = 0;
    return verdict;
}

/* A ticket of the parent process means nothing in a forked child. */
static bool is_ours(const struct engine *engine, const struct engine_ticket *ticket) {
    return (ticket->shard & FORK_MASK << FORK_SHIFT) == fork_bits(engine);
}

void engine_exit(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, const struct engine_outcome *outcome) {
    if (!ticket->resources_count || !is_ours(engine, ticket)) {
        ticket->resources_count = ticket->holds_count = 0;
        return;
    }
    uint64_t rt_ns = now_ns > ticket->start_ns ? now_ns - ticket->start_ns : 0;
    bool error = outcome->error || outcome->aborted;
    if (ticket->shard & FLAG_COMPAT) {
        compat_exit(engine->compat, ticket, now_ns, outcome);
    } else {
        end_holds(engine, ticket, false, now_ns);
    }
    for (unsigned i = 0; i < ticket->resources_count && i < ENGINE_RESOURCES_MAX; i++) {
        stats_leave(engine, ticket->resources[i], ticket->shard & FLAG_PRIVATE);
        stats_done(engine, ticket->resources[i], engine_thread() + load_relaxed(&engine->slot), now_ns, rt_ns, ticket->acquire, error);
    }
    ticket->resources_count = 0;
}

void engine_cancel(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    if (!ticket->resources_count || !is_ours(engine, ticket)) {
        ticket->resources_count = ticket->holds_count = 0;
        return;
    }
    if (ticket->shard & FLAG_COMPAT)
        compat_cancel(engine->compat, ticket, now_ns);
    else
        end_holds(engine, ticket, true, now_ns);
    for (unsigned i = 0; i < ticket->resources_count && i < ENGINE_RESOURCES_MAX; i++)
        stats_leave(engine, ticket->resources[i], ticket->shard & FLAG_PRIVATE);
    ticket->resources_count = 0;
}
