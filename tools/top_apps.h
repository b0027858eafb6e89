/* What `weir top` says of apps, above the table: what is not as usual, and the sums of each.  Pure. */
#ifndef WEIR_TOOLS_TOP_APPS_H
#define WEIR_TOOLS_TOP_APPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct cJSON;

enum { TOP_APPS_TEXT = 400 /* bytes of a line */ };

enum top_banner {
    TOP_BANNER_OFF,
    TOP_BANNER_OVERLOAD,
    TOP_BANNER_STALE,
    TOP_BANNER_SIMULATE,
    TOP_BANNER_UNMET,
    TOP_BANNERS
};

/* What is not as usual with the app: switched off, overloaded, rules older than its files, rules that only count, or
 * that met nothing.  False: it is. */
bool top_apps_banner(const struct cJSON *app, enum top_banner, char ret_text[static TOP_APPS_TEXT]);
/* The app's sums, of what its listeners counted, as a request counts for several resources.  False: it has no listener,
 * or is off. */
bool top_apps_sums(const struct cJSON *app, char ret_text[static TOP_APPS_TEXT]);

#endif
