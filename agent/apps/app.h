/* The apps: each one's shared memory, its processes, its rules in force. */
#ifndef WEIR_AGENT_APPS_APP_H
#define WEIR_AGENT_APPS_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/apps/app_unmet.h"
#include "agent/apps/clients.h"
#include "agent/core/bus.h"
#include "agent/core/loop.h"
#include "agent/metrics/hits.h"
#include "agent/metrics/metrics.h"
#include "agent/metrics/rejections.h"
#include "agent/metrics/states.h"
#include "agent/rules/kept_windows.h"
#include "agent/rules/publish.h"
#include "agent/rules/rule_dir.h"

struct app_list;
struct app_cpu;

struct app {
    struct app_list *list;
    struct app *next; /* in order of name */
    char name[LAYOUT_APP_NAME_MAX];
    struct publish memory;
    struct clients clients;
    struct metrics metrics;
    struct rule_errors errors; /* of its fragments taken together */
    uint64_t fragments;        /* hash of the versions that were last joined; 0 = never joined */
    uint32_t documents;        /* fragments that it has now */
    uint32_t rules;            /* rules in force; not known while `inherited` */
    struct ring states, rejections;
    struct episodes episodes;
    struct hits hits;
    struct app_unmet unmet;
    struct kept_windows kept;
    struct app_cpu *cpu;   /* app_cpu.c's: NULL while no rule asks */
    uint64_t published_ns; /* engine clock, when this agent last published; 0 = never */
    uint64_t growth_error_ns, publish_error_ns, kept_error_ns, unused_since_ns;
    bool when;        /* a rule of theirs has times of day */
    bool renewing;    /* its moments are found out again */
    bool by_cpu;      /* a rule of theirs goes by the CPU that it uses */
    bool inherited;   /* the rules in force are an earlier agent's: kept until its files are whole again */
    bool unpublished; /* the newest rules could not be written: those before are in force */
    bool held;        /* its only file names another app now: the rules before stay while it has processes */
    bool lifted;      /* it had rules, and has none any more */
    uint64_t held_serial, held_idle_ns; /* of the file's version that was reported; since when there are no processes */
};

struct app_list {
    struct app *first;
    /* Given by the maker of the list, valid as long as it is. */
    struct loop *loop;
    const struct bus *bus;
    const struct rule_dir *rules;
    struct rejections *recent;        /* rejections of all apps */
    int directory;                    /* descriptor of the run directory */
    const char *run_dir;              /* its path, for messages */
    int state_directory;              /* descriptor of the state directory; -1 = none: windows end with the counters */
    const char *own;                  /* `weir run`: the app that is there, rules or not; or NULL */
    const struct sealed_store *store; /* of counters, over restarts; or NULL */

    uint64_t second; /* Unix time of the second that the metrics are about */
    uint64_t day;    /* Unix time of the day whose times of day are published */
    bool missing;    /* an app got no memory: tried again every second */
    uint64_t memory_error_ns;
};

/* The app of that name, or NULL. */
struct app *app_find(const struct app_list *, const char *name);
/* Groups the rules files by app, joins the fragments of each whose fragments changed, publishes.  Apps without rules
 * any more get an empty rule set, and end when their last process is gone. */
void app_update_all(struct app_list *);
/* Takes up what an earlier agent left in the run directory. */
void app_inherit_all(struct app_list *);
void app_close_all(struct app_list *, bool remove);
/* Upkeep once a second: growth, reclaiming, metrics of the second list->second, which has ended. */
void app_tick_all(struct app_list *, uint64_t now_ns);
/* Publishes what the second that ended has rejected, as BUS_REJECTIONS. */
void app_report_rejections_all(struct app_list *);
/* Between the seconds, while there is traffic: names and cells can come fast, and state changes are reported at once.
 * True: there was traffic in the last second. */
bool app_follow_all(struct app_list *);
void app_grow(struct app *);
void app_set_off(struct app *, bool off);
/* Reports what its processes wrote down so far, of their state. */
void app_take_states(struct app *);
/* Ends its episodes of overload protection, all or those whose rules have changed. */
void app_end_episodes(struct app *, enum episodes_end);
/* The engine clock of an app. */
uint64_t app_engine_now_ns(const struct app *);

#endif
