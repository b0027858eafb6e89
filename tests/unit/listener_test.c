/* What becomes of connections that rules about requests cannot be kept on. */
#include "shim/admission/listener.h"
#include "shim/protocol/preamble.h"
#include "tests/unit/admission_fixture.h"

#define STRICT "\"options\":{\"strictHttp\":\"reject\"}"
#define LISTENER(more) "\"resources\":[{\"kind\":\"listener\",\"name\":\"front\",\"port\":80," more "}],"
#define RULE(kind, more) "\"" kind "\":[{" more ",\"count\":0}]"
#define FLOW(resource) RULE("flow", "\"resource\":\"" resource "\"")

static const struct {
    const char *rules;
    bool holds; /* for the connections of port 80 */
} rules_about[] = {
    {"{}", false},
    {"{" FLOW("GET:/a") "}", true},
    {"{" FLOW("http::80") "}", true},
    {"{" FLOW("http::81") "}", false},
    {"{" FLOW("http::800") "}", false},
    {"{" FLOW("tcp::80") "}", false},
    {"{" FLOW("{other}") "}", true},
    {"{" RULE("flow", "\"resource\":\"tcp:\",\"resourceMatch\":\"prefix\"") "}", false},
    {"{" RULE("flow", "\"resource\":\"http::81\",\"resourceMatch\":\"prefix\"") "}", true},
    {"{" RULE("flow", "\"resource\":\"GET:/a\",\"mode\":\"simulate\"") "}", false},
    {"{" RULE("flow", "\"resource\":\"GET:/a\",\"side\":\"outbound\"") "}", false},
    {"{" RULE("isolation", "\"resource\":\"GET:/a\"") "}", true},
    {"{\"system\":{\"qps\":10}}", true},
    {"{\"system\":{\"qps\":10,\"mode\":\"simulate\"}}", false},
    {"{" LISTENER("\"protocol\":\"http\"") FLOW("front") "}", true},
    {"{" LISTENER("\"protocol\":\"tcp\"") FLOW("front") "}", false},
    {"{\"resources\":[{\"kind\":\"listener\",\"name\":\"back\",\"port\":81}]," FLOW("back") "}", false},
};

START_TEST(rules_that_hold) {
    rules_in_force(rules_about[_i].rules);
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    uint32_t token = engine_read_begin(engine);
    ck_assert_msg(listener_has_request_rules(engine_ruleset(engine), &c) == rules_about[_i].holds, "%s",
                  rules_about[_i].rules);
    engine_read_end(engine, token);
    no_rules_any_more();
}
END_TEST

static const struct {
    const char *rules;
    enum opaque_reason why;
    const struct protocol *by;
} refusals[] = {
    {"{" STRICT "," FLOW("GET:/a") "}", OPAQUE_HTTP2, &preamble_http2},
    {"{" STRICT "," FLOW("GET:/a") "}", OPAQUE_UPGRADED, &http1},
    {"{" STRICT "," FLOW("GET:/a") "}", OPAQUE_TLS, NULL},
    {"{" STRICT "," FLOW("GET:/a") "}", OPAQUE_FOREIGN, NULL}, /* not known to serve HTTP */
    {"{" STRICT "," FLOW("GET:/a") "}", OPAQUE_MALFORMED, &http1},
    {"{" STRICT "," FLOW("tcp::80") "}", OPAQUE_HTTP2, NULL},
    {"{\"options\":{\"strictHttp\":\"opaque\"}," FLOW("GET:/a") "}", OPAQUE_HTTP2, NULL},
    {"{" STRICT "," LISTENER("\"protocol\":\"h2\"") FLOW("GET:/a") "}", OPAQUE_HTTP2, NULL},
    {"{" STRICT "," LISTENER("\"protocol\":\"h2\"") FLOW("GET:/a") "}", OPAQUE_UPGRADED, NULL},
    {"{" STRICT "," LISTENER("\"protocol\":\"tcp\"") FLOW("GET:/a") "}", OPAQUE_HTTP2, NULL},
    {"{" STRICT "," LISTENER("\"protocol\":\"http\"") FLOW("GET:/a") "}", OPAQUE_HTTP2, &preamble_http2},
    {"{\"options\":{\"strictHttp\":\"opaque\"}," FLOW("GET:/a") "}", OPAQUE_MALFORMED, NULL},
    {"{" LISTENER("\"protocol\":\"http\"") FLOW("GET:/a") "}", OPAQUE_FOREIGN, &http1},
    {"{" LISTENER("\"protocol\":\"http\"") FLOW("tcp::80") "}", OPAQUE_FOREIGN, NULL},
    {"{" FLOW("GET:/a") "}", OPAQUE_FOREIGN, NULL},
    {"{" FLOW("GET:/a") "}", OPAQUE_HTTP2, &preamble_http2},
};

START_TEST(refused_or_not) {
    rules_in_force(refusals[_i].rules);
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    uint64_t wait_ns;
    admit_accept(&c, -1, &wait_ns); /* notes what its listener says */
    ck_assert(refusals[_i].why != OPAQUE_FOREIGN || admit_http.plain(&c) == (refusals[_i].by != NULL));
    ck_assert_ptr_eq(admit_http.refuses(&c, refusals[_i].why), refusals[_i].by);
    admit_disconnect(&c, false);
    no_rules_any_more();
    ck_assert(!admit_http.plain(&c));
    ck_assert_ptr_null(admit_http.refuses(&c, refusals[_i].why));
}
END_TEST

static const struct {
    unsigned status;
    bool serves;
} answers[] = {{0, false},  {400, false}, {301, false}, {302, false}, {308, false},
               {200, true}, {204, true},  {404, true},  {401, true},  {503, true}};

/* The server's answers make it one, each process and port by itself; what TLS servers say to plain text does not. */
START_TEST(serves_http) {
    struct admit_connection c = connection_of(SIDE_INBOUND, 80), other = connection_of(SIDE_INBOUND, 81);
    struct admit_connection local = connection_of(SIDE_INBOUND, 0);
    local.unix_name = 80;
    listener_answered(&c, answers[_i].status);
    ck_assert(listener_serves_http(&c) == answers[_i].serves);
    ck_assert(!listener_serves_http(&other) && !listener_serves_http(&local));
    other.protocol = PROTOCOL_HTTP;
    ck_assert(listener_serves_http(&other));
}
END_TEST

START_TEST(many_listeners) {
    for (uint16_t port = 1; port < 1000; port++) {
        struct admit_connection c = connection_of(SIDE_INBOUND, port);
        listener_answered(&c, 200);
        listener_answered(&c, 200);
        c = connection_of(SIDE_INBOUND, port);
        ck_assert(listener_serves_http(&c) == (port <= 64));
    }
}
END_TEST

static const struct {
    const char *trusted;
    bool believed;
} peers[] = {{"\"10.0.0.0/8\"", true}, {"\"10.0.0.2\"", false}, {"\"127.0.0.1\"", false}};

START_TEST(whom_a_header_of_proxy_names) {
    char text[200];
    static const unsigned char six[16] = {0x20, 1, [15] = 1};
    snprintf(text, sizeof(text), "{\"options\":{\"trustedProxies\":[%s]}}", peers[_i].trusted);
    rules_in_force(text);
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    admit_http.proxied(&c, NULL, 0);
    ck_assert(c.address_length == 4 && memcmp(c.peer, "\x0a\0\0\1", 4) == 0);
    admit_http.proxied(&c, six, sizeof(six));
    ck_assert_uint_eq(c.address_length, peers[_i].believed ? 16 : 4);
    ck_assert(memcmp(c.peer, peers[_i].believed ? (const char *)six : "\x0a\0\0\1", c.address_length) == 0);
    no_rules_any_more();
}
END_TEST

START_TEST(as_the_listener_says) {
    static const struct {
        const char *said;
        enum proxy_header proxy;
    } cases[] = {{"auto", PROXY_AUTO}, {"on", PROXY_ON}, {"off", PROXY_OFF}};
    char text[200];
    uint64_t wait_ns;
    snprintf(text, sizeof(text),
             "{\"options\":{\"strictHttp\":\"opaque\"}," LISTENER("\"proxyProtocol\":\"%s\"") FLOW("GET:/a") "}",
             cases[_i].said);
    rules_in_force(text);
    struct admit_connection c = connection_of(SIDE_INBOUND, 80), other = connection_of(SIDE_INBOUND, 81);
    ck_assert(admit_accept(&c, -1, &wait_ns) && admit_accept(&other, -1, &wait_ns));
    ck_assert_int_eq(admit_http.proxy(&c), cases[_i].proxy);
    ck_assert_int_eq(admit_http.proxy(&other), PROXY_AUTO);
    ck_assert((admit_http.refuses(&c, OPAQUE_MALFORMED) != NULL) == (cases[_i].proxy == PROXY_ON));
    admit_disconnect(&c, false);
    admit_disconnect(&other, false);
    no_rules_any_more();
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("listener");
    tcase_add_loop_test(tests, rules_that_hold, 0, sizeof(rules_about) / sizeof(rules_about[0]));
    tcase_add_loop_test(tests, refused_or_not, 0, sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_loop_test(tests, serves_http, 0, sizeof(answers) / sizeof(answers[0]));
    tcase_add_test(tests, many_listeners);
    tcase_add_loop_test(tests, whom_a_header_of_proxy_names, 0, sizeof(peers) / sizeof(peers[0]));
    tcase_add_loop_test(tests, as_the_listener_says, 0, 3);
    return suite_run("listener", tests, NULL);
}
