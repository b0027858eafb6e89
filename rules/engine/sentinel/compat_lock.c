/* The lock around Sentinel's decisions, and the exits that found it taken. */
#include <string.h>

#include "rules/engine/sentinel/compat_call.h"

static inline void pause_a_little(void) {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

static bool try_lock(struct compat *compat, int tries) {
    while (tries--) {
        uint32_t free = 0;
        if (!__atomic_load_n(&compat->lock, __ATOMIC_RELAXED) &&
            __atomic_compare_exchange_n(&compat->lock, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return true;
        pause_a_little();
    }
    return false;
}

/* Exits that could not get the lock: worked off by the next holder, before anything is decided. */
static void work_off(struct compat *compat) {
    for (uint32_t i = 0; i < COMPAT_PENDING; i++) {
        struct compat_pending *pending = &compat->pending[i];
        if (__atomic_load_n(&pending->state, __ATOMIC_ACQUIRE) != 2)
            continue;
        compat_finish(compat, &pending->ticket, pending->now_ns, &pending->outcome, pending->cancel);
        __atomic_fetch_sub(&compat->pending_count, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&pending->state, 0, __ATOMIC_RELEASE);
    }
}

bool compat_lock(struct compat *compat, int tries) {
    if (!try_lock(compat, tries))
        return false;
    if (__atomic_load_n(&compat->pending_count, __ATOMIC_RELAXED))
        work_off(compat);
    return true;
}

void compat_unlock(struct compat *compat) {
    __atomic_store_n(&compat->lock, 0, __ATOMIC_RELEASE);
}

/* An exit does not wait for the lock, and no completion may be lost either: put down for the next holder. */
static bool put_down(struct compat *compat, const struct engine_ticket *ticket, uint64_t now_ns,
                     const struct engine_outcome *outcome, bool cancel) {
    for (uint32_t i = 0; i < COMPAT_PENDING; i++) {
        struct compat_pending *pending = &compat->pending[i];
        uint32_t free = 0;
        if (__atomic_load_n(&pending->state, __ATOMIC_RELAXED) ||
            !__atomic_compare_exchange_n(&pending->state, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        pending->ticket = *ticket;
        pending->now_ns = now_ns;
        pending->cancel = cancel;
        pending->outcome = outcome ? *outcome : (struct engine_outcome){0};
        __atomic_fetch_add(&compat->pending_count, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&pending->state, 2, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}

static void leave(struct compat *compat, struct engine_ticket *ticket, uint64_t now_ns,
                  const struct engine_outcome *outcome, bool cancel) {
    if (!ticket->engine_private[0])
        return;
    if (compat_lock(compat, COMPAT_TRIES_EXIT)) {
        compat_finish(compat, ticket, now_ns, outcome, cancel);
        compat_unlock(compat);
    } else if (put_down(compat, ticket, now_ns, outcome, cancel)) {
        memset(ticket->engine_private, 0, sizeof ticket->engine_private);
    } else if (compat_lock(compat,
                           COMPAT_TRIES_ADOPT)) { /* a thousand exits ahead of this one: worth some more attempts */
        compat_finish(compat, ticket, now_ns, outcome, cancel);
        compat_unlock(compat);
    } else {
        compat_note_undecided(compat);
    }
}

void compat_exit(struct compat *compat, struct engine_ticket *ticket, uint64_t now_ns,
                 const struct engine_outcome *outcome) {
    leave(compat, ticket, now_ns, outcome, false);
}

void compat_cancel(struct compat *compat, struct engine_ticket *ticket, uint64_t now_ns) {
    leave(compat, ticket, now_ns, NULL, true);
}
