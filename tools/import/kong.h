/* `weir import --from kong`: declarative configuration and answers of the admin API: plugins that limit, as far as
 * rules do. */
#ifndef WEIR_TOOLS_IMPORT_KONG_H
#define WEIR_TOOLS_IMPORT_KONG_H

#include "tools/import/import.h"

int kong_looks_like(const char *text, size_t length, const char *path);
void kong_parse(struct import *, const char *path, const char *text, size_t length);
void kong_finish(struct import *);

#endif
