#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/pattern.h"
#include "rules/ruleset.h"
#include "rules/layout.h"
#include "rules/naming/route.h"
#include "tests/unit/ruleset_fixture.h"
#include "tests/unit/suite.h"

static struct route_found seen;

static struct naming_message request_of(const char *method, const char *target, const char *host) {
    struct naming_message message = {.protocol = "http", .method = method, .path = target, .host = host};
    message.method_length = strlen(method);
    message.path_length = strlen(target);
    message.host_length = host ? strlen(host) : 0;
    return message;
}

static const char *name_by(const struct naming_rules *rules, const char *method, const char *target, const char *host) {
    static char name[LAYOUT_RESOURCE_NAME_MAX];
    struct naming_message request = request_of(method, target, host);
    size_t length = route_find(rules, &request, ROUTE_READ_PLAIN, name, sizeof(name), &seen);
    ck_assert_uint_eq(length, strlen(name));
    return name;
}

static const char *name_of(const void *ruleset, const char *method, const char *target) {
    struct naming_rules rules = naming_rules_of(ruleset);
    return name_by(&rules, method, target, NULL);
}

static const struct {
    const char *target, *path;
} paths[] = {
    {"/", "/"},
    {"", "/"},
    {"/a?b=c", "/a"},
    {"/a#b", "/a"},
    {"/a?b#c", "/a"},
    {"?x", "/"},
    {"http://host/a/b?c", "/a/b"},
    {"http://host", "/"},
    {"http://host?x", "/"},
    {"HTTPS://h:1/a", "/a"},
    {"/http://x", "/http:/x"},
    {"//a///b", "/a/b"},
    {"/a/./b", "/a/b"},
    {"/a/../b", "/b"},
    {"/../../a", "/a"},
    {"/a/b/..", "/a/"},
    {"/a/b/.", "/a/b/"},
    {"/a/b/../", "/a/"},
    {"/a//../b", "/b"},
    {"/..", "/"},
    {"/.", "/"},
    {"/...", "/..."},
    {"/a/..b", "/a/..b"},
    {"/.a", "/.a"},
    {"/%61%62", "/ab"},
    {"/%2e%2e/a", "/a"},
    {"/a/%2E/b", "/a/b"},
    {"/a/.%2e/b", "/b"},
    {"/a%2fb", "/a%2Fb"},
    {"/%c3%a9", "/%C3%A9"},
    {"/\xc3\xa9", "/%C3%A9"},
    {"/%7euser", "/~user"},
    {"/a%", "/a%25"},
    {"/a%4", "/a%254"},
    {"/a%zz", "/a%25zz"},
    {"/a%2525", "/a%2525"},
    {"/a b", "/a%20b"},
    {"/a%21", "/a!"},
    {"/{id}", "/%7Bid%7D"},
    {"/a\\b", "/a%5Cb"},
    {"/a%00b", "/a%00b"},
    {"/a;b=c", "/a;b=c"},
    {"/a/", "/a/"},
    {"*", "*"},
    {"a", "/a"},
    {"/%3f%23", "/%3F%23"},
};

START_TEST(paths_have_one_spelling) {
    char path[ROUTE_PATH_MAX];
    size_t length = route_path(paths[_i].target, strlen(paths[_i].target), path, sizeof(path));
    ck_assert_str_eq(path, paths[_i].path);
    ck_assert_uint_eq(length, strlen(path));
    char again[ROUTE_PATH_MAX]; /* a path in that spelling keeps it */
    if (!strstr(path, "%25")) {
        route_path(path, length, again, sizeof(again));
        ck_assert_str_eq(again, path);
    }
}
END_TEST

START_TEST(small_buffers_are_respected) {
    const char *target = "/abc/%C3%A9/../def/42?x";
    for (size_t size = 1; size < 40; size++) {
        char *path = malloc(size), *name = malloc(size);
        void *ruleset = ruleset_of("{}", NULL);
        ck_assert_uint_lt(route_path(target, strlen(target), path, size), size);
        ck_assert_uint_lt(strlen(path), size);
        struct naming_message request = request_of("GET", target, NULL);
        struct naming_rules rules = naming_rules_of(ruleset);
        ck_assert_uint_lt(route_find(&rules, &request, ROUTE_READ_PLAIN, name, size, &seen), size);
        ck_assert_uint_lt(strlen(name), size);
        free(ruleset);
        free(path);
        free(name);
    }
}
END_TEST

static const struct {
    const char *target, *name;
} learned[] = {
    {"/", "GET:/"},
    {"/product/42", "GET:/product/{id}"},
    {"/product/42/", "GET:/product/{id}/"},
    {"/a/1/b/2", "GET:/a/{id}/b/{id}"},
    {"/v1/users", "GET:/v1/users"},
    {"/product/42.json", "GET:/product/{id}.json"},
    {"/1.0/x", "GET:/1.0/x"},
    {"/u/123e4567-e89b-12d3-a456-426614174000", "GET:/u/{id}"},
    {"/u/123e4567-e89b-12d3-a456-42661417400", "GET:/u/123e4567-e89b-12d3-a456-42661417400"},
    {"/c/deadbeefdeadbee1", "GET:/c/{id}"},
    {"/c/deadbeef", "GET:/c/deadbeef"},
    {"/d/2024-01-31", "GET:/d/{id}"},
    {"/t/aGVsbG8gd29ybGQxMjM0NTY", "GET:/t/{id}"},
    {"/t/01ARZ3NDEKTSV4RRFFQ69G5FAV", "GET:/t/{id}"},
    {"/internationalization-settings", "GET:/internationalization-settings"},
    {"/how-to-install-it", "GET:/how-to-install-it"},
    {"/x/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "GET:/x/{id}"},
    {"/product/42?id=7", "GET:/product/{id}"},
};

START_TEST(ids_collapse) {
    void *ruleset = ruleset_of("{}", NULL);
    ck_assert_str_eq(name_of(ruleset, "GET", learned[_i].target), learned[_i].name);
    free(ruleset);
}
END_TEST

START_TEST(names_are_bounded) {
    void *ruleset = ruleset_of("{}", NULL);
    char target[9000];
    size_t length = 0;
    while (length < 8000)
        length += (size_t)sprintf(target + length, "/some-longer-words-%c", 'a' + (int)(length % 26));
    char first[LAYOUT_RESOURCE_NAME_MAX];
    strcpy(first, name_of(ruleset, "GET", target));
    ck_assert_uint_eq(strlen(first), LAYOUT_RESOURCE_NAME_MAX - 1);
    ck_assert_ptr_nonnull(strchr(first, '~'));
    target[290] = 'X';
    ck_assert_str_ne(first, name_of(ruleset, "GET", target));
    ck_assert_str_eq(name_of(ruleset, "AVERYLONGMETHODNAMETHATNOBODYHAS", "/a"), "{method}:/a");
    ck_assert_str_eq(name_of(ruleset, "CONNECT", "example.org:443"), "CONNECT:{authority}");
    ck_assert_str_eq(name_of(ruleset, "OPTIONS", "*"), "OPTIONS:*");
    free(ruleset);
}
END_TEST

static const char routes_text[] =
    "{\"resources\": ["
    "{\"kind\": \"route\", \"name\": \"any-product\", \"pattern\": \"/product/{sku}\"},"
    "{\"kind\": \"route\", \"name\": \"post-product\", \"pattern\": \"/product/{sku}\", \"method\": \"POST\"},"
    "{\"kind\": \"route\", \"name\": \"best\", \"pattern\": \"/product/best\", \"matchStrategy\": \"exact\"},"
    "{\"kind\": \"route\", \"name\": \"files\", \"pattern\": \"/files/**\"},"
    "{\"kind\": \"route\", \"name\": \"rulesets\", \"pattern\": \"/img/*/thumb-{n}.png\"},"
    "{\"kind\": \"route\", \"name\": \"admin\", \"pattern\": \"/admin\", \"matchStrategy\": \"prefix\"},"
    "{\"kind\": \"route\", \"pattern\": \"/caf\xc3\xa9/{x}/menu\"},"
    "{\"kind\": \"api\", \"name\": \"my_api\", \"predicateItems\": [{\"pattern\": \"/product/baz\"}, {\"pattern\": "
    "\"/product/foo/**\", \"matchStrategy\": 1}]},"
    "{\"kind\": \"api\", \"name\": \"all\", \"predicateItems\": [{\"pattern\": \"/**\", \"matchStrategy\": 1}]}],"
    "\"flow\": [{\"resource\": \"GET:/user/me\", \"count\": 1}, {\"resource\": \"GET:/user/{name}\", \"count\": 1},"
    "{\"resource\": \"GET:/order/42\", \"count\": 1}, {\"resource\": \"GET:/stra\xc3\x9f"
    "e\", \"count\": 1}, {\"resource\": \"GET:/out/7\", \"side\": \"outbound\", \"count\": 1}]}";

static const struct {
    const char *method, *target, *name;
} found[] = {
    {"GET", "/product/abc", "any-product"},
    {"POST", "/product/abc", "any-product"},
    {"GET", "/product/best", "best"},
    {"GET", "/product/%62est?x", "best"},
    {"GET", "/x/..//product/./best", "best"},
    {"GET", "http://h/product/best", "best"},
    {"GET", "/product/", "GET:/product/"},
    {"GET", "/product/a/b", "GET:/product/a/b"},
    {"GET", "/files", "files"},
    {"GET", "/files/", "files"},
    {"GET", "/files/a/b/c", "files"},
    {"GET", "/filesx", "GET:/filesx"},
    {"GET", "/img/a/thumb-12.png", "rulesets"},
    {"GET", "/img/a/b/thumb-12.png", "GET:/img/a/b/thumb-12.png"},
    {"GET", "/img/a/thumb-.png", "GET:/img/a/thumb-.png"},
    {"GET", "/administrator", "admin"},
    {"GET", "/admin/x", "admin"},
    {"PUT", "/caf%c3%a9/1/menu", "PUT:/caf%C3%A9/{x}/menu"},
    {"GET", "/user/me", "GET:/user/me"},
    {"GET", "/user/bob", "GET:/user/{name}"},
    {"POST", "/user/bob", "POST:/user/bob"},
    {"GET", "/order/42", "GET:/order/42"},
    {"GET", "/order/43", "GET:/order/{id}"},
    {"HEAD", "/order/42", "HEAD:/order/{id}"},
    {"GET", "/stra%C3%9fe",
     "GET:/stra\xc3\x9f"
     "e"},
    {"GET", "/out/7", "GET:/out/{id}"},
    {"GET", "/product%2Fbest", "GET:/product%2Fbest"},
    {"GET", "/user/a%2Fb", "GET:/user/{name}"},
};

START_TEST(routes_are_found) {
    void *ruleset = ruleset_of(routes_text, NULL);
    ck_assert_str_eq(name_of(ruleset, found[_i].method, found[_i].target), found[_i].name);
    free(ruleset);
}
END_TEST

static size_t groups_of(const void *ruleset, const char *target, const char **ret_first) {
    uint32_t names[4];
    struct naming_rules rules = naming_rules_of(ruleset);
    name_of(ruleset, "GET", target);
    size_t count = route_groups(&rules, &seen, names, 4);
    *ret_first = count ? ruleset_text(ruleset, names[0]) : "";
    return count;
}

START_TEST(groups_are_found) {
    void *ruleset = ruleset_of(routes_text, NULL);
    const char *first;
    ck_assert_uint_eq(groups_of(ruleset, "/product/baz?x", &first), 2);
    ck_assert_str_eq(first, "my_api");
    ck_assert_uint_eq(groups_of(ruleset, "/product/foo", &first), 2);
    ck_assert_uint_eq(groups_of(ruleset, "/product/foo/1/2", &first), 2);
    ck_assert_uint_eq(groups_of(ruleset, "/product/foobar", &first), 1);
    ck_assert_str_eq(first, "all");
    ck_assert_uint_eq(groups_of(ruleset, "/product/baz/", &first), 1);
    uint32_t one[1];
    struct naming_rules rules = naming_rules_of(ruleset);
    name_of(ruleset, "GET", "/product/baz");
    ck_assert_uint_eq(route_groups(&rules, &seen, one, 1), 1);
    ck_assert_str_eq(ruleset_text(ruleset, one[0]), "my_api");
    free(ruleset);
}
END_TEST

START_TEST(how_it_was_found) {
    void *ruleset = ruleset_of(routes_text, NULL);
    name_of(ruleset, "GET", "/product/a%2Db?x");
    ck_assert_int_eq(seen.how, ROUTE_HOW_CONFIGURED);
    ck_assert_str_eq(seen.path, "/product/a-b");
    name_of(ruleset, "GET", "/order/43/x/7");
    ck_assert_int_eq(seen.how, ROUTE_HOW_LEARNED);
    ck_assert_uint_eq(seen.collapsed, 2);
    name_of(ruleset, "GET", "/user/me");
    ck_assert_int_eq(seen.how, ROUTE_HOW_RULE);
    name_of(ruleset, "GET", "/user/al");
    ck_assert_int_eq(seen.how, ROUTE_HOW_TEMPLATE);
    free(ruleset);
}
END_TEST

static const struct {
    const char *pattern, *path;
    bool matches;
} globs[] = {
    {"/a", "/a", true},
    {"/a", "/ab", false},
    {"/*", "/a", true},
    {"/*", "/", true},
    {"/*", "/a/b", false},
    {"/**", "/a/b", true},
    {"/**", "", true},
    {"/a/**/z", "/a/b/c/z", true},
    {"/a/**/z", "/a/z", false},
    {"/{x}", "/", false},
    {"/{x}", "/a", true},
    {"/{x}", "/a/b", false},
    {"/{x}-{y}", "/a-b", true},
    {"/{x}-{y}", "/a-", false},
    {"/a?c", "/abc", true},
    {"/a?c", "/a/c", false},
    {"/*a*b", "/xaxxab", true},
    {"/*a*b", "/xaxxabc", false},
    {"/{", "/{", true},
    {"/{}", "/{}", true},
    {"**", "/a/b", true},
    {"/**/*.js", "/a/b/c.js", true},
    {"/**/*.js", "/a/b/c.js/d", false},
    {"/*/b/**/d*e", "/a/b/x/b/dxe/dye", true},
    {"/***", "/a/b", true},
    {"", "", true},
    {"", "a", false},
};

START_TEST(globs_match) {
    ck_assert_msg(route_glob(globs[_i].pattern, globs[_i].path, strlen(globs[_i].path)) == globs[_i].matches, "%s %s",
                  globs[_i].pattern, globs[_i].path);
}
END_TEST

/* The same, tried out in every possible way. */
static bool glob_slowly(const char *pattern, const char *path) {
    const char *end;
    if (strcmp(pattern, "/**") == 0 && !*path)
        return true;
    if (pattern[0] == '*' && pattern[1] == '*') {
        for (;; path++) {
            if (glob_slowly(pattern + 2, path))
                return true;
            if (!*path)
                return false;
        }
    }
    bool one = pattern[0] == '{' && pattern[1] == 'x' && pattern[2] == '}';
    if (one && (!*path || *path == '/'))
        return false;
    if (pattern[0] == '*' || one) {
        end = pattern + (one ? 3 : 1);
        for (path += one;; path++) {
            if (glob_slowly(end, path))
                return true;
            if (!*path || *path == '/')
                return false;
        }
    }
    if (!*pattern || !*path)
        return !*pattern && !*path;
    return (*pattern == *path || (*pattern == '?' && *path != '/')) && glob_slowly(pattern + 1, path + 1);
}

START_TEST(globs_match_as_if_tried_in_every_way) {
    static const char *const pieces[] = {"*", "**", "{x}", "?", "/", "a", "b", "/**"};
    uint32_t random = 12345, matches = 0;
    for (unsigned round = 0; round < 200000; round++) {
        char pattern[40] = "", path[16] = "";
        for (unsigned i = 0; i < 1 + round % 6; i++) {
            random = random * 1664525 + 1013904223;
            strcat(pattern, pieces[random >> 24 & 7]);
        }
        unsigned length = round / 7 % 10;
        for (unsigned i = 0; i < length; i++) {
            random = random * 1664525 + 1013904223;
            path[i] = "ab/a"[random >> 24 & 3];
        }
        bool expected = glob_slowly(pattern, path);
        ck_assert_msg(route_glob(pattern, path, length) == expected, "%s %s", pattern, path);
        matches += expected;
    }
    ck_assert_uint_gt(matches, 1000);
}
END_TEST

static int match_regex(void *context, const struct pattern *pattern, const char *text, size_t length) {
    static _Alignas(16) char scratch[PATTERN_SCRATCH];
    (void)context;
    return pattern_try(pattern, scratch, text, length) != PATTERN_NO;
}

START_TEST(regular_expressions_need_compiling) {
    struct ruleset_builder *builder = ruleset_builder_new("a");
    struct ruleset_route route = {.kind = ROUTE_PATTERN,
                                  .match = MATCH_REGEX,
                                  .name = ruleset_add_text(builder, "r", 1),
                                  .pattern = ruleset_add_text(builder, "/r/[a-c]+", 9)};
    size_t size;
    ruleset_add_route(builder, &route);
    void *ruleset = ruleset_builder_finish(builder, &size);
    static char memory[1 << 16];
    struct pattern_arena arena = {.memory = memory, .size = sizeof(memory)};
    struct route_regexes *table = malloc(route_regexes_size(ruleset));
    struct naming_rules rules = naming_rules_of(ruleset);
    rules.regexes = route_regexes_compile(table, &arena, ruleset);
    table->match = match_regex;
    ck_assert_str_eq(name_by(&rules, "GET", "/r/abc", NULL), "r");
    ck_assert_str_eq(name_by(&rules, "GET", "/r/abd", NULL), "GET:/r/abd");
    ck_assert(!seen.undecided);
    ck_assert_str_eq(name_of(ruleset, "GET", "/r/abc"), "GET:/r/abc");
    free(table);
    free(ruleset);
}
END_TEST

/* What a server may take the path for, by reading: plain, %2F is a slash, segments end at ';', both; [4] no slash after
 * final dots, [8] a host at the beginning, [16] a scheme there, [32] cut at what may be an end. */
static const struct {
    const char *target, *paths[ROUTE_READINGS];
} readings[] = {
    {"/a/b", {"/a/b"}},
    {"/a?b;c%2F", {"/a"}},
    {"/a%2Fb", {"/a%2Fb", "/a/b", "/a%2Fb", "/a/b"}},
    {"/a%2f%2Fb", {"/a%2F%2Fb", "/a/b", "/a%2F%2Fb", "/a/b"}},
    {"/a%2F..%2Fb", {"/a%2F..%2Fb", "/b", "/a%2F..%2Fb", "/b"}},
    {"/a;x=1/b;y", {"/a;x=1/b;y", "/a;x=1/b;y", "/a/b", "/a/b"}},
    {"/a%3Bx/b", {"/a;x/b", "/a;x/b", "/a/b", "/a/b"}},
    {"/a/..;/b", {"/a/..;/b", "/a/..;/b", "/b", "/b"}},
    {"/a/;x/b/", {"/a/;x/b/", "/a/;x/b/", "/a/b/", "/a/b/"}},
    {"/a;%2Fb", {"/a;%2Fb", "/a;/b", "/a", "/a/b"}},
    {"/a%2F..;", {"/a%2F..;", "/a/..;", "/a%2F..", "/"}},
    {"/a\\b", {"/a%5Cb", "/a/b", "/a%5Cb", "/a/b"}},
    {"/a/.", {"/a/", [4] = "/a", [12] = "/a"}},
    {"/a/b/..", {"/a/", [4] = "/a", [12] = "/a"}},
    {"/a/.?x", {"/a/", [4] = "/a", [12] = "/a"}},
    {"/a/../", {"/"}},
    {"/..", {"/"}},
    {"/a/b/", {"/a/b/"}},
    {"//h/a", {"/h/a", [8] = "/a", [12] = "/a"}},
    {"/\\//u@h:1/a", {"/%5C/u@h:1/a", "/u@h:1/a", "/%5C/u@h:1/a", "/u@h:1/a", [8] = "/a", [12] = "/a"}},
    {"//h", {"/h", [8] = "/", [12] = "/"}},
    {"//h/a/.", {"/h/a/", [4] = "/h/a", [8] = "/a/", [12] = "/a"}},
    {"http://x//h/a", {"/h/a"}},
    {"http:/a", {"/http:/a", [16] = "/a"}},
    {"x_y:/a/b?c:/d", {"/x_y:/a/b", [16] = "/a/b"}},
    {"x:a", {"/x:a", [16] = "/a"}},
    {"x_y://h/a", {"/x_y:/h/a", [16] = "/h/a", [24] = "/a"}},
    {"x:\\a",
     {"/x:%5Ca", "/x:/a", [3] = "/x:/a", [5] = "/x:/a", [7] = "/x:/a", [9] = "/x:/a", [11] = "/x:/a", [13] = "/x:/a",
      [15] = "/x:/a", [16] = "/%5Ca", [17] = "/a", [19] = "/a", [21] = "/a", [23] = "/a", [25] = "/a", [27] = "/a",
      [29] = "/a", [31] = "/a"}},
    {"/a:b", {"/a:b"}},
    {"?x:/a", {"/"}},
    {"/a%00b", {"/a%00b", [32] = "/a"}},
    {"/a\xa0 b", {"/a%A0%20b", [32] = "/a"}},
    {"/a/\x85/c", {"/a/%85/c", [32] = "/a/"}},
};

START_TEST(paths_are_read) {
    char path[64];
    unsigned others, all = 0;
    for (unsigned how = 0; how < ROUTE_READINGS; how++) {
        const char *const *paths = readings[_i].paths;
        static const unsigned masks[] = {63, 31, 12, 24, 16, 32, 3};
        const char *expected = NULL;
        for (size_t i = 0; i < sizeof(masks) / sizeof(*masks) && !expected; i++)
            expected = how & masks[i] ? paths[how & masks[i]] : NULL;
        expected = expected ? expected : paths[0];
        size_t length = route_read(readings[_i].target, strlen(readings[_i].target), how, path, sizeof(path), &others);
        ck_assert_msg(strcmp(path, expected) == 0 && length == strlen(path), "%s read %u: %s", readings[_i].target, how,
                      path);
        all = how ? all : others;
    }
    for (unsigned how = 1; how < ROUTE_READINGS; how++) /* what makes a difference is told */
        ck_assert((how & all) == how || !readings[_i].paths[how] ||
                  strcmp(readings[_i].paths[how], readings[_i].paths[how & all] ? readings[_i].paths[how & all] : "") ==
                      0);
}
END_TEST

/* Dots behind more than there is room for are resolved all the same; the end of what stays too long is {id}. */
START_TEST(long_paths_are_resolved) {
    static char target[40000];
    char path[ROUTE_PATH_MAX];
    for (size_t depth = 1; depth < 3000; depth += 53)
        for (size_t width = 1; width < 3000; width = width * 5 + 1) {
            size_t length = 0, segments = depth * (width + 1) < 20000 ? depth : 20000 / (width + 1);
            length += (size_t)sprintf(target, "/x");
            for (size_t i = 0; i < segments; i++) {
                target[length++] = '/';
                memset(target + length, 'a', width);
                length += width;
            }
            size_t there = length;
            for (size_t i = 0; i < segments; i++)
                length += (size_t)sprintf(target + length, "/..");
            length += (size_t)sprintf(target + length, "/y");
            ck_assert_uint_eq(route_path(target, length, path, sizeof(path)), 4);
            ck_assert_str_eq(path, "/x/y");
            size_t cut = route_path(target, there, path, sizeof(path));
            ck_assert_uint_lt(cut, sizeof(path));
            bool fits = there + 20 < sizeof(path);
            ck_assert_msg(fits ? cut == there : cut < there && strcmp(path + cut - 4, ROUTE_CUT) == 0, "%zu %zu", depth,
                          width);
        }
}
END_TEST

static const struct {
    const char *host, *spelling;
} hosts[] = {
    {"shop.example.com", "shop.example.com"},
    {"Shop.EXAMPLE.com", "shop.example.com"},
    {"a.b:8080", "a.b"},
    {"a.b.", "a.b"},
    {"a.b.:80", "a.b"},
    {"a.b:", "a.b"},
    {"[::1]", "[::1]"},
    {"[FE80::1]:443", "[fe80::1]"},
    {"me@a.b:1", "a.b"},
    {"", ""},
    {".", ""},
    {":80", ""},
};

START_TEST(hosts_have_one_spelling) {
    char spelling[ROUTE_HOST_MAX];
    ck_assert_uint_eq(route_host(hosts[_i].host, strlen(hosts[_i].host), spelling), strlen(hosts[_i].spelling));
    ck_assert_str_eq(spelling, hosts[_i].spelling);
}
END_TEST

START_TEST(hosts_choose_routes) {
    void *ruleset = ruleset_of(
        "{\"resources\": ["
        "{\"kind\": \"route\", \"name\": \"exact\", \"pattern\": \"/a\"},"
        "{\"kind\": \"route\", \"name\": \"below\", \"pattern\": \"/**\", \"host\": \"*.b.c\"},"
        "{\"kind\": \"route\", \"name\": \"deeper\", \"pattern\": \"/**\", \"host\": \"*.a.b.c\"},"
        "{\"kind\": \"route\", \"pattern\": \"/**\", \"host\": \"A.b.c.\"}],"
        "\"flow\": [{\"resource\": \"GET:http://X.y/Cart\", \"count\": 1}, {\"resource\": \"GET:/Cart\", \"count\": 1},"
        "{\"resource\": \"GET:http://x.y/{z}\", \"count\": 1}]}",
        NULL);
    static const struct {
        const char *host, *target, *name;
    } table[] = {
        {"x.b.c", "/a", "below"},
        {"a.b.c:80", "/a", "GET:http://a.b.c/**"},
        {"z.a.b.c", "/a", "deeper"},
        {"b.c", "/a", "exact"},
        {"xb.c", "/a", "exact"},
        {"x.y", "/Cart", "GET:http://X.y/Cart"},
        {"y", "/Cart", "GET:/Cart"},
        {"X.Y", "/q", "GET:http://x.y/{z}"},
        {"y", "http://x.y/Cart", "GET:http://X.y/Cart"},
        {NULL, "/q", "GET:/q"},
    };
    struct naming_rules rules = naming_rules_of(ruleset);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        ck_assert_str_eq(name_by(&rules, "GET", table[i].target, table[i].host), table[i].name);
    free(ruleset);
}
END_TEST

/* The first ones keep their names, at every level on its own; afterwards all new ones are one. */
START_TEST(siblings_that_proliferate_are_one) {
    static uint64_t slots[4096];
    void *ruleset = ruleset_of("{}", NULL);
    struct naming_siblings siblings = {.slots = slots, .count = 4096, .limit = 10, .seed = 99};
    struct naming_rules rules = naming_rules_of(ruleset);
    rules.siblings = &siblings;
    char target[64], want[80];
    unsigned first = 0;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 40; i++) {
            const char *tail = i % 2 ? "/edit" : "";
            sprintf(target, "/blog/post-%c%c%s", 'a' + i / 26, 'a' + i % 26, tail);
            if (i < 10)
                sprintf(want, "GET:%s", target);
            else
                sprintf(want, "GET:/blog/{*}%s", tail);
            ck_assert_str_eq(name_by(&rules, "GET", target, NULL), want);
            first += seen.proliferated;
        }
    ck_assert_uint_eq(first, 1);
    ck_assert_str_eq(name_by(&rules, "POST", "/blog/post-zz", NULL), "POST:/blog/{*}");
    ck_assert_str_eq(name_by(&rules, "GET", "/blog/4711", NULL), "GET:/blog/{*}"); /* {id} would be one more */
    ck_assert_str_eq(name_by(&rules, "GET", "/shop/post-zz", NULL), "GET:/shop/post-zz");
    memset(slots, 0x55, sizeof(slots)); /* the table is full of others: nothing new has a name */
    ck_assert_str_eq(name_by(&rules, "GET", "/x/y", NULL), "GET:/{*}/{*}");
    free(ruleset);
}
END_TEST

enum { THREADS = 4, WORDS = 400 };
struct learner {
    struct naming_rules rules;
    unsigned seed, first;
    bool kept[WORDS]; /* its own name was given at least once */
};

static void *learn_words(void *argument) {
    struct learner *learner = argument;
    struct route_found *found = malloc(sizeof(*found));
    for (unsigned i = 0; i < WORDS * 4; i++) {
        unsigned word = (i * 7 + learner->seed * 101) % WORDS;
        char target[32], name[64];
        sprintf(target, "/blog/w-%c%c%c", 'a' + word / 26 / 26, 'a' + word / 26 % 26, 'a' + word % 26);
        struct naming_message request = request_of("GET", target, NULL);
        route_find(&learner->rules, &request, ROUTE_READ_PLAIN, name, sizeof(name), found);
        learner->kept[word] |= strcmp(name, "GET:/blog/{*}") != 0;
        learner->first += found->proliferated;
    }
    free(found);
    return NULL;
}

/* However many learn at once: never more names than the limit, each of them the same for all, and one event. */
START_TEST(threads_share_the_siblings) {
    static uint64_t slots[4096];
    void *ruleset = ruleset_of("{}", NULL);
    struct naming_siblings siblings = {.slots = slots, .count = 4096, .limit = 50, .seed = 7};
    static struct learner learners[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        learners[i] = (struct learner){.rules = naming_rules_of(ruleset), .seed = i};
        learners[i].rules.siblings = &siblings;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, learn_words, &learners[i]), 0);
    }
    unsigned kept = 0, first = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        first += learners[i].first;
    }
    for (unsigned word = 0; word < WORDS; word++)
        kept += learners[0].kept[word] || learners[1].kept[word] || learners[2].kept[word] || learners[3].kept[word];
    ck_assert_uint_le(kept, 50);
    ck_assert_uint_ge(kept, 50 - THREADS); /* a number that two took at once may be lost for a moment */
    ck_assert_uint_eq(first, 1);
    free(ruleset);
}
END_TEST

START_TEST(hopeless_expressions_match) {
    struct ruleset_builder *builder = ruleset_builder_new("a");
    static const char *const patterns[] = {"/(a+)+[bd]", "/(x|x)*y?z|/(x*)*q", "/((a|b)*c)*[de]"};
    size_t size;
    for (unsigned i = 0; i < 3; i++) {
        char name[2] = {(char)('0' + i)};
        struct ruleset_route route = {.kind = ROUTE_PATTERN,
                                      .match = MATCH_REGEX,
                                      .name = ruleset_add_text(builder, name, 1),
                                      .pattern = ruleset_add_text(builder, patterns[i], strlen(patterns[i]))};
        ruleset_add_route(builder, &route);
    }
    void *ruleset = ruleset_builder_finish(builder, &size);
    static char memory[1 << 16], target[2000];
    struct pattern_arena arena = {.memory = memory, .size = sizeof(memory)};
    struct route_regexes *table = malloc(route_regexes_size(ruleset));
    struct naming_rules rules = naming_rules_of(ruleset);
    rules.regexes = route_regexes_compile(table, &arena, ruleset);
    table->match = match_regex;
    memset(target, 'a', sizeof(target) - 1);
    target[0] = '/';
    ck_assert_str_eq(name_by(&rules, "GET", target, NULL), "0");
    target[10] = 0;
    ck_assert_str_eq(name_by(&rules, "GET", target, NULL), "GET:/aaaaaaaaa");
    free(table);
    free(ruleset);
}
END_TEST

START_TEST(many_routes_are_found) {
    struct ruleset_builder *builder = ruleset_builder_new("a");
    char text[64];
    size_t size;
    for (int i = 0; i < 6000; i++) {
        int length = snprintf(text, sizeof(text), "/api/v%d/{x}/end", i);
        struct ruleset_route route = {
            .kind = ROUTE_PATTERN, .match = MATCH_GLOB, .pattern = ruleset_add_text(builder, text, (size_t)length)};
        ruleset_add_route(builder, &route);
    }
    void *ruleset = ruleset_builder_finish(builder, &size);
    for (int i = 0; i < 6000; i += 7) {
        char want[64];
        snprintf(text, sizeof(text), "/api/v%d/abc/end", i);
        snprintf(want, sizeof(want), "GET:/api/v%d/{x}/end", i);
        ck_assert_str_eq(name_of(ruleset, "GET", text), want);
    }
    free(ruleset);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("all");
    tcase_add_loop_test(tests, paths_have_one_spelling, 0, sizeof(paths) / sizeof(*paths));
    tcase_add_test(tests, small_buffers_are_respected);
    tcase_add_loop_test(tests, ids_collapse, 0, sizeof(learned) / sizeof(*learned));
    tcase_add_test(tests, names_are_bounded);
    tcase_add_loop_test(tests, routes_are_found, 0, sizeof(found) / sizeof(*found));
    tcase_add_test(tests, groups_are_found);
    tcase_add_test(tests, how_it_was_found);
    tcase_add_loop_test(tests, globs_match, 0, sizeof(globs) / sizeof(*globs));
    tcase_add_test(tests, globs_match_as_if_tried_in_every_way);
    tcase_add_test(tests, regular_expressions_need_compiling);
    tcase_add_loop_test(tests, paths_are_read, 0, sizeof(readings) / sizeof(*readings));
    tcase_add_test(tests, long_paths_are_resolved);
    tcase_add_loop_test(tests, hosts_have_one_spelling, 0, sizeof(hosts) / sizeof(*hosts));
    tcase_add_test(tests, hosts_choose_routes);
    tcase_add_test(tests, siblings_that_proliferate_are_one);
    tcase_add_test(tests, threads_share_the_siblings);
    tcase_add_test(tests, hopeless_expressions_match);
    tcase_add_test(tests, many_routes_are_found);
    return suite_run("route", tests, NULL);
}
