#include "shim/admission/unix_name.h"

#include <stdatomic.h>
#include <string.h>

#include "shim/process/arena.h"

enum { LISTENER_NAMES = 1024 };

/* Names of AF_UNIX listeners, never forgotten: words of descriptors and connections have room for an index only.  A
 * program that makes more than LISTENER_NAMES differently named ones has its further ones counted under one name. */
struct listener_name {
    uint32_t next; /* arena index */
    char path[UNIX_NAME_MAX];
};
static const char further[] = "{other}";
static _Atomic uint32_t names;
static _Atomic uint32_t names_count;

static uint32_t name_find(uint32_t from, const char *path) {
    for (uint32_t at = from; at;) {
        struct listener_name *name = arena_at(at);
        if (strcmp(name->path, path) == 0)
            return at;
        at = name->next;
    }
    return 0;
}

uint32_t unix_name_note(const char *path) {
    uint32_t first = atomic_load(&names), found = name_find(first, path);

    if (!found && atomic_load(&names_count) >= LISTENER_NAMES)
        found = name_find(first, path = further);
    if (found)
        return found;
    struct listener_name *name = arena_take(sizeof *name);
    if (!name)
        return 0;
    atomic_fetch_add(&names_count, 1);
    size_t length = strnlen(path, sizeof name->path - 1);
    memcpy(name->path, path, length);
    name->path[length] = 0;
    do
        name->next = first;
    while (!atomic_compare_exchange_weak(&names, &first, arena_index(name)));
    return arena_index(name);
}

const char *unix_name_text(uint32_t name) {
    return ((const struct listener_name *)arena_at(name))->path;
}
