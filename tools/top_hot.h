/* weir top --hot: the most frequent values of hot parameter rules, as a table. */
#ifndef WEIR_TOOLS_TOP_HOT_H
#define WEIR_TOOLS_TOP_HOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct cJSON;

/* `apps` as an agent answers {"cmd":"hot"}; at most `limit` lines, 0 = all. */
void top_hot_print(const struct cJSON *apps, FILE *, int width, size_t limit, bool colour);

#endif
