/* `weir import --from haproxy`: stick-table limits, denials, maxconn. */
#ifndef WEIR_TOOLS_IMPORT_HAPROXY_H
#define WEIR_TOOLS_IMPORT_HAPROXY_H

#include "tools/import/import.h"

int haproxy_looks_like(const char *text, size_t length, const char *path);
void haproxy_parse(struct import *, const char *path, const char *text, size_t length);

#endif
