/* What is found of each process. */
#ifndef WEIR_TOOLS_DOCTOR_FINDING_H
#define WEIR_TOOLS_DOCTOR_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/process/coverage.h"
#include "agent/process/listeners.h"
#include "tools/call_filter.h"
#include "tools/fates.h"

struct doctor_finding {
    struct process_facts facts;
    struct coverage_view view;
    enum coverage_cause cause;
    bool asked;                    /* named on the command line */
    bool wanted;                   /* something says that it is to be protected: rules, its unit, its environment */
    char app[LAYOUT_APP_NAME_MAX]; /* which it is, or would be; or "" */
    char *listens;                 /* "*:80 127.0.0.1:8080 [::1]:8080", or "" */
    uint16_t *ports;               /* of these, in order, each once */
    size_t ports_count;
    uint64_t namespace; /* network namespace: inode, 0 = unknown */
    /* Connections on its ports, of all processes of its app, since agent and shim count both; 0, 0 = not known. */
    uint64_t kernel_connections, shim_connections;
    struct fates fates;   /* of connections to its ports, of all processes of its app */
    call_set denied;      /* calls of the library that its unit's SystemCallFilter= does not allow */
    bool unmet;           /* rules of its app have met no traffic */
    uint64_t acted_early; /* responses of it to requests that were not complete */
};

struct doctor {
    struct doctor_finding *list; /* what is wrong first, then what is right, then what was not asked for */
    size_t count;
    uint32_t unreadable; /* processes of others that could not be looked into */
    uint32_t unowned;    /* listening sockets whose process could not be found for that */
    bool truncated;
    size_t agents, silent; /* that answered; that are there, and did not */
};

/* Does that one listen on the port? */
bool finding_listens_on(const struct doctor_finding *, uint64_t namespace, uint16_t port);

#endif
