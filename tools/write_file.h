/* A file that is there as a whole or not at all. */
#ifndef WEIR_TOOLS_WRITE_FILE_H
#define WEIR_TOOLS_WRITE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Writes to a temporary file beside it, flushes that to the disk and renames it.  -EEXIST: there is a file of that
 * name, and `replace` is false.  A file that is replaced keeps its mode; a symbolic link is followed.  0 or -errno. */
int write_file(const char *path, const char *text, size_t length, bool replace);

#endif
