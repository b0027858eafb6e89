/* Names of resources that several threads meet for the first time at once: each has one entry that shows. */
#include <pthread.h>

#include "engine_fixture.h"
#include "suite.h"

enum { THREADS = 4, NAMES = 400, ROUNDS = 10 };

struct meeting {
    struct engine *engine;
    pthread_barrier_t *barrier;
    uint32_t found[NAMES];
};

static void *meet(void *context) {
    struct meeting *meeting = context;
    char name[32];
    pthread_barrier_wait(meeting->barrier);
    for (int i = 0; i < NAMES; i++) {
        size_t length = (size_t)snprintf(name, sizeof(name), "GET:/first/%d", i);
        meeting->found[i] = engine_resource(meeting->engine, name, length, SIDE_INBOUND);
    }
    return NULL;
}

/* Every entry with a name has one of its own, and is the one that all threads have got. */
static void check_entries(struct layout_counters_header *shared, const struct meeting *meetings) {
    struct layout_resource *entries = shared_at(shared, LAYOUT_NAMES, 0);
    unsigned shown = 0;
    for (uint32_t entry = 1; entry < shared->resources_used; entry++)
        shown += entries[entry].name[0] != '\0';
    ck_assert_uint_eq(shown, NAMES);
    for (int i = 0; i < NAMES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "GET:/first/%d", i);
        for (int thread = 0; thread < THREADS; thread++) {
            ck_assert_uint_eq(meetings[thread].found[i], meetings[0].found[i]);
            ck_assert_str_eq(entries[meetings[thread].found[i]].name, name);
        }
    }
}

START_TEST(test_first_met_at_once) {
    for (int round = 0; round < ROUNDS; round++) {
        struct layout_counters_header *shared = fixture_counters();
        struct engine *engine = fixture_engine(shared, 0);
        struct meeting meetings[THREADS];
        pthread_t threads[THREADS];
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, THREADS);
        for (int i = 0; i < THREADS; i++) {
            meetings[i] = (struct meeting){.engine = engine, .barrier = &barrier};
            ck_assert_int_eq(pthread_create(&threads[i], NULL, meet, &meetings[i]), 0);
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        check_entries(shared, meetings);
        pthread_barrier_destroy(&barrier);
        fixture_free(engine);
        shared_free(shared);
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("engine_names");
    tcase_add_test(tests, test_first_met_at_once);
    return suite_run("engine_names", tests, NULL);
}
