/* A CPU-bound server under open-loop load, simulated event by event on a made-up clock, with the real engine in front:
 * what overload protection does over time (bar A6).  The same numbers in every run.
 *
 * The server has CORES cores; a request needs an exponentially distributed time of one of them, 10 ms in the mean; who
 * finds none free waits in line, first come first served.  Rejecting costs a little CPU, too.  A client that has
 * waited a second has gone: the server works on the request all the same, but it is no good any more. */
#ifndef WEIR_TESTS_BENCH_OVERLOAD_MODEL_H
#define WEIR_TESTS_BENCH_OVERLOAD_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rules/engine/engine.h"
#include "rules/hash.h"
#include "rules/pages.h"
#include "rules/ruleset.h"

enum { MODEL_CORES = 4, MODEL_LINE = 1 << 17, MODEL_BINS = 256, MODEL_BIN_MS = 500, MODEL_RT_MS = 4000 };
static const double MODEL_SERVICE_NS = 10e6, MODEL_REJECT_NS = 50e3, MODEL_DEADLINE_NS = 1e9;
static const double MODEL_CAPACITY = MODEL_CORES / 10e6 * 1e9; /* requests a second */

struct model_bin { /* half a second */
    double offered, admitted, good, cpu;
    uint32_t in_flight;
};
struct model_result {
    struct model_bin bins[MODEL_BINS];
    unsigned bins_count;
    uint32_t rt_ms[MODEL_RT_MS + 1]; /* of admitted requests that arrived in the part that is judged */
};
struct model_call {
    uint64_t arrived, ends;
    struct engine_ticket ticket;
};

static inline double model_random(uint64_t *seed) { /* (0, 1] */
    *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
    return (double)((*seed >> 11) + 1) / 9007199254740992.0;
}

/* -ln(u), by the series of the logarithm of its mantissa. */
static inline double model_exponential(uint64_t *seed) {
    double u = model_random(seed), n = 0;
    while (u < 0.70710678118654752)
        u *= 2, n++;
    double z = (u - 1) / (u + 1), square = z * z, sum = 0, term = z;
    for (int i = 1; i < 20; i += 2, term *= square)
        sum += term / i;
    return n * 0.69314718055994531 - 2 * sum;
}

static inline struct engine *model_engine(int algorithm, double target, void **ret_ruleset) {
    struct engine *engine = engine_new(&pages_memory, NULL, UINT32_MAX);
    struct ruleset_builder *builder = ruleset_builder_new("model");
    struct rule rule;
    size_t size;
    if (!engine)
        abort();
    rule_defaults(&rule, RULE_ADAPTIVE);
    rule.id = ruleset_add_text(builder, "adaptive", 8);
    rule.id_hash = hash_bytes(0, "adaptive", 8);
    rule.mode = algorithm < 0 ? MODE_OFF : MODE_ENFORCE;
    rule.scope = SCOPE_PROCESS;
    rule.grade = (uint8_t)(algorithm < 0 ? ADAPTIVE_CPU : algorithm);
    rule.count = target;
    ruleset_add_rule(builder, &rule);
    *ret_ruleset = ruleset_builder_finish(builder, &size);
    if (!*ret_ruleset || !ruleset_check(*ret_ruleset, size) || engine_adopt(engine, *ret_ruleset, size, 1) != 0)
        abort();
    return engine;
}

/* `load(second)`: offered load, as a multiple of the capacity.  RTs of requests that arrive in [from, to) seconds are
 * kept. */
static inline void model_run(int algorithm, double target, double (*load)(double second), double seconds, double from,
                             double to, struct model_result *ret) {
    static struct model_call line[MODEL_LINE]; /* a ring: admitted, waiting or being served */
    static uint64_t core_free[MODEL_CORES];
    void *ruleset;
    struct engine *engine = model_engine(algorithm, target, &ruleset);
    uint32_t resource = engine_resource(engine, "GET:/", 5, SIDE_INBOUND), first = 0, end = 0;
    const uint64_t start = 1700000000000000000ull;
    uint64_t seed = 20240607, now = start, sampled = start;
    double busy = 0;
    memset(ret, 0, sizeof(*ret));
    memset(core_free, 0, sizeof(core_free));
    while (now < start + (uint64_t)(seconds * 1e9)) {
        double rate = load((double)(now - start) / 1e9) * MODEL_CAPACITY;
        uint64_t next = now + (uint64_t)(model_exponential(&seed) / rate * 1e9) + 1;
        for (;;) { /* what happens before the next arrival: completions and samples of the CPU, in order */
            uint32_t soonest = end;
            for (uint32_t i = first; i != end;
                 i++) /* started calls are at the head of the line, at most MODEL_CORES of them */
                if (line[i % MODEL_LINE].ends &&
                    (soonest == end || line[i % MODEL_LINE].ends < line[soonest % MODEL_LINE].ends))
                    soonest = i;
                else if (!line[i % MODEL_LINE].ends)
                    break;
            uint64_t done = soonest != end ? line[soonest % MODEL_LINE].ends : UINT64_MAX,
                     tick = sampled + MODEL_BIN_MS * 1000000ull;
            if ((done < tick ? done : tick) > next)
                break;
            if (tick <= done) {
                struct model_bin
                    *bin = &ret->bins[ret->bins_count < MODEL_BINS - 1 ? ret->bins_count++ : MODEL_BINS - 1];
                for (unsigned i = 0; i < MODEL_CORES; i++) /* what is still running has used its core up to now */
                    busy -= core_free[i] > tick ? (double)(core_free[i] - tick) : 0;
                double cpu = busy / (MODEL_CORES * (double)MODEL_BIN_MS * 1e6);
                busy = 0;
                for (unsigned i = 0; i < MODEL_CORES; i++)
                    busy += core_free[i] > tick ? (double)(core_free[i] - tick) : 0;
                bin->cpu = cpu > 1 ? 1 : cpu < 0 ? 0 : cpu;
                bin->in_flight = end - first;
                struct engine_sample sample = {bin->cpu, -1, bin->cpu};
                engine_sample(engine, tick, &sample);
                sampled = tick;
                continue;
            }
            struct model_call call = line[soonest % MODEL_LINE];
            struct engine_outcome outcome = {.error = false};
            engine_exit(engine, &call.ticket, done, &outcome);
            if (done - call.arrived <= (uint64_t)MODEL_DEADLINE_NS)
                ret->bins[ret->bins_count].good++;
            double second = (double)(call.arrived - start) / 1e9;
            if (second >= from && second < to) {
                uint64_t ms = (done - call.arrived) / 1000000;
                ret->rt_ms[ms < MODEL_RT_MS ? ms : MODEL_RT_MS]++;
            }
            for (uint32_t i = soonest; i != first; i--)
                line[i % MODEL_LINE] = line[(i - 1) % MODEL_LINE];
            first++;
            for (uint32_t i = first; i != end; i++) /* the core takes the next in line */
                if (!line[i % MODEL_LINE].ends) {
                    double need = model_exponential(&seed) * MODEL_SERVICE_NS;
                    unsigned core = 0;
                    for (unsigned k = 1; k < MODEL_CORES; k++)
                        core = core_free[k] < core_free[core] ? k : core;
                    uint64_t begins = core_free[core] > done ? core_free[core] : done;
                    core_free[core] = line[i % MODEL_LINE].ends = begins + (uint64_t)need + 1;
                    busy += (double)(core_free[core] - begins);
                    break;
                }
        }
        now = next;
        struct model_bin *bin = &ret->bins[ret->bins_count];
        struct model_call *call = &line[end % MODEL_LINE];
        struct engine_result decision;
        struct engine_request request = {.resources = &resource,
                                         .resources_count = 1,
                                         .side = SIDE_INBOUND,
                                         .priority = PRIORITY_NORMAL,
                                         .acquire = 1};
        bin->offered++;
        unsigned core = 0;
        for (unsigned k = 1; k < MODEL_CORES; k++)
            core = core_free[k] < core_free[core] ? k : core;
        if (engine_enter(engine, now, &request, &call->ticket, &decision) == ENGINE_BLOCK) {
            core_free[core] = (core_free[core] > now ? core_free[core] : now) + (uint64_t)MODEL_REJECT_NS;
            busy += MODEL_REJECT_NS;
            continue;
        }
        bin->admitted++;
        call->arrived = now;
        call->ends = 0;
        uint32_t running = 0;
        for (uint32_t i = first; i != end && line[i % MODEL_LINE].ends; i++)
            running++;
        end++;
        if (running < MODEL_CORES && running == end - 1 - first) {
            uint64_t begins = core_free[core] > now ? core_free[core] : now;
            core_free[core] = call->ends = begins + (uint64_t)(model_exponential(&seed) * MODEL_SERVICE_NS) + 1;
            busy += (double)(core_free[core] - begins);
        }
        if (end - first >= MODEL_LINE - 1)
            abort();
    }
    engine_free(engine);
    free(ruleset);
}

static inline double model_percentile_ms(const struct model_result *result, double share) {
    uint64_t all = 0, sum = 0;
    for (unsigned i = 0; i <= MODEL_RT_MS; i++)
        all += result->rt_ms[i];
    for (unsigned i = 0; i <= MODEL_RT_MS; i++)
        if ((sum += result->rt_ms[i]) >= share * (double)all && all)
            return i + 1;
    return 0;
}

/* Mean over [from, to) seconds of good answers a second, of the CPU; and the CPU's extremes. */
static inline void model_mean(const struct model_result *result, double from, double to, double *ret_good,
                              double *ret_cpu, double *ret_least, double *ret_most) {
    unsigned a = (unsigned)(from * 1000 / MODEL_BIN_MS), b = (unsigned)(to * 1000 / MODEL_BIN_MS);
    *ret_good = *ret_cpu = *ret_most = 0;
    *ret_least = 1;
    for (unsigned i = a; i < b; i++) {
        double cpu = result->bins[i].cpu;
        *ret_good += result->bins[i].good / (to - from);
        *ret_cpu += cpu / (b - a);
        *ret_least = cpu < *ret_least ? cpu : *ret_least;
        *ret_most = cpu > *ret_most ? cpu : *ret_most;
    }
}

#endif
