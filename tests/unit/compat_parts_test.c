/* The parts of the compat mode: Java's numbers, memory, hot keys, counters. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rules/engine/sentinel/compat_arena.h"
#include "rules/engine/sentinel/compat_java.h"
#include "rules/engine/sentinel/compat_node.h"
#include "rules/engine/sentinel/compat_values.h"
#include "rules/pages.h"
#include "tests/unit/suite.h"

START_TEST(java_numbers_convert_and_round) {
    ck_assert_int_eq(java_int(1e300), INT32_MAX);
    ck_assert_int_eq(java_int(-1e300), INT32_MIN);
    ck_assert_int_eq(java_int(NAN), 0);
    ck_assert(java_long(INFINITY) == INT64_MAX && java_long(-INFINITY) == INT64_MIN && java_long(-2.9) == -2);
    ck_assert(java_round(0.49999999999999994) == 0 && java_round(0.5) == 1 && java_round(-0.5) == 0);
    ck_assert(java_round(-0.6) == -1 && java_round(-1.5) == -1 && java_round(2.5) == 3 && java_round(NAN) == 0);
    ck_assert(java_round(4503599627370497.0) == 4503599627370497 && java_round(1e300) == INT64_MAX);
    ck_assert_int_eq(java_add_int(INT32_MAX, 1), INT32_MIN);
    ck_assert(java_add(INT64_MAX, 1) == INT64_MIN);
}
END_TEST

START_TEST(java_next_up_is_nextafter) {
    const double numbers[] = {0.0, -0.0, 1.0, -1.0, 20.0, 1e-320, -5e-324, 1e308, -1e308, 0.1};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ck_assert(java_next_up(numbers[i]) == nextafter(numbers[i], INFINITY));
    ck_assert(java_next_up(INFINITY) == INFINITY);
    ck_assert(isnan(java_next_up(NAN)));
    ck_assert(java_next_up(1.7976931348623157e308) == INFINITY);
}
END_TEST

enum { MEMORY = 1 << 20 };

static void begin(struct compat_arena *arena, uint32_t limit) {
    *arena = (struct compat_arena){.chunks = {.memory = pages_memory}};
    compat_arena_init(arena, limit, 0);
}

static bool is_zero(const char *block, size_t size) {
    while (size && !*block)
        block++, size--;
    return !size;
}

START_TEST(arena_gives_zeroed_blocks_again_and_again) {
    struct compat_arena arena;
    begin(&arena, MEMORY);
    for (int round = 0; round < 1000; round++) {
        size_t size = 1 + (size_t)round * 7 % 5000;
        char *block = compat_take(&arena, size);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq((uintptr_t)block % 16, 0);
        ck_assert(is_zero(block, size));
        memset(block, 0xa5, size);
        compat_give(&arena, block, size);
    }
    ck_assert_uint_lt(arena.used, 32768); /* the same blocks all the time */
    size_t dirty = arena.dirty;
    compat_arena_init(&arena, MEMORY, (uint32_t)dirty); /* begun anew over memory that was written to */
    char *block = compat_take(&arena, 8192);
    ck_assert(is_zero(block, 8192));
    chunks_free(&arena.chunks);
}
END_TEST

START_TEST(arena_ends_with_null) {
    struct compat_arena arena;
    begin(&arena, 65536);
    int blocks = 0;
    while (compat_take(&arena, 1000))
        blocks++;
    ck_assert_int_eq(blocks, 63); /* the first bytes are no block */
    ck_assert_ptr_null(compat_take(&arena, 1 << 20));
    ck_assert_ptr_null(compat_take(&arena, (size_t)1 << 40));
    chunks_free(&arena.chunks);
}
END_TEST

START_TEST(values_forget_the_least_recently_used) {
    struct compat_arena arena;
    begin(&arena, MEMORY);
    struct compat_values values = {.capacity = 100};
    bool new;
    for (uint64_t i = 1; i <= 100; i++)
        compat_values_get(&arena, &values, (struct compat_key){i << 8 | 1, i}, &new)->amount = (int64_t)i;
    for (uint64_t i = 1; i <= 50; i++) /* a look-up is a use */
        ck_assert_ptr_nonnull(compat_values_find(&values, (struct compat_key){i << 8 | 1, i}));
    for (uint64_t i = 101; i <= 150; i++) {
        compat_values_get(&arena, &values, (struct compat_key){i << 8 | 1, i}, &new);
        ck_assert(new);
    }
    ck_assert_uint_eq(values.count, 100);
    for (uint64_t i = 1; i <= 150; i++) {
        struct compat_value *value = compat_values_find(&values, (struct compat_key){i << 8 | 1, i});
        ck_assert_int_eq(value != NULL, i <= 50 || i > 100);
        if (value && i <= 50)
            ck_assert_int_eq(value->amount, (int64_t)i);
    }
    ck_assert_ptr_null(compat_values_find(&values, (struct compat_key){1 << 8 | 1, 2})); /* both halves count */
    compat_values_remove(&arena, &values, compat_values_find(&values, (struct compat_key){50 << 8 | 1, 50}));
    ck_assert_uint_eq(values.count, 99);
    size_t used = arena.used;
    compat_values_clear(&arena, &values);
    values.capacity = 100;
    for (uint64_t i = 1; i <= 200; i++)
        compat_values_get(&arena, &values, (struct compat_key){i << 8 | 1, i}, &new);
    ck_assert_uint_eq(arena.used, used); /* nothing was lost */
    chunks_free(&arena.chunks);
}
END_TEST

START_TEST(values_without_memory_make_room_themselves) {
    struct compat_arena arena;
    begin(&arena, 4096);
    struct compat_values values = {.capacity = 100000};
    bool new;
    for (uint64_t i = 1; i <= 1000; i++)
        ck_assert_ptr_nonnull(compat_values_get(&arena, &values, (struct compat_key){i << 8 | 1, i}, &new));
    ck_assert_uint_lt(values.count, 64);
    ck_assert_ptr_nonnull(compat_values_find(&values, (struct compat_key){1000 << 8 | 1, 1000}));
    chunks_free(&arena.chunks);
}
END_TEST

enum { MAX_RT = 5000 };
static const uint64_t base_ms = 1700000000000;
static struct compat_moment at(uint64_t ms) {
    return compat_moment((base_ms + ms) * 1000000);
}

START_TEST(node_window_is_this_bucket_and_the_one_before) {
    struct compat_node node = {0};
    struct compat_moment then = at(499);
    compat_node_pass(&node, &then, 3, MAX_RT);
    const struct {
        uint64_t ms;
        int64_t pass;
    } expected[] = {{499, 3}, {500, 3}, {999, 3}, {1000, 0}};
    for (size_t i = 0; i < 4; i++) {
        struct compat_moment now = at(expected[i].ms);
        ck_assert_int_eq(compat_node_sum(&node, &now, NODE_PASS, MAX_RT), expected[i].pass);
    }
    ck_assert_int_eq(node.in_flight, 1);
    struct compat_moment second = at(1500), third = at(2500);
    ck_assert_int_eq(compat_node_previous_pass(&node, &second), 3);
    ck_assert_int_eq(compat_node_previous_pass(&node, &third), 0);
}
END_TEST

START_TEST(node_rt_starts_from_the_largest) {
    struct compat_node node = {0};
    struct compat_moment now = at(10), later = at(1700);
    ck_assert_int_eq(compat_node_min_rt(&node, &now, MAX_RT), MAX_RT);
    ck_assert_int_eq(compat_node_max_success(&node, &now, MAX_RT), 1);
    compat_node_complete(&node, &now, 4, 0, 2, MAX_RT);
    ck_assert_int_eq(compat_node_min_rt(&node, &now, MAX_RT), 1);
    ck_assert_int_eq(compat_node_max_success(&node, &now, MAX_RT), 4);
    ck_assert_int_eq(compat_node_sum(&node, &now, NODE_EXCEPTION, MAX_RT), 2);
    ck_assert_int_eq(compat_node_min_rt(&node, &later, MAX_RT), MAX_RT);
}
END_TEST

START_TEST(node_loans_fall_due_when_their_bucket_begins) {
    struct compat_node node = {0};
    struct compat_moment now = at(100), boundary = at(500), next = at(501), after = at(1000);
    compat_node_pass(&node, &now, 2, MAX_RT);
    ck_assert_int_eq(compat_node_try_occupy(&node, &now, 1, 2, MAX_RT),
                     NODE_OCCUPY_TIMEOUT_MS); /* still in the window then */
    ck_assert_int_eq(compat_node_try_occupy(&node, &boundary, 1, 2, MAX_RT), NODE_OCCUPY_TIMEOUT_MS);
    ck_assert_int_eq(compat_node_try_occupy(&node, &next, 2, 2, MAX_RT), 499);
    compat_node_occupy(&node, &next, 499, 2);
    ck_assert_int_eq(compat_node_try_occupy(&node, &next, 1, 2, MAX_RT), NODE_OCCUPY_TIMEOUT_MS);
    ck_assert_int_eq(compat_node_sum(&node, &next, NODE_PASS, MAX_RT), 2);
    ck_assert_int_eq(compat_node_sum(&node, &after, NODE_PASS, MAX_RT), 2); /* the loan; the first two have left */
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, java_numbers_convert_and_round);
    tcase_add_test(tests, java_next_up_is_nextafter);
    tcase_add_test(tests, arena_gives_zeroed_blocks_again_and_again);
    tcase_add_test(tests, arena_ends_with_null);
    tcase_add_test(tests, values_forget_the_least_recently_used);
    tcase_add_test(tests, values_without_memory_make_room_themselves);
    tcase_add_test(tests, node_window_is_this_bucket_and_the_one_before);
    tcase_add_test(tests, node_rt_starts_from_the_largest);
    tcase_add_test(tests, node_loans_fall_due_when_their_bucket_begins);
    return suite_run("compat_parts", tests, NULL);
}
