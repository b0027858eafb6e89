#include <check.h>
#include <stdio.h>

#include "rules/naming/names.h"
#include "shim/protocol/http1/http1.h"
#include "tests/guard_page.h"
#include "tests/smuggling.h"
#include "tests/unit/suite.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static struct guard_page guard;

static void setup(void) {
    guard = guard_page_new(2 * MESSAGE_HEAD_MAX);
}

static void teardown(void) {
    guard_page_free(&guard);
}

static bool slice_is(struct slice slice, const char *text) {
    return slice.size == strlen(text) && memcmp(slice.at, text, slice.size) == 0;
}

/* --------------------------------------------------------------------------------------------------------- requests */

static const struct {
    const char *bytes, *target, *host;
    enum http_method method;
    enum body_framing framing;
    uint64_t length;
    bool keep_alive, expect, upgrade;
} requests[] = {
    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "/", "x", HTTP_METHOD_OTHER, BODY_NONE, 0, true, false, false},
    {"GET / HTTP/1.1\r\n\r\n", "/", NULL, HTTP_METHOD_OTHER, BODY_NONE, 0, true, false, false},
    {"GET / HTTP/1.0\r\n\r\n", "/", NULL, HTTP_METHOD_OTHER, BODY_NONE, 0, false, false, false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", NULL, HTTP_METHOD_OTHER, BODY_NONE, 0, true, false,
     false},
    {"\r\n\r\nHEAD /a?b=c HTTP/1.1\r\nhOST:\t y \r\n\r\n", "/a?b=c", "y", HTTP_METHOD_HEAD, BODY_NONE, 0, true, false,
     false},
    {"POST http://h/p HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "http://h/p", NULL, HTTP_METHOD_OTHER, BODY_LENGTH, 5,
     true, false, false},
    {"POST / HTTP/1.1\r\ncontent-length:   7\r\nConnection: foo, close\r\n\r\n", "/", NULL, HTTP_METHOD_OTHER,
     BODY_LENGTH, 7, false, false, false},
    {"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "/", NULL, HTTP_METHOD_OTHER, BODY_LENGTH, 5,
     true, false, false},
    {"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "/", NULL, HTTP_METHOD_OTHER, BODY_NONE, 0, true, false, false},
    {"PUT / HTTP/1.1\r\nTRANSFER-ENCODING:Chunked\r\nExpect: 100-Continue\r\n\r\n", "/", NULL, HTTP_METHOD_OTHER,
     BODY_CODED, 0, true, true, false},
    {"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n", "/ws", NULL,
     HTTP_METHOD_OTHER, BODY_NONE, 0, true, false, true},
    {"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "/ws", NULL, HTTP_METHOD_OTHER, BODY_NONE, 0, true, false,
     false},
    {"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", "h:443", "h:443", HTTP_METHOD_CONNECT, BODY_NONE, 0, true, false,
     true},
    {"GET /x\r\n", "/x", NULL, HTTP_METHOD_OTHER, BODY_NONE, 0, false, false, false}, /* HTTP/0.9 */
    {"GET http://h/x  \n", "http://h/x", NULL, HTTP_METHOD_OTHER, BODY_NONE, 0, false, false, false},
    {"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "*", "", HTTP_METHOD_OTHER, BODY_NONE, 0, true, false, false},
    {"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\nX: \xff\t\"a:b\"\r\nHost: second\r\n\r\n", "/\xc3\xa9", "x",
     HTTP_METHOD_OTHER, BODY_NONE, 0, true, false, false},
    {"get / HTTP/1.1\r\nContent-Lengths: 9\r\nXTransfer-Encoding: a\r\nExpect: x\r\nConnection: close,close\r\n\r\n",
     "/", NULL, HTTP_METHOD_OTHER, BODY_NONE, 0, false, false, false},
};

START_TEST(request) {
    const char *text = requests[_i].bytes;
    char more[1024];
    struct message head;
    int size = snprintf(more, sizeof(more), "%sBODY AND MORE\r\n\r\n", text);
    ck_assert_int_eq(http1_request(more, (size_t)size, 0, &head), PARSED_DONE);
    ck_assert_uint_eq(head.size, strlen(text));
    ck_assert_ptr_eq(head.bytes, more);
    ck_assert(slice_is(head.target, requests[_i].target));
    ck_assert(requests[_i].host ? slice_is(head.host, requests[_i].host) : head.host.at == NULL);
    ck_assert_int_eq(head.method_id, requests[_i].method);
    ck_assert_int_eq(head.framing, requests[_i].framing);
    ck_assert_uint_eq(head.content_length, requests[_i].length);
    ck_assert_int_eq(head.keep_alive, requests[_i].keep_alive);
    ck_assert_int_eq(head.expect_continue, requests[_i].expect);
    ck_assert_int_eq(head.upgrade, requests[_i].upgrade);
}
END_TEST

static void check_same(const struct message *a, const struct message *b) {
    ck_assert_uint_eq(a->size, b->size);
    ck_assert_uint_eq(a->target.size, b->target.size);
    ck_assert_uint_eq((uintptr_t)(a->target.at - a->bytes), (uintptr_t)(b->target.at - b->bytes));
    ck_assert_int_eq(a->framing, b->framing);
    ck_assert_int_eq(a->keep_alive, b->keep_alive);
}

/* Right in front of an unmapped page: every beginning is MORE, and reads nothing beyond; whatever was seen before, the
 * end is the same. */
START_TEST(request_in_pieces) {
    const char *text = requests[_i].bytes;
    size_t size = strlen(text);
    struct message whole, head;
    ck_assert_int_eq(http1_request(guard_page_put_low(&guard, text, size), size, 0, &whole), PARSED_DONE);
    whole.target.at = text + (whole.target.at - whole.bytes);
    whole.bytes = text;
    for (size_t part = 0; part < size; part++) {
        ck_assert_int_eq(http1_request(guard_page_put(&guard, text, part), part, 0, &head), PARSED_MORE);
        for (size_t next = part; part && next <= size; next++) {
            const char *bytes = guard_page_put(&guard, text, next);
            ck_assert_int_eq(http1_request(bytes, next, part, &head), next < size ? PARSED_MORE : PARSED_DONE);
            if (next == size)
                check_same(&whole, &head);
        }
    }
}
END_TEST

START_TEST(ambiguous_request) {
    const struct smuggling_case *c = &smuggling_heads[_i];
    struct message head;
    ck_assert_msg(http1_request(c->bytes, c->size, 0, &head) == PARSED_BROKEN, "%s", c->name);
    /* However it comes in, it is never DONE, and BROKEN at the latest when it is complete. */
    for (size_t first = 1; first < c->size; first++) {
        enum parsed answer = PARSED_MORE;
        size_t seen = 0;
        for (size_t size = first; answer == PARSED_MORE; size++) {
            ck_assert_msg(size <= c->size, "%s", c->name);
            answer = http1_request(guard_page_put(&guard, c->bytes, size), size, seen, &head);
            seen = size;
        }
        ck_assert_msg(answer == PARSED_BROKEN, "%s, %zu bytes first", c->name, first);
    }
}
END_TEST

/* 64 KiB and no more. */
START_TEST(head_limit) {
    static char text[MESSAGE_HEAD_MAX + 16];
    struct message head;
    int start = sprintf(text, "GET / HTTP/1.1\r\nX: ");
    memset(text + start, 'x', sizeof(text) - (size_t)start);
    ck_assert_int_eq(http1_request(text, MESSAGE_HEAD_MAX - 1, 0, &head), PARSED_MORE);
    ck_assert_int_eq(http1_request(text, MESSAGE_HEAD_MAX, MESSAGE_HEAD_MAX - 1, &head), PARSED_BROKEN);
    memcpy(text + MESSAGE_HEAD_MAX - 4, "\r\n\r\n", 4);
    ck_assert_int_eq(http1_request(text, sizeof(text), 0, &head), PARSED_DONE);
    ck_assert_uint_eq(head.size, MESSAGE_HEAD_MAX);
    memset(text + MESSAGE_HEAD_MAX - 4, 'x', 4);
    memcpy(text + MESSAGE_HEAD_MAX - 3, "\r\n\r\n", 4);
    ck_assert_int_eq(http1_request(text, sizeof(text), 0, &head), PARSED_BROKEN);
}
END_TEST

START_TEST(leading_lines_limit) {
    static char text[MESSAGE_HEAD_MAX];
    struct message head;
    for (size_t i = 0; i < sizeof(text); i += 2)
        memcpy(text + i, "\r\n", 2);
    ck_assert_int_eq(http1_request(text, 1000, 0, &head), PARSED_MORE);
    ck_assert_int_eq(http1_request(text, 1001, 1000, &head), PARSED_MORE);
    ck_assert_int_eq(http1_request(text, sizeof(text), 1000, &head), PARSED_BROKEN);
}
END_TEST

START_TEST(find_header) {
    static const char text[] =
        "GET / HTTP/1.1\r\nAccept: text/html\r\nX-Request-ID:  abc \r\nEmpty:\r\naccept: second\r\nA-B: 1\r\n\r\n";
    struct message head;
    size_t at = 0;
    struct slice name, value;
    ck_assert_int_eq(http1_request(text, sizeof(text) - 1, 0, &head), PARSED_DONE);
    struct slice found = message_field(&head, "ACCEPT");
    ck_assert(found.at && found.size == 9 && memcmp(found.at, "text/html", 9) == 0);
    found = message_field(&head, "x-request-id");
    ck_assert(found.at && found.size == 3 && memcmp(found.at, "abc", 3) == 0);
    found = message_field(&head, "empty");
    ck_assert(found.at != NULL);
    ck_assert_uint_eq(found.size, 0);
    ck_assert_ptr_null(message_field(&head, "a\rb").at);
    ck_assert_ptr_null(message_field(&head, "Acce").at);
    int count = 0;
    while (http1_field(&head, &at, &name, &value))
        count++;
    ck_assert_int_eq(count, 5);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- responses */

static const struct {
    const char *bytes;
    enum http_method to;
    unsigned status;
    enum body_framing framing;
    uint64_t length;
} responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_METHOD_OTHER, 200, BODY_LENGTH, 5},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_METHOD_HEAD, 200, BODY_NONE, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP_METHOD_OTHER, 200, BODY_NONE, 0},
    {"HTTP/1.1 200\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HTTP_METHOD_OTHER, 200, BODY_CODED, 0},
    {"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", HTTP_METHOD_OTHER, 200, BODY_CODED, 0},
    {"HTTP/1.0 200 OK\r\n\r\n", HTTP_METHOD_OTHER, 200, BODY_UNTIL_CLOSE, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", HTTP_METHOD_OTHER, 200, BODY_UNTIL_CLOSE, 0},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", HTTP_METHOD_OTHER, 204, BODY_NONE, 0},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", HTTP_METHOD_OTHER, 304, BODY_NONE, 0},
    {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", HTTP_METHOD_OTHER, 101, BODY_NONE, 0},
    {"HTTP/1.1 200 OK\r\n\r\n", HTTP_METHOD_CONNECT, 200, BODY_UNTIL_CLOSE, 0},
    {"HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\n", HTTP_METHOD_CONNECT, 403, BODY_LENGTH, 1},
    {"HTTP/1.1 200 OK\nContent-Length: 5 \nX\n folded\n\n", HTTP_METHOD_OTHER, 200, BODY_LENGTH, 5},
};

START_TEST(response) {
    const char *text = responses[_i].bytes;
    size_t size = strlen(text);
    struct message head;
    struct body body;
    for (size_t part = 0; part <= size; part++) {
        enum parsed answer = http1_response(guard_page_put(&guard, text, part), part, 0, &head);
        ck_assert_msg(answer == (part < size ? PARSED_MORE : PARSED_DONE), "%zu bytes of %s", part, text);
    }
    ck_assert_uint_eq(head.size, size);
    ck_assert_uint_eq(head.status, responses[_i].status);
    http1_response_body_start(&body, &head, responses[_i].to);
    ck_assert_int_eq(body.framing, responses[_i].framing);
    ck_assert_uint_eq(body.left, responses[_i].length);
}
END_TEST

static const char *const broken_responses[] = {
    "SSH-2.0-x",
    "HTTP/2 200 OK\r\n",
    "HTTP/1.1  200 OK\r\n",
    "HTTP/1.1 20 OK\r\n",
    "HTTP/1.1 2000\r\n",
    "HTTP/1.1 099 X\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "HTTP/1.1\r\n",
};

START_TEST(broken_response) {
    struct message head;
    size_t size = strlen(broken_responses[_i]);
    ck_assert_int_eq(http1_response(guard_page_put(&guard, broken_responses[_i], size), size, 0, &head), PARSED_BROKEN);
}
END_TEST

/* ----------------------------------------------------------------------------------------------------------- bodies */

static const struct {
    const char *bytes;
    enum parsed strict, lenient;
} chunked[] = {
    {"0\r\n\r\n", PARSED_DONE, PARSED_DONE},
    {"5\r\n12345\r\n0\r\n\r\n", PARSED_DONE, PARSED_DONE},
    {"A;name=\"v;a\"\r\n1234567890\r\n00\r\nTrailer: x\r\nOther: y\r\n\r\n", PARSED_DONE, PARSED_DONE},
    {"5 \t\r\n12345\r\n0\r\n\r\n", PARSED_DONE, PARSED_DONE},
    {"5\n12345\n0\n\n", PARSED_BROKEN, PARSED_DONE},
    {"5\r\n123456", PARSED_BROKEN, PARSED_BROKEN},
    {"\r\n", PARSED_BROKEN, PARSED_BROKEN},
    {"x", PARSED_BROKEN, PARSED_BROKEN},
    {"000000000000000", PARSED_MORE, PARSED_MORE},
    {"0000000000000000", PARSED_BROKEN, PARSED_BROKEN},
};

static enum parsed skip_in_pieces(const char *text, size_t piece, bool lenient, size_t *ret_taken) {
    struct body body = {.framing = BODY_CODED, .lenient = lenient};
    size_t size = strlen(text), at = 0;
    enum parsed answer = PARSED_MORE;
    while (at < size && answer == PARSED_MORE) {
        size_t step = piece < size - at ? piece : size - at, taken = 0;
        answer = http1_body_skip(&body, guard_page_put(&guard, text + at, step), step, &taken);
        ck_assert(answer == PARSED_MORE ? taken == step : taken <= step);
        at += taken;
    }
    *ret_taken = at;
    return answer;
}

START_TEST(chunks) {
    const char *text = chunked[_i].bytes;
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        size_t taken;
        ck_assert_int_eq(skip_in_pieces(text, piece, false, &taken), chunked[_i].strict);
        ck_assert(chunked[_i].strict == PARSED_BROKEN || taken == strlen(text));
        ck_assert_int_eq(skip_in_pieces(text, piece, true, &taken), chunked[_i].lenient);
        ck_assert(chunked[_i].lenient == PARSED_BROKEN || taken == strlen(text));
    }
}
END_TEST

START_TEST(ambiguous_chunks) {
    const struct smuggling_case *c = &smuggling_chunks[_i];
    struct message head;
    struct body body;
    size_t taken;
    ck_assert_int_eq(http1_request(c->bytes, c->size, 0, &head), PARSED_DONE);
    body = (struct body){.framing = head.framing, .left = head.content_length};
    ck_assert_msg(http1_body_skip(&body, c->bytes + head.size, c->size - head.size, &taken) == PARSED_BROKEN, "%s",
                  c->name);
    ck_assert_msg(head.size + taken <= c->size - strlen(SMUGGLED) + 1, "%s", c->name);
}
END_TEST

/* What is in order ends where the request behind it begins. */
START_TEST(unambiguous) {
    const struct smuggling_case *c = &smuggling_valid[_i];
    struct message head;
    struct body body;
    size_t taken, behind = c->size - strlen(SMUGGLED);
    ck_assert_msg(http1_request(c->bytes, c->size, 0, &head) == PARSED_DONE, "%s", c->name);
    body = (struct body){.framing = head.framing, .left = head.content_length};
    ck_assert_msg(http1_body_skip(&body, c->bytes + head.size, c->size - head.size, &taken) == PARSED_DONE, "%s",
                  c->name);
    ck_assert_msg(head.size + taken == behind, "%s: ends at %zu of %zu", c->name, head.size + taken, behind);
    ck_assert_int_eq(http1_request(c->bytes + behind, c->size - behind, 0, &head), PARSED_DONE);
}
END_TEST

/* What is odd is judged: seen so when it is complete, and it ends where the request behind it begins. */
START_TEST(odd) {
    const struct smuggling_case *c = &smuggling_odd[_i];
    struct message head = {.size = 0};
    size_t taken, behind = c->size - strlen(SMUGGLED);
    enum parsed answer = http1_request(c->bytes, c->size, 0, &head);
    ck_assert_msg(answer == PARSED_DONE, "%s", c->name);
    struct body body = {.framing = head.framing, .left = head.content_length};
    answer = http1_body_skip(&body, c->bytes + head.size, c->size - head.size, &taken);
    ck_assert_msg(answer == PARSED_DONE && head.size + taken == behind, "%s: ends at %zu", c->name, head.size + taken);
    size_t size = head.size;
    for (size_t first = 1; first < size; first++) {
        ck_assert_msg(http1_request(guard_page_put(&guard, c->bytes, first), first, 0, &head) == PARSED_MORE, "%s",
                      c->name);
        for (size_t next = first + 1; next <= size; next++) {
            answer = http1_request(guard_page_put(&guard, c->bytes, next), next, first, &head);
            ck_assert_msg(answer == (next < size ? PARSED_MORE : PARSED_DONE), "%s: %zu, %zu", c->name, first, next);
        }
        ck_assert_uint_eq(head.size, size);
    }
}
END_TEST

/* What rules look at is found in odd heads, too. */
START_TEST(odd_parts) {
    static const char text[] = "\n \t GET\t /a?b  HTTP/1.7 \nHOST:\th \nX@y: \x01v\nConnection: close\n\n";
    struct message head;
    ck_assert_int_eq(http1_request(text, sizeof(text) - 1, 0, &head), PARSED_DONE);
    ck_assert(head.odd && slice_is(head.method, "GET") && slice_is(head.target, "/a?b") && slice_is(head.host, "h"));
    ck_assert(head.minor == 1 && !head.keep_alive && head.framing == BODY_NONE);
    ck_assert(slice_is(message_field(&head, "x@Y"), "\x01v"));
}
END_TEST

/* A method has one name, in whatever case it is sent; what is none of the registry's keeps its own. */
START_TEST(names) {
    static const char *const methods[][2] = {{"GET", "GET"},           {"get", "GET"},   {"Get", "GET"},
                                             {"pRoPfInD", "PROPFIND"}, {"frob", "frob"}, {"X-Y", "X-Y"}};
    for (size_t i = 0; i < COUNT(methods); i++) {
        char text[100];
        struct message head;
        struct naming_message naming;
        int size = sprintf(text, "%s /a?b HTTP/1.1\r\n\r\n", methods[i][0]);
        ck_assert_int_eq(http1_request(text, (size_t)size, 0, &head), PARSED_DONE);
        http1_names(&head, &naming);
        ck_assert_msg(slice_is((struct slice){naming.method, naming.method_length}, methods[i][1]), "%s",
                      methods[i][0]);
        ck_assert(slice_is((struct slice){naming.path, naming.path_length}, "/a"));
    }
}
END_TEST

/* First lines that may be another protocol's. */
START_TEST(foreign) {
    static const struct {
        const char *bytes;
        bool foreign;
    } lines[] = {{"get /key\r\n", true},
                 {"get /key x HTTP/1.1\r\n", false},
                 {"GET /a b\r\n", false},
                 {"SET /a b\r\n", true},
                 {"LIST /a\r\n", true},
                 {"Get /a FOO/1.1\r\n", true},
                 {"GET /a FOO/1.1\r\n", false},
                 {"GET /a http/1.1\r\n", false},
                 {"head / HTTP/1.1\r\n\r\n", false}};
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct message head;
        ck_assert_int_eq(http1_request(lines[i].bytes, strlen(lines[i].bytes), 0, &head), PARSED_BROKEN);
        ck_assert_msg(head.foreign == lines[i].foreign, "%s", lines[i].bytes);
    }
}
END_TEST

START_TEST(length_and_blind) {
    struct body body = {.framing = BODY_LENGTH, .left = 10};
    size_t taken;
    ck_assert_uint_eq(http1_body_blind(&body), 10);
    ck_assert_int_eq(http1_body_skip(&body, "1234", 4, &taken), PARSED_MORE);
    ck_assert(!http1_body_skip_blind(&body, 5));
    ck_assert_int_eq(http1_body_skip(&body, "0HTTP", 5, &taken), PARSED_DONE);
    ck_assert_uint_eq(taken, 1);
    ck_assert_int_eq(http1_body_skip(&body, "HTTP", 4, &taken), PARSED_DONE);
    ck_assert_uint_eq(taken, 0);
    body = (struct body){.framing = BODY_UNTIL_CLOSE};
    ck_assert_int_eq(http1_body_skip(&body, "1234", 4, &taken), PARSED_MORE);
    ck_assert(!http1_body_skip_blind(&body, 1 << 20));
    body = (struct body){.framing = BODY_CODED};
    ck_assert_uint_eq(http1_body_blind(&body), 0);
    ck_assert_int_eq(http1_body_skip(&body, "10\r\n", 4, &taken), PARSED_MORE);
    ck_assert_uint_eq(http1_body_blind(&body), 16);
    ck_assert(!http1_body_skip_blind(&body, 16));
    ck_assert_int_eq(http1_body_skip(&body, "\r\n0\r\n\r\n", 7, &taken), PARSED_DONE);
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, request, 0, COUNT(requests));
    tcase_add_loop_test(tcase, request_in_pieces, 0, COUNT(requests));
    tcase_add_loop_test(tcase, ambiguous_request, 0, COUNT(smuggling_heads));
    tcase_add_test(tcase, head_limit);
    tcase_add_test(tcase, leading_lines_limit);
    tcase_add_test(tcase, find_header);
    tcase_add_loop_test(tcase, response, 0, COUNT(responses));
    tcase_add_loop_test(tcase, broken_response, 0, COUNT(broken_responses));
    tcase_add_loop_test(tcase, chunks, 0, COUNT(chunked));
    tcase_add_loop_test(tcase, ambiguous_chunks, 0, COUNT(smuggling_chunks));
    tcase_add_loop_test(tcase, unambiguous, 0, COUNT(smuggling_valid));
    tcase_add_loop_test(tcase, odd, 0, COUNT(smuggling_odd));
    tcase_add_test(tcase, odd_parts);
    tcase_add_test(tcase, foreign);
    tcase_add_test(tcase, names);
    tcase_add_test(tcase, length_and_blind);
    return suite_run("http1", tcase, NULL);
}
