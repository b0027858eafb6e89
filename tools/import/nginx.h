/* `weir import --from nginx`: limit_req, limit_conn and what belongs to them. */
#ifndef WEIR_TOOLS_IMPORT_NGINX_H
#define WEIR_TOOLS_IMPORT_NGINX_H

#include "tools/import/import.h"

int nginx_looks_like(const char *text, size_t length, const char *path);
void nginx_parse(struct import *, const char *path, const char *text, size_t length);

#endif
