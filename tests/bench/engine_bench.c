/* What a decision costs: bars S4, S5 and S11, engine alone.
 *
 *     engine_bench [rounds]        default 15; the least of the rounds is shown
 *
 * A row: what, ns per engine_enter + engine_exit (or per rejected enter), the bar. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rules/engine/engine.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/layout.h"
#include "tests/shared_counters.h"

static unsigned rounds = 15;

static uint64_t clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
/* Benchmarks on shared machines: the time this thread had, not the time that went by. */
static uint64_t cpu_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
static uint64_t offset;
static uint64_t engine_now(void) {
    return clock_now() + offset;
}

struct bench {
    struct engine *engine;
    struct layout_counters_header *shared;
    void *ruleset;
};

static struct ruleset_builder *builder;
static struct rule *rule_new(enum rule_kind kind, const char *id, const char *resource, double count) {
    static struct rule rule;
    rule_defaults(&rule, kind);
    rule.id = ruleset_add_text(builder, id, strlen(id));
    rule.id_hash = hash_bytes(0, id, strlen(id));
    rule.resource = ruleset_add_text(builder, resource, strlen(resource));
    rule.count = count;
    return &rule;
}

static struct bench begin(void) {
    struct bench bench = {.shared = shared_counters(0x5eed)};
    bench.engine = shared_engine(bench.shared, 0);
    builder = ruleset_builder_new("bench");
    return bench;
}

static void adopt(struct bench *bench) {
    size_t size;
    bench->ruleset = ruleset_builder_finish(builder, &size);
    if (!bench->ruleset || !ruleset_check(bench->ruleset, size) ||
        engine_adopt(bench->engine, bench->ruleset, size, 1) != 0) {
        fprintf(stderr, "engine_bench: cannot adopt the rules\n");
        exit(1);
    }
}

static void end(struct bench *bench) {
    engine_free(bench->engine);
    shared_free(bench->shared);
    free(bench->ruleset);
}

/* Calls `count` times, on the resources in turn; returns ns a call.  The clock moves on every 64 calls. */
static double run(struct engine *engine, const uint32_t *resources, uint32_t resources_count, uint64_t count,
                  uint64_t *ret_passed) {
    struct engine_outcome outcome = {.error = false};
    uint64_t start = cpu_now(), passed = 0, now = engine_now();
    uint32_t k = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct engine_ticket ticket;
        struct engine_result decision;
        struct engine_request request = {.resources = &resources[k],
                                         .resources_count = 1,
                                         .side = SIDE_INBOUND,
                                         .priority = PRIORITY_NORMAL,
                                         .acquire = 1};
        if ((i & 63) == 0)
            now = engine_now();
        if (engine_enter(engine, now, &request, &ticket, &decision) == ENGINE_PASS) {
            engine_exit(engine, &ticket, now, &outcome);
            passed++;
        }
        k = k + 1 < resources_count ? k + 1 : 0;
    }
    *ret_passed = passed;
    return (double)(cpu_now() - start) / (double)count;
}

static void row(const char *what, double ns, double bar) {
    printf("%-52s %8.1f %8.0f   %s\n", what, ns, bar, ns <= bar ? "ok" : "ABOVE");
    fflush(stdout);
}

static double best(struct engine *engine, const uint32_t *resources, uint32_t resources_count, uint64_t count,
                   uint64_t *ret_passed) {
    double least = 1e9;
    run(engine, resources, resources_count, count / 10 + resources_count, ret_passed);
    for (unsigned i = 0; i < rounds; i++) {
        double ns = run(engine, resources, resources_count, count, ret_passed);
        least = ns < least ? ns : least;
    }
    return least;
}

static uint32_t resource_of(struct engine *engine, const char *name) {
    return engine_resource(engine, name, strlen(name), SIDE_INBOUND);
}

static void one_resource(const char *what, unsigned rules, double count, enum rule_scope scope, bool limits,
                         double bar) {
    struct bench bench = begin();
    for (unsigned i = 0; i < rules; i++) {
        char id[16];
        snprintf(id, sizeof(id), "r%u", i);
        struct rule *rule = rule_new(RULE_FLOW, id, "GET:/", count);
        rule->scope = scope;
        ruleset_add_rule(builder, rule);
    }
    adopt(&bench);
    uint32_t resource = resource_of(bench.engine, "GET:/");
    uint64_t passed;
    double ns = best(bench.engine, &resource, 1, 400000, &passed);
    if ((passed > 50000) == limits)
        printf("unexpected: %llu passed\n", (unsigned long long)passed);
    row(what, ns, bar);
    end(&bench);
}

static void many_resources(const char *what, unsigned resources, unsigned rules, double bar) {
    struct bench bench = begin();
    for (unsigned i = 0; i < rules; i++) {
        char name[40];
        snprintf(name, sizeof(name), "GET:/item/%u", i);
        ruleset_add_rule(builder, rule_new(RULE_FLOW, name, name, 1e9));
    }
    adopt(&bench);
    uint32_t *entries = calloc(resources, sizeof(*entries));
    for (unsigned i = 0; i < resources; i++) {
        char name[40];
        snprintf(name, sizeof(name), "GET:/item/%u", i);
        entries[i] = resource_of(bench.engine, name);
    }
    uint64_t passed;
    row(what, best(bench.engine, entries, resources, 400000, &passed), bar);
    free(entries);
    end(&bench);
}

/* ------------------------------------------------------------------------------------------------------ two threads */

struct worker {
    struct engine *engine;
    uint32_t resource;
    uint64_t count;
    pthread_barrier_t *barrier;
    double seconds;
};

static void *work(void *argument) {
    struct worker *worker = argument;
    uint64_t passed;
    pthread_barrier_wait(worker->barrier);
    uint64_t start = cpu_now();
    run(worker->engine, &worker->resource, 1, worker->count, &passed);
    worker->seconds = (double)(cpu_now() - start) / 1e9;
    return NULL;
}

static double throughput(struct engine *engine, uint32_t resource, unsigned threads) {
    pthread_t ids[8];
    pthread_barrier_t barrier;
    struct worker workers[8];
    double sum = 0;
    pthread_barrier_init(&barrier, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){engine, resource, 500000, &barrier, 0};
        pthread_create(&ids[i], NULL, work, &workers[i]);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        sum += (double)workers[i].count / workers[i].seconds;
    }
    pthread_barrier_destroy(&barrier);
    return sum;
}

static void two_threads(void) {
    struct bench bench = begin();
    ruleset_add_rule(builder, rule_new(RULE_FLOW, "r", "GET:/", 1e9));
    adopt(&bench);
    uint32_t resource = resource_of(bench.engine, "GET:/");
    double ratio = 0, one = 0, two = 0;
    for (unsigned i = 0; i < rounds; i++) { /* interleaved */
        double a = throughput(bench.engine, resource, 1), b = throughput(bench.engine, resource, 2);
        one = a > one ? a : one;
        two = b > two ? b : two;
    }
    ratio = two / one;
    printf("%-52s %8.2f %8.1f   %s\n", "S4 two threads, throughput against one", ratio, 1.2,
           ratio >= 1.2 ? "ok" : "BELOW");
    end(&bench);
}

/* --------------------------------------------------------------------------------------------------- hot parameters */

enum { VALUES = 1000000, CAPACITY = 100000, DECISIONS = 1500000 };

static uint32_t *zipf(void) { /* exponent 1.0, by inversion of the cumulative weights */
    double *sums = malloc(VALUES * sizeof(*sums)), sum = 0;
    uint32_t *values = malloc(DECISIONS * sizeof(*values));
    uint64_t seed = 88172645463325252ull;
    for (unsigned i = 0; i < VALUES; i++)
        sums[i] = sum += 1.0 / (i + 1);
    for (unsigned i = 0; i < DECISIONS; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        double at = (double)(seed >> 11) / 9007199254740992.0 * sum;
        unsigned low = 0, high = VALUES - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (sums[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        values[i] = low;
    }
    free(sums);
    return values;
}

/* Bytes of this process that are in memory. */
static size_t resident(void) {
    unsigned long all = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu %lu", &all, &pages) != 2)
        exit(1);
    fclose(file);
    return pages * 4096;
}

static void hot_values(void) {
    struct bench bench = begin();
    struct rule *rule = rule_new(RULE_PARAM, "hot", "GET:/", 1000);
    rule->capacity = CAPACITY;
    rule->param_idx = 0;
    ruleset_add_rule(builder, rule);
    adopt(&bench);
    uint32_t resource = resource_of(bench.engine, "GET:/"), *values = zipf();
    /* one after the other: a value has just been parsed when it is asked about */
    char(*texts)[12] = malloc((size_t)DECISIONS * sizeof(*texts));
    for (unsigned i = 0; i < DECISIONS; i++)
        texts[i][11] = (char)snprintf(texts[i], 11, "user%u", values[i]);
    size_t before = resident();
    double least = 1e9;
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t start = cpu_now(), now = engine_now();
        for (unsigned i = 0; i < DECISIONS; i++) {
            struct engine_ticket ticket;
            struct engine_result decision;
            struct engine_outcome outcome = {.error = false};
            struct engine_value value = {.type = VALUE_STRING, .text = texts[i], .length = (size_t)texts[i][11]};
            struct engine_request request = {.resources = &resource,
                                             .resources_count = 1,
                                             .side = SIDE_INBOUND,
                                             .priority = PRIORITY_NORMAL,
                                             .acquire = 1,
                                             .args = &value,
                                             .args_count = 1};
            if ((i & 63) == 0)
                now = engine_now();
            if (engine_enter(bench.engine, now, &request, &ticket, &decision) == ENGINE_PASS)
                engine_exit(bench.engine, &ticket, now, &outcome);
        }
        double ns = (double)(cpu_now() - start) / DECISIONS;
        least = ns < least ? ns : least;
    }
    row("S5 hot parameter, 1 M values (Zipf 1.0), 100 000 kept", least, 150);
    double bytes = (double)(resident() - before) / CAPACITY;
    row("S5 bytes a value kept", bytes, 64);
    struct engine_hot_key top[200];
    size_t count = engine_hot(bench.engine, hash_bytes(0, "hot", 3), resource, top, 200);
    unsigned missing = 100;
    for (size_t i = 0; i < count; i++)
        missing -= strncmp(top[i].text, "user", 4) == 0 && atoi(top[i].text + 4) < 100;
    row("S5 of the true top 100, not among the top 200 shown", missing, 0);
    free(texts);
    free(values);
    end(&bench);
}

/* ----------------------------------------------------------------------------------------------------------- memory */

static void memory_per_resource(void) {
    enum { RESOURCES = 5000 };
    struct bench bench = begin();
    struct rule *rule = rule_new(RULE_FLOW, "all", "GET:/", 1e9);
    rule->match = MATCH_PREFIX;
    ruleset_add_rule(builder, rule);
    adopt(&bench);
    uint32_t first = resource_of(bench.engine, "GET:/first");
    uint64_t passed;
    run(bench.engine, &first, 1, 10, &passed);
    size_t before = resident();
    for (unsigned i = 0; i < RESOURCES; i++) {
        char name[40];
        snprintf(name, sizeof(name), "GET:/item/%u", i);
        uint32_t resource = resource_of(bench.engine, name);
        run(bench.engine, &resource, 1, 3, &passed);
    }
    size_t after = resident();
    row("S8 bytes a resource, with a QPS rule", (double)(after - before) / RESOURCES, 2048);
    end(&bench);
}

int main(int argc, char **argv) {
    if (argc > 1)
        rounds = (unsigned)atoi(argv[1]);
    offset = 1700000000000000000ull;
    printf("%-52s %8s %8s\n", "engine_enter + engine_exit", "ns", "bar");
    one_resource("S4 no rule", 0, 0, SCOPE_PROCESS, false, 60);
    one_resource("S4 one QPS rule, passing", 1, 1e9, SCOPE_PROCESS, false, 60);
    one_resource("S4 one QPS rule, scope app, passing", 1, 1e9, SCOPE_APP, false, 60);
    one_resource("S4 one QPS rule, rejecting", 1, 100, SCOPE_PROCESS, true, 40);
    one_resource("S4 ten QPS rules, passing", 10, 1e9, SCOPE_PROCESS, false, 200);
    many_resources("S4 10 000 resources round robin, a rule each", 10000, 10000, 150);
    many_resources("S11 5000 rules, 6000 resources round robin", 6000, 5000, 150);
    many_resources("S11 5000 rules, one resource used", 1, 5000, 63);
    two_threads();
    hot_values();
    memory_per_resource();
    return 0;
}
