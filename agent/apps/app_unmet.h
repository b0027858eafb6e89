/* Rules that no traffic has met since they came into force: a name that is mistyped limits nothing, and nothing else
 * tells.
 *
 * A rule is met when a resource that it applies to has traffic, and the one that it goes by (refResource), and when a
 * value of its parameter was seen.  What cannot be seen from here is whether the callers that it names came. */
#ifndef WEIR_AGENT_APPS_APP_UNMET_H
#define WEIR_AGENT_APPS_APP_UNMET_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct app;
struct json_writer;
struct unmet_rule;

struct app_unmet { /* all zeros: nothing is known yet */
    uint64_t generation;
    void *ruleset; /* a copy of the one in force */
    struct unmet_rule *rules;
    uint32_t count;
    char *looked; /* for each resource's entry: its rules are known to be met */
    uint32_t looked_count;
    void **patterns; /* memory of compiled expressions, a list by its first words */
    uint64_t busy;   /* seconds with traffic so far */
};

/* Once a second, when the metrics of the second have been taken. */
void app_unmet_tick(struct app *);
void app_unmet_clear(struct app_unmet *);

/* How many rules have met nothing, while the app had traffic. */
uint32_t app_unmet_count(const struct app *);
/* "unmet": a list of them, with what was not met: its resource, the one that it goes by ("reference"), or any value of
 * its parameter; and the resource that it is probably about. */
void app_unmet_report(const struct app *, struct json_writer *);

#endif
