/* Which app a process is, and whether it may be that one. */
#ifndef WEIR_AGENT_APPS_ATTACH_PEER_H
#define WEIR_AGENT_APPS_ATTACH_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/apps/app.h"
#include "rules/text/rule_text.h"

/* What is known of a process that says hello; texts are "" where unknown. */
struct attach_peer {
    pid_t pid;
    uid_t uid;
    bool made_by_root; /* or by the agent's own user: proc_made_by */
    char exe[512], comm[64], cgroup[512];
};

/* Pid and uid of the other end of a connection, as the kernel says; false: they are not known. */
bool attach_peer_of(int fd, struct attach_peer *ret_peer);
/* And what /proc says of it. */
void attach_peer_read(struct attach_peer *);

/* Do all given members of `match` hold?  A match that gives none holds for no process.  Pure. */
bool attach_matches(const struct rule_app_match *match, const struct attach_peer *);
/* The app of the first rules file, in the order of fragments, whose match holds; or NULL. */
struct app *attach_match_app(const struct app_list *, const struct attach_peer *);
/* WEIR_APP (`claimed`, or "") wins if there are rules for that app; else the files' matches; else, under `weir run`,
 * its own app.  Or NULL. */
struct app *attach_choose_app(const struct app_list *, const char *claimed, const struct attach_peer *);
/* May the peer be the app of a file with this match?  Root and the agent's own user may be any app, and so may the
 * workers of a server that they started; a uid in the match must be the peer's; a unit or cgroup in the match that
 * holds suffices, as only root puts processes there; without any of these, a system service may (its WEIR_APP was set
 * by root).  Pure. */
bool attach_may(const struct rule_app_match *match, const struct attach_peer *, uid_t agent_uid);
/* One fragment of the app that lets it in suffices; an app without files is open to root and the agent's user alone. */
bool attach_may_be(const struct app_list *, const struct app *, const struct attach_peer *);

#endif
