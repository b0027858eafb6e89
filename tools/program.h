/* A program that is to run with libweir.so loaded: where it is, and whether a preload can reach it at all. */
#ifndef WEIR_TOOLS_PROGRAM_H
#define WEIR_TOOLS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Finds `command` as execvp would.  0, or -ENOENT (no such command), -EACCES (there, but not executable; `ret_path`
 * says where), -EISDIR, -ENAMETOOLONG. */
int program_find(const char *command, char *ret_path, size_t size);

/* Where libweir.so is: beside this program (a build), else in libdir.  0, or -ENOENT with the last place looked at. */
int program_library(char *ret_path, size_t size);
/* May the path stand in LD_PRELOAD?  The loader splits at spaces and colons, and knows no quoting. */
bool program_preloadable(const char *library);
/* `library` put before what `preload` (may be NULL) holds, once; malloc'ed. */
char *program_preload(const char *library, const char *preload);

/* True, and why, if LD_PRELOAD does not work for the program (or for the interpreter its first line names): statically
 * linked, made by Go, other word size, processor or C library than `library`'s, set-uid or with file capabilities. */
bool program_unreachable(const char *path, const char *library, char *ret_why, size_t size);

#endif
