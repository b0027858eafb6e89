#include "agent/apps/app_unmet.h"

#include <stdlib.h>
#include <string.h>

#include "agent/apps/app.h"
#include "agent/core/json_writer.h"
#include "rules/hash.h"
#include "rules/pattern.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"
#include "rules/text/reader.h"

/* Seconds with traffic before a rule is said to have met none, and before its parameter is; comparisons of a rule with
 * a resource in a second; rules that are listed, and resources among which the nearest is sought. */
enum {
    BUSY_LEAST = 3,
    BUSY_FOR_VALUES = 5,
    LOOKS_MAX = 100000,
    LISTED_MAX = 20,
    NEAREST_MAX = 500,
    PATTERNS_MEMORY = 64 << 10
};

enum unmet_why { UNMET_NOT, UNMET_RESOURCE, UNMET_REFERENCE, UNMET_VALUE };

struct unmet_rule {
    uint64_t identity; /* by which a rule of the next ruleset is the same */
    time_t since;
    uint64_t busy_before;          /* seconds with traffic before it came */
    const struct pattern *pattern; /* of a regular expression */
    bool counts;                   /* it is one that traffic can meet */
    bool met, reference_met;       /* reference: the resource whose counters a rule goes by */
};

/* ------------------------------------------------------------------------------------------------------------- rules
 */

static const struct rule *rule_at(const struct app_unmet *unmet, uint32_t i) {
    return &ruleset_rules(unmet->ruleset)[i];
}

static const char *text_of(const struct app_unmet *unmet, ruleset_string text) {
    return ruleset_text(unmet->ruleset, text);
}

static bool has_reference(const struct rule *rule) {
    return rule->kind == RULE_FLOW && rule->strategy != STRATEGY_DIRECT;
}

static uint64_t identity_of(const struct app_unmet *unmet, const struct rule *rule) {
    const char *resource = text_of(unmet, rule->resource), *reference = text_of(unmet, rule->ref_resource);
    uint64_t hash = hash_bytes(rule->id_hash + rule->match, resource, strlen(resource));
    return hash_bytes(hash, reference, strlen(reference));
}

static void *more_memory(void *context, size_t at_least, size_t *ret_size) {
    struct app_unmet *unmet = context;
    *ret_size = at_least > PATTERNS_MEMORY ? at_least : PATTERNS_MEMORY;
    void **block = malloc(*ret_size + 16);
    if (!block)
        return NULL;
    *block = unmet->patterns;
    unmet->patterns = block;
    return (char *)block + 16;
}

void app_unmet_clear(struct app_unmet *unmet) {
    for (void **block = unmet->patterns, **next; block; block = next) {
        next = *block;
        free(block);
    }
    free(unmet->ruleset);
    free(unmet->rules);
    free(unmet->looked);
    *unmet = (struct app_unmet){0};
}

static int by_identity(const void *left, const void *right) {
    const struct unmet_rule *a = left, *b = right;
    return a->identity < b->identity ? -1 : a->identity > b->identity;
}

/* What is known of the same rule of the ruleset before, whose rules are in order of their identities. */
static void carry_over(struct unmet_rule *to, const struct app_unmet *before) {
    const struct unmet_rule *same = before->count ? bsearch(to, before->rules, before->count, sizeof *to, by_identity)
                                                  : NULL;
    if (!same)
        return;
    to->since = same->since;
    to->busy_before = same->busy_before;
    to->met = same->met;
    to->reference_met = same->reference_met;
}

/* What a rule for the night meets is not known by day. */
static bool can_be_met(const struct app_unmet *unmet, const struct rule *rule) {
    const char *resource = text_of(unmet, rule->resource);
    return rule->kind < RULE_SYSTEM && rule->mode != MODE_OFF && !rule->when_count &&
           strncmp(resource, "{other}", 7) != 0 && strcmp(resource, "*") != 0;
}

static void begin(struct app *app, uint64_t generation) {
    struct app_unmet before = app->unmet, *unmet = &app->unmet;
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    *unmet = (struct app_unmet){.generation = generation, .busy = before.busy};
    unmet->ruleset = ruleset ? malloc(size) : NULL;
    if (unmet->ruleset) {
        memcpy(unmet->ruleset, ruleset, size);
        unmet->count = ruleset_head(unmet->ruleset)->rules_count;
        unmet->rules = calloc(unmet->count + 1, sizeof *unmet->rules);
    }
    unmet->count = unmet->rules ? unmet->count : 0;
    struct pattern_arena arena = {.more = more_memory, .context = unmet};
    if (before.count)
        qsort(before.rules, before.count, sizeof *before.rules, by_identity);
    for (uint32_t i = 0; i < unmet->count; i++) {
        const struct rule *rule = rule_at(unmet, i);
        struct unmet_rule *record = &unmet->rules[i];
        *record = (struct unmet_rule){
            .identity = identity_of(unmet, rule), .since = time(NULL), .busy_before = unmet->busy};
        record->counts = can_be_met(unmet, rule);
        record->reference_met = !has_reference(rule);
        carry_over(record, &before);
        if (rule->match == MATCH_REGEX)
            record->pattern = pattern_compile(&arena, text_of(unmet, rule->resource));
    }
    app_unmet_clear(&before);
}

/* ----------------------------------------------------------------------------------------------------------- meeting
 */

/* As the engine has it (rules/engine/bindings.c); what it could not decide is taken for met. */
static bool applies(const struct app_unmet *unmet, uint32_t i, void *scratch, const char *name) {
    const struct rule *rule = rule_at(unmet, i);
    const char *pattern = text_of(unmet, rule->resource);
    if (strncmp(name, "{other}:", 8) == 0) /* names that share an entry: by the rules' ids */
        return strchr(name + 8, '*') || strchr(name + 8, '#') || strstr(name + 8, text_of(unmet, rule->id));
    switch (rule->match) {
    case MATCH_EXACT: return strcmp(pattern, name) == 0;
    case MATCH_PREFIX: return strncmp(name, pattern, strlen(pattern)) == 0;
    case MATCH_GLOB: return pattern_glob(pattern, name, strlen(name));
    default: return pattern_try(unmet->rules[i].pattern, scratch, name, strlen(name)) != PATTERN_NO;
    }
}

static void meet(struct app_unmet *unmet, void *scratch, const char *name) {
    for (uint32_t i = 0; i < unmet->count; i++) {
        struct unmet_rule *record = &unmet->rules[i];
        record->met = record->met || (record->counts && applies(unmet, i, scratch, name));
        record->reference_met = record->reference_met ||
                                strcmp(text_of(unmet, rule_at(unmet, i)->ref_resource), name) == 0;
    }
}

static bool had_traffic(const struct metrics_resource *resource) {
    return resource->rate.pass || resource->rate.block;
}

static bool make_room(struct app_unmet *unmet, uint32_t count) {
    char *looked = realloc(unmet->looked, count);
    if (!looked)
        return false;
    memset(looked + unmet->looked_count, 0, count - unmet->looked_count);
    unmet->looked = looked;
    unmet->looked_count = count;
    return true;
}

/* Resources with traffic whose rules are not known to be met: each once for a ruleset. */
static void look(struct app *app) {
    struct app_unmet *unmet = &app->unmet;
    uint32_t count = app->metrics.count, looks = LOOKS_MAX;
    void *scratch = malloc(PATTERN_SCRATCH);
    if (count > unmet->looked_count && !make_room(unmet, count))
        count = unmet->looked_count;
    for (uint32_t i = 0; scratch && i < count && looks >= unmet->count; i++) {
        const struct metrics_resource *resource = &app->metrics.resources[i];
        if (unmet->looked[i] || !had_traffic(resource))
            continue;
        meet(unmet, scratch, resource->name);
        unmet->looked[i] = 1;
        looks -= unmet->count;
    }
    free(scratch);
}

void app_unmet_tick(struct app *app) {
    uint64_t generation = snapshot_generation(app->memory.rules);
    if (generation != app->unmet.generation)
        begin(app, generation);
    if (!app->metrics.traffic || !app->unmet.count)
        return;
    app->unmet.busy++;
    look(app);
}

/* ---------------------------------------------------------------------------------------------------------- reporting
 */

/* Has a value of the rule's parameter ever been noted?  Values are noted about once a second while requests have them;
 * where there is no room for more, and by rules of Sentinel's, that is not known. */
static bool had_value(const struct app *app, const struct rule *rule) {
    uint32_t places = publish_allocated(&app->memory, LAYOUT_HOT_TABLE);
    bool room = false;
    if (ruleset_head(app->unmet.ruleset)->options.compat_sentinel)
        return true;
    for (uint32_t i = 0; i < places; i++) {
        const struct layout_hot *hot = publish_hot(&app->memory, i);
        bool used = __atomic_load_n(&hot->key, __ATOMIC_RELAXED) != 0;
        if (used && hot->rule == rule->id_hash)
            return true;
        room |= !used;
    }
    return !room;
}

static enum unmet_why why_unmet(const struct app *app, uint32_t i) {
    const struct app_unmet *unmet = &app->unmet;
    const struct unmet_rule *record = &unmet->rules[i];
    const struct rule *rule = rule_at(unmet, i);
    bool hot = rule->kind == RULE_PARAM || rule->params_count;
    if (!record->counts || unmet->busy < record->busy_before + BUSY_LEAST)
        return UNMET_NOT;
    if (!record->met || !record->reference_met)
        return record->met ? UNMET_REFERENCE : UNMET_RESOURCE;
    bool long_enough = unmet->busy >= record->busy_before + BUSY_FOR_VALUES;
    return hot && long_enough && !had_value(app, rule) ? UNMET_VALUE : UNMET_NOT;
}

uint32_t app_unmet_count(const struct app *app) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < app->unmet.count; i++)
        count += why_unmet(app, i) != UNMET_NOT;
    return count;
}

static const char *nearest(const struct app *app, const char *name) {
    const char *names[NEAREST_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < app->metrics.count && count < NEAREST_MAX; i++) {
        const struct metrics_resource *resource = &app->metrics.resources[i];
        if ((resource->total.pass || resource->total.block) && strncmp(resource->name, "{other}", 7) != 0)
            names[count++] = resource->name;
    }
    return text_nearest(name, names, count);
}

static void report(const struct app *app, uint32_t i, enum unmet_why why, struct json_writer *w) {
    static const char *const words[] = {
        [UNMET_RESOURCE] = "resource", [UNMET_REFERENCE] = "reference", [UNMET_VALUE] = "value"};
    const struct app_unmet *unmet = &app->unmet;
    const struct rule *rule = rule_at(unmet, i);
    const char *name = text_of(unmet, why == UNMET_REFERENCE ? rule->ref_resource : rule->resource);
    bool exact = why == UNMET_REFERENCE || (why == UNMET_RESOURCE && rule->match == MATCH_EXACT);
    const char *near = exact ? nearest(app, name) : NULL;
    json_open(w, NULL);
    json_text(w, "rule", text_of(unmet, rule->id));
    json_text(w, "kind", rule_kind_word(rule->kind));
    json_text(w, "resource", name);
    json_text(w, "why", words[why]);
    json_integer(w, "since", unmet->rules[i].since);
    json_text(w, "file", text_of(unmet, rule->file));
    json_count(w, "line", rule->line);
    json_text(w, "nearest", near ? near : "");
    json_close(w);
}

void app_unmet_report(const struct app *app, struct json_writer *w) {
    uint32_t listed = 0;
    json_open_list(w, "unmet");
    for (uint32_t i = 0; i < app->unmet.count && listed < LISTED_MAX; i++) {
        enum unmet_why why = why_unmet(app, i);
        if (why == UNMET_NOT)
            continue;
        report(app, i, why, w);
        listed++;
    }
    json_close_list(w);
}
