/* An engine with one rule about all traffic, and a simulated server behind it. */
#ifndef WEIR_TESTS_UNIT_SHED_FIXTURE_H
#define WEIR_TESTS_UNIT_SHED_FIXTURE_H

#include <check.h>

#include "engine_fixture.h"

static struct engine *engine;
static struct layout_counters_header *shared;
static uint32_t a, b;

static inline void begin(enum rule_kind kind, unsigned grade, double count, const char *exception) {
    shared = fixture_counters();
    engine = fixture_engine(shared, 0);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, kind, "s", NULL, count);
    rule.grade = (uint8_t)grade;
    rule.mode = MODE_ENFORCE;
    if (exception) {
        rule.list_first = ruleset_add_list(builder, fixture_text(builder, exception));
        rule.list_count = 1;
    }
    fixture_one_rule(engine, builder, &rule, 1);
    a = fixture_resource(engine, "a");
    b = fixture_resource(engine, "b");
}

static inline enum engine_verdict enter(uint64_t now, uint32_t resource, uint8_t side, uint8_t priority,
                                        struct fixture_call *call) {
    struct engine_request request = fixture_request(&resource);
    request.side = side;
    request.priority = priority;
    return engine_enter(engine, now, &request, &call->ticket, &call->decision);
}
static inline unsigned passes(uint64_t now, uint32_t resource, uint8_t priority, unsigned n) {
    unsigned passed = 0;
    for (unsigned i = 0; i < n; i++) {
        struct fixture_call call;
        if (enter(now, resource, SIDE_INBOUND, priority, &call) == ENGINE_PASS) {
            passed++;
            fixture_exit(engine, now, &call, false);
        }
    }
    return passed;
}

/* A server that completes so many requests in half a second, first come, first served. */
static struct server {
    unsigned capacity, begun, done; /* calls since the start */
    double others;                  /* what others take of the CPU, 0…1, and the figure does not know of */
    double cpus_used;               /* as engine_sample has it */
    struct fixture_call calls[4096];
} server;
static inline void sample(uint64_t now, double cpu, double load1) {
    struct engine_sample sample = {cpu, load1, cpu, server.cpus_used};
    engine_sample(engine, now, &sample);
}
static inline bool arrives(uint64_t now, uint32_t resource, uint8_t priority, uint32_t caller) {
    struct fixture_call *call = &server.calls[server.begun % 4096];
    struct engine_request request = fixture_request(&resource);
    request.priority = priority;
    request.address = (const unsigned char *)&caller, request.address_length = caller ? sizeof(caller) : 0;
    ck_assert_uint_lt(server.begun - server.done, 4096);
    return engine_enter(engine, now, &request, &call->ticket, &call->decision) == ENGINE_PASS && ++server.begun;
}
/* Half a second of as many requests as said, spread evenly; then a sample of the CPU.  How many were admitted. */
struct flow {
    unsigned low, normal, critical, excepted;
    unsigned callers;    /* of the normal ones; 0: they are not known */
    unsigned *seen, *in; /* by caller; may be NULL */
};
enum { SLOTS = 400 };
static inline unsigned part(unsigned n, unsigned slot) {
    return n * (slot + 1) / SLOTS - n * slot / SLOTS;
}
static inline struct flow half_second(uint64_t *now, const struct flow *offered) {
    struct flow passed = {0};
    unsigned done = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint64_t then = *now + slot * (500 * MS / SLOTS);
        for (unsigned i = 0; i < part(offered->low, slot); i++)
            passed.low += arrives(then, a, PRIORITY_LOW, 0);
        for (unsigned i = 0; i < part(offered->normal, slot); i++) {
            uint32_t caller = offered->callers ? (server.begun * 7 + slot * 37 + i) % offered->callers : 0;
            bool in = arrives(then, a, PRIORITY_NORMAL, offered->callers ? caller + 1 : 0);
            passed.normal += in;
            if (offered->seen)
                offered->seen[caller]++, offered->in[caller] += in;
        }
        for (unsigned i = 0; i < part(offered->critical, slot); i++)
            passed.critical += arrives(then, a, PRIORITY_CRITICAL, 0);
        for (unsigned i = 0; i < part(offered->excepted, slot); i++)
            passed.excepted += arrives(then, b, PRIORITY_NORMAL, 0);
        for (unsigned i = part(server.capacity, slot); i && server.done != server.begun; i--, done++)
            fixture_exit(engine, then + 5 * MS, &server.calls[server.done++ % 4096], false);
    }
    sample(*now += 500 * MS, (double)done / server.capacity * (1 - server.others), -1);
    return passed;
}
static inline struct flow half_seconds(uint64_t *now, unsigned n, const struct flow *offered) {
    struct flow passed = {0};
    while (n--)
        passed = half_second(now, offered);
    return passed;
}

#endif
