/* rules/text/changed.c, and what defaults are written down as: rules whose meaning a version changed are pointed at. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "rules/text/rule_text.h"
#include "tests/unit/suite.h"

#define RULE "\"resource\":\"GET:/a\",\"count\":1"
#define STRICT "\"options\":{\"strictHttp\":\"defend\"},"
#define ADDRESS "\"paramFlow\":[{" RULE ",\"param\":{\"parseStrategy\":\"clientIp\"}}]"
#define HEADER "\"paramFlow\":[{" RULE ",\"param\":{\"parseStrategy\":\"header\",\"fieldName\":\"x\"}}]"

static void *read_rules(const char *text, struct rule_errors *errors) {
    size_t size;
    struct rule_document *document = rule_text_parse("t.json", text, strlen(text), NULL, errors);
    ck_assert_msg(document && !errors->warnings_count, "%s", text); /* of one file alone nothing is said */
    void *ruleset = rule_text_ruleset(&document, 1, "t", &size, errors);
    ck_assert_msg(ruleset && !errors->count, "%s", text);
    rule_document_free(document);
    return ruleset;
}

static const struct {
    const char *rules;
    const char *warnings[4]; /* "PATH words", in their order */
} files[] = {
    {"{}", {NULL}},
    {"{\"flow\":[{" RULE "}]," HEADER "}", {"$.flow[0] strictHttp"}}, /* once for all */
    {"{\"options\":{\"strictHttp\":\"defend\"},\"flow\":[{" RULE "}]," HEADER "}", {NULL}},
    {"{\"flow\":[{\"resource\":\"tcp::80\",\"count\":1}]}", {NULL}},
    {"{" STRICT "\"degrade\":[{" RULE ",\"timeWindow\":1},{" RULE ",\"grade\":2,\"timeWindow\":1}]}",
     {"$.degrade[0] rt"}},
    {"{" STRICT "\"system\":{\"qps\":1,\"avgRt\":1}}", {"$.system rt"}},
    {"{" STRICT "\"isolation\":[{" RULE "}],\"flow\":[{" RULE ",\"grade\":0}]}",
     {"$.isolation[0] upgraded", "$.flow[0] upgraded"}},
    {"{" STRICT ADDRESS "}", {"$.paramFlow[0] trustedProxies", "$.paramFlow[0] ipv6Prefix"}},
    {"{\"options\":{\"trustedProxies\":[],\"strictHttp\":\"reject\"}," ADDRESS "}", {"$.paramFlow[0] ipv6Prefix"}},
    {"{\"options\":{\"trustedProxies\":\"private\",\"ipv6Prefix\":64,\"strictHttp\":\"reject\"}," ADDRESS "}", {NULL}},
    {"{\"options\":{\"compat\":\"sentinel\",\"strictHttp\":\"reject\"},\"authority\":[{\"resource\":\"GET:/a\","
     "\"limitApp\":\"10.0.0.9\"}]}",
     {"$.authority[0] trustedProxies"}},
    {"{" STRICT "\"flow\":[{" RULE "},{" RULE ",\"limitApp\":\"10.0.0.1\"}]}", {"$.flow[1] trustedProxies"}},
    {"{" STRICT "\"flow\":[{" RULE ",\"limitApp\":\"other\"}]}", {"$.flow[0] trustedProxies"}},
    {"{" STRICT "\"gateway\":[{" RULE ",\"paramItem\":{\"parseStrategy\":0}}]}",
     {"$.gateway[0] trustedProxies", "$.gateway[0] ipv6Prefix"}},
    {"{\"adaptive\":{}}", {NULL}}, /* off */
    {"{\"adaptive\":{\"mode\":\"simulate\"}}", {"$.adaptive set algorithm"}},
    {"{\"adaptive\":{\"mode\":\"enforce\",\"algorithm\":\"delay\"}}", {NULL}},
    {"{\"adaptive\":{\"mode\":\"enforce\",\"algorithm\":\"cpu\"}}", {"$.adaptive set scope"}},
    {"{\"adaptive\":{\"mode\":\"enforce\",\"algorithm\":\"cpu\",\"scope\":\"app\"}}", {NULL}},
};
START_TEST(rules_whose_meaning_changed) {
    struct rule_errors errors = {0};
    size_t count = 0;
    free(read_rules(files[_i].rules, &errors));
    for (; count < 4 && files[_i].warnings[count]; count++) {
        const char *words = strchr(files[_i].warnings[count], ' ') + 1;
        ck_assert_msg(count < errors.warnings_count, "%s", files[_i].rules);
        const struct rule_error *warning = &errors.warnings[count];
        ck_assert_int_eq(strncmp(files[_i].warnings[count], warning->path, strlen(warning->path)), 0);
        ck_assert_ptr_nonnull(strstr(warning->message, words));
        ck_assert_ptr_nonnull(strstr(warning->message, "meaning changed since 0.1.0"));
        char *text = rule_warning_text(warning);
        ck_assert_ptr_nonnull(strstr(text, "t.json:1:"));
        ck_assert_ptr_nonnull(strstr(text, ": warning: $."));
        free(text);
    }
    ck_assert_uint_eq(errors.warnings_count, count);
    rule_errors_clear(&errors);
}
END_TEST

/* rules/text/adaptive.c */
#define OVERLOAD(fields) "{\"adaptive\":{\"mode\":\"enforce\"," fields "}}"
static const struct {
    const char *rules, *path, *words; /* NULL: no warning */
} overload[] = {
    {OVERLOAD("\"algorithm\":\"gradient\""), "$.adaptive.algorithm",
     "\"gradient\" no longer exists and means \"delay\": "
     "\"gradient\" rejected nothing on overloaded servers, whose requests wait in the socket, where it did not look"},
    {OVERLOAD("\"algorithm\":\"bbr\""), "$.adaptive.algorithm",
     "\"bbr\" no longer exists and means \"delay\": \"bbr\" "},
    {OVERLOAD("\"algorithm\":\"delay\",\"cpu\":0.5"), "$.adaptive.cpu", "no effect with algorithm \"delay\": set"},
    {OVERLOAD("\"algorithm\":\"cpu\",\"scope\":\"app\",\"targetMs\":5"), "$.adaptive.targetMs", "algorithm \"cpu\""},
    {OVERLOAD("\"algorithm\":\"delay\",\"targetMs\":5,\"intervalMs\":50,\"minPass\":0"), NULL, NULL},
    {"{\"adaptive\":{\"algorithm\":\"bbr\"}}", NULL, NULL}, /* off */
};
START_TEST(overload_without_effect) {
    struct rule_errors errors = {0};
    free(read_rules(overload[_i].rules, &errors));
    ck_assert_uint_eq(errors.warnings_count, overload[_i].path != NULL);
    if (overload[_i].path) {
        ck_assert_str_eq(errors.warnings[0].path, overload[_i].path);
        ck_assert_ptr_nonnull(strstr(errors.warnings[0].message, overload[_i].words));
    }
    rule_errors_clear(&errors);
}
END_TEST

/* What an older library cannot do it leaves out; and the rule is the same one, whatever it goes by. */
START_TEST(overload_in_the_ruleset) {
    struct rule_errors errors = {0};
    void *ruleset = read_rules(OVERLOAD("\"targetMs\":5,\"intervalMs\":50,\"minPass\":3"), &errors);
    const struct rule *rule = ruleset_rules(ruleset);
    ck_assert(rule->max_queue_ns == 5000000 && rule->stat_interval_ns == 50000000 && rule->min_requests == 3);
    ck_assert(rule->grade == ADAPTIVE_DELAY && rule->requires == RULE_FEATURE_DELAY);
    ck_assert_str_eq(ruleset_text(ruleset, rule->id), "adaptive");
    free(ruleset);
    rule_errors_clear(&errors);
    ruleset = read_rules(OVERLOAD("\"algorithm\":\"cpu\""), &errors);
    ck_assert(ruleset_rules(ruleset)->requires == 0);
    ck_assert_str_eq(ruleset_text(ruleset, ruleset_rules(ruleset)->id), "adaptive");
    free(ruleset);
    rule_errors_clear(&errors);
}
END_TEST

static const struct {
    const char *rules;
    unsigned count;
    const char *first, *last;
} health[] = {
    {"{}", 13, "/healthz", "/up"},
    {"{\"options\":{\"healthChecks\":[]}}", 0, "", ""},
    {"{\"options\":{\"healthChecks\":[\"/a\",\"/b/c.php\"]}}", 2, "/a", "/b/c.php"},
    {"{\"options\":{\"compat\":\"sentinel\"}}", 13, "/healthz", "/up"}, /* for adaptive protection */
};
START_TEST(health_checks_arrive) {
    struct rule_errors errors = {0};
    void *ruleset = read_rules(health[_i].rules, &errors);
    const struct ruleset_options *options = &ruleset_head(ruleset)->options;
    unsigned count = options->health_count;
    ck_assert_uint_eq(count, health[_i].count);
    if (count) {
        const uint32_t *paths = ruleset_list(ruleset) + options->health_first;
        ck_assert_str_eq(ruleset_text(ruleset, paths[0]), health[_i].first);
        ck_assert_str_eq(ruleset_text(ruleset, paths[count - 1]), health[_i].last);
    }
    free(ruleset);
    rule_errors_clear(&errors);
}
END_TEST

/* rules/text/fractions.c */
#define SETTLED "\"options\":{\"strictHttp\":\"defend\",\"upgraded\":\"hold\"},"
#define PARAM "\"param\":{\"parseStrategy\":\"header\",\"fieldName\":\"x\"}"
#define FRACTION(section, fields) "{" SETTLED "\"" section "\":[{\"resource\":\"GET:/a\"," fields "}]}"
static const struct {
    const char *rules, *path, *words; /* NULL: no warning */
} fractions[] = {
    {FRACTION("isolation", "\"count\":0.5"), "$.isolation[0].count", "every request is rejected"},
    {FRACTION("isolation", "\"count\":2.5"), "$.isolation[0].count", "2.5 counts as 2"},
    {FRACTION("isolation", "\"count\":2"), NULL, NULL},
    {FRACTION("isolation", "\"count\":0"), NULL, NULL},
    {FRACTION("flow", "\"count\":0.5,\"grade\":\"thread\""), "$.flow[0].count", "every request is rejected"},
    {FRACTION("flow", "\"count\":1.5"), NULL, NULL},
    {FRACTION("paramFlow",
              "\"count\":3,\"grade\":0," PARAM ",\"paramFlowItemList\":[{\"object\":\"v\",\"count\":1.5}]"),
     "$.paramFlow[0].paramFlowItemList[0].count", "1.5 counts as 1"},
    {"{" SETTLED "\"system\":[{\"maxThread\":0.5}]}", "$.system[0].maxThread", "every request is rejected"},
    {"{" SETTLED "\"system\":[{\"qps\":10.5}]}", "$.system[0].qps", "10.5 counts as 10"},
};
START_TEST(fractions_are_pointed_at) {
    struct rule_errors errors = {0};
    free(read_rules(fractions[_i].rules, &errors));
    ck_assert_uint_eq(errors.warnings_count, fractions[_i].path != NULL);
    if (fractions[_i].path) {
        ck_assert_str_eq(errors.warnings[0].path, fractions[_i].path);
        ck_assert_ptr_nonnull(strstr(errors.warnings[0].message, fractions[_i].words));
    }
    rule_errors_clear(&errors);
}
END_TEST

static const struct {
    const char *rules;
    unsigned ipv6, ipv4, proxies;
    const char *header;
} defaults[] = {
    {"{}", 64, 32, 2, ""},
    {"{\"options\":{\"compat\":\"sentinel\"}}", 128, 32, 2, ""},
    {"{\"options\":{\"ipv6Prefix\":56,\"ipv4Prefix\":24,\"trustedProxies\":[]}}", 56, 24, 0, ""},
    {"{\"options\":{\"trustedProxies\":\"private\"}}", 64, 32, ADDRESS_PRIVATE_RANGES, ""},
    {"{\"options\":{\"trustedProxies\":[\"private\",\"8.8.8.8\"]}}", 64, 32, ADDRESS_PRIVATE_RANGES + 1, ""},
    {"{\"options\":{\"clientIpHeader\":\"X-Real-IP\"}}", 64, 32, 2, "x-real-ip"},
};
START_TEST(what_is_written_down) {
    struct rule_errors errors = {0};
    void *ruleset = read_rules(defaults[_i].rules, &errors);
    const struct ruleset_options *options = &ruleset_head(ruleset)->options;
    ck_assert_uint_eq(options->ipv6_prefix, defaults[_i].ipv6);
    ck_assert_uint_eq(options->ipv4_prefix, defaults[_i].ipv4);
    ck_assert_uint_eq(options->own_proxies, 1);
    ck_assert_uint_eq(options->proxies_count, defaults[_i].proxies);
    ck_assert_str_eq(ruleset_text(ruleset, options->client_header), defaults[_i].header);
    /* a library that would believe other headers does not take the rules over */
    ck_assert_int_eq(ruleset_head(ruleset)->requires == RULE_FEATURE_CLIENT_HEADER, defaults[_i].header[0] != 0);
    free(ruleset);
    rule_errors_clear(&errors);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_loop_test(all, rules_whose_meaning_changed, 0, sizeof(files) / sizeof(files[0]));
    tcase_add_loop_test(all, fractions_are_pointed_at, 0, sizeof(fractions) / sizeof(fractions[0]));
    tcase_add_loop_test(all, overload_without_effect, 0, sizeof(overload) / sizeof(overload[0]));
    tcase_add_test(all, overload_in_the_ruleset);
    tcase_add_loop_test(all, health_checks_arrive, 0, sizeof(health) / sizeof(health[0]));
    tcase_add_loop_test(all, what_is_written_down, 0, sizeof(defaults) / sizeof(defaults[0]));
    return suite_run("rule_changes", all, NULL);
}
