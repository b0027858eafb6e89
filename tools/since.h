/* Moments as people write them: "30m" (ago), "10:30", "2026-11-30", "2026-11-30 10:30:15". */
#ifndef WEIR_TOOLS_SINCE_H
#define WEIR_TOOLS_SINCE_H

#include <stdbool.h>
#include <time.h>

/* Local time.  A clock alone is the last time that it was so.  False: it is none of these. */
bool since_parse(const char *text, time_t now, time_t *ret_since);

#endif
