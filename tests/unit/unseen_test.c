/* Traffic past the shim: what is compared, and when it is reported; and where cgroup v2 is mounted. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/kernel/unseen.h"
#include "ebpf/ebpf.h"

START_TEST(ports_of_resources) {
    ck_assert_uint_eq(unseen_port_of("tcp::8080"), 8080);
    ck_assert_uint_eq(unseen_port_of("tcp::65535"), 65535);
    static const char *const none[] = {"tcp::", "tcp::65536", "tcp::80x", "http::80", "tcp:10.0.0.1:80", "GET:/", ""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(unseen_port_of(none[i]) == 0, "%s", none[i]);
}
END_TEST

/* Looks with these totals; how often it was reported. */
static unsigned looks(struct unseen_port *port, const uint64_t (*totals)[3], size_t count) {
    unsigned reported = 0;
    for (size_t i = 0; i < count; i++)
        reported += unseen_compare(port, totals[i][0], totals[i][1], totals[i][2]);
    return reported;
}
#define LOOKS(port, totals) looks(port, totals, sizeof totals / sizeof *totals)

START_TEST(a_shim_that_sees_all) {
    /* Up to a second late, with a base on both sides. */
    const uint64_t totals[][3] = {{1010, 60, 0}, {1500, 61, 0}, {2000, 551, 0}, {3000, 1051, 0}, {3000, 2051, 0}};
    struct unseen_port port = {.kernel_base = 1000, .shim_base = 51};
    ck_assert_uint_eq(LOOKS(&port, totals), 0);
    ck_assert_uint_eq(port.behind, 0);
    ck_assert_uint_eq(port.kernel, 2000);
    ck_assert_uint_eq(port.shim, 2000);
}
END_TEST

START_TEST(a_few_are_no_traffic) {
    const uint64_t totals[][3] = {{3, 0, 0}, {3, 0, 0}, {3, 0, 0}, {3, 0, 0}, {3, 0, 0}, {3, 0, 0}};
    struct unseen_port port = {0};
    ck_assert_uint_eq(LOOKS(&port, totals), 0);
}
END_TEST

START_TEST(what_waits_was_not_missed) {
    const uint64_t totals[][3] = {{100, 0, 0},   {100, 0, 100}, {100, 0, 100},
                                  {100, 0, 100}, {100, 0, 100}, {100, 0, 100}};
    struct unseen_port port = {0};
    ck_assert_uint_eq(LOOKS(&port, totals), 0);
}
END_TEST

START_TEST(reported_once_and_again_when_doubled) {
    const uint64_t totals[][3] = {{100, 0, 0}, {100, 0, 0}, {100, 0, 0}};
    struct unseen_port port = {0};
    ck_assert_uint_eq(LOOKS(&port, totals), 0); /* two looks that found some missing */
    const uint64_t third[][3] = {{100, 0, 0}};
    ck_assert_uint_eq(LOOKS(&port, third), 1);
    const uint64_t same[][3] = {{100, 0, 0}, {150, 0, 0}, {199, 0, 0}, {199, 0, 0}};
    ck_assert_uint_eq(LOOKS(&port, same), 0);
    const uint64_t doubled[][3] = {{200, 0, 0}, {200, 0, 0}, {200, 0, 0}};
    ck_assert_uint_eq(LOOKS(&port, doubled), 1);
}
END_TEST

START_TEST(counts_that_go_back) {
    const uint64_t totals[][3] = {{5, 5, 0}, {0, 0, 0}, {UINT64_MAX, 0, 0}, {0, UINT64_MAX, 0}};
    struct unseen_port port = {.kernel_base = 100, .shim_base = 100};
    ck_assert_uint_eq(LOOKS(&port, totals), 0);
}
END_TEST

START_TEST(mounts_of_cgroup2) {
    char place[PINS_PATH_MAX];
    ck_assert(
        ebpf_parse_mount("35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", place));
    ck_assert_str_eq(place, "/sys/fs/cgroup");
    ck_assert(ebpf_parse_mount("41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n", place));
    ck_assert_str_eq(place, "/sys/fs/cgroup/unified");
    ck_assert(ebpf_parse_mount("1 2 0:3 / /a\\040b\\134c rw - cgroup2 none rw\n", place));
    ck_assert_str_eq(place, "/a b\\c");
    ck_assert(ebpf_parse_mount("1 2 0:3 / /a\\0 rw - cgroup2 none rw\n", place)); /* not from any kernel */
    ck_assert_str_eq(place, "/a\\0");
    static const char *const others[] = {
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n",
        "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n",
        "1 2 - cgroup2 none rw\n",
        " - cgroup2 ",
        "",
        "nonsense",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!ebpf_parse_mount(others[i], place), "%s", others[i]);
    char line[PINS_PATH_MAX * 2] = "1 2 0:3 / /";
    memset(line + strlen(line), 'x', PINS_PATH_MAX);
    strcat(line, " rw - cgroup2 none rw\n");
    ck_assert(!ebpf_parse_mount(line, place)); /* longer than any path we could use */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("unseen");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, ports_of_resources);
    tcase_add_test(tests, a_shim_that_sees_all);
    tcase_add_test(tests, a_few_are_no_traffic);
    tcase_add_test(tests, what_waits_was_not_missed);
    tcase_add_test(tests, reported_once_and_again_when_doubled);
    tcase_add_test(tests, counts_that_go_back);
    tcase_add_test(tests, mounts_of_cgroup2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
