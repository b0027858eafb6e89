/* agent.sock: decides which app a process is, and hands it the app's shared memory. */
#ifndef WEIR_AGENT_ATTACH_SERVER_H
#define WEIR_AGENT_ATTACH_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "agent/apps/app.h"
#include "agent/core/server.h"
#include "rules/attach.h"

/* Connections of a user, so that none of them takes the agent's time from the others: by a hash of the user, each a
 * bucket of its own as far as these reach.  Root and the agent's user have no limit. */
enum { ATTACH_USERS = 4096 };
struct attach_user {
    uint64_t refilled_ns;
    uint32_t left;
};

enum { ATTACH_TURNED_AWAY = 64 };
struct attach_turned_away { /* a process that asked and got no app's memory; it asks again while it has traffic */
    pid_t pid;              /* 0: free */
    uid_t uid;
    enum attach_status why;
    char app[LAYOUT_APP_NAME_MAX]; /* the one it claims, or would be */
    uint64_t asked_ns;
};

struct attach_server {
    struct app_list *apps;
    struct server server;
    uint64_t refused_ns;
    uint64_t users_seed; /* random: no user can choose whose bucket it shares */
    struct attach_user users[ATTACH_USERS];
    struct attach_turned_away turned_away[ATTACH_TURNED_AWAY]; /* the last ones */
};

/* Listens in the run directory of the apps.  0 or -errno. */
int attach_server_open(struct attach_server *, struct app_list *);
void attach_server_close(struct attach_server *);

#endif
