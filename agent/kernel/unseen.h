/* Traffic of a protected app that its shim has not seen: connections that the kernel has counted on one of its ports,
 * against those that its processes have.  Looked at once a second, and reported when it is sure. */
#ifndef WEIR_AGENT_KERNEL_UNSEEN_H
#define WEIR_AGENT_KERNEL_UNSEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/apps/app.h"
#include "agent/core/bus.h"
#include "agent/core/json_writer.h"
#include "agent/core/worker.h"
#include "ebpf/count.h"
#include "ebpf/ebpf.h"
#include "ebpf/owners.h"

struct unseen_port { /* of one app */
    const struct app *app;
    uint64_t processes;              /* which ones the app had: restarted when they change */
    uint64_t kernel_base, shim_base; /* where the comparison began */
    uint64_t kernel, shim;           /* connections since then */
    uint64_t reported;               /* missing ones when it was last reported */
    uint32_t behind;                 /* looks in a row that found some missing */
    uint16_t port;
    bool seen, kept; /* in this look; in the one before */
};

struct unseen {
    const struct ebpf *ebpf;
    const struct app_list *apps;
    const struct bus *bus;
    struct worker *worker;
    struct unseen_port *list;
    size_t count, room;
    struct listening_owner *owners; /* as of a few seconds ago; NULL where the kernel does not say */
    size_t owners_count;
    struct count_listener *waiting; /* accept queues as of the look before, if anything was missing then */
    size_t waiting_count;
    bool reading; /* the worker is about to bring both */
    uint32_t looks;
};

void unseen_look(struct unseen *); /* after the metrics of a second were taken */
void unseen_close(struct unseen *);
/* Adds "coverage":[{"port","kernel","shim","missing"}] of an app; nothing where the kernel does not count. */
void unseen_report(const struct unseen *, const struct app *, struct json_writer *);

/* The port of a listener's resource ("tcp::8080"), 0 if it is none.  Pure. */
uint16_t unseen_port_of(const char *resource);
/* One look: `kernel` and `shim` are totals now.  True: it is time to report it, see UNSEEN_LOOKS.  Pure. */
enum { UNSEEN_LOOKS = 3, UNSEEN_SLACK = 3 /* connections: accepted by the kernel, not yet by the program */ };
bool unseen_compare(struct unseen_port *, uint64_t kernel, uint64_t shim, uint64_t waiting);

#endif
