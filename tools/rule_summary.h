/* A rule in a few words: "at most 10 per second", "open for 5 s when more than 50 % fail". */
#ifndef WEIR_TOOLS_RULE_SUMMARY_H
#define WEIR_TOOLS_RULE_SUMMARY_H

#include <stddef.h>

#include "rules/rule.h"

void rule_summary(const void *ruleset, const struct rule *, char *ret_text, size_t size);
/* "clientIp", "header x-user", … */
void param_summary(const void *ruleset, const struct rule_param *, char *ret_text, size_t size);

#endif
