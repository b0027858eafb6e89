/* shim/protocol/http1/refusal.c: the bytes that a rejected client sees. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/protocol/http1/http1.h"
#include "shim/protocol/refusal.h"
#include "tests/unit/suite.h"

static struct refusal flow(void) {
    return (struct refusal){.reason = REASON_FLOW,
                            .resource = "POST:/checkout",
                            .resource_length = 14,
                            .rule = "checkout",
                            .limit = 200,
                            .interval_ns = 1000000000u,
                            .now_ns = 784111777000000000u,
                            .rate_headers = 1};
}

static char bytes[4096];
static size_t refuse(const char *request, const struct refusal *refusal, size_t size) {
    struct message message;
    ck_assert_int_eq(http1_request(request, strlen(request), 0, &message), PARSED_DONE);
    return http1_refuse(&message, refusal, bytes, size);
}

static const char *write_to(const char *request, const struct refusal *facts) {
    size_t size = refuse(request, facts, 2048);
    ck_assert_uint_gt(size, 0);
    bytes[size] = 0;
    return bytes;
}

#define PLAIN "POST /checkout HTTP/1.1\r\n\r\n"
#define BROWSER " /checkout HTTP/1.1\r\nAccept: text/html,*/*\r\n\r\n"
static const char *write_answer(const struct refusal *facts) {
    return write_to(PLAIN, facts);
}

START_TEST(whole_answer) {
    struct refusal f = flow();
    ck_assert_str_eq(write_answer(&f), "HTTP/1.1 429 Too Many Requests\r\n"
                                       "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" /* the example of RFC 9110 5.6.7 */
                                       "Content-Type: application/json\r\n"
                                       "Content-Length: 90\r\n"
                                       "Cache-Control: no-store\r\n"
                                       "Retry-After: 1\r\n"
                                       "RateLimit-Policy: \"checkout\";q=200;w=1\r\n"
                                       "RateLimit: \"checkout\";r=0;t=1\r\n"
                                       "\r\n"
                                       "{\"error\":\"blocked by weir\",\"resource\":\"POST:/checkout\","
                                       "\"reason\":\"flow\",\"rule\":\"checkout\"}\n");
}
END_TEST

START_TEST(content_length_is_the_bodys) {
    struct refusal f = flow();
    static const char *const pairs[][2] = {{PLAIN, "HEAD / HTTP/1.1\r\n\r\n"}, {"GET" BROWSER, "HEAD" BROWSER}};
    for (int html = 0; html < 2; html++) {
        const char *text = write_to(pairs[html][0], &f), *body = strstr(text, "\r\n\r\n") + 4;
        ck_assert(!strncmp(body, html ? "<!doctype" : "{", html ? 9 : 1));
        ck_assert_uint_eq(strtoul(strstr(text, "Content-Length: ") + 16, NULL, 10), strlen(body));
        text = write_to(pairs[html][1], &f);
        ck_assert_ptr_null(strstr(text, "Content-Length: 0"));
        ck_assert_str_eq(strstr(text, "\r\n\r\n") + 4, "");
    }
}
END_TEST

static const struct {
    uint8_t reason;
    const char *status, *word;
} statuses[] = {
    {REASON_FLOW, "HTTP/1.1 429 ", "flow"},           {REASON_PARAM, "HTTP/1.1 429 ", "param"},
    {REASON_ISOLATION, "HTTP/1.1 429 ", "isolation"}, {REASON_AUTHORITY, "HTTP/1.1 403 ", "authority"},
    {REASON_DEGRADE, "HTTP/1.1 503 ", "degrade"},     {REASON_SYSTEM, "HTTP/1.1 503 ", "system"},
    {REASON_ADAPTIVE, "HTTP/1.1 503 ", "adaptive"},
};
START_TEST(status_by_reason) {
    struct refusal f = flow();
    char word[64];
    f.reason = statuses[_i].reason;
    ck_assert(!strncmp(write_answer(&f), statuses[_i].status, 13));
    snprintf(word, sizeof(word), "\"reason\":\"%s\"", statuses[_i].word);
    ck_assert_ptr_nonnull(strstr(bytes, word));
    ck_assert_int_eq(strstr(bytes, "\r\nRetry-After: ") != NULL, f.reason != REASON_AUTHORITY);
    const char *page = write_to("GET" BROWSER, &f);
    ck_assert_int_eq(strstr(page, "try again") != NULL, f.reason != REASON_AUTHORITY);
}
END_TEST

START_TEST(names_cannot_break_out) {
    struct refusal f = flow();
    f.resource = "GET:/\"\r\nSet-Cookie: a=b\r\n\r\n<script>";
    f.resource_length = strlen(f.resource);
    f.rule = "a\"b\r\nX: y";
    f.trace = "\"}\x01";
    f.trace_length = 3;
    const char *text = write_answer(&f);
    ck_assert_ptr_null(strstr(text, "\nX: y"));
    ck_assert_ptr_null(strstr(text, "\nSet-Cookie"));
    ck_assert_ptr_nonnull(strstr(text, "RateLimit: \"a\\\"b??X: y\";r=0"));
    ck_assert_ptr_nonnull(strstr(text, "\"traceId\":\"\\\"}\\u0001\"}"));
    text = write_to("GET" BROWSER, &f);
    ck_assert_ptr_null(strstr(text, "<script"));
}
END_TEST

START_TEST(utf8_stays_and_other_bytes_are_escaped) {
    struct refusal f = flow();
    f.resource = "GET:/\xe5\x95\x86";
    f.resource_length = 8;
    ck_assert_ptr_nonnull(strstr(write_answer(&f), "GET:/\xe5\x95\x86\""));
    f.resource = "GET:/\xe5\x95";
    f.resource_length = 7;
    ck_assert_ptr_nonnull(strstr(write_answer(&f), "GET:/\\u00e5\\u0095\""));
}
END_TEST

START_TEST(retry_after_rounds_up_and_is_at_least_one) {
    struct refusal f = flow();
    static const struct {
        uint64_t ns;
        const char *line;
    } rows[] = {{0, "Retry-After: 1\r\n"},           {1, "Retry-After: 1\r\n"},
                {1000000000u, "Retry-After: 1\r\n"}, {1010000000u, "Retry-After: 1\r\n"},
                {1100000000u, "Retry-After: 2\r\n"}, {86400000000000u, "Retry-After: 86400\r\n"}};
    f.interval_ns = 60000000000u;
    f.retry_ns = 60600000000u;
    ck_assert_ptr_nonnull(strstr(write_answer(&f), "Retry-After: 60\r\n"));
    f.interval_ns = 1000000000u;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f.retry_ns = rows[i].ns;
        ck_assert_ptr_nonnull(strstr(write_answer(&f), rows[i].line));
    }
}
END_TEST

START_TEST(rate_headers_by_generation) {
    struct refusal f = flow();
    f.interval_ns = 0;
    ck_assert_ptr_nonnull(
        strstr(write_answer(&f), "RateLimit-Policy: \"checkout\";q=200;qu=\"concurrent-requests\"\r\n"));
    f.rate_headers = 2;
    ck_assert_ptr_nonnull(
        strstr(write_answer(&f), "\r\nRateLimit-Limit: 200\r\nRateLimit-Remaining: 0\r\nRateLimit-Reset: 1\r\n"));
    ck_assert_ptr_null(strstr(bytes, "RateLimit-Policy"));
    f.rate_headers = 3;
    ck_assert_ptr_nonnull(strstr(write_answer(&f), "\r\nX-RateLimit-Limit: 200\r\n"));
    f.rate_headers = 0;
    ck_assert_ptr_null(strstr(write_answer(&f), "RateLimit"));
    f.rate_headers = 1;
    f.reason = REASON_SYSTEM;
    ck_assert_ptr_null(strstr(write_answer(&f), "RateLimit"));
}
END_TEST

START_TEST(an_action_of_the_rules_file) {
    struct refusal_action action = {
        .status = 503,
        .headers = "X-Reason: busy\r\n",
        .content_type = "application/json",
        .body = "{\"at\":\"{resource}\",\"by\":\"{rule}\",\"why\":\"{reason}\",\"in\":{retryAfter},"
                "\"id\":\"{traceId}\",\"who\":\"{origin}\",\"own\":\"{braces}\"}",
        .redirect = ""};
    struct refusal f = flow();
    f.resource = "GET:/\"x";
    f.resource_length = 7;
    f.trace = "abc";
    f.trace_length = 3;
    f.origin = "10.0.0.1";
    f.origin_length = 8;
    f.action = &action;
    const char *text = write_answer(&f);
    ck_assert(!strncmp(text, "HTTP/1.1 503 Service Unavailable\r\n", 34));
    ck_assert_ptr_nonnull(strstr(text, "\r\nX-Reason: busy\r\n"));
    ck_assert_str_eq(
        strstr(text, "\r\n\r\n") + 4,
        "{\"at\":\"GET:/\\\"x\",\"by\":\"checkout\",\"why\":\"flow\",\"in\":1,\"id\":\"abc\",\"who\":\"10.0.0.1\","
        "\"own\":\"{braces}\"}");
    action = (struct refusal_action){.status = 302,
                                     .headers = "",
                                     .content_type = "",
                                     .body = "",
                                     .redirect = "https://www.example.org/wait?from={resource}"};
    text = write_answer(&f);
    ck_assert(!strncmp(text, "HTTP/1.1 302 Found\r\n", 20));
    ck_assert_ptr_nonnull(strstr(text, "\r\nLocation: https://www.example.org/wait?from=GET%3A/%22x\r\n"));
    action = (struct refusal_action){.status = 204, .headers = "", .content_type = "", .body = "", .redirect = ""};
    text = write_answer(&f);
    ck_assert_ptr_null(strstr(text, "Content-Length"));
    ck_assert_str_eq(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    action = (struct refusal_action){.headers = "", .content_type = "", .body = "busy {unclosed", .redirect = ""};
    ck_assert_str_eq(strstr(write_answer(&f), "\r\n\r\n") + 4, "busy {unclosed");
}
END_TEST

START_TEST(connection_header) {
    struct refusal f = flow();
    ck_assert_ptr_null(strstr(write_answer(&f), "Connection:"));
    f.close = true;
    ck_assert_ptr_nonnull(strstr(write_answer(&f), "\r\nConnection: close\r\n"));
}
END_TEST

START_TEST(too_small_a_buffer_writes_nothing_past_it) {
    struct refusal f = flow();
    size_t whole = refuse(PLAIN, &f, 2048);
    for (size_t size = 0; size < whole; size++) {
        memset(bytes, 'x', sizeof(bytes));
        ck_assert_uint_le(refuse(PLAIN, &f, size), size);
        ck_assert_int_eq(bytes[size], 'x');
    }
}
END_TEST

START_TEST(longest_names_fit) {
    char resource[215], rule[64], trace[128];
    memset(resource, 1, sizeof(resource)); /* every byte takes six */
    memset(rule, '"', sizeof(rule));
    rule[sizeof(rule) - 1] = 0;
    memset(trace, 'a', sizeof(trace));
    struct refusal f = flow();
    f.resource = resource;
    f.resource_length = sizeof(resource);
    f.rule = rule;
    f.trace = trace;
    f.trace_length = sizeof(trace);
    ck_assert_ptr_nonnull(strstr(write_answer(&f), "\r\n\r\n"));
}
END_TEST

START_TEST(the_short_id) {
    struct refusal f = flow();
    struct refusal_action action = {.headers = "", .content_type = "", .body = "call us: {id}", .redirect = ""};
    f.id = "3F-K7QM";
    const char *text = write_answer(&f);
    ck_assert_ptr_nonnull(strstr(text, "\r\nX-Weir-Id: 3F-K7QM\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\"rule\":\"checkout\",\"id\":\"3F-K7QM\"}"));
    ck_assert_ptr_nonnull(strstr(write_to("GET" BROWSER, &f), "id 3F-K7QM"));
    f.action = &action;
    ck_assert_str_eq(strstr(write_answer(&f), "\r\n\r\n") + 4, "call us: 3F-K7QM");
}
END_TEST

/* What the client sends and the answer repeats, by the kind of body. */
static const struct {
    const char *type, *expected;
} kinds[] = {
    {"application/json", "<\\u003cb\\u003e\\\"\\u0026>"},
    {"Application/LD+JSON", "<\\u003cb\\u003e\\\"\\u0026>"},
    {"text/html", "<&lt;b&gt;&quot;&amp;>"},
    {"application/xhtml+xml", "<&lt;b&gt;&quot;&amp;>"},
    {"image/svg+xml", "<&lt;b&gt;&quot;&amp;>"},
    {"text/javascript", "<\\u003cb\\u003e\\\"\\u0026>"},
    {"TEXT/HTML; charset=x", "<&lt;b&gt;&quot;&amp;>"},
    {"text/plain", "<<b>\"&>"},
};
START_TEST(templates_are_escaped_as_the_body_needs) {
    struct refusal f = flow();
    struct refusal_action action = {
        .headers = "", .content_type = kinds[_i].type, .body = "<{traceId}>", .redirect = ""};
    f.action = &action;
    f.trace = "<b>\"&";
    f.trace_length = 5;
    ck_assert_str_eq(strstr(write_answer(&f), "\r\n\r\n") + 4, kinds[_i].expected);
}
END_TEST

START_TEST(an_answer_that_is_too_long_is_still_one) {
    char body[1001], headers[501], resource[215];
    memset(body, 'b', sizeof(body) - 1);
    memcpy(body, "{resource}{resource}{resource}", 30);
    body[1000] = headers[500] = '\0';
    memset(headers, 'h', sizeof(headers) - 1);
    memcpy(headers, "X: ", 3);
    memcpy(headers + 498, "\r\n", 2);
    memset(resource, 1, sizeof(resource));
    struct refusal_action action = {
        .status = 503, .headers = headers, .content_type = "", .body = body, .redirect = ""};
    struct refusal f = flow();
    f.action = &action;
    f.resource = resource;
    f.resource_length = sizeof(resource);
    ck_assert_ptr_nonnull(strstr(write_answer(&f), "HTTP/1.1 503"));
    action.redirect = "/{resource}{resource}{resource}";
    ck_assert_ptr_nonnull(strstr(write_answer(&f), "HTTP/1.1 429"));
    ck_assert_ptr_nonnull(strstr(bytes, "\r\nContent-Length: 0\r\n"));
}
END_TEST

START_TEST(an_action_may_say_how_long_to_keep_it) {
    struct refusal_action action = {
        .headers = "cache-control: max-age=5\r\n", .content_type = "", .body = "", .redirect = ""};
    struct refusal f = flow();
    f.action = &action;
    ck_assert_ptr_null(strstr(write_answer(&f), "no-store"));
    action.headers = "X-Cache-Control: 5\r\n";
    ck_assert_ptr_nonnull(strstr(write_answer(&f), "no-store"));
}
END_TEST

/* What is refused without a rule, and without a request that could be made out. */
START_TEST(other_refusals) {
    static const struct {
        enum refused kind;
        const char *line;
    } others[] = {
        {REFUSED_MALFORMED, "HTTP/1.1 400 "}, {REFUSED_TOO_LARGE, "HTTP/1.1 431 "}, {REFUSED_CROWDED, "HTTP/1.1 503 "}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct refusal f = {.kind = (uint8_t)others[i].kind, .close = true};
        bytes[http1_refuse(NULL, &f, bytes, sizeof(bytes) - 1)] = '\0';
        ck_assert_msg(!strncmp(bytes, others[i].line, strlen(others[i].line)), "%s", bytes);
        ck_assert_ptr_nonnull(strstr(bytes, "\r\nConnection: close\r\n"));
        ck_assert_ptr_nonnull(strstr(bytes, "\r\nContent-Length: 0\r\n"));
    }
}
END_TEST

/* Whether the connection ends is found out later. */
START_TEST(settled_afterwards) {
    struct refusal f = flow();
    struct message old;
    static const char request[] = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    ck_assert_int_eq(http1_request(request, strlen(request), 0, &old), PARSED_DONE);
    size_t size = strlen(write_answer(&f)), before = size;
    ck_assert(!http1_settle(NULL, true, bytes, &size, size + 18));
    ck_assert_uint_eq(size, before);
    ck_assert(http1_settle(NULL, true, bytes, &size, size + 19));
    bytes[size] = '\0';
    ck_assert(!strncmp(bytes, "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nDate", 55));
    size = strlen(write_answer(&f));
    ck_assert(http1_settle(&old, false, bytes, &size, sizeof(bytes)));
    bytes[size] = '\0';
    ck_assert_ptr_nonnull(strstr(bytes, "\r\nConnection: keep-alive\r\n"));
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_test(all, whole_answer);
    tcase_add_test(all, content_length_is_the_bodys);
    tcase_add_loop_test(all, status_by_reason, 0, sizeof(statuses) / sizeof(statuses[0]));
    tcase_add_test(all, names_cannot_break_out);
    tcase_add_test(all, utf8_stays_and_other_bytes_are_escaped);
    tcase_add_test(all, retry_after_rounds_up_and_is_at_least_one);
    tcase_add_test(all, rate_headers_by_generation);
    tcase_add_test(all, an_action_of_the_rules_file);
    tcase_add_test(all, connection_header);
    tcase_add_test(all, too_small_a_buffer_writes_nothing_past_it);
    tcase_add_test(all, longest_names_fit);
    tcase_add_test(all, the_short_id);
    tcase_add_loop_test(all, templates_are_escaped_as_the_body_needs, 0, sizeof(kinds) / sizeof(kinds[0]));
    tcase_add_test(all, an_answer_that_is_too_long_is_still_one);
    tcase_add_test(all, an_action_may_say_how_long_to_keep_it);
    tcase_add_test(all, other_refusals);
    tcase_add_test(all, settled_afterwards);
    return suite_run("refusal", all, NULL);
}
