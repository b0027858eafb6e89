#include "agent/metrics/rejections.h"

#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"

enum { KEPT = 16384, LOOK_BACK = 4096 };
static const uint64_t SECOND_NS = 1000000000u;

static uint64_t key_of(const struct app *app) {
    return app->memory.counters->hash_seed;
}

static bool copy(const struct app *app, uint64_t number, struct layout_rejection *ret_record) {
    struct layout_rejection *slot = &publish_rejections(&app->memory)[number % LAYOUT_REJECTIONS];
    return publish_copy_slot(slot, &slot->sequence, number, ret_record, sizeof *ret_record);
}

/* Whatever a process wrote there, it is text and numbers of their kind. */
static void tame(struct layout_rejection *r) {
    r->rule_id[sizeof r->rule_id - 1] = r->origin[sizeof r->origin - 1] = r->trace[sizeof r->trace - 1] = 0;
    if (r->reason >= REASONS)
        r->reason = REASON_NONE;
    if (r->address_length != 4 && r->address_length != 16)
        r->address_length = 0;
}

static void keep(struct app *app, uint64_t number, struct layout_rejection *record) {
    struct rejections *all = &app->agent->rejections;
    if (!all->list && !(all->list = calloc(KEPT, sizeof *all->list)))
        return;
    tame(record);
    all->list[all->next++ % KEPT] = (struct rejection){.key = key_of(app), .number = number, .record = *record};
}

void rejections_begin(struct app *app) {
    uint64_t next = __atomic_load_n(&app->memory.counters->rejection_next, __ATOMIC_ACQUIRE);
    app->rejection_seen = next > LAYOUT_REJECTIONS ? next - LAYOUT_REJECTIONS : 0;
    app->rejection_gap = 0;
}

/* As with events: a slot whose number was drawn but which is not written yet is waited for, once. */
void rejections_take(struct app *app) {
    uint64_t next = __atomic_load_n(&app->memory.counters->rejection_next, __ATOMIC_ACQUIRE);
    struct layout_rejection record;
    if (next < app->rejection_seen || next - app->rejection_seen > LAYOUT_REJECTIONS)
        app->rejection_seen = next > LAYOUT_REJECTIONS ? next - LAYOUT_REJECTIONS : 0;
    for (; app->rejection_seen < next; app->rejection_seen++) {
        if (copy(app, app->rejection_seen, &record)) {
            keep(app, app->rejection_seen, &record);
        } else if (app->rejection_gap != app->rejection_seen + 1) {
            app->rejection_gap = app->rejection_seen + 1;
            break;
        }
    }
}

/* The i-th newest, or NULL. */
static struct rejection *newest(const struct rejections *all, uint64_t i) {
    return all->list && i < all->next && i < KEPT ? &all->list[(all->next - 1 - i) % KEPT] : NULL;
}

void rejections_second_ended(struct app *app) {
    const struct metrics *metrics = &app->metrics;
    struct rejection *r;
    rejections_take(app);
    for (uint64_t i = 0; i < LOOK_BACK && (r = newest(&app->agent->rejections, i)); i++) {
        if (r->key != key_of(app) || r->second || r->record.resource >= metrics->count ||
            r->record.time_ns / SECOND_NS > metrics->second)
            continue;
        const struct metrics_resource *f = &metrics->resources[r->record.resource];
        const struct layout_rejection *slot = &publish_rejections(&app->memory)[r->number % LAYOUT_REJECTIONS];
        r->second = metrics->second;
        r->pass = (uint32_t)f->rate.pass;
        r->block = (uint32_t)f->rate.block;
        r->exception = (uint32_t)f->rate.exception;
        r->in_flight = f->in_flight_max > f->in_flight ? f->in_flight_max : f->in_flight;
        r->rt_ms = (float)f->rt_ms;
        if (__atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE) == r->number + 1)
            r->record.more = __atomic_load_n(&slot->more, __ATOMIC_RELAXED);
    }
}

const struct rejection *rejections_find(const struct agent *agent, const struct app *app, uint64_t number) {
    const struct rejection *r;
    for (uint64_t i = 0; (r = newest(&agent->rejections, i)); i++)
        if (r->number == number && r->key == key_of(app))
            return r;
    return NULL;
}

const struct rejection *rejections_example(const struct app *app, const struct layout_hit *hit) {
    const struct rejection *r;
    for (uint64_t i = 0; i < LOOK_BACK && (r = newest(&app->agent->rejections, i)); i++) {
        if (r->key != key_of(app))
            continue;
        if (r->record.time_ns / SECOND_NS + 1 < app->agent->second)
            break;
        if (r->record.rule == hit->rule && r->record.resource == hit->resource &&
            strncmp(r->record.origin, hit->origin, sizeof hit->origin) == 0)
            return r;
    }
    return NULL;
}

void rejections_close(struct rejections *all) {
    free(all->list);
    *all = (struct rejections){0};
}
