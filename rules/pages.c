#include "rules/pages.h"

#include <sys/mman.h>

static void *take(void *context, size_t bytes) {
    (void)context;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void give(void *context, void *memory, size_t bytes) {
    (void)context;
    munmap(memory, bytes);
}

const struct engine_memory pages_memory = {.take = take, .give = give};
