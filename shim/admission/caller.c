#include "shim/admission/caller.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "rules/caller.h"
#include "rules/ruleset.h"
#include "shim/process/arena.h"
#include "shim/libc/syscall_raw.h"

static uint8_t put(char *to, size_t size, const char *kind, const char *name, size_t length) {
    size_t before = strlen(kind);
    if (length == 0 || before + length > size)
        return 0;
    memcpy(to, kind, before);
    memcpy(to + before, name, length);
    return (uint8_t)(before + length);
}

static uint8_t put_number(char *to, size_t size, const char *kind, uint32_t number) {
    char digits[10];
    size_t n = sizeof(digits);
    do
        digits[--n] = (char)('0' + number % 10);
    while (number /= 10);
    return put(to, size, kind, digits + n, sizeof(digits) - n);
}

static void name(const struct caller *caller, struct caller_names *ret_names) {
    ret_names->unit_length = put(ret_names->unit, sizeof(ret_names->unit), "unit:", caller->unit,
                                 strnlen(caller->unit, sizeof(caller->unit)));
    ret_names->comm_length = put(ret_names->comm, sizeof(ret_names->comm), "comm:", caller->comm,
                                 strnlen(caller->comm, sizeof(caller->comm)));
    ret_names->uid_length = put_number(ret_names->uid, sizeof(ret_names->uid), "uid:", caller->uid);
}

void caller_ask(struct admit_connection *c, const void *ruleset, int fd) {
    if (__builtin_expect(!ruleset_head(ruleset)->options.local_callers, 1) || c->caller || c->port == 0 || fd < 0 ||
        c->side != SIDE_INBOUND)
        return;
    struct caller caller = {0};
    socklen_t size = sizeof(caller);
    c->caller = CALLER_UNKNOWN;
    if (OWN5(SYS_getsockopt, fd, CALLER_LEVEL, CALLER_OPTION, &caller, &size) != 0 || size != sizeof(caller))
        return;
    struct caller_names *names = arena_take(sizeof(*names));
    if (!names)
        return;
    name(&caller, names);
    c->caller = arena_index(names);
}

void caller_forget(struct admit_connection *c) {
    if (c->side == SIDE_INBOUND && c->port && c->caller && c->caller != CALLER_UNKNOWN)
        arena_give(arena_at(c->caller), sizeof(struct caller_names));
    if (c->port)
        c->caller = 0;
}
