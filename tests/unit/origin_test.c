/* shim/admission/origin.c: the names of a caller, their order, and who may claim them. */
#include "tests/unit/admission_fixture.h"

#include "shim/admission/caller.h"
#include "shim/admission/origin.h"
#include "shim/process/arena.h"

#define PRIVATE "\"options\":{\"trustedProxies\":\"private\"},"
#define RESOURCES                                                                                                      \
    "\"resources\":[{\"kind\":\"origin\",\"header\":\"X-App\"},{\"kind\":\"origin\",\"name\":\"office\","              \
    "\"addresses\":"                                                                                                   \
    "[\"192.0.2.0/24\"]},{\"kind\":\"origin\",\"name\":\"lab\",\"addresses\":[\"192.0.2.7\"]}]"
#define LIMIT(app) "\"flow\":[{\"resource\":\"GET:/a\",\"limitApp\":\"" app "\",\"count\":1}]"

/* All names in order, then the address that ranges are about. */
static const char *origin_of(const char *rules, const struct admit_connection *c, const char *lines) {
    static char said[512];
    char text[1024];
    size_t size;
    void *ruleset = ruleset_of(rules, &size);
    struct message message;
    struct origin origin;
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", lines ? lines : "");
    ck_assert_int_eq(http1_request(text, strlen(text), 0, &message), PARSED_DONE);
    memset(&origin, 0x55, sizeof(origin)); /* whatever was on the stack */
    origin_find(&origin, ruleset, c, lines ? &message : NULL);
    said[0] = '\0';
    for (uint32_t i = 0; i < origin.names_count; i++)
        sprintf(said + strlen(said), "%.*s ", (int)origin.names[i].length, origin.names[i].text);
    address_text(origin.client, origin.client_length, said + strlen(strcat(said, "@")));
    struct engine_request request;
    origin_describe(&origin, &request);
    ck_assert_uint_eq(request.origins_count, origin.names_count > 1 ? origin.names_count - 1 : 0);
    ck_assert_ptr_nonnull(request.origin);
    ck_assert(origin.names_count || !request.origin_length);
    free(ruleset);
    return said;
}

static const struct {
    const char *rules;
    const char peer[16];
    uint8_t length;
    const char *lines, *names;
} cases[] = {
    /* nobody asks: the peer's address, whatever is claimed */
    {"{}", "\x0a\0\0\1", 4, "X-App: shop\r\nX-Forwarded-For: 192.0.2.7\r\n", "10.0.0.1 @10.0.0.1"},
    {"{}", "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16, "", "2001:db8::1 @2001:db8::1"},
    {"{}", "", 0, "", "@"},
    /* a trusted peer says whom it speaks for: loopback, and the private ranges where that is said */
    {"{" PRIVATE LIMIT("192.0.2.7") "}", "\x0a\0\0\1", 4, "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.9\r\n",
     "192.0.2.7 @192.0.2.7"},
    {"{" PRIVATE LIMIT("192.0.2.7") "}", "\x0a\0\0\1", 4, "X-Real-IP: 192.0.2.7\r\n", "192.0.2.7 @192.0.2.7"},
    {"{" PRIVATE LIMIT("192.0.2.7") "}", "\x0a\0\0\1", 4, "", "10.0.0.1 @10.0.0.1"},
    {"{" LIMIT("192.0.2.7") "}", "\x0a\0\0\1", 4, "X-Real-IP: 127.0.0.1\r\n", "10.0.0.1 @10.0.0.1"},
    {"{" LIMIT("192.0.2.7") "}", "\xac\x11\0\1", 4, "X-Forwarded-For: 127.0.0.1\r\n", "172.17.0.1 @172.17.0.1"},
    {"{" LIMIT("192.0.2.7") "}", "\x7f\0\0\5", 4, "X-Real-IP: 192.0.2.7\r\n", "192.0.2.7 @192.0.2.7"},
    {"{" LIMIT("192.0.2.7") "}", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16, "X-Real-IP: 192.0.2.7\r\n",
     "192.0.2.7 @192.0.2.7"},
    {"{" LIMIT("192.0.2.7") "}", "", 0, "X-Real-IP: 192.0.2.7\r\n", "192.0.2.7 @192.0.2.7"},
    {"{\"options\":{\"trustedProxies\":[]}," LIMIT("x") "}", "\x7f\0\0\1", 4, "X-Real-IP: 192.0.2.7\r\n",
     "127.0.0.1 @127.0.0.1"},
    {"{\"options\":{\"trustedProxies\":[\"private\",\"8.8.8.8\"]}," LIMIT("x") "}", "\x08\x08\x08\x08", 4,
     "X-Forwarded-For: 192.0.2.7, 192.168.0.1\r\n", "192.0.2.7 @192.0.2.7"},
    /* of the headers that name a client, the one that the proxy sets */
    {"{\"options\":{\"clientIpHeader\":\"X-Real-IP\"}," LIMIT("x") "}", "\x7f\0\0\1", 4,
     "X-Forwarded-For: 6.6.6.6\r\nx-real-ip: 192.0.2.7\r\n", "192.0.2.7 @192.0.2.7"},
    {"{\"options\":{\"clientIpHeader\":\"X-Real-IP\"}," LIMIT("x") "}", "\x7f\0\0\1", 4,
     "X-Forwarded-For: 6.6.6.6\r\nProxy-Client-IP: 6.6.6.6\r\n", "127.0.0.1 @127.0.0.1"},
    /* others do not */
    {"{" LIMIT("192.0.2.7") "}", "\x08\x08\x08\x08", 4, "X-Forwarded-For: 192.0.2.7\r\n", "8.8.8.8 @8.8.8.8"},
    {"{\"options\":{\"trustedProxies\":[\"8.8.8.0/24\"]}," LIMIT("x") "}", "\x08\x08\x08\x08", 4,
     "X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7 @192.0.2.7"},
    {"{\"options\":{\"trustedProxies\":[\"8.8.8.0/24\"]}," LIMIT("x") "}", "\x0a\0\0\1", 4,
     "X-Forwarded-For: 192.0.2.7\r\n", "10.0.0.1 @10.0.0.1"},
    /* header, groups, address: in this order */
    {"{" PRIVATE RESOURCES "}", "\x0a\0\0\1", 4, "X-App: shop\r\nX-Forwarded-For: 192.0.2.7\r\n",
     "shop office lab 192.0.2.7 @192.0.2.7"},
    {"{" PRIVATE RESOURCES "}", "\x0a\0\0\1", 4, "X-Forwarded-For: 192.0.2.8\r\n", "office 192.0.2.8 @192.0.2.8"},
    {"{" PRIVATE RESOURCES "}", "\x0a\0\0\1", 4, "x-app:  shop \r\n", "shop 10.0.0.1 @10.0.0.1"},
    {"{" RESOURCES "}", "\x08\x08\x08\x08", 4, "X-App: shop\r\n", "8.8.8.8 @8.8.8.8"},
    /* who somebody is on this host is nobody's claim */
    {"{" PRIVATE RESOURCES "}", "\x0a\0\0\1", 4, "X-App: unit:nginx.service\r\n", "10.0.0.1 @10.0.0.1"},
    {"{" PRIVATE RESOURCES "}", "\x0a\0\0\1", 4, "X-App: uid:0\r\n", "10.0.0.1 @10.0.0.1"},
    /* a unix socket's peer is trusted */
    {"{" RESOURCES "}", "", 0, "X-App: shop\r\n", "shop @"},
    /* a connection alone has no header */
    {"{" RESOURCES "}", "\xc0\0\2\7", 4, NULL, "office lab 192.0.2.7 @192.0.2.7"},
};

START_TEST(names_of_a_caller) {
    struct admit_connection c = {.side = SIDE_INBOUND, .port = 80, .address_length = cases[_i].length};
    memcpy(c.peer, cases[_i].peer, cases[_i].length);
    ck_assert_str_eq(origin_of(cases[_i].rules, &c, cases[_i].lines), cases[_i].names);
}
END_TEST

/* Where a header is believed from everybody, it may still not name an address or a group. */
START_TEST(claims_of_anybody) {
    static const char rules[] = "{\"resources\":[{\"kind\":\"origin\",\"header\":\"X-Key\",\"anyPeer\":true},"
                                "{\"kind\":\"origin\",\"name\":\"office\",\"addresses\":[\"192.0.2.0/24\"]}]}";
    struct admit_connection c = {.side = SIDE_INBOUND, .port = 80, .address_length = 4, .peer = {8, 8, 8, 8}};
    ck_assert_str_eq(origin_of(rules, &c, "X-Key: k17\r\n"), "k17 8.8.8.8 @8.8.8.8");
    ck_assert_str_eq(origin_of(rules, &c, "X-Key: 10.0.0.1\r\n"), "8.8.8.8 @8.8.8.8");
    ck_assert_str_eq(origin_of(rules, &c, "X-Key: office\r\n"), "8.8.8.8 @8.8.8.8");
    ck_assert_str_eq(origin_of(rules, &c, "X-Key: comm:curl\r\n"), "8.8.8.8 @8.8.8.8");
}
END_TEST

/* What the kernel said of the caller, as far as rules ask for it. */
START_TEST(callers_of_this_host) {
    struct admit_connection c = {.side = SIDE_INBOUND, .port = 80, .address_length = 4, .peer = {127, 0, 0, 1}};
    struct caller_names *names = arena_take(sizeof(*names));
    memset(names, 0, sizeof(*names));
    names->unit_length = (uint8_t)sprintf(names->unit, "unit:cron.service");
    names->comm_length = (uint8_t)sprintf(names->comm, "comm:curl");
    names->uid_length = (uint8_t)sprintf(names->uid, "uid:1000");
    c.caller = arena_index(names);
    ck_assert_str_eq(origin_of("{" LIMIT("unit:cron.service") "}", &c, ""), "unit:cron.service 127.0.0.1 @127.0.0.1");
    ck_assert_str_eq(origin_of("{" LIMIT("uid:1000") "," RESOURCES "}", &c, "X-App: shop\r\n"),
                     "shop uid:1000 127.0.0.1 @127.0.0.1");
    ck_assert_str_eq(origin_of("{}", &c, ""), "127.0.0.1 @127.0.0.1");
    c.caller = CALLER_UNKNOWN;
    ck_assert_str_eq(origin_of("{" LIMIT("comm:curl") "}", &c, ""), "127.0.0.1 @127.0.0.1");
    c.caller = arena_index(names);
    caller_forget(&c);
    ck_assert_uint_eq(c.caller, 0);
    ck_assert_str_eq(origin_of("{" LIMIT("comm:curl") "}", &c, ""), "127.0.0.1 @127.0.0.1");
}
END_TEST

/* Calls that go out are the application's own. */
START_TEST(nobody_calls_out) {
    struct admit_connection c = connection_of(SIDE_OUTBOUND, 80);
    ck_assert_str_eq(origin_of("{" RESOURCES "}", &c, "X-App: shop\r\n"), "@10.0.0.5");
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("origin");
    tcase_add_loop_test(tests, names_of_a_caller, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(tests, claims_of_anybody);
    tcase_add_test(tests, callers_of_this_host);
    tcase_add_test(tests, nobody_calls_out);
    return suite_run("origin", tests, NULL);
}
