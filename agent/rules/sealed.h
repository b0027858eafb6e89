/* Memory that processes share with the agent and nothing can cut short: it has no name in the file system, its size is
 * sealed, and who does not get its descriptor cannot have it.
 *
 * Because it has no name it ends with its last descriptor and mapping, unless a store keeps a descriptor of it while
 * the agent is away. */
#ifndef WEIR_AGENT_SEALED_H
#define WEIR_AGENT_SEALED_H

#include <stdbool.h>
#include <stdint.h>

/* Keeps descriptors from one agent to the next, by name: systemd does (agent/fd_store.h). */
struct sealed_store {
    void *context;
    int (*take)(void *context, const char *name); /* the descriptor of that name, now the caller's; -1: there is none */
    bool (*keep)(void *context, const char *name, int fd); /* false: it will not be there for the next agent */
    void (*drop)(void *context, const char *name);
};

/* `name` is for people who look at mappings: "/memfd:NAME (deleted)".  A descriptor or -errno. */
int sealed_make(const char *name, uint64_t bytes);
/* Is it such memory, whose size cannot change any more? */
bool sealed_is(int fd, uint64_t *ret_bytes);

#endif
