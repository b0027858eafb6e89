/* What stands in a zip archive (PKWARE's APPNOTE.TXT 6.3): stored and deflated files, as registries export them. */
#ifndef WEIR_TOOLS_IMPORT_ZIP_H
#define WEIR_TOOLS_IMPORT_ZIP_H

#include <stdbool.h>
#include <stddef.h>

enum { ZIP_FILES_MAX = 10000, ZIP_BYTES_MAX = 64 << 20 /* of all files together */ };

bool zip_is(const char *data, size_t length);
/* Calls `each` for every file (no folders) in the archive's order; its name and text end with a NUL beyond their
 * length, and are gone afterwards.  Of one that is larger than `most` bytes the text is NULL.  NULL, or what is wrong
 * with the archive: then those before that have been given. */
const char *zip_each(const char *data, size_t length, size_t most,
                     void (*each)(void *context, const char *name, const char *text, size_t length), void *context);

#endif
