/* `weir import`: names, what is collected, and what is written; Sentinel's forms are in
 * tests/process/import_sentinel.py. */
#include "tools/import/import_private.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/bare.h"
#include "tests/unit/suite.h"
#include "tools/import/sentinel_private.h"
#include "tools/import/zip.h"

static const struct {
    const char *file, *kind, *app; /* kind NULL: the name does not say */
} named[] = {
    {"shop-flow-rules.json", "flow", "shop"},
    {"/etc/weir/rules.d/shop-flow.json", "flow", "shop"},
    {"shop-service_degradeRules", "degrade", "shop-service"},
    {"shop.circuit-breaker.rules.json", "degrade", "shop"},
    {"shop-param-flow-rules.json", "paramFlow", "shop"},
    {"shop-hot-param.json", "paramFlow", "shop"},
    {"gw-gateway-flow-rules", "gateway", "gw"},
    {"gw-gw-flow", "gateway", "gw"},
    {"gw-gateway-api-groups.json", "api", "gw"},
    {"gw-api-definitions.json", "api", "gw"},
    {"FlowRule.json", "flow", ""},
    {"myShopFlowRules.json", "flow", "myShop"},
    {"flow.json", "flow", ""},
    {"system-rules", "system", ""},
    {"shop_authority.json", "authority", "shop"},
    {"a b-flow.json", "flow", ""},
    {".hidden-flow.json", "flow", ""},
    {"overflow.json", NULL, ""},
    {"shop.json", NULL, ""},
    {"rules.json", NULL, ""},
    {"", NULL, ""},
    {"-", NULL, ""},
};

START_TEST(names_of_files_tell_kind_and_app) {
    char app[LAYOUT_APP_NAME_MAX];
    const char *kind = bare_kind_of_name(named[_i].file, app);
    ck_assert_msg(named[_i].kind ? kind && strcmp(kind, named[_i].kind) == 0 : !kind, "%s: %s", named[_i].file,
                  kind ? kind : "nothing");
    ck_assert_str_eq(app, named[_i].app);
}
END_TEST

static const struct {
    const char *name;
    enum sentinel_name kind;
} resources[] = {
    {"GET:/order", SENTINEL_METHOD_PATH},
    {"POST:/a/{id}", SENTINEL_METHOD_PATH},
    {"/order", SENTINEL_PATH},
    {"/order/**", SENTINEL_PATH},
    {"*", SENTINEL_ALL},
    {"GET:http://pay:8080/x", SENTINEL_OUTBOUND},
    {"httpclient:GET:http://pay/x", SENTINEL_OUTBOUND},
    {"com.foo.Bar:hello(int)", SENTINEL_JAVA},
    {"__total_inbound_traffic__", SENTINEL_INTERNAL},
    {"com.foo.Bar", SENTINEL_OTHER},
    {"grpc.Health/Check", SENTINEL_OTHER},
    {"get:/order", SENTINEL_OTHER},
    {"", SENTINEL_OTHER},
};

START_TEST(names_of_resources_are_told_apart) {
    ck_assert_msg(sentinel_name_kind(resources[_i].name) == resources[_i].kind, "%s", resources[_i].name);
}
END_TEST

static char *written(struct import *import) {
    size_t length;
    char *text = import_write_valid(import, &length);
    ck_assert_msg(text != NULL, "%s", import->errors.count ? import->errors.list[0].message : "no memory");
    ck_assert_uint_eq(strlen(text), length);
    return text;
}

static void holds(const char *text, const char *part) {
    ck_assert_msg(strstr(text, part) != NULL, "expected %s in\n%s", part, text);
}

START_TEST(a_rule_says_where_it_came_from) {
    struct import import = {0};
    import_rule(&import, "flow", "a.conf", 12, "zone one",
                cJSON_Parse("{\"count\": 5, \"scope\": \"app\", \"resource\": \"GET:/a\", \"burst\": 2}"));
    import_app(&import, "a.conf", 1, "shop");
    char *text = written(&import);
    holds(text, "  \"app\": \"shop\",\n");
    holds(text, "    // from a.conf:12: zone one\n"
                "    { \"resource\": \"GET:/a\", \"count\": 5, \"burst\": 2, \"scope\": \"app\" }\n");
    free(text);
    import_clear(&import);
}
END_TEST

START_TEST(what_is_wrong_is_left_out) {
    struct import import = {0};
    import_rule(&import, "flow", "a.conf", 3, NULL,
                cJSON_Parse("{\"resource\": \"GET:/a\", \"count\": -5, \"grade\": 7}"));
    import_rule(&import, "flow", "a.conf", 4, NULL, cJSON_Parse("{\"resource\": \"GET:/b\", \"count\": 5}"));
    import_rule(&import, "flow", "a.conf", 5, NULL, cJSON_Parse("{\"resource\": \"GET:/c\", \"count\": \"x\"}"));
    import_rule(&import, "gateway", "a.conf", 6, NULL,
                cJSON_Parse("{\"resource\": \"g\", \"resourceMode\": \"api\", \"count\": 1}"));
    import_resource(&import, "a.conf", 7, NULL,
                    cJSON_Parse("{\"kind\": \"api\", \"name\": \"g\", \"predicateItems\": []}"));
    char *text = written(&import);
    ck_assert_uint_eq(import_rules(&import), 1);
    ck_assert_uint_eq(import_notes(&import, NOTE_LEFT_OUT), 4);
    holds(text, "//   a.conf:3: GET:/a: ");
    holds(text, "//   a.conf:5: GET:/c: count: expected a number");
    holds(text, "//   a.conf:6: g: its resource \"g\" is not carried over");
    holds(text, "\"GET:/b\"");
    free(text);
    import_clear(&import);
}
END_TEST

START_TEST(nothing_in_a_comment_leaves_it) {
    struct import import = {0};
    import_rule(&import, "flow", "a\n{.conf", 3, "x\n}\r\n*/ \x1b[31m \xff",
                cJSON_Parse("{\"resource\": \"GET:/a\", \"count\": 5}"));
    import_left_out(&import, "b\n.conf", 1, "this\n", "because\n{\"flow\": []}");
    char *text = written(&import);
    for (const char *c = text; *c; c++)
        ck_assert_msg(*c == '\n' || (unsigned char)*c >= ' ', "byte %d", *c);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strstr(line, "because") || strstr(line, "*/"))
            holds(line, "//");
    free(text);
    import_clear(&import);
}
END_TEST

START_TEST(the_same_is_there_once) {
    struct import import = {0};
    for (int i = 0; i < 3; i++)
        import_resource(&import, "a", 1, NULL, cJSON_Parse("{\"kind\": \"route\", \"pattern\": \"/a\"}"));
    import_option(&import, "a", 1, "coldFactor", cJSON_CreateNumber(4));
    import_option(&import, "b", 1, "coldFactor", cJSON_CreateNumber(4));
    ck_assert_uint_eq(import.entries_count, 2);
    ck_assert_uint_eq(import.errors.count, 0);
    import_option(&import, "c", 9, "coldFactor", cJSON_CreateNumber(5));
    ck_assert_uint_eq(import.errors.count, 1);
    import_app(&import, "a", 1, "one");
    import_app(&import, "b", 1, "one");
    ck_assert_uint_eq(import.errors.count, 1);
    import_app(&import, "c", 9, "two");
    ck_assert_uint_eq(import.errors.count, 2);
    holds(import.errors.list[1].message, "is for the app 'two', but a is for 'one'");
    import_clear(&import);
}
END_TEST

/* A request counts for one route, and for every group. */
START_TEST(a_path_beside_its_method_is_a_group) {
    static const char text[] = "[{\"resource\": \"/a/{id:[0-9]+}\", \"count\": 1, \"controlBehavior\": 0},\n"
                               " {\"resource\": \"GET:/b\", \"count\": 1}, {\"resource\": \"/b\", \"count\": 1},\n"
                               " {\"resource\": \"/c/**\", \"count\": 1}, {\"resource\": \"/c/d\", \"count\": 1}]";
    struct import import = {0};
    sentinel_parse(&import, "x.json", text, strlen(text));
    sentinel_finish(&import);
    char *result = written(&import);
    holds(result, "{ \"kind\": \"route\", \"name\": \"/a/{id:[0-9]+}\", \"pattern\": \"/a/{id}\" }");
    holds(result, "{ \"kind\": \"api\", \"name\": \"/b\", \"predicateItems\": [{\"pattern\": \"/b\"}] }");
    ck_assert_ptr_null(strstr(result, "\"name\": \"GET:/b\""));
    ck_assert_msg(strstr(result, "\"pattern\": \"/c/d\"") < strstr(result, "\"pattern\": \"/c/**\""), "%s", result);
    free(result);
    import_clear(&import);
}
END_TEST

/* A stored file "a-flow.json" with "[]", as an archive. */
static size_t archive(char *to) {
    static const char local[] = "PK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\2\0\0\0\13\0\0\0a-flow.json[]";
    static const char central[] =
        "PK\1\2\24\0\24\0\0\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\2\0\0\0\13\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        "a-flow.json";
    static const char end[] = "PK\5\6\0\0\0\0\1\0\1\0\71\0\0\0\53\0\0\0\0\0";
    size_t length = 0;
    memcpy(to, local, sizeof(local) - 1), length += sizeof(local) - 1;
    memcpy(to + length, central, sizeof(central) - 1), length += sizeof(central) - 1;
    memcpy(to + length, end, sizeof(end) - 1);
    return length + sizeof(end) - 1;
}

static void count_file(void *context, const char *name, const char *text, size_t length) {
    if (!text && length == 2)
        *(int *)context += 100;
    if (!text)
        return;
    ck_assert_uint_eq(strlen(text), length);
    *(int *)context += strcmp(name, "a-flow.json") == 0 && strcmp(text, "[]") == 0;
}

START_TEST(an_archive_is_read_and_never_beyond) {
    char data[256];
    int count = 0;
    size_t length = archive(data);
    ck_assert(zip_is(data, length));
    ck_assert_ptr_null(zip_each(data, length, 10, count_file, &count));
    ck_assert_int_eq(count, 1);
    ck_assert_ptr_null(zip_each(data, length, 1, count_file, &count)); /* too large a file is only named */
    ck_assert_int_eq(count, 101);
    for (size_t cut = 0; cut < length; cut++) {
        char *part = malloc(cut + 1); /* of just that size, for the address sanitizer */
        memcpy(part, data, cut);
        ck_assert(!zip_is(part, cut) || zip_each(part, cut, 10, count_file, &count));
        free(part);
    }
    for (size_t at = 0; at < length; at++) {
        char byte = data[at];
        data[at] = (char)0xff;
        (void)zip_each(data, length, 10, count_file, &count);
        data[at] = byte;
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("all");
    tcase_add_loop_test(tests, names_of_files_tell_kind_and_app, 0, sizeof(named) / sizeof(*named));
    tcase_add_loop_test(tests, names_of_resources_are_told_apart, 0, sizeof(resources) / sizeof(*resources));
    tcase_add_test(tests, a_rule_says_where_it_came_from);
    tcase_add_test(tests, what_is_wrong_is_left_out);
    tcase_add_test(tests, nothing_in_a_comment_leaves_it);
    tcase_add_test(tests, the_same_is_there_once);
    tcase_add_test(tests, a_path_beside_its_method_is_a_group);
    tcase_add_test(tests, an_archive_is_read_and_never_beyond);
    return suite_run("import", tests, NULL);
}
