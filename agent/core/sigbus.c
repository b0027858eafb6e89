#include "agent/core/sigbus.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

struct region {
    uintptr_t from, to;
    bool *damaged;
};

/* Changed by the loop's thread only, which is also the one that touches the mappings. */
static struct region *regions;
static size_t regions_count;
static struct sigaction former;
enum { PAGE = 4096 };

static void handle(int number, siginfo_t *info, void *context) {
    int error = errno;
    uintptr_t at = (uintptr_t)info->si_addr;
    (void)context;
    for (size_t i = 0; i < regions_count; i++) {
        const struct region *r = &regions[i];
        if (at < r->from || at >= r->to)
            continue;
        void *page = (void *)(at / PAGE * PAGE);
        if (mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page) {
            *r->damaged = true;
            errno = error;
            return;
        }
    }
    sigaction(number, &former, NULL); /* the same access again, and what would have happened without us */
    errno = error;
}

void sigbus_protect(void *address, size_t bytes, bool *damaged) {
    struct region *more = realloc(regions, (regions_count + 1) * sizeof *more);
    if (!more)
        return;
    regions = more;
    regions[regions_count] = (struct region){(uintptr_t)address, (uintptr_t)address + bytes, damaged};
    if (regions_count++ > 0)
        return;
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &former);
}

void sigbus_release(const void *address) {
    for (size_t i = 0; i < regions_count; i++)
        if (regions[i].from == (uintptr_t)address) {
            regions[i] = regions[--regions_count];
            break;
        }
    if (regions_count > 0)
        return;
    sigaction(SIGBUS, &former, NULL);
    free(regions);
    regions = NULL;
}
