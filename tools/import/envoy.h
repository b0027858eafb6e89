/* `weir import --from envoy-ratelimit`: the configuration of the rate limit service, and of Envoy: its rate limit
 * actions, local rate limits, connection limits.  Files are joined: which requests have a descriptor is said by
 * Envoy's. */
#ifndef WEIR_TOOLS_IMPORT_ENVOY_H
#define WEIR_TOOLS_IMPORT_ENVOY_H

#include "tools/import/import.h"

int envoy_looks_like(const char *text, size_t length, const char *path);
void envoy_parse(struct import *, const char *path, const char *text, size_t length);
void envoy_finish(struct import *);

#endif
