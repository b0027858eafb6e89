#include "agent/metrics/episodes.h"

#include <string.h>

#include "rules/ruleset.h"

#define SECOND_NS UINT64_C(1000000000)
static const uint64_t QUIET_NS = SECOND_NS * 3 / 2, /* two seconds, of a clock that is not exact */
    STUCK_NS = 10 * SECOND_NS,                      /* requests are in flight, and not one is answered */
    UNREPORTED_NS = 15 * SECOND_NS,                 /* it is reported every ten seconds */
    FRESH_NS = 2 * SECOND_NS;

const struct rule *episodes_rule(const void *ruleset, uint64_t id_hash) {
    uint32_t count = ruleset ? ruleset_head(ruleset)->rules_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        if (rule->id_hash == id_hash && rule->kind == RULE_ADAPTIVE)
            return rule->mode == MODE_OFF ? NULL : rule;
    }
    return NULL;
}

static struct episode_now *find(struct episodes *all, uint64_t rule, uint32_t pid) {
    for (unsigned i = 0; i < EPISODES_MAX; i++)
        if (rule && all->one[i].rule == rule && all->one[i].pid == pid)
            return &all->one[i];
    return NULL;
}

/* One that is not in use, or else one that is over. */
static struct episode_now *unused(struct episodes *all) {
    struct episode_now *over = NULL;
    for (unsigned i = 0; i < EPISODES_MAX; i++) {
        if (!all->one[i].rule)
            return &all->one[i];
        if (!all->one[i].begun)
            over = &all->one[i];
    }
    return over;
}

static double seconds(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e9 : 0;
}

/* A process may have seen an episode go on that the agent has ended. */
static void shorten(struct layout_event *e, double lasted_s) {
    if (episode_read(e).lasted_s > lasted_s + 1)
        e->episode.lasted_s = lasted_s;
}

static void begin(struct episode_now *one, struct layout_event *e, const struct rule *rule, uint64_t now_ns) {
    double lasted = episode_read(e).lasted_s;
    if (one->ended) { /* to its process it goes on */
        e->from = 0;
        lasted = e->episode.lasted_s = 0;
        e->value = -1;
    }
    uint64_t ago_ns = lasted > 0 ? (uint64_t)(lasted * 1e9) : 0;
    *one = (struct episode_now){.rule = rule->id_hash,
                                .pid = rule->scope == SCOPE_PROCESS ? e->pid : 0,
                                .mode = rule->mode,
                                .grade = rule->grade,
                                .scope = rule->scope,
                                .begun = true,
                                .begun_ns = now_ns > ago_ns ? now_ns - ago_ns : 0,
                                .goodput = -1};
}

static bool take_end(struct episode_now *one, struct layout_event *e, uint64_t now_ns) {
    bool reported = one && one->ended;
    if (one && one->begun)
        shorten(e, seconds(one->begun_ns, now_ns));
    if (one)
        *one = (struct episode_now){0};
    return !reported;
}

bool episodes_take(struct episodes *all, struct layout_event *e, const struct rule *rule, uint64_t now_ns) {
    if (!rule)
        return false;
    struct episode_now *one = find(all, rule->id_hash, rule->scope == SCOPE_PROCESS ? e->pid : 0);
    enum episode_stage stage = episode_read(e).stage;
    if (stage == STAGE_OVER)
        return take_end(one, e, now_ns);
    if (!one && !(one = unused(all)))
        return true;
    if (one->rule != rule->id_hash)
        *one = (struct episode_now){0};
    if (!one->begun || stage == STAGE_BEGAN)
        begin(one, e, rule, now_ns);
    shorten(e, seconds(one->begun_ns, now_ns));
    one->event = *e;
    one->reported_ns = one->active_ns = now_ns;
    return true;
}

/* ------------------------------------------------------------------------------------------------------ the counters
 */

/* Requests count for several resources, and once for their listener. */
static bool is_listener(const struct metrics_resource *r) {
    return strncmp(r->name, "http::", 6) == 0 || strncmp(r->name, "http:unix:", 10) == 0;
}

void episodes_second(struct episodes *all, const struct metrics *metrics, uint64_t now_ns) {
    struct episodes_second sum = {0};
    bool active = false;
    all->in_flight = false;
    for (uint32_t i = 0; i < metrics->count; i++) {
        const struct metrics_resource *r = &metrics->resources[i];
        if (r->side != SIDE_INBOUND)
            continue;
        active |= r->rate.pass || r->rate.block || r->rate.success;
        all->in_flight |= r->in_flight > 0;
        if (!is_listener(r))
            continue;
        sum.requests += (double)r->rate.pass + (double)r->rate.block;
        sum.rejected += (double)r->rate.block;
        sum.simulated += (double)r->rate.simulated;
        sum.answered += (double)r->rate.success;
    }
    all->second = sum;
    for (struct episode_now *one = all->one; active && one < all->one + EPISODES_MAX; one++) {
        one->active_ns = now_ns;
        one->requests += sum.requests;
        one->rejected += one->mode == MODE_SIMULATE ? sum.simulated : sum.rejected;
        one->goodput = sum.answered;
    }
}

/* --------------------------------------------------------------------------------------------------------- their end
 */

static bool is_silent(const struct episodes *all, const struct episode_now *one, uint64_t now_ns) {
    uint64_t silent_ns = now_ns - one->active_ns;
    return silent_ns > (all->in_flight ? STUCK_NS : QUIET_NS) || now_ns - one->reported_ns > UNREPORTED_NS;
}

static bool is_changed(const struct episode_now *one, const void *ruleset) {
    const struct rule *rule = episodes_rule(ruleset, one->rule);
    return !rule || rule->mode != one->mode || rule->grade != one->grade || rule->scope != one->scope;
}

static double share(double part, double whole) {
    return whole > 0 ? part < whole ? part / whole : 1 : -1;
}

static double lasted_s(const struct episode_now *one, uint64_t now_ns) {
    return seconds(one->begun_ns, now_ns - one->active_ns < QUIET_NS ? now_ns : one->active_ns);
}

static void end(struct episode_now *one, uint64_t now_ns, struct layout_event *ret_event) {
    struct layout_event *e = ret_event;
    *e = one->event;
    struct layout_episode said = e->episode;
    if (one->goodput >= 0) /* a second of it was sampled */
        said.goodput = one->goodput;
    said.lasted_s = lasted_s(one, now_ns);
    if (one->active_ns - one->reported_ns > FRESH_NS)
        said.delay_ms = said.cpu = -1;
    e->from = 1;
    e->to = 0;
    e->value = share(one->rejected, one->requests);
    e->episode = said;
    one->begun = false;
    one->ended = true;
}

bool episodes_end(struct episodes *all, enum episodes_end which, const void *ruleset, uint64_t now_ns,
                  struct layout_event *ret_event, bool *ret_whole) {
    for (struct episode_now *one = all->one; one < all->one + EPISODES_MAX; one++) {
        bool ends = which == EPISODES_ALL || (which == EPISODES_CHANGED && is_changed(one, ruleset)) ||
                    (which == EPISODES_SILENT && is_silent(all, one, now_ns));
        if (!one->begun || !ends)
            continue;
        end(one, now_ns, ret_event);
        *ret_whole = one->pid == 0;
        return true;
    }
    return false;
}

/* ---------------------------------------------------------------------------------------------------------- at present
 */

const struct episode_now *episodes_present(const struct episodes *all) {
    const struct episode_now *longest = NULL;
    for (const struct episode_now *one = all->one; one < all->one + EPISODES_MAX; one++)
        if (one->begun && (!longest || one->begun_ns < longest->begun_ns))
            longest = one;
    return longest;
}

struct episode episodes_figures(const struct episodes *all, const struct episode_now *one, uint64_t now_ns) {
    struct episode figures = episode_read(&one->event);
    const struct episodes_second *second = &all->second;
    if (now_ns - one->reported_ns > FRESH_NS)
        figures.delay_ms = figures.cpu = -1;
    figures.rejected = share(one->mode == MODE_SIMULATE ? second->simulated : second->rejected, second->requests);
    figures.goodput = second->answered;
    figures.lasted_s = lasted_s(one, now_ns);
    return figures;
}
