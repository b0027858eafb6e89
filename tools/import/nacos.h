/* What Nacos exports: an archive with a file for each entry, GROUP/DATA-ID, of which some hold Sentinel's rules. */
#ifndef WEIR_TOOLS_IMPORT_NACOS_H
#define WEIR_TOOLS_IMPORT_NACOS_H

#include "tools/import/import.h"

int nacos_looks_like(const char *text, size_t length, const char *path);
void nacos_parse(struct import *, const char *path, const char *text, size_t length);

#endif
