/* More about lists of errors (rule_text.h). */
#ifndef WEIR_AGENT_ERRORS_H
#define WEIR_AGENT_ERRORS_H

#include "rules/text/rule_text.h"

void errors_copy(struct rule_errors *to, const struct rule_errors *from);
/* About a whole file. */
void errors_add(struct rule_errors *, const char *file, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
