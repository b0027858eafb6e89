/* One app: its shared memory, its processes, its rules in force. */
#ifndef WEIR_AGENT_APP_H
#define WEIR_AGENT_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/apps/clients.h"
#include "agent/metrics/metrics.h"
#include "agent/rules/publish.h"
#include "agent/rules/rule_dir.h"
#include "agent/rules/versions.h"

struct agent;

struct app {
    struct agent *agent;
    struct app *next; /* in order of name */
    char name[LAYOUT_APP_NAME_MAX];
    struct publish memory;
    struct clients clients;
    struct metrics metrics;
    struct rule_errors errors; /* of its fragments taken together */
    uint64_t fragments;        /* hash of the versions that were last joined; 0 = never joined */
    uint32_t documents;        /* fragments that it has now */
    uint32_t rules;            /* rules in force; not known while `inherited` */
    uint64_t *hits_seen;       /* block_log.h */
    uint64_t event_seen;       /* number of the next event to be told */
    uint64_t event_gap;        /* event_seen + 1 when that one was drawn and not yet written; given up the next time */
    uint64_t rejection_seen, rejection_gap; /* rejections.h; as of events */
    struct versions versions;
    uint64_t published_ns; /* engine clock, when this agent last published; 0 = never */
    uint64_t growth_error_told_ns, publish_error_told_ns, unused_since_ns;
    bool inherited;   /* the rules in force are an earlier agent's: kept until its files are whole again */
    bool unpublished; /* the newest rules could not be written: those before are in force */
    bool damaged;     /* its memory was truncated under us: made anew at the next turn */
};

/* The app of that name, or NULL. */
struct app *app_find(const struct agent *, const char *name);
/* Groups the rules files by app, joins the fragments of each whose fragments changed, publishes.  Apps without rules
 * any more get an empty rule set, and end when their last process is gone. */
void app_update_all(struct agent *);
/* Takes up what an earlier agent left in the run directory. */
void app_inherit_all(struct agent *);
void app_close_all(struct agent *, bool remove);
/* Growth, reclaiming, figures: once a second; and growth alone, more often. */
void app_tick_all(struct agent *, uint64_t now_ns);
void app_grow(struct app *);
void app_set_off(struct app *, bool off);
/* The fragments of an app, in order; *ret_count of them, the list to be freed. */
struct rule_document **app_documents(const struct app *, size_t *ret_count);
/* To which app a file belongs: what it says, or the agent's default app, or NULL. */
const char *app_of_file(const struct agent *, const struct rule_file *);

#define RULE_FILE_NAMES_NO_APP "expected \"app\": the name of the app that these rules are for"

#endif
