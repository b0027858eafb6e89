/* The agent as a library: weir-agent runs it as a service, `weir run` beside the program that it starts. */
#ifndef WEIR_AGENT_AGENT_H
#define WEIR_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/text/rule_text.h"

struct agent;

enum { AGENT_LOG_ERROR = 3, AGENT_LOG_WARNING = 4, AGENT_LOG_INFO = 6, AGENT_LOG_DEBUG = 7 }; /* as syslog */

enum agent_bpf {
    AGENT_BPF_OFF,
    AGENT_BPF_AUTO,    /* what this kernel has and we may load */
    AGENT_BPF_REQUIRED /* all of it, or agent_open fails */
};

struct agent_options {
    const char *run_dir;           /* sockets and shared memory; made if missing */
    const char *const *rule_paths; /* files and directories, watched */
    size_t rule_paths_count;
    const char *app;     /* the app of files that name none, and of processes that name none; or NULL */
    const char *group;   /* owner group of run_dir and sockets; or NULL */
    const char *log_dir; /* where weir-block.log goes; NULL: nowhere */
    enum agent_bpf bpf;
    const char *bpf_dir;    /* where maps and links are pinned; NULL: nowhere, they end with the agent */
    const char *bpf_cgroup; /* cgroup v2 folder that is counted; NULL: the whole host */
    bool embedded;          /* `weir run`: for one program, removes its files when closed */
    bool strict_start;      /* rules with errors at start: agent_open fails */
    void (*log)(void *context, int level, const char *message);
    void *log_context;
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
/* One line for sd_notify STATUS and the end of `weir run`; valid until the next call. */
const char *agent_status_line(struct agent *);
void agent_close(struct agent *);

/* The agent's control socket, $run_dir/control.sock (SOCK_STREAM): one JSON object on a line, one JSON object back,
 * end.
 *
 *   {"cmd":"status"}  -> {"agent":{"pid","version","since","run_dir","embedded"},
 *                         "apps":[{"app","rules_version","rules":number (if known),"off",
 *                         "coverage":[{"port","kernel","shim","missing"}]: connections of its ports that the kernel has
 *                         counted, those that its processes have seen, and those that went past them,
 *                         "guard":[{"resource","by":"kernel"|"shim"|"nobody","why","pid","active","left_out"}]: who
 *                         limits the connections that rules are about; "unenforced":[{"rule","why"}]: rules that do not
 *                         hold for programs without a shim, if there are such; "callers":"known", or why they are not,
 *                         of an app whose rules ask who calls (unit:, comm:, uid:),
 *                         "processes":[{"pid","exe","since","rules_version","current":bool,"idle":bool,"undecided"}]}],
 *                         "files":[{"path","app","state":"ok"|"error","loaded","match":{"exe","unit","cgroup","comm",
 *                         "uid": what the file gives of these},"errors":[{"line","column","path","message"}]}],
 *                         "turned_away":[{"pid","uid","app","why":"no-app"|"refused"|"other-version"}]: processes with
 *                         the shim that asked to be attached, and were not,
 *                         "bpf":{"available":any,"why","features":[{"feature","what","on","why"}]}}
 *   {"cmd":"figures"} -> {"second":UNIX, "apps":[{"app","resources":[{"resource","side","pass","block","exception",
 *                         "success","simulated","queued","rt_ms","rt_p99_ms","in_flight","circuit","total_pass",
 *                         "total_block"}]}]}       (rates of the last complete second)
 *   {"cmd":"ports"}   -> {"why":"" or why nothing is counted, "since":UNIX, "namespace":the agent's network namespace,
 *                         "rows":[{"direction":"in"|"out","port","namespace","ip":4|6,"attempts","opened","closed",
 *                         "active","refused","failed","bytes_in","bytes_out","segments_in","segments_out",
 *                         "retransmits","rtt_ms","cgroup","unit"}],       (the last two of "out"; port 0: all others)
 *                         "listeners":[{"port","namespace","address","drops","waiting","room"}],
 *                         "owners":[{"port","namespace","pid","comm"}]}    (who listens, where the kernel tells it)
 *   {"cmd":"off","app":A} / {"cmd":"on","app":A}  -> {"ok":true} or {"error":"…"}      (root, the agent's user, its
 * group)
 *   {"cmd":"reload"}  -> {"ok":true}
 * Anything else: {"error":"…"}. */
#define AGENT_CONTROL_SOCKET "control.sock"

#endif
