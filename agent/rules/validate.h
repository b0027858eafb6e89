/* The rules of given paths, checked as the agent would take them up, without an agent. */
#ifndef WEIR_AGENT_RULES_VALIDATE_H
#define WEIR_AGENT_RULES_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/text/rule_text.h"

/* False with errors added when anything is wrong. */
bool validate_paths(const char *const *paths, size_t count, size_t *ret_apps, size_t *ret_files, struct rule_errors *);

#endif
