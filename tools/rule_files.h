/* Rules files as they are named on a command line: files, and folders of them. */
#ifndef WEIR_TOOLS_RULE_FILES_H
#define WEIR_TOOLS_RULE_FILES_H

#include "rules/text/rule_text.h"

/* Calls `each` for the file, or for the rules files of the folder in the order of their names, as the agent reads them.
 * Returns how many there were, or -errno and an error reported: the folder cannot be read. */
int rule_files_each(const char *path, void (*each)(void *context, const char *file), void *context);

/* The bytes of a file, of stdin ("-") or of a pipe ("/dev/fd/63"), at most one more than a rules file may have: free()
 * them.  NULL and an error otherwise. */
char *rule_files_read(const char *file, size_t *ret_length, struct rule_errors *);
/* As messages call it: "-" is "<stdin>". */
const char *rule_files_name(const char *file);

/* Every error, a line each, to stderr. */
void rule_files_report(const struct rule_errors *);

#endif
