/* What `weir status` says of rules that do not do what they seem to: warnings of files, and rules that an edit took
 * away or would have. */
#ifndef WEIR_TOOLS_STATUS_RULES_H
#define WEIR_TOOLS_STATUS_RULES_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Apps whose rules files name another app, or have no rules any more. */
void status_rules_apps(const cJSON *apps);
/* Apps that are overloaded. */
void status_rules_overload(const cJSON *apps);
/* Rules that no traffic has met.  `now` is Unix time. */
void status_rules_unmet(const cJSON *apps, double now);
/* Warnings of each file: how many, or (`verbose`) each. */
void status_rules_warnings(const cJSON *files, bool verbose);

#endif
