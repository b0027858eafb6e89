/* shim/admission: from a message to the engine's decision, its answer and its end; both directions. */
#include "tests/unit/admission_fixture.h"

#include <errno.h>
#include <netinet/in.h>

#include "shim/admission/unix_name.h"

START_TEST(passes_and_blocks) {
    rules_in_force("{\"flow\":[{\"id\":\"one\",\"resource\":\"GET:/a\",\"count\":1,\"intervalSec\":60}]}");
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    struct asked first = ask(&c, "/a?x=1", ""), second = ask(&c, "/a?x=2", "X-Request-Id: t17\r\n"),
                 other = ask(&c, "/b", "");
    ck_assert_int_eq(first.verdict, ENGINE_PASS);
    ck_assert_uint_gt(first.ticket.resources_count, 0);
    ck_assert_ptr_eq(first.ticket.engine, engine);
    ck_assert_uint_eq(first.size, 0);
    ck_assert_int_eq(other.verdict, ENGINE_PASS);
    ck_assert_int_eq(second.verdict, ENGINE_BLOCK);
    ck_assert_uint_eq(second.ticket.resources_count, 0);
    ck_assert_uint_eq(second.turn_ns, 0);
    ck_assert_msg(!strncmp(second.answer, "HTTP/1.1 429 ", 13), "%s", second.answer);
    ck_assert_ptr_nonnull(strstr(second.answer, "\"resource\":\"GET:/a\",\"reason\":\"flow\",\"rule\":\"one\""));
    ck_assert_ptr_nonnull(strstr(second.answer, "\"traceId\":\"t17\""));
    ck_assert(!second.close);
    no_rules_any_more();
}
END_TEST

START_TEST(passes_without_an_engine) {
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    uint64_t wait_ns = 7;
    struct asked asked = ask(&c, "/a", "");
    ck_assert_int_eq(asked.verdict, ENGINE_PASS);
    ck_assert_uint_eq(asked.ticket.resources_count, 0);
    ck_assert(admit_accept(&c, -1, &wait_ns));
    ck_assert_uint_eq(wait_ns, 0);
    ck_assert(!admit_http.strict(&c));
    ck_assert_int_eq(admit_tcp_reject(), TCP_REJECT_RESET);
    admit_http.response(&c, &asked.ticket, 200, false, now_ns); /* a ticket that is none is ended, too */
}
END_TEST

/* An end gives the permit back, once; an aborted request does; in a forked child the parent's tickets do not. */
START_TEST(ends_give_back) {
    rules_in_force("{\"isolation\":[{\"resource\":\"GET:/a\",\"count\":1}]}");
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    struct asked held = ask(&c, "/a", "");
    ck_assert_int_eq(held.verdict, ENGINE_PASS);
    ck_assert_int_eq(ask(&c, "/a", "").verdict, ENGINE_BLOCK);
    admit_http.response(&c, &held.ticket, 200, false, now_ns);
    ck_assert_uint_eq(held.ticket.resources_count, 0);
    held = ask(&c, "/a", "");
    ck_assert_int_eq(held.verdict, ENGINE_PASS);
    admit_http.response(&c, &held.ticket, 0, true, now_ns);
    held = ask(&c, "/a", "");
    ck_assert_int_eq(held.verdict, ENGINE_PASS);
    lifecycle_forked_ns = now_ns + 1;
    admit_http.response(&c, &held.ticket, 200, false, now_ns + 2);
    ck_assert_int_eq(ask(&c, "/a", "").verdict, ENGINE_BLOCK);
    no_rules_any_more();
}
END_TEST

/* A request that has to wait is given a turn, and the answer in case that it cannot. */
START_TEST(waits) {
    rules_in_force("{\"flow\":[{\"id\":\"q\",\"resource\":\"GET:/a\",\"count\":10,\"controlBehavior\":\"queue\","
                   "\"maxQueueingTimeMs\":150}]}");
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    ck_assert_int_eq(ask(&c, "/a", "").verdict, ENGINE_PASS);
    struct asked second = ask(&c, "/a", "");
    ck_assert_int_eq(second.verdict, ENGINE_WAIT);
    ck_assert_uint_eq(second.turn_ns, now_ns + 100 * MS);
    ck_assert_ptr_nonnull(strstr(second.answer, "\"rule\":\"q\""));
    ck_assert_int_eq(ask(&c, "/a", "").verdict, ENGINE_BLOCK); /* 200 ms would be too long */
    admit_http.cancel(&c, &second.ticket, true, now_ns);       /* its turn is another's now */
    ck_assert_uint_eq(second.ticket.resources_count, 0);
    struct asked third = ask(&c, "/a", "");
    ck_assert_int_eq(third.verdict, ENGINE_WAIT);
    ck_assert_uint_eq(third.turn_ns, now_ns + 100 * MS);
    admit_http.cancel(&c, &third.ticket, false, now_ns);
    no_rules_any_more();
}
END_TEST

/* What a block action says: its answer, its end of the connection, its delay; and not for everybody at once. */
START_TEST(block_actions) {
    rules_in_force(
        "{\"blockActions\":[{\"name\":\"slow\",\"status\":503,\"body\":\"{rule} {origin}\",\"close\":true,"
        "\"delayMs\":1000}],\"flow\":[{\"id\":\"f\",\"resource\":\"GET:/a\",\"count\":0,\"blockAction\":\"slow\"}]}");
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    struct asked asked = ask(&c, "/a", "");
    unsigned delayed = 0;
    ck_assert_int_eq(asked.verdict, ENGINE_BLOCK);
    ck_assert_uint_eq(asked.turn_ns, now_ns + SECOND);
    ck_assert(asked.close);
    ck_assert_ptr_nonnull(strstr(asked.answer, "HTTP/1.1 503 "));
    ck_assert_ptr_nonnull(strstr(asked.answer, "\r\nConnection: close\r\n"));
    ck_assert_str_eq(strstr(asked.answer, "\r\n\r\n") + 4, "f 10.0.0.1");
    for (int i = 0; i < 1000; i++)
        delayed += ask(&c, "/a", "").turn_ns != 0;
    ck_assert_uint_gt(delayed, 50);
    ck_assert_uint_lt(delayed, 300);
    no_rules_any_more();
}
END_TEST

static const struct {
    const char *rules;
    uint8_t side;
    uint16_t port;
    const char *target, *lines;
    enum engine_verdict verdict;
} cases[] = {
#define FLOW(resource) "{\"flow\":[{\"resource\":\"" resource "\",\"count\":0}]}"
#define CALLS(resource) "{\"flow\":[{\"resource\":\"" resource "\",\"count\":0,\"side\":\"outbound\"}]}"
    /* all names that a request has */
    {FLOW("GET:/a/{id}"), SIDE_INBOUND, 80, "/a/17", "", ENGINE_BLOCK},
    {FLOW("GET:/a/{id}"), SIDE_INBOUND, 80, "/a", "", ENGINE_PASS},
    {FLOW("http::8080"), SIDE_INBOUND, 8080, "/", "", ENGINE_BLOCK},
    {FLOW("http::8080"), SIDE_INBOUND, 8081, "/", "", ENGINE_PASS},
    {"{\"resources\":[{\"kind\":\"listener\",\"name\":\"admin\",\"port\":81}],\"flow\":[{\"resource\":\"admin\","
     "\"count\":0}]}",
     SIDE_INBOUND, 81, "/", "", ENGINE_BLOCK},
    {"{\"resources\":[{\"kind\":\"api\",\"name\":\"g\",\"predicateItems\":[{\"pattern\":\"/v1/**\",\"matchStrategy\":"
     "\"prefix\"}]}],\"flow\":[{\"resource\":\"g\",\"count\":0}]}",
     SIDE_INBOUND, 80, "/v1/x", "", ENGINE_BLOCK},
    /* the direction is the connection's */
    {CALLS("GET:http://payments:8080/a/{id}"), SIDE_OUTBOUND, 8080, "/a/1", "Host: payments:8080\r\n", ENGINE_BLOCK},
    {CALLS("GET:http://payments:8080/a/{id}"), SIDE_OUTBOUND, 8080, "/a/1", "Host: other\r\n", ENGINE_PASS},
    {CALLS("GET:http://payments:8080/a/{id}"), SIDE_INBOUND, 8080, "/a/1", "Host: payments:8080\r\n", ENGINE_PASS},
    {CALLS("tcp:10.0.0.5:8080"), SIDE_OUTBOUND, 8080, "/", "Host: x\r\n", ENGINE_BLOCK},
    {CALLS("tcp:10.0.0.5:8080"), SIDE_OUTBOUND, 8081, "/", "Host: x\r\n", ENGINE_PASS},
    {"{\"resources\":[{\"kind\":\"downstream\",\"name\":\"db\",\"pattern\":\"tcp:10.0.0.0/"
     "8:3306\"}],\"flow\":[{\"resource\":"
     "\"db\",\"count\":0,\"side\":\"outbound\"}]}",
     SIDE_OUTBOUND, 3306, "/", "", ENGINE_BLOCK},
    {"{\"flow\":[{\"resource\":\"GET:/a\",\"count\":0,\"side\":\"inbound\"}]}", SIDE_OUTBOUND, 80, "/a", "Host: x\r\n",
     ENGINE_PASS},
    /* values, and who calls */
    {"{\"paramFlow\":[{\"resource\":\"GET:/"
     "a\",\"count\":0,\"param\":{\"parseStrategy\":\"header\",\"fieldName\":\"X-A\"}}]}",
     SIDE_INBOUND, 80, "/a", "x-a: 1\r\n", ENGINE_BLOCK},
    {"{\"paramFlow\":[{\"resource\":\"GET:/"
     "a\",\"count\":0,\"param\":{\"parseStrategy\":\"header\",\"fieldName\":\"X-A\"}}]}",
     SIDE_INBOUND, 80, "/a", "x-b: 1\r\n", ENGINE_PASS},
    {"{\"authority\":[{\"resource\":\"GET:/a\",\"limitApp\":\"10.0.0.0/8\",\"strategy\":\"black\"}]}", SIDE_INBOUND, 80,
     "/a", "", ENGINE_BLOCK},
    {"{\"authority\":[{\"resource\":\"GET:/a\",\"limitApp\":\"192.0.2.7\",\"strategy\":\"black\"}]}", SIDE_INBOUND, 80,
     "/a", "X-Forwarded-For: 192.0.2.7\r\n", ENGINE_PASS},
    {"{\"options\":{\"trustedProxies\":\"private\"},\"authority\":[{\"resource\":\"GET:/a\",\"limitApp\":\"192.0.2.7\","
     "\"strategy\":\"black\"}]}",
     SIDE_INBOUND, 80, "/a", "X-Forwarded-For: 192.0.2.7\r\n", ENGINE_BLOCK},
    {"{\"flow\":[{\"resource\":\"GET:/a\",\"count\":10,\"cost\":\"header:X-Cost\"}]}", SIDE_INBOUND, 80, "/a",
     "X-Cost: 11\r\n", ENGINE_BLOCK},
};

START_TEST(described_to_the_engine) {
    rules_in_force(cases[_i].rules);
    struct admit_connection c = connection_of(cases[_i].side, cases[_i].port);
    for (int again = 0; again < 2; again++) { /* from what is remembered, too */
        struct asked asked = ask(&c, cases[_i].target, cases[_i].lines);
        ck_assert_msg(asked.verdict == cases[_i].verdict, "%d: %s", again, cases[_i].rules);
    }
    no_rules_any_more();
}
END_TEST

/* What is remembered of names ends with the rules. */
START_TEST(names_follow_the_rules) {
    rules_in_force("{}");
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    ck_assert_int_eq(ask(&c, "/a/1", "").verdict, ENGINE_PASS);
    size_t size;
    void *ruleset = ruleset_of(
        "{\"resources\":[{\"kind\":\"route\",\"name\":\"r\",\"pattern\":\"/a/*\"},"
        "{\"kind\":\"listener\",\"name\":\"l\",\"port\":80}],"
        "\"flow\":[{\"id\":\"f\",\"resource\":\"r\",\"count\":1},{\"resource\":\"l\",\"count\":2}]}",
        &size);
    ck_assert_int_eq(engine_adopt(engine, ruleset, size, 2), 0);
    free((void *)engine_release(engine));
    ck_assert_int_eq(ask(&c, "/a/1", "").verdict, ENGINE_PASS);
    ck_assert_ptr_nonnull(strstr(ask(&c, "/a/1", "").answer, "\"resource\":\"r\""));
    ck_assert_int_eq(ask(&c, "/b", "").verdict, ENGINE_PASS);
    ck_assert_ptr_nonnull(strstr(ask(&c, "/b", "").answer, "\"resource\":\"l\""));
    no_rules_any_more();
}
END_TEST

START_TEST(listeners_of_af_unix) {
    rules_in_force(FLOW("http:unix:/run/a.sock"));
    struct admit_connection c = {.side = SIDE_INBOUND, .unix_name = unix_name_note("/run/a.sock")};
    struct admit_connection other = {.side = SIDE_INBOUND, .unix_name = unix_name_note("@b")};
    ck_assert_str_eq(unix_name_text(other.unix_name), "@b");
    ck_assert_uint_eq(unix_name_note("/run/a.sock"), c.unix_name);
    ck_assert_int_eq(ask(&c, "/", "").verdict, ENGINE_BLOCK);
    ck_assert_int_eq(ask(&other, "/", "").verdict, ENGINE_PASS);
    no_rules_any_more();
}
END_TEST

START_TEST(connections) {
    rules_in_force(
        "{\"isolation\":[{\"resource\":\"tcp::80\",\"count\":1}],\"options\":{\"reject\":\"close\"},"
        "\"blockActions\":[{\"name\":\"e\",\"errno\":\"EHOSTUNREACH\"}],\"flow\":[{\"resource\":\"tcp:10.0.0.5:25\","
        "\"count\":1,\"side\":\"outbound\",\"blockAction\":\"e\"}]}");
    struct admit_connection first = connection_of(SIDE_INBOUND, 80), second = first;
    uint64_t wait_ns;
    ck_assert(admit_accept(&first, -1, &wait_ns));
    ck_assert(!admit_accept(&second, -1, &wait_ns));
    ck_assert_int_eq(admit_tcp_reject(), TCP_REJECT_CLOSE);
    admit_disconnect(&second, false); /* it holds nothing */
    ck_assert(!admit_accept(&second, -1, &wait_ns));
    admit_disconnect(&first, false);
    ck_assert(admit_accept(&second, -1, &wait_ns));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(25), .sin_addr.s_addr = htonl(0x0a000005)};
    struct admit_connection call = {0};
    ck_assert_int_eq(admit_connect(&call, (struct sockaddr *)&to, sizeof(to), &wait_ns), 0);
    ck_assert_int_eq(call.side, SIDE_OUTBOUND);
    ck_assert_int_eq(admit_connect(&call, (struct sockaddr *)&to, sizeof(to), &wait_ns), EHOSTUNREACH);
    to.sin_port = htons(26);
    ck_assert_int_eq(admit_connect(&call, (struct sockaddr *)&to, sizeof(to), &wait_ns), 0);
    no_rules_any_more();
}
END_TEST

/* More holds than there is room for in a connection: they stand elsewhere, and come back all the same. */
START_TEST(connections_that_hold_much) {
    rules_in_force(
        "{\"isolation\":[{\"id\":\"1\",\"resource\":\"tcp::80\",\"count\":1},{\"id\":\"2\",\"resource\":\"tcp::80\","
        "\"count\":1},{\"id\":\"3\",\"resource\":\"tcp::80\",\"count\":1},{\"id\":\"4\",\"resource\":\"tcp::80\","
        "\"count\":1}]}");
    struct admit_connection c = connection_of(SIDE_INBOUND, 80), other = c;
    uint64_t wait_ns;
    for (int i = 0; i < 3; i++) {
        ck_assert(admit_accept(&c, -1, &wait_ns));
        ck_assert(!admit_accept(&other, -1, &wait_ns));
        admit_disconnect(&c, i == 1);
    }
    no_rules_any_more();
}
END_TEST

START_TEST(strict_and_counted) {
    rules_in_force("{\"options\":{\"strictHttp\":\"reject\"}}");
    struct admit_connection c = connection_of(SIDE_INBOUND, 80);
    unsigned before = undecided;
    ck_assert_int_eq(admit_http.strict(&c), STREAM_REJECT);
    admit_http.undecided(&c);
    ck_assert_uint_eq(undecided, before + 1);
    admit_http.malformed(&c);
    ck_assert_uint_eq(malformed, 1);
    rules_in_force("{\"options\":{\"strictHttp\":\"opaque\"}}");
    ck_assert_int_eq(admit_http.strict(&c), STREAM_OPAQUE);
    rules_in_force("{\"flow\":[{\"resource\":\"GET:/a\",\"count\":0}]}");
    ck_assert_int_eq(admit_http.strict(&c), STREAM_DEFEND);
    rules_in_force("{}");
    ck_assert_int_eq(admit_http.strict(&c), STREAM_OPAQUE);
    ck_assert_ptr_null(admit_http.protocol);
    ck_assert_ptr_eq(admit_http_only.protocol, &http1);
    no_rules_any_more();
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("admission");
    tcase_add_test(tests, passes_and_blocks);
    tcase_add_test(tests, passes_without_an_engine);
    tcase_add_test(tests, ends_give_back);
    tcase_add_test(tests, waits);
    tcase_add_test(tests, block_actions);
    tcase_add_loop_test(tests, described_to_the_engine, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(tests, names_follow_the_rules);
    tcase_add_test(tests, listeners_of_af_unix);
    tcase_add_test(tests, connections);
    tcase_add_test(tests, connections_that_hold_much);
    tcase_add_test(tests, strict_and_counted);
    return suite_run("admission", tests, NULL);
}
