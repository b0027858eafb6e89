#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/layout.h"
#include "rules/naming/route.h"
#include "tests/unit/suite.h"

/* A ruleset with something in each of its parts. */
static void *make_ruleset(size_t *ret_size) {
    struct ruleset_builder *builder = ruleset_builder_new("shop");
    struct rule rule;
    struct ruleset_block_action action = {.name = ruleset_add_text(builder, "busy", 4), .status = 429};
    ruleset_add_action(builder, &action);
    for (int i = 0; i < 3; i++) {
        rule_defaults(&rule, i == 0 ? RULE_SYSTEM : i == 1 ? RULE_PARAM : RULE_FLOW);
        rule.resource = ruleset_add_text(builder, "GET:/a", 6);
        rule.count = 10;
        if (i == 1) {
            struct rule_param param = {.source = PARAM_HEADER, .field = ruleset_add_text(builder, "x-a", 3)};
            struct rule_item item = {.object = ruleset_add_text(builder, "vip", 3), .count = 5};
            rule.params_first = ruleset_add_param(builder, &param);
            rule.params_count = 1;
            rule.items_first = ruleset_add_item(builder, &item);
            rule.items_count = 1;
            rule.block_action = 1;
        }
        if (i == 0) {
            rule.list_first = ruleset_add_list(builder, ruleset_add_text(builder, "/health", 7));
            rule.list_count = 1;
        }
        ruleset_add_rule(builder, &rule);
    }
    struct ruleset_route route = {.kind = ROUTE_PATTERN,
                                  .match = MATCH_GLOB,
                                  .name = ruleset_add_text(builder, "p", 1),
                                  .pattern = ruleset_add_text(builder, "/p/{id}", 7)};
    ruleset_add_route(builder, &route);
    struct address_range range = {.length = 4, .bits = 8, .network = {10}};
    struct ruleset_route office = {.kind = ROUTE_ORIGIN,
                                   .name = ruleset_add_text(builder, "office", 6),
                                   .ranges_first = ruleset_add_range(builder, &range),
                                   .ranges_count = 1};
    ruleset_add_route(builder, &office);
    route.host = ruleset_add_text(builder, "*.example.com", 13);
    route.priority = PRIORITY_LOW;
    ruleset_add_route(builder, &route);
    return ruleset_builder_finish(builder, ret_size);
}

START_TEST(rules_are_sorted_by_kind) {
    size_t size;
    void *ruleset = make_ruleset(&size);
    const struct ruleset_header *header = ruleset_head(ruleset);
    ck_assert(ruleset_check(ruleset, size));
    ck_assert_str_eq(ruleset_text(ruleset, header->app), "shop");
    ck_assert_uint_eq(header->rules_count, 3);
    ck_assert_uint_eq(ruleset_rules(ruleset)[0].kind, RULE_PARAM);
    ck_assert_uint_eq(ruleset_rules(ruleset)[1].kind, RULE_FLOW);
    ck_assert_uint_eq(ruleset_rules(ruleset)[2].kind, RULE_SYSTEM);
    ck_assert_uint_eq(header->kind_first[RULE_FLOW], 1);
    ck_assert_uint_eq(header->kind_count[RULE_FLOW], 1);
    ck_assert_str_eq(ruleset_text(ruleset, ruleset_rules(ruleset)[1].id), "flow-3");
    ck_assert_uint_eq(ruleset_rules(ruleset)[1].id_hash, rule_id_hash(RULE_FLOW, "flow-3"));
    ck_assert_uint_ne(rule_id_hash(RULE_FLOW, "x"), rule_id_hash(RULE_DEGRADE, "x"));
    free(ruleset);
}
END_TEST

START_TEST(equal_texts_share) {
    struct ruleset_builder *builder = ruleset_builder_new("a");
    ruleset_string first[500];
    char text[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 500; i++) {
            int length = snprintf(text, sizeof(text), "text%d", i);
            ruleset_string at = ruleset_add_text(builder, text, (size_t)length);
            if (round)
                ck_assert_uint_eq(at, first[i]);
            first[i] = at;
            ck_assert_str_eq(ruleset_builder_text(builder, at), text);
        }
    ck_assert_uint_eq(ruleset_add_text(builder, "", 0), 0);
    ck_assert_uint_eq(ruleset_add_text(builder, NULL, 5), 0);
    ruleset_builder_free(builder);
}
END_TEST

START_TEST(a_bad_record_makes_no_ruleset) {
    struct ruleset_builder *builder = ruleset_builder_new("a");
    struct rule rule;
    size_t size;
    rule_defaults(&rule, RULE_FLOW);
    rule.resource = ruleset_add_text(builder, "x", 1);
    rule.count = NAN;
    ruleset_add_rule(builder, &rule);
    ck_assert_ptr_null(ruleset_builder_finish(builder, &size));
}
END_TEST

START_TEST(too_large_makes_no_ruleset) {
    struct ruleset_builder *builder = ruleset_builder_new("a");
    struct rule rule;
    size_t size;
    rule_defaults(&rule, RULE_FLOW);
    rule.resource = rule.id = ruleset_add_text(builder, "x", 1);
    for (unsigned i = 0; i <= LAYOUT_RULES_COPY_MAX / sizeof(rule); i++)
        ruleset_add_rule(builder, &rule);
    ck_assert_ptr_null(ruleset_builder_finish(builder, &size));
}
END_TEST

START_TEST(defaults_are_valid) {
    for (int kind = 0; kind < RULE_KINDS; kind++) {
        struct ruleset_builder *builder = ruleset_builder_new("a");
        struct rule rule;
        size_t size;
        rule_defaults(&rule, (enum rule_kind)kind);
        rule.resource = ruleset_add_text(builder, "x", 1);
        ruleset_add_rule(builder, &rule);
        void *ruleset = ruleset_builder_finish(builder, &size);
        ck_assert_msg(ruleset, "kind %d", kind);
        free(ruleset);
    }
}
END_TEST

START_TEST(every_cut_is_refused) {
    size_t size;
    void *ruleset = make_ruleset(&size);
    for (size_t cut = 0; cut < size; cut++) {
        char *copy = malloc(cut ? cut : 1); /* so that reading beyond it is seen */
        memcpy(copy, ruleset, cut);
        ck_assert(!ruleset_check(copy, cut));
        free(copy);
    }
    free(ruleset);
}
END_TEST

/* Uses everything in a ruleset that has passed the check, as a reader may. */
static size_t use_ruleset(const void *ruleset) {
    const struct ruleset_header *header = ruleset_head(ruleset);
    size_t sum = strlen(ruleset_text(ruleset, header->app)) + strlen(ruleset_text(ruleset, header->version_text));
    for (uint32_t i = 0; i < header->rules_count; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        sum += strlen(ruleset_text(ruleset, rule->id)) + strlen(ruleset_text(ruleset, rule->resource)) +
               strlen(ruleset_text(ruleset, rule->origin)) + strlen(ruleset_text(ruleset, rule->ref_resource)) +
               strlen(ruleset_text(ruleset, rule->cost_header));
        for (uint32_t p = 0; p < rule->params_count; p++)
            sum += strlen(ruleset_text(ruleset, ruleset_params(ruleset)[rule->params_first + p].field));
        for (uint32_t p = 0; p < rule->items_count; p++)
            sum += strlen(ruleset_text(ruleset, ruleset_items(ruleset)[rule->items_first + p].object));
        for (uint32_t p = 0; p < rule->list_count; p++)
            sum += rule->canary == CANARY_PIDS
                       ? 1
                       : strlen(ruleset_text(ruleset, ruleset_list(ruleset)[rule->list_first + p]));
        if (rule->block_action)
            sum += strlen(ruleset_text(ruleset, ruleset_actions(ruleset)[rule->block_action - 1].name));
    }
    char name[64];
    uint32_t groups[4];
    struct naming_message request = {.method = "GET",
                                     .method_length = 3,
                                     .path = "/p/1",
                                     .path_length = 4,
                                     .host = "a.example.com",
                                     .host_length = 13};
    struct naming_rules rules = naming_rules_of(ruleset);
    static struct route_found found;
    sum += route_find(&rules, &request, ROUTE_READ_PLAIN, name, sizeof(name), &found);
    sum += route_priority(ruleset, name, strlen(name));
    for (uint32_t i = 0; i < ruleset_head(ruleset)->routes_count; i++) {
        const struct ruleset_route *route = &ruleset_routes(ruleset)[i];
        sum += ruleset_in_ranges(ruleset, route->ranges_first, route->ranges_count, (const unsigned char *)"\1\2\3\4",
                                 4);
    }
    return sum + route_groups(&rules, &found, groups, 4);
}

START_TEST(scribbled_rulesets_are_refused_or_harmless) {
    size_t size, accepted = 0, sum = 0;
    void *ruleset = make_ruleset(&size);
    uint64_t random = 88172645463325252ull;
    for (unsigned round = 0; round < 100000; round++) {
        char *copy = malloc(size);
        memcpy(copy, ruleset, size);
        for (unsigned change = 0; change <= round % 3; change++) {
            random = hash_mix(random ^ 0x9e3779b97f4a7c15ull, round + 1);
            size_t at = (size_t)(random >> 8) % size & ~(size_t)3;
            static const uint32_t values[] = {0, 1, 0xffffffff, 0x7fffffff, 0x80000000, 7, 0x7ff00000, 100000};
            uint32_t value = random & 0x80 ? values[random % 8] : (uint32_t)(random >> 32);
            memcpy(copy + at, &value, 4);
        }
        if (ruleset_check(copy, size)) {
            accepted++;
            sum += use_ruleset(copy);
        }
        free(copy);
    }
    ck_assert_uint_gt(accepted, 0); /* counts and the like may change */
    ck_assert_uint_lt(accepted, 100000);
    ck_assert_uint_gt(sum, 0);
    free(ruleset);
}
END_TEST

static const struct {
    size_t at, size;
    uint64_t value;
} rule_damages[] = {
#define DAMAGE(member, value)                                                                                          \
    { offsetof(struct rule, member), sizeof(((struct rule *)0)->member), value }
    DAMAGE(kind, RULE_KINDS),
    DAMAGE(mode, 3),
    DAMAGE(scope, 3),
    DAMAGE(match, 4),
    DAMAGE(side, 3),
    DAMAGE(priority, 3),
    DAMAGE(origin_kind, 3),
    DAMAGE(grade, 2),
    DAMAGE(strategy, 3),
    DAMAGE(behavior, 4),
    DAMAGE(recovery, 2),
    DAMAGE(cost_kind, 4),
    DAMAGE(penalty, 2),
    DAMAGE(canary, 4),
    DAMAGE(id, 1u << 30),
    DAMAGE(id, 0),
    DAMAGE(id_hash, 0),
    DAMAGE(resource, 0),
    DAMAGE(resource, 0xffffffff),
    DAMAGE(block_action, 2),
    DAMAGE(count, 0x7ff8000000000000),
    DAMAGE(count, 0xbff0000000000000),
    DAMAGE(count, 0x7ff0000000000000),
    DAMAGE(interval_ns, 0),
    DAMAGE(interval_ns, UINT64_MAX),
    DAMAGE(burst, 0xfff0000000000000),
    DAMAGE(params_count, 2),
    DAMAGE(params_first, 0xffffffff),
    DAMAGE(items_first, 2),
    DAMAGE(list_first, 99),
    DAMAGE(capacity, 0),
    DAMAGE(cost_number, 0),
    DAMAGE(stat_interval_ns, 0),
    DAMAGE(recovery_steps, 0),
    DAMAGE(strategy, STRATEGY_RELATE),
    DAMAGE(canary_percent, 101),
    DAMAGE(param_idx, 0x80000000),
};

START_TEST(each_damage_is_refused) {
    size_t size;
    char *ruleset = make_ruleset(&size);
    size_t rule = ruleset_head(ruleset)->rules_at + sizeof(struct rule); /* the flow rule */
    memcpy(ruleset + rule + rule_damages[_i].at, &rule_damages[_i].value, rule_damages[_i].size);
    ck_assert(!ruleset_check(ruleset, size));
    free(ruleset);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, rules_are_sorted_by_kind);
    tcase_add_test(tests, equal_texts_share);
    tcase_add_test(tests, a_bad_record_makes_no_ruleset);
    tcase_add_test(tests, too_large_makes_no_ruleset);
    tcase_add_test(tests, defaults_are_valid);
    tcase_add_test(tests, every_cut_is_refused);
    tcase_add_test(tests, scribbled_rulesets_are_refused_or_harmless);
    tcase_add_loop_test(tests, each_damage_is_refused, 0, sizeof(rule_damages) / sizeof(*rule_damages));
    return suite_run("ruleset", tests, NULL);
}
