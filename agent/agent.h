/* The agent as a library: weir-agent runs it as a service, `weir run` beside the program that it starts. */
#ifndef WEIR_AGENT_AGENT_H
#define WEIR_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/core/log.h"
#include "agent/kernel/bpf.h"
#include "agent/rules/sealed.h"
#include "rules/text/rule_text.h"

struct agent;

struct agent_options {
    const char *run_dir;           /* sockets and shared memory; made if missing */
    const char *const *rule_paths; /* files and directories, watched */
    size_t rule_paths_count;
    const char *app;       /* the app of files that name none, and of processes that name none; or NULL */
    const char *group;     /* owner group of run_dir and sockets; or NULL */
    const char *log_dir;   /* where weir-block.log goes; NULL: nowhere */
    const char *state_dir; /* where windows of long limits are kept; NULL: nowhere */
    enum bpf_mode bpf;
    const char *bpf_dir;              /* where maps and links are pinned; NULL: nowhere, they end with the agent */
    const char *bpf_cgroup;           /* cgroup v2 folder that is counted; NULL: the whole host */
    const char *proc;                 /* where procfs is mounted; NULL: /proc */
    const struct sealed_store *store; /* keeps counters over restarts; NULL: they end with the agent */
    bool embedded;                    /* `weir run`: for one program, removes its files when closed */
    bool strict_start;                /* rules with errors at start: agent_open fails */
    struct log log;                   /* where its lines go */
};

/* Opens sockets, takes up shared memory that an earlier agent left, reads and publishes the rules.
 * NULL and -errno in `*ret_error` on failure; errors of the rules' text are added to `errors` (which may be NULL). */
struct agent *agent_open(const struct agent_options *, struct rule_errors *errors, int *ret_error);
/* A descriptor that becomes readable when agent_step has work. */
int agent_fd(const struct agent *);
/* Waits up to `timeout_ms` (-1: until something happens; timers are the agent's own) and does what there is to do. */
int agent_step(struct agent *, int timeout_ms);
void agent_reload(struct agent *); /* reads every rules file again (SIGHUP) */
/* Is a rules file wrong, or missing rules because of others?  (The last good rules are in force then.) */
bool agent_has_errors(const struct agent *);
size_t agent_rule_files(const struct agent *); /* valid or not */
/* One line for sd_notify STATUS and the end of `weir run`; valid until the next call. */
const char *agent_status_line(struct agent *);
/* Before a fork, after which one of the two processes goes on with the agent and the other one leaves it alone.  False:
 * not now. */
bool agent_pause(struct agent *);
void agent_close(struct agent *);

#endif
