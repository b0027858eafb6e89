#include "agent/metrics/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "rules/engine/histogram.h"

#define LOAD(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)

static double bucket_top_ms(unsigned bucket) {
    return (double)histogram_end_ns(bucket) / 1e6;
}

double metrics_percentile(const uint32_t histogram[static LAYOUT_HISTOGRAM], double share) {
    uint64_t all = 0, below = 0;
    for (unsigned i = 0; i < LAYOUT_HISTOGRAM; i++)
        all += histogram[i];
    if (all == 0)
        return 0;
    double wanted = share * (double)all;
    for (unsigned i = 0; i < LAYOUT_HISTOGRAM; i++) {
        if (histogram[i] && (double)(below + histogram[i]) >= wanted) {
            double bottom = i ? bucket_top_ms(i - 1) : 0;
            double part = (wanted - (double)below) / histogram[i];
            return bottom + (bucket_top_ms(i) - bottom) * (part > 0 ? part : 0);
        }
        below += histogram[i];
    }
    return bucket_top_ms(LAYOUT_HISTOGRAM - 1);
}

static struct metrics_counts sum_shards(const struct layout_stats *stats) {
    struct metrics_counts sum = {0};
    for (unsigned i = 0; i < LAYOUT_STAT_SHARDS; i++) {
        const struct layout_stat_shard *s = &stats->shard[i];
        sum.pass += LOAD(s->pass);
        sum.block += LOAD(s->block);
        sum.success += LOAD(s->success);
        sum.exception += LOAD(s->exception);
        sum.simulated += LOAD(s->simulated);
        sum.queued += LOAD(s->queued);
        sum.rt_ns += LOAD(s->rt_ns);
        sum.queue_ns += LOAD(s->queue_ns);
    }
    return sum;
}

/* What was added since `before`; a counter that went back was scribbled on, and counts from nothing. */
static uint64_t since(uint64_t now, uint64_t before) {
    return now >= before ? now - before : 0;
}

static uint64_t per_second(uint64_t added, double seconds) {
    return seconds > 0.9 && seconds < 1.1 ? added : (uint64_t)((double)added / seconds + 0.5);
}

static void take_rates(struct metrics_resource *r, const struct metrics_counts *now, double seconds) {
    const struct metrics_counts *old = &r->total;
    uint64_t completed = since(now->success, old->success), rt_ns = since(now->rt_ns, old->rt_ns);
    r->rate = (struct metrics_counts){
        .pass = per_second(since(now->pass, old->pass), seconds),
        .block = per_second(since(now->block, old->block), seconds),
        .success = per_second(completed, seconds),
        .exception = per_second(since(now->exception, old->exception), seconds),
        .simulated = per_second(since(now->simulated, old->simulated), seconds),
        .queued = per_second(since(now->queued, old->queued), seconds),
        .rt_ns = rt_ns,
        .queue_ns = since(now->queue_ns, old->queue_ns),
    };
    r->rt_ms = completed ? (double)rt_ns / 1e6 / (double)completed : 0;
}

static void take_percentile(struct metrics_resource *r, const struct layout_stats *stats) {
    uint32_t added[LAYOUT_HISTOGRAM];
    for (unsigned i = 0; i < LAYOUT_HISTOGRAM; i++) {
        uint32_t now = LOAD(stats->rt_histogram[i]);
        added[i] = now - r->histogram[i]; /* modulo 2^32, as the counter itself */
        r->histogram[i] = now;
    }
    r->rt_p99_ms = metrics_percentile(added, 0.99);
}

static void take_extremes(struct metrics_resource *r, const struct layout_stats *stats, uint64_t second) {
    const struct layout_second *e = &stats->extremes[second % LAYOUT_SECONDS];
    bool fits = LOAD(e->second) == (uint32_t)second;
    r->rt_min_us = fits ? LOAD(e->rt_min_us) : 0;
    r->rt_max_us = fits ? LOAD(e->rt_max_us) : 0;
    r->in_flight_max = fits ? LOAD(e->in_flight_max) : 0;
}

static void take_name(struct metrics_resource *r, const struct layout_resource *entry) {
    memcpy(r->name, entry->name, sizeof r->name - 1); /* whatever a process put there, it ends */
    r->name[sizeof r->name - 1] = 0;
    r->side = entry->side;
}

static bool make_room(struct metrics *f, uint32_t count) {
    if (count <= f->room)
        return true;
    uint32_t room = (count + 63) / 64 * 64;
    struct metrics_resource *resources = realloc(f->resources, room * sizeof *resources);
    if (!resources)
        return false;
    memset(resources + f->room, 0, (room - f->room) * sizeof *resources);
    f->resources = resources;
    f->room = room;
    return true;
}

/* An in-flight count above this is not one: a process scribbled on it. */
enum { IN_FLIGHT_MAX = 1 << 24 };

static void sum_in_flight(struct metrics *f, const struct publish *memory) {
    for (uint32_t slot = 0; slot < publish_allocated(memory, LAYOUT_AREAS); slot++) {
        if (__atomic_load_n(&publish_process(memory, slot)->owner, __ATOMIC_RELAXED) == 0)
            continue;
        const struct layout_area *area = publish_area(memory, slot);
        for (uint32_t i = 0; i < f->count; i++) {
            uint32_t in_flight = LOAD(area->in_flight[i]);
            f->resources[i].in_flight += in_flight <= IN_FLIGHT_MAX ? in_flight : 0;
        }
    }
}

void metrics_sample(struct metrics *f, const struct publish *memory, uint64_t engine_now_ns, uint64_t second) {
    uint32_t count = publish_resources_used(memory);
    bool first = f->sampled_ns == 0;
    double seconds = first ? 1 : (double)since(engine_now_ns, f->sampled_ns) / 1e9;
    if (!make_room(f, count))
        count = f->room;
    if (seconds <= 0)
        seconds = 1e-3;
    f->traffic = f->blocks = false;
    for (uint32_t i = 0; i < count; i++) {
        struct metrics_resource *r = &f->resources[i];
        const struct layout_stats *stats = publish_stats(memory, i);
        struct metrics_counts now = sum_shards(stats);
        bool moved = memcmp(&now, &r->total, sizeof now) != 0;
        if (r->name[0] == 0 || !(r->total.pass || r->total.block)) /* until it is used it may become another's */
            take_name(r, publish_resource(memory, i));
        if (first || moved || r->rate.pass || r->rate.block || r->rate.success)
            take_percentile(r, stats);
        if (first) { /* what was before our time is no rate */
            r->total = now;
            r->rt_p99_ms = 0;
        }
        f->blocks |= now.block != r->total.block;
        take_rates(r, &now, seconds);
        take_extremes(r, stats, second);
        r->total = now;
        r->circuit = LOAD(stats->circuit);
        r->gone = LOAD(stats->gone);
        r->in_flight = 0;
        f->traffic |= moved && !first;
    }
    f->count = count;
    sum_in_flight(f, memory);
    f->sampled_ns = engine_now_ns;
    f->second = second;
}

void metrics_close(struct metrics *f) {
    free(f->resources);
    *f = (struct metrics){0};
}
