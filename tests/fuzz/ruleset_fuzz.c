/* ruleset_check: what it accepts can be read, used for names, and compiled, without touching a byte outside. */
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "rules/naming/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t text_length(const void *ruleset, ruleset_string text) {
    return strlen(ruleset_text(ruleset, text));
}

static size_t use_rule(const void *ruleset, const struct rule *rule) {
    size_t sum = text_length(ruleset, rule->id) + text_length(ruleset, rule->resource) +
                 text_length(ruleset, rule->origin) + text_length(ruleset, rule->ref_resource) +
                 text_length(ruleset, rule->cost_header);
    for (uint32_t i = 0; i < rule->params_count; i++)
        sum += text_length(ruleset, ruleset_params(ruleset)[rule->params_first + i].pattern);
    for (uint32_t i = 0; i < rule->items_count && i < 100; i++)
        sum += text_length(ruleset, ruleset_items(ruleset)[rule->items_first + i].object);
    for (uint32_t i = 0; i < rule->list_count && i < 100; i++)
        sum += rule->canary == CANARY_PIDS ? 0 : text_length(ruleset, ruleset_list(ruleset)[rule->list_first + i]);
    if (rule->block_action) {
        const struct ruleset_block_action *action = &ruleset_actions(ruleset)[rule->block_action - 1];
        sum += text_length(ruleset, action->name) + text_length(ruleset, action->body) +
               text_length(ruleset, action->headers);
    }
    return sum;
}

static volatile size_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *ruleset = aligned_alloc(8, (size + 7) & ~(size_t)7 ? (size + 7) & ~(size_t)7 : 8);
    memcpy(ruleset, data, size);
    if (size >= sizeof(struct ruleset_header)) { /* the fuzzer need not guess these */
        struct ruleset_header *header = ruleset;
        header->magic = RULESET_MAGIC;
        header->version = RULESET_VERSION;
        header->size = (uint32_t)size;
    }
    if (ruleset_check(ruleset, size)) {
        char name[100];
        uint32_t groups[4];
        for (uint32_t i = 0; i < ruleset_head(ruleset)->rules_count; i++)
            sink += use_rule(ruleset, &ruleset_rules(ruleset)[i]);
        struct naming_message request = {.method = "GET",
                                         .method_length = 3,
                                         .path = "/product/42/a?b",
                                         .path_length = 15,
                                         .host = "a.example.com",
                                         .host_length = 13};
        struct naming_rules rules = naming_rules_of(ruleset);
        static struct route_found found;
        sink += route_find(&rules, &request, ROUTE_READ_PLAIN, name, sizeof(name), &found);
        sink += route_groups(&rules, &found, groups, 4);
        sink += route_priority(ruleset, name, strlen(name));
        for (uint32_t i = 0; i < ruleset_head(ruleset)->routes_count; i++) {
            const struct ruleset_route *route = &ruleset_routes(ruleset)[i];
            sink += ruleset_in_ranges(ruleset, route->ranges_first, route->ranges_count,
                                      (const unsigned char *)"\1\2\3\4", 4);
        }
    }
    free(ruleset);
    return 0;
}
