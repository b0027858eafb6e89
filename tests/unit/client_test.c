/* shim/admission/client.c, and what the protocols offer of a request. */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "shim/admission/client.h"
#include "shim/protocol/http1/http1.h"
#include "tests/unit/suite.h"

static struct message head_of(const char *text) {
    struct message head;
    ck_assert_int_eq(http1_request(text, strlen(text), 0, &head), PARSED_DONE);
    return head;
}

static void same(struct slice slice, const char *expected) {
    if (!expected) {
        ck_assert_ptr_null(slice.at);
        return;
    }
    ck_assert_ptr_nonnull(slice.at);
    ck_assert_uint_eq(slice.size, strlen(expected));
    ck_assert(!memcmp(slice.at, expected, slice.size));
}

static struct slice target(const char *text) {
    return (struct slice){text, strlen(text)};
}

static const struct {
    const char *target;
    unsigned index;
    const char *value;
} segments[] = {
    {"/a/b/c", 0, "a"},    {"/a/b/c", 2, "c"}, {"/a/b/c", 3, NULL},      {"/a?b/c", 0, "a"},
    {"/a?b/c", 1, NULL},   {"/", 0, NULL},     {"http://h/a/b", 0, "a"}, {"http://h/a/b", 1, "b"},
    {"http://h", 0, NULL}, {"/a//c", 1, NULL}, {"/a//c", 2, "c"},        {"*", 0, NULL},
};
START_TEST(path_segments) {
    same(http1_path_segment(target(segments[_i].target), segments[_i].index), segments[_i].value);
}
END_TEST

static const struct {
    const char *lines, *address; /* NULL: none */
} clients[] = {
    {"X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\n", "203.0.113.7"},
    {"X-Real-IP: 203.0.113.8\r\n", "203.0.113.8"},
    {"X-Real-IP: 203.0.113.8\r\nX-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"},
    {"X-Forwarded-For: unknown\r\nProxy-Client-IP: 203.0.113.1\r\n", "203.0.113.1"},
    {"X-Forwarded-For: \r\n", NULL},
    {"X-Forwarded-For: 203.0.113.7:4711, 10.0.0.1\r\n", "203.0.113.7"},
    {"X-Forwarded-For: 2001:DB8:0:0::7\r\n", "2001:db8::7"},
    {"X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"},
    {"X-Forwarded-For: [2001:db8::7\r\n", NULL},
    {"X-Forwarded-For: ::ffff:203.0.113.7\r\n", "203.0.113.7"},
    {"X-Forwarded-For: ::ffff:cb00:7107\r\n", "203.0.113.7"},
    {"X-Forwarded-For: fe80::1%eth0\r\n", "fe80::1"},
    {"X-Forwarded-For: 10.0.0.0/8\r\nX-Real-IP: 203.0.113.8\r\n", "203.0.113.8"},
    {"X-Forwarded-For: somebody\r\n", NULL},
    {"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.8\r\n", "203.0.113.8"},
    {"X-Forwarded-For: 1.2.3.4, 203.0.113.7\r\n", "203.0.113.7"}, /* the proxy appended: the client wrote the first */
    {"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 203.0.113.7, 10.0.0.1\r\n", "203.0.113.7"},
    {"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 10.0.0.2, 10.0.0.1\r\n", "1.2.3.4"},
    {"X-Forwarded-For: 10.0.0.3, 10.0.0.2, 10.0.0.1\r\n", "10.0.0.3"}, /* all trusted: the first */
    {"X-Forwarded-For: 203.0.113.7, , 10.0.0.1,\r\n", "203.0.113.7"},
    {"X-Forwarded-For: 203.0.113.7,,\t,\r\n", "203.0.113.7"},
    {"X-Forwarded-For: 1.2.3.4, unknown, 10.0.0.1\r\n", "10.0.0.1"}, /* nobody vouches for what is left of it */
    {"X-Forwarded-For: 1.2.3.4, unknown\r\nX-Real-IP: 203.0.113.8\r\n", "203.0.113.8"},
    {"X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 203.0.113.8\r\n", "10.0.0.1"},
    {"X-Forwarded-For: 1.2.3.4, ::FFFF:203.0.113.7, ::ffff:10.0.0.1\r\n", "203.0.113.7"},
    {"", NULL},
};
/* What a proxy of the private ranges says, in that header (NULL: the usual ones). */
static void client_is(const char *header, const char *lines, const char *expected) {
    char text[512], address[ADDRESS_TEXT_MAX];
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", lines);
    struct message head = head_of(text);
    struct ruleset_builder *builder = ruleset_builder_new("a");
    if (header)
        ruleset_builder_options(builder)->client_header = ruleset_add_text(builder, header, strlen(header));
    size_t size;
    void *ruleset = ruleset_builder_finish(builder, &size);
    struct address_range client;
    bool found = client_address(&head, ruleset, &client);
    free(ruleset);
    ck_assert_msg(found == (expected != NULL), "%s", lines);
    if (found) {
        address_text(client.network, client.length, address);
        ck_assert_str_eq(address, expected);
    }
}

START_TEST(client_addresses) {
    client_is(NULL, clients[_i].lines, clients[_i].address);
}
END_TEST

static const struct {
    const char *header, *lines, *address;
} chosen[] = {
    {"x-real-ip", "X-Real-IP: 203.0.113.8\r\nX-Forwarded-For: 6.6.6.6\r\n", "203.0.113.8"},
    {"x-real-ip", "X-Forwarded-For: 6.6.6.6\r\nProxy-Client-IP: 6.6.6.6\r\n", NULL},
    {"x-real-ip", "X-Real-IP: unknown\r\nX-Forwarded-For: 6.6.6.6\r\n", NULL},
    {"x-real-ip", "X_Real_IP: 6.6.6.6\r\n", NULL},
    {"x-real-ip", "X-Real-IP: 6.6.6.6\r\nX-Real-IP: 203.0.113.8\r\n", "203.0.113.8"},
    {"x-forwarded-for", "X-Forwarded-For: 6.6.6.6, 203.0.113.8, 10.0.0.1\r\nX-Real-IP: 6.6.6.6\r\n", "203.0.113.8"},
    {"forwarded", "Forwarded: for=203.0.113.8\r\n", "203.0.113.8"},
    {"forwarded", "Forwarded: For=\"[2001:db8::7]:4711\";proto=https, for=10.0.0.1\r\n", "2001:db8::7"},
    {"forwarded", "Forwarded: for=6.6.6.6;by=1.2.3.4, by=10.0.0.9; FOR=\"203.0.113.8:99\"\r\n", "203.0.113.8"},
    {"forwarded", "Forwarded: for=6.6.6.6, for=_hidden, for=10.0.0.1\r\n", "10.0.0.1"},
    {"forwarded", "Forwarded: for=6.6.6.6, proto=http\r\n", NULL},
    {"forwarded", "Forwarded: for=\r\n", NULL},
    {"forwarded", "Forwarded: for=\"\r\nX-Forwarded-For: 6.6.6.6\r\n", NULL},
};
START_TEST(one_header_alone) {
    client_is(chosen[_i].header, chosen[_i].lines, chosen[_i].address);
}
END_TEST

static const struct {
    const char *lines, *id;
} traces[] = {
    {"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n", "4bf92f3577b34da6a3ce929d0e0e4736"},
    {"X-Request-Id: abc\r\n", "abc"},
    {"traceparent: 00-short\r\nX-Request-Id: abc\r\n", "abc"},
    {"", NULL},
    {"X-Request-Id: \r\n", NULL},
};
START_TEST(trace_ids) {
    char text[256];
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", traces[_i].lines);
    struct message head = head_of(text);
    same(message_trace_id(&head), traces[_i].id);
}
END_TEST

START_TEST(proxies_that_are_believed) {
    size_t size;
    void *plain = ruleset_builder_finish(ruleset_builder_new("a"), &size);
    struct ruleset_builder *builder = ruleset_builder_new("a");
    static const char *const proxies[] = {"198.51.100.0/24", "2001:db8::/32"};
    for (unsigned i = 0; i < 2; i++) {
        struct address_range range;
        ck_assert(address_range_parse(proxies[i], &range));
        ruleset_add_range(builder, &range);
    }
    ruleset_builder_options(builder)->proxies_count = 2;
    ruleset_builder_options(builder)->own_proxies = 1;
    void *own = ruleset_builder_finish(builder, &size);
    static const struct {
        const char *peer;
        bool by_default, by_list;
    } table[] = {{"10.1.1.1", true, false},
                 {"8.8.8.8", false, false},
                 {"198.51.100.9", false, true},
                 {"2001:db8::5", false, true},
                 {"::1", true, false}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        unsigned char address[16];
        size_t length = strchr(table[i].peer, ':') ? 16 : 4;
        inet_pton(length == 4 ? AF_INET : AF_INET6, table[i].peer, address);
        ck_assert_msg(client_trusted(plain, address, length) == table[i].by_default, "%s", table[i].peer);
        ck_assert_msg(client_trusted(own, address, length) == table[i].by_list, "%s", table[i].peer);
    }
    free(plain);
    free(own);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(all, test, 0, sizeof(table) / sizeof((table)[0]))
int main(void) {
    TCase *all = tcase_create("all");
    LOOP(path_segments, segments);
    LOOP(client_addresses, clients);
    LOOP(one_header_alone, chosen);
    LOOP(trace_ids, traces);
    tcase_add_test(all, proxies_that_are_believed);
    return suite_run("client", all, NULL);
}
