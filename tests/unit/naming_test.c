/* rules/naming/names.c: all names that a message counts for, and their order. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/layout.h"
#include "rules/naming/route.h"
#include "rules/ruleset.h"
#include "tests/unit/ruleset_fixture.h"
#include "tests/unit/suite.h"

static char taken[2048];

static void take(void *context, const char *name, size_t length, const struct route_found *found, unsigned reading) {
    int *count = context;
    ck_assert_uint_eq(strlen(name), length);
    ck_assert_uint_lt(length, LAYOUT_RESOURCE_NAME_MAX);
    sprintf(taken + strlen(taken), "%s%s%s", *count ? " " : "", found ? "" : "=", name);
    ck_assert(!found || found->path_length < ROUTE_PATH_MAX);
    ck_assert_uint_lt(reading, ROUTE_READINGS);
    ++*count;
}

/* Names in order, those that are no route's with '=' before them. */
static const char *names_by(const struct naming_rules *rules, const char *protocol, const char *method,
                            const char *path) {
    static uint64_t room[NAMES_ROOM / sizeof(uint64_t)];
    struct naming_message message = {.protocol = protocol,
                                     .method = method,
                                     .method_length = strlen(method),
                                     .path = path,
                                     .path_length = path ? strlen(path) : 0};
    int count = 0;
    struct naming_sink sink = {take, &count, room};
    memset(room, 0x5a, sizeof(room)); /* what was in it before does not matter */
    taken[0] = '\0';
    ck_assert(names_of(rules, &message, &sink));
    return taken;
}

static const struct {
    const char *rules, *protocol, *method, *path, *names;
} cases[] = {
    {"{}", "http", "GET", "/a/17", "GET:/a/{id}"},
    /* other protocols have no path */
    {"{}", "redis", "GET", NULL, "=redis:GET"},
    {"{}", "sql", "SELECT shop.orders", NULL, "=sql:SELECT shop.orders"},
    {"{}", "redis", "A\r\nB\x7f", NULL, "=redis:A??B?"},
    {"{\"flow\":[{\"resource\":\"redis:*\",\"count\":1}]}", "redis", "SET", NULL, "=redis:SET"},
    /* routes, then groups */
    {"{\"resources\":[{\"kind\":\"api\",\"name\":\"shop\",\"predicateItems\":[{\"pattern\":\"/a/"
     "**\",\"matchStrategy\":\"prefix\"}]},"
     "{\"kind\":\"route\",\"pattern\":\"/a/{x}\"}]}",
     "http", "GET", "/a/b", "GET:/a/{x} =shop"},
    /* readings of a path that rules speak of, before any group */
    {"{\"resources\":[{\"kind\":\"api\",\"name\":\"all\",\"predicateItems\":[{\"pattern\":\"/"
     "**\",\"matchStrategy\":\"prefix\"}]}],"
     "\"flow\":[{\"resource\":\"GET:/a/b/{x}\",\"count\":1}]}",
     "http", "GET", "/a/b%2Fc", "GET:/a/b%2Fc GET:/a/b/{x} =all =all"},
    /* a rule's pattern is about the path itself, not about what would become of it */
    {"{\"flow\":[{\"resource\":\"GET:/n/1?\",\"count\":1}]}", "http", "GET", "/n/17", "GET:/n/17"},
    {"{\"flow\":[{\"resource\":\"GET:/n/1?\",\"count\":1}]}", "http", "GET", "/n/27", "GET:/n/{id}"},
    {"{}", "http", "AMETHODOFMORETHANTWENTYFOURBYTES", "/a", "{method}:/a"},
    {"{}", "http", "CONNECT", "example.com:443", "CONNECT:{authority}"},
    {"{}", "http", "OPTIONS", "*", "OPTIONS:*"},
};

/* As the engine does: a rule's glob. */
static bool misses(void *context, const char *name, size_t length, const char *other, size_t other_length) {
    const void *ruleset = context;
    const struct rule *rule = &ruleset_rules(ruleset)[0];
    const char *pattern = ruleset_text(ruleset, rule->resource);
    (void)length, (void)other_length;
    return strncmp(pattern, "GET:/n/1", 8) == 0 && strncmp(name, "GET:/n/1", 8) == 0 &&
           strncmp(other, "GET:/n/1", 8) != 0;
}

START_TEST(names_in_order) {
    void *ruleset = ruleset_of(cases[_i].rules, NULL);
    struct naming_rules rules = naming_rules_of(ruleset);
    if (ruleset_head(ruleset)->rules_count) {
        rules.misses = misses;
        rules.context = ruleset;
    }
    ck_assert_str_eq(names_by(&rules, cases[_i].protocol, cases[_i].method, cases[_i].path), cases[_i].names);
    free(ruleset);
}
END_TEST

static const struct {
    const char *host, *target, *name;
} calls[] = {
    {"payments:8080", "/charge/17", "POST:http://payments:8080/charge/{id}"},
    {"Payments.:80", "/charge/17", "POST:http://payments/charge/{id}"},
    {"payments", "/", "POST:http://payments/"},
    {"[::1]:81", "/a", "POST:http://[::1]:81/a"},
    {"other", "http://payments:8080/a?b", "POST:http://payments:8080/a"},
    {NULL, "/a", "POST:/a"},
};

/* What goes out is named with the host that it goes to. */
START_TEST(calls_have_their_host) {
    static uint64_t room[NAMES_ROOM / sizeof(uint64_t)];
    void *ruleset = ruleset_of("{}", NULL);
    struct naming_rules rules = naming_rules_of(ruleset);
    struct naming_message message = {.protocol = "http", .method = "POST", .method_length = 4, .with_host = true};
    message.path = calls[_i].target;
    message.path_length = strlen(calls[_i].target);
    message.host = calls[_i].host;
    message.host_length = calls[_i].host ? strlen(calls[_i].host) : 0;
    int count = 0;
    taken[0] = '\0';
    ck_assert(names_of(&rules, &message, &(struct naming_sink){take, &count, room}));
    ck_assert_str_eq(taken, calls[_i].name);
    free(ruleset);
}
END_TEST

#define TWO_HOSTS                                                                                                      \
    "{\"flow\":[{\"resource\":\"GET:http://a.test/x\",\"count\":1},{\"resource\":\"GET:http://b.test/"                 \
    "x\",\"count\":1}]}"
static const struct {
    const char *rules, *host, *target, *names;
} two_hosts[] = {
    {TWO_HOSTS, "b.test", "/x", "GET:http://b.test/x"},
    {TWO_HOSTS, "b.test:8x", "/x", "GET:http://b.test/x"},
    {TWO_HOSTS, "A.test:80", "http://a.test/x", "GET:http://a.test/x"},
    {TWO_HOSTS, "b.test", "http://a.test/x", "GET:http://a.test/x GET:http://b.test/x"},
    {TWO_HOSTS, "b.test", "http://c.test/x?y", "GET:/x GET:http://b.test/x"},
    {TWO_HOSTS, "b.test", "http://c.test/z%2F../x", "GET:/z%2F../x GET:/z%2F../x GET:http://b.test/x"},
    {TWO_HOSTS, NULL, "http://a.test/x", "GET:http://a.test/x"},
    {TWO_HOSTS, "b.test", "http://a.test", "GET:/ GET:/"},
    {"{}", "b.test", "http://a.test/x", "GET:/x"},
};

/* The target's host, and that of Host: servers go by either. */
START_TEST(hosts_that_differ) {
    static uint64_t room[NAMES_ROOM / sizeof(uint64_t)];
    void *ruleset = ruleset_of(two_hosts[_i].rules, NULL);
    struct naming_rules rules = naming_rules_of(ruleset);
    struct naming_message message = {.protocol = "http", .method = "GET", .method_length = 3};
    message.path = two_hosts[_i].target;
    message.path_length = strlen(two_hosts[_i].target);
    message.host = two_hosts[_i].host;
    message.host_length = two_hosts[_i].host ? strlen(two_hosts[_i].host) : 0;
    int count = 0;
    taken[0] = '\0';
    ck_assert(names_of(&rules, &message, &(struct naming_sink){take, &count, room}));
    ck_assert_str_eq(taken, two_hosts[_i].names);
    free(ruleset);
}
END_TEST

/* However long, a name fits, and two long ones stay two. */
START_TEST(long_names) {
    void *ruleset = ruleset_of("{}", NULL);
    struct naming_rules rules = naming_rules_of(ruleset);
    char verb[4096], one[2048];
    memset(verb, 'x', sizeof(verb));
    verb[sizeof(verb) - 1] = '\0';
    snprintf(one, sizeof(one), "%s", names_by(&rules, "redis", verb, NULL));
    verb[sizeof(verb) - 2] = 'y';
    ck_assert_str_ne(names_by(&rules, "redis", verb, NULL), one);
    free(ruleset);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("naming");
    tcase_add_loop_test(tests, names_in_order, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_loop_test(tests, calls_have_their_host, 0, sizeof(calls) / sizeof(calls[0]));
    tcase_add_loop_test(tests, hosts_that_differ, 0, sizeof(two_hosts) / sizeof(two_hosts[0]));
    tcase_add_test(tests, long_names);
    return suite_run("naming", tests, NULL);
}
