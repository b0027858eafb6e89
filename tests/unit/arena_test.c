/* shim/process/arena.c: memory that is not malloc's. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shim/process/arena.h"
#include "tests/unit/suite.h"

static const size_t sizes[] = {
    0, 1, 63, 64, 65, 700, 1024, 1025, 2000, 4096, 5000, 40000, ARENA_BLOCK_MAX, ARENA_BLOCK_MAX + 1, 3 << 20};
enum { SIZES = sizeof sizes / sizeof *sizes, BLOCKS = 200 };

/* Blocks do not overlap: each keeps what was written to all of it. */
START_TEST(apart) {
    size_t size = sizes[_i];
    unsigned char *blocks[BLOCKS];

    for (int n = 0; n < BLOCKS; n++) {
        blocks[n] = arena_take(size);
        ck_assert_ptr_nonnull(blocks[n]);
        ck_assert_uint_eq((uintptr_t)blocks[n] % ARENA_UNIT, 0);
        memset(blocks[n], n, size);
    }
    for (int n = 0; n < BLOCKS; n++) {
        for (size_t at = 0; at < size; at += size / 7 + 1)
            ck_assert_uint_eq(blocks[n][at], (unsigned char)n);
        if (size)
            ck_assert_uint_eq(blocks[n][size - 1], (unsigned char)n);
        arena_give(blocks[n], size);
    }
}
END_TEST

START_TEST(used_again) {
    void *block = arena_take(700);
    uint32_t index = arena_index(block);

    ck_assert_uint_ne(index, 0);
    ck_assert_ptr_eq(arena_at(index), block);
    arena_give(block, 700);
    ck_assert_ptr_eq(arena_take(650), block); /* of the same class */
    arena_give(NULL, 700);
    for (int n = 0; n < 100000; n++) { /* would be 100 GB */
        void *large = arena_take(1 << 20);
        ck_assert_ptr_nonnull(large);
        arena_give(large, 1 << 20);
    }
}
END_TEST

START_TEST(every_index_leads_back) {
    for (int n = 0; n < 5000; n++) { /* several chunks */
        void *block = arena_take(64 + (size_t)(n % 9) * 500);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_ne(arena_index(block), 0);
        ck_assert_ptr_eq(arena_at(arena_index(block)), block);
    }
}
END_TEST

/* A pool's blocks are zeroed at first, and left alone while they are free, but for their first four bytes. */
START_TEST(pools) {
    struct arena_pool pool = {.size = 700}, other = {.size = 700};
    unsigned char *block = arena_pool_take(&pool);

    for (size_t at = 0; at < 700; at++)
        ck_assert_uint_eq(block[at], 0);
    memset(block, 9, 700);
    arena_pool_give(&pool, block);
    ck_assert_ptr_ne(arena_pool_take(&other), block);
    ck_assert_ptr_ne(arena_take(700), block);
    for (size_t at = 4; at < 700; at++)
        ck_assert_uint_eq(block[at], 9);
    ck_assert_ptr_eq(arena_pool_take(&pool), block);
}
END_TEST

enum { THREADS = 4, ROUNDS = 100000, HELD = 8 };

/* A block belongs to one thread at a time. */
static void *churn(void *argument) {
    uintptr_t mine = (uintptr_t)argument + 1, *held[HELD] = {0};
    unsigned random = (unsigned)mine;

    for (int n = 0; n < ROUNDS; n++) {
        random = random * 1103515245 + 12345;
        unsigned slot = random >> 16 & (HELD - 1);
        if (held[slot]) {
            if (held[slot][1] != mine || held[slot][20] != mine)
                return (void *)1;
            arena_give(held[slot], 200);
            held[slot] = NULL;
        } else {
            held[slot] = arena_take(200);
            held[slot][1] = held[slot][20] = mine;
        }
    }
    return NULL;
}

START_TEST(threads) {
    pthread_t ids[THREADS];
    void *result;

    for (uintptr_t n = 0; n < THREADS; n++)
        ck_assert_int_eq(pthread_create(&ids[n], NULL, churn, (void *)n), 0);
    for (unsigned n = 0; n < THREADS; n++) {
        pthread_join(ids[n], &result);
        ck_assert_ptr_null(result);
    }
}
END_TEST

int main(void) {
    TCase *blocks = tcase_create("blocks");

    tcase_add_loop_test(blocks, apart, 0, SIZES);
    tcase_add_test(blocks, used_again);
    tcase_add_test(blocks, every_index_leads_back);
    tcase_add_test(blocks, pools);
    tcase_add_test(blocks, threads);
    tcase_set_timeout(blocks, 60);
    return suite_run("arena", blocks, NULL);
}
