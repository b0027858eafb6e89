/* agent.sock: decides which app a process is, and hands it the app's shared memory. */
#ifndef WEIR_AGENT_ATTACH_SERVER_H
#define WEIR_AGENT_ATTACH_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "agent/core/loop.h"
#include "rules/attach.h"
#include "rules/text/rule_text.h"

struct agent;
struct app;

enum { ATTACH_TURNED_AWAY = 64 };
struct attach_turned_away { /* a process that asked and got no app's memory; it asks again while it has traffic */
    pid_t pid;              /* 0: free */
    uid_t uid;
    enum attach_status why;
    char app[LAYOUT_APP_NAME_MAX]; /* the one it claims, or would be */
    uint64_t asked_ns;
};

struct attach_server {
    struct agent *agent;
    struct loop_source source;
    struct attach_connection *connections; /* newest first */
    uint32_t count;
    uint64_t refused_told_ns;
    struct attach_turned_away turned_away[ATTACH_TURNED_AWAY]; /* the last ones */
};

int attach_server_open(struct attach_server *, struct agent *); /* 0 or -errno */
void attach_server_close(struct attach_server *);
void attach_server_tick(struct attach_server *, uint64_t now_ns); /* ends connections that say nothing */

/* What is known of a process that says hello; texts are "" where unknown. */
struct attach_peer {
    pid_t pid;
    uid_t uid;
    bool made_by_root; /* or by the agent's own user: proc_made_by */
    char exe[512], comm[64], cgroup[512];
};
/* Do all given members of `match` hold?  A match that gives none holds for nobody.  Pure. */
bool attach_matches(const struct rule_app_match *match, const struct attach_peer *);
/* The app of the first rules file, in the order of fragments, whose match holds; or NULL. */
struct app *attach_match_app(const struct agent *, const struct attach_peer *);
/* May the peer be the app of a file with this match?  Root and the agent's own user may be any app, and so may the
 * workers of a server that they started; a uid in the match must be the peer's; a unit or cgroup in the match that
 * holds suffices, as only root puts processes there; without any of these, a system service may (its WEIR_APP was set
 * by root).  Pure. */
bool attach_may(const struct rule_app_match *match, const struct attach_peer *, uid_t agent_uid);

#endif
