/* What `weir doctor` finds of each process: facts of /proc, what the agents say, and the verdict. */
#ifndef WEIR_TOOLS_DOCTOR_H
#define WEIR_TOOLS_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/process/coverage.h"
#include "agent/process/listeners.h"

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
    uint64_t acted_early; /* responses of it to requests that were not complete */
};

struct doctor {
    struct doctor_finding *list; /* what is wrong first, then what is right, then what nobody asked for */
    size_t count;
    uint32_t unreadable; /* processes of others that could not be looked into */
    uint32_t unowned;    /* listening sockets whose process could not be found for that */
    bool truncated;
    size_t agents, silent; /* that answered; that are there, and did not */
};

struct doctor_request {
    const char *proc;    /* where procfs is mounted */
    const char *root;    /* of the systemd units: "" or a directory */
    const char *run_dir; /* ask the agent there only, or NULL */
    char **named;        /* PIDs and units, NULL at the end; none: every process that listens */
    bool watch;          /* takes some seconds where that tells whose connections go past the shim */
};

/* 0; or a CMD_ status, after a message. */
int doctor_examine(const struct doctor_request *, struct doctor *ret_doctor);
void doctor_clear(struct doctor *);

/* Does that one listen on the port? */
bool doctor_listens_on(const struct doctor_finding *, uint64_t namespace, uint16_t port);

/* Is that one a reason for exit status 1? */
bool doctor_is_ill(const struct doctor_finding *);

/* What a person might want to know of one that is protected; NULL: nothing. */
const char *doctor_remark(const struct doctor *, const struct doctor_finding *);

/* What to do about it, in plain words; malloc'ed; NULL: nothing. */
char *doctor_remedy(const struct doctor_finding *);

#endif
