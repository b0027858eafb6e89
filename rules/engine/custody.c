#include "rules/engine/custody.h"

#include <string.h>

#include "rules/engine/decision.h"
#include "rules/engine/limiters/in_flight.h"
#include "rules/hash.h"

enum {
    TABLES = CUSTODY_TABLES, /* the next one is made when there is no room in those before */
    RECORDS = 127,
    PLACES = RECORDS + 1, /* of a table, in the number of a record */
    WINDOW = 16,          /* places from its first on where a record may be */
    LEASES = 3,
    NOWHERE = UINT32_MAX, /* of custody.slot: no process counts it */
};
enum state { FREE, OPEN, ENDING, ENDED, TAKEN };

struct custody {
    uint64_t key;                            /* 0: free */
    uint64_t holders[LAYOUT_PROCESSES / 64]; /* a bit for each slot */
    uint64_t origin;                         /* owner word of the process that has the ticket; 0: it is gone */
    uint64_t ended_ns;
    uint32_t state, serial;
    uint32_t changes; /* raised before `holders` and `sent` come to more */
    uint32_t sent;    /* processes that are about to hold it */
    uint32_t origin_slot, note;
    uint32_t slot;           /* whose words count what is held */
    uint32_t ender;          /* slot + 1 of who makes ENDED of ENDING */
    uint32_t leases[LEASES]; /* states of LIMITER_IN_FLIGHT_SHARED, + 1; 0: none */
    uint16_t peer_port, port;
    uint8_t address_length;
    uint8_t reserved0[3];
    uint8_t address[16];
    uint32_t settling; /* custody_settle: `changes` when it was looked at last */
};
_Static_assert(sizeof(struct custody) == 128, "custody");

struct table {
    struct limiter_state base;
    uint32_t endings; /* raised with every record that becomes ENDED */
    uint8_t reserved[92];
    struct custody records[RECORDS];
};
_Static_assert(sizeof(struct table) == 16384, "a size that a state has without a rest");

/* Freed never: it is of no rule. */
const struct limiter_ops limiter_custody = {.least = sizeof(struct table)};

/* ------------------------------------------------------------------------------------------------------ the records */

static uint64_t table_key(const struct state_space *space, uint32_t number) {
    static const char what[] = "custody";
    return hash_bytes(space->counters->header->hash_seed + number, what, sizeof what);
}

static struct table *table_at(const struct state_space *space, uint32_t number) {
    return (struct table *)state_find(space, table_key(space, number), LIMITER_CUSTODY, sizeof(struct table));
}

static struct table *table_made(const struct state_space *space, uint32_t number) {
    return (struct table *)state_make(space, STATE_OF_SEVERAL, table_key(space, number), 0, LIMITER_CUSTODY,
                                      sizeof(struct table), UINT64_MAX);
}

static uint32_t place_of(uint32_t number, uint32_t at) {
    return number * PLACES + at + 1;
}

/* The record, if it is still the same one. */
static struct custody *record_at(const struct state_space *space, struct custody_ref ref) {
    uint32_t place = ref.place - 1;
    struct table *table = place < TABLES * PLACES && place % PLACES < RECORDS ? table_at(space, place / PLACES) : NULL;
    struct custody *record = table ? &table->records[place % PLACES] : NULL;
    return record && load_acquire(&record->serial) == ref.serial ? record : NULL;
}

static struct state_space *space_of(struct engine *engine) {
    return engine_shared(engine) && load_relaxed(&engine->slot) < LAYOUT_PROCESSES ? &engine->app : NULL;
}

static uint64_t owner_of(const struct counters *counters, uint32_t slot) {
    return slot < LAYOUT_PROCESSES
               ? load_total(&((struct layout_process *)counters_at(counters, LAYOUT_PROCESS_TABLE, slot))->owner)
               : 0;
}

static uint64_t key_of(const struct state_space *space, const struct custody_identity *identity) {
    unsigned char text[20] = {0};
    memcpy(text, identity->address, identity->address_length < 16 ? identity->address_length : 16);
    memcpy(text + 16, &identity->peer_port, 2);
    memcpy(text + 18, &identity->port, 2);
    return hash_bytes(space->counters->header->hash_seed, text, sizeof text) | 1;
}

static void free_record(struct custody *record) {
    store_relaxed(&record->state, (uint32_t)FREE);
    add_relaxed(&record->serial, 1u);
    store_release(&record->key, 0);
}

/* ---------------------------------------------------------------------------------------------------- what is held */

static struct in_flight_shared *held_at(const struct state_space *space, uint32_t lease) {
    size_t bytes;
    return lease ? (struct in_flight_shared *)state_at(space, lease - 1, LIMITER_IN_FLIGHT_SHARED,
                                                       sizeof(struct in_flight_shared), &bytes)
                 : NULL;
}

static void count_held(const struct state_space *space, const struct custody *record, uint32_t slot, bool more) {
    for (unsigned i = 0; slot < LAYOUT_PROCESSES && i < LEASES; i++) {
        struct in_flight_shared *held = held_at(space, load_relaxed(&record->leases[i]));
        if (held && more)
            in_flight_shared_add(held, slot, 1);
        else if (held)
            in_flight_shared_return(held, slot, 1);
    }
}

/* What the ticket holds one of, for all of the app: out of the ticket, and into the record. */
static void take_over(struct engine_ticket *ticket, struct custody *record) {
    unsigned kept = 0, taken = 0, i = 0;
    memset(record->leases, 0, sizeof record->leases);
    while (i < ticket->leases_count && i < ENGINE_LEASES_MAX) {
        uint32_t word = ticket->leases[i];
        unsigned words = 1u + ((word & LEASE_EXTRA) != 0) + ((word & LEASE_MANY) != 0);
        bool plain = words == 1 && (word & LEASE_SHARED) && word >> LEASE_KIND_SHIFT == LIMITER_IN_FLIGHT_SHARED;
        if (plain && taken < LEASES) {
            record->leases[taken++] = (word & LEASE_UNIT_MASK) + 1;
        } else {
            for (unsigned n = 0; n < words && i + n < ENGINE_LEASES_MAX; n++)
                ticket->leases[kept++] = ticket->leases[i + n];
        }
        i += words;
    }
    ticket->leases_count = (uint8_t)kept;
}

/* ------------------------------------------------------------------------------------------------------- the holders
 */

static uint32_t any_holder(const struct custody *record) {
    for (uint32_t i = 0; i < LAYOUT_PROCESSES / 64; i++) {
        uint64_t bits = load_total(&record->holders[i]);
        if (bits)
            return i * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return NOWHERE;
}

static bool is_held(const struct custody *record) {
    uint32_t before;
    do {
        before = load_total(&record->changes);
        if (load_total(&record->sent) || any_holder(record) != NOWHERE)
            return true;
    } while (load_total(&record->changes) != before);
    return false;
}

static bool hold(struct custody *record, uint32_t slot) {
    uint64_t bit = 1ull << (slot % 64);
    add_total(&record->changes, 1u);
    return !(__atomic_fetch_or(&record->holders[slot / 64], bit, __ATOMIC_SEQ_CST) & bit);
}

static bool let_go(struct custody *record, uint32_t slot) {
    uint64_t bit = 1ull << (slot % 64);
    return __atomic_fetch_and(&record->holders[slot / 64], ~bit, __ATOMIC_SEQ_CST) & bit;
}

/* The second half of an end, also for one who died at it. */
static void finish(const struct state_space *space, struct custody *record, uint32_t number) {
    struct table *table = table_at(space, number);
    uint64_t origin = load_total(&record->origin);
    store_total(&record->state, (uint32_t)ENDED);
    if (!origin || owner_of(space->counters, load_relaxed(&record->origin_slot)) != origin)
        free_record(record);
    else if (table)
        add_total(&table->endings, 1u);
}

static void end(const struct state_space *space, struct custody *record, uint32_t number, uint32_t slot,
                uint64_t now_ns) {
    uint32_t open = OPEN;
    if (!atomic_take32(&record->state, &open, ENDING))
        return;
    store_relaxed(&record->ender, slot + 1);
    store_relaxed(&record->ended_ns, now_ns);
    count_held(space, record, load_total(&record->slot), false);
    finish(space, record, number);
}

/* -------------------------------------------------------------------------------------------------------- operations
 */

static struct custody *claim(const struct state_space *space, uint64_t key, uint32_t *ret_place) {
    for (uint32_t number = 0; number < TABLES; number++) {
        struct table *table = table_made(space, number);
        for (uint32_t i = 0; table && i < WINDOW; i++) {
            uint32_t at = (uint32_t)((key >> 8) % RECORDS + i) % RECORDS;
            uint64_t none = 0;
            if (load_relaxed(&table->records[at].key) == 0 && atomic_take(&table->records[at].key, &none, key)) {
                *ret_place = place_of(number, at);
                return &table->records[at];
            }
        }
        if (!table)
            return NULL;
    }
    return NULL;
}

bool custody_open(struct engine *engine, struct engine_ticket *ticket, const struct custody_identity *identity,
                  uint32_t note, struct custody_ref *ret_ref) {
    struct state_space *space = space_of(engine);
    uint32_t slot = load_relaxed(&engine->slot);
    uint64_t key = space && identity->address_length ? key_of(space, identity)
                                                     : ticket->start_ns * 2 + note * 512ull + 1;
    struct custody *record = space ? claim(space, key, &ret_ref->place) : NULL;
    if (!record)
        return false;
    ret_ref->serial = load_relaxed(&record->serial);
    memset(record->holders, 0, sizeof record->holders);
    record->sent = record->settling = 0;
    record->origin = owner_of(space->counters, slot);
    record->origin_slot = record->slot = slot;
    record->note = note;
    record->peer_port = identity->peer_port;
    record->port = identity->port;
    record->address_length = identity->address_length;
    memcpy(record->address, identity->address, sizeof record->address);
    take_over(ticket, record);
    hold(record, slot);
    store_total(&record->state, (uint32_t)OPEN);
    return true;
}

static struct custody *open_record(struct engine *engine, struct custody_ref ref) {
    struct state_space *space = space_of(engine);
    struct custody *record = space ? record_at(space, ref) : NULL;
    return record && load_total(&record->state) == OPEN ? record : NULL;
}

void custody_send(struct engine *engine, struct custody_ref ref) {
    struct custody *record = open_record(engine, ref);
    if (!record)
        return;
    add_total(&record->changes, 1u);
    add_total(&record->sent, 1u);
}

void custody_unsend(struct engine *engine, struct custody_ref ref, uint64_t now_ns) {
    const struct state_space *space = engine_shared(engine) ? &engine->app : NULL; /* also without a slot */
    struct custody *record = space ? record_at(space, ref) : NULL;
    if (!record || load_total(&record->state) != OPEN)
        return;
    sub_floor32(&record->sent, 1);
    if (!is_held(record))
        end(space, record, (ref.place - 1) / PLACES, load_relaxed(&engine->slot), now_ns);
}

void custody_join(struct engine *engine, struct custody_ref ref, uint64_t now_ns) {
    struct custody *record = open_record(engine, ref);
    uint32_t slot = load_relaxed(&engine->slot), nowhere = NOWHERE;
    if (!space_of(engine))
        custody_unsend(engine, ref, now_ns);
    if (!record || !hold(record, slot))
        return;
    sub_floor32(&record->sent, 1);
    if (load_total(&record->slot) == NOWHERE && atomic_take32(&record->slot, &nowhere, slot))
        count_held(space_of(engine), record, slot, true);
}

static bool is_of(const struct custody *record, uint64_t key, const struct custody_identity *identity) {
    return load_acquire(&record->key) == key && load_total(&record->state) == OPEN &&
           record->peer_port == identity->peer_port && record->port == identity->port &&
           record->address_length == identity->address_length &&
           memcmp(record->address, identity->address, sizeof record->address) == 0;
}

unsigned custody_find(struct engine *engine, const struct custody_identity *identity,
                      struct custody_ref ret_refs[CUSTODY_FOUND]) {
    struct state_space *space = identity->address_length ? space_of(engine) : NULL;
    uint64_t key = space ? key_of(space, identity) : 0;
    unsigned found = 0;
    for (uint32_t number = 0; space && number < TABLES; number++) {
        struct table *table = table_at(space, number);
        for (uint32_t i = 0; table && i < WINDOW && found < CUSTODY_FOUND; i++) {
            uint32_t at = (uint32_t)((key >> 8) % RECORDS + i) % RECORDS;
            struct custody *record = &table->records[at];
            if (is_of(record, key, identity))
                ret_refs[found++] = (struct custody_ref){place_of(number, at), load_acquire(&record->serial)};
        }
        if (!table)
            break;
    }
    return found;
}

void custody_leave(struct engine *engine, struct custody_ref ref, bool over, uint64_t now_ns) {
    struct custody *record = open_record(engine, ref);
    uint32_t slot = load_relaxed(&engine->slot);
    if (!record)
        return;
    let_go(record, slot);
    if (over || !is_held(record))
        end(space_of(engine), record, (ref.place - 1) / PLACES, slot, now_ns);
}

bool custody_take_ended(struct engine *engine, struct custody_ref *ret_ref, uint32_t *ret_note,
                        uint64_t *ret_ended_ns) {
    struct state_space *space = space_of(engine);
    uint64_t me = space ? owner_of(space->counters, load_relaxed(&engine->slot)) : 0;
    for (uint32_t number = 0; space && number < TABLES; number++) {
        struct table *table = table_at(space, number);
        if (!table)
            return false;
        uint32_t endings = load_total(&table->endings);
        if (load_relaxed(&engine->endings_seen[number]) == endings)
            continue;
        for (uint32_t at = 0; at < RECORDS; at++) {
            struct custody *record = &table->records[at];
            uint32_t ended = ENDED;
            if (load_relaxed(&record->state) != ENDED || load_relaxed(&record->origin) != me ||
                !atomic_take32(&record->state, &ended, TAKEN))
                continue;
            *ret_ref = (struct custody_ref){place_of(number, at), load_relaxed(&record->serial)};
            *ret_note = load_relaxed(&record->note);
            *ret_ended_ns = load_relaxed(&record->ended_ns);
            free_record(record);
            return true;
        }
        store_relaxed(&engine->endings_seen[number], endings);
    }
    return false;
}

/* ----------------------------------------------------------------------------------------------- the dead, and exec */

/* Another holder's words count it from now on. */
static void move_count(const struct state_space *space, struct custody *record, uint32_t from) {
    uint32_t to = any_holder(record);
    if (load_total(&record->slot) == from && atomic_take32(&record->slot, &from, to))
        count_held(space, record, to, true);
}

static void reclaim_record(const struct state_space *space, struct custody *record, uint32_t number, uint32_t slot,
                           uint64_t owner) {
    uint32_t state = load_total(&record->state);
    if (state == FREE || load_acquire(&record->key) == 0)
        return;
    if (load_relaxed(&record->origin_slot) == slot)
        atomic_take(&record->origin, &owner, 0);
    if (state == OPEN) {
        let_go(record, slot);
        if (!is_held(record))
            end(space, record, number, slot, load_relaxed(&record->ended_ns));
        else
            move_count(space, record, slot);
    } else if (state == ENDING && load_relaxed(&record->ender) == slot + 1) {
        finish(space, record, number);
    } else if (state != ENDING && load_relaxed(&record->origin) == 0) {
        free_record(record);
    }
}

void custody_reclaim(struct counters *counters, uint32_t slot, uint64_t owner) {
    struct state_space space = state_space_shared(counters);
    struct table *table;
    for (uint32_t number = 0; number < TABLES && (table = table_at(&space, number)); number++)
        for (uint32_t at = 0; at < RECORDS; at++)
            reclaim_record(&space, &table->records[at], number, slot, owner);
}

unsigned custody_move(struct counters *counters, uint32_t from, uint32_t to) {
    struct state_space space = state_space_shared(counters);
    struct table *table;
    unsigned moved = 0;
    for (uint32_t number = 0; number < TABLES && (table = table_at(&space, number)); number++)
        for (uint32_t at = 0; at < RECORDS; at++) {
            struct custody *record = &table->records[at];
            if (load_total(&record->state) != OPEN || !(load_total(&record->holders[from / 64]) >> (from % 64) & 1))
                continue;
            hold(record, to);
            moved++;
        }
    return moved;
}

bool custody_held(struct engine *engine, uint32_t *place, struct custody_ref *ret_ref) {
    struct state_space *space = space_of(engine);
    uint32_t slot = load_relaxed(&engine->slot);
    struct table *table;
    for (; space && *place < TABLES * PLACES && (table = table_at(space, *place / PLACES)); ++*place) {
        struct custody *record = *place % PLACES < RECORDS ? &table->records[*place % PLACES] : NULL;
        if (!record || load_total(&record->state) != OPEN ||
            !(load_total(&record->holders[slot / 64]) >> (slot % 64) & 1))
            continue;
        *ret_ref = (struct custody_ref){++*place, load_acquire(&record->serial)};
        return true;
    }
    return false;
}

bool custody_used(struct engine *engine) {
    struct state_space *space = space_of(engine);
    return space && table_at(space, 0);
}

/* ---------------------------------------------------------------------------------------------------- for the agent */

static void settle(const struct state_space *space, struct custody *record, uint32_t number, uint64_t now_ns) {
    uint32_t sent = load_total(&record->sent), changes = load_total(&record->changes);
    if (load_total(&record->state) != OPEN || !sent)
        return;
    if (load_relaxed(&record->settling) != changes) {
        store_relaxed(&record->settling, changes);
        return;
    }
    if (atomic_take32(&record->sent, &sent, 0) && !is_held(record))
        end(space, record, number, LAYOUT_PROCESSES, now_ns);
}

void custody_settle(struct counters *counters, uint64_t now_ns) {
    struct state_space space = state_space_shared(counters);
    struct table *table;
    for (uint32_t number = 0; number < TABLES && (table = table_at(&space, number)); number++)
        for (uint32_t at = 0; at < RECORDS; at++)
            settle(&space, &table->records[at], number, now_ns);
}
