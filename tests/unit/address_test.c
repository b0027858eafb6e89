/* rules/address.c against libc's inet_ntop and inet_pton, and the ranges. */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "rules/address.h"
#include "tests/unit/suite.h"

START_TEST(text_as_libc_writes_it) {
    unsigned char address[16];
    char expected[INET6_ADDRSTRLEN], text[ADDRESS_TEXT_MAX];
    srandom(1);
    for (int round = 0; round < 200000; round++) {
        size_t length = round % 2 ? 4 : 16;
        for (size_t i = 0; i < length; i++)
            address[i] = random() % 3 ? 0 : (unsigned char)random();
        if (length == 16 && !memcmp(address, (unsigned char[12]){0}, 12))
            address[0] = 0x20; /* inet_ntop writes the deprecated ::a.b.c.d, RFC 5952 does not */
        inet_ntop(length == 4 ? AF_INET : AF_INET6, address, expected, sizeof(expected));
        ck_assert_uint_eq(address_text(address, length, text), strlen(expected));
        ck_assert_str_eq(text, expected);
    }
}
END_TEST

START_TEST(mapped_addresses_are_ipv4) {
    unsigned char address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 7};
    char text[ADDRESS_TEXT_MAX];
    address_text(address, 16, text);
    ck_assert_str_eq(text, "192.0.2.7");
    ck_assert_uint_eq(address_text(address, 0, text), 0);
    ck_assert_str_eq(text, "");
}
END_TEST

static const struct {
    const char *range, *address;
    int expected; /* 1 inside, 0 outside, -1 no range */
} rows[] = {
    {"10.0.0.0/8", "10.255.0.1", 1},
    {"10.0.0.0/8", "11.0.0.1", 0},
    {"10.1.2.3", "10.1.2.3", 1},
    {"10.1.2.3", "10.1.2.4", 0},
    {"0.0.0.0/0", "203.0.113.9", 1},
    {"192.168.4.0/22", "192.168.7.255", 1},
    {"192.168.4.0/22", "192.168.8.0", 0},
    {"10.0.0.0/8", "::ffff:10.1.1.1", 1},
    {"fd00::/8", "fd12::1", 1},
    {"fd00::/8", "fe00::1", 0},
    {"::1", "::1", 1},
    {"2001:db8::/33", "2001:db8:7fff::", 1},
    {"2001:db8::/33", "2001:db8:8000::", 0},
    {"::/0", "2001:db8::1", 1},
    {"2001:db8::/32", "10.0.0.1", 0},
    {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 1},
    {"::ffff:10.1.1.1", "10.1.1.1", 1},
    {"::FFFF:a01:101", "10.1.1.1", 1},
    {"::ffff:a00:0/104", "10.1.1.1", 1},
    {"::ffff:a00:0/104", "11.1.1.1", 0},
    {"::ffff:0:0/95", "2001:db8::1", 0},
    {"::ffff:10.1.1.1/8", "", -1},
    {"::ffff:10.1.1", "", -1},
    {"::1:10.1.1.1", "", -1},
    {"10.0.0.0/33", "", -1},
    {"10.0.0", "", -1},
    {"10.0.0.256", "", -1},
    {"10.0.0.0/", "", -1},
    {"", "", -1},
    {"name", "", -1},
    {":1", "", -1},
    {"1:2:3", "", -1},
    {"::1::", "", -1},
    {"1:::2", "", -1},
    {"1:", "", -1},
    {"::1:", "", -1},
    {"1::2:3", "1::2:3", 1},
    {"::/129", "", -1},
    {"12345::", "", -1},
    {"10.0.0.0/8x", "", -1},
    {"1:2:3:4:5:6:7:8:9", "", -1},
    {"10.0.0.0.0", "", -1},
};
START_TEST(ranges) {
    struct address_range range;
    unsigned char address[16];
    bool parsed = address_range_parse(rows[_i].range, &range);
    ck_assert_msg(parsed == (rows[_i].expected >= 0), "%s", rows[_i].range);
    if (!parsed)
        return;
    size_t length = strchr(rows[_i].address, ':') ? 16 : 4;
    ck_assert_int_eq(inet_pton(length == 4 ? AF_INET : AF_INET6, rows[_i].address, address), 1);
    ck_assert_int_eq(address_in_range(&range, address, length), rows[_i].expected);
}
END_TEST

START_TEST(private_ranges) {
    static const struct {
        const char *text;
        int inside;
    } table[] = {{"127.0.0.1", 1}, {"10.9.9.9", 1},    {"172.31.0.1", 1}, {"172.32.0.1", 0}, {"192.168.0.1", 1},
                 {"8.8.8.8", 0},   {"169.254.1.1", 1}, {"::1", 1},        {"::2", 0},        {"fe80::1", 1},
                 {"fec0::1", 0},   {"fd00::1", 1},     {"2001:db8::1", 0}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        unsigned char address[16];
        size_t length = strchr(table[i].text, ':') ? 16 : 4;
        inet_pton(length == 4 ? AF_INET : AF_INET6, table[i].text, address);
        ck_assert_msg(address_is_private(address, length) == table[i].inside, "%s", table[i].text);
    }
}
END_TEST

static const struct {
    const char *address, *text;
    unsigned bits;
} networks[] = {
    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", 64},
    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", 128},
    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", 200},
    {"2001:db8:1:2:3:4:5:ff", "2001:db8:1:2:3:4:5:80/121", 121},
    {"2001:db8:1:ff::", "2001:db8:1:f0::/60", 60},
    {"ffff::", "8000::/1", 1},
    {"10.1.2.255", "10.1.2.0/24", 24},
    {"10.1.2.255", "10.1.2.254/31", 31},
    {"10.1.2.255", "10.1.2.255", 64},
    {"10.1.2.255", "10.0.0.0/9", 9},
};
START_TEST(networks_of_addresses) {
    struct address_range address, network;
    char text[ADDRESS_RANGE_TEXT_MAX];
    ck_assert(address_range_parse(networks[_i].address, &address));
    network = address_prefix(&address, networks[_i].bits);
    ck_assert(address_range_valid(&network));
    ck_assert_uint_eq(address_range_text(&network, text), strlen(networks[_i].text));
    ck_assert_str_eq(text, networks[_i].text);
}
END_TEST

static const struct {
    const char *text, *blocks; /* NULL: it is none */
} spans[] = {
    {"10.0.0.1-10.0.0.9", "10.0.0.1 10.0.0.2/31 10.0.0.4/30 10.0.0.8/31 "},
    {"10.0.0.7 - 10.0.0.7", "10.0.0.7 "},
    {"10.0.0.0-10.255.255.255", "10.0.0.0/8 "},
    {"0.0.0.0-255.255.255.255", "0.0.0.0/0 "},
    {"255.255.255.254-255.255.255.255", "255.255.255.254/31 "},
    {"10.1.2.3/8", "10.0.0.0/8 "},
    {"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0 "},
    {"2001:db8::ffff-2001:db8::1:1", "2001:db8::ffff 2001:db8::1:0/127 "},
    {"::ffff:10.0.0.4-10.0.0.5", "10.0.0.4/31 "},
    {"10.0.0.9-10.0.0.1", NULL},
    {"10.0.0.1-::1", NULL},
    {"10.0.0.0/8-10.0.0.9", NULL},
    {"10.0.0.1-", NULL},
    {"-10.0.0.1", NULL},
    {"name", NULL},
};
static void note_block(void *context, const struct address_range *block) {
    char text[ADDRESS_RANGE_TEXT_MAX];
    ck_assert(address_range_valid(block));
    address_range_text(block, text);
    strcat(strcat(context, text), " ");
}
START_TEST(ranges_from_to) {
    char blocks[8192] = "";
    ck_assert_int_eq(address_span(spans[_i].text, note_block, blocks), spans[_i].blocks != NULL);
    ck_assert_str_eq(blocks, spans[_i].blocks ? spans[_i].blocks : "");
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_test(all, text_as_libc_writes_it);
    tcase_add_test(all, mapped_addresses_are_ipv4);
    tcase_add_loop_test(all, ranges, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(all, private_ranges);
    tcase_add_loop_test(all, ranges_from_to, 0, sizeof(spans) / sizeof(spans[0]));
    tcase_add_loop_test(all, networks_of_addresses, 0, sizeof(networks) / sizeof(networks[0]));
    return suite_run("address", all, NULL);
}
