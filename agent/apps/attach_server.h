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
    struct attach_turned_away turned_away[ATTACH_TURNED_AWAY]; /* the last ones */
};

/* Listens in the run directory of the apps.  0 or -errno. */
int attach_server_open(struct attach_server *, struct app_list *);
void attach_server_close(struct attach_server *);

#endif
