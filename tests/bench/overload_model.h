/* A CPU-bound server under open-loop load, simulated event by event on a made-up clock, with the real engine in front:
 * what overload protection does over time (bar A6).  The same numbers in every run; tests/bench/overload.py lays them
 * over runs of real servers.
 *
 * Requests wait in the socket, first come first served, at most `backlog` of them: what finds no room there is dropped
 * by the kernel.  The server reads one when one of its `lanes` is free, and the engine decides then.  What is read
 * shares the `cores`.  So an event loop is one lane, and a server with a pool of threads has a queue inside, too.  To
 * reject takes CPU as well.  A client that has waited a second has gone: the server works on its request all the same,
 * but that is of no use to it. */
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

enum { MODEL_LINE = 1 << 17, MODEL_LANES = 4096, MODEL_BINS = 1024, MODEL_BIN_MS = 250, MODEL_RT_MS = 4000 };
enum { MODEL_SAMPLE_BINS = 2, MODEL_CALLERS = 2000 }; /* the CPU is measured every so many bins */
static const double MODEL_PATIENCE_NS = 1e9;

struct model_server {
    unsigned cores, lanes, backlog;
    double service_ns, reject_ns; /* CPU of a request in the mean, and of a rejection */
    bool random;                  /* service times are exponentially distributed; otherwise all the same */
};
static const struct model_server MODEL_LOOP = {1, 1, 511, 5.5e6, 0.25e6, false},
                                 MODEL_POOL = {4, MODEL_LANES, MODEL_LINE / 2, 10e6, 0.05e6, true};

struct model_bin { /* by when requests arrived */
    double offered, admitted, rejected, good, cpu;
    uint32_t in_flight;
};
struct model_result {
    double capacity; /* requests a second */
    struct model_bin bins[MODEL_BINS];
    unsigned bins_count;
    uint32_t rt_ms[MODEL_RT_MS + 1]; /* of admitted requests that arrived in the part that is judged */
};
struct model_call {
    uint64_t arrived;
    double left; /* ns of a core */
    bool rejected;
    struct engine_ticket ticket;
};

/* All of a run. */
struct model {
    const struct model_server *server;
    struct engine *engine;
    struct model_result *result;
    uint64_t start, now, seed, judged_from, judged_to;
    uint32_t resource, first, end, active, admitted; /* the line is [first, end) */
    double busy;                                     /* ns of cores used in this bin */
    struct model_call calls[MODEL_LANES];
    uint64_t line[MODEL_LINE];
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

static inline struct model_bin *model_bin(struct model *model, uint64_t arrived) {
    uint64_t number = (arrived - model->start) / (MODEL_BIN_MS * 1000000ull);
    return &model->result->bins[number < MODEL_BINS ? number : MODEL_BINS - 1];
}

/* The call at `i` has used the CPU that it needed. */
static inline void model_done(struct model *model, uint32_t i) {
    struct model_call *call = &model->calls[i];
    struct model_bin *bin = model_bin(model, call->arrived);
    double took = (double)(model->now - call->arrived);
    if (!call->rejected) {
        struct engine_outcome outcome = {.error = false};
        engine_exit(model->engine, &call->ticket, model->now, &outcome);
        model->admitted--;
        bin->good += took <= MODEL_PATIENCE_NS;
        if (call->arrived >= model->judged_from && call->arrived < model->judged_to)
            model->result->rt_ms[took / 1e6 < MODEL_RT_MS ? (unsigned)(took / 1e6) : MODEL_RT_MS]++;
    } else {
        bin->rejected += took <= MODEL_PATIENCE_NS;
    }
    *call = model->calls[--model->active];
}

/* A lane reads the first of the line. */
static inline void model_read(struct model *model) {
    uint64_t arrived = model->line[model->first++ % MODEL_LINE];
    struct model_call *call = &model->calls[model->active++];
    struct engine_result decision;
    unsigned char address[4] = {127, 1};
    uint32_t caller = (uint32_t)(model_random(&model->seed) * (MODEL_CALLERS - 1));
    address[2] = (unsigned char)(caller >> 8), address[3] = (unsigned char)caller;
    struct engine_request request = {.resources = &model->resource,
                                     .resources_count = 1,
                                     .side = SIDE_INBOUND,
                                     .priority = PRIORITY_NORMAL,
                                     .acquire = 1,
                                     .address = address,
                                     .address_length = sizeof(address),
                                     .waited_ns = model->now - arrived};
    call->arrived = arrived;
    call->rejected = engine_enter(model->engine, model->now, &request, &call->ticket, &decision) == ENGINE_BLOCK;
    if (call->rejected) {
        call->left = model->server->reject_ns;
        return;
    }
    call->left = model->server->service_ns * (model->server->random ? model_exponential(&model->seed) : 1);
    model->admitted++;
    model_bin(model, arrived)->admitted++;
}

/* The share of a core that each call has. */
static inline double model_speed(const struct model *model) {
    return model->active > model->server->cores ? (double)model->server->cores / model->active : 1;
}

/* Time goes on to `to`, before which no call is done. */
static inline void model_pass(struct model *model, uint64_t to) {
    double each = (double)(to - model->now) * model_speed(model);
    for (uint32_t i = 0; i < model->active; i++)
        model->calls[i].left -= each;
    model->busy += each * model->active;
    model->now = to;
}

/* When the next call is done, and which. */
static inline uint64_t model_next_done(const struct model *model, uint32_t *ret_i) {
    if (!model->active)
        return UINT64_MAX;
    *ret_i = 0;
    for (uint32_t i = 1; i < model->active; i++)
        if (model->calls[i].left < model->calls[*ret_i].left)
            *ret_i = i;
    double left = model->calls[*ret_i].left / model_speed(model);
    return model->now + (left > 0 ? (uint64_t)left + 1 : 0);
}

/* The end of a bin. */
static inline void model_tick(struct model *model) {
    struct model_result *result = model->result;
    struct model_bin *bin = &result->bins[result->bins_count];
    bin->cpu = model->busy / (model->server->cores * (double)MODEL_BIN_MS * 1e6);
    bin->in_flight = model->admitted;
    model->busy = 0;
    if (++result->bins_count % MODEL_SAMPLE_BINS)
        return;
    double cpu = (bin[0].cpu + bin[-1].cpu) / 2;
    struct engine_sample sample = {cpu, -1, cpu, 0};
    engine_sample(model->engine, model->now, &sample);
}

/* What happens until `until`: calls that are done, lanes that read, ends of bins, in order. */
static inline void model_advance(struct model *model, uint64_t until) {
    for (;;) {
        while (model->first != model->end && model->active < model->server->lanes)
            model_read(model);
        uint32_t i = 0;
        uint64_t done = model_next_done(model, &i),
                 tick = model->start + (model->result->bins_count + 1) * (MODEL_BIN_MS * 1000000ull),
                 next = done < tick ? done : tick;
        if (next > until)
            break;
        model_pass(model, next);
        if (next == done)
            model_done(model, i);
        else
            model_tick(model);
    }
    model_pass(model, until);
}

/* `load(second)`: offered load, as a multiple of the capacity.  RTs of requests that arrive in [from, to) seconds are
 * kept. */
static inline void model_run(const struct model_server *server, int algorithm, double target,
                             double (*load)(double second), double seconds, double from, double to,
                             struct model_result *ret) {
    static struct model model;
    const uint64_t start = 1700000000000000000ull;
    void *ruleset;
    memset(ret, 0, sizeof(*ret));
    ret->capacity = server->cores / server->service_ns * 1e9;
    memset(&model, 0, sizeof(model));
    model.server = server, model.result = ret, model.seed = 20240607, model.start = model.now = start;
    model.judged_from = start + (uint64_t)(from * 1e9), model.judged_to = start + (uint64_t)(to * 1e9);
    model.engine = model_engine(algorithm, target, &ruleset);
    model.resource = engine_resource(model.engine, "GET:/", 5, SIDE_INBOUND);
    while (model.now < start + (uint64_t)(seconds * 1e9)) {
        double rate = load((double)(model.now - start) / 1e9) * ret->capacity;
        model_advance(&model, model.now + (uint64_t)(model_exponential(&model.seed) / rate * 1e9) + 1);
        model_bin(&model, model.now)->offered++;
        if (model.end - model.first < server->backlog)
            model.line[model.end++ % MODEL_LINE] = model.now;
    }
    engine_free(model.engine);
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
