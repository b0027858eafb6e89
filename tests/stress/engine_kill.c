/* Bars A4 and H5: processes and threads on one app's memory, killed with kill -9 at random moments, under rule edits
 * with ever new ids.  Never more in flight than the rule says, in all or of one value, never more in a second, and
 * nothing lost in the end.
 *
 *     engine_kill [seconds] [processes] [threads]        default 4, and then until 500 were killed, 8, 4; 0 processes:
 * threads of this one, none is killed
 *
 * What is really in flight is counted in memory of the test's own: by each process after it was admitted and until
 * before it exits, so it is never more than what the engine counts. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rules/engine/engine.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/layout.h"
#include "tests/shared_counters.h"

enum {
    SEATS = 20,
    VALUES = 3,
    VALUE_SEATS = 5,
    RATE = 2000,
    RULESETS = 400,
    PROCESSES_MAX = 32,
    THREADS_MAX = 16,
    LOG = 1 << 20,
    PASSING_RULES = 8
};
#define SECOND 1000000000ull
#define CHANGE (1ull << 32)

struct admitted {
    uint64_t before, after; /* the clock before and after engine_enter */
};
struct ground { /* what really happened */
    uint32_t stop, failed;
    struct seats {
        uint64_t taken[PROCESSES_MAX]; /* really in flight, by process: changes << 32 | how many */
        uint32_t highest;
    } seats[1 + VALUES]; /* of the isolation rule, then of each hot key */
    uint64_t requests, adoptions;
    uint64_t logged;
    struct admitted log[LOG];
};

static struct ground *ground;
static struct layout_counters_header *shared;
static void *rulesets[RULESETS];
static size_t sizes[RULESETS];
static unsigned threads = 4;

static uint64_t clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1700000000 * SECOND + (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void *reserve(size_t size, int kind) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}

static void fail(const char *what, unsigned long long value) {
    fprintf(stderr, "engine_kill: %s: %llu\n", what, value);
    __atomic_store_n(&ground->failed, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ground->stop, 1, __ATOMIC_SEQ_CST);
}

/* ------------------------------------------------------------------------------------------------------------ rules */

static void add_rule(struct ruleset_builder *builder, enum rule_kind kind, const char *id, const char *resource,
                     double count, bool prefix) {
    struct rule rule;
    rule_defaults(&rule, kind);
    rule.id = ruleset_add_text(builder, id, strlen(id));
    rule.id_hash = hash_bytes(0, id, strlen(id));
    rule.resource = ruleset_add_text(builder, resource, strlen(resource));
    rule.match = prefix ? MATCH_PREFIX : MATCH_EXACT;
    rule.scope = SCOPE_APP;
    rule.count = count;
    rule.open_ns = SECOND / 20;
    if (kind == RULE_DEGRADE)
        rule.grade = DEGRADE_RATIO;
    if (kind == RULE_PARAM)
        rule.grade = GRADE_THREAD;
    ruleset_add_rule(builder, &rule);
}

static void make_rulesets(void) {
    for (unsigned i = 0; i < RULESETS; i++) {
        struct ruleset_builder *builder = ruleset_builder_new("stress");
        add_rule(builder, RULE_ISOLATION, "seats", "s:seats", SEATS, false);
        add_rule(builder, RULE_PARAM, "values", "s:values", VALUE_SEATS, false);
        add_rule(builder, RULE_FLOW, "rate", "s:rate", RATE, false);
        add_rule(builder, RULE_DEGRADE, "circuit", "s:circuit", 0.5, false);
        for (unsigned k = 0; k < PASSING_RULES; k++) { /* rules that come and go: each edit makes new cells */
            char id[32];
            snprintf(id, sizeof(id), "edit%u.%u", i, k);
            add_rule(builder, k % 2 ? RULE_FLOW : RULE_ISOLATION, id, "s:", 1e9, true);
        }
        rulesets[i] = ruleset_builder_finish(builder, &sizes[i]);
        if (!rulesets[i] || !ruleset_check(rulesets[i], sizes[i])) {
            fprintf(stderr, "engine_kill: no rules\n");
            exit(1);
        }
    }
}

static void make_counters(void) {
    shared = shared_counters((uint64_t)getpid());
    shared_allocated[LAYOUT_LIMITERS] = (16u << 20) /
                                        LAYOUT_CELL_UNIT; /* 5 MiB of new cells a second: they have to be used again */
}

static struct layout_process *process_at(uint32_t slot) {
    return shared_at(shared, LAYOUT_PROCESS_TABLE, slot);
}

/* --------------------------------------------------------------------------------------------------------- requests */

struct worker {
    struct engine *engine;
    uint32_t slot;
    uint64_t seed;
    uint32_t seats, values, rate, circuit;
};

static uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
    return *seed;
}

/* Of value 1 … VALUES; 0: the request has none. */
static bool enter_with(struct worker *worker, unsigned value, const uint32_t *resource, struct engine_ticket *ticket,
                       uint64_t now) {
    static const char texts[] = "abc";
    struct engine_result decision;
    struct engine_value arg = {.type = VALUE_STRING, .text = &texts[value ? value - 1 : 0], .length = 1};
    struct engine_request request = {.resources = resource,
                                     .resources_count = 1,
                                     .side = SIDE_INBOUND,
                                     .priority = PRIORITY_NORMAL,
                                     .acquire = 1,
                                     .args = &arg,
                                     .args_count = value != 0};
    __atomic_fetch_add(&ground->requests, 1, __ATOMIC_RELAXED);
    return engine_enter(worker->engine, now, &request, ticket, &decision) != ENGINE_BLOCK;
}

static bool enter(struct worker *worker, const uint32_t *resource, struct engine_ticket *ticket, uint64_t now) {
    return enter_with(worker, 0, resource, ticket, now);
}

static void leave(struct worker *worker, struct engine_ticket *ticket, bool error) {
    struct engine_outcome outcome = {.error = error};
    engine_exit(worker->engine, ticket, clock_now(), &outcome);
}

/* How many sit at one moment: read twice without any change in between.  0: there was no such moment. */
static uint32_t really_seated(const struct seats *seats) {
    uint64_t seen[PROCESSES_MAX];
    uint32_t sum = 0;
    for (unsigned i = 0; i < PROCESSES_MAX; i++) {
        seen[i] = __atomic_load_n(&seats->taken[i], __ATOMIC_SEQ_CST);
        sum += (uint32_t)seen[i];
    }
    for (unsigned i = 0; i < PROCESSES_MAX; i++)
        if (__atomic_load_n(&seats->taken[i], __ATOMIC_SEQ_CST) != seen[i])
            return 0;
    return sum;
}

static void take_seat(struct worker *worker, unsigned value) {
    struct engine_ticket ticket;
    struct seats *seats = &ground->seats[value];
    if (!enter_with(worker, value, value ? &worker->values : &worker->seats, &ticket, clock_now()))
        return;
    __atomic_fetch_add(&seats->taken[worker->slot], CHANGE + 1, __ATOMIC_SEQ_CST);
    uint32_t sum = really_seated(seats), highest = __atomic_load_n(&seats->highest, __ATOMIC_RELAXED);
    while (sum > highest &&
           !__atomic_compare_exchange_n(&seats->highest, &highest, sum, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    if (sum > (value ? VALUE_SEATS : SEATS))
        fail(value ? "more in flight of a value than seats" : "more in flight than seats", sum);
    for (uint64_t spin = next_random(&worker->seed) % 3000; spin; spin--)
        __asm__ volatile("" ::: "memory");
    if (next_random(&worker->seed) % 64 == 0)
        usleep(500);
    __atomic_fetch_add(&seats->taken[worker->slot], CHANGE - 1, __ATOMIC_SEQ_CST);
    if (next_random(&worker->seed) % 8)
        leave(worker, &ticket, false);
    else
        engine_cancel(worker->engine, &ticket, clock_now());
}

static void take_rate(struct worker *worker) {
    struct engine_ticket ticket;
    uint64_t before = clock_now();
    if (!enter(worker, &worker->rate, &ticket, before))
        return;
    uint64_t at = __atomic_fetch_add(&ground->logged, 1, __ATOMIC_SEQ_CST);
    if (at < LOG) {
        ground->log[at].before = before;
        __atomic_store_n(&ground->log[at].after, clock_now(), __ATOMIC_RELEASE);
    }
    leave(worker, &ticket, false);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    while (!__atomic_load_n(&ground->stop, __ATOMIC_RELAXED)) {
        struct engine_ticket ticket;
        uint64_t what = next_random(&worker->seed) % 6;
        if (what < 4)
            take_seat(worker, what < 2 ? 0 : 1 + (unsigned)(next_random(&worker->seed) % VALUES));
        else if (what == 4)
            take_rate(worker);
        else if (enter(worker, &worker->circuit, &ticket, clock_now()))
            leave(worker, &ticket, next_random(&worker->seed) % 3 != 0);
    }
    return NULL;
}

static void *edit(void *argument) {
    struct worker *worker = argument;
    uint64_t start = clock_now();
    while (!__atomic_load_n(&ground->stop, __ATOMIC_RELAXED)) {
        uint64_t generation = 1 + (clock_now() - start) / (SECOND / 200) + (start / (SECOND / 200)) % 1000000000;
        if (generation > engine_generation(worker->engine) && /* 12 000 edits a minute, the same for all processes */
            engine_adopt(worker->engine, rulesets[generation % RULESETS], sizes[generation % RULESETS], generation) ==
                0)
            __atomic_fetch_add(&ground->adoptions, 1, __ATOMIC_RELAXED);
        engine_release(worker->engine);
        usleep(1000);
    }
    return NULL;
}

static void run(uint32_t slot) {
    struct engine *engine = shared_engine(shared, slot);
    struct worker workers[THREADS_MAX + 1];
    pthread_t ids[THREADS_MAX + 1];
    if (engine_adopt(engine, rulesets[0], sizes[0], 1) != 0)
        fail("cannot adopt", 0);
    for (unsigned i = 0; i <= threads; i++) {
        workers[i] = (struct worker){engine,
                                     slot,
                                     (clock_now() + i * 7919 + slot * 104729) | 1,
                                     engine_resource(engine, "s:seats", 7, SIDE_INBOUND),
                                     engine_resource(engine, "s:values", 8, SIDE_INBOUND),
                                     engine_resource(engine, "s:rate", 6, SIDE_INBOUND),
                                     engine_resource(engine, "s:circuit", 9, SIDE_INBOUND)};
        pthread_create(&ids[i], NULL, i < threads ? work : edit, &workers[i]);
    }
    for (unsigned i = 0; i <= threads; i++)
        pthread_join(ids[i], NULL);
    engine_free(engine);
}

static void *run_alone(void *unused) {
    (void)unused;
    run(0);
    return NULL;
}

static pid_t begin(uint32_t slot) {
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        __atomic_store_n(&process_at(slot)->owner, 1ull << 32 | (uint32_t)getpid(), __ATOMIC_SEQ_CST);
        run(slot);
        _exit(0);
    }
    return pid;
}

static void take_back(uint32_t slot) {
    uint64_t owner = __atomic_load_n(&process_at(slot)->owner, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i <= VALUES; i++) { /* first, as in truth; nobody changes it any more */
        uint64_t *taken = &ground->seats[i].taken[slot], seated = __atomic_load_n(taken, __ATOMIC_SEQ_CST);
        __atomic_store_n(taken, (seated & ~(CHANGE - 1)) + CHANGE, __ATOMIC_SEQ_CST);
    }
    shared_reclaim(shared, slot, owner);
}

/* --------------------------------------------------------------------------------------------------- the afterwards */

static int by_begin(const void *a, const void *b) {
    const struct admitted *x = a, *y = b;
    return (x->before > y->before) - (x->before < y->before);
}

/* Every second that begins with a request: those that surely happened within it. */
static void check_rate(void) {
    uint64_t n = ground->logged < LOG ? ground->logged : LOG, most = 0;
    qsort(ground->log, n, sizeof(*ground->log), by_begin);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t within = 0;
        for (uint64_t j = i; j < n && ground->log[j].before < ground->log[i].before + SECOND; j++)
            within += ground->log[j].after && ground->log[j].after < ground->log[i].before + SECOND;
        most = within > most ? within : most;
    }
    printf("  most admitted in any second: %llu of %d\n", (unsigned long long)most, RATE);
    if (most > RATE)
        fail("admitted in a second", most);
}

/* All seats are free, and the circuit closes again. */
static void check_nothing_lost(void) {
    struct engine *engine = shared_engine(shared, 0);
    struct worker worker = {.engine = engine, .seed = 1};
    struct engine_ticket tickets[SEATS + 1], ticket;
    unsigned free_seats = 0;
    process_at(0)->owner = 1ull << 32 | (uint32_t)getpid();
    if (engine_adopt(engine, rulesets[0], sizes[0], UINT64_MAX) != 0)
        fail("cannot adopt in the end", 0);
    worker.seats = engine_resource(engine, "s:seats", 7, SIDE_INBOUND);
    worker.circuit = engine_resource(engine, "s:circuit", 9, SIDE_INBOUND);
    for (unsigned i = 0; i <= SEATS; i++)
        free_seats += enter(&worker, &worker.seats, &tickets[i], clock_now());
    if (free_seats != SEATS)
        fail("free seats in the end", free_seats);
    worker.values = engine_resource(engine, "s:values", 8, SIDE_INBOUND);
    for (unsigned value = 1; value <= VALUES; value++) {
        unsigned free_values = 0;
        for (unsigned i = 0; i <= VALUE_SEATS; i++)
            free_values += enter_with(&worker, value, &worker.values, &tickets[i], clock_now());
        if (free_values != VALUE_SEATS)
            fail("free seats of a value in the end", free_values);
    }
    uint64_t now = clock_now() + 100 * SECOND;
    struct engine_outcome good = {.error = false};
    unsigned passed = 0;
    for (unsigned i = 0; i < 10; i++, now += SECOND)
        if (enter(&worker, &worker.circuit, &ticket, now)) {
            engine_exit(engine, &ticket, now, &good);
            passed++;
        }
    if (passed != 10)
        fail("calls through the circuit in the end, of 10", passed);
    printf("  seats free %u of %d, circuit passes %u of 10\n", free_seats, SEATS, passed);
    engine_free(engine);
}

int main(int argc, char **argv) {
#if defined(__SANITIZE_THREAD__)
    unsigned processes = 0, seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 4, kills = 0;
#else
    unsigned processes = 8, seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 4, kills = 0;
#endif
    processes = argc > 2 ? (unsigned)atoi(argv[2]) : processes;
    threads = argc > 3 ? (unsigned)atoi(argv[3]) : threads;
    if (processes > PROCESSES_MAX || threads > THREADS_MAX || !threads) {
        fprintf(stderr, "usage: engine_kill [seconds] [processes, at most %d] [threads, at most %d]\n", PROCESSES_MAX,
                THREADS_MAX);
        return 2;
    }
    ground = reserve(sizeof(*ground), MAP_SHARED);
    make_counters();
    make_rulesets();
    pid_t pids[PROCESSES_MAX];
    uint64_t end = clock_now() + seconds * SECOND, seed = clock_now() | 1;
    if (!processes) {
        pthread_t id;
        process_at(0)->owner = 1;
        int failed = pthread_create(&id, NULL, run_alone, NULL);
        while (!failed && clock_now() < end && !ground->failed)
            usleep(20000);
        __atomic_store_n(&ground->stop, 1, __ATOMIC_SEQ_CST);
        pthread_join(id, NULL);
    }
    for (uint32_t i = 0; i < processes; i++)
        pids[i] = begin(i);
    const unsigned least = argc > 1 ? 0 : 500;
    while (processes && (clock_now() < end || kills < least) && !__atomic_load_n(&ground->failed, __ATOMIC_SEQ_CST)) {
        uint32_t victim = (uint32_t)(next_random(&seed) % processes);
        usleep((useconds_t)(next_random(&seed) % 10000));
        kill(pids[victim], SIGKILL);
        waitpid(pids[victim], NULL, 0);
        take_back(victim);
        pids[victim] = begin(victim);
        kills++;
    }
    __atomic_store_n(&ground->stop, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < processes; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status))
            fail("a process ended with status", (unsigned long long)status);
        take_back(i);
    }
    printf("engine_kill: %llu requests, %u kills, %llu adoptions; highest in flight %u of %d, of a value %u of "
           "%d; %u KiB of cells, %u refused\n",
           (unsigned long long)ground->requests, kills, (unsigned long long)ground->adoptions, ground->seats[0].highest,
           SEATS, ground->seats[1].highest, VALUE_SEATS, shared->cell_bytes_used / 1024, shared->cells_refused);
    check_rate();
    check_nothing_lost();
    if (shared->cells_refused)
        fail("cells refused", shared->cells_refused);
    return ground->failed != 0;
}
