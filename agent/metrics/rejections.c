#include "agent/metrics/rejections.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT = 16384, LOOK_BACK = 4096 };
static const uint64_t SECOND_NS = 1000000000u;

static uint64_t key_of(const struct publish *memory) {
    return memory->counters->hash_seed;
}

/* Whatever a process wrote there, it is text and numbers of their kind. */
static void tame(struct layout_rejection *r) {
    r->rule_id[sizeof r->rule_id - 1] = r->origin[sizeof r->origin - 1] = r->trace[sizeof r->trace - 1] = 0;
    if (r->reason >= REASONS)
        r->reason = REASON_NONE;
    if (r->limit_of >= LIMITS_OF)
        r->limit_of = LIMIT_UNKNOWN;
    if (r->value_length > sizeof r->value)
        r->value_length = 0;
    if (r->address_length != 4 && r->address_length != 16)
        r->address_length = 0;
}

/* An older library has written it over an earlier rejection's. */
static void forget_details(struct layout_rejection *r) {
    r->limit_of = LIMIT_UNKNOWN;
    r->counted = 0;
    r->value_length = 0;
}

void rejections_begin(struct ring *ring, const struct publish *memory) {
    uint64_t next = __atomic_load_n(&memory->counters->rejection_next, __ATOMIC_ACQUIRE);
    uint32_t places = publish_records(memory, LAYOUT_REJECTION_RING);
    ring->seen = next > places ? next - places : 0;
    ring->gap = 0;
}

struct reading {
    struct rejections *all;
    const struct publish *memory;
};

static bool take(void *context, uint64_t number) {
    const struct reading *reading = context;
    struct rejections *all = reading->all;
    struct layout_rejection *slot = publish_rejection(reading->memory, number), record = {0};
    size_t stride = reading->memory->map.part[LAYOUT_REJECTION_RING].stride; /* smaller in an older agent's file */
    if (!publish_copy_slot(slot, &slot->sequence, number, &record, stride < sizeof record ? stride : sizeof record))
        return false;
    if (!all->list && !(all->list = calloc(KEPT, sizeof *all->list)))
        return true; /* forgotten */
    tame(&record);
    if (record.details_of != (uint32_t)number)
        forget_details(&record);
    all->list[all->next++ % KEPT] = (struct rejection){
        .key = key_of(reading->memory), .number = number, .record = record};
    return true;
}

void rejections_take(struct rejections *all, struct ring *ring, const struct publish *memory) {
    struct reading reading = {.all = all, .memory = memory};
    uint64_t next = __atomic_load_n(&memory->counters->rejection_next, __ATOMIC_ACQUIRE);
    (void)ring_read(ring, next, publish_records(memory, LAYOUT_REJECTION_RING), take,
                    &reading); /* the lost ones are too old to be asked for */
}

/* The i-th newest, or NULL. */
static struct rejection *newest(const struct rejections *all, uint64_t i) {
    return all->list && i < all->next && i < KEPT ? &all->list[(all->next - 1 - i) % KEPT] : NULL;
}

static void note_metrics(struct rejection *r, const struct publish *memory, const struct metrics *metrics) {
    const struct metrics_resource *m = &metrics->resources[r->record.resource];
    const struct layout_rejection *slot = publish_rejection(memory, r->number);
    r->second = metrics->second;
    r->pass = (uint32_t)m->rate.pass;
    r->block = (uint32_t)m->rate.block;
    r->exception = (uint32_t)m->rate.exception;
    r->in_flight = m->in_flight_max > m->in_flight ? m->in_flight_max : m->in_flight;
    r->rt_ms = (float)m->rt_ms;
    if (__atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE) == r->number + 1)
        r->record.more = __atomic_load_n(&slot->more, __ATOMIC_RELAXED);
}

void rejections_second_ended(struct rejections *all, const struct publish *memory, const struct metrics *metrics) {
    struct rejection *r;
    for (uint64_t i = 0; i < LOOK_BACK && (r = newest(all, i)); i++)
        if (r->key == key_of(memory) && !r->second && r->record.resource < metrics->count &&
            r->record.time_ns / SECOND_NS <= metrics->second)
            note_metrics(r, memory, metrics);
}

const struct rejection *rejections_find(const struct rejections *all, const struct publish *memory, uint64_t number) {
    const struct rejection *r;
    for (uint64_t i = 0; (r = newest(all, i)); i++)
        if (r->number == number && r->key == key_of(memory))
            return r;
    return NULL;
}

const struct rejection *rejections_example(const struct rejections *all, const struct publish *memory,
                                           const struct layout_hit *hit, uint64_t second) {
    const struct rejection *r;
    for (uint64_t i = 0; i < LOOK_BACK && (r = newest(all, i)); i++) {
        if (r->key != key_of(memory))
            continue;
        if (r->record.time_ns / SECOND_NS + 1 < second)
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
