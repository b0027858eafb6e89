/* The attached processes of an app: watched by pidfd, and what they held taken back when they die. */
#ifndef WEIR_AGENT_CLIENTS_H
#define WEIR_AGENT_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/core/loop.h"
#include "agent/rules/publish.h"

struct clients;

enum client_change {
    CLIENT_ATTACHED, /* it introduced itself */
    CLIENT_FOUND,    /* it attached in an earlier agent's time, or while there was none */
    CLIENT_LEFT,     /* it gave its slot back */
    CLIENT_GONE,     /* it died */
};

struct client {
    struct loop_source source; /* its pidfd */
    struct clients *clients;
    uint32_t slot;
    uint64_t owner; /* the slot's owner word when it was introduced */
    pid_t pid;      /* as the agent sees it; 0 = it cannot see it */
    uint64_t start; /* time, from /proc; 0 = unknown */
    time_t since;   /* Unix time */
    bool vouched;   /* it said itself that the slot is its own; else the memory of its app alone says so */
    char exe[128];  /* or "[comm]" */
};

struct clients {
    struct loop *loop;
    struct publish *memory;
    struct client *slot[LAYOUT_PROCESSES];
    uint64_t stranger[LAYOUT_PROCESSES]; /* unknown owners that the last scan found */
    uint32_t count;
    void (*changed)(struct clients *, const struct client *, enum client_change);
};

void clients_open(struct clients *, struct loop *, struct publish *memory,
                  void (*changed)(struct clients *, const struct client *, enum client_change));
void clients_close(struct clients *);

/* A process says that it took a slot.  False when the slot does not say so. `pidfd` is owned from here on (or -1). */
bool clients_introduce(struct clients *, uint32_t slot, uint64_t owner, pid_t pid, int pidfd);
/* Compares the process table with what is known: processes that never introduced themselves, slots that an earlier
 * agent knew, slots given back, processes that died unseen. */
void clients_scan(struct clients *, uint64_t engine_now_ns);

/* Is that pid alive, and if `start` is not 0, the same process? */
bool clients_alive(pid_t pid, uint64_t start);

#endif
