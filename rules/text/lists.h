/* Lists in files of their own, which rules name: a value a line, blank lines and those that begin with '#' left out. */
#ifndef WEIR_RULES_TEXT_LISTS_H
#define WEIR_RULES_TEXT_LISTS_H

#include "rules/text/reader.h"

/* Gives each value, without the blanks around it; an error names the list's file and line.  `each` returns NULL, or
 * what is wrong. */
void list_read(struct reader *, const struct path *, const cJSON *node, const char *name,
               const char *(*each)(void *context, const char *text), void *context);

#endif
