/* agent/rules/kept_windows.c and rules/engine/carry.c: long windows over new counters, clocks, and whatever else a file
 * may hold. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/rules/kept_windows.h"
#include "engine_fixture.h"
#include "rules/engine/carry.h"
#include "tests/unit/suite.h"

static const uint64_t HOUR = 3600 * SECOND, DAY = 86400 * SECOND;
static char folder[] = "/tmp/weir-kept-XXXXXX";
static int run_directory, state_directory;
static struct publish memory;
static struct kept_clocks clocks;

/* A day's rule on a resource, on all below a path per value, and one of a second. */
static void *rules(size_t *ret_size, double count) {
    struct ruleset_builder *builder = ruleset_builder_new("shop");
    struct rule rule = fixture_rule(builder, RULE_PARAM, "keys", "GET:/", count);
    rule.match = MATCH_PREFIX;
    rule.scope = SCOPE_APP;
    rule.interval_ns = DAY;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "daily", "POST:/order", count);
    rule.scope = SCOPE_APP;
    rule.interval_ns = DAY;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "short", "PUT:/", 5);
    rule.scope = SCOPE_APP;
    ruleset_add_rule(builder, &rule);
    return ruleset_builder_finish(builder, ret_size);
}

static void open_memory(void) {
    enum publish_origin origin;
    size_t size;
    bool changed;
    ck_assert_int_eq(publish_open(&memory, run_directory, "shop", &origin), 0);
    void *ruleset = rules(&size, 10);
    ck_assert_int_eq(publish_ruleset(&memory, ruleset, size, &changed), 0);
    free(ruleset);
}

static void set_up(void) {
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    state_directory = open(folder, O_RDONLY | O_DIRECTORY);
    mkdirat(state_directory, "run", 0700);
    run_directory = openat(state_directory, "run", O_RDONLY | O_DIRECTORY);
    clocks = kept_clocks_now();
    open_memory();
}

static void tear_down(void) {
    char command[128];
    publish_remove(&memory);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static uint64_t now_ns(void) {
    return clocks.monotonic + memory.counters->clock_offset_ns;
}

struct outcome {
    unsigned order, value, other;
};

/* How many more pass now, by an engine of a process on these counters. */
static struct outcome use(unsigned tries) {
    struct engine *engine = engine_new(&pages_memory, &memory.map, 0);
    size_t size;
    void *ruleset = rules(&size, 10);
    publish_process(&memory, 0)->owner = 1ull << 32 | 1;
    ck_assert_int_eq(engine_adopt(engine, ruleset, size, 1), 0);
    uint32_t order = fixture_resource(engine, "POST:/order"), item = fixture_resource(engine, "GET:/item");
    struct outcome outcome = {0};
    for (unsigned i = 0; i < tries; i++) {
        struct engine_value values[2] = {{.type = VALUE_STRING, .text = "alice", .length = 5},
                                         {.type = VALUE_STRING, .text = "bob", .length = 3}};
        struct engine_request request = fixture_request(&item);
        struct fixture_call call;
        outcome.order += fixture_pass(engine, now_ns(), order);
        fixture_pass(engine, now_ns(), fixture_resource(engine, "PUT:/"));
        request.args_count = 1;
        for (unsigned k = 0; k < 2; k++) {
            request.args = &values[k];
            bool pass = (k == 0 || i < 3) &&
                        engine_enter(engine, now_ns(), &request, &call.ticket, &call.decision) != ENGINE_BLOCK;
            *(k ? &outcome.other : &outcome.value) += pass;
        }
    }
    fixture_free(engine);
    publish_process(&memory, 0)->owner = 0;
    return outcome;
}

static int save(void) {
    struct kept_windows kept = {0};
    return kept_windows_save(&kept, &memory, state_directory, "shop", &clocks, true);
}

/* New counters, made at that moment by that wall clock, of that boot. */
static int begin_anew(bool other_boot, unsigned *ret_limits, bool *ret_early) {
    publish_remove(&memory);
    open_memory();
    if (other_boot)
        memory.counters->boot++;
    memory.counters->clock_offset_ns = clocks.wall - clocks.monotonic;
    return kept_windows_restore(&memory, state_directory, "shop", &clocks, ret_limits, ret_early);
}

static void check_again(bool other_boot, uint64_t wall, uint64_t boot_time, unsigned passes) {
    struct kept_clocks before = clocks;
    unsigned limits;
    bool early;
    clocks.wall = wall, clocks.boot_time = boot_time;
    ck_assert_int_eq(begin_anew(other_boot, &limits, &early), 0);
    ck_assert_uint_eq(limits, 2); /* the short one is not kept */
    ck_assert_int_eq(early, other_boot ? wall < before.wall : boot_time < before.boot_time);
    struct outcome outcome = use(20);
    ck_assert_msg(outcome.order == passes && outcome.value == passes, "%u orders, %u of the value", outcome.order,
                  outcome.value);
    ck_assert_uint_eq(outcome.other, passes ? 3 : 3); /* three of ten had been used */
}

START_TEST(a_day_goes_on) {
    struct kept_clocks saved = clocks;
    use(20);
    ck_assert_int_eq(save(), 0);
    check_again(false, saved.wall + HOUR, saved.boot_time + HOUR, 0);
    /* the wall clock is set while the host is up: forwards and backwards, it changes nothing */
    check_again(false, saved.wall + 40 * DAY, saved.boot_time + HOUR, 0);
    check_again(false, saved.wall - 40 * DAY, saved.boot_time + HOUR, 0);
    check_again(false, saved.wall, saved.boot_time + 27 * HOUR, 10);
}
END_TEST

START_TEST(over_a_reboot) {
    struct kept_clocks saved = clocks;
    use(20);
    ck_assert_int_eq(save(), 0);
    check_again(true, saved.wall + 60 * SECOND, 5 * SECOND, 0);
    check_again(true, saved.wall - 20000 * DAY, 5 * SECOND, 0); /* a clock without a battery */
    clocks = saved;
    check_again(true, saved.wall + 27 * HOUR, 5 * SECOND, 10);
}
END_TEST

/* A restored window ends: it does not stand for longer than its interval. */
START_TEST(nothing_freezes) {
    struct kept_clocks saved = clocks;
    use(20);
    ck_assert_int_eq(save(), 0);
    check_again(true, saved.wall - 20000 * DAY, 5 * SECOND, 0);
    clocks.monotonic += 27 * HOUR;
    struct outcome outcome = use(20);
    ck_assert(outcome.order == 10 && outcome.value == 10);
}
END_TEST

START_TEST(written_seldom_and_whole) {
    struct kept_windows kept = {0};
    struct stat first, second;
    use(5);
    ck_assert_int_eq(kept_windows_save(&kept, &memory, state_directory, "shop", &clocks, false), 0);
    ck_assert_int_eq(fstatat(state_directory, "shop.windows", &first, 0), 0);
    ck_assert_uint_eq(first.st_mode & 0777, 0600);
    use(5);
    ck_assert_int_eq(kept_windows_save(&kept, &memory, state_directory, "shop", &clocks, false), 0);
    ck_assert_int_eq(fstatat(state_directory, "shop.windows", &second, 0), 0);
    ck_assert_uint_eq(first.st_ino, second.st_ino); /* not yet */
    clocks.monotonic += 6 * SECOND;
    ck_assert_int_eq(kept_windows_save(&kept, &memory, state_directory, "shop", &clocks, false), 0);
    ck_assert_int_eq(fstatat(state_directory, "shop.windows", &second, 0), 0);
    ck_assert_uint_ne(first.st_ino, second.st_ino);
    ck_assert_int_eq(faccessat(state_directory, ".new-shop.windows", F_OK, 0), -1);
    clocks.monotonic += 2 * DAY; /* all of it is over: no file stays */
    ck_assert_int_eq(kept_windows_save(&kept, &memory, state_directory, "shop", &clocks, false), 0);
}
END_TEST

static size_t file_bytes(unsigned char *bytes, size_t size) {
    int fd = openat(state_directory, "shop.windows", O_RDONLY);
    ssize_t n = read(fd, bytes, size);
    close(fd);
    ck_assert_int_gt(n, 0);
    return (size_t)n;
}

static void write_bytes(const unsigned char *bytes, size_t size) {
    int fd = openat(state_directory, "shop.windows", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

START_TEST(other_files_are_ignored) {
    static unsigned char bytes[1 << 20], changed[1 << 20];
    unsigned limits;
    bool early;
    use(20);
    ck_assert_int_eq(save(), 0);
    size_t size = file_bytes(bytes, sizeof bytes);
    static const struct {
        size_t at;
        int error;
    } cases[] = {{0, -EBADMSG}, {8, -EPROTO}, {12, -EBADMSG}, {16, -EBADMSG}, {100, -EBADMSG}, {200, -EBADMSG}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(changed, bytes, size);
        changed[cases[i].at] ^= 1;
        write_bytes(changed, size);
        ck_assert_int_eq(begin_anew(false, &limits, &early), cases[i].error);
        ck_assert_uint_eq(limits, 0);
        ck_assert_uint_eq(use(20).order, 10);
    }
    for (size_t cut = 0; cut < size; cut += 1 + size / 20) {
        write_bytes(bytes, cut);
        ck_assert_int_eq(begin_anew(false, &limits, &early), -EBADMSG);
    }
    write_bytes(bytes, size);
    ck_assert_int_eq(kept_windows_restore(&memory, state_directory, "other", &clocks, &limits, &early), -ENODEV);
    ck_assert_int_eq(unlinkat(state_directory, "shop.windows", 0), 0);
    ck_assert_int_eq(begin_anew(false, &limits, &early), 0);
    ck_assert_int_eq(mkdirat(state_directory, "shop.windows", 0700), 0);
    ck_assert_int_lt(begin_anew(false, &limits, &early), 0);
    ck_assert_int_eq(symlinkat("/dev/zero", state_directory, "x"), 0);
    ck_assert_int_eq(unlinkat(state_directory, "shop.windows", AT_REMOVEDIR), 0);
    ck_assert_int_eq(renameat(state_directory, "x", state_directory, "shop.windows"), 0);
    ck_assert_int_lt(begin_anew(false, &limits, &early), 0);
}
END_TEST

static bool no_growth(void *context) {
    (void)context;
    return false;
}

/* With the right checksum, and nonsense behind it. */
START_TEST(nonsense_is_survived) {
    static uint64_t words[1 << 17], changed[1 << 17];
    size_t ruleset_size;
    bool whole;
    uint64_t random = 88172645463325252ull;
    use(20);
    const void *ruleset = publish_current(&memory, &ruleset_size);
    size_t size = carry_save(&memory.map, ruleset, now_ns(), words, sizeof words, &whole);
    ck_assert(size && whole);
    for (unsigned i = 0; i < 2000; i++) {
        struct carry_clock clock = {now_ns(), fixture_random(&random) % DAY, now_ns()};
        memcpy(changed, words, size);
        for (unsigned k = 0; k < 1 + i % 4; k++)
            changed[fixture_random(&random) % (i % 2 ? 40 : size / 8)] = i % 3 ? fixture_random(&random)
                                                                               : fixture_random(&random) % 512;
        struct layout_counters_header *header = fixture_counters();
        struct counters map = shared_map(header);
        carry_restore(&map, changed, i % 5 ? size : fixture_random(&random) % size, &clock, no_growth, NULL);
        shared_free(header);
    }
    ck_assert_uint_le(carry_save(&memory.map, ruleset, now_ns(), words, 700, &whole), 700);
    ck_assert(!whole);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("kept_windows");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_day_goes_on);
    tcase_add_test(tests, over_a_reboot);
    tcase_add_test(tests, nothing_freezes);
    tcase_add_test(tests, written_seldom_and_whole);
    tcase_add_test(tests, other_files_are_ignored);
    tcase_add_test(tests, nonsense_is_survived);
    return suite_run("kept_windows", tests, NULL);
}
