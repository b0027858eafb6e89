/* Which app a process is, and whether it may be that one.
 *
 * The rule, all of it:
 *   - The user is the one that SO_PEERCRED says.  Root and the agent's own user may be any app.
 *   - Facts of /proc (program, command, cgroup) count only of the process that connected, and only if all four of its
 *     user ids there were that user's before and after they were read: so nothing that it, its parent or a program that
 *     it becomes by exec has of another user adds to them.
 *   - Which program it is, it says itself where /proc does not tell, as an agent that is not root may not read that of
 *     another user.  That is worth as much as WEIR_APP, which it says itself, too: it chooses an app, and lets nothing
 *     in.
 *   - A uid in an app's match must be the user's.  A unit or cgroup in it must be the process's, which suffices, as
 * only root puts processes there.  With none of these in the match the process must be in a system service.
 *   - A process that shows the pass of an app's memory had that memory from the agent, or from a process that had, and
 *     may have it again: a worker of a server that has changed its user. */
#ifndef WEIR_AGENT_APPS_ATTACH_PEER_H
#define WEIR_AGENT_APPS_ATTACH_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/apps/app.h"
#include "rules/text/rule_text.h"

/* What is known of a process that says hello; texts are "" where unknown. */
struct attach_peer {
    pid_t pid;
    uid_t uid;
    char exe[512], comm[64], cgroup[512];
    bool known; /* facts of /proc count of it */
};

/* Pid and uid of the other end of a connection, as the kernel says; false: they are not known. */
bool attach_peer_of(int fd, struct attach_peer *ret_peer);
/* And what /proc says of it, where that counts. */
void attach_peer_read(struct attach_peer *, int fd);
/* What it says itself of its program, ATTACH_EXE_MAX bytes, where /proc does not tell. */
void attach_peer_claim(struct attach_peer *, const char *exe);

/* Do all given members of `match` hold?  A match that gives none holds for no process.  Pure. */
bool attach_matches(const struct rule_app_match *match, const struct attach_peer *);
/* The app of the first rules file, in the order of fragments, whose match holds; or NULL. */
struct app *attach_match_app(const struct app_list *, const struct attach_peer *);
/* WEIR_APP (`claimed`, or "") wins if there are rules for that app; else the files' matches; else, under `weir run`,
 * its own app.  Or NULL. */
struct app *attach_choose_app(const struct app_list *, const char *claimed, const struct attach_peer *);
/* May the peer be the app of a file with this match?  Pure. */
bool attach_may(const struct rule_app_match *match, const struct attach_peer *, uid_t agent_uid);
/* One fragment of the app that lets it in suffices; an app without files is open to root and the agent's user alone. */
bool attach_may_be(const struct app_list *, const struct app *, const struct attach_peer *);
/* The app whose memory that pass is of, or NULL. */
struct app *attach_pass_app(const struct app_list *, const uint64_t pass[2]);

#endif
