/* control.sock: questions and orders of the command line, $run_dir/control.sock (SOCK_STREAM): one JSON object on a
 * line, one JSON object back, end.
 *
 *   {"cmd":"status"}  -> {"agent":{"pid","version","since","run_dir","embedded"},
 *                         "apps":[{"app","rules_version","rules":number (if known),"off",
 *                         "coverage":[{"port","kernel","shim","missing"}]: connections of its ports that the kernel has
 *                         counted, those that its processes have seen, and those that went past them,
 *                         "connections":[{"listener","port","judged","empty","unread","opaque":{reason:count}}]: what
 *                         became of connections, by listener; "empty": no request came, "unread": no call that reads
 *                         was seen,
 *                         "guard":[{"resource","by":"kernel"|"shim"|"nobody","why","pid","active","left_out"}]: who
 *                         limits the connections that rules are about; "unenforced":[{"rule","why"}]: rules that do not
 *                         hold for programs without a shim, if there are such; "callers":"known", or why they are not,
 *                         of an app whose rules ask who calls (unit:, comm:, uid:),
 *                         "processes":[{"pid","exe","since","rules_version","current":bool,"idle":bool,"undecided","acted_early",
 *                         "malformed": requests refused since two servers could differ about them}]}],
 *                         "files":[{"path","app","state":"ok"|"error","loaded","match":{"exe","unit","cgroup","comm",
 *                         "uid": what the file gives of these},"errors":[{"line","column","path","message"}]}],
 *                         "turned_away":[{"pid","uid","app","why":"no-app"|"refused"|"other-version"}]: processes with
 *                         the shim that asked to be attached, and were not,
 *                         "bpf":{"available":any,"why","features":[{"feature","what","on","why"}]}}
 *   {"cmd":"figures"} -> {"second":UNIX, "apps":[{"app","off":its traffic passes and is not counted,
 *                         "stale":the rules in force are older than the files,"rules","rules_simulated",
 *                         "resources":[{"resource","side","pass","block","exception",
 *                         "success","simulated","queued","rt_ms","rt_p99_ms","in_flight","circuit","total_pass",
 *                         "total_block",…,"total_gone": clients that went first}]}]}   (rates of the last complete
 * second)
 *   {"cmd":"ports"}   -> {"why":"" or why nothing is counted, "since":UNIX, "namespace":the agent's network namespace,
 *                         "rows":[{"direction":"in"|"out","port","namespace","ip":4|6,"attempts","opened","closed",
 *                         "active","refused","failed","bytes_in","bytes_out","segments_in","segments_out",
 *                         "retransmits","rtt_ms","cgroup","unit"}],       (the last two of "out"; port 0: all others)
 *                         "listeners":[{"port","namespace","address","drops","waiting","room"}],
 *                         "owners":[{"port","namespace","pid","comm"}]}    (who listens, where the kernel says it)
 *   {"cmd":"events","after":N,"since":UNIX,"app":A,"kinds":"circuit,rules","most":N}   (all but cmd may be missing)
 *                     -> {"events":[{"seq":number,"time","level","kind","app","resource","rule","reason","count","id",
 *                         "caller","file","pid","rules_version","text"}], "last":number of the newest event of all}
 *                         (what an event does not have is missing; oldest first; "most": only so many, the newest)
 *   {"cmd":"off","app":A} / {"cmd":"on","app":A}  -> {"ok":true} or {"error":"…"}      (root, agent's user, group)
 *   {"cmd":"reload"}  -> {"ok":true}
 * Anything else: {"error":"…"}. */
#ifndef WEIR_AGENT_CONTROL_CONTROL_H
#define WEIR_AGENT_CONTROL_CONTROL_H

#include <sys/types.h>

#include "agent/control/sources.h"
#include "agent/core/server.h"

#define CONTROL_SOCKET "control.sock"

struct control {
    const struct control_sources *sources;
    gid_t group; /* who may give orders, beside root and the agent's user; (gid_t)-1 = none */
    struct server server;
};

/* Listens in the run directory of the apps.  0 or -errno. */
int control_open(struct control *, const struct control_sources *, gid_t group);
void control_close(struct control *);

#endif
