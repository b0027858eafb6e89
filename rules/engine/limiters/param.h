/* From a request to the hot keys that a rule counts, and their thresholds. */
#ifndef WEIR_RULES_ENGINE_PARAM_H
#define WEIR_RULES_ENGINE_PARAM_H

#include "rules/engine/decision.h"

enum { PARAM_SECRET_SHOWN = 4 }; /* bytes of a secret that are shown */

/* Bit i: what the rule's i-th source says is a secret by its name (a cookie, a token): shown in part only. */
uint8_t param_secrets(const void *ruleset, const struct rule *);

#endif
