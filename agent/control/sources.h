/* What the answers of control.sock are made from, each part from where it is kept. */
#ifndef WEIR_AGENT_CONTROL_SOURCES_H
#define WEIR_AGENT_CONTROL_SOURCES_H

#include <stdbool.h>
#include <time.h>

#include "agent/apps/app.h"
#include "agent/apps/attach_server.h"
#include "agent/core/worker.h"
#include "agent/kernel/callers.h"
#include "agent/kernel/guard.h"
#include "agent/kernel/unseen.h"
#include "agent/metrics/event_store.h"
#include "agent/metrics/rejections.h"
#include "agent/rules/history.h"
#include "agent/rules/rule_dir.h"
#include "ebpf/ebpf.h"

struct control_sources { /* all of them are valid as long as the control socket is open */
    struct worker *worker;
    const char *run_dir;
    time_t since;  /* when the agent was started, Unix time */
    bool embedded; /* it is that of `weir run` */
    struct app_list *apps;
    const struct rule_dir *rules;
    const struct attach_server *attach;
    const struct history *history;
    struct rejections *recent;
    const struct ebpf *ebpf;
    const struct agent_guard *guard;
    const struct callers *callers;
    const struct unseen *unseen;
    const struct event_store *events;
    void (*reload)(void *context); /* reads every rules file again */
    void *context;
};

#endif
