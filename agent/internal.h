/* What the parts of the agent share. */
#ifndef WEIR_AGENT_INTERNAL_H
#define WEIR_AGENT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/agent.h"
#include "agent/apps/app.h"
#include "agent/apps/attach_server.h"
#include "agent/metrics/block_log.h"
#include "agent/kernel/bpf.h"
#include "agent/control/control.h"
#include "agent/process/cpu.h"
#include "agent/kernel/guard.h"
#include "agent/core/loop.h"
#include "agent/kernel/ports.h"
#include "agent/metrics/rejections.h"
#include "agent/rules/rule_dir.h"
#include "agent/kernel/unseen.h"

struct cJSON;

struct agent {
    struct agent_options options;
    char *run_dir;
    int directory; /* descriptor of run_dir */
    int lock;
    gid_t group;  /* (gid_t)-1 = none */
    time_t since; /* Unix time */
    struct loop loop;
    struct loop_timer second_timer; /* at the end of each second */
    struct loop_timer growth_timer; /* between them, while there is traffic */
    struct loop_timer sample_timer; /* CPU and load */
    struct rule_dir rules;
    struct attach_server attach;
    struct control control;
    struct block_log block_log;
    struct rejections rejections;
    struct cpu cpu;
    struct ebpf *ebpf;
    struct agent_guard guard;
    bool callers_wanted;
    struct unseen unseen;
    struct app *apps;
    bool app_missing; /* an app got no memory: tried again every second */
    uint64_t memory_error_told_ns;
    uint64_t second; /* Unix time of the second that the figures are about */
    char status[256];
};

void agent_say(const struct agent *, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Adds a text that comes from clients' requests or other people's files: what is no UTF-8 becomes "?". */
void report_text(struct cJSON *object, const char *name, const char *value);
/* Adds what {"cmd":"hot"} asks for: the most frequent values of each app's hot parameter rules. */
void report_hot(const struct agent *, struct cJSON *root);
/* The engine clock of an app. */
uint64_t agent_engine_now_ns(const struct app *);

#endif
