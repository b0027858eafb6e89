#include "shim/process/pages.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/libc/syscall_raw.h"

enum { PAGE = 4096, WORD = 64, PAGES_MAX = PAGES_RESERVE_MAX / PAGE };

/* The reserve: a bit for each of its pages that is in use, and what was used once and has to be zeroed.  One thread at
 * a time takes or gives; who finds it busy goes without. */
static char *_Atomic reserve;
static size_t reserve_pages;
static uint64_t used[PAGES_MAX / WORD], dirty[PAGES_MAX / WORD];
static _Atomic bool busy;

static size_t pages_of(size_t bytes) {
    return (bytes + PAGE - 1) / PAGE;
}

static char *map(size_t bytes, int flags) {
    long result = OWN6(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    return result < 0 && result >= -4095 ? NULL : (char *)result;
}

void pages_reserve(size_t bytes) {
    size_t size = bytes < PAGES_RESERVE_MAX ? bytes : PAGES_RESERVE_MAX;

    if (atomic_load(&reserve) || size < PAGE)
        return;
    reserve_pages = size / PAGE;
    atomic_store(&reserve, map(reserve_pages * PAGE, MAP_NORESERVE));
}

static bool get(const uint64_t *bits, size_t n) {
    return bits[n / WORD] >> (n % WORD) & 1;
}

static void set(uint64_t *bits, size_t n, bool value) {
    uint64_t bit = UINT64_C(1) << (n % WORD);
    bits[n / WORD] = value ? bits[n / WORD] | bit : bits[n / WORD] & ~bit;
}

/* The first of so many free pages in a row; reserve_pages: there are none. */
static size_t find(size_t count) {
    size_t free = 0;

    for (size_t n = 0; n < reserve_pages; n++) {
        free = get(used, n) ? 0 : free + 1;
        if (free == count)
            return n + 1 - count;
    }
    return reserve_pages;
}

static void *take_reserved(size_t count) {
    char *base = atomic_load(&reserve), *taken = NULL;

    if (!base || atomic_exchange(&busy, true))
        return NULL;
    size_t first = find(count);
    if (first < reserve_pages) {
        taken = base + first * PAGE;
        for (size_t n = first; n < first + count; n++) {
            if (get(dirty, n))
                memset(base + n * PAGE, 0, PAGE);
            set(used, n, true);
            set(dirty, n, true);
        }
    }
    atomic_store(&busy, false);
    return taken;
}

static bool give_reserved(const char *memory, size_t count) {
    const char *base = atomic_load(&reserve);

    if (!base || memory < base || memory >= base + reserve_pages * PAGE)
        return false;
    if (atomic_exchange(&busy, true))
        return true; /* stays in use */
    size_t first = (size_t)(memory - base) / PAGE;
    for (size_t n = first; n < first + count && n < reserve_pages; n++)
        set(used, n, false);
    atomic_store(&busy, false);
    return true;
}

void *pages_take(size_t bytes) {
    char *taken = map(pages_of(bytes) * PAGE, 0);

    return taken ? taken : take_reserved(pages_of(bytes));
}

void pages_give(const void *memory, size_t bytes) {
    if (memory && !give_reserved(memory, pages_of(bytes)))
        OWN2(SYS_munmap, memory, pages_of(bytes) * PAGE);
}

void pages_after_fork(void) {
    atomic_store(&busy, false); /* its holder is not in this process */
}
