#include "shim/admission/handover.h"

#include <stddef.h>

#include "shim/process/arena.h"
#include "shim/process/clock.h"

enum { NOTES = CUSTODY_TABLES * 128 };

struct note {
    struct engine_ticket ticket; /* without what it held for all of the app */
    struct custody_ref ref;
    uint32_t next;  /* of the same connection, + 1 */
    uint32_t round; /* in which it was sent last */
    bool origin;    /* the ticket is this process's */
    bool error;
};

_Atomic uint32_t handover_count;
/* By number: such a number comes back from shared memory. */
static struct note *_Atomic notes[NOTES];
static _Atomic uint32_t hint;

static uint32_t note_add(struct note *note) {
    uint32_t start = atomic_fetch_add(&hint, 1);
    for (uint32_t i = 0; i < NOTES; i++) {
        struct note *none = NULL;
        if (atomic_compare_exchange_strong(&notes[(start + i) % NOTES], &none, note))
            return (start + i) % NOTES + 1;
    }
    return 0;
}

static struct note *note_at(uint32_t number) {
    return number && number <= NOTES ? atomic_load(&notes[number - 1]) : NULL;
}

static void note_drop(uint32_t number) {
    struct note *note = number && number <= NOTES ? atomic_exchange(&notes[number - 1], NULL) : NULL;
    arena_give(note, sizeof(*note));
}

static struct note *note_new(uint32_t *ret_number) {
    struct note *note = arena_take(sizeof(*note));
    if (!note)
        return NULL;
    *note = (struct note){.next = 0};
    *ret_number = note_add(note);
    if (*ret_number)
        return note;
    arena_give(note, sizeof(*note));
    return NULL;
}

static void stand_for(struct engine_ticket *ticket, struct engine *engine, uint32_t number) {
    ticket->engine = engine;
    ticket->resources_count = HANDED_OVER;
    ticket->leases_count = 1;
    ticket->leases[0] = number;
}

/* ---------------------------------------------------------------------------------------------------------- sending */

static bool put_into_custody(struct engine_ticket *ticket, const struct custody_identity *identity) {
    uint32_t number;
    struct note *note = note_new(&number);
    if (!note)
        return false;
    note->ticket = *ticket;
    note->origin = true;
    if (!custody_open(ticket->engine, &note->ticket, identity, number, &note->ref)) {
        note_drop(number);
        return false;
    }
    atomic_fetch_add(&handover_count, 1);
    stand_for(ticket, ticket->engine, number);
    return true;
}

bool handover_send(struct engine_ticket *ticket, const struct custody_identity *identity, uint32_t round) {
    bool holds = ticket->resources_count && ticket->leases_count;
    if (!holds || (!handover_is(ticket) && !put_into_custody(ticket, identity)))
        return false;
    struct note *note;
    for (uint32_t number = ticket->leases[0]; (note = note_at(number)); number = note->next)
        if (!round || note->round != round) {
            note->round = round;
            custody_send(ticket->engine, note->ref);
        }
    return true;
}

void handover_unsend(struct engine_ticket *ticket) {
    struct note *note;
    for (uint32_t number = handover_is(ticket) ? ticket->leases[0] : 0; (note = note_at(number)); number = note->next)
        custody_unsend(ticket->engine, note->ref, clock_ns());
}

/* -------------------------------------------------------------------------------------------------------- receiving */

void handover_join(struct engine_ticket *ticket, uint32_t round) {
    struct note *note;
    for (uint32_t number = handover_is(ticket) ? ticket->leases[0] : 0; (note = note_at(number)); number = note->next) {
        note->origin = false;
        if (note->round == round)
            custody_join(ticket->engine, note->ref, clock_ns());
    }
}

void handover_receive(struct engine *engine, const struct custody_identity *identity,
                      struct engine_ticket *ret_ticket) {
    struct custody_ref refs[CUSTODY_FOUND];
    unsigned count = custody_find(engine, identity, refs);
    uint32_t first = 0, number;
    ret_ticket->resources_count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct note *note = note_new(&number);
        if (!note)
            break;
        note->ref = refs[i];
        note->next = first;
        first = number;
        custody_join(engine, refs[i], clock_ns());
    }
    if (first)
        stand_for(ret_ticket, engine, first);
}

static bool is_noted(struct custody_ref ref) {
    for (uint32_t number = 1; number <= NOTES; number++) {
        const struct note *note = note_at(number);
        if (note && note->ref.place == ref.place && note->ref.serial == ref.serial)
            return true;
    }
    return false;
}

void handover_forget_others(struct engine *engine) {
    struct custody_ref ref;
    for (uint32_t place = 0; custody_held(engine, &place, &ref);)
        if (!is_noted(ref))
            custody_leave(engine, ref, false, clock_ns());
}

/* ----------------------------------------------------------------------------------------------------------- ending */

/* Of one's own ticket the note stays until the connection has ended everywhere. */
static uint32_t leave(struct engine *engine, uint32_t number, struct note *note, bool over, bool error,
                      uint64_t now_ns) {
    uint32_t next = note->next;
    struct custody_ref ref = note->ref;
    note->error = error;
    if (!note->origin)
        note_drop(number);
    custody_leave(engine, ref, over, now_ns);
    return next;
}

void handover_end(struct engine_ticket *ticket, bool over, bool error, uint64_t now_ns) {
    struct note *note;
    for (uint32_t number = ticket->leases[0]; (note = note_at(number));)
        number = leave(ticket->engine, number, note, over, error, now_ns);
    ticket->resources_count = ticket->leases_count = 0;
    handover_look(ticket->engine);
}

void handover_settle(struct engine *engine) {
    struct custody_ref ref;
    uint32_t number;
    uint64_t ended_ns;
    while (custody_take_ended(engine, &ref, &number, &ended_ns)) {
        struct note *note = note_at(number);
        if (!note || !note->origin || note->ref.place != ref.place || note->ref.serial != ref.serial)
            continue; /* scribbled on */
        struct engine_outcome outcome = {.error = note->error};
        engine_exit(engine, &note->ticket, ended_ns > note->ticket.start_ns ? ended_ns : clock_ns(), &outcome);
        note_drop(number);
        atomic_fetch_sub(&handover_count, 1);
    }
}
