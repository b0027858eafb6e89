/* An app's present episode of overload protection, in words: for `weir top` and `weir status`.  Pure. */
#ifndef WEIR_TOOLS_OVERLOAD_H
#define WEIR_TOOLS_OVERLOAD_H

#include <stdbool.h>
#include <stddef.h>

struct cJSON;

/* "shop: OVERLOAD for 34 s (rule adaptive): 48 % rejected, …".  False: it is in none. */
bool overload_line(const struct cJSON *app, char *text, size_t size);

#endif
