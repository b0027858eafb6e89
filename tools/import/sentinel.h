/* Sentinel's rules, in whatever its dashboard, its command API, its data sources and the registries around it wrap
 * them. */
#ifndef WEIR_TOOLS_IMPORT_SENTINEL_H
#define WEIR_TOOLS_IMPORT_SENTINEL_H

#include "tools/import/import.h"

int sentinel_looks_like(const char *text, size_t length, const char *path);
void sentinel_parse(struct import *, const char *path, const char *text, size_t length);
/* When all files are read: what the rules' resources are in weir. */
void sentinel_finish(struct import *);

#endif
