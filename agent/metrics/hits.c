#include "agent/metrics/hits.h"

#include <stdlib.h>
#include <string.h>

#include "rules/address.h"
#include "rules/atomic.h"
#include "rules/rejection_id.h"
#include "rules/ruleset.h"

void hits_begin(struct hits *hits, const struct publish *memory) {
    uint32_t places = publish_records(memory, LAYOUT_HIT_TABLE);
    hits->seen = calloc(places, sizeof *hits->seen);
    for (uint32_t i = 0; hits->seen && i < places; i++)
        if (__atomic_load_n(&publish_hit(memory, i)->ready, __ATOMIC_ACQUIRE))
            hits->seen[i] = __atomic_load_n(&publish_hit(memory, i)->blocked, __ATOMIC_RELAXED);
}

void hits_close(struct hits *hits) {
    free(hits->seen);
    hits->seen = NULL;
}

/* limitApp of the rule in the ruleset in force; "default" when the rule is gone by now. */
static const char *limit_app_of(const void *ruleset, uint64_t rule) {
    const struct ruleset_header *head = ruleset;
    for (uint32_t i = 0; ruleset && i < head->rules_count; i++)
        if (ruleset_rules(ruleset)[i].id_hash == rule && ruleset_rules(ruleset)[i].origin)
            return ruleset_text(ruleset, ruleset_rules(ruleset)[i].origin);
    return "default";
}

static void publish_one(const struct hits_of *of, const struct bus *bus, const struct layout_hit *shared,
                        uint64_t count) {
    struct layout_hit copy, *hit = &copy;
    load_record(&copy, shared);
    char rule[sizeof hit->rule_id + 1] = "", origin[sizeof hit->origin + 1] = "", id[REJECTION_ID_MAX] = "",
                                    caller[ADDRESS_TEXT_MAX + 1] = "";
    char name[LAYOUT_RESOURCE_NAME_MAX];
    size_t size;
    const struct rejection *example = rejections_example(of->recent, of->memory, hit, of->second);
    memcpy(rule, hit->rule_id, sizeof hit->rule_id);
    memcpy(origin, hit->origin, sizeof hit->origin);
    if (example) {
        rejection_id_write(id, example->key, example->number);
        caller[address_text(example->record.address, example->record.address_length, caller)] = 0;
    }
    struct bus_event event = {.kind = BUS_REJECTIONS, .app = of->app};
    event.rejections.second = of->second;
    event.rejections.count = count;
    event.rejections.reason = hit->reason;
    publish_resource_name(of->memory, hit->resource, name);
    event.rejections.resource = name;
    event.rejections.limit_app = hit->reason == REASON_PARAM
                                     ? origin
                                     : limit_app_of(publish_current(of->memory, &size), hit->rule);
    event.rejections.origin = origin;
    event.rejections.rule = rule;
    event.rejections.example = id;
    event.rejections.trace = example ? example->record.trace : "";
    event.rejections.caller = caller;
    if (example) {
        event.rejections.limit = example->record.limit;
        event.rejections.interval_ns = example->record.interval_ns;
        event.rejections.limit_of = example->record.limit_of;
    }
    bus_publish(bus, &event);
}

void hits_publish(struct hits *hits, const struct hits_of *of, const struct bus *bus) {
    uint32_t places = publish_records(of->memory, LAYOUT_HIT_TABLE);
    for (uint32_t i = 0; hits->seen && i < places; i++) {
        const struct layout_hit *hit = publish_hit(of->memory, i);
        if (!__atomic_load_n(&hit->ready, __ATOMIC_ACQUIRE))
            continue;
        uint64_t blocked = __atomic_load_n(&hit->blocked, __ATOMIC_RELAXED), before = hits->seen[i];
        hits->seen[i] = blocked;
        if (blocked > before)
            publish_one(of, bus, hit, blocked - before);
    }
}
