/* The episodes of overload protection that an app is in: as its processes report them, and as its counters, its rules
 * and its processes say that they are over.  Processes see the end of one with the next request only, which may never
 * come.  Of the loop's thread; times are of the loop's clock.  Nothing fails. */
#ifndef WEIR_AGENT_METRICS_EPISODES_H
#define WEIR_AGENT_METRICS_EPISODES_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/metrics/episode.h"
#include "agent/metrics/metrics.h"
#include "rules/rule.h"

enum { EPISODES_MAX = 8 }; /* several with scope process, or with several rules; further ones are not followed */

struct episode_now {
    struct layout_event event; /* as reported last */
    uint64_t rule;             /* its id_hash; 0: not in use */
    uint32_t pid;              /* 0: it is the whole app's */
    uint8_t mode, grade, scope;
    bool begun, ended; /* ended: by the agent, and its process does not know */
    uint64_t begun_ns, active_ns, reported_ns;
    double requests, rejected, goodput; /* since it began; rejected or, in mode simulate, to be; of the last second */
};

struct episodes_second {
    double requests, rejected, simulated, answered; /* in it */
};

struct episodes {
    struct episode_now one[EPISODES_MAX];
    struct episodes_second second; /* the last one */
    bool in_flight;
};

/* The adaptive rule in force with that id_hash; NULL: none, or it is off.  Pure. */
const struct rule *episodes_rule(const void *ruleset, uint64_t id_hash);
/* An EVENT_ADAPTIVE that a process wrote down, and its rule as above.  Mends what it says of an episode that the agent
 * ended meanwhile.  False: it is not to be reported, as the agent has done so already, or the rule is gone. */
bool episodes_take(struct episodes *, struct layout_event *, const struct rule *, uint64_t now_ns);
/* Another second was sampled. */
void episodes_second(struct episodes *, const struct metrics *, uint64_t now_ns);

enum episodes_end {
    EPISODES_SILENT,  /* nothing was rejected or answered for two seconds, or nothing reported for 15 s */
    EPISODES_CHANGED, /* the rule is gone, off, or decides otherwise in `ruleset` */
    EPISODES_ALL
};
/* Ends one of these: the event to be reported, and whether it is the whole app's.  False: there is none. */
bool episodes_end(struct episodes *, enum episodes_end, const void *ruleset, uint64_t now_ns,
                  struct layout_event *ret_event, bool *ret_whole);

/* The one that has lasted longest; NULL: the app is in none. */
const struct episode_now *episodes_present(const struct episodes *);
/* What is known of it now: of the last second, or reported in the last two; lasted_s: to its last activity. */
struct episode episodes_figures(const struct episodes *, const struct episode_now *, uint64_t now_ns);

#endif
