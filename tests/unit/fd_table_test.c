/* shim/fd/fd_table.c: one word per descriptor. */
#include <check.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "shim/fd/fd_table.h"
#include "tests/unit/suite.h"

START_TEST(beginning) {
    ck_assert_int_eq(fd_table_highest(), -1);
    ck_assert_int_eq(fd_word_kind(fd_table_get(3)), FD_UNKNOWN);
    ck_assert(!fd_table_passes(3)); /* it has to be looked at once */
}
END_TEST

START_TEST(outside) {
    static const int fds[] = {-1, INT_MIN, FD_TABLE_SIZE, INT_MAX};

    for (unsigned n = 0; n < sizeof fds / sizeof *fds; n++) {
        ck_assert_int_eq(fd_word_kind(fd_table_get(fds[n])), FD_PLAIN);
        ck_assert(fd_table_passes(fds[n]));
        ck_assert_uint_eq(fd_table_swap(fds[n], FD_STREAM, 7), FD_PLAIN);
        ck_assert(!fd_table_replace(fds[n], FD_PLAIN, FD_STREAM, 7));
        fd_table_flag(fds[n], FD_PLAIN, FD_EDGE);
        ck_assert_int_eq(fd_word_kind(fd_table_get(fds[n])), FD_PLAIN);
    }
    fd_table_swap(FD_TABLE_SIZE - 1, FD_STREAM, 7);
    ck_assert_uint_eq(fd_word_value(fd_table_get(FD_TABLE_SIZE - 1)), 7);
}
END_TEST

/* Numbers beyond the array are as those within, and until one is tracked they cost nothing. */
START_TEST(high_numbers) {
    static const int fds[] = {FD_TABLE_LEAF - 1, FD_TABLE_LEAF, FD_TABLE_LEAF + 1, 500000, FD_TABLE_SIZE - 1};

    for (unsigned n = 0; n < sizeof fds / sizeof *fds; n++) {
        ck_assert_uint_eq(fd_table_get(fds[n]), FD_UNKNOWN);
        ck_assert(!fd_table_passes(fds[n]));
        fd_table_flag(fds[n] ^ 4, FD_UNKNOWN + 1, FD_EDGE); /* of a word that is not there */
        fd_table_swap(fds[n], FD_UNKNOWN, 0);
        uint64_t before = fd_table_get(fds[n]);
        ck_assert(fd_table_replace(fds[n], before, FD_LISTENER, n + 1));
        ck_assert(!fd_table_replace(fds[n], before, FD_STREAM, 99));
        ck_assert_int_eq(fd_table_highest(), fds[n]);
    }
    for (unsigned n = 0; n < sizeof fds / sizeof *fds; n++) {
        uint64_t word = fd_table_get(fds[n]);
        ck_assert(fd_word_kind(word) == FD_LISTENER && fd_word_value(word) == n + 1);
        fd_table_flag(fds[n], word, FD_EDGE);
        ck_assert_uint_eq(fd_word_flags(fd_table_get(fds[n])), FD_EDGE);
        ck_assert_uint_eq(fd_table_get(fds[n] ^ 2), FD_UNKNOWN);
    }
}
END_TEST

/* Threads that are the first in the same leaf lose nothing of each other. */
enum { CROWD = 8, OF_EACH = 2000, CROWD_AT = 40 * FD_TABLE_LEAF };
static pthread_barrier_t start;

static void *track_some(void *context) {
    int first = CROWD_AT + *(int *)context;
    pthread_barrier_wait(&start);
    for (int i = 0; i < OF_EACH; i++)
        fd_table_swap(first + i * CROWD, FD_STREAM, (uint32_t)(first + i * CROWD));
    return NULL;
}

START_TEST(high_numbers_of_many_threads) {
    pthread_t crowd[CROWD];
    int numbers[CROWD];

    ck_assert_int_eq(pthread_barrier_init(&start, NULL, CROWD), 0);
    for (int i = 0; i < CROWD; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&crowd[i], NULL, track_some, &numbers[i]), 0);
    }
    for (int i = 0; i < CROWD; i++)
        pthread_join(crowd[i], NULL);
    for (int fd = CROWD_AT; fd < CROWD_AT + CROWD * OF_EACH; fd++)
        if (fd_word_value(fd_table_get(fd)) != (uint32_t)fd)
            ck_abort_msg("descriptor %d is lost", fd);
}
END_TEST

START_TEST(which_pass) {
    static const bool passes[] = {
        [FD_UNKNOWN] = false, [FD_PLAIN] = true,    [FD_SOCKET] = true, [FD_LISTENER] = true, [FD_OUTBOUND] = true,
        [FD_STREAM] = false,  [FD_AWAITED] = false, [FD_EPOLL] = true,  [FD_OURS] = true};

    for (unsigned kind = 0; kind < sizeof passes / sizeof *passes; kind++) {
        fd_table_swap(10, kind, 99);
        ck_assert_int_eq(fd_table_passes(10), passes[kind]);
        ck_assert_int_eq(fd_word_kind(fd_table_get(10)), kind);
        ck_assert_uint_eq(fd_word_value(fd_table_get(10)), 99);
    }
}
END_TEST

START_TEST(generations) {
    fd_table_swap(10, FD_STREAM, 5);
    uint64_t first = fd_table_get(10);
    ck_assert_uint_eq(fd_table_swap(10, FD_PLAIN, 0), first);
    fd_table_swap(10, FD_STREAM, 5); /* the same connection's memory, used anew */
    ck_assert_uint_ne(fd_table_get(10), first);
    ck_assert(!fd_table_replace(10, first, FD_PLAIN, 0));
    ck_assert(fd_table_replace(10, fd_table_get(10), FD_PLAIN, 0));
    for (unsigned n = 0; n < 5000000; n++) /* all of them, and around: kind and value stay what they are */
        fd_table_swap(11, n & 1 ? FD_STREAM : FD_AWAITED, UINT32_MAX);
    ck_assert_int_eq(fd_word_kind(fd_table_get(11)), FD_STREAM);
    ck_assert_uint_eq(fd_word_value(fd_table_get(11)), UINT32_MAX);
    ck_assert_uint_eq(fd_word_flags(fd_table_get(11)), 0);
}
END_TEST

START_TEST(flags) {
    fd_table_swap(10, FD_LISTENER, 80);
    uint64_t word = fd_table_get(10);
    fd_table_flag(10, word, FD_EDGE);
    ck_assert_uint_eq(fd_word_flags(fd_table_get(10)), FD_EDGE);
    fd_table_flag(10, word, FD_PATIENT); /* has changed meanwhile */
    ck_assert_uint_eq(fd_word_flags(fd_table_get(10)), FD_EDGE);
    fd_table_flag(10, fd_table_get(10), FD_PATIENT);
    ck_assert_uint_eq(fd_word_flags(fd_table_get(10)), FD_EDGE | FD_PATIENT);
    ck_assert_uint_eq(fd_word_value(fd_table_get(10)), 80);
    ck_assert_int_eq(fd_word_kind(fd_table_get(10)), FD_LISTENER);
    fd_table_swap(10, FD_SOCKET, 0);
    ck_assert_uint_eq(fd_word_flags(fd_table_get(10)), 0);
}
END_TEST

START_TEST(highest) {
    fd_table_swap(100, FD_PLAIN, 0);
    ck_assert_int_eq(fd_table_highest(), -1);
    fd_table_swap(100, FD_STREAM, 1);
    fd_table_swap(50, FD_STREAM, 1);
    ck_assert_int_eq(fd_table_highest(), 100);
    fd_table_swap(100, FD_PLAIN, 0);
    ck_assert_int_eq(fd_table_highest(), 100);
}
END_TEST

enum { THREADS = 4, ROUNDS = 200000 };
static _Atomic uint64_t given, taken;

/* Every value put in comes out once: nobody's connection is lost or ended twice. */
static void *swapping(void *argument) {
    uint32_t mine = (uint32_t)(uintptr_t)argument;

    for (uint32_t n = 1; n <= ROUNDS; n++) {
        uint32_t value = mine * ROUNDS + n;
        given += value;
        taken += fd_word_value(fd_table_swap(7, FD_STREAM, value));
        uint64_t word = fd_table_get(7);
        if (fd_table_replace(7, word, FD_PLAIN, 0))
            taken += fd_word_value(word);
    }
    return NULL;
}

START_TEST(threads) {
    pthread_t ids[THREADS];

    for (uintptr_t n = 0; n < THREADS; n++)
        ck_assert_int_eq(pthread_create(&ids[n], NULL, swapping, (void *)n), 0);
    for (unsigned n = 0; n < THREADS; n++)
        pthread_join(ids[n], NULL);
    taken += fd_word_value(fd_table_swap(7, FD_PLAIN, 0));
    ck_assert_uint_eq(given, taken);
}
END_TEST

int main(void) {
    TCase *words = tcase_create("words");

    tcase_add_test(words, beginning);
    tcase_add_test(words, outside);
    tcase_add_test(words, high_numbers);
    tcase_add_test(words, high_numbers_of_many_threads);
    tcase_add_test(words, which_pass);
    tcase_add_test(words, generations);
    tcase_add_test(words, flags);
    tcase_add_test(words, highest);
    tcase_add_test(words, threads);
    tcase_set_timeout(words, 60);
    return suite_run("fd_table", words, NULL);
}
