/* Run directories: where an agent keeps its sockets and the shared memory.  The service's is /run/weir; every `weir
 * run` has one of its own, run-PID, in the first place that can be had of
 *
 *   $WEIR_RUN_DIR           if that is set
 *   /run/weir               root, or who may write there
 *   $XDG_RUNTIME_DIR/weir   a person who has logged in
 *   /dev/shm/weir-UID       all others
 */
#ifndef WEIR_TOOLS_RUN_DIR_H
#define WEIR_TOOLS_RUN_DIR_H

#include <stdbool.h>
#include <stddef.h>

#define RUN_DIR_SERVICE "/run/weir"
enum { RUN_DIR_MAX = 94 }; /* bytes with the NUL: what a socket's address has room for next to "/control.sock" */

/* A new directory, searchable by all (the workers of a server may be another user), writable by us.
 * 0, or -errno of the last place tried. */
int run_dir_make(char ret_path[static RUN_DIR_MAX]);
/* Uses a directory that the user named; makes it if it is missing.  1 if it was made, 0, or -errno. */
int run_dir_use(const char *path);
/* Removes the directory with what an agent leaves in it; nothing else in it is touched. */
void run_dir_remove(const char *path);
/* Removes the directories of runs that were killed, unless a program of theirs still lives with their memory. */
void run_dir_sweep(void);

/* Does another process have shared memory of that directory? */
bool run_dir_is_mapped(const char *path);

/* $WEIR_RUN_DIR, or NULL if that says nothing. */
const char *run_dir_of_environment(void);

/* Every place where an agent may be: `named` alone if it is not NULL, else $WEIR_RUN_DIR and what was made in it if it
 * is set, else all the others above (root: of all users).  An array that ends with NULL; it and its strings are to be
 * freed. */
char **run_dir_list(const char *named);

#endif
