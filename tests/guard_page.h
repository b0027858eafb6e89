/* Puts bytes right in front of an unmapped page (and behind another): a parser that looks one byte too far crashes. */
#ifndef WEIR_TESTS_GUARD_PAGE_H
#define WEIR_TESTS_GUARD_PAGE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard_page {
    char *pages;
    size_t size; /* of what lies between the two guards */
    size_t page;
};

static inline struct guard_page guard_page_new(size_t most) {
    struct guard_page guard = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    guard.size = (most + guard.page - 1) / guard.page * guard.page;
    guard.pages = mmap(NULL, guard.size + 2 * guard.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guard.pages == MAP_FAILED || mprotect(guard.pages + guard.page, guard.size, PROT_READ | PROT_WRITE) < 0)
        abort();
    return guard;
}

/* A copy whose last byte is the last one that may be read. */
static inline char *guard_page_put(struct guard_page *guard, const void *bytes, size_t size) {
    char *at = guard->pages + guard->page + guard->size - size;
    if (size)
        memcpy(at, bytes, size);
    return at;
}

/* A copy whose first byte is the first one that may be read. */
static inline char *guard_page_put_low(struct guard_page *guard, const void *bytes, size_t size) {
    char *at = guard->pages + guard->page;
    if (size)
        memcpy(at, bytes, size);
    return at;
}

static inline void guard_page_free(struct guard_page *guard) {
    munmap(guard->pages, guard->size + 2 * guard->page);
}

#endif
