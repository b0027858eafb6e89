/* rules/text/never*.c: what can never match is warned of, with what would; what can, is not. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/layout.h"
#include "rules/naming/connection.h"
#include "rules/naming/route.h"
#include "rules/ruleset.h"
#include "rules/text/never.h"
#include "rules/text/rule_text.h"
#include "tests/unit/ruleset_fixture.h"
#include "tests/unit/suite.h"

/* Nothing is said about defaults that changed. */
#define SETTLED                                                                                                        \
    "\"options\":{\"strictHttp\":\"defend\",\"trustedProxies\":[],\"ipv6Prefix\":64,\"rt\":\"head\",\"upgraded\":"     \
    "\"hold\"}"
#define COMPAT                                                                                                         \
    "\"options\":{\"compat\":\"sentinel\",\"strictHttp\":\"defend\",\"trustedProxies\":[],\"upgraded\":\"hold\"}"

static void read_text(const char *text, struct rule_errors *errors) {
    size_t size;
    struct rule_document *document = rule_text_parse("t.json", text, strlen(text), NULL, errors);
    ck_assert_msg(document != NULL, "%s: %s", text, errors->count ? errors->list[0].message : "?");
    void *ruleset = rule_text_ruleset(&document, 1, "t", &size, errors);
    ck_assert_msg(ruleset && !errors->count, "%s", text);
    free(ruleset);
    rule_document_free(document);
}

/* ------------------------------------------------------------------------------------------------------- names, alone
 */

static const struct {
    const char *name, *fix; /* NULL: no warning; "": a warning without a name that would do */
} names[] = {
    {"GET:/order", NULL},
    {"GET:/", NULL},
    {"PURGE:/order", NULL},
    {"GET:/{a}/{b}x", NULL},
    {"GET:/42", NULL},
    {"GET:/a%2Fb", NULL},
    {"GET:/%41", NULL},
    {"GET:/a/", NULL},
    {"GET:/blog/{*}", NULL},
    {"GET:/n/{id}.json", NULL},
    {"GET:http://Shop.example.com/a", NULL},
    {"GET:http://pay:8080/a/{id}", NULL},
    {"OPTIONS:*", NULL},
    {"CONNECT:{authority}", NULL},
    {"{method}:/a", NULL},
    {"{other}", NULL},
    {"{other}:flow:a|b", NULL},
    {"http::8080", NULL},
    {"tcp::65535", NULL},
    {"http:unix:/run/shop.sock", NULL},
    {"tcp:10.0.0.5:3306", NULL},
    {"tcp:[::1]:80", NULL},
    {"/order", "GET:/order"},
    {"order", ""},
    {"GET /order", "GET:/order"},
    {"GET: /order", "GET:/order"},
    {"get /order?x=1 ", "GET:/order"},
    {"GET /order HTTP/1.1", "GET:/order"},
    {"get:/order", "GET:/order"},
    {"GTE:/order", "GET:/order"},
    {"http:8080", "http::8080"},
    {"HTTP::8080", "http::8080"},
    {"http::08080", "http::8080"},
    {"http:0.0.0.0:8080", "http::8080"},
    {"https::8443", "tcp::8443"},
    {"tcp:8080", "tcp::8080"},
    {"8080", "http::8080"},
    {"tcp::0", ""},
    {"tcp::65536", ""},
    {"tcp:localhost:3306", ""},
    {"tcp:010.0.0.5:3306", "tcp:10.0.0.5:3306"},
    {"tcp:[0::1]:80", "tcp:[::1]:80"},
    {"tcp:::1:80", "tcp:[::1]:80"},
    {"GET:/a?x=1", "GET:/a"},
    {"GET:/a#top", "GET:/a"},
    {"GET:/a//b", "GET:/a/b"},
    {"GET:/./a", "GET:/a"},
    {"GET:/a/../b", "GET:/b"},
    {"GET:/a ", "GET:/a"},
    {" GET:/a", "GET:/a"},
    {"GET:/{id", "GET:/{id}"},
    {"GET:/{}", "GET:/{id}"},
    {"GET:/a/{id/b", "GET:/a/{id}/b"},
    {"GET:/user/:id", "GET:/user/{id}"},
    {"GET:/user/<int:id>", "GET:/user/{id}"},
    {"GET:/a/*", "\"resourceMatch\": \"glob\""},
    {"GET:/a/**", "\"resourceMatch\": \"glob\""},
    {"GET:https://shop.example.com/a", "GET:http://shop.example.com/a"},
    {"http://shop.example.com/a", "GET:http://shop.example.com/a"},
    {"GET:shop.example.com/cart", "GET:http://shop.example.com/cart"},
    {"GET:http://shop.example.com", "GET:http://shop.example.com/"},
    {"GET:order", "GET:/order"},
    {"CONNECT:example.com:443", "CONNECT:{authority}"},
    {"com.example.Orders:get(String)", ""},
    {"redis:GET", ""},
};
START_TEST(names_alone) {
    char text[1000];
    for (unsigned compat = 0; compat < 2; compat++) {
        struct rule_errors errors = {0};
        snprintf(text, sizeof(text), "{%s,\"flow\":[{\"resource\":\"%s\",\"count\":1}]}", compat ? COMPAT : SETTLED,
                 names[_i].name);
        read_text(text, &errors);
        ck_assert_msg(errors.warnings_count == (names[_i].fix != NULL), "%s: %s", names[_i].name,
                      errors.warnings_count ? errors.warnings[0].message : "no warning");
        bool glob = names[_i].fix && strstr(names[_i].fix, "glob");
        if (names[_i].fix) {
            ck_assert_str_eq(errors.warnings[0].path, "$.flow[0].resource");
            ck_assert_uint_gt(errors.warnings[0].column, 1);
            ck_assert_msg((strstr(errors.warnings[0].message, names[_i].fix) != NULL) == !(glob && compat), "%s: %s",
                          names[_i].name, errors.warnings[0].message);
        }
        rule_errors_clear(&errors);
    }
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- names in a file
 */

#define RULE(name, more) "\"flow\":[{\"resource\":\"" name "\",\"count\":1" more "}]"
#define TCP_PORT "\"resources\":[{\"kind\":\"listener\",\"name\":\"front\",\"port\":8080,\"protocol\":\"tcp\"}],"
#define USERS "\"resources\":[{\"kind\":\"route\",\"name\":\"user\",\"pattern\":\"/user/{id}\"}],"
#define OFFICE "\"resources\":[{\"kind\":\"origin\",\"name\":\"office\",\"addresses\":[\"10.0.0.0/8\"]}],"
#define HOT(resource, more) "\"paramFlow\":[{\"resource\":\"" resource "\",\"count\":1," more "}]"
#define HEADER "\"param\":{\"parseStrategy\":\"header\",\"fieldName\":\"x\"}"
static const struct {
    const char *rules, *path, *words; /* NULL: no warning */
} files[] = {
    /* directions */
    {RULE("http::8080", ",\"side\":\"outbound\""), "$.flow[0].resource", "inbound connections"},
    {RULE("http::8080", ",\"side\":\"inbound\""), NULL, NULL},
    {RULE("tcp:10.0.0.5:3306", ",\"side\":\"inbound\""), "$.flow[0].resource", "outbound connections"},
    {RULE("GET:/order", ",\"side\":\"outbound\""), "$.flow[0].resource", "GET:http://HOST/order"},
    {RULE("GET:http://pay/order", ",\"side\":\"outbound\""), NULL, NULL},
    {RULE("GET:/order/{id}", ",\"side\":\"outbound\""), NULL, NULL},
    {TCP_PORT RULE("front", ",\"side\":\"outbound\""), "$.flow[0].resource", "inbound connections"},
    /* listeners that serve no requests */
    {TCP_PORT RULE("http::8080", ""), "$.flow[0].resource", "tcp::8080"},
    {TCP_PORT RULE("tcp::8080", ""), NULL, NULL},
    {TCP_PORT RULE("fornt", ""), "$.flow[0].resource", "did you mean \"front\""},
    /* names that routes and other rules take */
    {USERS RULE("GET:/user/me", ""), "$.flow[0].resource", "write \"user\""},
    {USERS RULE("GET:/users", ""), NULL, NULL},
    {USERS RULE("usr", ""), "$.flow[0].resource", "did you mean \"user\""},
    {"\"flow\":[{\"resource\":\"GET:/u/{name}\",\"count\":1},{\"resource\":\"GET:/u/{id}\",\"count\":1}]",
     "$.flow[1].resource", "\"GET:/u/{name}\""},
    {"\"flow\":[{\"resource\":\"GET:/u/{name}\",\"count\":1},{\"resource\":\"GET:/u/me\",\"count\":1}]", NULL, NULL},
    {"\"resources\":[{\"kind\":\"route\",\"pattern\":\"/admin/**\"}]," RULE("GET:/admin/**", ""), NULL, NULL},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"b\",\"pattern\":\"/x.*\",\"matchStrategy\":\"regex\"}]," RULE(
         "GET:/xy", ""),
     "$.flow[0].resource", "write \"b\""},
    /* routes */
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/**\"},{\"kind\":\"route\",\"name\":\"b\","
     "\"pattern\":\"/b/**\"}]",
     "$.resources[1].pattern", "put this one before it"},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/**\"},{\"kind\":\"route\",\"name\":\"b\","
     "\"pattern\":\"/b\"}]",
     NULL, NULL},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/**\",\"method\":\"GET\"},{\"kind\":\"route\","
     "\"name\":\"b\",\"pattern\":\"/b/**\"}]",
     NULL, NULL},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/a//b\"}]", "$.resources[0].pattern", "\"/a/b\""},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/{x\"}]", "$.resources[0].pattern", "spelling"},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/\xc3\xa9/{x}\"}]", NULL, NULL},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/(a|b)-[0-9]+\",\"matchStrategy\":2}]", NULL,
     NULL},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"GET:/a.*\",\"matchStrategy\":2}]",
     "$.resources[0].pattern", "begins with '/'"},
    {"\"resources\":[{\"kind\":\"api\",\"name\":\"a\",\"predicateItems\":[{\"pattern\":\"/a\"},{\"pattern\":\"/a//**\","
     "\"matchStrategy\":\"prefix\"}]}]",
     "$.resources[0].predicateItems[1].pattern", "spelling"},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/x?y=1\"}]", "$.resources[0].pattern", "query"},
    {"\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/v?/y=1\"}]", NULL, NULL},
    /* patterns */
    {RULE("http::80800", ",\"resourceMatch\":\"prefix\""), "$.flow[0].resource", "no name begins so"},
    {RULE("tcp::70000", ",\"resourceMatch\":\"prefix\""), "$.flow[0].resource", "no name begins so"},
    {RULE("http::80", ",\"resourceMatch\":\"prefix\""), NULL, NULL},
    {RULE("http::80*", ",\"resourceMatch\":\"glob\""), NULL, NULL},
    {RULE("GET:/api/[", ",\"resourceMatch\":\"glob\""), "$.flow[0].resource", "no name begins so"},
    {RULE("GET:/api/[ab]", ",\"resourceMatch\":\"glob\""), NULL, NULL},
    {RULE("/order/**", ",\"resourceMatch\":\"glob\""), "$.flow[0].resource", "\"*:/order/**\""},
    {RULE("GET /o*", ",\"resourceMatch\":\"glob\""), "$.flow[0].resource", "\"GET:/o*\""},
    {RULE("GET:/o*", ",\"resourceMatch\":\"glob\""), NULL, NULL},
    {RULE("G*", ",\"resourceMatch\":\"glob\""), NULL, NULL},
    {RULE("GET:/a/{id", ",\"resourceMatch\":\"prefix\""), NULL, NULL},
    {RULE("GET:/a//", ",\"resourceMatch\":\"prefix\""), "$.flow[0].resource", "\"GET:/a/\""},
    {RULE("GET:/a/%c3", ",\"resourceMatch\":\"prefix\""), "$.flow[0].resource", "\"GET:/a/%C3\""},
    {RULE("GET:/a/%C", ",\"resourceMatch\":\"prefix\""), NULL, NULL},
    {RULE("order", ",\"resourceMatch\":\"prefix\""), "$.flow[0].resource", "no name begins so"},
    {RULE("^/order.*", ",\"regex\":true"), "$.flow[0].resource", "\"^[A-Z]+:/order.*\""},
    {RULE("GET /.*", ",\"regex\":true"), "$.flow[0].resource", "\"GET:/.*\""},
    {RULE("(GET|POST):/.*", ",\"regex\":true"), NULL, NULL},
    {RULE("BREW:/.*", ",\"regex\":true"), NULL, NULL},
    {RULE(".*order.*", ",\"regex\":true"), NULL, NULL},
    {RULE("http::80(80|81)", ",\"regex\":true"), NULL, NULL},
    {RULE("http:80.*", ",\"regex\":true"), "$.flow[0].resource", "no name begins so"},
    {USERS RULE("us.r", ",\"regex\":true"), NULL, NULL},
    /* what else names resources */
    {RULE("GET:/a", ",\"strategy\":\"relate\",\"refResource\":\"POST /a\""), "$.flow[0].refResource", "POST:/a"},
    {RULE("GET:/a", ",\"strategy\":\"relate\",\"refResource\":\"POST:/a/{x}\""), NULL, NULL},
    {RULE("GET:/a", ",\"strategy\":\"chain\",\"refResource\":\"GET:/user/42\""), "$.flow[0].refResource",
     "GET:/user/{id}"},
    {RULE("GET:/a", ",\"strategy\":\"chain\",\"refResource\":\"sentinel_default_context\""), "$.flow[0].refResource",
     "nothing is named"},
    {RULE("GET:/a", ",\"strategy\":\"chain\",\"refResource\":\"tcp:10.0.0.5:80\""), "$.flow[0].refResource",
     "outbound"},
    {"\"system\":{\"qps\":1,\"exceptions\":[\"GET:/health\",\"/health\"]}", "$.system.exceptions[1]", "GET:/health"},
    {"\"system\":{\"highestCpuUsage\":1}", "$.system.highestCpuUsage", "never above 1"},
    {"\"degrade\":[{\"resource\":\"*\",\"count\":0.5,\"grade\":1,\"timeWindow\":1,\"exceptions\":[\"http::80\"]}]",
     NULL, NULL},
    /* callers */
    {"\"authority\":[{\"resource\":\"GET:/a\",\"limitApp\":\"10.0.0.0/8,unit:cron.service,10.0.0.1\"}]", NULL, NULL},
    {"\"authority\":[{\"resource\":\"GET:/a\",\"limitApp\":\"10.0.0.0/8,shop\"}]", "$.authority[0].limitApp",
     "named \"shop\""},
    {OFFICE RULE("GET:/a", ",\"limitApp\":\"ofice\""), "$.flow[0].limitApp", "did you mean \"office\""},
    {OFFICE RULE("GET:/a", ",\"limitApp\":\"office\""), NULL, NULL},
    {"\"resources\":[{\"kind\":\"origin\",\"header\":\"X-App\"}]," RULE("GET:/a", ",\"limitApp\":\"shop\""), NULL,
     NULL},
    {RULE("GET:/a", ",\"limitApp\":\"other\""), NULL, NULL},
    /* parameters */
    {HOT("GET:/a", "\"paramIdx\":0"), "$.paramFlow[0].paramIdx", "parseStrategy"},
    {HOT("GET:/a", HEADER), NULL, NULL},
    {HOT("tcp::80", HEADER), "$.paramFlow[0].param", "clientIp"},
    {HOT("tcp::80", "\"param\":{\"parseStrategy\":\"clientIp\"}"), NULL, NULL},
    {HOT("GET:/a/{b}", "\"param\":{\"parseStrategy\":\"path\",\"fieldName\":\"2\"}"), "$.paramFlow[0].param",
     "segments"},
    {HOT("GET:/a/{b}", "\"param\":{\"parseStrategy\":\"path\",\"fieldName\":\"1\"}"), NULL, NULL},
    {HOT("GET:/a", HEADER ",\"paramFlowItemList\":[{\"object\":5,\"classType\":\"int\",\"count\":1}]"),
     "$.paramFlow[0].paramFlowItemList[0].classType", "remove classType"},
    {HOT("GET:/a", HEADER ",\"paramFlowItemList\":[{\"object\":5,\"classType\":\"String\",\"count\":1}]"), NULL, NULL},
};
START_TEST(names_in_a_file) {
    char text[2000];
    struct rule_errors errors = {0};
    snprintf(text, sizeof(text), "{%s,%s}", SETTLED, files[_i].rules);
    read_text(text, &errors);
    ck_assert_msg(errors.warnings_count == (files[_i].path != NULL), "%s: %s", files[_i].rules,
                  errors.warnings_count ? errors.warnings[0].message : "no warning");
    if (files[_i].path) {
        ck_assert_str_eq(errors.warnings[0].path, files[_i].path);
        ck_assert_msg(strstr(errors.warnings[0].message, files[_i].words) != NULL, "%s", errors.warnings[0].message);
    }
    rule_errors_clear(&errors);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- any
 * request */

static uint64_t random_state = 88172645463325252u;

static unsigned any(unsigned below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % below;
}

/* But for '*', segments that begin with ':', and nothing or dots before a ';': of those it is said that they hardly
 * mean what they are. */
static void any_path(char *path) {
    static const char *const pieces[] = {"order",
                                         "a",
                                         "B",
                                         "42",
                                         "2024-01-31",
                                         "0123456789abcdef0",
                                         "550e8400-e29b-41d4-a716-446655440000",
                                         "x.json",
                                         "%2F",
                                         "%41",
                                         "%c3%a9",
                                         "\xc3\xa9",
                                         " ",
                                         "%20",
                                         ".",
                                         "..",
                                         "~",
                                         "s;v=1",
                                         "{id}",
                                         "%7Bid%7D",
                                         "{x",
                                         "<id>",
                                         "'",
                                         "=",
                                         "&",
                                         "a:b",
                                         "-",
                                         "_",
                                         "!",
                                         "\\",
                                         "//",
                                         "%",
                                         "%zz",
                                         "%00",
                                         "\"",
                                         "|",
                                         "^",
                                         "averylongsegmentthatismorethanfortyeightbyteslong"};
    unsigned segments = any(8);
    *path = '\0';
    for (unsigned i = 0; i <= segments; i++) {
        strcat(path, "/");
        for (unsigned n = any(4); n; n--)
            strcat(path, pieces[any(sizeof(pieces) / sizeof(*pieces))]);
    }
    if (any(4) == 0)
        strcat(path, any(2) ? "?a=/b" : "#c");
}

static void take(void *context, const char *name, size_t length, const struct route_found *found, unsigned reading) {
    char *taken = context;
    (void)found, (void)reading;
    if (!*taken || any(2))
        memcpy(taken, name, length + 1);
}

static void any_name(const struct naming_rules *rules, char name[static LAYOUT_RESOURCE_NAME_MAX]) {
    static const char *const methods[] = {
        "GET", "POST", "PATCH", "PROPFIND", "BREW", "PURGE", "A-METHOD-OF-MORE-THAN-TWENTY-FOUR"};
    static const char *const hosts[] = {"shop.example.com", "Pay:8080", "[::1]:81", "10.0.0.1:80", "x."};
    static uint64_t room[NAMES_ROOM / sizeof(uint64_t)];
    char path[2000];
    const char *method = methods[any(7)], *host = any(2) ? hosts[any(5)] : NULL;
    any_path(path);
    struct naming_message message = {.protocol = "http",
                                     .method = method,
                                     .method_length = strlen(method),
                                     .path = path,
                                     .path_length = strlen(path),
                                     .host = host,
                                     .host_length = host ? strlen(host) : 0,
                                     .with_host = any(2)};
    name[0] = '\0';
    names_of(rules, &message, &(struct naming_sink){take, name, room});
}

static void any_connection(char name[static LAYOUT_RESOURCE_NAME_MAX]) {
    struct connection_name made;
    unsigned char address[16] = {0};
    for (unsigned i = 0; i < 16; i++)
        address[i] = (unsigned char)(any(3) ? 0 : any(256));
    if (any(2))
        connection_name_listener(any(2) ? "http" : "tcp", any(4) ? 1 + any(65535) : 0, "/run/a b.sock", &made);
    else
        connection_name_destination(address, any(2) ? 4 : 16, 1 + any(65535), &made);
    memcpy(name, made.text, made.length);
    name[made.length] = '\0';
}

#ifdef __SANITIZE_ADDRESS__
enum { CASES = 20000 };
#else
enum { CASES = 100000 };
#endif

/* As JSON has it. */
static void quote(const char *name, char *ret_text) {
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            *ret_text++ = '\\';
        *ret_text++ = *name;
    }
    *ret_text = '\0';
}

static void expect_silence(const char *form, const char *name) {
    char quoted[2 * LAYOUT_RESOURCE_NAME_MAX], text[2000];
    struct rule_errors errors = {0};
    quote(name, quoted);
    snprintf(text, sizeof(text), form, SETTLED, quoted);
    read_text(text, &errors);
    ck_assert_msg(errors.warnings_count == 0, "%s: %s", name, errors.warnings_count ? errors.warnings[0].message : "");
    rule_errors_clear(&errors);
}

/* Of no name that weir makes it is said that it would not. */
START_TEST(no_false_alarm) {
    const char *asked = getenv("NEVER_CASES");
    unsigned cases = asked ? (unsigned)strtoul(asked, NULL, 10) : CASES;
    static uint64_t slots[1 << 12];
    void *ruleset = ruleset_of("{}", NULL);
    struct naming_rules rules = naming_rules_of(ruleset), crowded = rules;
    struct naming_siblings siblings = {slots, 1 << 12, 3, 1};
    crowded.siblings = &siblings;
    for (unsigned i = 0; i < cases; i++) {
        char name[LAYOUT_RESOURCE_NAME_MAX];
        if (any(8))
            any_name(any(8) ? &rules : &crowded, name);
        else
            any_connection(name);
        expect_silence("{%s,\"flow\":[{\"resource\":\"%s\",\"count\":1}]}", name);
        if (i % 8 == 0)
            expect_silence("{%s,\"system\":{\"qps\":1,\"exceptions\":[\"%s\"]}}", name);
        if (i % 8 == 1)
            expect_silence("{%s,\"flow\":[{\"resource\":\"%s\",\"resourceMatch\":\"prefix\",\"count\":1}]}", name);
    }
    free(ruleset);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ the end
 */

enum { MANY = 3000 };

/* Routes that all begin alike, or all differently, and as many patterns of rules. */
static char *many(const char *route, const char *rule) {
    size_t size = MANY * 300, length = 0;
    char *text = malloc(size);
    ck_assert_ptr_nonnull(text);
    length += (size_t)snprintf(text, size, "{%s,\"resources\":[", SETTLED);
    for (int i = 0; i < MANY; i++)
        length += (size_t)snprintf(text + length, size - length, route, i ? "," : "", i, i);
    length += (size_t)snprintf(text + length, size - length, "],\"flow\":[");
    for (int i = 0; i < MANY; i++)
        length += (size_t)snprintf(text + length, size - length, rule, i ? "," : "", i, i);
    snprintf(text + length, size - length, "]}");
    return text;
}

#define ROUTE "%s{\"kind\":\"route\",\"name\":\"r%d\",\"pattern\":\""
static const struct {
    const char *route, *rule;
    bool ends_early;
} crowds[] = {
    {ROUTE "/a/*%d/**\"}", "%s{\"resource\":\"GET:/a/%d*b/**c*d*%d\",\"resourceMatch\":\"glob\",\"count\":1}", true},
    {ROUTE "/a/*%d\"}", "%s{\"resource\":\"GET:/a/1/2/%d/%d\",\"count\":1}", true},
    {ROUTE "/a%d/*\"}", "%s{\"resource\":\"r%d\",\"count\":%d}", false},
};

static void count_notes(const struct rule_errors *errors, unsigned *ret_notes) {
    *ret_notes = 0;
    for (size_t i = 0; i < errors->warnings_count; i++)
        *ret_notes += errors->warnings[i].change && strstr(errors->warnings[i].message, "not all that never match");
}

START_TEST(an_end_is_said_once) {
    struct rule_errors errors = {0};
    unsigned notes;
    char *text = many(crowds[_i].route, crowds[_i].rule);
    read_text(text, &errors);
    count_notes(&errors, &notes);
    ck_assert_uint_eq(notes, crowds[_i].ends_early);
    free(text);
    rule_errors_clear(&errors);
}
END_TEST

/* Each comparison with a route is a step at least; none is made once they are used up. */
START_TEST(comparisons_have_an_end) {
    char *text = many(crowds[0].route, crowds[0].rule);
    void *ruleset = ruleset_of(text, NULL);
    struct names names;
    uint64_t comparisons = 0;
    uint32_t first, none = UINT32_MAX - 1;
    struct naming_message message = {
        .protocol = "http", .method = "GET", .method_length = 3, .path = "/a/b/c", .path_length = 6};
    ck_assert(names_open(&names, ruleset));
    while (!names_reach(&names, &message, none, &first)) /* true: taken to be made */
        comparisons += MANY;
    ck_assert_uint_gt(comparisons, MANY);
    ck_assert_uint_le(comparisons, NEVER_STEPS);
    ck_assert_uint_eq(*names.left, 0);
    ck_assert(names_reach(&names, &message, none, &first) && first == UINT32_MAX);
    names_close(&names);
    free(ruleset);
    free(text);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, names_alone, 0, sizeof(names) / sizeof(names[0]));
    tcase_add_loop_test(all, names_in_a_file, 0, sizeof(files) / sizeof(files[0]));
    tcase_add_test(all, no_false_alarm);
    tcase_add_loop_test(all, an_end_is_said_once, 0, sizeof(crowds) / sizeof(crowds[0]));
    tcase_add_test(all, comparisons_have_an_end);
    return suite_run("never", all, NULL);
}
